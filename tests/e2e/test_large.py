"""A transaction many times larger than the memory: MILLRACE_LARGE_ROWS rows of 1 KB (2,000,000 in `make torture`),
followed from PostgreSQL to silver. The program stays within MEMORY_MB, nothing of the transaction shows before
all of it does, and check is exact."""

import os
import re
import threading
import time

import pytest
from conftest import wait_for

ROWS = int(os.environ.get("MILLRACE_LARGE_ROWS", "0"))
MEMORY_MB = int(os.environ.get("MILLRACE_LARGE_MB", "512"))

# 900 hexadecimal characters that differ from row to row: half of their bytes is left after compression
FILL = """
INSERT INTO large SELECT n, n %% 1000, (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 28) i)
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""


class Memory(threading.Thread):
    """Samples the resident memory of a process: the kernel's own high water mark includes the start."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.highest, self.stopping = pid, {}, threading.Event()

    def run(self):
        while not self.stopping.wait(0.2):
            try:
                with open(f"/proc/{self.pid}/status", encoding="utf8") as f:
                    fields = dict(line.split(":", 1) for line in f)
            except OSError:
                return
            for name in ("VmRSS", "RssAnon", "RssFile"):
                value = int(fields[name].split()[0]) // 1024
                self.highest[name] = max(self.highest.get(name, 0), value)

    def stop(self):
        self.stopping.set()
        self.join()
        return self.highest


@pytest.mark.skipif(ROWS == 0, reason="MILLRACE_LARGE_ROWS is not set")
def test_a_transaction_larger_than_the_memory(millrace, shop):
    with shop.connect() as connection:
        connection.execute("CREATE TABLE large (id bigint PRIMARY KEY, part int NOT NULL, body text NOT NULL)")
    millrace.start()
    millrace.caught_up()
    memory = Memory(millrace.process.pid)
    memory.start()
    began = time.monotonic()
    with shop.connect() as connection, connection.transaction():
        for first in range(1, ROWS + 1, 100000):
            connection.execute(FILL, {"first": first, "last": min(first + 99999, ROWS)})
    committed = time.monotonic()
    seen = set()

    def whole():
        seen.add(int(millrace.scalar("SELECT count() FROM bronze.changes WHERE `table` = 'public.large' AND op = 'c'")))
        return max(seen) == ROWS
    wait_for(whole, 1800, "the whole transaction in bronze", every=1)
    in_bronze = time.monotonic()
    millrace.caught_up(timeout=1800)
    assert int(millrace.scalar("SELECT count() FROM silver.large")) == ROWS
    done = time.monotonic()
    following = memory.stop()
    memory = Memory(millrace.process.pid)
    memory.start()
    millrace.command("check", timeout=1800)
    checking = memory.stop()
    print(f"rows={ROWS} insert_s={committed - began:.0f} bronze_s={in_bronze - committed:.0f} "
          f"silver_s={done - in_bronze:.0f} check_s={time.monotonic() - done:.0f} mb={following} check_mb={checking}")
    assert seen <= {0, ROWS}
    assert following["VmRSS"] <= MEMORY_MB, f"{following} MB"


def test_a_killed_large_transaction_goes_on_in_pieces(millrace, shop):
    """What was taken of it before the kill is taken again range by range, not at once."""
    with shop.connect() as connection:
        connection.execute("CREATE TABLE large (id bigint PRIMARY KEY, part int NOT NULL, body text NOT NULL)")
    small = {"MILLRACE_FLUSH_BYTES": "256KB", "MILLRACE_REFINE_BYTES": "512KB"}
    millrace.start(env=small)
    millrace.caught_up()
    millrace.stop()
    millrace.start(env={**small, "MILLRACE_FAIL": "silver.table:9"})
    with shop.connect() as connection:
        connection.execute(FILL, {"first": 1, "last": 6000})
    wait_for(millrace.died, what="the kill")
    size = millrace.log.stat().st_size
    millrace.start(env={**small, "MILLRACE_LOG_LEVEL": "debug"})
    millrace.caught_up()
    millrace.command("check")
    lines = [line for line in millrace.log.read_text(encoding="utf8")[size:].splitlines()
             if " refine " in line and " batch " in line]
    rows = [int(re.search(r" rows=(\d+)", line)[1]) for line in lines]
    assert sum(rows) >= 6000 and max(rows) < 1500, rows
