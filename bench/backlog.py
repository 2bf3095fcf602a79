"""A backlog of BENCH_CHANGES row changes, made while the program is stopped: how fast it is taken in.

For each shape (BENCH_SHAPES, see backlog.sql): `table` is one table of order-like rows without a model in gold,
`shop` goes through the shop's tables to facts. Both have 70 % inserts, 25 % updates, 5 % deletes in transactions
of 100 changes. In the same run pg_recvlogical first reads the same backlog through a slot of its own to
/dev/null: the ceiling of one slot on this machine.

The clock starts when the slot becomes active. Bronze, silver and gold are done when their counters in /metrics hold
every change, the warehouse when its position has passed PostgreSQL's."""

import subprocess
import time

import measure

CHANGES = measure.setting("BENCH_CHANGES", 1000000)
SHAPES = measure.setting("BENCH_SHAPES", "table,shop").split(",")
PER_TRANSACTION = 100
LIMIT_S = 1800


def slot_active(connection, slot):
    return connection.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active",
                              (slot,)).fetchone() is not None


def ceiling(database, connection):
    """Seconds that pg_recvlogical needs for the backlog, from its slot's activity to its end."""
    end = connection.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
    with subprocess.Popen([f"{database.server.bin}/pg_recvlogical", "-d", database.address, "-S", "ceiling",
                           "--start", "-f", "/dev/null", "--no-loop", "--endpos", end, "-o", "proto_version=1",
                           "-o", "publication_names=millrace"], stdin=subprocess.DEVNULL) as reader:
        measure.conftest.wait_for(lambda: slot_active(connection, "ceiling"), what="pg_recvlogical", every=0.005)
        began = time.monotonic()
        assert reader.wait(timeout=LIMIT_S) == 0
        return time.monotonic() - began


def counters(program):
    """Changes that bronze and refine (silver and gold) have taken since the start."""
    values = dict(line.rsplit(" ", 1) for line in program.get("/metrics").splitlines()
                  if line and not line.startswith("#"))
    return {part: int(float(values.get(f"millrace_{name}_rows_total", 0)))
            for part, name in (("bronze", "bronze"), ("gold", "refine"))}


def drain(program, connection):
    """Starts the program on the backlog; seconds from the slot's activity to bronze, gold and warehouse."""
    launched = time.monotonic()
    program.start(wait=False)
    measure.conftest.wait_for(lambda: program.alive() and slot_active(connection, "millrace"), 120, "the slot", 0.005)
    began = time.monotonic()
    took, highest = {"start": began - launched}, 0
    measure.conftest.wait_for(program.answers, 120, "the HTTP port")
    while len(took) < 3:
        assert program.alive() and time.monotonic() - began < LIMIT_S, f"not done in time: {took}"
        for part, rows in counters(program).items():
            if part not in took and rows >= CHANGES:
                took[part] = time.monotonic() - began
        highest = max(highest, measure.memory_mb(program.process.pid)[1])
        time.sleep(0.05)
    program.caught_up(LIMIT_S)
    took["warehouse"] = time.monotonic() - began
    return took, highest


def verify(shape, database, program):
    """What came out equals what PostgreSQL holds, or the rates mean nothing."""
    if shape == "table":
        ours = program.query("SELECT count(), toString(sum(price)) FROM silver.bench_orders", "default")
        theirs = database.run("SELECT count(*)::text, sum(price)::text FROM bench_orders")
    else:
        ours = program.query("SELECT count(), toString(sum(total_amount)) FROM fact_orders")
        theirs = database.run("SELECT count(*)::text, sum(price + freight_value)::text FROM order_items")
    assert measure.shoplib.plain(ours) == measure.shoplib.plain(theirs), f"{ours} is not {theirs}"


def run(shape):
    transactions = CHANGES // PER_TRANSACTION
    with measure.shop() as (database, program), database.connect() as connection:
        connection.execute((measure.ROOT / "bench" / "backlog.sql").read_text(encoding="utf8"))
        connection.execute(f"CALL bench_{shape}(0, 1)")
        program.start()
        program.caught_up(300)
        program.stop()
        connection.execute("SELECT pg_create_logical_replication_slot('ceiling', 'pgoutput')")
        connection.execute(f"CALL bench_{shape}(1, {transactions})")
        connection.execute("CHECKPOINT")
        ceiling_s = ceiling(database, connection)
        took, highest = drain(program, connection)
        verify(shape, database, program)
        program.stop()
    measure.say(f"shape={shape} changes={CHANGES} start_s={took['start']:.2f} ceiling_s={ceiling_s:.2f} " +
                " ".join(f"{part}_s={took[part]:.2f}" for part in ("bronze", "gold", "warehouse")))
    best, bronze = CHANGES / ceiling_s, CHANGES / took["bronze"]
    refined = "silver and gold" if shape == "shop" else "silver"
    measure.result(f"backlog {shape}: pg_recvlogical", best, "rows/s")
    measure.result(f"backlog {shape}: bronze", bronze, "rows/s", mark=80000, at_least=True)
    measure.result(f"backlog {shape}: bronze / pg_recvlogical", 100 * bronze / best, "%", mark=70, at_least=True)
    measure.result(f"backlog {shape}: {refined}", CHANGES / took["gold"], "rows/s", mark=25000, at_least=True)
    measure.result(f"backlog {shape}: warehouse", CHANGES / took["warehouse"], "rows/s")
    measure.result(f"backlog {shape}: resident memory, highest", highest, "MB", mark=512)


def main():
    for shape in SHAPES:
        run(shape)


if __name__ == "__main__":
    main()
