"""The pages and their API: figures equal PostgreSQL's own, filters cross, orders come in live, strangers are
refused, and a real browser draws them."""

import http.client
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse

import pytest
import shoplib
from conftest import ROOT, wait_for

EVERYTHING = {"from": "2016-01-01", "to": "2019-12-31"}


def start(millrace, shop):
    shoplib.load_sample(shop, orders=200)
    millrace.start()
    millrace.caught_up()


def dashboard(millrace, **params):
    return json.loads(millrace.get("/api/dashboard?" + urllib.parse.urlencode({**EVERYTHING, **params})))


def test_figures_equal_the_source(millrace, shop):
    start(millrace, shop)
    revenue, orders = shop.run("SELECT sum(price + freight_value), count(DISTINCT order_id) FROM order_items")[0]
    data = dashboard(millrace)
    for part in ("days", "states", "categories"):
        assert sum(row["revenue"] for row in data[part]) == pytest.approx(float(revenue)), (part, data)
    assert sum(row["orders"] for row in data["days"]) == orders
    assert data["bounds"][0]["orders"] == shop.run("SELECT count(*) FROM orders")[0][0]


def test_a_panel_keeps_the_other_values_of_its_own_filter(millrace, shop):
    start(millrace, shop)
    state, wanted = shop.run(
        "SELECT c.customer_state, sum(i.price + i.freight_value) FROM order_items i JOIN orders o USING (order_id) "
        "JOIN customers c USING (customer_id) GROUP BY 1 ORDER BY 2 DESC LIMIT 1")[0]
    everything, filtered = dashboard(millrace), dashboard(millrace, state=state)
    assert filtered["states"] == everything["states"]
    assert sum(row["revenue"] for row in filtered["days"]) == pytest.approx(float(wanted))
    assert sum(row["revenue"] for row in filtered["categories"]) == pytest.approx(float(wanted))
    listed = dashboard(millrace, state=state, part="orders")["orders"]
    assert listed and {row["state"] for row in listed} == {state}


def test_wrong_questions_are_refused(millrace, shop):
    start(millrace, shop)
    for wrong in ({"from": "yesterday"}, {"part": "nothing"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            dashboard(millrace, **wrong)
        assert refused.value.code == 400
    assert dashboard(millrace, state="' OR 1 = 1 --")["days"] == []


def test_a_new_order_comes_in_live(millrace, shop):
    start(millrace, shop)
    connection = http.client.HTTPConnection("127.0.0.1", millrace.http_port, timeout=30)
    connection.request("GET", "/api/live")
    stream = connection.getresponse()
    assert stream.getheader("Content-Type") == "text/event-stream"
    key = "f" * 32
    with shop.connect() as source, source.transaction():
        source.execute("INSERT INTO customers SELECT %s, customer_unique_id, customer_zip_code_prefix, customer_city, "
                       "customer_state FROM customers LIMIT 1", (key,))
        source.execute("INSERT INTO orders SELECT %s, %s, order_status, now(), NULL, NULL, NULL, "
                       "order_estimated_delivery_date FROM orders LIMIT 1", (key, key))
        source.execute("INSERT INTO order_items SELECT %s, 1, product_id, seller_id, shipping_limit_date, price, "
                       "freight_value FROM order_items LIMIT 1", (key,))

    def seen():
        line = stream.readline().decode("utf8")
        if not line.startswith("data: "):
            return False
        return any(o["order_id"] == key for o in json.loads(line[6:]).get("recent", []))

    wait_for(seen, 60, "the new order on the live stream", every=0)
    connection.close()
    order = json.loads(millrace.get("/api/order?id=" + key))[0]
    assert order["order_id"] == key and order["items"] == 1


def test_strangers_change_nothing(millrace, shop):
    start(millrace, shop)
    for path in ("/api/resync?table=public.orders", "/api/replay?table=orders", "/api/check"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            millrace.get(path, data=b"")
        assert refused.value.code == 403
    with pytest.raises(urllib.error.HTTPError):
        millrace.get("/api/pipeline", headers={"Host": "shop.example"})


def test_health_and_metrics(millrace, shop):
    start(millrace, shop)
    assert millrace.get("/health") == "ok\n"
    metrics = millrace.get("/metrics")
    for name in ("millrace_lag_seconds", "millrace_bronze_rows_total", "millrace_commit_to_visible_seconds_bucket"):
        assert name in metrics, name


def test_what_a_browser_has_is_not_sent_again(millrace):
    millrace.start()

    def ask(path, tag=None):
        connection = http.client.HTTPConnection("127.0.0.1", millrace.http_port, timeout=30)
        connection.request("GET", path, headers={"If-None-Match": tag} if tag else {})
        answer = connection.getresponse()
        result = answer.status, answer.getheader("ETag"), answer.read()
        connection.close()
        return result

    tags = {path: ask(path)[1] for path in ("/", "/app.css", "/lib/echarts.min.js")}
    assert all(tags.values()) and len(set(tags.values())) == 3, tags
    for path, tag in tags.items():
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            assert ask(path, given) == (304, tag, b""), (path, given)
        status, _, body = ask(path, '"other"')
        assert status == 200 and body
    assert ask("/", tags["/app.css"])[0] == 200
    assert ask("/nothing", "*")[0] == 404


def dump(url, folder):
    result = subprocess.run(
        [shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={folder}", "--virtual-time-budget=8000", "--dump-dom", url],
        capture_output=True, text=True, timeout=120, check=True)
    return result.stdout.replace("<wbr>", "")


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium")
@pytest.mark.parametrize("lang,word", [("vi", "Doanh thu gộp"), ("en", "Gross revenue")])
def test_a_browser_draws_the_pages(millrace, shop, tmp_path, lang, word):
    start(millrace, shop)
    base = f"http://127.0.0.1:{millrace.http_port}"
    page = dump(f"{base}/?lang={lang}&period=all&paused=1", tmp_path / "a")
    assert word in page
    tile = re.search(r'id="revenue".*?class="n">([^<]+)<', page, re.S)
    wanted = shop.run("SELECT round(sum(price + freight_value)) FROM order_items")[0][0]
    assert tile and int(re.sub(r"\D", "", tile.group(1))) == int(wanted), page[:2000]
    assert page.count('class="bar"') >= 3 and "<svg" in page
    page = dump(f"{base}/pipeline?lang={lang}&paused=1", tmp_path / "b")
    for part in ("Bronze", "ClickHouse", "silver.orders", "gold.fact_orders"):
        assert part in page, part


def test_every_word_is_in_both_languages():
    text = (ROOT / "web" / "i18n.js").read_text(encoding="utf8")
    vi, en = re.search(r"\n  vi: \{(.*?)\n  \},\n  en: \{(.*?)\n  \},?\n\};", text, re.S).groups()
    keys = [set(re.findall(r"(?:^|[,\s])(\w+): '", part)) for part in (vi, en)]
    assert keys[0] == keys[1]
    used = set()
    for name in ("common", "executive", "panels", "pipeline", "topics"):
        used |= set(re.findall(r"\bt\('(\w+)'\)", (ROOT / "web" / f"{name}.js").read_text(encoding="utf8")))
    for name in ("index", "pipeline"):
        used |= set(re.findall(r'data-t="(\w+)"', (ROOT / "web" / f"{name}.html").read_text(encoding="utf8")))
    assert used and used <= keys[0], used - keys[0]
