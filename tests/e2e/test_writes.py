"""Every write that the disk refuses: the program goes on, or stops with a word that names file and cause, and
a run without the fault brings everything to an exact check. Nothing crashes, nothing is lost or doubled.

A preloaded library (shim/failing_writes.c) counts the calls that write, sync, create, rename, link or truncate
below the home, in the program, in RocksDB and in the engine alike, and refuses those it is told to.

MILLRACE_WRITES sets how many calls of a run are tried (`all`: every one), each followed by a check, and adds the
longer cases; MILLRACE_SEED replays a choice."""

import errno
import os
import pathlib
import random
import struct
import mmap
import subprocess

import pytest
import shoplib
from conftest import slow, wait_for
from test_kill import SEED, Load

WRITES = os.environ.get("MILLRACE_WRITES", "9")
THOROUGH = "MILLRACE_WRITES" in os.environ
TRANSACTIONS = 25
FOREVER = 2**63
WRITE, SYNC, RENAME, LINK, TRUNCATE, CREATE = 1, 2, 4, 8, 16, 32
ALL = 63
FOLDERS = ["", "state/", "lake/gold/"] + ["warehouse/", "lake/silver/"] * THOROUGH


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    source = pathlib.Path(__file__).parent / "shim" / "failing_writes.c"
    out = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
                    "-shared", "-fPIC", "-o", out, source, "-ldl"], check=True)
    return str(out)


class Disk:
    """What the library and the test share; the order of the fields is that of struct shared."""

    FIELDS = ("calls", "from", "until", "code", "failed", "kinds")

    def __init__(self, library, folder, home):
        self.library, self.folder = library, home + "/"
        self.path = pathlib.Path(folder) / "disk"
        self.path.write_bytes(bytes(8 * len(self.FIELDS)))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)

    def get(self, field):
        return struct.unpack_from("<Q", self.map, 8 * self.FIELDS.index(field))[0]

    def set(self, field, value):
        struct.pack_into("<Q", self.map, 8 * self.FIELDS.index(field), value)

    def plan(self, first=0, until=0, code=errno.EIO, kinds=ALL):
        for field, value in zip(self.FIELDS, (0, first, until, code, 0, kinds)):
            self.set(field, value)

    def fill(self):
        """From now on nothing can be written."""
        self.set("code", errno.ENOSPC)
        self.set("until", FOREVER)
        self.set("from", 1)

    def free(self):
        self.set("until", 0)

    def environment(self):
        return {"LD_PRELOAD": self.library, "SHIM_FOLDER": self.folder, "SHIM_STATE": str(self.path)}


@pytest.fixture
def disk(library, millrace, tmp_path):
    return Disk(library, tmp_path, millrace.home)


def change(shop, seed, transactions=TRANSACTIONS):
    load = Load(shop, seed)
    with shop.connect() as connection:
        for _ in range(transactions):
            load.step(connection)


def passes(millrace, disk, shop, seed):
    """One run under the disk's plan with some changes; True when it went on to the end."""
    size = millrace.log.stat().st_size if millrace.log.exists() else 0
    millrace.start(env=disk.environment(), wait=False)
    change(shop, seed)
    with shop.connect() as connection:
        lsn = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()[0]
    wait_for(lambda: millrace.died() or reached(millrace, lsn), 60, f"the end of the run (see {millrace.log})")
    died = millrace.died()
    code = millrace.process.returncode if died else millrace.stop()
    millrace.process = None
    text = millrace.log.read_text(encoding="utf8", errors="replace")[size:]
    assert code >= 0, f"killed by signal {-code}: {text[-3000:]}"
    if died or code:
        named = any(cause in text for cause in ("Input/output error", "No space left", "errno: 5", "errno: 28"))
        assert code > 0 and named and millrace.home in text, f"exit {code}: {text[-3000:]}"
    return not died


def reached(millrace, lsn):
    try:
        return millrace.warehouse_lsn() >= lsn
    except (OSError, ValueError):
        return False


def exact(millrace):
    millrace.start()
    millrace.caught_up()
    out = millrace.command("check", check=False)
    assert out.returncode == 0, f"{out.stdout}\n{out.stderr}\n{millrace.tail()}"
    assert millrace.stop() == 0


def chosen(calls, rng):
    """One call out of each of MILLRACE_WRITES equal parts, or every one."""
    if WRITES == "all":
        return list(range(1, calls + 1))
    parts = min(int(WRITES), calls)
    return [rng.randint(calls * i // parts + 1, calls * (i + 1) // parts) for i in range(parts)]


@slow
def test_a_refused_write_under_load(millrace, disk, shop):
    rng = random.Random(SEED)
    shoplib.load_sample(shop, orders=60)
    millrace.start()
    millrace.caught_up()
    millrace.stop()
    disk.plan()
    assert passes(millrace, disk, shop, SEED)
    calls = disk.get("calls")
    for i, n in enumerate(chosen(calls, rng)):
        code = rng.choice((errno.EIO, errno.ENOSPC))
        length = rng.choice((1, 1, 5))
        print(f"seed {SEED} call {n} of {calls} code {code} length {length}")
        disk.plan(first=n, until=n + length, code=code)
        passes(millrace, disk, shop, n)
        if THOROUGH or i % 3 == 2:
            exact(millrace)


def failing(millrace):
    """What the status says is wrong now."""
    lines = millrace.command("status", check=False).stdout.splitlines()
    return "".join(line.split("failing: ", 1)[1] for line in lines if "failing: " in line)


def start_watched(millrace, disk, shop, folder):
    """The program on a small sample, caught up, with the folder's writes counted."""
    disk.folder = f"{millrace.home}/{folder}"
    shoplib.load_sample(shop, orders=60)
    disk.plan()
    millrace.start(env=disk.environment())
    millrace.caught_up()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_full_disk_is_told_and_left_behind(millrace, disk, shop, folder):
    """While nothing can be written the status says so; with room again everything goes on by itself."""
    start_watched(millrace, disk, shop, folder)
    disk.fill()
    change(shop, SEED)
    wait_for(lambda: "No space left" in failing(millrace) or "not enough space" in failing(millrace),
             what="the status")
    assert millrace.alive()
    change(shop, SEED + 1)  # what comes meanwhile must not be taken together with what failed
    disk.free()
    millrace.caught_up()
    wait_for(lambda: not failing(millrace), what="the end of the error in the status")
    out = millrace.command("check", check=False)
    assert out.returncode == 0, f"{out.stdout}\n{out.stderr}\n{millrace.tail()}"
    assert millrace.stop() == 0


def test_a_damaged_warehouse_is_made_again(millrace, shop):
    """A part that cannot be read is put aside by the engine, which goes on without its rows; on an empty definition,
    which its failed write leaves behind, it never starts again."""
    shoplib.load_sample(shop, orders=60)
    millrace.start()
    millrace.caught_up()
    millrace.stop()
    store = pathlib.Path(millrace.home, "warehouse", "store")
    parts = store.glob("*/*/all_*/columns_substreams.txt")
    largest = max(parts, key=lambda path: path.parent.joinpath("data.bin").stat().st_size)
    largest.write_bytes(b"")
    exact(millrace)
    assert "damaged parts" in millrace.log.read_text(encoding="utf8")
    next(store.glob("*/*/kpi_daily.sql")).write_bytes(b"")
    exact(millrace)
    text = millrace.log.read_text(encoding="utf8")
    assert "its folder is damaged" in text and text.count("damaged parts") == 1


@pytest.mark.parametrize("length", [1] + [3] * THOROUGH)
def test_a_state_store_that_fails_ends_the_run(millrace, disk, shop, length):
    """Its log refuses one write: RocksDB takes nothing more, so the program says so, ends and begins again."""
    start_watched(millrace, disk, shop, "state/")
    disk.set("until", 2**40)
    disk.set("from", disk.get("calls") + 1)
    disk.set("until", disk.get("calls") + 1 + length)
    change(shop, SEED)
    wait_for(millrace.died, what="the end of the program")
    assert millrace.process.returncode == 1, millrace.tail()
    assert "start again" in millrace.tail() and "Input/output error" in millrace.tail()
    exact(millrace)


def test_a_file_of_bronze_is_never_committed_cut_short(millrace, disk, shop):
    """The engine keeps silent when its last write to a Parquet file fails: what PostgreSQL is told must be there."""
    disk.folder = f"{millrace.home}/lake/bronze/changes/public.orders/"
    shoplib.load_sample(shop, orders=60)
    disk.plan(kinds=WRITE)
    millrace.start(env=disk.environment())
    millrace.caught_up()
    for _ in range(3):
        disk.plan(first=1, until=2, kinds=WRITE)
        shop.run("UPDATE orders SET order_purchase_timestamp = order_purchase_timestamp + interval '1 s'")
        millrace.caught_up()
        assert disk.get("failed") == 1
    assert millrace.stop() == 0
    exact(millrace)
