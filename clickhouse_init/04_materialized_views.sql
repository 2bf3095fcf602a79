-- Aggregates and KPI views.
--
-- The aggregates are materialised by gold's whole models and loaded like the facts. They are not
-- SummingMergeTree views over the facts: facts receive updates, and such a view would count every version
-- of a row again. The views kpi_* below them divide and rank; they hold nothing and are always as new as
-- what they read.

CREATE TABLE IF NOT EXISTS agg_daily_store
(
    date            Date32,
    state           String,
    category        String,
    status          String,
    items           Int64,
    orders          Int64,
    price           Decimal(18, 2),
    freight_value   Decimal(18, 2),
    total_amount    Decimal(18, 2),
    delivered_items Int64,
    late_items      Int64,
    _version        UInt64,
    _deleted        UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (date, state, category, status)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW agg_daily AS
SELECT date, state, category, status, items, orders, price, freight_value, total_amount,
       delivered_items, late_items
FROM agg_daily_store FINAL;

CREATE TABLE IF NOT EXISTS agg_monthly_revenue_store
(
    month              Date32,
    orders             Int64,
    orders_with_items  Int64,
    valid_orders       Int64,
    delivered_orders   Int64,
    canceled_orders    Int64,
    unavailable_orders Int64,
    items              Int64,
    customers          Int64,
    new_customers      Int64,
    price              Decimal(18, 2),
    freight_value      Decimal(18, 2),
    gross              Decimal(18, 2),
    net                Decimal(18, 2),
    recognised         Decimal(18, 2),
    cash               Decimal(18, 2),
    paid_orders        Int64,
    net_new            Decimal(18, 2),
    net_returning      Decimal(18, 2),
    is_complete        Bool,
    _version           UInt64,
    _deleted           UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY month
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW agg_monthly_revenue AS
SELECT month, orders, orders_with_items, valid_orders, delivered_orders, canceled_orders,
       unavailable_orders, items, customers, new_customers, price, freight_value, gross, net,
       recognised, cash, paid_orders, net_new, net_returning, is_complete
FROM agg_monthly_revenue_store FINAL;

CREATE TABLE IF NOT EXISTS agg_category_store
(
    category         String,
    category_en      String,
    category_pt      String,
    category_vi      String,
    items            Int64,
    orders           Int64,
    products         Int64,
    price            Decimal(18, 2),
    freight_value    Decimal(18, 2),
    total_amount     Decimal(18, 2),
    net              Decimal(18, 2),
    weight_g         Int64,
    review_score_sum Int64,
    reviewed_items   Int64,
    revenue_rank     Int64,
    revenue_running  Decimal(18, 2),
    revenue_all      Decimal(18, 2),
    _version         UInt64,
    _deleted         UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY category
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW agg_category AS
SELECT category, category_en, category_pt, category_vi, items, orders, products, price, freight_value,
       total_amount, net, weight_g, review_score_sum, reviewed_items, revenue_rank, revenue_running,
       revenue_all
FROM agg_category_store FINAL;

CREATE TABLE IF NOT EXISTS agg_seller_store
(
    seller_id            String,
    city                 String,
    state                String,
    items                Int64,
    orders               Int64,
    total_amount         Decimal(18, 2),
    net                  Decimal(18, 2),
    freight_value        Decimal(18, 2),
    delivered_items      Int64,
    on_time_items        Int64,
    dispatched_items     Int64,
    dispatch_late_items  Int64,
    review_score_sum     Int64,
    reviewed_items       Int64,
    orders_90d           Int64,
    net_90d              Decimal(18, 2),
    delivered_items_90d  Int64,
    on_time_items_90d    Int64,
    review_score_sum_90d Int64,
    reviewed_items_90d   Int64,
    revenue_rank         Int64,
    first_order_date     Date32,
    last_order_date      Date32,
    _version             UInt64,
    _deleted             UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY seller_id
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW agg_seller AS
SELECT seller_id, city, state, items, orders, total_amount, net, freight_value, delivered_items,
       on_time_items, dispatched_items, dispatch_late_items, review_score_sum, reviewed_items,
       orders_90d, net_90d, delivered_items_90d, on_time_items_90d, review_score_sum_90d,
       reviewed_items_90d, revenue_rank, first_order_date, last_order_date
FROM agg_seller_store FINAL;

CREATE TABLE IF NOT EXISTS agg_delivery_store
(
    month            Date32,
    seller_state     String,
    customer_state   String,
    orders           Int64,
    delivery_seconds Int64,
    approve_seconds  Int64,
    handle_seconds   Int64,
    transit_seconds  Int64,
    staged_orders    Int64,
    promise_days     Int64,
    on_time_orders   Int64,
    late_orders      Int64,
    late_days        Int64,
    late_over_week   Int64,
    freight_value    Decimal(18, 2),
    price            Decimal(18, 2),
    _version         UInt64,
    _deleted         UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (month, seller_state, customer_state)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW agg_delivery AS
SELECT month, seller_state, customer_state, orders, delivery_seconds, approve_seconds, handle_seconds,
       transit_seconds, staged_orders, promise_days, on_time_orders, late_orders, late_days,
       late_over_week, freight_value, price
FROM agg_delivery_store FINAL;

CREATE TABLE IF NOT EXISTS agg_payment_mix_store
(
    month                Date32,
    payment_type         String,
    payments             Int64,
    orders               Int64,
    payment_value        Decimal(18, 2),
    installment_payments Int64,
    installment_value    Decimal(18, 2),
    card_installments    Int64,
    card_payments        Int64,
    _version             UInt64,
    _deleted             UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (month, payment_type)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW agg_payment_mix AS
SELECT month, payment_type, payments, orders, payment_value, installment_payments, installment_value,
       card_installments, card_payments
FROM agg_payment_mix_store FINAL;

CREATE TABLE IF NOT EXISTS agg_review_store
(
    month            Date32,
    review_score     Int32,
    topic            String,
    sentiment        String,
    reviews          Int64,
    current_reviews  Int64,
    with_text        Int64,
    late_orders      Int64,
    response_seconds Int64,
    answered         Int64,
    _version         UInt64,
    _deleted         UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (month, review_score, topic)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW agg_review AS
SELECT month, review_score, topic, sentiment, reviews, current_reviews, with_text, late_orders,
       response_seconds, answered
FROM agg_review_store FINAL;

CREATE TABLE IF NOT EXISTS rfm_store
(
    customer_unique_id String,
    first_order_date   Date32,
    last_order_date    Date32,
    recency_days       Int32,
    frequency          Int64,
    monetary           Decimal(18, 2),
    r_score            Int32,
    f_bucket           Int32,
    m_score            Int32,
    segment            String,
    _version           UInt64,
    _deleted           UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY customer_unique_id
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW rfm AS
SELECT customer_unique_id, first_order_date, last_order_date, recency_days, frequency, monetary,
       r_score, f_bucket, m_score, segment
FROM rfm_store FINAL;

CREATE TABLE IF NOT EXISTS cohort_store
(
    cohort_month Date32,
    month_offset Int32,
    cohort_size  Int64,
    persons      Int64,
    orders       Int64,
    total_amount Decimal(18, 2),
    _version     UInt64,
    _deleted     UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (cohort_month, month_offset)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW cohort AS
SELECT cohort_month, month_offset, cohort_size, persons, orders, total_amount
FROM cohort_store FINAL;

-- Orders of each day, from the facts themselves (live). Net is without canceled and unavailable orders.
CREATE OR REPLACE VIEW kpi_daily AS
SELECT toDate(order_date) AS date, count() AS orders, countIf(items > 0) AS orders_with_items,
       sum(items) AS items_sold, sum(total_amount) AS gross, sum(if(is_valid, total_amount, 0)) AS net,
       sum(if(is_delivered, total_amount, 0)) AS recognised, sum(payment_value) AS cash,
       countIf(is_canceled) AS canceled, countIf(order_status = 'unavailable') AS unavailable,
       countIf(is_delivered) AS delivered, countIf(is_late) AS late,
       uniqExact(customer_unique_id) AS customers
FROM fact_order_lifecycle
GROUP BY date;

-- One definition per column: aov is gross revenue by orders that have items; arpu is net by buyers.
CREATE OR REPLACE VIEW kpi_monthly AS
SELECT month, orders, orders_with_items, valid_orders, gross, net, recognised, cash, price AS goods,
       toFloat64(freight_value) / nullIf(toFloat64(price), 0) AS freight_share,
       toFloat64(gross) / nullIf(orders_with_items, 0) AS aov,
       toFloat64(net) / nullIf(customers, 0) AS arpu,
       items / nullIf(orders_with_items, 0) AS items_per_order,
       canceled_orders / orders AS cancellation_rate, unavailable_orders / orders AS unavailable_rate,
       delivered_orders / orders AS delivered_share,
       customers, new_customers, net_new, net_returning, is_complete
FROM agg_monthly_revenue;

CREATE OR REPLACE VIEW kpi_category AS
SELECT category, category_en, category_pt, category_vi, items, orders, products, total_amount, net,
       toFloat64(total_amount) / nullIf(toFloat64(revenue_all), 0) AS share,
       toFloat64(revenue_running) / nullIf(toFloat64(revenue_all), 0) AS running_share, revenue_rank,
       toFloat64(freight_value) / nullIf(toFloat64(price), 0) AS freight_ratio,
       toFloat64(freight_value) / nullIf(weight_g / 1000, 0) AS freight_per_kg,
       review_score_sum / nullIf(reviewed_items, 0) AS mean_score
FROM agg_category;

-- 0 to 100 over the last 90 days of data: 40 % revenue percentile, 30 % mean score, 30 % on-time share.
-- Sellers with fewer than 5 orders have no score.
CREATE OR REPLACE VIEW kpi_seller AS
SELECT seller_id, city, state, items, orders, total_amount, net, revenue_rank, orders_90d, net_90d,
       on_time_items / nullIf(delivered_items, 0) AS on_time_rate,
       dispatch_late_items / nullIf(dispatched_items, 0) AS dispatch_late_rate,
       review_score_sum / nullIf(reviewed_items, 0) AS mean_score,
       review_score_sum_90d / nullIf(reviewed_items_90d, 0) AS mean_score_90d,
       on_time_items_90d / nullIf(delivered_items_90d, 0) AS on_time_rate_90d,
       if(orders_90d < 5, NULL,
          40 * (rank() OVER (PARTITION BY orders_90d >= 5 ORDER BY net_90d)
                / count() OVER (PARTITION BY orders_90d >= 5))
          + 0.3 * 20 * coalesce(mean_score_90d, 0) + 30 * coalesce(on_time_rate_90d, 0)) AS score,
       score IS NOT NULL AND (mean_score_90d < 3.5 OR on_time_rate_90d < 0.7) AS is_red
FROM agg_seller;

CREATE OR REPLACE VIEW kpi_delivery AS
SELECT month, seller_state, customer_state, orders, delivery_seconds / orders / 86400 AS mean_days,
       approve_seconds / nullIf(staged_orders, 0) / 86400 AS approve_days,
       handle_seconds / nullIf(staged_orders, 0) / 86400 AS handle_days,
       transit_seconds / nullIf(staged_orders, 0) / 86400 AS transit_days,
       promise_days / orders AS mean_promise_days, on_time_orders / orders AS on_time_rate,
       late_days / nullIf(late_orders, 0) AS mean_late_days, late_over_week
FROM agg_delivery;

CREATE OR REPLACE VIEW kpi_payment_mix AS
SELECT month, payment_type, payments, orders, payment_value,
       payments / sum(payments) OVER (PARTITION BY month) AS share_of_payments,
       toFloat64(payment_value) / nullIf(toFloat64(sum(payment_value) OVER (PARTITION BY month)), 0)
           AS share_of_value,
       card_installments / nullIf(card_payments, 0) AS mean_installments
FROM agg_payment_mix;

-- Over reviews by creation date. The average over orders uses fact_order_lifecycle.review_score.
CREATE OR REPLACE VIEW kpi_csat AS
SELECT month, sum(reviews) AS reviews_count, sum(if(review_score >= 4, reviews, 0)) / reviews_count AS csat,
       sum(if(review_score <= 2, reviews, 0)) / reviews_count AS detractors,
       sum(review_score * reviews) / reviews_count AS mean_score,
       sum(response_seconds) / nullIf(sum(answered), 0) / 3600 AS response_hours
FROM agg_review
GROUP BY month;

CREATE OR REPLACE VIEW kpi_rfm AS
SELECT segment, count() AS persons, sum(frequency) AS orders, sum(monetary) AS net,
       avg(recency_days) AS mean_recency_days
FROM rfm
GROUP BY segment;

CREATE OR REPLACE VIEW kpi_cohort AS
SELECT cohort_month, month_offset, cohort_size, persons, persons / cohort_size AS retention, orders,
       total_amount
FROM cohort;

-- Not delivered, canceled or unavailable; overdue against the newest purchase in the data, never now().
CREATE OR REPLACE VIEW kpi_backlog AS
SELECT order_status, count() AS orders, sum(total_amount) AS amount,
       countIf(toDate(estimated_at) < toDate((SELECT max(order_date) FROM fact_order_lifecycle))) AS overdue
FROM fact_order_lifecycle
WHERE is_open
GROUP BY order_status;

-- A person with the segment (row models never depend on whole ones: they meet here).
CREATE OR REPLACE VIEW customer_360 AS
SELECT c.customer_key AS customer_key, c.customer_unique_id AS customer_unique_id, c.zip AS zip,
       c.city AS city, c.state AS state, c.region AS region, c.first_order_date AS first_order_date,
       c.cohort_month AS cohort_month, r.segment AS segment, r.recency_days AS recency_days,
       r.frequency AS frequency, r.monetary AS monetary
FROM dim_customers c
LEFT JOIN rfm r ON r.customer_unique_id = c.customer_unique_id
WHERE c.is_current;
