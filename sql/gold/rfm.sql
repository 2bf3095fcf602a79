-- Persons with at least one valid order, as of the latest purchase in the data. Recency and money in
-- quintiles by rank (equal values share a quintile); frequency in the buckets 1, 2 and 3 or more, because
-- 97 % of all persons have one order.
--
-- model: rfm
-- kind: whole
-- key: customer_unique_id
-- input: fact_order_lifecycle
-- sort: customer_unique_id
-- columns:
--   customer_unique_id string not null
--   first_order_date date not null
--   last_order_date date not null
--   recency_days integer not null
--   frequency long not null
--   monetary decimal(18,2) not null
--   r_score integer not null
--   f_bucket integer not null
--   m_score integer not null
--   segment string not null
WITH latest AS (
    SELECT max(date_of(order_date)) AS as_of FROM fact_order_lifecycle
),
persons AS (
    SELECT customer_unique_id AS person, min(date_of(order_date)) AS first_on,
           max(date_of(order_date)) AS last_on,
           count(*) AS frequency, sum(total_amount) AS monetary
    FROM fact_order_lifecycle
    WHERE is_valid
    GROUP BY customer_unique_id
),
ranked AS (
    SELECT person, first_on, last_on, frequency, monetary,
           rank() OVER (ORDER BY last_on) AS recency_rank, rank() OVER (ORDER BY monetary) AS money_rank,
           count(*) OVER () AS persons
    FROM persons
),
scored AS (
    SELECT r.*, CAST(floor((recency_rank - 1) * 5 / persons) AS INT) + 1 AS r_score,
           CAST(floor((money_rank - 1) * 5 / persons) AS INT) + 1 AS m_score
    FROM ranked r
)
SELECT s.person AS customer_unique_id, s.first_on AS first_order_date, s.last_on AS last_order_date,
       datediff(DAY, s.last_on, l.as_of) AS recency_days, s.frequency AS frequency, s.monetary AS monetary,
       s.r_score AS r_score, least(s.frequency, 3) AS f_bucket, s.m_score AS m_score,
       CASE WHEN s.frequency >= 2 AND s.r_score >= 4 AND s.m_score >= 4 THEN 'champions'
            WHEN s.frequency >= 2 AND s.r_score >= 3 THEN 'loyal'
            WHEN s.frequency >= 2 AND s.r_score <= 2 THEN 'at_risk'
            WHEN s.m_score = 5 THEN 'big_spender'
            WHEN s.r_score = 5 THEN 'new'
            WHEN s.r_score = 1 THEN 'lost'
            ELSE 'regular' END AS segment
FROM scored s CROSS JOIN latest l
