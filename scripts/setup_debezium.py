#!/usr/bin/env python3
"""Registers Debezium's connector with Kafka Connect, or brings a registered one up to date.

    scripts/setup_debezium.py --source postgres://millrace@shop-db/shop     register, wait until it runs
    scripts/setup_debezium.py --status
    scripts/setup_debezium.py --delete [--drop-slot]

The configuration is debezium/connector_config.json. Its ${NAME:-default} are filled from the options, then from
the environment; the password comes from --source, MILLRACE_SOURCE_PASSWORD or PGPASSWORD and is never printed.
Exit codes: 0 done, 1 Connect or the connector refuses (its own words are printed), 2 wrong call.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "debezium" / "connector_config.json"
PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")


class Refused(Exception):
    """Connect's answer with its status, 0 when there was none."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def call(connect, method, path, body=None):
    request = urllib.request.Request(connect.rstrip("/") + path, method=method,
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            data = answer.read()
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf8", "replace")
        try:
            text = json.loads(text)["message"]
        except (ValueError, KeyError, TypeError):
            pass
        raise Refused(error.code, text) from error
    except OSError as error:
        raise Refused(0, f"Kafka Connect at {connect} does not answer: {error}") from error
    return json.loads(data) if data else None


def path_of(name, rest=""):
    return f"/connectors/{urllib.parse.quote(name, safe='')}{rest}"


# --- the configuration ---

def source_values(source):
    """What a postgres:// address says, under the placeholders' names."""
    url = urllib.parse.urlsplit(source)
    if url.scheme not in ("postgres", "postgresql") or not url.hostname:
        sys.exit("setup_debezium: --source wants postgres://user@host:port/database")
    found = {"HOST": url.hostname, "PORT": url.port, "USER": url.username, "PASSWORD": url.password,
             "DATABASE": url.path.lstrip("/")}
    return {f"MILLRACE_SOURCE_{name}": urllib.parse.unquote(str(value)) for name, value in found.items() if value}


def placeholders(args):
    values = {name: value for name, value in os.environ.items() if value}
    if "PGPASSWORD" in values:
        values.setdefault("MILLRACE_SOURCE_PASSWORD", values["PGPASSWORD"])
    if source := args.source or values.get("MILLRACE_SOURCE"):
        values |= source_values(source)
    given = {"CONNECTOR": args.name, "TOPIC_PREFIX": args.topic_prefix, "SLOT": args.slot,
             "PUBLICATION": args.publication, "TABLES": args.tables}
    return values | {f"MILLRACE_{name}": value for name, value in given.items() if value}


def fill(text, values):
    return PLACEHOLDER.sub(lambda m: values.get(m[1], m[2] or ""), text)


def configuration(args):
    """The connector's name and its filled configuration."""
    values = placeholders(args)
    template = json.loads(pathlib.Path(args.config).read_text(encoding="utf8"))
    config = {key: fill(value, values) for key, value in template["config"].items()}
    for text in args.set:
        key, equals, value = text.partition("=")
        if not equals:
            sys.exit(f"setup_debezium: --set {text}: want NAME=VALUE")
        config[key] = value
    return fill(template["name"], values), config


# --- what it does ---

def traces(status):
    parts = [("connector", status["connector"]), *((f"task {task['id']}", task) for task in status["tasks"])]
    return [f"{what} {part['state']}: {part.get('trace', 'no trace')}" for what, part in parts
            if part["state"] == "FAILED"]


def running(status):
    return status["connector"]["state"] == "RUNNING" and bool(status["tasks"]) and all(
        task["state"] == "RUNNING" for task in status["tasks"])


def show(status):
    tasks = ", ".join(f"task {task['id']} {task['state']}" for task in status["tasks"]) or "no task"
    print(f"{status['name']}: connector {status['connector']['state']}, {tasks}")


def get_status(args, name):
    return call(args.connect, "GET", path_of(name, "/status"))


def wait_running(args, name):
    until = time.monotonic() + args.timeout
    status = None
    while time.monotonic() < until:
        try:
            status = get_status(args, name)
        except Refused as refused:
            if refused.status != 404:  # it is not told to all of Connect yet
                raise
        if status and running(status):
            return show(status)
        if status and traces(status):
            raise Refused(500, "\n".join(traces(status)))
        time.sleep(0.2)
    raise Refused(0, f"{name} does not run after {args.timeout} s; last seen: {json.dumps(status)}")


def register(args):
    name, config = configuration(args)
    try:  # a task that has failed stays so when the configuration is the same
        failed = bool(traces(get_status(args, name)))
    except Refused as refused:
        if refused.status != 404:
            raise
        failed = False
    while_balancing(args, lambda: call(args.connect, "PUT", path_of(name, "/config"), config))
    if failed:
        while_balancing(args, lambda: call(args.connect, "POST",
                                           path_of(name, "/restart?includeTasks=true&onlyFailed=true")))
        time.sleep(1)  # for the old state to be replaced
    wait_running(args, name)


def while_balancing(args, do):
    """Connect answers 409 while its workers share out the work."""
    until = time.monotonic() + args.timeout
    while True:
        try:
            return do()
        except Refused as refused:
            if refused.status != 409 or time.monotonic() > until:
                raise
        time.sleep(0.5)


def wait_gone(args, name):
    """Connect forgets the tasks a moment after the connector."""
    until = time.monotonic() + args.timeout
    while time.monotonic() < until:
        try:
            get_status(args, name)
        except Refused as refused:
            if refused.status == 404:
                return
            raise
        time.sleep(0.1)
    raise Refused(0, f"{name} is still there after {args.timeout} s")


def delete(args):
    name, config = configuration(args)
    try:
        config = call(args.connect, "GET", path_of(name, "/config"))
        while_balancing(args, lambda: call(args.connect, "DELETE", path_of(name)))
        wait_gone(args, name)
        print(f"{name}: deleted")
    except Refused as refused:
        if refused.status != 404:
            raise
        print(f"{name}: not registered")
    if args.drop_slot:
        drop_slot(args, config)
    elif config.get("slot.name"):
        print(f"the slot {config['slot.name']} stays and keeps WAL; --drop-slot drops it")


DROP = """SELECT CASE WHEN active THEN 'active' ELSE (SELECT 'dropped' FROM pg_drop_replication_slot(slot_name)) END
FROM pg_replication_slots WHERE slot_name = :'slot'"""


def drop_slot(args, config):
    if not shutil.which("psql"):
        raise Refused(0, f"psql is not there; run SELECT pg_drop_replication_slot('{config['slot.name']}');")
    password = placeholders(args).get("MILLRACE_SOURCE_PASSWORD") or config.get("database.password", "")
    call_psql = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", f"slot={config['slot.name']}",
                 "-h", config["database.hostname"], "-p", config["database.port"], "-U", config["database.user"],
                 "-d", config["database.dbname"]]
    until = time.monotonic() + args.timeout
    while True:  # the connector lets go of it a moment after it is deleted
        result = subprocess.run(call_psql, input=DROP, text=True, capture_output=True, check=False,
                                env={**os.environ, "PGPASSWORD": password})
        if result.returncode:
            raise Refused(0, f"cannot drop the slot: {result.stderr.strip()}")
        if result.stdout.strip() != "active":
            print(f"slot {config['slot.name']}: {result.stdout.strip() or 'not there'}")
            return
        if time.monotonic() > until:
            raise Refused(0, f"the slot {config['slot.name']} is still in use")
        time.sleep(0.2)


def report(args):
    status = get_status(args, configuration(args)[0])
    show(status)
    if not running(status):
        raise Refused(500, "\n".join(traces(status)) or f"{status['name']} does not run")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connect", default=os.environ.get("MILLRACE_CONNECT", "http://127.0.0.1:8083"),
                        metavar="URL", help="Kafka Connect's address (default %(default)s)")
    parser.add_argument("--config", default=TEMPLATE, metavar="FILE")
    parser.add_argument("--name", help="the connector's name")
    parser.add_argument("--source", metavar="ADDRESS", help="postgres://user:password@host:port/database")
    parser.add_argument("--topic-prefix", metavar="NAME")
    parser.add_argument("--slot", metavar="NAME")
    parser.add_argument("--publication", metavar="NAME")
    parser.add_argument("--tables", metavar="LIST", help="public.orders,public.customers")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[],
                        help="one more property of the connector; may be given more than once")
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--status", action="store_true", help="print the state and end")
    what.add_argument("--delete", action="store_true", help="remove the connector; its slot and topics stay")
    parser.add_argument("--drop-slot", action="store_true", help="with --delete: drop the replication slot as well")
    args = parser.parse_args()
    if args.drop_slot and not args.delete:
        parser.error("--drop-slot goes with --delete")
    try:
        (report if args.status else delete if args.delete else register)(args)
    except Refused as refused:
        sys.exit(f"setup_debezium: {refused}")


if __name__ == "__main__":
    main()
