"""What the measuring programs share: a private PostgreSQL with the sample shop, the program under test, the
open-loop writer of purchases, and how a result is printed.

A result is one line, `RESULT<tab>name<tab>value<tab>mark<tab>verdict`; bench/run gathers them."""

import contextlib
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import conftest  # noqa: E402
import shoplib  # noqa: E402

SCRATCH = os.environ.get("BENCH_FOLDER", "/var/tmp")

# One statement is one transaction and one round trip; foreign keys are checked at its end.
PURCHASE = """
WITH c AS (INSERT INTO customers VALUES (%(key)s, %(key)s, '01037', 'sao paulo', 'SP')),
     o AS (INSERT INTO orders (order_id, customer_id, order_status, order_purchase_timestamp,
                               order_estimated_delivery_date)
           VALUES (%(key)s, %(key)s, 'created', %(at)s, %(at)s::timestamp + interval '20 days')),
     i AS (INSERT INTO order_items VALUES (%(key)s, 1, %(product)s, %(seller)s, %(at)s, 10.50, 3.25))
INSERT INTO order_payments VALUES (%(key)s, 1, 'credit_card', 1, 13.75)
"""
CHANGES_OF_A_PURCHASE = 4


def setting(name, default):
    return type(default)(os.environ.get(name, default))


def result(name, value, unit, digits=0, mark=None, at_least=False):
    """Prints a measured value and, where there is a mark, whether it is met."""
    shown = f"{value:,.{digits}f} {unit}"
    wanted = verdict = ""
    if mark is not None:
        wanted = f"{'>=' if at_least else '<='} {mark:,g} {unit}"
        verdict = "met" if (value >= mark if at_least else value <= mark) else "MISSED"
    print(f"RESULT\t{name}\t{shown}\t{wanted}\t{verdict}", flush=True)


def say(text):
    print(text, flush=True)


def quantile(ordered, q):
    """The smallest value that at least the share q of all values does not exceed."""
    return ordered[max(0, -int(-len(ordered) * q // 1) - 1)]


def memory_mb(pid):
    """Resident memory now and at its highest, of the one process."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(fields[f].split()[0]) / 1024 for f in ("VmRSS", "VmHWM"))


def file_count(folder):
    return sum(len(files) for _, _, files in os.walk(folder))


@contextlib.contextmanager
def shop(orders=None):
    """A fresh PostgreSQL with the shop's tables and the sample, and a program that is not started yet."""
    folder = tempfile.mkdtemp(prefix="millrace-bench-", dir=SCRATCH)
    cluster = pathlib.Path(folder) / "pg"
    cluster.mkdir()
    os.chmod(folder, 0o755)
    server = conftest.Postgres(str(cluster))
    program = None
    server.create()
    with open(cluster / "data" / "postgresql.conf", "a", encoding="utf8") as conf:
        conf.write("track_commit_timestamp=on\nmax_wal_size=8GB\nautovacuum=off\n")
    server.start()
    try:
        with server.connect("postgres") as admin:
            admin.execute("CREATE DATABASE shop")
        database = conftest.Database(server, "shop")
        with database.connect() as connection:
            connection.execute((ROOT / "sql" / "source" / "01_tables.sql").read_text(encoding="utf8"))
        shoplib.load_sample(database, orders)
        program = conftest.Millrace(f"{folder}/home", database.address)
        yield database, program
    finally:
        if program:
            program.kill()
            if os.environ.get("BENCH_LOG") and program.log.exists():
                shutil.copy(program.log, os.environ["BENCH_LOG"])
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


class Purchases:
    """Buys at a fixed rate whatever the answers take (open loop), on several connections, for `seconds`.
    An order's key tells nothing of its time; pending holds those not yet reported as seen."""

    def __init__(self, database, rate, seconds, writers=3):
        self.database, self.rate, self.seconds = database, rate, seconds
        self.pending, self.lock = {}, threading.Lock()
        self.sent, self.latest_s, self.failed = 0, 0.0, None
        with database.connect() as connection:
            self.products = [r[0] for r in connection.execute("SELECT product_id FROM products LIMIT 2000")]
            self.sellers = [r[0] for r in connection.execute("SELECT seller_id FROM sellers LIMIT 500")]
        self.threads = [threading.Thread(target=self.write, args=(n, writers)) for n in range(writers)]

    def start(self):
        self.began = time.time()
        for thread in self.threads:
            thread.start()

    def write(self, first, step):
        try:
            with self.database.connect(prepare_threshold=1) as connection:
                zone = "SELECT extract(epoch FROM localtimestamp) - extract(epoch FROM now())"
                offset = float(connection.execute(zone).fetchone()[0])
                for n in range(first, int(self.rate * self.seconds), step):
                    self.buy(connection, self.began + n / self.rate, offset)
        except Exception as error:  # the main thread reports it
            self.failed = error

    def buy(self, connection, due, offset):
        time.sleep(max(0.0, due - time.time()))
        at = time.time()
        key = f"{random.getrandbits(128):032x}"
        local = int(at + offset)
        with self.lock:
            self.pending[key] = local
            self.sent += 1
            self.latest_s = max(self.latest_s, at - due)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(local))
        connection.execute(PURCHASE, {"key": key, "at": stamp, "product": random.choice(self.products),
                                      "seller": random.choice(self.sellers)})

    def running(self):
        if self.failed:
            raise self.failed
        return any(thread.is_alive() for thread in self.threads)
