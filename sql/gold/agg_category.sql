-- Categories by gross revenue, with what a Pareto chart needs. orders counts distinct orders.
--
-- model: agg_category
-- kind: whole
-- key: category
-- input: fact_orders
-- input: dim_products
-- sort: category
-- columns:
--   category string not null
--   category_en string not null
--   category_pt string not null
--   category_vi string not null
--   items long not null
--   orders long not null
--   products long not null
--   price decimal(18,2) not null
--   freight_value decimal(18,2) not null
--   total_amount decimal(18,2) not null
--   net decimal(18,2) not null
--   weight_g long not null
--   review_score_sum long not null
--   reviewed_items long not null
--   revenue_rank long not null
--   revenue_running decimal(18,2) not null
--   revenue_all decimal(18,2) not null
WITH sold AS (
    SELECT coalesce(p.category, 'unknown') AS category, coalesce(p.category_en, 'Unknown') AS category_en,
           coalesce(p.category_pt, 'Desconhecida') AS category_pt,
           coalesce(p.category_vi, 'Chưa rõ') AS category_vi,
           f.order_id AS order_id, p.product_id AS product_id, f.price AS price, f.freight_value AS freight,
           f.total_amount AS amount, coalesce(p.weight_g, 0) AS weight, f.review_score AS score,
           CASE WHEN f.order_status IN ('canceled', 'unavailable') THEN 0 ELSE 1 END AS valid
    FROM fact_orders f
    LEFT JOIN dim_products p ON p.product_key = f.product_key
),
summed AS (
    SELECT category, max(category_en) AS name_en, max(category_pt) AS name_pt, max(category_vi) AS name_vi,
           count(*) AS items, count(DISTINCT order_id) AS orders, count(DISTINCT product_id) AS products,
           sum(price) AS goods, sum(freight) AS freight_value, sum(amount) AS total_amount,
           sum(CASE WHEN valid = 1 THEN amount ELSE 0 END) AS net, sum(weight) AS weight_g,
           sum(coalesce(score, 0)) AS review_score_sum, count(score) AS reviewed_items
    FROM sold
    GROUP BY category
)
SELECT category, name_en AS category_en, name_pt AS category_pt, name_vi AS category_vi, items, orders,
       products, goods AS price, freight_value, total_amount, net, weight_g, review_score_sum,
       reviewed_items,
       row_number() OVER (ORDER BY total_amount DESC, category) AS revenue_rank,
       sum(total_amount) OVER (ORDER BY total_amount DESC, category
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS revenue_running,
       sum(total_amount) OVER () AS revenue_all
FROM summed
