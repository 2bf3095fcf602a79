SELECT toStartOfMonth(day) AS month, sum(total_amount) AS revenue, uniqExact(order_id) AS orders
  FROM base GROUP BY month ORDER BY month
