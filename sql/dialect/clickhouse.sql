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
-- timestamp in 0001..9999; a zone in the text is brought to UTC.
CREATE OR REPLACE FUNCTION parse_long AS (x) -> toInt64OrNull(if(position(x, '.') > 0, replaceRegexpOne(x, '[.]0*$', ''), x));
CREATE OR REPLACE FUNCTION parse_double AS (x) -> if(isFinite(toFloat64OrNull(x)), toFloat64OrNull(x), NULL);
CREATE OR REPLACE FUNCTION parse_boolean AS (x) -> CAST(multiIf(x IN ('true', 't', '1'), 1, x IN ('false', 'f', '0'), 0, NULL), 'Nullable(Bool)');
CREATE OR REPLACE FUNCTION parse_date AS (x) -> if(toString(toDate32OrNull(x)) = x, toDate32OrNull(x), NULL);
CREATE OR REPLACE FUNCTION zone_length AS (x) -> multiIf(length(x) < 20, 0, endsWith(x, 'Z'), 1, substring(x, length(x) - 2, 1) IN ('+', '-'), 3, substring(x, length(x) - 5, 1) IN ('+', '-'), 6, 0);
CREATE OR REPLACE FUNCTION zone_seconds AS (x) -> if(zone_length(x) < 3, 0, if(substring(x, length(x) - zone_length(x) + 1, 1) = '-', -1, 1) * (toInt32OrZero(substring(x, length(x) - zone_length(x) + 2, 2)) * 3600 + if(zone_length(x) = 6, toInt32OrZero(substring(x, length(x) - 1, 2)) * 60, 0)));
CREATE OR REPLACE FUNCTION without_zone AS (x) -> substring(x, 1, length(x) - zone_length(x));
CREATE OR REPLACE FUNCTION parse_timestamp AS (x) -> if(length(x) > 18 AND startsWith(toString(toDateTime64OrNull(without_zone(x), 6, 'UTC')), replaceOne(without_zone(x), 'T', ' ')), subtractSeconds(toDateTime64OrNull(without_zone(x), 6, 'UTC'), zone_seconds(x)), NULL);
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
