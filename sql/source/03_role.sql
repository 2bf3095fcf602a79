-- The role that capture connects as: it may stream changes and read the published tables, and nothing
-- else. It owns nothing, creates nothing and writes nothing. Run by a superuser; give it a password with
--   ALTER ROLE millrace PASSWORD '...';
-- and let it in for replication in pg_hba.conf. Running this file again changes nothing.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'millrace') THEN
        CREATE ROLE millrace LOGIN REPLICATION
            NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS CONNECTION LIMIT 16;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO millrace;
GRANT SELECT ON customers, sellers, products, product_category_name_translation, orders, order_items,
    order_payments, order_reviews, geolocation TO millrace;
