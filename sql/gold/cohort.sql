-- Cohorts by the month of a person's first valid order; month_offset k is k months later.
--
-- model: cohort
-- kind: whole
-- key: cohort_month, month_offset
-- input: fact_order_lifecycle
-- sort: cohort_month, month_offset
-- columns:
--   cohort_month date not null
--   month_offset integer not null
--   cohort_size long not null
--   persons long not null
--   orders long not null
--   total_amount decimal(18,2) not null
WITH bought AS (
    SELECT customer_unique_id AS person, month_of(order_date) AS bought_month, total_amount AS amount,
           min(month_of(order_date)) OVER (PARTITION BY customer_unique_id) AS first_month
    FROM fact_order_lifecycle
    WHERE is_valid
),
sizes AS (
    SELECT first_month, count(DISTINCT person) AS size FROM bought GROUP BY first_month
),
later AS (
    SELECT first_month,
           (year(bought_month) - year(first_month)) * 12 + month(bought_month) - month(first_month)
               AS offset_months,
           count(DISTINCT person) AS persons, count(*) AS orders, sum(amount) AS total
    FROM bought
    GROUP BY first_month,
             (year(bought_month) - year(first_month)) * 12 + month(bought_month) - month(first_month)
)
SELECT l.first_month AS cohort_month, l.offset_months AS month_offset, s.size AS cohort_size,
       l.persons AS persons, l.orders AS orders, l.total AS total_amount
FROM later l
JOIN sizes s ON s.first_month = l.first_month
