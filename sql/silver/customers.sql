-- Customers: one row per order's customer_id; the person is customer_unique_id (trap 1).
-- Zip prefixes are text, padded to five digits (trap 3). city_name is the comparable form of the city (11).
-- Quarantined: a zip prefix that is not up to five digits, a state that Brazil does not have.
--
-- model: customers
-- key: customer_id
-- source: customer_id, customer_unique_id, customer_zip_code_prefix, customer_city, customer_state
-- columns:
--   customer_id string not null
--   customer_unique_id string not null
--   customer_zip_code_prefix string not null
--   customer_city string
--   customer_state string not null
--   city_name string
SELECT r._seq AS _seq, r._extra AS _extra,
       r.customer_id AS customer_id,
       r.customer_unique_id AS customer_unique_id,
       zip_prefix(r.customer_zip_code_prefix) AS customer_zip_code_prefix,
       r.customer_city AS customer_city,
       text_upper(trim(r.customer_state)) AS customer_state,
       city_name(r.customer_city) AS city_name,
       coalesce(
           broken('customer_zip_code_prefix', r.customer_zip_code_prefix,
                  NOT is_digits(zip_prefix(r.customer_zip_code_prefix))
                  OR char_length(zip_prefix(r.customer_zip_code_prefix)) <> 5, 'is not a zip prefix'),
           broken('customer_state', r.customer_state,
                  NOT is_state(text_upper(trim(r.customer_state))), 'is not a state of Brazil')) AS _error
FROM raw r
