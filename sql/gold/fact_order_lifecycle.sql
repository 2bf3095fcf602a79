-- One row for each order, with or without items: its five times, how long each stage took (seconds), its
-- totals. Stages that ran backwards in the source are kept as they are (negative).
--
-- model: fact_order_lifecycle
-- kind: row
-- key: order_id
-- group: order_id
-- input: orders(order_id) = group required
-- input: order_items(order_id) = group
-- input: order_payments(order_id) = group
-- input: order_reviews(order_id) = group
-- input: customers(customer_id) = orders.customer_id
-- input: dim_customers(customer_unique_id) = customers.customer_unique_id since valid_from, valid_to <= orders.order_purchase_timestamp
-- sort: order_date, order_id
-- columns:
--   order_key long not null
--   order_id string not null
--   order_date timestamp not null
--   date_key integer not null
--   customer_key long not null
--   customer_unique_id string not null
--   customer_state string not null
--   order_status string not null
--   approved_at timestamp
--   shipped_at timestamp
--   delivered_at timestamp
--   estimated_at timestamp not null
--   approve_seconds long
--   handle_seconds long
--   transit_seconds long
--   delivery_seconds long
--   delivery_days integer
--   promise_days integer not null
--   delay_days integer
--   is_late boolean not null
--   is_delivered boolean not null
--   is_canceled boolean not null
--   is_valid boolean not null
--   is_open boolean not null
--   items integer not null
--   products integer not null
--   sellers integer not null
--   price decimal(12,2) not null
--   freight_value decimal(12,2) not null
--   total_amount decimal(12,2) not null
--   payment_value decimal(12,2) not null
--   payments integer not null
--   review_score integer
--   reviews integer not null
WITH bought AS (
    SELECT o.order_id AS order_id, o.order_status AS status, o.order_purchase_timestamp AS bought_at,
           o.order_approved_at AS approved_at, o.order_delivered_carrier_date AS shipped_at,
           o.order_delivered_customer_date AS delivered_at, o.order_estimated_delivery_date AS estimated_at,
           c.customer_unique_id AS person, c.customer_state AS state
    FROM orders o
    LEFT JOIN customers c ON c.customer_id = o.customer_id
),
item_totals AS (
    SELECT order_id, count(*) AS items, count(DISTINCT product_id) AS products,
           count(DISTINCT seller_id) AS sellers, sum(price) AS price, sum(freight_value) AS freight
    FROM order_items
    GROUP BY order_id
),
payment_totals AS (
    SELECT order_id, count(*) AS payments, sum(payment_value) AS amount
    FROM order_payments
    GROUP BY order_id
),
reviewed AS (
    SELECT order_id, review_score, count(*) OVER (PARTITION BY order_id) AS reviews,
           row_number() OVER (PARTITION BY order_id ORDER BY review_answer_timestamp DESC NULLS LAST,
                              review_creation_date DESC NULLS LAST, review_id DESC) AS place
    FROM order_reviews
)
SELECT surrogate_key(b.order_id) AS order_key, b.order_id AS order_id, b.bought_at AS order_date,
       date_key_of(b.bought_at) AS date_key, coalesce(c.customer_key, 0) AS customer_key,
       coalesce(b.person, 'unknown') AS customer_unique_id, coalesce(b.state, 'unknown') AS customer_state,
       b.status AS order_status, b.approved_at AS approved_at, b.shipped_at AS shipped_at,
       b.delivered_at AS delivered_at, b.estimated_at AS estimated_at,
       seconds_between(b.bought_at, b.approved_at) AS approve_seconds,
       seconds_between(b.approved_at, b.shipped_at) AS handle_seconds,
       seconds_between(b.shipped_at, b.delivered_at) AS transit_seconds,
       CASE WHEN b.status = 'delivered' THEN seconds_between(b.bought_at, b.delivered_at) END
           AS delivery_seconds,
       CASE WHEN b.status = 'delivered'
           THEN datediff(DAY, date_of(b.bought_at), date_of(b.delivered_at)) END
           AS delivery_days,
       datediff(DAY, date_of(b.bought_at), date_of(b.estimated_at)) AS promise_days,
       CASE WHEN b.status = 'delivered'
           THEN datediff(DAY, date_of(b.estimated_at), date_of(b.delivered_at)) END
           AS delay_days,
       CASE WHEN b.status = 'delivered' AND date_of(b.delivered_at) > date_of(b.estimated_at)
           THEN 1 ELSE 0 END
           AS is_late,
       CASE WHEN b.status = 'delivered' THEN 1 ELSE 0 END AS is_delivered,
       CASE WHEN b.status = 'canceled' THEN 1 ELSE 0 END AS is_canceled,
       CASE WHEN b.status IN ('canceled', 'unavailable') THEN 0 ELSE 1 END AS is_valid,
       CASE WHEN b.status IN ('delivered', 'canceled', 'unavailable') THEN 0 ELSE 1 END AS is_open,
       coalesce(i.items, 0) AS items, coalesce(i.products, 0) AS products,
       coalesce(i.sellers, 0) AS sellers,
       coalesce(i.price, 0) AS price, coalesce(i.freight, 0) AS freight_value,
       coalesce(i.price, 0) + coalesce(i.freight, 0) AS total_amount,
       coalesce(p.amount, 0) AS payment_value, coalesce(p.payments, 0) AS payments,
       r.review_score AS review_score, coalesce(r.reviews, 0) AS reviews
FROM bought b
LEFT JOIN item_totals i ON i.order_id = b.order_id
LEFT JOIN payment_totals p ON p.order_id = b.order_id
LEFT JOIN reviewed r ON r.order_id = b.order_id AND r.place = 1
LEFT JOIN dim_customers c ON c.customer_unique_id = b.person AND c.valid_from <= b.bought_at
                         AND (c.valid_to > b.bought_at OR c.valid_to IS NULL)
