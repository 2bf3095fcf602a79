SELECT category, any(category_en) AS category_en, any(category_vi) AS category_vi,
       sum(total_amount) AS revenue, uniqExact(order_id) AS orders
  FROM base WHERE in_state GROUP BY category ORDER BY revenue DESC, category LIMIT 100
