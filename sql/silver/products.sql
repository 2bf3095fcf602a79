-- Products. The source's spelling "lenght" ends here (trap 2). A category that is blank is NULL; gold
-- decides what to call it (trap 9). Texts such as 225.0 are integers (trap 5). A weight of 0 is kept: it
-- is what the shop says, and gold does not divide by it (trap 10).
-- Quarantined: a negative measure.
--
-- model: products
-- key: product_id
-- source: product_id, product_category_name, product_name_lenght, product_description_lenght,
--   product_photos_qty, product_weight_g, product_length_cm, product_height_cm, product_width_cm
-- columns:
--   product_id string not null
--   product_category_name string
--   product_name_length integer
--   product_description_length integer
--   product_photos_qty integer
--   product_weight_g integer
--   product_length_cm integer
--   product_height_cm integer
--   product_width_cm integer
SELECT r._seq AS _seq, r._extra AS _extra,
       r.product_id AS product_id,
       text_clean(r.product_category_name) AS product_category_name,
       text_clean(r.product_name_lenght) AS product_name_length,
       text_clean(r.product_description_lenght) AS product_description_length,
       text_clean(r.product_photos_qty) AS product_photos_qty,
       text_clean(r.product_weight_g) AS product_weight_g,
       text_clean(r.product_length_cm) AS product_length_cm,
       text_clean(r.product_height_cm) AS product_height_cm,
       text_clean(r.product_width_cm) AS product_width_cm,
       coalesce(
           broken('product_weight_g', r.product_weight_g, r.product_weight_g LIKE '-%', 'is negative'),
           broken('product_length_cm', r.product_length_cm, r.product_length_cm LIKE '-%', 'is negative'),
           broken('product_height_cm', r.product_height_cm, r.product_height_cm LIKE '-%', 'is negative'),
           broken('product_width_cm', r.product_width_cm, r.product_width_cm LIKE '-%', 'is negative'),
           broken('product_photos_qty', r.product_photos_qty, r.product_photos_qty LIKE '-%',
                  'is negative')) AS _error
FROM raw r
