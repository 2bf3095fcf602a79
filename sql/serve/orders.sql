-- The newest orders behind the figures.
SELECT order_id, toString(any(order_date)) AS order_date, any(state) AS state, any(status) AS status,
       sum(total_amount) AS total_amount, count() AS items, any(is_late) AS is_late
  FROM (SELECT b.order_id AS order_id, b.state AS state, b.total_amount AS total_amount, b.is_late AS is_late,
               o.order_date AS order_date, o.order_status AS status
          FROM base b JOIN fact_order_lifecycle o ON b.order_id = o.order_id
         WHERE b.in_state AND b.in_category)
 GROUP BY order_id ORDER BY order_date DESC, order_id LIMIT 100
