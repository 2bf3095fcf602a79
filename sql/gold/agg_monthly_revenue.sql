-- One row for each month of purchase that has an order. gross: all items; net: without canceled and
-- unavailable orders; recognised: delivered; cash: payments (never equal to gross). A person is new in the
-- month of the first valid order. is_complete is false for the month of the latest purchase: compare no
-- other month with it.
--
-- model: agg_monthly_revenue
-- kind: whole
-- key: month
-- input: fact_order_lifecycle
-- sort: month
-- columns:
--   month date not null
--   orders long not null
--   orders_with_items long not null
--   valid_orders long not null
--   delivered_orders long not null
--   canceled_orders long not null
--   unavailable_orders long not null
--   items long not null
--   customers long not null
--   new_customers long not null
--   price decimal(18,2) not null
--   freight_value decimal(18,2) not null
--   gross decimal(18,2) not null
--   net decimal(18,2) not null
--   recognised decimal(18,2) not null
--   cash decimal(18,2) not null
--   paid_orders long not null
--   net_new decimal(18,2) not null
--   net_returning decimal(18,2) not null
--   is_complete boolean not null
WITH bought AS (
    SELECT f.*, month_of(order_date) AS bought_month,
           min(CASE WHEN is_valid THEN order_date END) OVER (PARTITION BY customer_unique_id)
               AS first_valid_at
    FROM fact_order_lifecycle f
),
latest AS (
    SELECT max(month_of(order_date)) AS last_month FROM fact_order_lifecycle
),
monthly AS (
    SELECT bought_month, count(*) AS orders,
           sum(CASE WHEN items > 0 THEN 1 ELSE 0 END) AS orders_with_items,
           sum(CASE WHEN is_valid THEN 1 ELSE 0 END) AS valid_orders,
           sum(CASE WHEN is_delivered THEN 1 ELSE 0 END) AS delivered_orders,
           sum(CASE WHEN is_canceled THEN 1 ELSE 0 END) AS canceled_orders,
           sum(CASE WHEN order_status = 'unavailable' THEN 1 ELSE 0 END) AS unavailable_orders,
           sum(items) AS item_count, count(DISTINCT customer_unique_id) AS customers,
           count(DISTINCT CASE WHEN is_valid AND month_of(first_valid_at) = bought_month
                               THEN customer_unique_id END) AS new_customers,
           sum(price) AS goods, sum(freight_value) AS freight, sum(total_amount) AS gross,
           sum(CASE WHEN is_valid THEN total_amount ELSE 0 END) AS net,
           sum(CASE WHEN is_delivered THEN total_amount ELSE 0 END) AS recognised,
           sum(payment_value) AS cash, sum(CASE WHEN payment_value > 0 THEN 1 ELSE 0 END) AS paid_orders,
           sum(CASE WHEN is_valid AND month_of(first_valid_at) = bought_month THEN total_amount ELSE 0 END)
               AS net_new,
           sum(CASE WHEN is_valid AND month_of(first_valid_at) < bought_month THEN total_amount ELSE 0 END)
               AS net_returning
    FROM bought
    GROUP BY bought_month
)
SELECT m.bought_month AS month, m.orders AS orders, m.orders_with_items AS orders_with_items,
       m.valid_orders AS valid_orders, m.delivered_orders AS delivered_orders,
       m.canceled_orders AS canceled_orders, m.unavailable_orders AS unavailable_orders,
       m.item_count AS items, m.customers AS customers, m.new_customers AS new_customers,
       m.goods AS price, m.freight AS freight_value, m.gross AS gross, m.net AS net,
       m.recognised AS recognised, m.cash AS cash, m.paid_orders AS paid_orders, m.net_new AS net_new,
       m.net_returning AS net_returning,
       CASE WHEN m.bought_month < l.last_month THEN 1 ELSE 0 END AS is_complete
FROM monthly m CROSS JOIN latest l
