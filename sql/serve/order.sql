SELECT l.order_id AS order_id, l.order_status AS status, l.customer_state AS state,
       toString(l.order_date) AS order_date, toString(l.approved_at) AS approved_at,
       toString(l.shipped_at) AS shipped_at, toString(l.delivered_at) AS delivered_at,
       toString(toDate(l.estimated_at)) AS estimated_at, l.is_late AS is_late, l.items AS items,
       l.price AS price, l.freight_value AS freight_value, l.total_amount AS total_amount,
       l.payment_value AS payment_value, l.review_score AS review_score
  FROM fact_order_lifecycle l WHERE l.order_id = {order:String}
