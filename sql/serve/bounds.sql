SELECT toString(toDate(min(order_date))) AS first_day, toString(toDate(max(order_date))) AS last_day,
       count() AS orders FROM fact_order_lifecycle
