-- A backlog for bench/backlog.py: about 70 % inserts, 25 % updates, 5 % deletes, in transactions of 100 changes.
-- Transaction n makes the numbers that it alone owns, and touches rows of earlier transactions only, each row
-- at most once per kind, so every statement changes exactly the rows it names. Transaction 0 is made before.
-- The keys are arrays, so that each is looked up in the index whatever the planner knows of the table.

-- One table of order-like rows, which has no model in gold: bronze and silver alone.
CREATE TABLE bench_orders (
    order_id                      varchar(32) PRIMARY KEY,
    customer_id                   varchar(32) NOT NULL,
    order_status                  text        NOT NULL,
    order_purchase_timestamp      timestamp   NOT NULL,
    order_approved_at             timestamp,
    order_delivered_customer_date timestamp,
    order_estimated_delivery_date timestamp   NOT NULL,
    price                         numeric(10, 2) NOT NULL
);

CREATE FUNCTION bench_id(n bigint) RETURNS varchar LANGUAGE sql IMMUTABLE AS $$ SELECT md5(n::text)::varchar(32) $$;

-- 70 inserts, 25 updates, 5 deletes; rows 0..69 of a transaction: 0..24 get updated, 65..69 deleted by the next.
CREATE PROCEDURE bench_table(first bigint, transactions bigint) LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    FOR n IN first .. first + transactions - 1 LOOP
        INSERT INTO bench_orders
        SELECT bench_id(n * 70 + i), bench_id(-n * 70 - i), 'created', timestamp '2018-01-01' + (n * 70 + i) * interval '1 s',
               NULL, NULL, timestamp '2018-01-21' + (n * 70 + i) * interval '1 s', 10.5 + i
          FROM generate_series(0, 69) i;
        UPDATE bench_orders SET order_status = 'approved', order_approved_at = order_purchase_timestamp + interval '1 h'
         WHERE order_id = ANY (ARRAY(SELECT bench_id((n - 1) * 70 + i) FROM generate_series(0, 24) i));
        DELETE FROM bench_orders
         WHERE order_id = ANY (ARRAY(SELECT bench_id((n - 1) * 70 + i) FROM generate_series(65, 69) i));
        COMMIT;
    END LOOP;
END
$$;

-- The same shares over the shop's own tables, through gold: 17 purchases of 4 rows and 2 second items (70),
-- 13 orders and 12 items changed (25), 5 payments gone (5).
CREATE PROCEDURE bench_shop(first bigint, transactions bigint) LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    products varchar[] := ARRAY(SELECT product_id FROM products ORDER BY 1 LIMIT 1000);
    sellers varchar[] := ARRAY(SELECT seller_id FROM sellers ORDER BY 1 LIMIT 300);
BEGIN
    FOR n IN first .. first + transactions - 1 LOOP
        INSERT INTO customers SELECT bench_id(n * 17 + i), bench_id(n * 17 + i), '01037', 'sao paulo', 'SP'
          FROM generate_series(0, 16) i;
        INSERT INTO orders SELECT bench_id(n * 17 + i), bench_id(n * 17 + i), 'created',
               timestamp '2018-09-01' + (n * 17 + i) * interval '1 s', NULL, NULL, NULL,
               timestamp '2018-09-21' + (n * 17 + i) * interval '1 s'
          FROM generate_series(0, 16) i;
        INSERT INTO order_items SELECT bench_id(n * 17 + i % 17), 1 + i / 17,
               products[1 + (n * 19 + i) % cardinality(products)], sellers[1 + (n * 19 + i) % cardinality(sellers)],
               timestamp '2018-09-08' + (n * 17 + i) * interval '1 s', 10.5 + i, 3.25
          FROM generate_series(0, 18) i;
        INSERT INTO order_payments SELECT bench_id(n * 17 + i), 1, 'credit_card', 1, 13.75 + i
          FROM generate_series(0, 16) i;
        UPDATE orders SET order_status = 'approved', order_approved_at = order_purchase_timestamp + interval '1 h'
         WHERE order_id = ANY (ARRAY(SELECT bench_id((n - 1) * 17 + i) FROM generate_series(0, 12) i));
        UPDATE order_items SET price = price + 1 WHERE order_item_id = 1
           AND order_id = ANY (ARRAY(SELECT bench_id((n - 1) * 17 + i) FROM generate_series(0, 11) i));
        DELETE FROM order_payments
         WHERE order_id = ANY (ARRAY(SELECT bench_id((n - 1) * 17 + i) FROM generate_series(12, 16) i));
        COMMIT;
    END LOOP;
END
$$;
