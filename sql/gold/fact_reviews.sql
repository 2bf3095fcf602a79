-- One row for each review of an order. is_current marks the order's latest answer (then creation, then
-- id). sentiment is the score's bucket; topic comes from a Portuguese word list over title and message,
-- NULL without text.
--
-- model: fact_reviews
-- kind: row
-- key: review_id, order_id
-- group: order_id
-- input: order_reviews(order_id) = group required
-- input: orders(order_id) = group
-- input: customers(customer_id) = orders.customer_id
-- input: dim_customers(customer_unique_id) = customers.customer_unique_id since valid_from, valid_to <= orders.order_purchase_timestamp
-- sort: created_at, review_id, order_id
-- columns:
--   review_key long not null
--   review_id string not null
--   order_id string not null
--   order_key long not null
--   order_date timestamp not null
--   created_at timestamp not null
--   answered_at timestamp
--   date_key integer not null
--   customer_key long not null
--   order_status string not null
--   review_score integer not null
--   sentiment string not null
--   topic string
--   comment_title string
--   comment_message string
--   response_seconds long
--   is_late boolean not null
--   is_current boolean not null
WITH bought AS (
    SELECT o.order_id AS order_id, o.order_status AS status, o.order_purchase_timestamp AS bought_at,
           CASE WHEN o.order_status = 'delivered'
                     AND date_of(o.order_delivered_customer_date) > date_of(o.order_estimated_delivery_date)
                THEN 1 ELSE 0 END AS is_late,
           c.customer_unique_id AS person
    FROM orders o
    LEFT JOIN customers c ON c.customer_id = o.customer_id
),
worded AS (
    SELECT r.*, trim(concat(coalesce(review_comment_title, ''), ' ', coalesce(review_comment_message, '')))
                AS words,
           row_number() OVER (PARTITION BY order_id ORDER BY review_answer_timestamp DESC NULLS LAST,
                              review_creation_date DESC NULLS LAST, review_id DESC) AS place
    FROM order_reviews r
),
lowered AS (
    SELECT w.*, text_lower(words) AS low FROM worded w
)
SELECT surrogate_key(concat(r.review_id, '|', r.order_id)) AS review_key, r.review_id AS review_id,
       r.order_id AS order_id, surrogate_key(r.order_id) AS order_key, b.bought_at AS order_date,
       coalesce(r.review_creation_date, b.bought_at) AS created_at,
       r.review_answer_timestamp AS answered_at,
       date_key_of(coalesce(r.review_creation_date, b.bought_at)) AS date_key,
       coalesce(c.customer_key, 0) AS customer_key,
       b.status AS order_status, r.review_score AS review_score,
       CASE WHEN r.review_score >= 4 THEN 'positive' WHEN r.review_score = 3 THEN 'neutral'
            ELSE 'negative' END AS sentiment,
       CASE WHEN r.low = '' THEN NULL
            WHEN r.low LIKE '%não recebi%' OR r.low LIKE '%nao recebi%' OR r.low LIKE '%não chegou%'
                 OR r.low LIKE '%nao chegou%' OR r.low LIKE '%não foi entregue%'
                 OR r.low LIKE '%nao foi entregue%' THEN 'not_received'
            WHEN r.low LIKE '%defeito%' OR r.low LIKE '%quebrad%' OR r.low LIKE '%danificad%'
                 OR r.low LIKE '%não funciona%' OR r.low LIKE '%nao funciona%' THEN 'defective'
            WHEN r.low LIKE '%errado%' OR r.low LIKE '%errada%' OR r.low LIKE '%trocad%'
                 OR r.low LIKE '%diferente%' OR r.low LIKE '%faltando%' THEN 'wrong_item'
            WHEN r.low LIKE '%atras%' OR r.low LIKE '%demor%' OR r.low LIKE '%fora do prazo%' THEN 'delay'
            WHEN r.low LIKE '%antes do prazo%' OR r.low LIKE '%rápid%' OR r.low LIKE '%rapid%'
                 THEN 'fast_delivery'
            WHEN r.low LIKE '%recomendo%' OR r.low LIKE '%excelente%' OR r.low LIKE '%ótim%'
                 OR r.low LIKE '%otim%' OR r.low LIKE '%perfeit%' OR r.low LIKE '%adorei%' THEN 'praise'
            ELSE 'other' END AS topic,
       nullif(r.review_comment_title, '') AS comment_title,
       nullif(r.review_comment_message, '') AS comment_message,
       seconds_between(r.review_creation_date, r.review_answer_timestamp) AS response_seconds,
       b.is_late AS is_late, CASE WHEN r.place = 1 THEN 1 ELSE 0 END AS is_current
FROM lowered r
JOIN bought b ON b.order_id = r.order_id
LEFT JOIN dim_customers c ON c.customer_unique_id = b.person AND c.valid_from <= b.bought_at
                         AND (c.valid_to > b.bought_at OR c.valid_to IS NULL)
