-- Order items. Amounts are exact decimals read from text (trap 5); one row is one unit.
-- Quarantined: an amount that is negative or has more digits than decimal(10,2), an item number below 1.
--
-- model: order_items
-- key: order_id, order_item_id
-- source: order_id, order_item_id, product_id, seller_id, shipping_limit_date, price, freight_value
-- columns:
--   order_id string not null
--   order_item_id integer not null
--   product_id string not null
--   seller_id string not null
--   shipping_limit_date timestamp
--   price decimal(10,2) not null
--   freight_value decimal(10,2) not null
SELECT r._seq AS _seq, r._extra AS _extra,
       r.order_id AS order_id,
       r.order_item_id AS order_item_id,
       r.product_id AS product_id,
       r.seller_id AS seller_id,
       r.shipping_limit_date AS shipping_limit_date,
       r.price AS price,
       r.freight_value AS freight_value,
       coalesce(
           broken('order_item_id', r.order_item_id, parse_long(r.order_item_id) < 1, 'is below 1'),
           broken('price', r.price, r.price LIKE '-%', 'is negative'),
           broken('freight_value', r.freight_value, r.freight_value LIKE '-%', 'is negative')) AS _error
FROM raw r
