-- Dimensions. Key 0 is the unknown member of each. See 01 for what _store and FINAL mean.

CREATE TABLE IF NOT EXISTS dim_customers_store
(
    customer_key       Int64,
    customer_unique_id String,
    zip                String,
    city               String,
    state              String,
    region             String,
    lat                Nullable(Float64),
    lng                Nullable(Float64),
    first_order_date   Nullable(Date32),
    cohort_month       Nullable(Date32),
    valid_from         DateTime64(6, 'UTC'),
    valid_to           Nullable(DateTime64(6, 'UTC')),
    is_current         Bool,
    _version           UInt64,
    _deleted           UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY customer_key
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW dim_customers AS
SELECT customer_key, customer_unique_id, zip, city, state, region, lat, lng, first_order_date,
       cohort_month, valid_from, valid_to, is_current
FROM dim_customers_store FINAL;

CREATE TABLE IF NOT EXISTS dim_products_store
(
    product_key        Int64,
    product_id         String,
    category           String,
    category_en        String,
    category_pt        String,
    category_vi        String,
    name_length        Nullable(Int32),
    description_length Nullable(Int32),
    photos_qty         Nullable(Int32),
    weight_g           Nullable(Int32),
    length_cm          Nullable(Int32),
    height_cm          Nullable(Int32),
    width_cm           Nullable(Int32),
    valid_from         DateTime64(6, 'UTC'),
    valid_to           Nullable(DateTime64(6, 'UTC')),
    is_current         Bool,
    _version           UInt64,
    _deleted           UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY product_key
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW dim_products AS
SELECT product_key, product_id, category, category_en, category_pt, category_vi, name_length,
       description_length, photos_qty, weight_g, length_cm, height_cm, width_cm, valid_from, valid_to,
       is_current
FROM dim_products_store FINAL;

CREATE TABLE IF NOT EXISTS dim_sellers_store
(
    seller_key Int64,
    seller_id  String,
    zip        String,
    city       String,
    state      String,
    region     String,
    lat        Nullable(Float64),
    lng        Nullable(Float64),
    valid_from DateTime64(6, 'UTC'),
    valid_to   Nullable(DateTime64(6, 'UTC')),
    is_current Bool,
    _version   UInt64,
    _deleted   UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY seller_key
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW dim_sellers AS
SELECT seller_key, seller_id, zip, city, state, region, lat, lng, valid_from, valid_to, is_current
FROM dim_sellers_store FINAL;

CREATE TABLE IF NOT EXISTS dim_time_store
(
    date_key        Int32,
    date            Date32,
    year            Int32,
    quarter         Int32,
    month           Int32,
    month_start     Date32,
    month_name_vi   String,
    month_name_en   String,
    month_name_pt   String,
    day             Int32,
    week            Int32,
    dow             Int32,
    is_weekend      Bool,
    is_holiday_br   Bool,
    holiday_name    Nullable(String),
    is_black_friday Bool,
    _version        UInt64,
    _deleted        UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY date_key
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW dim_time AS
SELECT date_key, date, year, quarter, month, month_start, month_name_vi, month_name_en, month_name_pt,
       day, week, dow, is_weekend, is_holiday_br, holiday_name, is_black_friday
FROM dim_time_store FINAL;

CREATE TABLE IF NOT EXISTS geo_zip_store
(
    zip    String,
    city   String,
    state  String,
    lat    Float64,
    lng    Float64,
    points Int64,
    _version UInt64,
    _deleted UInt8
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY zip
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW geo_zip AS
SELECT zip, city, state, lat, lng, points
FROM geo_zip_store FINAL;
