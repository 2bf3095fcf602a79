"""kill -9 at every named point, under load; afterwards check is exact: no duplicate, no gap.

MILLRACE_KILLS sets the number of kills (at least one for every point), MILLRACE_KILL_SECONDS how long they
may take together; MILLRACE_SEED replays a run."""

import glob
import json
import os
import random
import shutil
import subprocess
import threading
import time

import pytest
import shoplib
from conftest import PROGRAM, slow, wait_for

KILLS = int(os.environ.get("MILLRACE_KILLS", "40"))
SECONDS = int(os.environ.get("MILLRACE_KILL_SECONDS", "10800"))
SEED = int(os.environ.get("MILLRACE_SEED", str(random.SystemRandom().randrange(10**9))))

DIES_SECONDS = 240  # a rare point is passed once in many seconds, on a busy machine in more

# Points that only a first copy passes are killed in a run of their own.
COPY_POINTS = {"snapshot.begin", "snapshot.copied"}


def failpoints():
    """Those of the stream through Kafka are tests/cluster's."""
    out = subprocess.run([PROGRAM, "version", "--failpoints"], capture_output=True, text=True, check=True)
    return [name for name in out.stdout.split() if not name.startswith("producer.")]


class Load(threading.Thread):
    """Keeps changing the shop in small transactions until told to stop: inserts, updates, deletes, key
    changes, and groups of tables in one transaction."""

    def __init__(self, shop, seed):
        super().__init__(daemon=True)
        self.shop = shop
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.transactions = 0
        self.failure = None

    def run(self):
        try:
            with self.shop.connect() as connection:
                while not self.stopping.is_set():
                    self.step(connection)
                    self.transactions += 1
                    time.sleep(0.002)  # the pace of the load, not a wait for anything
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def step(self, connection):
        kind = self.random.random()
        if kind < 0.5:
            self.new_order(connection)
        elif kind < 0.7:
            connection.execute("UPDATE orders SET order_status = 'shipped' WHERE order_id IN "
                               "(SELECT order_id FROM orders ORDER BY md5(order_id || %s) LIMIT 3)", (str(kind),))
        elif kind < 0.85:
            connection.execute("UPDATE order_items SET price = price + 0.01 WHERE order_id IN "
                               "(SELECT order_id FROM order_items ORDER BY md5(order_id || %s) LIMIT 2)", (str(kind),))
        elif kind < 0.95:
            connection.execute("UPDATE products SET product_category_name = "
                               "(ARRAY['bebes','perfumaria','moveis_decoracao'])[1 + floor(random() * 3)::int] "
                               "WHERE product_id = (SELECT product_id FROM products ORDER BY md5(product_id || %s) "
                               "LIMIT 1)", (str(kind),))
        else:
            with connection.transaction():
                order = connection.execute("SELECT order_id FROM orders ORDER BY md5(order_id || %s) LIMIT 1",
                                           (str(kind),)).fetchone()[0]
                for table in ("order_reviews", "order_payments", "order_items", "orders"):
                    connection.execute(f"DELETE FROM {table} WHERE order_id = %s", (order,))

    def new_order(self, connection):
        key = f"{self.random.getrandbits(128):032x}"
        with connection.transaction():
            connection.execute("INSERT INTO customers VALUES (%s, %s, '01037', 'sao paulo', 'SP')",
                               (key, f"{self.random.randrange(40):032x}"))
            connection.execute("INSERT INTO orders (order_id, customer_id, order_status, order_purchase_timestamp, "
                               "order_estimated_delivery_date) VALUES (%s, %s, 'created', localtimestamp, "
                               "localtimestamp::date + 20)", (key, key))
            connection.execute("INSERT INTO order_items SELECT %s, n, (SELECT product_id FROM products ORDER BY "
                               "md5(product_id || %s || n) LIMIT 1), (SELECT seller_id FROM sellers LIMIT 1), "
                               "localtimestamp, 10.50, 3.25 FROM generate_series(1, 2) n", (key, key))
            connection.execute("INSERT INTO order_payments VALUES (%s, 1, 'credit_card', 1, 27.50)", (key,))

    def stop(self):
        self.stopping.set()
        self.join(timeout=30)
        if self.failure:
            raise self.failure


def schedule(seed, points, kills):
    """Every point at least once, then at random; the passing at which it kills is small and random."""
    rng = random.Random(seed)
    stream = [p for p in points if p not in COPY_POINTS]
    chosen = stream + [rng.choice(stream) for _ in range(max(0, kills - len(stream)))]
    rng.shuffle(chosen)
    return [(point, rng.randint(1, 6)) for point in chosen]


def settings(point):
    """A point that is passed rarely is made frequent, so that the kill comes soon."""
    rare = {"keyed.compacted": {"MILLRACE_LIVE_FILES_MAX": "4"}}
    return rare.get(point, {})


def test_every_point_under_load(millrace, shop):
    print(f"\nseed {SEED}, {KILLS} kills", flush=True)
    until = time.monotonic() + SECONDS
    shoplib.load_sample(shop, orders=200)
    millrace.start(env={"MILLRACE_CHECKPOINT_COMMITS": "5"})  # a property that tables keep from their creation
    millrace.caught_up()
    millrace.stop()
    load = Load(shop, SEED)
    load.start()
    try:
        for done, (point, times) in enumerate(schedule(SEED, failpoints(), KILLS)):
            if done % 50 == 0:
                print(f"{done} kills, {load.transactions} transactions", flush=True)
            assert time.monotonic() < until, f"{done} kills in {SECONDS} s (seed {SEED})"
            env = {"MILLRACE_FAIL": f"{point}:{times}", **settings(point)}
            if point == "warehouse.exchange":
                shutil.rmtree(f"{millrace.home}/warehouse", ignore_errors=True)
                env["MILLRACE_FAIL"] = f"{point}:1"
            millrace.start(env=env, wait=False)
            wait_for(millrace.died, timeout=DIES_SECONDS, what=f"the kill at {point}:{times} (seed {SEED}; see {millrace.log})")
            assert millrace.process.returncode == -9, f"{point}: exit {millrace.process.returncode}: {millrace.tail()}"
            millrace.process = None
    finally:
        load.stop()
    millrace.start()
    millrace.caught_up()
    out = millrace.command("check", check=False)
    assert out.returncode == 0, f"seed {SEED}\n{out.stdout}\n{out.stderr}"
    assert millrace.scalar("SELECT count() - uniqExact(order_id, order_item_id) FROM fact_orders") == "0"
    assert load.transactions > 0


@pytest.mark.parametrize("point", sorted(COPY_POINTS))
def test_a_killed_copy_leaves_no_ghosts(millrace, shop, point):
    """Rows that vanish between a broken copy and the next must not stay."""
    shoplib.load_sample(shop, orders=100)
    millrace.start(env={"MILLRACE_FAIL": f"{point}:1"}, wait=False)
    wait_for(millrace.died, what=f"the kill at {point}")
    millrace.process = None
    with shop.connect() as connection, connection.transaction():
        order = connection.execute("SELECT order_id FROM orders LIMIT 1").fetchone()[0]
        for table in ("order_reviews", "order_payments", "order_items", "orders"):
            connection.execute(f"DELETE FROM {table} WHERE order_id = %s", (order,))
    millrace.start()
    millrace.caught_up()
    millrace.command("check")
    assert millrace.scalar(f"SELECT count() FROM fact_orders WHERE order_id = '{order}'") == "0"


def assert_batches_are_cuts(millrace):
    """No row of `batches` names a version of a silver table that has taken more than the row's position."""
    taken = {}
    for folder in glob.glob(f"{millrace.home}/lake/silver/*/_delta_log"):
        position, positions = -1, {}
        for entry in sorted(glob.glob(f"{folder}/*.json")):
            with open(entry, encoding="utf8") as lines:
                for action in map(json.loads, lines):
                    position = max(position, action.get("txn", {}).get("version", -1))
            positions[int(os.path.basename(entry)[:-5])] = position
        taken[folder.split("/")[-2]] = positions
    rows = millrace.query("SELECT position, versions FROM gold.batches FORMAT TSVRaw")
    assert rows
    for position, versions in rows:
        for table, version in json.loads(versions)["silver"].items():
            known = taken.get(table, {}).get(version)
            assert known is None or known <= int(position), f"{table} version {version} in the batch at {position}"


def bronze_takes_all(millrace, shop):
    """Runs capture and bronze alone until the server may forget what was committed; a position follows."""
    lsn = shop.run("SELECT pg_current_wal_lsn()")[0][0]
    millrace.start("--stages", "capture,bronze", wait=False)
    wait_for(lambda: shop.run("SELECT 1 FROM pg_replication_slots WHERE database = current_database() "
                              "AND confirmed_flush_lsn > %s::pg_lsn", lsn), what="bronze at the source's position")
    millrace.stop()


@pytest.mark.parametrize("point", ["gold.model", pytest.param("refine.silver", marks=slow),
                                   pytest.param("refine.batches", marks=slow)])
def test_a_backlog_cut_short_is_taken_to_its_end(millrace, shop, point):
    """In a backlog gold waits for several ranges; a kill finds silver, and then gold, further than `batches`."""
    small = ["--refine-bytes", "1MB", "--flush-bytes", "1MB"]
    shoplib.load_sample(shop, orders=200)
    millrace.start()
    millrace.caught_up()
    millrace.stop()
    for number in range(2):
        shop.run("INSERT INTO customers SELECT md5(i::text), md5((i / 2)::text), '01310', 'sao paulo', 'SP' "
                 "FROM generate_series(%s::int, %s::int) i", number * 5500, number * 5500 + 5499)
        shop.run("INSERT INTO orders SELECT md5(i::text), md5(i::text), 'created', now(), NULL, NULL, NULL, now() "
                 "FROM generate_series(%s::int, %s::int) i", number * 5500, number * 5500 + 5499)
    bronze_takes_all(millrace, shop)
    millrace.start(*small, env={"MILLRACE_FAIL": f"{point}:{2 if point == 'refine.silver' else 1}"}, wait=False)
    wait_for(millrace.died, what=f"the kill at {point}")
    millrace.process = None
    shop.run("UPDATE orders SET order_status = 'approved' WHERE order_status = 'created' AND order_id < '1'")
    bronze_takes_all(millrace, shop)
    millrace.start(*small)
    millrace.caught_up()
    millrace.command("check")
    assert_batches_are_cuts(millrace)
