"""Bad luck and misuse: one clear message each (what, where, what to do), and nothing is lost."""


import socket

import pytest
import shoplib
from conftest import Millrace, free_port, wait_for
from faultlib import fails, shows


def test_unreachable_server(millrace):
    port = free_port()
    millrace.source = f"postgresql://shop@127.0.0.1:{port}/shop"
    millrace.start()
    shows(millrace, "127.0.0.1", str(port))


def test_unknown_database(millrace, postgres):
    millrace.source = postgres.address("no_such_shop")
    fails(millrace, "run", code=3, says=["no_such_shop"])


def test_second_process_on_the_same_folder(millrace, shop):
    millrace.start()
    other = Millrace(millrace.home, shop.address)
    fails(other, "run", code=4, says=[str(millrace.process.pid)])


def test_port_taken(millrace):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        millrace.http_port = s.getsockname()[1]
        fails(millrace, "run", code=3, says=[str(millrace.http_port)])


def test_slot_in_use(millrace, shop, tmp_path):
    millrace.start()
    millrace.caught_up()
    other = Millrace(tmp_path / "other", shop.address)
    result = other.start(wait=False)
    try:
        wait_for(lambda: "slot" in other.tail() and "millrace" in other.tail(), what="a word about the slot")
        assert result.died() or result.process.poll() is None
    finally:
        other.kill()
    millrace.caught_up()


@pytest.mark.parametrize("args, near", [(["statsu"], "status"), (["run", "--flush-mss", "5"], "flush-ms"),
                                        (["run", "--stages", "bronz"], "bronze")])
def test_misspelt_names_are_suggested(millrace, args, near):
    fails(millrace, *args, code=2, says=[near])


def test_bad_value_of_a_setting(millrace):
    fails(millrace, "run", "--flush-ms", "soon", code=2, says=["flush"])


def test_postgres_restarts(millrace, postgres, shop):
    shoplib.load_sample(shop, orders=100)
    millrace.start()
    millrace.caught_up()
    for mode in ("fast", "immediate"):
        postgres.stop(mode)
        postgres.start()
        shop.run("UPDATE order_items SET price = price + 1")
        millrace.caught_up()
        shoplib.assert_answers_equal(millrace, shop)
    millrace.command("check")


def test_a_bad_row_stops_nothing_and_is_replayed(millrace, shop):
    shoplib.load_sample(shop, orders=100)
    millrace.start()
    millrace.caught_up()
    good = millrace.scalar("SELECT count() FROM silver.customers")
    with shop.connect() as connection:
        connection.execute("INSERT INTO customers VALUES ('bad', 'bad', '01037', 'x', 'XX')")
        connection.execute("INSERT INTO customers VALUES ('good', 'good', '01037', 'x', 'SP')")
    millrace.caught_up()
    listed = millrace.command("quarantine", "list").stdout
    assert "customers" in listed and "bad" in listed
    assert int(millrace.scalar("SELECT count() FROM silver.customers")) == int(good) + 1
    shop.run("UPDATE customers SET customer_state = 'RJ' WHERE customer_id = 'bad'")
    millrace.caught_up()
    assert int(millrace.scalar("SELECT count() FROM silver.customers")) == int(good) + 2
    assert "bad" not in millrace.command("quarantine", "list").stdout
    millrace.command("check")


def test_lost_slot_is_explained_and_repaired(millrace, postgres, shop):
    """The slot is dropped behind our back; changes are lost to the stream; a new copy repairs without ghosts."""
    shoplib.load_sample(shop, orders=100)
    millrace.start()
    millrace.caught_up()
    millrace.stop()
    with postgres.connect("postgres") as admin:
        admin.execute("SELECT pg_drop_replication_slot('millrace')")
    with shop.connect() as connection, connection.transaction():
        order = connection.execute("SELECT order_id FROM orders LIMIT 1").fetchone()[0]
        for table in ("order_reviews", "order_payments", "order_items", "orders"):
            connection.execute(f"DELETE FROM {table} WHERE order_id = %s", (order,))
    fails(millrace, "run", code=3, says=["slot", "resync --slot"])
    millrace.command("resync", "--slot")
    millrace.start()
    millrace.caught_up()
    shoplib.assert_answers_equal(millrace, shop)
    millrace.command("check")


def test_large_transaction(millrace, shop):
    """One transaction far larger than the flush budget is one commit, whole or not there. Without a key every
    row counts: its parts are taken in the order in which they came."""
    shoplib.load_sample(shop, orders=50)
    shop.run("CREATE TABLE visits (page text)")
    shop.run("ALTER TABLE visits REPLICA IDENTITY FULL")
    millrace.start(env={"MILLRACE_FLUSH_BYTES": "1MB", "MILLRACE_REFINE_BYTES": "4MB"})
    millrace.caught_up()
    shop.run("""INSERT INTO geolocation (geolocation_zip_code_prefix, geolocation_lat, geolocation_lng,
                geolocation_city, geolocation_state) SELECT lpad((n % 99999)::text, 5, '0'), -23.5, -46.6,
                'sao paulo', 'SP' FROM generate_series(1, 100000) n""")
    counts = set()

    def whole():
        counts.add(int(millrace.scalar("SELECT count() FROM silver.geolocation")))
        return max(counts) == 100000
    millrace.caught_up(timeout=120)
    wait_for(whole, what="the large transaction in silver")
    shop.run("INSERT INTO visits SELECT md5((n / 2)::text) FROM generate_series(1, 60000) n")
    millrace.caught_up(timeout=120)
    assert millrace.query("SELECT count(), uniqExact(page) FROM silver.visits") == [["60000", "30001"]]
    millrace.command("check")


def test_sigterm_finishes_the_batch(millrace, shop):
    shoplib.load_sample(shop, orders=100)
    millrace.start()
    millrace.caught_up()
    shop.run("UPDATE order_items SET price = price + 1")
    assert millrace.stop() == 0
    millrace.start()
    millrace.caught_up()
    millrace.command("check")
