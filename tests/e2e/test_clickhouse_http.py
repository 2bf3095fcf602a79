"""The ClickHouse HTTP protocol over the running program, with the driver that Superset uses."""

import gzip
import urllib.error
import urllib.request

import clickhouse_connect
import pytest
import shoplib
from clickhouse_connect.driver.exceptions import DatabaseError


def ask(program, path, data, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{program.clickhouse_port}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read(), answer.headers


def client(program, **options):
    return clickhouse_connect.get_client(host="127.0.0.1", port=program.clickhouse_port, **options)


@pytest.fixture
def served(millrace, shop):
    shoplib.load_sample(shop, orders=200)
    millrace.start()
    millrace.caught_up()
    return millrace


def test_the_driver_of_superset_reads_the_warehouse(served):
    orders = int(served.scalar("SELECT count() FROM fact_orders"))
    assert orders > 0
    for compress in (True, "zstd", "lz4", "gzip", False):
        rows = client(served, compress=compress).query("SELECT * FROM fact_orders").result_rows
        assert len(rows) == orders
    c = client(served)
    assert "fact_orders" in c.command("SHOW TABLES FROM `default`").split("\n")
    assert c.command("EXISTS TABLE default.fact_orders") == 1
    nothing = c.query("SELECT * FROM fact_orders LIMIT 0")
    assert "order_id" in nothing.column_names
    found = c.query("SELECT count() FROM fact_orders WHERE total_amount >= {least:Decimal(12, 2)}",
                    parameters={"least": 0}).result_rows
    assert found == [(orders,)]
    revenue = c.query(shoplib.REVENUE_BY_MONTH)
    assert revenue.column_names == ("thang", "doanh_thu", "so_don_hang")
    with c.query_rows_stream("SELECT number FROM numbers(1000000)") as rows:
        assert sum(row[0] for row in rows) == 499999500000


def test_files_network_and_writes_are_refused(served):
    c = client(served)
    for sql in (
        f"SELECT * FROM deltaLakeLocal('{served.home}/lake/silver/orders')",
        f"SELECT * FROM file('{served.home}/lake/**', 'One')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT file('millrace.conf')",
    ):
        with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
            c.query(sql)
    for sql in ("DROP TABLE fact_orders", "SYSTEM SHUTDOWN", "INSERT INTO fact_orders (order_id) VALUES ('x')"):
        with pytest.raises(DatabaseError, match="READONLY"):
            c.command(sql)


def test_an_answer_says_how_fresh_it_is(served, shop):
    def lsn():
        high, low = ask(served, "/", b"SELECT 1")[1]["X-Millrace-LSN"].split("/")
        return int(high, 16) << 32 | int(low, 16)

    before = lsn()
    shop.run("UPDATE orders SET order_status = 'canceled' WHERE order_id IN (SELECT order_id FROM orders LIMIT 1)")
    served.caught_up()
    assert lsn() > before
    assert lsn() >= served.warehouse_lsn()


def test_errors_are_those_of_clickhouse(served):
    for sql, status, code in (("selec 1", 400, 62), ("SELECT * FROM nowhere", 404, 60), ("SELECT x", 404, 47)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(served, "/", sql.encode())
        assert caught.value.code == status
        assert caught.value.headers["X-ClickHouse-Exception-Code"] == str(code)
        assert caught.value.read().decode().startswith(f"Code: {code}. DB::Exception: ")
    packed, headers = ask(served, "/?enable_http_compression=1", b"SELECT 1", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == b"1\n"
