"""A file of the lake is damaged or gone: one message that names it and what to do, no wrong figure, and
after that everything is as it was."""

import shutil

import pytest
import shoplib
from conftest import slow, wait_for
from faultlib import cut, damaged, fails, garble, live_files, log_entries, remove, unreadable

REPAIR = {"bronze": "restore it from a backup", "silver": "`millrace rebuild silver`",
          "gold": "`millrace rebuild gold`"}


def change(shop):
    shop.run("UPDATE order_items SET price = price + 1")
    shop.run("UPDATE customers SET customer_city = customer_city || 'x' WHERE customer_id ="
             " (SELECT min(customer_id) FROM customers)")


def fill(millrace, shop, *options):
    shoplib.load_sample(shop, orders=60)
    millrace.start(*options)
    millrace.caught_up()
    for _ in range(2):
        change(shop)
        millrace.caught_up()


@pytest.fixture
def filled(millrace, shop):
    """A home with a few commits in each table, and nobody on it."""
    fill(millrace, shop)
    millrace.stop()
    return millrace


def proves(millrace, shop):
    """It runs, takes changes, and all layers are equal."""
    millrace.start()
    change(shop)
    millrace.caught_up()
    shoplib.assert_answers_equal(millrace, shop)
    millrace.command("check")


def test_damaged_log(filled, shop):
    for table in ("bronze/changes", "silver/customers", "silver/order_items_history", "gold/fact_orders",
                  "gold/batches"):
        layer = table.split("/", maxsplit=1)[0]
        entries = log_entries(f"{filled.home}/lake/{table}")
        for path, how in ((entries[-1], cut), (entries[1], unreadable)):
            with damaged(path, how):
                fails(filled, "run", code=1, says=[str(path), REPAIR[layer]])
        with damaged(entries[1], remove):
            fails(filled, "run", code=1, says=[table, "version 1 is missing", REPAIR[layer]])
    proves(filled, shop)


def test_damaged_data_file(filled, shop):
    for table in ("bronze/changes", "silver/customers", "silver/order_items_history", "gold/fact_orders",
                  "gold/batches"):
        layer = table.split("/", maxsplit=1)[0]
        path = live_files(f"{filled.home}/lake/{table}")[0]
        for how in (cut, remove):
            with damaged(path, how):
                fails(filled, "run", code=1, says=[str(path), REPAIR[layer]])
    with damaged(path, remove):
        fails(filled, "check", code=1, says=[str(path), REPAIR[layer]])
    proves(filled, shop)


def test_damaged_deletion_vector(filled, shop):
    paths = list(filled.path("lake", "silver", "customers").glob("deletion_vector_*.bin"))
    newest = max(paths, key=lambda p: p.stat().st_mtime_ns)
    for how in (cut, remove):
        with damaged(newest, how):
            fails(filled, "run", code=1, says=[str(newest), REPAIR["silver"]])
    proves(filled, shop)


@slow
def test_damage_under_a_running_program(millrace, shop):
    """Silver and gold are read by check; history and bronze have nothing to compare with, but must be whole."""
    fill(millrace, shop)
    for table, how in (("silver/customers", garble), ("silver/customers", remove), ("gold/fact_orders", garble),
                       ("silver/customers_history", remove), ("bronze/changes", cut)):
        path = live_files(f"{millrace.home}/lake/{table}")[0]
        with damaged(path, how):
            fails(millrace, "check", code=1, says=[str(path), REPAIR[table.split("/", maxsplit=1)[0]]])
    millrace.command("check")


@pytest.mark.parametrize("layer, table", [("silver", "silver/customers"), ("gold", "gold/fact_orders")])
def test_lost_for_good_is_rebuilt(filled, shop, layer, table):
    live_files(f"{filled.home}/lake/{table}")[0].unlink()
    fails(filled, "run", code=1, says=[f"millrace rebuild {layer}"])
    filled.command("rebuild", layer)
    proves(filled, shop)


def test_bronze_lost_without_a_backup(filled, shop):
    """What docs/operations.md says: set the lake aside, take the source as it is now."""
    for folder in ("lake", "state", "warehouse"):
        shutil.move(f"{filled.home}/{folder}", f"{filled.home}.{folder}")
    fails(filled, "run", code=3, says=["resync --slot"])
    filled.command("resync", "--slot")
    proves(filled, shop)


@slow
def test_damaged_checkpoint(millrace, shop):
    """The log replaces it as long as it reaches back; readers do not stumble over it any more."""
    fill(millrace, shop, "--checkpoint-commits", "2")
    table = f"{millrace.home}/lake/silver/order_items"

    def checkpoints():
        return sorted(log_entries(table)[0].parent.glob("*.checkpoint.parquet"))

    def made():
        change(shop)
        millrace.caught_up()
        return checkpoints()
    wait_for(made, what="a checkpoint")
    millrace.stop()
    for path in checkpoints():
        cut(path)
    proves(millrace, shop)
    assert "damaged checkpoint set aside" in millrace.tail(100000)


def test_damaged_state_is_built_again(filled, shop):
    """Nobody has to do anything: what was not readable is made from the lake."""
    def hurt(name, how):
        how(sorted(filled.path("state").glob(name))[-1])
    for name, how in (("*.log", cut), ("*.sst", cut), ("CURRENT", cut)):
        hurt(name, how)
        filled.start()
        filled.caught_up()
        filled.stop()
    hurt("MANIFEST-*", remove)
    proves(filled, shop)
    assert "built again from the lake" in filled.tail(100000)
