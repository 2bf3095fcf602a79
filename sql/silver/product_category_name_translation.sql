-- English names of the categories. The published file begins with a byte-order mark and ends its lines
-- with CR LF (trap 4): both are taken off here too. English spelling errors are ids by now and stay (9).
--
-- model: product_category_name_translation
-- key: product_category_name
-- source: product_category_name, product_category_name_english
-- columns:
--   product_category_name string not null
--   product_category_name_english string not null
SELECT r._seq AS _seq, r._extra AS _extra,
       text_clean(r.product_category_name) AS product_category_name,
       text_clean(r.product_category_name_english) AS product_category_name_english,
       NULL AS _error
FROM raw r
