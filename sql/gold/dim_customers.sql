-- The person (customer_unique_id), not the per-order customer_id. A version opens with the purchase that
-- first gave another address; the first one is valid from the epoch. Customers rows without an order
-- count only while the person has no order at all.
--
-- model: dim_customers
-- kind: row
-- key: customer_unique_id, valid_from
-- group: customer_unique_id
-- input: customers(customer_unique_id) = group
-- input: orders(customer_id) = customers.customer_id
-- input: geo_zip(zip) = customers.customer_zip_code_prefix
-- sort: customer_key
-- columns:
--   customer_key long not null
--   customer_unique_id string not null
--   zip string not null
--   city string not null
--   state string not null
--   region string not null
--   lat double
--   lng double
--   first_order_date date
--   cohort_month date
--   valid_from timestamp not null
--   valid_to timestamp
--   is_current boolean not null
WITH bought AS (
    SELECT c.customer_unique_id AS person, c.customer_id AS customer_id, c.customer_zip_code_prefix AS zip,
           title_case(coalesce(c.city_name, c.customer_city, 'unknown')) AS city, c.customer_state AS state,
           o.order_purchase_timestamp AS bought_at,
           min(o.order_purchase_timestamp) OVER (PARTITION BY c.customer_unique_id) AS first_at
    FROM customers c
    LEFT JOIN orders o ON o.customer_id = c.customer_id
),
addressed AS (
    SELECT person, zip, city, state, first_at, coalesce(to_micros(bought_at), 0) AS opened,
           concat(zip, '|', city, '|', state) AS address,
           row_number() OVER (PARTITION BY person, coalesce(to_micros(bought_at), 0)
                              ORDER BY customer_id DESC) AS place
    FROM bought
    WHERE bought_at IS NOT NULL OR first_at IS NULL
),
followed AS (
    SELECT person, zip, city, state, first_at, opened, address,
           lag(address) OVER (PARTITION BY person ORDER BY opened) AS address_before,
           row_number() OVER (PARTITION BY person ORDER BY opened) AS number
    FROM addressed
    WHERE place = 1
),
moved AS (
    SELECT person, zip, city, state, first_at, CASE WHEN number = 1 THEN 0 ELSE opened END AS opened
    FROM followed
    WHERE number = 1 OR address_before <> address
),
closed AS (
    SELECT person, zip, city, state, first_at, opened,
           lead(nullif(opened, -1)) OVER (PARTITION BY person ORDER BY opened) AS closed_at
    FROM moved
)
SELECT surrogate_key(concat(v.person, '|', CAST(v.opened AS VARCHAR(20)))) AS customer_key,
       v.person AS customer_unique_id, v.zip AS zip, v.city AS city, v.state AS state,
       state_region(v.state) AS region,
       coalesce(g.lat, state_lat(v.state)) AS lat, coalesce(g.lng, state_lng(v.state)) AS lng,
       date_of(v.first_at) AS first_order_date, month_of(v.first_at) AS cohort_month,
       from_micros(v.opened) AS valid_from, from_micros(v.closed_at) AS valid_to,
       CASE WHEN v.closed_at IS NULL THEN 1 ELSE 0 END AS is_current
FROM closed v
LEFT JOIN geo_zip g ON g.zip = v.zip
UNION ALL
SELECT 0, 'unknown', 'unknown', 'unknown', 'unknown', 'unknown', NULL, NULL, NULL, NULL,
       from_micros(0), NULL, 1
