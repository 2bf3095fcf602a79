-- Payments by month of purchase and type. card_installments and card_payments leave out the rows without
-- any instalment; their quotient is the mean number of instalments.
--
-- model: agg_payment_mix
-- kind: whole
-- key: month, payment_type
-- input: fact_payments
-- sort: month, payment_type
-- columns:
--   month date not null
--   payment_type string not null
--   payments long not null
--   orders long not null
--   payment_value decimal(18,2) not null
--   installment_payments long not null
--   installment_value decimal(18,2) not null
--   card_installments long not null
--   card_payments long not null
SELECT month_of(order_date) AS month, payment_type, count(*) AS payments,
       count(DISTINCT order_id) AS orders,
       sum(payment_value) AS payment_value,
       sum(CASE WHEN payment_installments > 1 THEN 1 ELSE 0 END) AS installment_payments,
       sum(CASE WHEN payment_installments > 1 THEN f.payment_value ELSE 0 END) AS installment_value,
       sum(CASE WHEN payment_type = 'credit_card' THEN payment_installments ELSE 0 END)
           AS card_installments,
       sum(CASE WHEN payment_type = 'credit_card' AND payment_installments > 0 THEN 1 ELSE 0 END)
           AS card_payments
FROM fact_payments f
GROUP BY month_of(order_date), payment_type
