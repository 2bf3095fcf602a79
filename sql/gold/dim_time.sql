-- One row for each day from 2016-01-01 to the end of the year after the latest date that anything joins:
-- purchases, promises, deliveries, shipping limits, reviews, and the commits of orders. So there is always
-- a whole year of room. Brazil's national holidays, with Carnival and Corpus Christi; Black Friday.
--
-- model: dim_time
-- kind: whole
-- key: date_key
-- input: orders
-- input: order_items
-- input: order_reviews
-- sort: date_key
-- columns:
--   date_key integer not null
--   date date not null
--   year integer not null
--   quarter integer not null
--   month integer not null
--   month_start date not null
--   month_name_vi string not null
--   month_name_en string not null
--   month_name_pt string not null
--   day integer not null
--   week integer not null
--   dow integer not null
--   is_weekend boolean not null
--   is_holiday_br boolean not null
--   holiday_name string
--   is_black_friday boolean not null
WITH digits AS (
    SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9
),
latest AS (
    SELECT coalesce(max(last_at), from_micros(0)) AS last_at
    FROM (
        SELECT greatest(order_purchase_timestamp, order_estimated_delivery_date,
                        coalesce(order_delivered_customer_date, order_purchase_timestamp),
                        coalesce(_commit_at, order_purchase_timestamp)) AS last_at FROM orders
        UNION ALL
        SELECT shipping_limit_date FROM order_items
        UNION ALL
        SELECT greatest(review_creation_date, review_answer_timestamp) FROM order_reviews
    ) AS dates
),
numbers_of_days AS (
    SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n
    FROM digits a CROSS JOIN digits b CROSS JOIN digits c CROSS JOIN digits e CROSS JOIN digits f
),
days AS (
    SELECT date_plus_days(date_of(from_micros(1451606400000000)), n) AS date FROM numbers_of_days
    WHERE n < 60000
),
dated AS (
    SELECT y.date AS date, year(y.date) AS year, month(y.date) AS month, day(y.date) AS day,
           iso_weekday(y.date) AS dow
    FROM days y CROSS JOIN latest l
    WHERE year(y.date) <= greatest(year(l.last_at), 2016) + 1
),
-- Easter by the anonymous Gregorian rule, in integers.
easter_1 AS (
    SELECT year, CAST(year % 19 AS BIGINT) AS a, CAST(floor(year / 100) AS BIGINT) AS b,
           CAST(year % 100 AS BIGINT) AS c
    FROM dated GROUP BY year
),
easter_2 AS (
    SELECT year, a, b, c,
           CAST((19 * a + b - floor(b / 4) - floor((b - floor((b + 8) / 25) + 1) / 3) + 15)
               AS BIGINT) % 30 AS h
    FROM easter_1
),
easter_3 AS (
    SELECT year, a, h,
           CAST(32 + 2 * (b % 4) + 2 * floor(c / 4) - h - c % 4 AS BIGINT) % 7 AS w
    FROM easter_2
),
easter_4 AS (
    SELECT year, CAST(h + w - 7 * floor((a + 11 * h + 22 * w) / 451) + 114 AS BIGINT) AS s FROM easter_3
),
easter AS (
    SELECT year, CAST(floor(s / 31) AS BIGINT) AS month, s % 31 + 1 AS day FROM easter_4
),
sundays AS (
    SELECT d.year AS year, d.date AS easter FROM dated d
    JOIN easter e ON e.year = d.year AND e.month = d.month AND e.day = d.day
),
holidays AS (
    SELECT d.date AS date, d.year AS year, d.month AS month, d.day AS day, d.dow AS dow,
           CASE
               WHEN d.month = 1 AND d.day = 1 THEN 'Confraternização Universal'
               WHEN d.month = 4 AND d.day = 21 THEN 'Tiradentes'
               WHEN d.month = 5 AND d.day = 1 THEN 'Dia do Trabalho'
               WHEN d.month = 9 AND d.day = 7 THEN 'Independência do Brasil'
               WHEN d.month = 10 AND d.day = 12 THEN 'Nossa Senhora Aparecida'
               WHEN d.month = 11 AND d.day = 2 THEN 'Finados'
               WHEN d.month = 11 AND d.day = 15 THEN 'Proclamação da República'
               WHEN d.month = 11 AND d.day = 20 AND d.year >= 2024 THEN 'Dia da Consciência Negra'
               WHEN d.month = 12 AND d.day = 25 THEN 'Natal'
               WHEN datediff(DAY, s.easter, d.date) IN (-48, -47) THEN 'Carnaval'
               WHEN datediff(DAY, s.easter, d.date) = -2 THEN 'Sexta-feira Santa'
               WHEN datediff(DAY, s.easter, d.date) = 60 THEN 'Corpus Christi'
           END AS holiday
    FROM dated d
    JOIN sundays s ON s.year = d.year
)
SELECT d.year * 10000 + d.month * 100 + d.day AS date_key, d.date AS date, d.year AS year,
       quarter(d.date) AS quarter, d.month AS month, date_plus_days(d.date, 1 - d.day) AS month_start,
       CASE d.month WHEN 1 THEN 'Tháng Một' WHEN 2 THEN 'Tháng Hai' WHEN 3 THEN 'Tháng Ba'
            WHEN 4 THEN 'Tháng Tư' WHEN 5 THEN 'Tháng Năm' WHEN 6 THEN 'Tháng Sáu'
            WHEN 7 THEN 'Tháng Bảy' WHEN 8 THEN 'Tháng Tám' WHEN 9 THEN 'Tháng Chín'
            WHEN 10 THEN 'Tháng Mười' WHEN 11 THEN 'Tháng Mười Một' WHEN 12 THEN 'Tháng Mười Hai' END
                AS month_name_vi,
       CASE d.month WHEN 1 THEN 'January' WHEN 2 THEN 'February' WHEN 3 THEN 'March'
            WHEN 4 THEN 'April' WHEN 5 THEN 'May' WHEN 6 THEN 'June'
            WHEN 7 THEN 'July' WHEN 8 THEN 'August' WHEN 9 THEN 'September'
            WHEN 10 THEN 'October' WHEN 11 THEN 'November' WHEN 12 THEN 'December' END AS month_name_en,
       CASE d.month WHEN 1 THEN 'Janeiro' WHEN 2 THEN 'Fevereiro' WHEN 3 THEN 'Março'
            WHEN 4 THEN 'Abril' WHEN 5 THEN 'Maio' WHEN 6 THEN 'Junho'
            WHEN 7 THEN 'Julho' WHEN 8 THEN 'Agosto' WHEN 9 THEN 'Setembro'
            WHEN 10 THEN 'Outubro' WHEN 11 THEN 'Novembro' WHEN 12 THEN 'Dezembro' END AS month_name_pt,
       d.day AS day, iso_week(d.date) AS week, d.dow AS dow,
       CASE WHEN d.dow >= 6 THEN 1 ELSE 0 END AS is_weekend,
       CASE WHEN d.holiday IS NOT NULL THEN 1 ELSE 0 END AS is_holiday_br, d.holiday AS holiday_name,
       CASE WHEN d.month = 11 AND d.dow = 5 AND d.day BETWEEN 23 AND 29 THEN 1 ELSE 0 END AS is_black_friday
FROM holidays d
UNION ALL
SELECT 0, date_of(from_micros(0)), 1970, 1, 1, date_of(from_micros(0)), 'Chưa rõ', 'Unknown',
       'Desconhecido',
       1, 1, 4, 0, 0, NULL, 0
