-- Order payments. payment_sequential may begin at 2 or skip a number, a value may be 0, and payments need
-- not add up to the items (trap 8): all of that is kept.
-- Quarantined: an amount that is negative or does not fit, a kind of payment that is none of the five,
-- fewer than 0 instalments.
--
-- model: order_payments
-- key: order_id, payment_sequential
-- source: order_id, payment_sequential, payment_type, payment_installments, payment_value
-- columns:
--   order_id string not null
--   payment_sequential integer not null
--   payment_type string not null
--   payment_installments integer not null
--   payment_value decimal(10,2) not null
SELECT r._seq AS _seq, r._extra AS _extra,
       r.order_id AS order_id,
       r.payment_sequential AS payment_sequential,
       r.payment_type AS payment_type,
       r.payment_installments AS payment_installments,
       r.payment_value AS payment_value,
       coalesce(
           broken('payment_type', r.payment_type,
                  r.payment_type NOT IN ('credit_card', 'boleto', 'voucher', 'debit_card', 'not_defined'),
                  'is not a kind of payment'),
           broken('payment_installments', r.payment_installments, r.payment_installments LIKE '-%',
                  'is negative'),
           broken('payment_value', r.payment_value, r.payment_value LIKE '-%', 'is negative')) AS _error
FROM raw r
