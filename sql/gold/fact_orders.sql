-- One row for each item of an order. Orders without items are in fact_order_lifecycle only.
-- The dimension keys name the version valid at the purchase; 0 where there is none.
-- payment_value_alloc splits the order's payments over its items in whole cents by price and freight:
-- every item gets the floor of its share, what is left goes cent by cent to the largest remainders.
-- Lateness is by date: the promise has no time of day.
--
-- model: fact_orders
-- kind: row
-- key: order_id, order_item_id
-- group: order_id
-- input: order_items(order_id) = group required
-- input: orders(order_id) = group
-- input: order_payments(order_id) = group
-- input: order_reviews(order_id) = group
-- input: customers(customer_id) = orders.customer_id
-- input: dim_customers(customer_unique_id) = customers.customer_unique_id since valid_from, valid_to <= orders.order_purchase_timestamp
-- input: dim_products(product_id) = order_items.product_id since valid_from, valid_to <= orders.order_purchase_timestamp
-- input: dim_sellers(seller_id) = order_items.seller_id since valid_from, valid_to <= orders.order_purchase_timestamp
-- sort: order_date, order_id, order_item_id
-- columns:
--   order_key long not null
--   order_id string not null
--   order_item_id integer not null
--   order_date timestamp not null
--   date_key integer not null
--   customer_key long not null
--   product_key long not null
--   seller_key long not null
--   order_status string not null
--   payment_type string not null
--   payment_installments integer not null
--   quantity integer not null
--   price decimal(12,2) not null
--   freight_value decimal(12,2) not null
--   total_amount decimal(12,2) not null
--   payment_value_alloc decimal(12,2) not null
--   review_score integer
--   approved_at timestamp
--   shipping_limit_at timestamp
--   shipped_at timestamp
--   delivered_at timestamp
--   estimated_at timestamp not null
--   delivery_days integer
--   delay_days integer
--   is_dispatch_late boolean not null
--   is_late boolean not null
--   is_delivered boolean not null
--   is_canceled boolean not null
WITH priced AS (
    SELECT i.order_id AS order_id, i.order_item_id AS order_item_id, i.product_id AS product_id,
           i.seller_id AS seller_id, i.shipping_limit_date AS shipping_limit_at, i.price AS price,
           i.freight_value AS freight, c.customer_unique_id AS person,
           o.order_purchase_timestamp AS bought_at, o.order_status AS status,
           o.order_approved_at AS approved_at, o.order_delivered_carrier_date AS shipped_at,
           o.order_delivered_customer_date AS delivered_at,
           o.order_estimated_delivery_date AS estimated_at,
           greatest(CAST((i.price + i.freight_value) * 100 AS BIGINT), 0) AS cents
    FROM order_items i
    JOIN orders o ON o.order_id = i.order_id
    LEFT JOIN customers c ON c.customer_id = o.customer_id
),
paid_by_type AS (
    SELECT order_id, payment_type, sum(payment_value) AS amount, max(payment_installments) AS installments
    FROM order_payments
    GROUP BY order_id, payment_type
),
paid AS (
    SELECT order_id, payment_type, CAST(sum(amount) OVER (PARTITION BY order_id) * 100 AS BIGINT) AS cents,
           max(installments) OVER (PARTITION BY order_id) AS installments,
           row_number() OVER (PARTITION BY order_id ORDER BY amount DESC, payment_type) AS place
    FROM paid_by_type
),
-- An order whose items all cost nothing is split evenly.
weighed AS (
    SELECT i.*, coalesce(p.cents, 0) AS paid_cents, coalesce(p.installments, 0) AS installments,
           coalesce(p.payment_type, 'unknown') AS payment_type,
           CASE WHEN sum(i.cents) OVER (PARTITION BY i.order_id) = 0 THEN 1 ELSE i.cents END AS weight
    FROM priced i
    LEFT JOIN paid p ON p.order_id = i.order_id AND p.place = 1
),
totalled AS (
    SELECT w.*, sum(weight) OVER (PARTITION BY order_id) AS whole FROM weighed w
),
shared AS (
    SELECT t.*, share_floor(abs(paid_cents), weight, whole) AS base,
           share_remainder(abs(paid_cents), weight, whole) AS remainder
    FROM totalled t
),
allocated AS (
    SELECT s.*, (base + CASE WHEN row_number() OVER (PARTITION BY order_id
                                                     ORDER BY remainder DESC, order_item_id)
                                  <= abs(paid_cents) - sum(base) OVER (PARTITION BY order_id)
                             THEN 1 ELSE 0 END) * CASE WHEN paid_cents < 0 THEN -1 ELSE 1 END AS paid_share
    FROM shared s
),
reviewed AS (
    SELECT order_id, review_score,
           row_number() OVER (PARTITION BY order_id ORDER BY review_answer_timestamp DESC NULLS LAST,
                              review_creation_date DESC NULLS LAST, review_id DESC) AS place
    FROM order_reviews
)
SELECT surrogate_key(i.order_id) AS order_key, i.order_id AS order_id, i.order_item_id AS order_item_id,
       i.bought_at AS order_date, date_key_of(i.bought_at) AS date_key,
       coalesce(c.customer_key, 0) AS customer_key, coalesce(p.product_key, 0) AS product_key,
       coalesce(s.seller_key, 0) AS seller_key,
       i.status AS order_status, i.payment_type AS payment_type, i.installments AS payment_installments,
       1 AS quantity, i.price AS price, i.freight AS freight_value, i.price + i.freight AS total_amount,
       CAST(i.paid_share AS DECIMAL(18, 0)) * CAST('0.01' AS DECIMAL(3, 2)) AS payment_value_alloc,
       r.review_score AS review_score, i.approved_at AS approved_at,
       i.shipping_limit_at AS shipping_limit_at,
       i.shipped_at AS shipped_at, i.delivered_at AS delivered_at, i.estimated_at AS estimated_at,
       CASE WHEN i.status = 'delivered'
           THEN datediff(DAY, date_of(i.bought_at), date_of(i.delivered_at)) END
           AS delivery_days,
       CASE WHEN i.status = 'delivered'
           THEN datediff(DAY, date_of(i.estimated_at), date_of(i.delivered_at)) END
           AS delay_days,
       CASE WHEN i.shipped_at > i.shipping_limit_at THEN 1 ELSE 0 END AS is_dispatch_late,
       CASE WHEN i.status = 'delivered' AND date_of(i.delivered_at) > date_of(i.estimated_at)
           THEN 1 ELSE 0 END
           AS is_late,
       CASE WHEN i.status = 'delivered' THEN 1 ELSE 0 END AS is_delivered,
       CASE WHEN i.status = 'canceled' THEN 1 ELSE 0 END AS is_canceled
FROM allocated i
LEFT JOIN dim_customers c ON c.customer_unique_id = i.person AND c.valid_from <= i.bought_at
                         AND (c.valid_to > i.bought_at OR c.valid_to IS NULL)
LEFT JOIN dim_products p ON p.product_id = i.product_id AND p.valid_from <= i.bought_at
                        AND (p.valid_to > i.bought_at OR p.valid_to IS NULL)
LEFT JOIN dim_sellers s ON s.seller_id = i.seller_id AND s.valid_from <= i.bought_at
                       AND (s.valid_to > i.bought_at OR s.valid_to IS NULL)
LEFT JOIN reviewed r ON r.order_id = i.order_id AND r.place = 1
