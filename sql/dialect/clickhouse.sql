-- Functions that silver and gold models may use, for ClickHouse (in process and server). One statement a
-- line; spark.sql defines the same names for Spark with the same results. A model uses no function that
-- differs between the two engines except through this file.
--
-- Texts. text_fold: lower case without accents. text_clean: without byte-order mark and outer white space;
-- what is empty then is NULL.
CREATE OR REPLACE FUNCTION text_lower AS (x) -> lowerUTF8(x);
CREATE OR REPLACE FUNCTION text_upper AS (x) -> upperUTF8(x);
CREATE OR REPLACE FUNCTION to_text AS (x) -> toString(x);
CREATE OR REPLACE FUNCTION text_fold AS (x) -> translateUTF8(lowerUTF8(x), 'áàâãäåéèêëíìîïóòôõöúùûüçñý´`’', 'aaaaaaeeeeiiiiooooouuuucny''''''');
CREATE OR REPLACE FUNCTION text_clean AS (x) -> nullIf(replaceRegexpAll(x, '^(\\x{FEFF}|[[:space:]])+|[[:space:]]+$', ''), '');
CREATE OR REPLACE FUNCTION is_blank AS (x) -> NOT match(coalesce(x, ''), '[^[:space:]]');
CREATE OR REPLACE FUNCTION is_digits AS (x) -> match(x, '^[0-9]+$');
CREATE OR REPLACE FUNCTION nullable AS (x) -> toNullable(x);
--
-- A text as a number or time: NULL when it is not exactly one (no rounding, no cutting, no clamping).
-- parse_long takes 225.0 for 225. A date lies in 1900..2299, which is what ClickHouse can keep; a
-- timestamp in 0001..9999, and a zone in it must be UTC (Z, +00).
CREATE OR REPLACE FUNCTION parse_long AS (x) -> toInt64OrNull(if(position(x, '.') > 0, replaceRegexpOne(x, '[.]0*$', ''), x));
CREATE OR REPLACE FUNCTION parse_double AS (x) -> if(isFinite(toFloat64OrNull(x)), toFloat64OrNull(x), NULL);
CREATE OR REPLACE FUNCTION parse_float AS (x) -> if(isFinite(toFloat32OrNull(x)), toFloat32OrNull(x), NULL);
CREATE OR REPLACE FUNCTION parse_boolean AS (x) -> CAST(multiIf(x IN ('true', 't', '1'), 1, x IN ('false', 'f', '0'), 0, NULL), 'Nullable(Bool)');
CREATE OR REPLACE FUNCTION parse_date AS (x) -> if(toString(toDate32OrNull(x)) = x, toDate32OrNull(x), NULL);
CREATE OR REPLACE FUNCTION without_utc AS (x) -> replaceOne(replaceRegexpOne(x, '(Z|[+]00(:?00)?)$', ''), 'T', ' ');
CREATE OR REPLACE FUNCTION parse_timestamp AS (x) -> if(length(x) > 18 AND startsWith(toString(toDateTime64OrNull(without_utc(x), 6, 'UTC')), without_utc(x)), toDateTime64OrNull(without_utc(x), 6, 'UTC'), NULL);
CREATE OR REPLACE FUNCTION decimal_fits AS (x, p, s) -> match(x, concat('^-?0*[0-9]{0,', toString(p - s), '}([.][0-9]{0,', toString(s), '}0*)?$')) AND match(x, '[0-9]');
--
-- Rules of silver's models: NULL when the row is good, else "<column> '<value>' <why>".
CREATE OR REPLACE FUNCTION broken AS (name, value, is_broken, why) -> if(is_broken, concat(name, ' ''', coalesce(substringUTF8(value, 1, 100), 'NULL'), ''' ', why), NULL);
CREATE OR REPLACE FUNCTION is_state AS (x) -> x IN ('AC', 'AL', 'AM', 'AP', 'BA', 'CE', 'DF', 'ES', 'GO', 'MA', 'MG', 'MS', 'MT', 'PA', 'PB', 'PE', 'PI', 'PR', 'RJ', 'RN', 'RO', 'RR', 'RS', 'SC', 'SE', 'SP', 'TO');
CREATE OR REPLACE FUNCTION city_part AS (x) -> trimBoth(replaceRegexpOne(replaceRegexpAll(text_fold(x), '[*[:space:]]+', ' '), '([/(,]|\\\\| - ).*$', ''));
CREATE OR REPLACE FUNCTION city_name AS (x) -> if(match(city_part(x), '^[a-z][a-z'' .-]{2,}$'), city_part(x), NULL);
CREATE OR REPLACE FUNCTION zip_prefix AS (x) -> if(match(trimBoth(x), '^[0-9]{1,5}$'), lpad(trimBoth(x), 5, '0'), trimBoth(x));
CREATE OR REPLACE FUNCTION in_brazil AS (lat, lng) -> coalesce(lat BETWEEN -33.8 AND 5.3 AND lng BETWEEN -74.0 AND -32.0, false);
--
-- Keys, times and money.
CREATE OR REPLACE FUNCTION surrogate_key AS (x) -> toInt64(bitShiftRight(reinterpretAsUInt64(reverse(substring(MD5(x), 1, 8))), 4));
CREATE OR REPLACE FUNCTION to_timestamp6 AS (x) -> parse_timestamp(x);
CREATE OR REPLACE FUNCTION iso_weekday AS (x) -> toDayOfWeek(x);
CREATE OR REPLACE FUNCTION micros_between AS (earlier, later) -> toUnixTimestamp64Micro(later) - toUnixTimestamp64Micro(earlier);
--
-- Gold's models. Times of the shop are naive local time; month_of is the first day of the month.
CREATE OR REPLACE FUNCTION to_micros AS (x) -> toUnixTimestamp64Micro(toDateTime64(x, 6, 'UTC'));
CREATE OR REPLACE FUNCTION from_micros AS (x) -> fromUnixTimestamp64Micro(toInt64(x), 'UTC');
CREATE OR REPLACE FUNCTION seconds_between AS (a, b) -> intDiv(toUnixTimestamp64Micro(toDateTime64(b, 6, 'UTC')) - toUnixTimestamp64Micro(toDateTime64(a, 6, 'UTC')), 1000000);
CREATE OR REPLACE FUNCTION date_of AS (x) -> toDate32(x);
CREATE OR REPLACE FUNCTION month_of AS (x) -> addDays(toDate32(x), 1 - toInt32(toDayOfMonth(x)));
CREATE OR REPLACE FUNCTION date_plus_days AS (x, n) -> addDays(toDate32(x), n);
CREATE OR REPLACE FUNCTION date_key_of AS (x) -> toInt32(year(x)) * 10000 + toInt32(month(x)) * 100 + toInt32(day(x));
CREATE OR REPLACE FUNCTION iso_week AS (x) -> toInt32(toISOWeek(x));
--
-- Floor and remainder of total * part / whole, without overflow between.
CREATE OR REPLACE FUNCTION share_floor AS (total, part, whole) -> toInt64(intDiv(toInt128(total) * toInt128(part), toInt128(whole)));
CREATE OR REPLACE FUNCTION share_remainder AS (total, part, whole) -> toInt64((toInt128(total) * toInt128(part)) % toInt128(whole));
--
-- Names of places and things: words at blanks; Portuguese particles stay small.
CREATE OR REPLACE FUNCTION title_case AS (x) -> if(x IS NULL, NULL, replaceAll(replaceAll(replaceAll(replaceAll(replaceAll(replaceAll(arrayStringConcat(arrayMap(w -> concat(upperUTF8(substringUTF8(w, 1, 1)), substringUTF8(w, 2)), splitByChar(' ', lowerUTF8(assumeNotNull(x)))), ' '), ' De ', ' de '), ' Da ', ' da '), ' Do ', ' do '), ' Das ', ' das '), ' Dos ', ' dos '), ' E ', ' e '));
--
-- Brazil's regions, and a point inside each state for zip prefixes without one.
CREATE OR REPLACE FUNCTION state_region AS (x) -> CASE WHEN x IN ('SP', 'RJ', 'MG', 'ES') THEN 'Sudeste' WHEN x IN ('PR', 'SC', 'RS') THEN 'Sul' WHEN x IN ('DF', 'GO', 'MT', 'MS') THEN 'Centro-Oeste' WHEN x IN ('BA', 'SE', 'AL', 'PE', 'PB', 'RN', 'CE', 'PI', 'MA') THEN 'Nordeste' WHEN x IN ('TO', 'PA', 'AP', 'AM', 'RR', 'AC', 'RO') THEN 'Norte' ELSE 'unknown' END;
CREATE OR REPLACE FUNCTION state_lat AS (x) -> CASE x WHEN 'AC' THEN -8.77 WHEN 'AL' THEN -9.62 WHEN 'AM' THEN -3.47 WHEN 'AP' THEN 1.41 WHEN 'BA' THEN -13.29 WHEN 'CE' THEN -5.20 WHEN 'DF' THEN -15.83 WHEN 'ES' THEN -19.19 WHEN 'GO' THEN -15.98 WHEN 'MA' THEN -5.42 WHEN 'MG' THEN -18.10 WHEN 'MS' THEN -20.51 WHEN 'MT' THEN -12.64 WHEN 'PA' THEN -3.79 WHEN 'PB' THEN -7.28 WHEN 'PE' THEN -8.38 WHEN 'PI' THEN -6.60 WHEN 'PR' THEN -24.89 WHEN 'RJ' THEN -22.25 WHEN 'RN' THEN -5.81 WHEN 'RO' THEN -10.83 WHEN 'RR' THEN 1.99 WHEN 'RS' THEN -30.17 WHEN 'SC' THEN -27.45 WHEN 'SE' THEN -10.57 WHEN 'SP' THEN -22.19 WHEN 'TO' THEN -9.46 END;
CREATE OR REPLACE FUNCTION state_lng AS (x) -> CASE x WHEN 'AC' THEN -70.55 WHEN 'AL' THEN -36.82 WHEN 'AM' THEN -65.10 WHEN 'AP' THEN -51.77 WHEN 'BA' THEN -41.71 WHEN 'CE' THEN -39.53 WHEN 'DF' THEN -47.86 WHEN 'ES' THEN -40.34 WHEN 'GO' THEN -49.86 WHEN 'MA' THEN -45.44 WHEN 'MG' THEN -44.38 WHEN 'MS' THEN -54.54 WHEN 'MT' THEN -55.42 WHEN 'PA' THEN -52.48 WHEN 'PB' THEN -36.72 WHEN 'PE' THEN -37.86 WHEN 'PI' THEN -42.28 WHEN 'PR' THEN -51.55 WHEN 'RJ' THEN -42.66 WHEN 'RN' THEN -36.59 WHEN 'RO' THEN -63.34 WHEN 'RR' THEN -61.33 WHEN 'RS' THEN -53.50 WHEN 'SC' THEN -50.95 WHEN 'SE' THEN -37.45 WHEN 'SP' THEN -48.79 WHEN 'TO' THEN -48.26 END;
