-- The newest orders that have items, newest first.
SELECT l.order_id AS order_id, toString(l.order_date) AS order_date, l.customer_state AS state, c.city AS city,
       l.order_status AS status, l.total_amount AS total_amount, i.category_en AS category_en,
       i.category_vi AS category_vi, i.payment_type AS payment_type,
       i.payment_installments AS payment_installments
  FROM (SELECT * FROM fact_order_lifecycle WHERE items > 0 ORDER BY order_date DESC, order_id LIMIT 12) l
  LEFT JOIN dim_customers c ON l.customer_key = c.customer_key
  LEFT JOIN (SELECT f.order_id AS order_id, any(p.category_en) AS category_en, any(p.category_vi) AS category_vi,
                    any(f.payment_type) AS payment_type, any(f.payment_installments) AS payment_installments
               FROM fact_orders f JOIN dim_products p ON f.product_key = p.product_key
              WHERE f.order_date >= (SELECT min(order_date) FROM (SELECT order_date FROM fact_order_lifecycle
                                      WHERE items > 0 ORDER BY order_date DESC LIMIT 12))
              GROUP BY f.order_id) i ON l.order_id = i.order_id
 ORDER BY l.order_date DESC, l.order_id
