"""Bad luck with a real broker, which is this file's own: killed, paused, away, full, with topics deleted, rights
taken, messages refused, or filled with what is not an event."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest
import shoplib
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient,
                                   AlterConfigOpType, ConfigEntry, ConfigResource, ResourcePatternType, ResourceType)
from conftest import Millrace, Stack, slow, wait_for
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


needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system: needs root")


def runs(stack):
    """A process that has ended is not of this parent: it stays until init takes it."""
    try:
        state = pathlib.Path(f"/proc/{pid(stack)}/stat").read_text(encoding="utf8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def configure(stack, topic, settings):
    admin = AdminClient({"bootstrap.servers": stack.address("kafka")})
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=30)


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


def test_source_that_is_away_puts_nothing_into_quarantine(capture, lake, broker, shop):
    """Records without schema need the catalogue: what cannot be asked is waited for, and its records with it."""
    capture.extra.append("--value.converter.schemas.enable=false")
    shoplib.load_sample(shop, orders=50)
    lake.source = shop.address.replace("//shop@", "//nobody:wrong@")
    capture.start()
    lake.start()
    wait_for(lambda: "nobody" in lake.tail(), timeout=60, what="the role is named")
    assert "record cannot be read" not in lake.tail(10**6)
    lake.stop()
    lake.source = shop.address
    lake.start()
    lake.check()
    await_answers(lake, shop)
    assert quarantine(lake) == ""


# --- settings and rights ---


def test_topic_deleted_under_load(capture, lake, broker, shop, prefix):
    """What was in it is in the lake; what comes goes to a topic that is made anew, and is read from its beginning.
    Much is written before and little after: a topic that has grown beyond the old place cannot be told from the old."""
    payments = both_start(capture, lake, shop)
    payments.write(4)
    lake.check()
    admin = AdminClient({"bootstrap.servers": broker.address("kafka")})
    for future in admin.delete_topics([f"{prefix}.public.order_payments"]).values():
        future.result(timeout=30)
    payments.write(0.3)

    def told():
        """librdkafka cannot abort a transaction whose only partition is gone: then the process ends, for a supervisor."""
        if capture.died():
            assert "fatal" in capture.tail()
            capture.start()
        return "made anew" in quarantine(lake)
    wait_for(told, timeout=90, what="a word about it in quarantine", every=0.5)
    payments.write(0.5)
    lake.check()
    await_answers(lake, shop)
    assert lake.alive()


def test_message_too_large(capture, lake, broker, shop, prefix):
    """Said with the setting to change; goes on by itself once it is changed."""
    both_start(capture, lake, shop)
    review = shop.run("SELECT review_id FROM order_reviews LIMIT 1")[0][0]
    shop.run("UPDATE order_reviews SET review_comment_message = (SELECT string_agg(md5(random()::text), '') FROM "
             "generate_series(1, 60000)) WHERE review_id = %s", review)
    wait_for(lambda: "max.message.bytes" in capture.tail(), timeout=60, what="the setting to change", every=0.3)
    assert capture.alive()
    configure(broker, f"{prefix}.public.order_reviews", {"max.message.bytes": "20000000"})
    capture.stop()
    capture.extra += ["--kafka.message.max.bytes", "20000000"]
    capture.start()
    lake.check()
    assert lake.alive()


def test_local_queue_is_full(capture, lake, broker, shop):
    """Far more than it holds: capture waits instead of growing."""
    capture.extra += ["--kafka.queue.buffering.max.messages", "1000", "--kafka.queue.buffering.max.kbytes", "512"]
    payments = both_start(capture, lake, shop)
    os.kill(pid(broker), signal.SIGSTOP)
    shop.run("INSERT INTO order_payments SELECT order_id, 1000 + g, 'voucher', 1, 0.01 FROM orders, generate_series(1, 600) g")
    payments.write(3)
    os.kill(pid(broker), signal.SIGCONT)
    lake.check()
    await_answers(lake, shop)
    assert capture.alive() and lake.alive()


@needs_mount
def test_two_processes_on_one_lake(capture, lake, broker, shop, tmp_path, prefix):
    """A lake that is shared between two machines: one of them gives up and says why."""
    payments = both_start(capture, lake, shop)
    other = Lake(tmp_path / "other", shop.address, broker.address("kafka"), prefix)
    shared = tmp_path / "other" / "lake"
    shared.mkdir(parents=True)
    subprocess.run(["mount", "--bind", tmp_path / "lake" / "lake", shared], check=True)
    try:
        Millrace.start(other, "--stages", "bronze", wait=False)

        def one_has_given_up():
            payments.write(0.3)
            return other.died() or lake.died()
        wait_for(one_has_given_up, timeout=60, what="one of the two gives up")
        loser = other if other.died() else lake
        assert "another process writes this lake" in loser.tail()
    finally:
        other.kill()
        subprocess.run(["umount", "-l", shared], check=True)
    if lake.died():
        lake.start()
    payments.write(0.5)
    lake.check()
    await_answers(lake, shop)


# --- a broker with rights, and one whose disk is full: each its own ---

@pytest.fixture
def strict():
    it = Stack(tempfile.mkdtemp(prefix="millrace-kafka-", dir="/var/tmp"), "--sasl", "millrace:right")
    try:
        it.start("kafka")
        yield it
    finally:
        it.end()


def acl(broker, operations, create):
    """All that the user needs, or nothing of it."""
    admin = AdminClient({"bootstrap.servers": broker.address("kafka")})
    bindings = [AclBinding(kind, name, ResourcePatternType.LITERAL, "User:millrace", "*", operation,
                           AclPermissionType.ALLOW) for kind, name, operation in operations]
    if create:
        futures = admin.create_acls(bindings)
    else:
        futures = admin.delete_acls([AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, "User:millrace",
                                                      None, AclOperation.ANY, AclPermissionType.ANY)])
    for future in futures.values():
        future.result(timeout=30)


EVERYTHING = [(ResourceType.TOPIC, "*", AclOperation.ALL), (ResourceType.TRANSACTIONAL_ID, "*", AclOperation.ALL),
              (ResourceType.BROKER, "kafka-cluster", AclOperation.ALL), (ResourceType.GROUP, "*", AclOperation.ALL)]


def test_authorisation_refused(tmp_path, shop, strict, prefix):
    """Wrong password, no rights at the start, rights taken away meanwhile: named each time, and it goes on by itself
    (a process that had to end goes on when it is started)."""
    address = f"127.0.0.1:{strict.state['ports']['sasl']}"
    login = ["--kafka.security.protocol", "SASL_PLAINTEXT", "--kafka.sasl.mechanism", "PLAIN", "--kafka.sasl.username",
             "millrace", "--kafka.sasl.password"]
    shoplib.load_sample(shop, orders=50)
    wrong = Capture(tmp_path / "wrong", shop.address, address, prefix, *login, "wrong")
    capture = Capture(tmp_path / "capture", shop.address, address, prefix, *login, "right")
    lake = Lake(tmp_path / "lake", shop.address, strict.address("kafka"), prefix)
    try:
        wrong.start()
        wait_for(lambda: "kafka.sasl.password" in wrong.tail(), timeout=60, what="the password is named")
        wrong.kill()
        capture.start()
        wait_for(lambda: "kafka-acls" in capture.tail(), timeout=60, what="the missing rights are named")
        acl(strict, EVERYTHING, True)
        if capture.died():
            capture.start()
        lake.start()
        lake.check()
        payments = Payments(shop)
        acl(strict, EVERYTHING, False)
        seen = len(capture.tail(10**6))
        payments.write(1)
        wait_for(lambda: "kafka-acls" in capture.tail(10**6)[seen:], timeout=60, what="the rights that were taken away")
        acl(strict, EVERYTHING, True)
        payments.write(0.5)
        if capture.died():
            capture.start()
        lake.check()
        await_answers(lake, shop)
    finally:
        for program in (wrong, capture, lake):
            program.kill()


@needs_mount
def test_disk_of_the_broker_is_full(tmp_path, shop, prefix):
    """The broker stops itself then. Room is made, it is started again: nothing is lost, nothing twice."""
    folder = tempfile.mkdtemp(prefix="millrace-kafka-", dir="/var/tmp")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "none", folder], check=True)
    it = Stack(folder)
    try:
        it.start("kafka")
        capture = Capture(tmp_path / "capture", shop.address, it.address("kafka"), prefix)
        lake = Lake(tmp_path / "lake", shop.address, it.address("kafka"), prefix)
        try:
            payments = both_start(capture, lake, shop)
            fill = pathlib.Path(folder, "fill")
            with open(fill, "wb") as f:
                try:
                    while True:
                        f.write(bytes(1 << 20))
                        f.flush()
                except OSError:
                    pass
            payments.write(3)
            wait_for(lambda: payments.write(0.3) or not runs(it) or "Kafka" in capture.tail(), timeout=60,
                     what="the broker notices")
            fill.unlink()
            it.start("kafka")
            payments.write(0.5)
            if capture.died():
                capture.start()
            lake.check()
            await_answers(lake, shop)
            assert lake.alive()
        finally:
            capture.kill()
            lake.kill()
    finally:
        it.stop()
        if it.guard:
            it.guard.kill()
            it.guard.wait()
        subprocess.run(["umount", "-l", folder], check=True)
        os.rmdir(folder)
