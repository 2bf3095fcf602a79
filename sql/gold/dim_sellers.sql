-- Sellers with their versions: one for each transaction that changed them, valid from its commit time in
-- the shop's time zone; the first one from the epoch. A deleted seller keeps its versions, closed.
--
-- model: dim_sellers
-- kind: row
-- key: seller_id, valid_from
-- group: seller_id
-- input: sellers_history(seller_id) = group
-- input: geo_zip(zip) = sellers_history.seller_zip_code_prefix
-- sort: seller_key
-- columns:
--   seller_key long not null
--   seller_id string not null
--   zip string not null
--   city string not null
--   state string not null
--   region string not null
--   lat double
--   lng double
--   valid_from timestamp not null
--   valid_to timestamp
--   is_current boolean not null
WITH last_of_transaction AS (
    SELECT h.*, row_number() OVER (PARTITION BY seller_id, _epoch, _lsn ORDER BY _ordinal DESC) AS place
    FROM sellers_history h
),
described AS (
    SELECT seller_id, seller_zip_code_prefix AS zip,
           title_case(coalesce(city_name, 'unknown')) AS city, seller_state AS state,
           _epoch, _lsn, to_micros(_valid_from) AS committed,
           CASE WHEN _op IN ('d', 't') THEN ''
                ELSE concat(coalesce(seller_zip_code_prefix, ''), '|',
                            title_case(coalesce(city_name, 'unknown')), '|',
                            coalesce(seller_state, '')) END AS content
    FROM last_of_transaction
    WHERE place = 1
),
followed AS (
    SELECT d.*,
           coalesce(lag(content) OVER (PARTITION BY seller_id ORDER BY _epoch, _lsn), '') AS content_before
    FROM described d
),
numbered AS (
    SELECT f.*, row_number() OVER (PARTITION BY seller_id ORDER BY _epoch, _lsn) AS number
    FROM followed f
    WHERE content <> content_before
),
-- Strictly later than the version before, also when the clocks go back.
opened AS (
    SELECT n.*, CASE WHEN number = 1 THEN 0 ELSE
                max(committed - number) OVER (PARTITION BY seller_id ORDER BY number
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) + number END AS opened_at
    FROM numbered n
),
closed AS (
    SELECT o.*, lead(nullif(opened_at, -1)) OVER (PARTITION BY seller_id ORDER BY number) AS closed_at
    FROM opened o
)
SELECT surrogate_key(concat(v.seller_id, '|', CAST(v.opened_at AS VARCHAR(20)))) AS seller_key,
       v.seller_id AS seller_id, coalesce(v.zip, 'unknown') AS zip, v.city AS city,
       coalesce(v.state, 'unknown') AS state, state_region(v.state) AS region,
       coalesce(g.lat, state_lat(v.state)) AS lat, coalesce(g.lng, state_lng(v.state)) AS lng,
       from_micros(v.opened_at) AS valid_from, from_micros(v.closed_at) AS valid_to,
       CASE WHEN v.closed_at IS NULL THEN 1 ELSE 0 END AS is_current
FROM closed v
LEFT JOIN geo_zip g ON g.zip = v.zip
WHERE v.content <> ''
UNION ALL
SELECT 0, 'unknown', 'unknown', 'unknown', 'unknown', 'unknown', NULL, NULL, from_micros(0), NULL, 1
