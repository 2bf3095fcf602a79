"""Getting data into the shop: load, generate, setup."""

import csv
import datetime
import os
import signal
import subprocess
import zoneinfo
from decimal import Decimal

import psycopg
import pytest
import shoplib
from conftest import PROGRAM, SAMPLE, wait_for

TABLES = dict(shoplib.FILES) | {"geolocation": "olist_geolocation_dataset.csv"}
COLUMNS = {
    "geolocation": "geolocation_zip_code_prefix, geolocation_lat, geolocation_lng, geolocation_city, geolocation_state",
}


def run(database, *args, expect=0, timeout=120):
    result = subprocess.run([PROGRAM, *args, "--source", database.address], capture_output=True, text=True,
                            timeout=timeout, check=False)
    assert result.returncode == expect, f"{args}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


def records(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def count(database, table):
    return database.run(f"SELECT count(*) FROM {table}")[0][0]


# --- load ---

SMALL = {
    "olist_customers_dataset.csv": [
        "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
        "c1,u1,01037,sao paulo,SP", "c2,u1,01037,sao paulo,SP"],
    "olist_sellers_dataset.csv": [
        "seller_id,seller_zip_code_prefix,seller_city,seller_state", "s1,04482,\"sp / sp\",SP"],
    "product_category_name_translation.csv": [
        "product_category_name,product_category_name_english", "bebes,baby"],
    "olist_products_dataset.csv": [
        "product_id,product_category_name,product_name_lenght,product_description_lenght,product_photos_qty,"
        "product_weight_g,product_length_cm,product_height_cm,product_width_cm",
        "p1,bebes,40,287.0,1,225.0,16.0,10,14", "p2,,,,,0,,,"],
    "olist_orders_dataset.csv": [
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,"
        "order_delivered_customer_date,order_estimated_delivery_date",
        "o1,c1,delivered,2018-02-28 10:56:33,2018-02-28 11:07:15,2018-03-01 19:55:00,2018-03-10 21:25:13,2018-03-18 00:00:00",
        "o2,c2,created,2018-01-31 23:59:59,,,,2018-02-27 00:00:00"],
    "olist_order_items_dataset.csv": [
        "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
        "o1,1,p1,s1,2018-03-04 11:07:15,99.9,8"],
    "olist_order_payments_dataset.csv": [
        "order_id,payment_sequential,payment_type,payment_installments,payment_value", "o1,2,credit_card,0,107.90"],
    "olist_order_reviews_dataset.csv": [
        "review_id,order_id,review_score,review_comment_title,review_comment_message,review_creation_date,"
        "review_answer_timestamp",
        "r1,o1,5,,\"linha um\r\ndois, \"\"três\"\" 😀\n\",2018-03-11 00:00:00,2018-03-12 03:43:48"],
    "olist_geolocation_dataset.csv": [
        "geolocation_zip_code_prefix,geolocation_lat,geolocation_lng,geolocation_city,geolocation_state",
        "01037,-23.54562128115268,-46.63929204800168,são paulo,SP",
        "01037,-23.54562128115268,-46.63929204800168,são paulo,SP"],
}


def write_small(folder, end="\n", bom=False, changes=None):
    """The small shop as files; changes replaces one line: {file: (index, line)}."""
    folder.mkdir(exist_ok=True)
    for name, lines in SMALL.items():
        lines = list(lines)
        if changes and name in changes:
            index, line = changes[name]
            lines[index] = line
        text = end.join(lines) + end
        (folder / name).write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode("utf8"))
    return folder


def small_rows(database):
    return {table: sorted(database.run(f"SELECT {COLUMNS.get(table, '*')} FROM {table}"), key=str) for table in TABLES}


def test_the_sample_arrives_exactly_and_only_once(database):
    first = run(database, "load", str(SAMPLE), "--create").stdout
    for table, name in TABLES.items():
        assert count(database, table) == len(records(SAMPLE / name)), table
        assert f"{table} " in first
    messages = {(r["review_id"], r["order_id"]): r["review_comment_message"] or None
                for r in records(SAMPLE / TABLES["order_reviews"])}
    found = database.run("SELECT review_id, order_id, review_comment_message FROM order_reviews")
    assert {(a, b): c for a, b, c in found} == messages
    zips = {r["customer_id"]: r["customer_zip_code_prefix"] for r in records(SAMPLE / TABLES["customers"])}
    assert dict(database.run("SELECT customer_id, customer_zip_code_prefix FROM customers")) == zips
    assert any(z.startswith("0") for z in zips.values())

    again = run(database, "load", str(SAMPLE)).stdout
    assert "8135 were there already" in again and "left as it is" in again, again
    assert count(database, "geolocation") == 45928 and count(database, "orders") == 8135


def test_dialects_give_the_same_rows(database, tmp_path):
    run(database, "load", str(write_small(tmp_path / "lf")), "--create")
    rows = small_rows(database)
    assert rows["order_items"][0][5:] == (Decimal("99.90"), Decimal("8.00"))
    assert rows["products"][0][2:6] == (40, 287, 1, 225)
    assert rows["order_reviews"][0][4] == "linha um\r\ndois, \"três\" 😀\n"
    assert rows["order_payments"][0][1:4] == (2, "credit_card", 0)

    database.run("TRUNCATE " + ", ".join(TABLES))
    folder = write_small(tmp_path / "crlf", end="\r\n", bom=True)
    header = SMALL["olist_products_dataset.csv"][0]
    products = (folder / "olist_products_dataset.csv").read_bytes().decode("utf-8-sig")
    quoted = ",".join(f'"{name}"' for name in header.split(","))
    (folder / "olist_products_dataset.csv").write_bytes(products.replace(header, quoted).rstrip().encode("utf8"))
    run(database, "load", str(folder))
    assert small_rows(database) == rows


@pytest.mark.parametrize("name,index,line,words", [
    ("olist_orders_dataset.csv", 2, "o2,c2,created,2018-13-01 00:00:00,,,,2018-02-27 00:00:00",
     ["line 3", "order_purchase_timestamp", "2018-13-01"]),
    ("olist_orders_dataset.csv", 2, "o2,c2,created,2018-02-30 00:00:00,,,,2018-02-27 00:00:00",
     ["line 3", "2018-02-30"]),
    ("olist_order_items_dataset.csv", 1, "o1,1,p1,s1,2018-03-04 11:07:15,\"99,9\",8", ["line 2", "price", "99,9"]),
    ("olist_products_dataset.csv", 1, "p1,bebes,40,287,1,225.5,16,10,14", ["line 2", "product_weight_g", "225.5"]),
    ("olist_sellers_dataset.csv", 0, "seller_id,seller_zip,seller_city,seller_state",
     ["line 1", "seller_zip", "seller_zip_code_prefix"]),
])
def test_a_bad_record_is_named_and_nothing_of_its_file_stays(database, tmp_path, name, index, line, words):
    folder = write_small(tmp_path / "bad", changes={name: (index, line)})
    error = run(database, "load", str(folder), "--create", expect=1).stderr
    for word in [name, *words]:
        assert word in error, error
    table = next(t for t, n in TABLES.items() if n == name)
    assert count(database, table) == 0
    run(database, "load", str(write_small(tmp_path / "good")))  # and it goes on where it stopped
    assert count(database, table) == len(SMALL[name]) - 1


def test_bad_records_put_aside(database, tmp_path):
    bad = {"olist_orders_dataset.csv": (2, "o2,c2,created,yesterday,,,,2018-02-27 00:00:00")}
    aside = tmp_path / "aside.txt"
    out = run(database, "load", str(write_small(tmp_path / "f", changes=bad)), "--create", "--skip-bad", str(aside))
    assert count(database, "orders") == 1 and "1 bad records" in out.stdout
    text = aside.read_text(encoding="utf8")
    assert "olist_orders_dataset.csv:3" in text and "yesterday" in text and "order_purchase_timestamp" in text


def test_times_can_be_moved(database, tmp_path):
    folder = write_small(tmp_path / "f")
    run(database, "load", str(folder), "--create", "--shift-days", "366")
    moved = database.run("SELECT order_purchase_timestamp, order_approved_at FROM orders ORDER BY order_id")
    assert moved[0] == (datetime.datetime(2019, 3, 1, 10, 56, 33), datetime.datetime(2019, 3, 1, 11, 7, 15))
    assert moved[1][1] is None

    database.run("TRUNCATE " + ", ".join(TABLES))
    zone = zoneinfo.ZoneInfo("America/Sao_Paulo")
    before = datetime.datetime.now(zone).date()
    run(database, "load", str(folder), "--end-yesterday")
    after = datetime.datetime.now(zone).date()
    newest = database.run("SELECT max(order_purchase_timestamp) FROM orders")[0][0]
    assert newest.date() + datetime.timedelta(days=1) in (before, after)
    assert newest.time() == datetime.time(10, 56, 33)
    assert database.run("SELECT max(order_purchase_timestamp) - min(order_purchase_timestamp) FROM orders")[0][0] \
        == datetime.datetime(2018, 2, 28, 10, 56, 33) - datetime.datetime(2018, 1, 31, 23, 59, 59)


# --- generate ---

# as good as at once: a life of months within microseconds
AT_ONCE = ["--speed", "1e9"]


def test_a_new_shop_lives(shop):
    out = run(shop, "generate", "--orders", "200", "--rate", "1000", "--seed", "11", *AT_ONCE).stdout
    assert "200 orders" in out and "seed 11" in out
    assert count(shop, "orders") == count(shop, "customers")
    assert 190 <= count(shop, "orders") <= 200  # some were deleted again
    assert shop.run("SELECT count(*) FROM orders WHERE order_status = 'delivered'")[0][0] > 150
    assert shop.run("SELECT count(*) FROM order_payments p WHERE payment_value < 0")[0][0] == 0
    # an order that was paid covers its items, and delivered ones have all their dates
    assert shop.run("""SELECT count(*) FROM (SELECT order_id, sum(price + freight_value) AS worth FROM order_items
                       GROUP BY 1) i JOIN (SELECT order_id, sum(payment_value) AS paid FROM order_payments GROUP BY 1) p
                       USING (order_id) JOIN orders o USING (order_id)
                       WHERE paid < worth AND o.order_status <> 'canceled'""")[0][0] == 0
    assert shop.run("""SELECT count(*) FROM orders WHERE order_status = 'delivered' AND (order_approved_at IS NULL
                       OR order_delivered_carrier_date IS NULL OR order_delivered_customer_date IS NULL)""")[0][0] == 0
    assert shop.run("""SELECT count(*) FROM orders
                       WHERE abs(extract(epoch FROM order_purchase_timestamp
                                                    - (now() AT TIME ZONE 'America/Sao_Paulo'))) > 600""")[0][0] == 0


def test_the_same_seed_gives_the_same_rows(shop):
    """Twice from the same start; times differ by when it was run, all else is equal."""
    def content():
        run(shop, "generate", "--orders", "120", "--rate", "2000", "--seed", "3", "--speed", "1")
        return [sorted(shop.run(sql)) for sql in (
            "SELECT order_id, customer_id, order_status FROM orders",
            "SELECT order_id, order_item_id, product_id, seller_id, price, freight_value FROM order_items",
            "SELECT order_id, payment_sequential, payment_type, payment_installments, payment_value FROM order_payments",
            "SELECT customer_id, customer_unique_id, customer_city FROM customers",
            "SELECT * FROM products WHERE product_category_name IS NOT NULL",
            "SELECT * FROM sellers")]

    first = content()
    shop.run("TRUNCATE " + ", ".join(TABLES))
    assert content() == first
    assert len(first[0]) == 120


def test_it_goes_on_after_a_restart_and_stops_when_told(postgres, shop):
    with subprocess.Popen([PROGRAM, "generate", "--rate", "100", "--source", shop.address, *AT_ONCE],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            wait_for(lambda: count(shop, "orders") > 50, what="the first orders")
            postgres.stop("immediate")
            postgres.start()
            before = count(shop, "orders")
            wait_for(lambda: count(shop, "orders") > before + 50, what="orders after the restart")
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0 and "lost connections" in out, out
    assert shop.run("""SELECT count(*) FROM orders o WHERE NOT EXISTS
                       (SELECT FROM order_payments p WHERE p.order_id = o.order_id)""")[0][0] == 0


def test_faults_reach_the_warehouse_exactly(millrace, shop):
    run(shop, "generate", "--orders", "50", "--rate", "1000", "--seed", "1", *AT_ONCE)
    millrace.start()
    out = run(shop, "generate", "--orders", "150", "--rate", "300", "--seed", "2", "--faults", *AT_ONCE).stdout
    assert "faults" in out and "refused, as meant" in out, out
    millrace.caught_up()
    millrace.command("check")


# --- setup ---

@pytest.fixture
def role(postgres):
    """A name of a role; it is dropped at the end, with what it was given."""
    name = f"capture_{os.getpid()}"
    yield name
    with postgres.connect("postgres") as admin:
        for (database,) in admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'shop%'").fetchall():
            with postgres.connect(database) as connection:
                if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchall():
                    connection.execute(f"DROP OWNED BY {name}")
        admin.execute(f"DROP ROLE IF EXISTS {name}")


def test_setup_prepares_once(shop, role):
    shop.run("CREATE TABLE notes (note text)")
    printed = run(shop, "setup", "--sql", "--role", role).stdout
    assert shop.run("SELECT count(*) FROM pg_publication")[0][0] == 0
    assert "CREATE PUBLICATION" in printed and "REPLICA IDENTITY FULL" in printed
    run(shop, "setup", "--role", role)
    published = {t for (t,) in shop.run("SELECT tablename FROM pg_publication_tables WHERE pubname = 'millrace'")}
    assert published == set(TABLES) | {"notes"}
    shop.run("INSERT INTO notes VALUES ('a')")
    shop.run("UPDATE notes SET note = 'b'")  # without a key, and still allowed
    assert "nothing is missing" in run(shop, "setup", "--sql", "--role", role).stdout
    assert "Nothing is missing" in run(shop, "setup", "--role", role).stdout

    address = shop.address.replace("//shop@", f"//{role}@")
    with psycopg.connect(address, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM orders")
    with psycopg.connect(address + "?replication=database", autocommit=True) as connection:
        connection.execute("IDENTIFY_SYSTEM")


def test_printed_statements_do_the_same(shop, role):
    shop.run(run(shop, "setup", "--sql", "--role", role).stdout)
    assert "nothing is missing" in run(shop, "setup", "--sql", "--role", role).stdout


def test_setup_says_who_must_run_it(shop, role):
    shop.run(f"CREATE ROLE {role} LOGIN")
    shop.run("CREATE TABLE mine (a int PRIMARY KEY)")
    result = subprocess.run([PROGRAM, "setup", "--role", "nobody_yet", "--source",
                             shop.address.replace("//shop@", f"//{role}@")],
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 3 and "superuser" in result.stderr and "--sql" in result.stderr
    assert shop.run("SELECT count(*) FROM pg_publication")[0][0] == 0


def test_setup_adds_a_chosen_table(shop, role):
    run(shop, "setup", "--role", role, "--tables", "public.orders,public.customers")
    shop.run("CREATE TABLE later (a int PRIMARY KEY)")
    assert "nothing is missing" in run(shop, "setup", "--sql", "--role", role).stdout  # what was chosen stays
    run(shop, "setup", "--role", role, "--tables", "public.later")
    published = {t for (t,) in shop.run("SELECT tablename FROM pg_publication_tables WHERE pubname = 'millrace'")}
    assert published == {"orders", "customers", "later"}
    assert "public.absent" in run(shop, "setup", "--tables", "public.absent", expect=3).stderr
