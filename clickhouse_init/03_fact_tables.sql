-- Facts, sorted by time first. See 01 for what _store and FINAL mean.

CREATE TABLE IF NOT EXISTS fact_orders_store
(
    order_key            Int64,
    order_id             String,
    order_item_id        Int32,
    order_date           DateTime64(6, 'UTC'),
    date_key             Int32,
    customer_key         Int64,
    product_key          Int64,
    seller_key           Int64,
    order_status         String,
    payment_type         String,
    payment_installments Int32,
    quantity             Int32,
    price                Decimal(12, 2),
    freight_value        Decimal(12, 2),
    total_amount         Decimal(12, 2),
    payment_value_alloc  Decimal(12, 2),
    review_score         Nullable(Int32),
    approved_at          Nullable(DateTime64(6, 'UTC')),
    shipping_limit_at    Nullable(DateTime64(6, 'UTC')),
    shipped_at           Nullable(DateTime64(6, 'UTC')),
    delivered_at         Nullable(DateTime64(6, 'UTC')),
    estimated_at         DateTime64(6, 'UTC'),
    delivery_days        Nullable(Int32),
    delay_days           Nullable(Int32),
    is_dispatch_late     Bool,
    is_late              Bool,
    is_delivered         Bool,
    is_canceled          Bool,
    _version             UInt64,
    _deleted             UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (order_date, order_id, order_item_id)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW fact_orders AS
SELECT order_key, order_id, order_item_id, order_date, date_key, customer_key, product_key, seller_key,
       order_status, payment_type, payment_installments, quantity, price, freight_value, total_amount,
       payment_value_alloc, review_score, approved_at, shipping_limit_at, shipped_at, delivered_at,
       estimated_at, delivery_days, delay_days, is_dispatch_late, is_late, is_delivered, is_canceled
FROM fact_orders_store FINAL;

CREATE TABLE IF NOT EXISTS fact_order_lifecycle_store
(
    order_key          Int64,
    order_id           String,
    order_date         DateTime64(6, 'UTC'),
    date_key           Int32,
    customer_key       Int64,
    customer_unique_id String,
    customer_state     String,
    order_status       String,
    approved_at        Nullable(DateTime64(6, 'UTC')),
    shipped_at         Nullable(DateTime64(6, 'UTC')),
    delivered_at       Nullable(DateTime64(6, 'UTC')),
    estimated_at       DateTime64(6, 'UTC'),
    approve_seconds    Nullable(Int64),
    handle_seconds     Nullable(Int64),
    transit_seconds    Nullable(Int64),
    delivery_seconds   Nullable(Int64),
    delivery_days      Nullable(Int32),
    promise_days       Int32,
    delay_days         Nullable(Int32),
    is_late            Bool,
    is_delivered       Bool,
    is_canceled        Bool,
    is_valid           Bool,
    is_open            Bool,
    items              Int32,
    products           Int32,
    sellers            Int32,
    price              Decimal(12, 2),
    freight_value      Decimal(12, 2),
    total_amount       Decimal(12, 2),
    payment_value      Decimal(12, 2),
    payments           Int32,
    review_score       Nullable(Int32),
    reviews            Int32,
    _version           UInt64,
    _deleted           UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (order_date, order_id)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW fact_order_lifecycle AS
SELECT order_key, order_id, order_date, date_key, customer_key, customer_unique_id, customer_state,
       order_status, approved_at, shipped_at, delivered_at, estimated_at, approve_seconds,
       handle_seconds, transit_seconds, delivery_seconds, delivery_days, promise_days, delay_days,
       is_late, is_delivered, is_canceled, is_valid, is_open, items, products, sellers, price,
       freight_value, total_amount, payment_value, payments, review_score, reviews
FROM fact_order_lifecycle_store FINAL;

CREATE TABLE IF NOT EXISTS fact_payments_store
(
    order_key            Int64,
    order_id             String,
    payment_sequential   Int32,
    order_date           DateTime64(6, 'UTC'),
    date_key             Int32,
    customer_key         Int64,
    order_status         String,
    payment_type         String,
    payment_installments Int32,
    payment_value        Decimal(12, 2),
    _version             UInt64,
    _deleted             UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (order_date, order_id, payment_sequential)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW fact_payments AS
SELECT order_key, order_id, payment_sequential, order_date, date_key, customer_key, order_status,
       payment_type, payment_installments, payment_value
FROM fact_payments_store FINAL;

CREATE TABLE IF NOT EXISTS fact_reviews_store
(
    review_key       Int64,
    review_id        String,
    order_id         String,
    order_key        Int64,
    order_date       DateTime64(6, 'UTC'),
    created_at       DateTime64(6, 'UTC'),
    answered_at      Nullable(DateTime64(6, 'UTC')),
    date_key         Int32,
    customer_key     Int64,
    order_status     String,
    review_score     Int32,
    sentiment        String,
    topic            Nullable(String),
    comment_title    Nullable(String),
    comment_message  Nullable(String),
    response_seconds Nullable(Int64),
    is_late          Bool,
    is_current       Bool,
    _version         UInt64,
    _deleted         UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY (created_at, review_id, order_id)
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW fact_reviews AS
SELECT review_key, review_id, order_id, order_key, order_date, created_at, answered_at, date_key,
       customer_key, order_status, review_score, sentiment, topic, comment_title, comment_message,
       response_seconds, is_late, is_current
FROM fact_reviews_store FINAL;
