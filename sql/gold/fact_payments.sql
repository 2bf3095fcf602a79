-- One row for each payment of an order (payment_sequential may start at 2 or skip numbers).
--
-- model: fact_payments
-- kind: row
-- key: order_id, payment_sequential
-- group: order_id
-- input: order_payments(order_id) = group required
-- input: orders(order_id) = group
-- input: customers(customer_id) = orders.customer_id
-- input: dim_customers(customer_unique_id) = customers.customer_unique_id since valid_from, valid_to <= orders.order_purchase_timestamp
-- sort: order_date, order_id, payment_sequential
-- columns:
--   order_key long not null
--   order_id string not null
--   payment_sequential integer not null
--   order_date timestamp not null
--   date_key integer not null
--   customer_key long not null
--   order_status string not null
--   payment_type string not null
--   payment_installments integer not null
--   payment_value decimal(12,2) not null
WITH bought AS (
    SELECT o.order_id AS order_id, o.order_status AS status, o.order_purchase_timestamp AS bought_at,
           c.customer_unique_id AS person
    FROM orders o
    LEFT JOIN customers c ON c.customer_id = o.customer_id
)
SELECT surrogate_key(p.order_id) AS order_key, p.order_id AS order_id,
       p.payment_sequential AS payment_sequential, b.bought_at AS order_date,
       date_key_of(b.bought_at) AS date_key, coalesce(c.customer_key, 0) AS customer_key,
       b.status AS order_status, p.payment_type AS payment_type,
       p.payment_installments AS payment_installments, p.payment_value AS payment_value
FROM order_payments p
JOIN bought b ON b.order_id = p.order_id
LEFT JOIN dim_customers c ON c.customer_unique_id = b.person AND c.valid_from <= b.bought_at
                         AND (c.valid_to > b.bought_at OR c.valid_to IS NULL)
