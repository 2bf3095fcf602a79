-- Orders. Times are Brazilian local time without a zone and keep the order in which the shop wrote them,
-- even where that is impossible (trap 13). order_estimated_delivery_date is a promise of a day (trap 14);
-- it stays a timestamp at midnight, as in the source.
-- Quarantined: a state that is none of the eight.
--
-- model: orders
-- key: order_id
-- source: order_id, customer_id, order_status, order_purchase_timestamp, order_approved_at,
--   order_delivered_carrier_date, order_delivered_customer_date, order_estimated_delivery_date
-- columns:
--   order_id string not null
--   customer_id string not null
--   order_status string not null
--   order_purchase_timestamp timestamp not null
--   order_approved_at timestamp
--   order_delivered_carrier_date timestamp
--   order_delivered_customer_date timestamp
--   order_estimated_delivery_date timestamp not null
SELECT r._seq AS _seq, r._extra AS _extra,
       r.order_id AS order_id,
       r.customer_id AS customer_id,
       r.order_status AS order_status,
       r.order_purchase_timestamp AS order_purchase_timestamp,
       r.order_approved_at AS order_approved_at,
       r.order_delivered_carrier_date AS order_delivered_carrier_date,
       r.order_delivered_customer_date AS order_delivered_customer_date,
       r.order_estimated_delivery_date AS order_estimated_delivery_date,
       broken('order_status', r.order_status,
              r.order_status NOT IN ('created', 'approved', 'invoiced', 'processing', 'shipped',
                                     'delivered', 'canceled', 'unavailable'),
              'is not a state of an order') AS _error
FROM raw r
