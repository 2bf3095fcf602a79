-- An order has one day, so orders and shares of longer periods are sums of these.
SELECT day, sum(total_amount) AS revenue, uniqExact(order_id) AS orders, count() AS items,
       uniqExactIf(order_id, is_eligible) AS eligible,
       uniqExactIf(order_id, is_eligible AND NOT is_late) AS on_time
  FROM base WHERE in_state AND in_category GROUP BY day ORDER BY day
