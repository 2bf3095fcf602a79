"""Our capture against a real Debezium connector, into the same broker, in one run, at the same guarantee: Kafka
transactions on both sides (BENCH_GUARANTEE=exactly), or idempotent against stock (BENCH_GUARANTEE=once).

Three parts, each for both, one after the other on one PostgreSQL: a copy of BENCH_ROWS rows, a backlog of as many
inserts in transactions of 100, and BENCH_RATE commits a second for BENCH_SECONDS. Rows per second until the topic holds
all of them; processor seconds of the one process (Kafka Connect, or ours); its highest resident memory; commit to read
by a read_committed consumer. Debezium polls every 20 ms (stock: 500), values without schemas on both sides."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import measure

sys.path.insert(0, str(measure.ROOT / "tests" / "cluster"))
from confluent_kafka import Consumer, TopicPartition  # noqa: E402

ROWS = measure.setting("BENCH_ROWS", 1000000)
RATE = measure.setting("BENCH_RATE", 200)
SECONDS = measure.setting("BENCH_SECONDS", 60)
GUARANTEE = measure.setting("BENCH_GUARANTEE", "exactly")
EXACTLY = GUARANTEE == "exactly"
PARTS = measure.setting("BENCH_PARTS", "copy,backlog,delays")
TICKS = os.sysconf("SC_CLK_TCK")
CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
TABLE = """CREATE TABLE stream_orders (order_id text PRIMARY KEY, customer_id text NOT NULL, order_status text NOT NULL,
    order_purchase_timestamp timestamp NOT NULL, order_approved_at timestamp, order_delivered_carrier_date timestamp,
    order_delivered_customer_date timestamp, order_estimated_delivery_date timestamp, written timestamptz)"""
ROW = """SELECT md5('{0}' || g), md5('c' || g), 'delivered', '2018-01-01'::timestamp + g * interval '1 second', '2018-01-02',
    '2018-01-03', '2018-01-04', '2018-01-05', clock_timestamp()"""


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def call(url, method="GET", body=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=90) as answer:
        data = answer.read()
    return json.loads(data) if data else None


class Topic:
    """Counts the records that read_committed consumers see."""

    def __init__(self, broker, name):
        self.name, self.count, self.delays = name, 0, []
        self.consumer = Consumer({"log_level": 0, "bootstrap.servers": broker, "group.id": "bench", "enable.auto.commit": False,
                                  "isolation.level": "read_committed", "fetch.wait.max.ms": 10})
        self.consumer.assign([TopicPartition(name, 0, 0)])

    def read(self, wanted, timeout=900, delays=False):
        """Until `wanted` records have come since the beginning."""
        until = time.monotonic() + timeout
        while self.count < wanted:
            assert time.monotonic() < until, f"{self.name}: {self.count} of {wanted} records"
            # the former waits for its time to pass, unless it has got that many
            for message in self.consumer.consume(10000, 0.02) if not delays else filter(None, [self.consumer.poll(0.02)]):
                if message.error():
                    continue
                self.count += 1
                if delays and message.value():
                    value = json.loads(message.value())
                    self.delays.append(time.time() - value["source"]["ts_us"] / 1e6)


class Ours:
    name = "millrace"

    def __init__(self, database, broker, folder):
        self.command = [measure.conftest.PROGRAM, "run", "--stages", "capture", "--home", f"{folder}/capture", "--source",
                        database.address, "--stream", "kafka", "--bootstrap-servers", broker, "--topic-prefix", self.name,
                        "--slot", self.name, "--publication", "bench", "--tables", "public.stream_orders",
                        "--key.converter.schemas.enable=false", "--value.converter.schemas.enable=false",
                        f"--stream-transactions={'true' if EXACTLY else 'false'}"]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(os.environ.get("BENCH_LOG", os.devnull), "ab"))
        return self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


class Debezium:
    name = "debezium"

    def __init__(self, database, broker, stack):
        self.url, self.stack = f"http://{stack.address('connect')}/connectors/{self.name}", stack
        self.config = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1",
            "plugin.name": "pgoutput", "database.hostname": "127.0.0.1", "database.port": str(database.server.port),
            "database.user": "shop", "database.password": "x", "database.dbname": database.name,
            "topic.prefix": self.name, "slot.name": self.name, "publication.name": "bench",
            "key.converter": CONVERTER, "key.converter.schemas.enable": "false", "value.converter": CONVERTER,
            "value.converter.schemas.enable": "false", "publication.autocreate.mode": "disabled", "table.include.list": "public.stream_orders",
            "poll.interval.ms": "20" if EXACTLY else "500", "max.batch.size": "8192", "max.queue.size": "32768",
            **({"exactly.once.support": "required", "transaction.boundary": "poll"} if EXACTLY else {})}

    def start(self):
        call(f"{self.url}/config", "PUT", self.config)
        try:
            call(f"{self.url}/resume", "PUT")
        except OSError:
            pass
        return int((self.stack.home / "connect.pid").read_text().split()[0])

    def stop(self):
        call(f"{self.url}/stop", "PUT")


def await_idle(database, name):
    measure.conftest.wait_for(lambda: not database.run(
        "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", name), what=f"{name} stopped")


def timed(side, topic, wanted, clock):
    """Starts it; seconds from the moment that clock() is true to the last record, processor seconds, memory."""
    pid = side.start()
    before = cpu_s(pid)
    measure.conftest.wait_for(clock, timeout=120, what="the start", every=0.005)
    began = time.monotonic()
    topic.read(wanted)
    return time.monotonic() - began, cpu_s(pid) - before, measure.memory_mb(pid)[1]


def report(part, numbers):
    ours, theirs = numbers["millrace"], numbers["debezium"]
    for name, (seconds, cpu, memory) in numbers.items():
        measure.result(f"{part}, {name}", ROWS / seconds, "rows/s")
        measure.result(f"{part}, {name}, processor", cpu / ROWS * 1e6, "us/row", 1)
        measure.result(f"{part}, {name}, memory", memory, "MB")
    measure.result(f"{part}, speed, ratio", theirs[0] / ours[0], "times", 1, 5, at_least=True)
    measure.result(f"{part}, processor, ratio", theirs[1] / ours[1], "times", 1, 10, at_least=True)
    measure.result(f"{part}, memory, ratio", theirs[2] / ours[2], "times", 1, 10, at_least=True)


def write_steadily(database, name):
    with database.connect() as connection:
        began = time.monotonic()
        for i in range(RATE * SECONDS):
            left = began + i / RATE - time.monotonic()
            if left > 0:
                time.sleep(left)
            connection.execute(f"INSERT INTO stream_orders {ROW.format(f'{name}{i}-')} FROM generate_series(1, 1) g")


def streams(database, side):
    """A condition: its slot is read."""
    return lambda: database.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", side.name)


def measure_copy(database, sides, topics):
    numbers = {}
    for side in sides:
        numbers[side.name] = timed(side, topics[side.name], ROWS, lambda s=side: database.run(
            "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", s.name))
        measure.conftest.wait_for(streams(database, side), what="streaming")
        side.stop()
        await_idle(database, side.name)
    report("copy", numbers)


def measure_backlog(database, sides, topics):
    numbers = {}
    with database.connect() as connection:
        for at in range(0, ROWS, 100):
            connection.execute(f"INSERT INTO stream_orders {ROW.format('b')} FROM generate_series({at + 1}, {at + 100}) g")
    for side in sides:
        numbers[side.name] = timed(side, topics[side.name], 2 * ROWS, streams(database, side))
        side.stop()
        await_idle(database, side.name)
    report("backlog", numbers)


def measure_delays(database, sides, topics):
    delays = {}
    for side in sides:
        topic = topics[side.name]
        side.start()
        measure.conftest.wait_for(streams(database, side), what="streaming")
        topic.read(database.run("SELECT count(*) FROM stream_orders")[0][0])
        writer = threading.Thread(target=write_steadily, args=(database, side.name))
        writer.start()
        topic.read(topic.count + RATE * SECONDS, delays=True)
        writer.join()
        side.stop()
        await_idle(database, side.name)
        delays[side.name] = sorted(topic.delays)
        for q in (0.5, 0.95, 0.99):
            measure.result(f"{RATE} commits/s, {side.name}, p{q * 100:.0f}",
                           measure.quantile(delays[side.name], q) * 1000, "ms", 1)
    ratio = measure.quantile(delays["millrace"], 0.99) / measure.quantile(delays["debezium"], 0.99)
    measure.result(f"{RATE} commits/s, p99, ours of theirs", ratio, "times", 2, 0.33)


def main():
    spec = importlib.util.spec_from_file_location("cluster", measure.ROOT / "tests" / "cluster" / "conftest.py")
    cluster = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cluster)
    with measure.shop(orders=5) as (database, program), tempfile.TemporaryDirectory(dir=measure.SCRATCH) as folder:
        del program
        stack = cluster.Stack(f"{folder}/stack", *(["--exactly-once"] if EXACTLY else []))
        try:
            stack.start("all")
            broker = stack.address("kafka")
            database.run(TABLE)
            database.run("CREATE PUBLICATION bench FOR TABLE stream_orders")
            database.run(f"INSERT INTO stream_orders {ROW.format('a')} FROM generate_series(1, {ROWS}) g")
            sides = [Debezium(database, broker, stack), Ours(database, broker, folder)]
            topics = {side.name: Topic(broker, f"{side.name}.public.stream_orders") for side in sides}
            parts = {"copy": measure_copy, "backlog": measure_backlog, "delays": measure_delays}
            for part in PARTS.split(","):
                parts[part](database, sides, topics)
        finally:
            stack.end()


if __name__ == "__main__":
    main()
