-- Delivered orders by month of purchase and by the pair of states (seller to customer). An order with
-- sellers in two states counts once in each pair; orders share one set of dates, so do not blame a seller.
--
-- model: agg_delivery
-- kind: whole
-- key: month, seller_state, customer_state
-- input: fact_orders
-- input: fact_order_lifecycle
-- input: dim_sellers
-- sort: month, seller_state, customer_state
-- columns:
--   month date not null
--   seller_state string not null
--   customer_state string not null
--   orders long not null
--   delivery_seconds long not null
--   approve_seconds long not null
--   handle_seconds long not null
--   transit_seconds long not null
--   staged_orders long not null
--   promise_days long not null
--   on_time_orders long not null
--   late_orders long not null
--   late_days long not null
--   late_over_week long not null
--   freight_value decimal(18,2) not null
--   price decimal(18,2) not null
WITH shipped AS (
    SELECT f.order_id AS order_id, s.state AS seller_state, sum(f.freight_value) AS freight,
           sum(f.price) AS goods
    FROM fact_orders f
    JOIN dim_sellers s ON s.seller_key = f.seller_key
    WHERE f.is_delivered AND f.delivered_at IS NOT NULL
    GROUP BY f.order_id, s.state
),
timed AS (
    SELECT month_of(o.order_date) AS bought_month, x.seller_state AS seller_state,
           o.customer_state AS customer_state, o.delivery_seconds AS took, o.approve_seconds AS approving,
           o.handle_seconds AS handling, o.transit_seconds AS moving, o.promise_days AS promised,
           o.delay_days AS delay, o.is_late AS late, x.freight AS freight, x.goods AS goods,
           CASE WHEN o.approve_seconds IS NOT NULL AND o.handle_seconds IS NOT NULL
                     AND o.transit_seconds IS NOT NULL THEN 1 ELSE 0 END AS staged
    FROM shipped x
    JOIN fact_order_lifecycle o ON o.order_id = x.order_id
)
SELECT bought_month AS month, seller_state, customer_state, count(*) AS orders,
       sum(took) AS delivery_seconds,
       sum(CASE WHEN staged = 1 THEN approving ELSE 0 END) AS approve_seconds,
       sum(CASE WHEN staged = 1 THEN handling ELSE 0 END) AS handle_seconds,
       sum(CASE WHEN staged = 1 THEN moving ELSE 0 END) AS transit_seconds, sum(staged) AS staged_orders,
       sum(promised) AS promise_days, sum(CASE WHEN late THEN 0 ELSE 1 END) AS on_time_orders,
       sum(CASE WHEN late THEN 1 ELSE 0 END) AS late_orders,
       sum(CASE WHEN late THEN delay ELSE 0 END) AS late_days,
       sum(CASE WHEN late AND delay > 7 THEN 1 ELSE 0 END) AS late_over_week,
       sum(freight) AS freight_value, sum(goods) AS price
FROM timed
GROUP BY bought_month, seller_state, customer_state
