-- Items by day, the customer's state, category and status. orders counts distinct orders within the cell:
-- it does not add up over categories.
--
-- model: agg_daily
-- kind: whole
-- key: date, state, category, status
-- input: fact_orders
-- input: dim_customers
-- input: dim_products
-- sort: date, state, category, status
-- columns:
--   date date not null
--   state string not null
--   category string not null
--   status string not null
--   items long not null
--   orders long not null
--   price decimal(18,2) not null
--   freight_value decimal(18,2) not null
--   total_amount decimal(18,2) not null
--   delivered_items long not null
--   late_items long not null
SELECT date_of(f.order_date) AS date, coalesce(c.state, 'unknown') AS state,
       coalesce(p.category, 'unknown') AS category, f.order_status AS status,
       count(*) AS items, count(DISTINCT f.order_id) AS orders, sum(f.price) AS price,
       sum(f.freight_value) AS freight_value, sum(f.total_amount) AS total_amount,
       sum(CASE WHEN f.is_delivered THEN 1 ELSE 0 END) AS delivered_items,
       sum(CASE WHEN f.is_late THEN 1 ELSE 0 END) AS late_items
FROM fact_orders f
LEFT JOIN dim_customers c ON c.customer_key = f.customer_key
LEFT JOIN dim_products p ON p.product_key = f.product_key
GROUP BY date_of(f.order_date), coalesce(c.state, 'unknown'), coalesce(p.category, 'unknown'),
         f.order_status
