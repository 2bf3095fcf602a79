"""What the tests know of the shop: loading the sample, and an independent answer to the sample queries,
computed by PostgreSQL from the source tables, without anything of Millrace."""

import csv
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "olist"

FILES = [
    ("customers", "olist_customers_dataset.csv"),
    ("sellers", "olist_sellers_dataset.csv"),
    ("product_category_name_translation", "product_category_name_translation.csv"),
    ("products", "olist_products_dataset.csv"),
    ("orders", "olist_orders_dataset.csv"),
    ("order_items", "olist_order_items_dataset.csv"),
    ("order_payments", "olist_order_payments_dataset.csv"),
    ("order_reviews", "olist_order_reviews_dataset.csv"),
]

REVENUE_BY_MONTH = """
SELECT 
    toStartOfMonth(order_date) as thang,
    sum(total_amount) as doanh_thu,
    count(DISTINCT order_id) as so_don_hang
FROM fact_orders
GROUP BY thang
ORDER BY thang;
"""

TOP_CATEGORIES = """
SELECT 
    p.category as danh_muc,
    sum(f.total_amount) as doanh_thu,
    count(*) as so_don
FROM fact_orders f
JOIN dim_products p ON f.product_key = p.product_key
GROUP BY danh_muc
ORDER BY doanh_thu DESC
LIMIT 10;
"""

# The same questions in PostgreSQL's words. The category is the product's present one, which equals the
# version valid at the order's time as long as no product was edited.
REVENUE_BY_MONTH_PG = """
SELECT to_char(date_trunc('month', o.order_purchase_timestamp), 'YYYY-MM-DD'),
       trim_scale(sum(i.price + i.freight_value))::text, count(DISTINCT i.order_id)::text
  FROM orders o JOIN order_items i USING (order_id) GROUP BY 1 ORDER BY 1
"""

TOP_CATEGORIES_PG = """
SELECT coalesce(t.product_category_name_english, p.product_category_name, 'unknown'),
       trim_scale(sum(i.price + i.freight_value))::text, count(*)::text
  FROM order_items i JOIN products p USING (product_id)
  LEFT JOIN product_category_name_translation t USING (product_category_name)
 GROUP BY 1 ORDER BY sum(i.price + i.freight_value) DESC LIMIT 10
"""


def load_sample(database, orders=None):
    """The sample without geolocation, or only what the first `orders` orders need."""
    rows = {}
    for table, name in FILES:
        with open(SAMPLE / name, newline="", encoding="utf-8-sig") as f:
            reader = csv.reader(f)
            header = next(reader)
            rows[table] = (header, list(reader))
    if orders:
        cut(rows, orders)
    with database.connect() as connection, connection.transaction():
        for table, (header, lines) in rows.items():
            columns = ", ".join(header)
            with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for line in lines:
                    copy.write_row([integer(v) if v != "" else None for v in line])


def integer(text):
    """Some copies print integers as 225.0; PostgreSQL's integer columns refuse that."""
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text


def cut(rows, orders):
    def keep(table, column, values):
        header, lines = rows[table]
        at = header.index(column)
        rows[table] = (header, [line for line in lines if line[at] in values])

    def values(table, column):
        header, lines = rows[table]
        at = header.index(column)
        return {line[at] for line in lines}

    header, lines = rows["orders"]
    rows["orders"] = (header, lines[:orders])
    for table in ("order_items", "order_payments", "order_reviews"):
        keep(table, "order_id", values("orders", "order_id"))
    keep("customers", "customer_id", values("orders", "customer_id"))
    keep("products", "product_id", values("order_items", "product_id"))
    keep("sellers", "seller_id", values("order_items", "seller_id"))


def plain(rows):
    """Decimals without trailing zeros, so that both systems print the same text."""
    def strip(text):
        if "." in text:
            head, tail = text.split(".", 1)
            if head.lstrip("-").isdigit() and tail.isdigit():
                return text.rstrip("0").rstrip(".")
        return text
    return [[strip(str(v)) for v in row] for row in rows]


def assert_answers_equal(millrace, database):
    """Both sample queries answer exactly what PostgreSQL answers."""
    ours, theirs = millrace.query(REVENUE_BY_MONTH), database.run(REVENUE_BY_MONTH_PG)
    assert plain(ours) == plain(theirs)
    ours, theirs = millrace.query(TOP_CATEGORIES), database.run(TOP_CATEGORIES_PG)
    assert plain(ours) == plain(theirs)
