SELECT state, sum(total_amount) AS revenue, uniqExact(order_id) AS orders,
       uniqExactIf(order_id, is_eligible) AS eligible,
       uniqExactIf(order_id, is_eligible AND NOT is_late) AS on_time
  FROM base WHERE in_category GROUP BY state ORDER BY state
