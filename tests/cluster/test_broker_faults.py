"""Bad luck with a real broker, which is this file's own: killed, paused, away, filled with what is not an event."""

import json
import os
import signal
import tempfile
import time

import pytest
import shoplib
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from conftest import Stack, slow, wait_for
from test_stream import Capture, Lake, await_answers


@pytest.fixture(scope="module")
def own_stack():
    it = Stack(tempfile.mkdtemp(prefix="millrace-kafka-", dir="/var/tmp"))
    try:
        it.start("kafka")
        yield it
    finally:
        it.end()


@pytest.fixture
def broker(own_stack):
    """Runs at the beginning and at the end of each test."""
    own_stack.start("kafka")
    yield own_stack
    try:
        os.kill(pid(own_stack), signal.SIGCONT)
    except (ProcessLookupError, FileNotFoundError):
        pass
    own_stack.start("kafka")


def pid(stack):
    return int((stack.home / "kafka.pid").read_text().split()[0])


@pytest.fixture
def capture(tmp_path, shop, broker, prefix):
    program = Capture(tmp_path / "capture", shop.address, broker.address("kafka"), prefix)
    yield program
    program.kill()


@pytest.fixture
def lake(tmp_path, shop, broker, prefix):
    program = Lake(tmp_path / "lake", shop.address, broker.address("kafka"), prefix)
    yield program
    program.kill()


class Payments:
    """Rows that are written while something happens; each must be in the lake once."""

    def __init__(self, shop):
        self.shop, self.count = shop, 0
        self.order = shop.run("SELECT order_id FROM orders LIMIT 1")[0][0]

    def write(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.shop.run("INSERT INTO order_payments SELECT %s, 100 + %s + g, 'voucher', 1, 0.01 "
                          "FROM generate_series(1, 5) g", self.order, self.count)
            self.count += 5
            time.sleep(0.02)  # payments are numbered in a smallint


def both_start(capture, lake, shop):
    shoplib.load_sample(shop, orders=50)
    capture.start()
    lake.start()
    lake.check()
    return Payments(shop)


def test_broker_killed_and_restarted_under_load(capture, lake, broker, shop):
    payments = both_start(capture, lake, shop)
    payments.write(1)
    os.kill(pid(broker), signal.SIGKILL)
    payments.write(2)
    broker.start("kafka")
    payments.write(1)
    lake.check()
    await_answers(lake, shop)
    assert capture.alive() and lake.alive()


@pytest.mark.parametrize("seconds", [15, pytest.param(60, marks=slow)])
def test_broker_paused(capture, lake, broker, shop, seconds):
    payments = both_start(capture, lake, shop)
    os.kill(pid(broker), signal.SIGSTOP)
    payments.write(seconds)
    os.kill(pid(broker), signal.SIGCONT)
    lake.check()
    await_answers(lake, shop)
    assert capture.alive() and lake.alive()


def test_broker_away_at_the_start(capture, lake, broker, shop):
    shoplib.load_sample(shop, orders=50)
    broker.stop("kafka")
    lake.start(wait=False)
    capture.start()
    for program in (lake, capture):
        wait_for(lambda p=program: p.alive() and "bootstrap_servers" in p.tail(), what="a word about the broker")
    broker.start("kafka")
    wait_for(lake.answers, timeout=60, what="the lake answers")
    lake.check()
    await_answers(lake, shop)


def quarantine(lake):
    return "\n".join(" ".join(row) for row in lake.query("SELECT * FROM silver.quarantine"))


def test_what_is_no_event_goes_into_quarantine(capture, lake, broker, shop, prefix):
    payments = both_start(capture, lake, shop)
    producer = Producer({"bootstrap.servers": broker.address("kafka")})
    topic = f"{prefix}.public.order_payments"
    producer.produce(topic, key=b"{}", value=b"not JSON")
    producer.produce(topic, key=b"{}", value=json.dumps({"id": 1, "__deleted": "false"}).encode())
    producer.flush(30)
    payments.write(0.5)
    wait_for(lambda: quarantine(lake).count(topic) >= 2, what="both records in quarantine", every=0.5)
    assert "ExtractNewRecordState" in quarantine(lake)
    lake.check()


def test_records_deleted_before_they_were_read_are_told(capture, lake, broker, shop, prefix):
    payments = both_start(capture, lake, shop)
    lake.stop()
    payments.write(1)
    topic = f"{prefix}.public.order_payments"
    admin = AdminClient({"bootstrap.servers": broker.address("kafka")})
    capture.stop()
    low = admin.delete_records([TopicPartition(topic, 0, -1)])
    for future in low.values():
        future.result(timeout=30)
    lake.start()
    wait_for(lambda: "deleted from the topic before they were read" in quarantine(lake), what="the gap in quarantine",
             every=0.5)
