-- The rows that all panels of a page count: items of orders in the period with the status asked for.
-- Parameters: from, to (dates, both inclusive); state, category, status ('' means all).
-- in_state, in_category: a panel that offers a filter (the map, the categories) goes on showing its other
-- values, so each panel leaves its own filter out.
SELECT f.order_id AS order_id, toDate(f.order_date) AS day, f.total_amount AS total_amount,
       p.category AS category, p.category_en AS category_en, p.category_vi AS category_vi,
       l.customer_state AS state, l.is_late AS is_late,
       l.is_delivered AND l.delivered_at IS NOT NULL AS is_eligible,
       {state:String} = '' OR l.customer_state = {state:String} AS in_state,
       {category:String} = '' OR p.category = {category:String} AS in_category
  FROM fact_orders f
  JOIN dim_products p ON f.product_key = p.product_key
  JOIN fact_order_lifecycle l ON f.order_id = l.order_id
 WHERE f.order_date >= toDateTime64({from:Date}, 6, 'UTC')
   AND f.order_date < toDateTime64({to:Date} + 1, 6, 'UTC')
   AND l.order_date >= toDateTime64({from:Date}, 6, 'UTC')
   AND l.order_date < toDateTime64({to:Date} + 1, 6, 'UTC')
   AND ({status:String} = '' OR f.order_status = {status:String})
