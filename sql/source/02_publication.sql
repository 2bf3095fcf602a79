-- What is captured: the shop's nine tables, all kinds of change. Run by the owner of the tables.
-- Running this file again changes nothing. A new table is added with
--   ALTER PUBLICATION millrace ADD TABLE <table>;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'millrace') THEN
        CREATE PUBLICATION millrace FOR TABLE
            customers, sellers, products, product_category_name_translation, orders, order_items,
            order_payments, order_reviews, geolocation
            WITH (publish = 'insert, update, delete, truncate');
    END IF;
END
$$;
