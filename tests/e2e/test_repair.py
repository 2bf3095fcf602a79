"""The commands that look at things and mend them: inspect, rebuild, resync, quarantine. After each the proof."""

import pathlib

import pytest
import shoplib
from conftest import wait_for
from faultlib import fails, live_files
from test_check import corrupt_newest_file, set_first


@pytest.fixture
def running(millrace, shop):
    shoplib.load_sample(shop, orders=60)
    millrace.start()
    millrace.caught_up()
    return millrace


def proves(millrace, shop):
    shop.run("UPDATE order_items SET price = price + 1")
    millrace.caught_up()
    shoplib.assert_answers_equal(millrace, shop)
    millrace.command("check")


# --- inspect ---

def test_inspect(running, shop):
    key = shop.run("SELECT min(customer_id) FROM customers")[0][0]
    shop.run("UPDATE customers SET customer_city = 'inspected' WHERE customer_id = %s", key)
    running.caught_up()
    out = running.command("inspect", "table", "silver/customers").stdout
    assert "silver/customers, version " in out and "60 rows" in out
    assert "customer_state" in out and "string not null" in out and "MERGE" in out
    out = running.command("inspect", "slot").stdout
    assert "pgoutput" in out and "millrace" in out and shop.name in out and "confirmed LSN" in out
    fails(running, "inspect", "event", "customers", key, code=4, says=["in use by a process", "millrace query"])
    fails(running, "inspect", "table", "silver/nothing", code=3, says=["there is no table silver/nothing"])
    fails(running, "inspect", "slto", code=2, says=["usage: millrace inspect"])
    running.stop()
    out = running.command("inspect", "event", "customers", key).stdout
    assert "inspected" in out and key in out
    events = [line.split(":", 1)[1].strip() for line in out.splitlines() if line.startswith("op:")]
    assert events == ["u", "r"]
    for call in (["event", "customers", "no-such-key"], ["slot", "--slot", "other"]):
        result = running.command("inspect", *call, check=False)
        assert result.returncode == 1 and "there is no" in result.stdout


# --- rebuild ---

def test_rebuild_each_layer(running, shop):
    fails(running, "rebuild", "silver", code=4, says=["in use by process"])
    fails(running, "rebuild", "slver", code=2, says=["silver"])
    shop.run("UPDATE order_reviews SET review_score = 1")
    shop.run("DELETE FROM order_reviews")
    running.caught_up()
    sql = "SELECT _op, count(), sum(review_score) FROM silver.order_reviews_history GROUP BY _op ORDER BY _op"
    history = running.query(sql)
    assert [row[0] for row in history] == ["d", "r", "u"]
    for layer in ("warehouse", "state", "gold", "silver"):
        running.stop()
        running.command("rebuild", layer)
        assert not running.path("state" if layer != "warehouse" else "warehouse").exists()
        running.start()
        running.caught_up()
        assert running.query(sql) == history  # what the shop deleted is known still: bronze has it
        running.command("check")
    proves(running, shop)


# --- resync ---

def test_resync_repairs_lost_changes_without_ghosts(running, shop):
    """Changes that the stream never brought: a value, a new row, and a deleted one."""
    with shop.connect() as connection:
        connection.execute("ALTER PUBLICATION millrace DROP TABLE order_payments")
        connection.execute("UPDATE order_payments SET payment_value = payment_value + 1 WHERE order_id ="
                           " (SELECT max(order_id) FROM order_payments)")
        gone = connection.execute("DELETE FROM order_payments WHERE order_id = (SELECT min(order_id) FROM"
                                  " order_payments) RETURNING order_id").fetchone()[0]
        connection.execute("INSERT INTO order_payments SELECT order_id, 99, 'voucher', 1, 5 FROM order_payments"
                           " LIMIT 1")
        connection.execute("ALTER PUBLICATION millrace ADD TABLE order_payments")
    running.caught_up()
    result = running.command("check", "--tables", "order_payments", check=False)
    assert result.returncode == 1 and "public.order_payments" in result.stdout and gone in result.stdout
    running.command("resync", "order_payments")
    total = str(shop.run("SELECT sum(payment_value) FROM order_payments")[0][0])
    wait_for(lambda: running.scalar("SELECT toString(sum(payment_value)) FROM silver.order_payments") == total,
             what="the table as it is in the source")
    assert running.scalar(f"SELECT count() FROM silver.order_payments WHERE order_id = '{gone}'") == "0"
    proves(running, shop)


def test_resync_of_what_is_not_there(running):
    running.command("resync", "nothing")
    wait_for(lambda: "public.nothing" in running.tail(), what="a word about the table")
    running.command("check")
    running.stop()
    fails(running, "resync", "orders", code=4, says=["no process runs"])


def test_silver_changed_behind_our_back(running, shop):
    """A file of silver with other values: check names it, the next start refuses it, rebuild mends it."""
    from decimal import Decimal
    table = f"{running.home}/lake/silver/order_payments"
    corrupt_newest_file(table, lambda t: set_first(t, "payment_value", Decimal("99.99")))
    result = running.command("check", check=False)
    assert result.returncode == 1 and "order_payments" in result.stdout
    running.stop()
    fails(running, "run", code=1, says=[str(live_files(table)[-1]), "millrace rebuild silver"])
    running.command("rebuild", "silver")
    running.start()
    running.caught_up()
    proves(running, shop)


# --- quarantine ---

def listed(millrace):
    return millrace.command("quarantine", "list").stdout


def test_quarantine_is_listed_shown_and_left(running, shop):
    """A time that no calendar has, and a state that Brazil has not: one is mended, one deleted."""
    with shop.connect() as connection:
        connection.execute("INSERT INTO customers VALUES ('bad', 'bad', '01037', 'x', 'XX')")
        connection.execute("INSERT INTO customers VALUES ('late', 'late', '01037', 'x', 'SP')")
        connection.execute("INSERT INTO orders VALUES ('never', 'late', 'created', 'infinity', NULL, NULL, NULL,"
                           " '2018-01-01')")
    running.caught_up()
    assert "customers" in listed(running) and "never" in listed(running)
    out = running.command("quarantine", "show", "customers", "bad").stdout
    assert "XX" in out and "customer_state" in out and "first seen" in out
    out = running.command("quarantine", "show", "orders", "never").stdout
    assert "infinity" in out and "order_purchase_timestamp" in out
    assert "never" not in running.command("quarantine", "list", "customers").stdout
    missing = running.command("quarantine", "show", "orders", "nobody", check=False)
    assert missing.returncode == 1 and "no such row" in missing.stdout
    assert running.scalar("SELECT count() FROM silver.orders WHERE order_id = 'never'") == "0"
    running.command("check")
    running.command("quarantine", "replay", "orders")
    shop.run("UPDATE orders SET order_purchase_timestamp = '2018-01-01' WHERE order_id = 'never'")
    shop.run("DELETE FROM customers WHERE customer_id = 'bad'")
    running.caught_up()
    assert "nothing is in quarantine" in listed(running)
    assert running.scalar("SELECT count() FROM silver.orders WHERE order_id = 'never'") == "1"
    assert running.scalar("SELECT count() FROM silver.customers WHERE customer_id = 'bad'") == "0"
    proves(running, shop)


def other_model(program, path):
    """A program whose model of customers takes every state: the same bytes but for the rule."""
    rule = b"NOT is_state(text_upper(trim(r.customer_state))),"
    data = pathlib.Path(program).read_bytes()
    assert data.count(rule) == 1
    path.write_bytes(data.replace(rule, b"1 = 0,".ljust(len(rule))))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("killed", [False, True])
def test_replay_after_the_model_permits(running, shop, tmp_path, killed):
    """A good image, a bad one over it, and a key that never was good; check is exact at once, though the shop is
    quiet, and after a kill between the replay and its batch."""
    good = shop.run("SELECT min(customer_id) FROM customers")[0][0]
    shop.run("INSERT INTO customers VALUES ('bad', 'bad', '01037', 'x', 'XX')")
    shop.run("UPDATE customers SET customer_state = 'YY' WHERE customer_id = %s", good)
    running.caught_up()
    assert "bad" in listed(running) and good in listed(running)
    result = running.command("quarantine", "replay", "customers", "nobody", check=False)
    assert result.returncode == 1 and "no such row" in result.stdout
    running.command("quarantine", "replay", "customers", "bad")
    wait_for(lambda: "repaired=0" in running.tail(), what="the replay that finds it bad still")
    assert "bad" in listed(running)
    running.stop()
    running.program = other_model(running.program, tmp_path / "millrace")
    running.start(env={"MILLRACE_FAIL": "gold.model:1"} if killed else None)
    running.command("quarantine", "replay", "customers")
    if killed:
        wait_for(running.died, what="the kill in gold")
        running.process = None
        running.start()
    wait_for(lambda: "nothing is in quarantine" in listed(running), what="an empty quarantine")
    running.command("check")
    wait_for(lambda: running.scalar("SELECT count() FROM dim_customers WHERE state = 'YY'") == "1",
             what="the row in the warehouse")
    assert running.query("SELECT customer_id, customer_state FROM silver.customers WHERE customer_state IN ('XX', 'YY')"
                         " ORDER BY 2") == [["bad", "XX"], [good, "YY"]]
    assert running.query("SELECT customer_id, customer_state, count() FROM silver.customers_history WHERE"
                         " customer_state IN ('XX', 'YY') GROUP BY ALL ORDER BY 2") == [["bad", "XX", "1"],
                                                                                         [good, "YY", "1"]]
    proves(running, shop)
