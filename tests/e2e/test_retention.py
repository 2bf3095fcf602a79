"""Bronze's log is kept for a while only: what is made again from bronze must not need its beginning.

MILLRACE_LAYERS sets which layers are made again, one after the other."""

import errno
import os

import pytest
import shoplib
from conftest import slow, wait_for
from test_kill import Load
from test_writes import FOREVER, LINK, Disk, library  # pylint: disable=unused-import

ENV = {"MILLRACE_CHECKPOINT_COMMITS": "3", "MILLRACE_LOG_RETENTION_S": "1", "MILLRACE_TOMBSTONE_RETENTION_S": "10"}
LAYERS = os.environ.get("MILLRACE_LAYERS", "state").split()
HISTORIES = ("orders", "order_items", "order_payments", "sellers", "notes")


def change(shop, n):
    with shop.connect() as connection, connection.transaction():
        connection.execute("UPDATE order_items SET price = price + 1 WHERE order_id = "
                           "(SELECT max(order_id) FROM order_items)")
        connection.execute("INSERT INTO notes VALUES ('same'), (%s::text)", (n,))
        connection.execute("DELETE FROM notes WHERE line = %s::text", (n - 1,))


def log_begins(millrace):
    return min(int(p.name[:20]) for p in millrace.path("lake/bronze/changes/_delta_log").glob("0*.json"))


def doubled(millrace, table):
    return int(millrace.scalar("SELECT count() - uniqExact(_key, _epoch, _lsn, _ordinal) "
                               f"FROM silver.{table}_history"))


def histories(millrace):
    """How many versions of each kind; none is there twice."""
    for table in HISTORIES:
        assert doubled(millrace, table) == 0
    return [millrace.query(f"SELECT _op, count() FROM silver.{table}_history GROUP BY _op ORDER BY _op")
            for table in HISTORIES]


def proves(millrace, shop):
    """Not the whole models: the log of what they were computed from may be cut by now, too."""
    shoplib.assert_answers_equal(millrace, shop)
    tables = "orders,order_items,order_payments,sellers,notes,fact_orders,fact_payments,dim_sellers,dim_customers"
    millrace.command("check", "--tables", tables)


@pytest.fixture
def aged(millrace, shop):
    """A shop with tables without key, whose log of bronze is cut."""
    with shop.connect() as connection:
        connection.execute("CREATE TABLE notes (line text)")
        connection.execute("ALTER TABLE notes REPLICA IDENTITY FULL")
        connection.execute("INSERT INTO notes VALUES ('same'), ('same')")
    shoplib.load_sample(shop, orders=100)
    millrace.start(env=ENV)
    millrace.caught_up()
    changes = iter(range(1, 10000))

    def cut():
        change(shop, next(changes))
        millrace.caught_up()
        return log_begins(millrace) > 0
    wait_for(cut, what="the log of bronze to be cut", every=0.3)
    return changes


@slow
def test_layers_are_made_again_after_the_log_is_cut(millrace, shop, aged):
    for layer in LAYERS:
        before = histories(millrace)
        assert millrace.stop() == 0
        assert log_begins(millrace) > 0
        millrace.command("rebuild", layer)
        millrace.start(env={**ENV, "MILLRACE_REFINE_BYTES": "64KB"})  # several slices
        millrace.caught_up()
        wait_for(lambda: histories(millrace) == before, what=f"{before} instead of {histories(millrace)}", timeout=20)
        assert "the state is made from bronze's files" in millrace.tail(20000)
        change(shop, next(aged))
        millrace.caught_up()
        proves(millrace, shop)


@slow
def test_a_table_left_behind_finds_its_changes(millrace, shop, aged, library, tmp_path):
    """It waits while the log would be cut; the others go on."""
    disk = Disk(library, tmp_path, millrace.home)
    disk.folder = str(millrace.path("lake/silver/sellers")) + "/"
    assert millrace.stop() == 0
    millrace.start(env={**ENV, **disk.environment()})
    millrace.caught_up()
    disk.plan(1, FOREVER, errno.EACCES, LINK)
    shop.run("UPDATE sellers SET seller_city = 'elsewhere' WHERE seller_id = (SELECT min(seller_id) FROM sellers)")
    wait_for(lambda: "left behind" in millrace.tail(20000), what="the table to be left behind")
    disk.free()
    newest = max(int(p.name[:20]) for p in millrace.path("lake/bronze/changes/_delta_log").glob("0*.json"))
    at_least = []

    def compacted():
        change(shop, next(aged))
        millrace.caught_up()
        at_least.append(log_begins(millrace))
        return any(int(p.name[:20]) > newest + 6
                   for p in millrace.path("lake/bronze/changes/_delta_log").glob("0*.checkpoint.parquet"))
    wait_for(compacted, what="checkpoints of bronze after that", every=0.3)
    assert max(at_least) <= newest
    shop.run("UPDATE sellers SET seller_state = 'RJ' WHERE seller_id = (SELECT min(seller_id) FROM sellers)")
    millrace.caught_up()
    assert millrace.stop() == 0
    millrace.start(env=ENV)
    change(shop, next(aged))
    millrace.caught_up()
    histories(millrace)
    proves(millrace, shop)


@slow
def test_a_history_that_is_ahead_is_not_doubled(millrace, shop):
    """Killed between the commit of a table's history and that of its current rows, again and again."""
    shoplib.load_sample(shop, orders=100)
    millrace.start()
    millrace.caught_up()
    millrace.stop()
    load = Load(shop, 7)
    load.start()
    try:
        for n in (1, 4, 2, 5):
            millrace.start(env={"MILLRACE_FAIL": f"silver.history:{n}"}, wait=False)
            wait_for(millrace.died, what=f"the kill at silver.history:{n}")
            millrace.process = None
    finally:
        load.stop()
    millrace.start()
    millrace.caught_up()
    for table in ("orders", "order_items", "order_payments", "customers", "products", "order_reviews"):
        assert doubled(millrace, table) == 0
    millrace.command("check")
