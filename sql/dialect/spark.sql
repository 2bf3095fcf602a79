-- Functions that silver and gold models use, for Spark 4; clickhouse.sql defines the same names for ClickHouse with
-- the same results. One statement a line.
--
-- Texts.
CREATE OR REPLACE TEMPORARY FUNCTION text_lower(x STRING) RETURNS STRING RETURN lower(x);
CREATE OR REPLACE TEMPORARY FUNCTION text_upper(x STRING) RETURNS STRING RETURN upper(x);
CREATE OR REPLACE TEMPORARY FUNCTION to_text(x STRING) RETURNS STRING RETURN x;
CREATE OR REPLACE TEMPORARY FUNCTION text_fold(x STRING) RETURNS STRING RETURN translate(lower(x), 'áàâãäåéèêëíìîïóòôõöúùûüçñý´`’', 'aaaaaaeeeeiiiiooooouuuucny\'\'\'');
CREATE OR REPLACE TEMPORARY FUNCTION text_clean(x STRING) RETURNS STRING RETURN nullif(regexp_replace(x, '^(\\uFEFF|\\s)+|\\s+$', ''), '');
CREATE OR REPLACE TEMPORARY FUNCTION is_blank(x STRING) RETURNS BOOLEAN RETURN NOT rlike(coalesce(x, ''), '\\S');
CREATE OR REPLACE TEMPORARY FUNCTION is_digits(x STRING) RETURNS BOOLEAN RETURN rlike(x, '^[0-9]+$');
CREATE OR REPLACE TEMPORARY FUNCTION nullable(x STRING) RETURNS STRING RETURN x;
--
-- A text as a number or time: NULL when it is not exactly one.
CREATE OR REPLACE TEMPORARY FUNCTION parse_long(x STRING) RETURNS BIGINT RETURN try_cast(CASE WHEN rlike(x, '^[+-]?[0-9]+([.]0*)?$') THEN regexp_replace(x, '[.]0*$', '') END AS BIGINT);
CREATE OR REPLACE TEMPORARY FUNCTION parse_double(x STRING) RETURNS DOUBLE RETURN CASE WHEN rlike(x, '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$') AND abs(try_cast(x AS DOUBLE)) < CAST('Infinity' AS DOUBLE) THEN try_cast(x AS DOUBLE) END;
CREATE OR REPLACE TEMPORARY FUNCTION parse_float(x STRING) RETURNS FLOAT RETURN CASE WHEN parse_double(x) IS NOT NULL AND abs(try_cast(x AS FLOAT)) < CAST('Infinity' AS FLOAT) THEN try_cast(x AS FLOAT) END;
CREATE OR REPLACE TEMPORARY FUNCTION parse_boolean(x STRING) RETURNS BOOLEAN RETURN CASE WHEN x IN ('true', 't', '1') THEN true WHEN x IN ('false', 'f', '0') THEN false END;
CREATE OR REPLACE TEMPORARY FUNCTION parse_date(x STRING) RETURNS DATE RETURN CASE WHEN rlike(x, '^[0-9]{4}-[0-9]{2}-[0-9]{2}$') AND x BETWEEN '1900-01-01' AND '2299-12-31' THEN try_cast(x AS DATE) END;
CREATE OR REPLACE TEMPORARY FUNCTION without_utc(x STRING) RETURNS STRING RETURN regexp_replace(regexp_replace(x, '(Z|[+]00(:?00)?)$', ''), '^([0-9-]+)T', '$1 ');
CREATE OR REPLACE TEMPORARY FUNCTION parse_timestamp(x STRING) RETURNS TIMESTAMP RETURN CASE WHEN rlike(without_utc(x), '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?$') THEN try_cast(without_utc(x) AS TIMESTAMP) END;
CREATE OR REPLACE TEMPORARY FUNCTION decimal_fits(x STRING, p INT, s INT) RETURNS BOOLEAN RETURN rlike(x, concat('^-?0*[0-9]{0,', CAST(p - s AS STRING), '}([.][0-9]{0,', CAST(s AS STRING), '}0*)?$')) AND rlike(x, '[0-9]');
--
-- Rules of silver's models.
CREATE OR REPLACE TEMPORARY FUNCTION broken(name STRING, value STRING, is_broken BOOLEAN, why STRING) RETURNS STRING RETURN CASE WHEN is_broken THEN concat(name, ' \'', coalesce(substring(value, 1, 100), 'NULL'), '\' ', why) END;
CREATE OR REPLACE TEMPORARY FUNCTION is_state(x STRING) RETURNS BOOLEAN RETURN x IN ('AC', 'AL', 'AM', 'AP', 'BA', 'CE', 'DF', 'ES', 'GO', 'MA', 'MG', 'MS', 'MT', 'PA', 'PB', 'PE', 'PI', 'PR', 'RJ', 'RN', 'RO', 'RR', 'RS', 'SC', 'SE', 'SP', 'TO');
CREATE OR REPLACE TEMPORARY FUNCTION city_part(x STRING) RETURNS STRING RETURN trim(regexp_replace(regexp_replace(text_fold(x), '[*\\s]+', ' '), '([/(,]|\\\\| - ).*$', ''));
CREATE OR REPLACE TEMPORARY FUNCTION city_name(x STRING) RETURNS STRING RETURN CASE WHEN rlike(city_part(x), '^[a-z][a-z\' .-]{2,}$') THEN city_part(x) END;
CREATE OR REPLACE TEMPORARY FUNCTION zip_prefix(x STRING) RETURNS STRING RETURN CASE WHEN rlike(trim(x), '^[0-9]{1,5}$') THEN lpad(trim(x), 5, '0') ELSE trim(x) END;
CREATE OR REPLACE TEMPORARY FUNCTION in_brazil(lat DOUBLE, lng DOUBLE) RETURNS BOOLEAN RETURN coalesce(lat BETWEEN -33.8 AND 5.3 AND lng BETWEEN -74.0 AND -32.0, false);
--
-- Keys and times.
CREATE OR REPLACE TEMPORARY FUNCTION to_timestamp6(x STRING) RETURNS TIMESTAMP RETURN parse_timestamp(x);
CREATE OR REPLACE TEMPORARY FUNCTION micros_between(earlier TIMESTAMP, later TIMESTAMP) RETURNS BIGINT RETURN unix_micros(later) - unix_micros(earlier);
CREATE OR REPLACE TEMPORARY FUNCTION surrogate_key(x STRING) RETURNS BIGINT RETURN CAST(conv(substring(md5(x), 1, 15), 16, 10) AS BIGINT);
CREATE OR REPLACE TEMPORARY FUNCTION iso_weekday(x DATE) RETURNS INT RETURN weekday(x) + 1;
--
-- Gold's models. Times of the shop are naive local time; month_of is the first day of the month.
CREATE OR REPLACE TEMPORARY FUNCTION to_micros(x TIMESTAMP) RETURNS BIGINT RETURN unix_micros(x);
CREATE OR REPLACE TEMPORARY FUNCTION from_micros(x BIGINT) RETURNS TIMESTAMP RETURN timestamp_micros(x);
CREATE OR REPLACE TEMPORARY FUNCTION seconds_between(a TIMESTAMP, b TIMESTAMP) RETURNS BIGINT RETURN (unix_micros(b) - unix_micros(a)) div 1000000;
CREATE OR REPLACE TEMPORARY FUNCTION date_of(x TIMESTAMP) RETURNS DATE RETURN CAST(x AS DATE);
CREATE OR REPLACE TEMPORARY FUNCTION month_of(x TIMESTAMP) RETURNS DATE RETURN date_add(CAST(x AS DATE), 1 - day(x));
CREATE OR REPLACE TEMPORARY FUNCTION date_plus_days(x DATE, n INT) RETURNS DATE RETURN date_add(x, n);
CREATE OR REPLACE TEMPORARY FUNCTION date_key_of(x TIMESTAMP) RETURNS INT RETURN year(x) * 10000 + month(x) * 100 + day(x);
CREATE OR REPLACE TEMPORARY FUNCTION iso_week(x DATE) RETURNS INT RETURN weekofyear(x);
--
-- Floor and remainder of total * part / whole, without overflow between.
CREATE OR REPLACE TEMPORARY FUNCTION share_floor(total BIGINT, part BIGINT, whole BIGINT) RETURNS BIGINT RETURN (CAST(total AS DECIMAL(19, 0)) * CAST(part AS DECIMAL(18, 0))) div CAST(whole AS DECIMAL(38, 0));
CREATE OR REPLACE TEMPORARY FUNCTION share_remainder(total BIGINT, part BIGINT, whole BIGINT) RETURNS BIGINT RETURN CAST((CAST(total AS DECIMAL(19, 0)) * CAST(part AS DECIMAL(18, 0))) % CAST(whole AS DECIMAL(38, 0)) AS BIGINT);
--
-- Names of places and things: words at blanks; Portuguese particles stay small.
CREATE OR REPLACE TEMPORARY FUNCTION title_case(x STRING) RETURNS STRING RETURN replace(replace(replace(replace(replace(replace(initcap(x), ' De ', ' de '), ' Da ', ' da '), ' Do ', ' do '), ' Das ', ' das '), ' Dos ', ' dos '), ' E ', ' e ');
--
-- Brazil's regions, and a point inside each state for zip prefixes without one.
CREATE OR REPLACE TEMPORARY FUNCTION state_region(x STRING) RETURNS STRING RETURN CASE WHEN x IN ('SP', 'RJ', 'MG', 'ES') THEN 'Sudeste' WHEN x IN ('PR', 'SC', 'RS') THEN 'Sul' WHEN x IN ('DF', 'GO', 'MT', 'MS') THEN 'Centro-Oeste' WHEN x IN ('BA', 'SE', 'AL', 'PE', 'PB', 'RN', 'CE', 'PI', 'MA') THEN 'Nordeste' WHEN x IN ('TO', 'PA', 'AP', 'AM', 'RR', 'AC', 'RO') THEN 'Norte' ELSE 'unknown' END;
CREATE OR REPLACE TEMPORARY FUNCTION state_lat(x STRING) RETURNS DOUBLE RETURN CASE x WHEN 'AC' THEN -8.77 WHEN 'AL' THEN -9.62 WHEN 'AM' THEN -3.47 WHEN 'AP' THEN 1.41 WHEN 'BA' THEN -13.29 WHEN 'CE' THEN -5.20 WHEN 'DF' THEN -15.83 WHEN 'ES' THEN -19.19 WHEN 'GO' THEN -15.98 WHEN 'MA' THEN -5.42 WHEN 'MG' THEN -18.10 WHEN 'MS' THEN -20.51 WHEN 'MT' THEN -12.64 WHEN 'PA' THEN -3.79 WHEN 'PB' THEN -7.28 WHEN 'PE' THEN -8.38 WHEN 'PI' THEN -6.60 WHEN 'PR' THEN -24.89 WHEN 'RJ' THEN -22.25 WHEN 'RN' THEN -5.81 WHEN 'RO' THEN -10.83 WHEN 'RR' THEN 1.99 WHEN 'RS' THEN -30.17 WHEN 'SC' THEN -27.45 WHEN 'SE' THEN -10.57 WHEN 'SP' THEN -22.19 WHEN 'TO' THEN -9.46 END;
CREATE OR REPLACE TEMPORARY FUNCTION state_lng(x STRING) RETURNS DOUBLE RETURN CASE x WHEN 'AC' THEN -70.55 WHEN 'AL' THEN -36.82 WHEN 'AM' THEN -65.10 WHEN 'AP' THEN -51.77 WHEN 'BA' THEN -41.71 WHEN 'CE' THEN -39.53 WHEN 'DF' THEN -47.86 WHEN 'ES' THEN -40.34 WHEN 'GO' THEN -49.86 WHEN 'MA' THEN -45.44 WHEN 'MG' THEN -44.38 WHEN 'MS' THEN -54.54 WHEN 'MT' THEN -55.42 WHEN 'PA' THEN -52.48 WHEN 'PB' THEN -36.72 WHEN 'PE' THEN -37.86 WHEN 'PI' THEN -42.28 WHEN 'PR' THEN -51.55 WHEN 'RJ' THEN -42.66 WHEN 'RN' THEN -36.59 WHEN 'RO' THEN -63.34 WHEN 'RR' THEN -61.33 WHEN 'RS' THEN -53.50 WHEN 'SC' THEN -50.95 WHEN 'SE' THEN -37.45 WHEN 'SP' THEN -48.79 WHEN 'TO' THEN -48.26 END;
