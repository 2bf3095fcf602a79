"""The stream through a real Kafka: our capture fills topics, our lake reads them, and Debezium's in the same way."""

import json
import os
import signal
import time

import pytest
import shoplib
from conftest import CLUSTER_SQL, ROOT, Millrace, wait_for

OLIST = [table for table, _ in shoplib.FILES if table != "product_category_name_translation"]


class Capture(Millrace):
    """Only the source's half: no pages, no lake."""

    def __init__(self, home, source, broker, prefix, *options):
        super().__init__(home, source)
        self.extra = ["--stream", "kafka", "--bootstrap-servers", broker, "--topic-prefix", prefix, *options]

    def options(self):
        return [*super().options(), *self.extra]

    def start(self, *args, env=None, wait=False):
        return super().start("--stages", "capture", *args, env=env, wait=wait)


class Lake(Capture):
    def start(self, *args, env=None, wait=True):
        return Millrace.start(self, "--stages", "bronze,refine,warehouse,serve", *args, env=env, wait=wait)

    def check(self):
        """Until it is equal: what has been sent may still be on its way."""
        outputs = []

        def equal():
            result = self.command("check", check=False, timeout=180)
            outputs.append(result.stdout + result.stderr)
            return result.returncode == 0
        try:
            wait_for(equal, timeout=60, what="check equal", every=0.5)
        except AssertionError:
            lines = [line for line in outputs[-1].splitlines() if not line.endswith((" equal", "not made yet"))]
            raise AssertionError("check: " + "\n".join(lines) + f"\nsee {self.log}") from None


@pytest.fixture
def capture(tmp_path, shop, kafka, prefix):
    program = Capture(tmp_path / "capture", shop.address, kafka, prefix)
    yield program
    program.kill()


@pytest.fixture
def lake(tmp_path, shop, kafka, prefix):
    program = Lake(tmp_path / "lake", shop.address, kafka, prefix)
    yield program
    program.kill()


def data(records, prefix, table):
    return [json.loads(r["value"])["payload"] for r in records
            if r["topic"] == f"{prefix}.public.{table}" and r["value"] is not None]


def rows_of(shop, tables=OLIST):
    return {table: shop.run(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def await_records(consume_all, prefix, condition, what):
    def found():
        records = consume_all(prefix + ".")
        return records if condition(records) else None
    return wait_for(found, timeout=60, what=what, every=0.5)


def test_capture_fills_topics(capture, shop, consume_all, prefix):
    shoplib.load_sample(shop, orders=200)
    capture.start()
    expected = rows_of(shop)
    records = await_records(consume_all, prefix,
                            lambda all_: {t: len(data(all_, prefix, t)) for t in OLIST} == expected, "the first copy")
    assert {r["op"] for t in OLIST for r in data(records, prefix, t)} == {"r"}
    markers = [r["source"]["snapshot"] for t in OLIST for r in data(records, prefix, t)]
    assert markers.count("first") == 1 and markers.count("last") == 1

    order = shop.run("SELECT order_id FROM order_payments LIMIT 1")[0][0]
    shop.run("UPDATE order_payments SET payment_value = 0.10 WHERE order_id = %s", order)
    shop.run("DELETE FROM order_payments WHERE order_id = %s", order)
    records = await_records(consume_all, prefix,
                            lambda all_: any(r["op"] == "d" for r in data(all_, prefix, "order_payments")), "the delete")
    ops = [r["op"] for r in data(records, prefix, "order_payments") if r["op"] != "r"]
    assert set(ops[:len(ops) // 2]) == {"u"} and set(ops[len(ops) // 2:]) == {"d"}
    assert capture.stop() == 0


def test_kills_lose_and_repeat_nothing(capture, shop, consume_all, prefix):
    """Killed again and again while rows are written: every payment once, in the end."""
    shoplib.load_sample(shop, orders=50)
    before = shop.run("SELECT count(*) FROM order_payments")[0][0]
    order = shop.run("SELECT order_id FROM orders LIMIT 1")[0][0]
    written = 0
    points = [None, "producer.sent:3", "producer.committed:3", "producer.sent:1", None]
    for point in points:
        capture.start(env={"MILLRACE_FAIL": point} if point else None)
        until = time.monotonic() + (20 if point else 2.5)
        while time.monotonic() < until and not capture.died():
            shop.run("INSERT INTO order_payments SELECT %s, 100 + %s + g, 'voucher', 1, 0.01 FROM generate_series(1, 20) g",
                     order, written)
            written += 20
        assert capture.died() == bool(point), f"{point}: {capture.tail()}"
        capture.kill()
    capture.start()
    topic = f"{prefix}.public.order_payments"
    records = await_records(consume_all, prefix, lambda all_: len(
        {r["key"] for r in all_ if r["topic"] == topic}) == before + written, "all payments")
    streamed = [r["key"] for r in records if r["topic"] == topic
                and json.loads(r["value"])["payload"]["op"] == "c"]
    assert len(streamed) == len(set(streamed)), "a payment stands twice"


def await_answers(lake, shop):
    """Gold follows the last copy in its own time."""
    def equal():
        try:
            shoplib.assert_answers_equal(lake, shop)
        except AssertionError:
            return False
        return True
    wait_for(equal, timeout=60, what=f"the sample answers (see {lake.log})", every=0.5)


def change_everything(shop):
    with shop.connect() as connection:
        connection.execute("UPDATE order_items SET price = price + 1")
        connection.execute("DELETE FROM order_reviews WHERE review_score = 1")
        order = connection.execute("SELECT order_id FROM order_items LIMIT 1").fetchone()[0]
        with connection.transaction():
            connection.execute("DELETE FROM order_items WHERE order_id = %s", (order,))
            connection.execute("DELETE FROM order_payments WHERE order_id = %s", (order,))


def test_our_capture_to_our_lake(capture, lake, shop):
    shoplib.load_sample(shop, orders=400)
    capture.start()
    lake.start()
    lake.check()
    change_everything(shop)
    lake.check()
    await_answers(lake, shop)
    lake.stop()
    shop.run("UPDATE order_items SET freight_value = 0.01 WHERE order_item_id = 1")
    lake.start()
    lake.check()
    await_answers(lake, shop)
    assert lake.stop() == 0
    assert capture.stop() == 0


def test_lake_killed_at_its_commits(capture, lake, shop):
    shoplib.load_sample(shop, orders=200)
    capture.start()
    for point in ("bronze.files", "bronze.committed"):
        lake.start(env={"MILLRACE_FAIL": f"{point}:2"}, wait=False)
        change_everything(shop)

        def died_meanwhile():
            """Changes go on, so that there is always another commit to come."""
            shop.run("UPDATE order_items SET freight_value = freight_value + 0.01 WHERE order_item_id = 1")
            return lake.died()
        wait_for(died_meanwhile, what=f"death at {point}", every=0.3)
        lake.kill()
    lake.start()
    lake.check()
    await_answers(lake, shop)


def test_debezium_to_our_lake(lake, setup, shop):
    shoplib.load_sample(shop, orders=400)
    shop.run((CLUSTER_SQL / "types.sql").read_text(encoding="utf8"))
    shop.run("UPDATE types_t SET c_date = NULL WHERE id = 5")  # the connector's copies lose the era
    tables = ["types_t", "pk2", "toast_t", "part_t", "product_category_name_translation", "geolocation"]
    setup("--tables", ",".join(f"public.{t}" for t in OLIST + tables))
    lake.extra[lake.extra.index("--topic-prefix") + 1] = setup.name
    lake.extra += ["--publication", setup.name, "--slot", "check_" + setup.name]
    lake.start()
    lake.check()
    change_everything(shop)
    shop.run("UPDATE pk2 SET b = 'moved' WHERE a = 1")
    shop.run("UPDATE toast_t SET small = 2 WHERE id = 1")
    lake.check()
    await_answers(lake, shop)
