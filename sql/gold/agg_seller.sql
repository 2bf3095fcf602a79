-- Sellers, over all time and over the last 90 days of data (counted back from the latest purchase), with
-- what the seller score needs. on_time counts delivered items by date; dispatch_late by shipping limit.
--
-- model: agg_seller
-- kind: whole
-- key: seller_id
-- input: fact_orders
-- input: dim_sellers
-- sort: seller_id
-- columns:
--   seller_id string not null
--   city string not null
--   state string not null
--   items long not null
--   orders long not null
--   total_amount decimal(18,2) not null
--   net decimal(18,2) not null
--   freight_value decimal(18,2) not null
--   delivered_items long not null
--   on_time_items long not null
--   dispatched_items long not null
--   dispatch_late_items long not null
--   review_score_sum long not null
--   reviewed_items long not null
--   orders_90d long not null
--   net_90d decimal(18,2) not null
--   delivered_items_90d long not null
--   on_time_items_90d long not null
--   review_score_sum_90d long not null
--   reviewed_items_90d long not null
--   revenue_rank long not null
--   first_order_date date not null
--   last_order_date date not null
WITH latest AS (
    SELECT max(date_of(order_date)) AS as_of FROM fact_orders
),
sold AS (
    SELECT s.seller_id AS seller, f.order_id AS order_id, date_of(f.order_date) AS bought_on,
           f.total_amount AS amount, f.freight_value AS freight, f.review_score AS score,
           CASE WHEN f.order_status IN ('canceled', 'unavailable') THEN 0 ELSE 1 END AS valid,
           CASE WHEN f.is_delivered AND f.delivered_at IS NOT NULL THEN 1 ELSE 0 END AS delivered,
           CASE WHEN f.is_delivered AND f.delivered_at IS NOT NULL AND NOT f.is_late THEN 1 ELSE 0 END
               AS on_time,
           CASE WHEN f.shipped_at IS NOT NULL THEN 1 ELSE 0 END AS dispatched,
           CASE WHEN f.is_dispatch_late THEN 1 ELSE 0 END AS dispatch_late,
           CASE WHEN datediff(DAY, date_of(f.order_date), l.as_of) < 90 THEN 1 ELSE 0 END AS recent
    FROM fact_orders f
    JOIN dim_sellers s ON s.seller_key = f.seller_key
    CROSS JOIN latest l
),
summed AS (
    SELECT seller, count(*) AS items, count(DISTINCT order_id) AS orders, sum(amount) AS total_amount,
           sum(CASE WHEN valid = 1 THEN amount ELSE 0 END) AS net, sum(freight) AS freight_value,
           sum(delivered) AS delivered_items, sum(on_time) AS on_time_items,
           sum(dispatched) AS dispatched_items, sum(dispatch_late) AS dispatch_late_items,
           sum(coalesce(score, 0)) AS review_score_sum, count(score) AS reviewed_items,
           count(DISTINCT CASE WHEN recent = 1 THEN order_id END) AS orders_90d,
           sum(CASE WHEN recent = 1 AND valid = 1 THEN amount ELSE 0 END) AS net_90d,
           sum(delivered * recent) AS delivered_items_90d, sum(on_time * recent) AS on_time_items_90d,
           sum(coalesce(score, 0) * recent) AS review_score_sum_90d,
           sum(CASE WHEN score IS NULL THEN 0 ELSE recent END) AS reviewed_items_90d,
           min(bought_on) AS first_order_date, max(bought_on) AS last_order_date
    FROM sold
    GROUP BY seller
),
placed AS (
    SELECT seller_id, city, state,
           row_number() OVER (PARTITION BY seller_id ORDER BY valid_from DESC) AS place
    FROM dim_sellers
)
SELECT t.seller AS seller_id, p.city AS city, p.state AS state, t.items AS items, t.orders AS orders,
       t.total_amount AS total_amount, t.net AS net, t.freight_value AS freight_value,
       t.delivered_items AS delivered_items, t.on_time_items AS on_time_items,
       t.dispatched_items AS dispatched_items, t.dispatch_late_items AS dispatch_late_items,
       t.review_score_sum AS review_score_sum, t.reviewed_items AS reviewed_items,
       t.orders_90d AS orders_90d, t.net_90d AS net_90d, t.delivered_items_90d AS delivered_items_90d,
       t.on_time_items_90d AS on_time_items_90d, t.review_score_sum_90d AS review_score_sum_90d,
       t.reviewed_items_90d AS reviewed_items_90d,
       row_number() OVER (ORDER BY t.total_amount DESC, t.seller) AS revenue_rank,
       t.first_order_date AS first_order_date, t.last_order_date AS last_order_date
FROM summed t
JOIN placed p ON p.seller_id = t.seller AND p.place = 1
