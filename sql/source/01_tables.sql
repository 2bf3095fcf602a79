-- The shop: the Olist tables in third normal form, as an online shop would keep them.
--
-- Column order is the order of the published CSV files; the spelling of `product_name_lenght` and
-- `product_description_lenght` is theirs and is kept (silver renames them). Ids are varchar(32), not
-- uuid: PostgreSQL would print hyphens that the files do not have. Times are Brazilian local time
-- without a zone. Amounts are exact decimals. Running this file again changes nothing.

CREATE TABLE IF NOT EXISTS customers (
    customer_id              varchar(32) PRIMARY KEY,
    customer_unique_id       varchar(32) NOT NULL,
    customer_zip_code_prefix char(5)     NOT NULL,
    customer_city            text        NOT NULL,
    customer_state           char(2)     NOT NULL
);

CREATE TABLE IF NOT EXISTS sellers (
    seller_id              varchar(32) PRIMARY KEY,
    seller_zip_code_prefix char(5)     NOT NULL,
    seller_city            text        NOT NULL,
    seller_state           char(2)     NOT NULL
);

CREATE TABLE IF NOT EXISTS products (
    product_id                 varchar(32) PRIMARY KEY,
    product_category_name      text,
    product_name_lenght        integer,
    product_description_lenght integer,
    product_photos_qty         integer,
    product_weight_g           integer,
    product_length_cm          integer,
    product_height_cm          integer,
    product_width_cm           integer
);

-- Not a foreign key's target: two categories in use have no translation.
CREATE TABLE IF NOT EXISTS product_category_name_translation (
    product_category_name         text PRIMARY KEY,
    product_category_name_english text NOT NULL
);

-- customer_id is new for each order (1:1); the person is customers.customer_unique_id.
CREATE TABLE IF NOT EXISTS orders (
    order_id                      varchar(32) PRIMARY KEY,
    customer_id                   varchar(32) NOT NULL UNIQUE REFERENCES customers,
    order_status                  text        NOT NULL CHECK (order_status IN
        ('created', 'approved', 'invoiced', 'processing', 'shipped', 'delivered', 'canceled', 'unavailable')),
    order_purchase_timestamp      timestamp   NOT NULL,
    order_approved_at             timestamp,
    order_delivered_carrier_date  timestamp,
    order_delivered_customer_date timestamp,
    order_estimated_delivery_date timestamp   NOT NULL
);

CREATE TABLE IF NOT EXISTS order_items (
    order_id            varchar(32)    NOT NULL REFERENCES orders,
    order_item_id       smallint       NOT NULL,
    product_id          varchar(32)    NOT NULL REFERENCES products,
    seller_id           varchar(32)    NOT NULL REFERENCES sellers,
    shipping_limit_date timestamp      NOT NULL,
    price               numeric(10, 2) NOT NULL,
    freight_value       numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, order_item_id)
);

CREATE TABLE IF NOT EXISTS order_payments (
    order_id             varchar(32)    NOT NULL REFERENCES orders,
    payment_sequential   smallint       NOT NULL,
    payment_type         text           NOT NULL CHECK (payment_type IN
        ('credit_card', 'boleto', 'voucher', 'debit_card', 'not_defined')),
    payment_installments smallint       NOT NULL,
    payment_value        numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, payment_sequential)
);

-- Neither column alone is unique: one review can answer for several orders, one order can have several.
CREATE TABLE IF NOT EXISTS order_reviews (
    review_id               varchar(32) NOT NULL,
    order_id                varchar(32) NOT NULL REFERENCES orders,
    review_score            smallint    NOT NULL CHECK (review_score BETWEEN 1 AND 5),
    review_comment_title    text,
    review_comment_message  text,
    review_creation_date    timestamp   NOT NULL,
    review_answer_timestamp timestamp   NOT NULL,
    PRIMARY KEY (review_id, order_id)
);

-- The published file has no key and a quarter million exact duplicates; the id is ours.
CREATE TABLE IF NOT EXISTS geolocation (
    id                          bigserial PRIMARY KEY,
    geolocation_zip_code_prefix char(5)          NOT NULL,
    geolocation_lat             double precision NOT NULL,
    geolocation_lng             double precision NOT NULL,
    geolocation_city            text             NOT NULL,
    geolocation_state           char(2)          NOT NULL
);

-- For the checks of foreign keys when a parent row goes.
CREATE INDEX IF NOT EXISTS order_items_product_id ON order_items (product_id);
CREATE INDEX IF NOT EXISTS order_items_seller_id ON order_items (seller_id);
CREATE INDEX IF NOT EXISTS order_reviews_order_id ON order_reviews (order_id);
