-- Sellers. Zip prefixes as in customers (trap 3). city_name is NULL where the city is no name at all:
-- a number, an address of electronic mail, a state alone (trap 11).
--
-- model: sellers
-- key: seller_id
-- source: seller_id, seller_zip_code_prefix, seller_city, seller_state
-- columns:
--   seller_id string not null
--   seller_zip_code_prefix string not null
--   seller_city string
--   seller_state string not null
--   city_name string
SELECT r._seq AS _seq, r._extra AS _extra,
       r.seller_id AS seller_id,
       zip_prefix(r.seller_zip_code_prefix) AS seller_zip_code_prefix,
       r.seller_city AS seller_city,
       text_upper(trim(r.seller_state)) AS seller_state,
       city_name(r.seller_city) AS city_name,
       coalesce(
           broken('seller_zip_code_prefix', r.seller_zip_code_prefix,
                  NOT is_digits(zip_prefix(r.seller_zip_code_prefix))
                  OR char_length(zip_prefix(r.seller_zip_code_prefix)) <> 5, 'is not a zip prefix'),
           broken('seller_state', r.seller_state,
                  NOT is_state(text_upper(trim(r.seller_state))), 'is not a state of Brazil')) AS _error
FROM raw r
