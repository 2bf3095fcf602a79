"""check is a promise, so it must be able to fail: one value is corrupted in each layer, and is named."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import shoplib
from conftest import ROOT, wait_for


def start(millrace, shop):
    shoplib.load_sample(shop, orders=200)
    millrace.start()
    millrace.caught_up()


def expect_difference(millrace, layer, table):
    result = millrace.command("check", check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    lines = [line for line in result.stdout.splitlines() if "differ" in line.lower()]
    assert any(layer in line and table in line for line in lines), result.stdout
    return result.stdout


def test_all_equal(millrace, shop):
    start(millrace, shop)
    out = millrace.command("check").stdout
    for layer in ("source", "silver", "gold", "warehouse"):
        assert layer in out, out


def test_a_value_changed_behind_the_stream_is_named(millrace, shop):
    """The source is changed without its change being sent: as after a lost change."""
    start(millrace, shop)
    with shop.connect() as connection:
        key = connection.execute("SELECT order_id FROM order_items LIMIT 1").fetchone()[0]
        connection.execute("ALTER PUBLICATION millrace SET (publish = 'insert, delete')")
        connection.execute("UPDATE order_items SET price = 4242 WHERE order_id = %s", (key,))
        connection.execute("ALTER PUBLICATION millrace SET (publish = 'insert, update, delete, truncate')")
    out = expect_difference(millrace, "source", "order_items")
    assert key in out


def corrupt_newest_file(folder, change):
    """Rewrites one Parquet file of a Delta table in place, as a broken disk or a stranger's hand would."""
    import pyarrow.parquet as pq
    log = sorted(pathlib.Path(folder, "_delta_log").glob("*.json"))
    for entry in reversed(log):
        for line in entry.read_text(encoding="utf8").splitlines():
            action = json.loads(line)
            if "add" in action and action["add"].get("dataChange"):
                path = pathlib.Path(folder, action["add"]["path"])
                table = pq.read_table(path)
                pq.write_table(change(table), path)
                return


def set_first(table, column, value):
    import pyarrow as pa
    at = table.schema.get_field_index(column)
    values = table.column(column).to_pylist()
    values[0] = value
    return table.set_column(at, table.schema.field(column), pa.array(values, table.schema.field(column).type))


def test_a_corrupt_silver_file_is_named(millrace, shop):
    from decimal import Decimal
    start(millrace, shop)
    corrupt_newest_file(f"{millrace.home}/lake/silver/order_payments",
                        lambda t: set_first(t, "payment_value", Decimal("99.99")))
    expect_difference(millrace, "silver", "order_payments")


def add_again(folder):
    """A commit that adds a copy of a file that is there."""
    log = sorted(pathlib.Path(folder, "_delta_log").glob("*.json"))
    adds = [json.loads(line) for entry in log for line in entry.read_text(encoding="utf8").splitlines() if '"add"' in line]
    path = pathlib.Path(folder, adds[0]["add"]["path"])
    adds[0]["add"]["path"] = "again-" + path.name
    shutil.copy(path, path.with_name("again-" + path.name))
    log[-1].with_name(f"{len(log):020d}.json").write_text(json.dumps(adds[0]) + "\n", encoding="utf8")


def test_a_change_that_stands_twice_in_a_history_is_named(millrace, shop):
    start(millrace, shop)
    millrace.stop()
    add_again(f"{millrace.home}/lake/silver/order_payments_history")
    millrace.start()
    shop.run("UPDATE order_payments SET payment_value = payment_value + 1 WHERE order_id ="
             " (SELECT max(order_id) FROM order_payments)")
    millrace.caught_up()
    expect_difference(millrace, "silver", "order_payments_history")


def test_a_corrupt_gold_file_is_named(millrace, shop):
    from decimal import Decimal
    start(millrace, shop)
    corrupt_newest_file(f"{millrace.home}/lake/gold/fact_payments",
                        lambda t: set_first(t, "payment_value", Decimal("99.99")))
    expect_difference(millrace, "gold", "fact_payments")


def change_warehouse(home, sql):
    """Runs SQL on the embedded warehouse with the engine itself, as a stranger's hand would."""
    program = f"""
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
lib.chdb_connect.restype = ctypes.c_void_p
lib.chdb_query.restype = ctypes.c_void_p
lib.chdb_query.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
lib.chdb_result_error.restype = ctypes.c_char_p
lib.chdb_result_error.argtypes = [ctypes.c_void_p]
arguments = (ctypes.c_char_p * 2)(b"x", b"--path=" + sys.argv[2].encode())
connection = ctypes.cast(lib.chdb_connect(2, arguments), ctypes.POINTER(ctypes.c_void_p))[0]
error = lib.chdb_result_error(lib.chdb_query(connection, sys.argv[3].encode(), b"TSV"))
sys.stdout.write(error.decode() if error else "")
sys.stdout.flush()
import os
os._exit(1 if error else 0)
"""
    library = os.environ.get("MILLRACE_LIBCHDB") or next(
        str(p) for p in [ROOT / "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"])
    done = subprocess.run([sys.executable, "-c", program, library, f"{home}/warehouse", sql],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_row_in_the_warehouse_is_named(millrace, shop):
    start(millrace, shop)
    millrace.stop()
    change_warehouse(millrace.home, "INSERT INTO default.fact_orders_store SELECT * REPLACE (price + 1 AS price, "
                     "version + 1000000 AS version) FROM default.fact_orders_store FINAL LIMIT 1")
    millrace.start()
    expect_difference(millrace, "warehouse", "fact_orders")


def test_a_slow_check_holds_nobody_up(millrace, shop):
    """Its connection waits; others are answered, changes arrive, and a stop does not wait for its end."""
    shop.run("INSERT INTO sellers SELECT md5(n::text), '01037', 'sao paulo', 'SP' FROM generate_series(1, 3000) n")
    start(millrace, shop)
    answers = []

    def ask():
        try:
            answers.append(json.loads(millrace.get("/api/check?tables=sellers&rate=1", data=b"",
                                                   headers={"X-Millrace": "1"})))
        except OSError as closed:  # the stop may be quicker than the answer
            answers.append({"equal": False, "error": str(closed)})

    check = threading.Thread(target=ask, daemon=True)
    check.start()
    wait_for(lambda: shop.run("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%sellers%' AND pid <> "
                              "pg_backend_pid()"), what="the scan of the source")
    assert millrace.get("/health") == "ok\n"
    assert json.loads(millrace.get("/api/pipeline"))
    shop.run("INSERT INTO sellers VALUES ('new', '01037', 'sao paulo', 'SP')")
    millrace.caught_up()
    millrace.command("check", "--tables", "orders")
    assert check.is_alive() and not answers
    began = time.monotonic()
    assert millrace.stop() == 0
    assert time.monotonic() - began < 20
    check.join(timeout=10)
    assert answers and not answers[0]["equal"] and answers[0]["error"]
