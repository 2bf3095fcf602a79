"""How long a committed purchase takes to be seen in fact_orders by a client over HTTP.

Open loop: BENCH_RATE purchases a second (one transaction, one row in each of 4 tables) for BENCH_SECONDS,
whatever the program does. The clock starts at PostgreSQL's own commit timestamp (track_commit_timestamp) and
stops when the answer of a query that shows the order has arrived. The client asks again 10 ms after each
answer, so its own time and that pause are part of what is measured. One machine, one clock."""

import time

import measure

RATE = measure.setting("BENCH_RATE", 200.0)
SECONDS = measure.setting("BENCH_SECONDS", 300.0)
GRACE_S = 60


def watch(program, purchases):
    """When each order was first seen; asks only for the time since the oldest order not yet seen."""
    seen = {}
    until = time.time() + SECONDS + GRACE_S
    while purchases.running() or purchases.pending:
        if time.time() > until:
            break
        with purchases.lock:
            oldest = min(purchases.pending.values(), default=None)
        if oldest is not None:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(oldest))
            rows = program.query(f"SELECT order_id FROM fact_orders WHERE order_date >= '{since}'")
            now = time.time()
            with purchases.lock:
                for (key,) in rows:
                    if purchases.pending.pop(key, None) is not None:
                        seen[key] = now
        time.sleep(0.01)
    return seen


def main():
    with measure.shop() as (database, program):
        program.start()
        program.caught_up(300)
        files_before = measure.file_count(program.home)
        purchases = measure.Purchases(database, RATE, SECONDS)
        purchases.start()
        seen = watch(program, purchases)
        committed = dict(database.run("SELECT order_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 "
                                      "FROM orders WHERE order_id = ANY(%s)", list(seen)))
        took = sorted(1000 * (seen[key] - committed[key]) for key in seen)
        resident, highest = measure.memory_mb(program.process.pid)
        files = measure.file_count(program.home)
        code = program.stop()
    measure.say(f"rate={RATE:g}/s seconds={SECONDS:g} sent={purchases.sent} seen={len(seen)} "
                f"writer_late_max_ms={1000 * purchases.latest_s:.0f} files_before={files_before} exit={code}")
    measure.result("latency: purchases never seen", purchases.sent - len(seen), "orders", mark=0)
    measure.result("latency: commit to visible p50", measure.quantile(took, 0.5), "ms", mark=400)
    measure.result("latency: p95", measure.quantile(took, 0.95), "ms")
    measure.result("latency: p99", measure.quantile(took, 0.99), "ms", mark=1000)
    measure.result("latency: max", took[-1], "ms")
    measure.result("latency: resident memory at the end", resident, "MB", mark=512)
    measure.result("latency: resident memory, highest", highest, "MB", mark=512)
    measure.result("latency: files in the home at the end", files, "files")


if __name__ == "__main__":
    main()
