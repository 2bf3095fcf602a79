"""The recommended connector (debezium/connector_config.json), registered by scripts/setup_debezium.py, against a
real Kafka Connect: the first copy of every table arrives whole, and what is removed is gone."""

import collections
import json
import os
import subprocess
import uuid

import pytest
from conftest import CLUSTER_SQL, ROOT, Connect, wait_for
from shoplib import FILES, load_sample

OLIST = [table for table, _ in FILES if table != "product_category_name_translation"]
TYPES = ["types_t", "pk2", "nopk", "toast_t", "part_t", "nan_t"]


def data_records(records, prefix):
    """Records of tables, by table."""
    found = collections.defaultdict(list)
    for record in records:
        if record["value"] is not None:
            found[record["topic"].removeprefix(f"{prefix}.public.")].append(json.loads(record["value"])["payload"])
    return found


def slots(database, name):
    return database.run("SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", name)


def test_first_copy_of_every_table(setup, shop, consume_all):
    load_sample(shop, orders=300)
    shop.run((CLUSTER_SQL / "types.sql").read_text(encoding="utf8"))
    setup("--tables", ",".join(f"public.{table}" for table in OLIST + TYPES))
    expected = {table: shop.run(f"SELECT count(*) FROM {table}")[0][0] for table in OLIST + TYPES}

    def copied():
        return data_records(consume_all(setup.name + "."), setup.name)
    wait_for(lambda: sum(map(len, copied().values())) >= sum(expected.values()), what="the first copy", every=0.5)
    found = copied()
    assert {table: len(rows) for table, rows in found.items()} == expected
    assert {row["op"] for rows in found.values() for row in rows} == {"r"}

    # what the recommended settings are for: nothing is lost on the way
    nan = {row["after"]["id"]: row["after"] for row in found["nan_t"]}
    assert nan[1]["n"] == "NAN" and nan[2]["n"] == "POSITIVE_INFINITY"
    types = {row["after"]["id"]: row["after"] for row in found["types_t"]}
    assert types[2]["c_def"] is None, "NULL arrived as the column's default"
    assert types[1]["c_numeric"] == "12345.67890" and types[4]["c_numeric"] == "100.00"
    assert types[1]["c_pg_lsn"] is not None, "a type that Debezium does not know was left out"


def test_changes_follow(setup, shop, consume_all):
    load_sample(shop, orders=5)
    setup()
    assert "RUNNING" in setup("--status").stdout
    order = shop.run("SELECT order_id FROM order_payments LIMIT 1")[0][0]
    shop.run("UPDATE order_payments SET payment_value = 0.10 WHERE order_id = %s", order)
    shop.run("DELETE FROM order_payments WHERE order_id = %s", order)
    shop.run("TRUNCATE order_reviews")

    def operations(table):
        return [json.loads(record["value"])["payload"]["op"] if record["value"] else None
                for record in consume_all(f"{setup.name}.public.{table}")]
    wait_for(lambda: operations("order_reviews")[-1:] == ["t"], what="the truncate", every=0.5)
    after_copy = [op for op in operations("order_payments") if op != "r"]
    assert after_copy.count("u") == after_copy.count("d") == after_copy.count(None) >= 1


def test_registering_again_changes_the_configuration(setup, shop, connect):
    load_sample(shop, orders=2)
    setup()
    setup("--set", "heartbeat.interval.ms=500")
    config = Connect(connect).call("GET", f"/connectors/{setup.name}/config")
    assert config["heartbeat.interval.ms"] == "500"
    assert config["value.converter.replace.null.with.default"] == "false"


def test_delete(setup, shop):
    load_sample(shop, orders=2)
    setup()
    assert slots(shop, setup.name)
    kept = setup("--delete")
    assert "--drop-slot" in kept.stdout and slots(shop, setup.name)
    assert setup("--status", check=False).returncode == 1
    setup("--delete", "--drop-slot")
    assert not slots(shop, setup.name)


def test_failure_is_told(setup, shop):
    """The task's own words, not a time-out."""
    result = setup("--set", "publication.autocreate.mode=disabled", "--timeout", "60", check=False)
    assert result.returncode == 1
    assert "FAILED" in result.stderr and "publication" in result.stderr.lower(), result.stderr


def finding(text, what):
    """doctor's word about one thing: ok, warn or bad."""
    return [line.split()[0] for line in text.splitlines() if line[6:].startswith(what + " ")]


def test_doctor_knows_the_connector(setup, shop, millrace, connect):
    load_sample(shop, orders=2)
    setup()

    def doctor():
        return millrace.command("doctor", "--connect", connect, "--connector", setup.name, check=False).stdout
    good = doctor()
    assert finding(good, "connector state") == finding(good, "task state") == ["ok"], good
    for setting in ("plugin.name", "decimal.handling.mode", "value.converter.replace.null.with.default",
                    "skipped.operations", "heartbeat.interval.ms", "publication.autocreate.mode"):
        assert finding(good, setting) == ["ok"], good

    setup("--set", "decimal.handling.mode=double", "--set", "skipped.operations=t")
    poor = doctor()
    assert finding(poor, "decimal.handling.mode") == ["bad"] and finding(poor, "skipped.operations") == ["warn"], poor

    setup("--set", "publication.autocreate.mode=disabled", "--set", "publication.name=missing", "--timeout", "60",
          check=False)
    wait_for(lambda: finding(doctor(), "task state") == ["bad"], what="the failed task", every=0.5)
    assert "missing" in doctor() or "ublication" in doctor()


def test_connector_that_setup_prints(shop, millrace, create_connector, wait_connector_running, consume_all):
    """As the role that setup makes, which owns nothing: it reads, streams and leaves the publication alone."""
    load_sample(shop, orders=20)
    name = "t" + uuid.uuid4().hex[:8]
    printed = json.loads(millrace.command("setup", "--capture", "debezium", "--topic-prefix", name, "--slot", name,
                                          "--publication", name).stdout)
    assert printed["config"]["database.user"] == "millrace"
    create_connector(name, printed["config"])
    wait_connector_running(name)
    shop.run("UPDATE orders SET order_status = 'canceled'")
    wait_for(lambda: [row["op"] for row in data_records(consume_all(name + "."), name)["orders"]].count("u") == 20,
             what="20 updates", every=0.5)
