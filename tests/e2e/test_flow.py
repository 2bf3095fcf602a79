"""From a commit in PostgreSQL to a number: first copy, streaming, restart, and the two sample queries."""

import shoplib


def revenue(millrace):
    return millrace.scalar("SELECT toString(sum(total_amount)) FROM fact_orders")


def test_sample_answers_exactly(millrace, shop):
    shoplib.load_sample(shop)
    millrace.start()
    millrace.caught_up()
    shoplib.assert_answers_equal(millrace, shop)
    assert millrace.scalar("SELECT count() FROM fact_order_lifecycle") == str(
        shop.run("SELECT count(*) FROM orders")[0][0])
    assert millrace.stop() == 0


def test_changes_flow_and_survive_a_restart(millrace, shop):
    shoplib.load_sample(shop, orders=300)
    millrace.start()
    millrace.caught_up()
    with shop.connect() as connection:
        connection.execute("UPDATE order_items SET price = price + 1")
        connection.execute("DELETE FROM order_reviews")
        order = connection.execute("SELECT order_id FROM order_items LIMIT 1").fetchone()[0]
        with connection.transaction():
            connection.execute("DELETE FROM order_items WHERE order_id = %s", (order,))
            connection.execute("DELETE FROM order_payments WHERE order_id = %s", (order,))
    millrace.caught_up()
    shoplib.assert_answers_equal(millrace, shop)
    assert millrace.scalar("SELECT count() FROM fact_reviews") == "0"
    millrace.stop()

    shop.run("UPDATE order_items SET freight_value = 0.01 WHERE order_item_id = 1")
    millrace.start()
    millrace.caught_up()
    shoplib.assert_answers_equal(millrace, shop)
    millrace.command("check")


def test_a_table_of_ones_own_reaches_silver(millrace, shop):
    shop.run("""CREATE TABLE coupons (id bigint PRIMARY KEY, code text NOT NULL, cut numeric(7,3), made timestamptz,
                                      tags text[], note jsonb)""")
    shop.run("INSERT INTO coupons VALUES (1, 'TET', 12.500, '2026-02-01 00:00+07', '{a,\"b c\"}', '{\"x\": 1}')")
    millrace.start()
    millrace.caught_up()
    shop.run("INSERT INTO coupons VALUES (2, 'HE', 0.001, NULL, NULL, NULL)")
    shop.run("ALTER TABLE coupons ADD COLUMN uses int DEFAULT 7")
    shop.run("UPDATE coupons SET code = 'HÈ' WHERE id = 2")
    millrace.caught_up()
    rows = millrace.query("SELECT id, code, toString(cut), uses FROM silver.coupons ORDER BY id")
    assert shoplib.plain(rows) == [["1", "TET", "12.5", "7"], ["2", "HÈ", "0.001", "7"]]
    millrace.command("check")


def test_deleted_state_and_warehouse_are_rebuilt(millrace, shop):
    import shutil
    shoplib.load_sample(shop, orders=300)
    millrace.start()
    millrace.caught_up()
    shop.run("UPDATE order_items SET price = price * 2 WHERE order_item_id = 1")
    millrace.caught_up()
    millrace.stop()
    for folder in ("state", "warehouse"):
        shutil.rmtree(f"{millrace.home}/{folder}")
        millrace.start()
        millrace.caught_up()
        shoplib.assert_answers_equal(millrace, shop)
        millrace.command("check")
        millrace.stop()
