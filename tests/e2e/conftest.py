"""Starts what the end-to-end tests need: one private PostgreSQL for the session, a database for each test,
and the program under test on free ports in a temporary folder. Waits on conditions; stops by pid."""

import base64
import glob
import os
import pathlib
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import psycopg
import pytest

# MILLRACE_TEST_UNDER starts the program under another one (valgrind), which makes it slow.
UNDER = shlex.split(os.environ.get("MILLRACE_TEST_UNDER", ""))
SLOW = 20 if UNDER else 1

# `make test` has ten minutes: what takes long and is unlikely to break alone runs in `make torture`.
slow = pytest.mark.skipif("MILLRACE_TORTURE" not in os.environ, reason="runs in make torture")

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("MILLRACE_PROGRAM", str(ROOT / "build" / "millrace"))
SAMPLE = ROOT / "data" / "olist"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, timeout=60, what="the condition", every=0.02):
    """Polls until condition() is true and returns its value; fails with `what` after `timeout` seconds."""
    until = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come true in {timeout * SLOW} s")
        time.sleep(every)


class Postgres:
    """A private cluster; as root it runs under the user postgres. MILLRACE_PG_BIN names the folder of another
    version's programs: initdb, pg_ctl and postgres are enough."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
        self.bin = os.environ.get("MILLRACE_PG_BIN", found[-1] if found else "/usr/bin")
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def run(self, *args):
        result = subprocess.run(
            [f"{self.bin}/{args[0]}", *args[1:]],
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert result.returncode == 0, f"{args[0]} failed; see {self.folder}/server.log"

    def create(self):
        self.run("initdb", "-D", f"{self.folder}/data", "-U", "shop", "-A", "trust", "-E", "UTF8",
                 "--locale=C.UTF-8")
        with open(f"{self.folder}/data/postgresql.conf", "a", encoding="utf8") as conf:
            conf.write(
                f"port={self.port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\n"
                "wal_level=logical\nmax_wal_senders=30\nmax_replication_slots=30\nmax_connections=100\n"
                "fsync=off\nwal_sender_timeout=10s\ntimezone='America/Sao_Paulo'\n"
            )

    def start(self):
        self.run("pg_ctl", "start", "-w", "-s", "-D", f"{self.folder}/data", "-l", f"{self.folder}/server.log")

    def stop(self, mode="fast"):
        self.run("pg_ctl", "stop", "-w", "-s", "-m", mode, "-D", f"{self.folder}/data")

    def address(self, database):
        return f"postgresql://shop@127.0.0.1:{self.port}/{database}"

    def connect(self, database, **options):
        return psycopg.connect(self.address(database), autocommit=True, **options)


@pytest.fixture(scope="session")
def postgres():
    folder = tempfile.mkdtemp(prefix="millrace-pg-", dir="/var/tmp")
    server = Postgres(folder)
    server.create()
    server.start()
    yield server
    server.stop("immediate")
    shutil.rmtree(folder, ignore_errors=True)


class Database:
    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.address = server.address(name)

    def connect(self, **options):
        return self.server.connect(self.name, **options)

    def run(self, sql, *params):
        with self.connect() as connection:
            cursor = connection.execute(sql, params or None)
            return cursor.fetchall() if cursor.description else None


@pytest.fixture
def database(postgres, request):
    """An empty database; its slots are dropped at the end."""
    name = f"shop_{abs(hash(request.node.nodeid)) % 10**9}_{os.getpid()}"
    with postgres.connect("postgres") as admin:
        admin.execute(f"CREATE DATABASE {name}")
    yield Database(postgres, name)
    with postgres.connect("postgres") as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        slots = [r[0] for r in admin.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE database = %s", (name,))]
        for slot in slots:
            wait_for(lambda s=slot: not admin.execute(
                "SELECT active FROM pg_replication_slots WHERE slot_name = %s AND active", (s,)).fetchall(),
                what=f"slot {slot} idle")
            admin.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                          "WHERE slot_name = %s", (slot,))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def shop(database):
    """A database with the shop's tables, empty."""
    with database.connect() as connection:
        connection.execute((ROOT / "sql" / "source" / "01_tables.sql").read_text(encoding="utf8"))
    return database


class Millrace:
    """The program on a home of its own."""

    def __init__(self, home, source):
        self.home = str(home)
        self.source = source
        self.http_port = free_port()
        self.clickhouse_port = free_port()
        self.program = PROGRAM
        self.process = None
        self.log = pathlib.Path(self.home + ".log")

    def path(self, *parts):
        return pathlib.Path(self.home, *parts)

    def options(self):
        # an idle source's position travels soon, so that a test that waits for an LSN need not wait long
        return ["--idle-commit-ms", "300", "--home", self.home, "--source", self.source, "--http-port", str(self.http_port),
                "--clickhouse-port", str(self.clickhouse_port)]

    def command(self, *args, check=True, timeout=120, env=None):
        """Runs one command to its end; returns the completed process."""
        result = subprocess.run([*UNDER, self.program, *args, *self.options()], capture_output=True, text=True,
                                timeout=timeout * SLOW, env={**os.environ, **(env or {})}, check=False)
        if check:
            assert result.returncode == 0, f"{args}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def start(self, *args, env=None, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*UNDER, self.program, "run", *self.options(), *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(env or {})})
        if wait:
            wait_for(self.answers, what=f"the start of the program (see {self.log})")
        return self

    def answers(self):
        assert self.process.poll() is None, f"the program ended: {self.tail()}"
        try:
            return self.query("SELECT 1") == [["1"]]
        except (OSError, AssertionError):
            return False

    def tail(self, size=3000):
        return self.log.read_text(encoding="utf8", errors="replace")[-size:]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60 * SLOW)
        code = self.process.returncode if self.process else None
        self.process = None
        return code

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(timeout=30)
        self.process = None

    def died(self):
        return self.process.poll() is not None

    def get(self, path, port=None, data=None, headers=None):
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.http_port}{path}", data=data,
                                         headers=headers or {})
        with urllib.request.urlopen(request, timeout=60 * SLOW) as answer:
            return answer.read().decode("utf8")

    def query(self, sql, database="default", password=None):
        """Rows of text fields, over the ClickHouse HTTP protocol."""
        headers = {}
        if password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"default:{password}".encode()).decode()
        try:
            text = self.get("/?database=" + urllib.parse.quote(database), self.clickhouse_port,
                            data=sql.encode("utf8"), headers=headers)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode("utf8", "replace")) from error
        return [line.split("\t") for line in text.splitlines()]

    def scalar(self, sql, database="default"):
        return self.query(sql, database)[0][0]

    def caught_up(self, timeout=60):
        """Waits until the warehouse shows everything that is committed in PostgreSQL now."""
        with psycopg.connect(self.source, autocommit=True) as connection:
            lsn = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()[0]
            # the position moves with changes; a heartbeat carries it past what is not captured
            wait_for(lambda: self.alive() and self.warehouse_lsn() >= lsn, timeout,
                     what=f"the warehouse at {lsn} (at {self.warehouse_lsn()}; see {self.log})")

    def alive(self):
        assert self.process.poll() is None, f"the program ended: {self.tail()}"
        return True

    def warehouse_lsn(self):
        """What the program itself takes the warehouse to show: it says so a moment after the position row."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.clickhouse_port}/?query=SELECT%201",
                                    timeout=60 * SLOW) as answer:
            high, low = answer.headers.get("X-Millrace-LSN", "0/0").split("/")
        return (int(high, 16) << 32) + int(low, 16)


@pytest.fixture
def millrace(tmp_path, shop):
    program = Millrace(tmp_path / "home", shop.address)
    yield program
    if UNDER:
        assert program.stop() in (None, 0), program.tail()
    program.kill()
