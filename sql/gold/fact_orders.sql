-- One row for each item of an order. Orders without items are in fact_order_lifecycle only.
-- The dimension keys name the version opened last at or before the purchase; 0 while there is none.
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
WITH items AS (
    SELECT o.order_id AS order_id, i.order_item_id AS order_item_id,
           o.order_purchase_timestamp AS bought_at,
           o.order_status AS status, o.order_approved_at AS approved_at,
           o.order_delivered_carrier_date AS shipped_at, o.order_delivered_customer_date AS delivered_at,
           o.order_estimated_delivery_date AS estimated_at, i.shipping_limit_date AS shipping_limit_at,
           i.product_id AS product_id, i.seller_id AS seller_id, c.customer_unique_id AS person,
           i.price AS price, i.freight_value AS freight,
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
paid_ranked AS (
    SELECT order_id, payment_type, CAST(sum(amount) OVER (PARTITION BY order_id) * 100 AS BIGINT) AS cents,
           max(installments) OVER (PARTITION BY order_id) AS installments,
           row_number() OVER (PARTITION BY order_id ORDER BY amount DESC, payment_type) AS place
    FROM paid_by_type
),
paid AS (
    SELECT order_id, payment_type, cents, installments FROM paid_ranked WHERE place = 1
),
-- An order whose items all cost nothing is split evenly.
weighed AS (
    SELECT i.order_id AS order_id, i.order_item_id AS order_item_id,
           coalesce(p.cents, 0) AS paid_cents, coalesce(p.installments, 0) AS installments,
           coalesce(p.payment_type, 'unknown') AS payment_type,
           CASE WHEN sum(i.cents) OVER (PARTITION BY i.order_id) = 0 THEN 1 ELSE i.cents END AS weight
    FROM items i
    LEFT JOIN paid p ON p.order_id = i.order_id
),
totalled AS (
    SELECT order_id, order_item_id, paid_cents, installments, payment_type, weight,
           sum(weight) OVER (PARTITION BY order_id) AS whole
    FROM weighed
),
shared AS (
    SELECT order_id, order_item_id, paid_cents, installments, payment_type,
           share_floor(abs(paid_cents), weight, whole) AS base,
           share_remainder(abs(paid_cents), weight, whole) AS remainder
    FROM totalled
),
allocated AS (
    SELECT order_id, order_item_id, installments, payment_type,
           (base + CASE WHEN row_number() OVER (PARTITION BY order_id
                                                ORDER BY remainder DESC, order_item_id)
                             <= abs(paid_cents) - sum(base) OVER (PARTITION BY order_id)
                        THEN 1 ELSE 0 END) * CASE WHEN paid_cents < 0 THEN -1 ELSE 1 END AS cents
    FROM shared
),
reviewed AS (
    SELECT order_id, review_score,
           row_number() OVER (PARTITION BY order_id ORDER BY review_answer_timestamp DESC NULLS LAST,
                              review_creation_date DESC NULLS LAST, review_id DESC) AS place
    FROM order_reviews
),
bought_by AS (
    SELECT i.order_id AS order_id, d.customer_key AS customer_key,
           row_number() OVER (PARTITION BY i.order_id ORDER BY d.valid_from DESC) AS place
    FROM (SELECT DISTINCT order_id, person, bought_at FROM items) i
    JOIN dim_customers d ON d.customer_unique_id = i.person
    WHERE d.valid_from <= i.bought_at
),
bought_what AS (
    SELECT i.order_id AS order_id, i.order_item_id AS order_item_id, d.product_key AS product_key,
           row_number() OVER (PARTITION BY i.order_id, i.order_item_id ORDER BY d.valid_from DESC) AS place
    FROM items i
    JOIN dim_products d ON d.product_id = i.product_id
    WHERE d.valid_from <= i.bought_at
),
bought_from AS (
    SELECT i.order_id AS order_id, i.order_item_id AS order_item_id, d.seller_key AS seller_key,
           row_number() OVER (PARTITION BY i.order_id, i.order_item_id ORDER BY d.valid_from DESC) AS place
    FROM items i
    JOIN dim_sellers d ON d.seller_id = i.seller_id
    WHERE d.valid_from <= i.bought_at
)
SELECT surrogate_key(i.order_id) AS order_key, i.order_id AS order_id, i.order_item_id AS order_item_id,
       i.bought_at AS order_date, date_key_of(i.bought_at) AS date_key,
       coalesce(c.customer_key, 0) AS customer_key, coalesce(p.product_key, 0) AS product_key,
       coalesce(s.seller_key, 0) AS seller_key,
       i.status AS order_status, a.payment_type AS payment_type, a.installments AS payment_installments,
       1 AS quantity, i.price AS price, i.freight AS freight_value, i.price + i.freight AS total_amount,
       CAST(a.cents AS DECIMAL(18, 0)) * CAST('0.01' AS DECIMAL(3, 2)) AS payment_value_alloc,
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
FROM items i
JOIN allocated a ON a.order_id = i.order_id AND a.order_item_id = i.order_item_id
LEFT JOIN bought_by c ON c.order_id = i.order_id AND c.place = 1
LEFT JOIN bought_what p ON p.order_id = i.order_id AND p.order_item_id = i.order_item_id AND p.place = 1
LEFT JOIN bought_from s ON s.order_id = i.order_id AND s.order_item_id = i.order_item_id AND s.place = 1
LEFT JOIN reviewed r ON r.order_id = i.order_id AND r.place = 1
