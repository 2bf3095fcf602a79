SELECT category_en, any(category_vi) AS category_vi, sum(total_amount) AS revenue, uniqExact(order_id) AS orders
  FROM base GROUP BY category_en ORDER BY revenue DESC, category_en LIMIT 10
