"""Starts a real Kafka broker and a real Kafka Connect with Debezium for the session (scripts/stack), beside the
private PostgreSQL of the end-to-end tests. Connect, which is slow to start, does so while the first tests run.

Nothing is left behind: services stop by pid at the end, and a guard process stops them when this one is killed."""

import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLUSTER_SQL = pathlib.Path(__file__).parent / "sql"


def load_e2e():
    """The end-to-end tests' conftest under a name of its own; its neighbours (shoplib) by their names."""
    folder = ROOT / "tests" / "e2e"
    sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location("e2e_conftest", folder / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["e2e_conftest"] = module
    spec.loader.exec_module(module)
    return module


e2e = load_e2e()
wait_for, free_port, slow = e2e.wait_for, e2e.free_port, e2e.slow
Database, Millrace, Postgres = e2e.Database, e2e.Millrace, e2e.Postgres
postgres, database, shop, millrace = e2e.postgres, e2e.database, e2e.shop, e2e.millrace


def pytest_sessionstart():
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=1))


class Stack:
    """scripts/stack on a home of its own."""

    def __init__(self, home, *options):
        self.home = pathlib.Path(home)
        self.options = options
        self.guard = None

    def run(self, *args, check=True):
        result = subprocess.run([str(ROOT / "scripts" / "stack"), *args, "--home", str(self.home)], text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
        if check:
            assert result.returncode == 0, f"stack {args}: {result.stdout}{result.stderr}"
        return result

    def start(self, service):
        if not self.guard:
            self.guard = subprocess.Popen(
                [str(ROOT / "scripts" / "stack"), "guard", str(os.getpid()), "--remove", "--home", str(self.home)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        self.run("start", service, "--owner", str(os.getpid()), *self.options)

    def stop(self, service="all"):
        self.run("stop", service)

    def end(self):
        self.stop()
        if self.guard:
            self.guard.kill()
            self.guard.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def state(self):
        return json.loads((self.home / "stack.json").read_text(encoding="utf8"))

    def address(self, service):
        return f"127.0.0.1:{self.state['ports'][service]}"



class Background(threading.Thread):
    """Calls a function; join raises what it raised."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.error = work, None
        self.start()

    def run(self):
        try:
            self.work()
        except BaseException as error:  # noqa: B902 - for join
            self.error = error

    def result(self):
        self.join()
        if self.error:
            raise self.error


@pytest.fixture(scope="session")
def stack():
    """The broker runs; Connect is on its way (`connect` waits for it)."""
    it = Stack(tempfile.mkdtemp(prefix="millrace-kafka-", dir="/var/tmp"), "--exactly-once")
    connect_start = None
    try:
        it.start("kafka")
        connect_start = it.connecting = Background(lambda: it.start("connect"))
        yield it
    finally:
        if connect_start:
            connect_start.join()
        it.end()


@pytest.fixture(scope="session")
def kafka(stack):
    """The broker's address."""
    return stack.address("kafka")


@pytest.fixture(scope="session")
def connect(stack):
    """Kafka Connect's address."""
    stack.connecting.result()
    return "http://" + stack.address("connect")


# --- topics ---

def text(data):
    return None if data is None else data.decode("utf8")


def read_to_ends(consumer, partitions):
    """Records between the first and the last offset of each partition as they are now."""
    spans = {p: consumer.get_watermark_offsets(TopicPartition(*p), timeout=10) for p in partitions}
    open_ends = {p: high for p, (low, high) in spans.items() if high > low}
    if not open_ends:
        return
    consumer.assign([TopicPartition(*p, spans[p][0]) for p in open_ends])
    until = time.monotonic() + 60
    while open_ends:
        assert time.monotonic() < until, f"not at the ends of {open_ends} after a minute"
        message = consumer.poll(0.2)
        if message is None:
            continue
        place = (message.topic(), message.partition())
        # the last offset can be a transaction's marker, which is no record: then the end is told as an error
        if message.error() and message.error().code() != KafkaError._PARTITION_EOF:
            raise KafkaException(message.error())
        if message.error() or message.offset() >= open_ends.get(place, 0) - 1:
            open_ends.pop(place, None)
        if not message.error():
            yield {"topic": place[0], "partition": place[1], "offset": message.offset(), "key": text(message.key()),
                   "value": text(message.value()),
                   "headers": [(name, text(value)) for name, value in message.headers() or []]}


@pytest.fixture(scope="session")
def consume_all(kafka):
    """Everything committed in the topics of a prefix up to their ends now, by topic, partition and offset."""
    def consume(topic_prefix):
        consumer = Consumer({"bootstrap.servers": kafka, "group.id": "tests", "enable.auto.commit": False,
                             "isolation.level": "read_committed", "enable.partition.eof": True,
                             "fetch.wait.max.ms": 20})
        try:
            topics = consumer.list_topics(timeout=10).topics
            partitions = [(name, partition) for name in topics if name.startswith(topic_prefix)
                          for partition in topics[name].partitions]
            return sorted(read_to_ends(consumer, partitions),
                          key=lambda record: (record["topic"], record["partition"], record["offset"]))
        finally:
            consumer.close()
    return consume


# --- connectors ---

class Connect:
    """Kafka Connect's interface, as far as tests use it."""

    def __init__(self, url):
        self.url = url

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=90) as answer:
            data = answer.read()
        return json.loads(data) if data else None

    def status(self, name):
        try:
            return self.call("GET", f"/connectors/{name}/status")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


@pytest.fixture
def create_connector(connect):
    """Registers a connector; all that a test has registered go at its end."""
    rest, made = Connect(connect), []

    def create(name, config):
        made.append(name)
        rest.call("PUT", f"/connectors/{name}/config", config)
    yield create
    for name in made:
        if rest.status(name):
            rest.call("DELETE", f"/connectors/{name}")


@pytest.fixture
def delete_connector(connect):
    return lambda name: Connect(connect).call("DELETE", f"/connectors/{name}")


@pytest.fixture
def wait_connector_running(connect):
    rest = Connect(connect)

    def wait(name):
        def runs():
            status = rest.status(name)
            parts = [status["connector"], *status["tasks"]] if status else []
            failed = [part.get("trace", "") for part in parts if part["state"] == "FAILED"]
            assert not failed, f"{name} failed: {failed}"
            return len(parts) > 1 and all(part["state"] == "RUNNING" for part in parts)
        wait_for(runs, what=f"connector {name} running", every=0.2)
    return wait


@pytest.fixture
def setup(connect, shop):
    """scripts/setup_debezium.py with a connector, slot, publication and topics of this test."""
    name = "t" + uuid.uuid4().hex[:8]

    def run(*args, check=True):
        result = subprocess.run(
            [str(ROOT / "scripts" / "setup_debezium.py"), "--connect", connect, "--source", shop.address, "--name",
             name, "--topic-prefix", name, "--slot", name, "--publication", name, *args],
            text=True, capture_output=True, timeout=180, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "MILLRACE_SOURCE_PASSWORD": "s3cret"})
        assert "s3cret" not in result.stdout + result.stderr
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result
    run.name = name
    yield run
    run("--delete", "--drop-slot", check=False)


@pytest.fixture
def prefix():
    return "m" + uuid.uuid4().hex[:8]
