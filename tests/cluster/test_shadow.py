"""Our capture and a real Debezium connector on one PostgreSQL: `millrace shadow` says that they sent the same."""

import uuid

import pytest
import shoplib
from conftest import CLUSTER_SQL, wait_for
from test_stream import OLIST, Capture

TABLES = [*OLIST, "types_t", "pk2", "nopk", "toast_t", "part_t", "nan_t"]
MODES = {
    "as recommended by Debezium": {"provide.transaction.metadata": "true"},
    "texts": {"decimal.handling.mode": "string", "time.precision.mode": "isostring", "binary.handling.mode": "hex",
              "interval.handling.mode": "string"},
    "without schemas": {"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
                        "value.converter.replace.null.with.default": "true", "time.precision.mode": "microseconds",
                        "tombstones.on.delete": "false"},
}
DEFAULTS = {"decimal.handling.mode": "precise", "interval.handling.mode": "numeric", "heartbeat.interval.ms": "0",
            "include.unknown.datatypes": "false", "column.propagate.source.type": "", "skipped.operations": "none",
            "publication.autocreate.mode": "disabled"}


@pytest.fixture
def capture(tmp_path, shop, kafka):
    program = Capture(tmp_path / "capture", shop.address, kafka, "m" + uuid.uuid4().hex[:8])
    yield program
    program.kill()


def test_shadow_says_identical_in_every_mode(capture, setup, shop):
    """All modes one after the other on one database: each begins with a copy of what the one before has left."""
    shoplib.load_sample(shop, orders=300)
    shop.run((CLUSTER_SQL / "types.sql").read_text(encoding="utf8"))
    shop.run("UPDATE types_t SET c_date = NULL WHERE id = 5")  # the connector's copies lose the era
    names = ",".join(f"public.{table}" for table in TABLES)
    shop.run(f"CREATE PUBLICATION {setup.name} FOR TABLE {','.join(TABLES)} WITH (publish_via_partition_root = true)")
    mode = {**DEFAULTS, **MODES["as recommended by Debezium"]}
    compare(capture, setup, shop, names, mode, live=True)


@pytest.mark.parametrize("name", [name for name in MODES if not name.startswith("as")])
def test_shadow_in_other_modes(capture, setup, shop, name):
    shoplib.load_sample(shop, orders=50)
    shop.run((CLUSTER_SQL / "types.sql").read_text(encoding="utf8"))
    shop.run("UPDATE types_t SET c_date = NULL WHERE id = 5")
    names = ",".join(f"public.{table}" for table in TABLES)
    shop.run(f"CREATE PUBLICATION {setup.name} FOR TABLE {','.join(TABLES)} WITH (publish_via_partition_root = true)")
    compare(capture, setup, shop, names, {**DEFAULTS, **MODES[name]}, live=True)


def compare(capture, setup, shop, names, mode, live):
    prefix = capture.extra[capture.extra.index("--topic-prefix") + 1]
    setup("--tables", names, *[word for option, value in mode.items() for word in ("--set", f"{option}={value}")])
    known = {option: value for option, value in mode.items() if not option.startswith(("column.", "publication."))}
    capture.extra += ["--publication", setup.name, "--slot", "m" + setup.name, "--tables", names,
                      *[f"--{option}={value}" for option, value in known.items()]]
    capture.start()
    wait_for(lambda: shop.run("SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()")
             [0][0] == 2, what="both captures streaming")
    if live:
        with shop.connect() as connection:
            for statement in (CLUSTER_SQL / "live.sql").read_text(encoding="utf8").split(";\n"):
                if statement.strip():
                    connection.execute(statement)

    outputs = []

    def identical():
        result = capture.command("shadow", "--topics", prefix, "--against", setup.name, check=False)
        outputs.append(result.stdout + result.stderr)
        lines = result.stdout.splitlines()
        return result.returncode == 0 and any(line.split()[:2] == ["message", "2"] for line in lines) and lines[-1]
    try:
        wait_for(identical, timeout=40, what="identical", every=1)
    except AssertionError:
        raise AssertionError(outputs[-1][-6000:]) from None


def test_texts_are_the_same_bytes(capture, setup, shop, consume_all):
    """A key's bytes say which partition it goes to, and which records compaction takes for the same."""
    shop.run("CREATE TABLE texts (id text PRIMARY KEY, body text)")
    shop.run(f"CREATE PUBLICATION {setup.name} FOR TABLE texts")
    prefix = capture.extra[capture.extra.index("--topic-prefix") + 1]
    without = ("key.converter.schemas.enable=false", "value.converter.schemas.enable=false")
    setup("--tables", "public.texts", *[word for option in without for word in ("--set", option)])
    capture.extra += ["--publication", setup.name, "--slot", "m" + setup.name, "--tables", "public.texts",
                      *["--" + option for option in without]]
    capture.start()
    wait_for(lambda: shop.run("SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()")
             [0][0] == 2, what="both captures streaming")
    strange = ["".join(map(chr, [*range(1, 32), 127])), "\"\\/<>&'", "\u0080\u00a0\u07ff\u0800\u2028\u2029\ufeff\ufffd\uffff",
               "\U00010000\U0001F600\U0010FFFF", "Đơn hàng 🛒 số 1\n"]
    for value in strange:
        shop.run("INSERT INTO texts VALUES (%s, %s)", value, value + value)

    def told(topic_prefix):
        return [(r["key"], r["value"].split('"after":')[1].split(',"source"')[0]) for r in consume_all(topic_prefix + ".")
                if r["topic"] == topic_prefix + ".public.texts"]
    wait_for(lambda: len(told(prefix)) == len(told(setup.name)) == len(strange), what="all of both", every=0.5)
    assert told(prefix) == told(setup.name)
