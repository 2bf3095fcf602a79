"""Readers of the warehouse during a storm of updates see no wrong total."""

import threading

import shoplib
from conftest import wait_for


def test_totals_stay_whole_during_a_storm(millrace, shop):
    """Every transaction moves one real from one item to another of the same order, or moves an order in time,
    so the sum over all facts is the same after each; a reader that ever sees another sum saw half a batch."""
    shoplib.load_sample(shop, orders=400)
    millrace.start()
    millrace.caught_up()
    expected = millrace.scalar("SELECT toString(sum(total_amount)) FROM fact_orders")
    count = millrace.scalar("SELECT count() FROM fact_orders")
    stop = threading.Event()
    failures = []

    def storm():
        with shop.connect() as connection:
            items = connection.execute("SELECT order_id, order_item_id FROM order_items ORDER BY 1, 2").fetchall()
            for n in range(300):
                (a, an), (b, bn) = items[n % len(items)], items[(n * 7 + 3) % len(items)]
                with connection.transaction():
                    connection.execute("UPDATE order_items SET price = price + 1 WHERE order_id = %s AND "
                                       "order_item_id = %s", (a, an))
                    connection.execute("UPDATE order_items SET price = price - 1 WHERE order_id = %s AND "
                                       "order_item_id = %s", (b, bn))
                    connection.execute("UPDATE orders SET order_purchase_timestamp = order_purchase_timestamp + "
                                       "interval '40 days' WHERE order_id = %s", (a,))
        stop.set()

    def read():
        reads = 0
        while not stop.is_set() or reads < 20:
            row = millrace.query("SELECT toString(sum(total_amount)), count() FROM fact_orders")[0]
            reads += 1
            if row != [expected, count]:
                failures.append(row)
                return

    threads = [threading.Thread(target=f) for f in (storm, read, read)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=240)
    assert stop.is_set()
    assert not failures, f"saw {failures[0]} instead of {[expected, count]}"
    millrace.caught_up()
    assert millrace.query("SELECT toString(sum(total_amount)), count() FROM fact_orders")[0] == [expected, count]


def test_aggregates_follow_while_load_goes_on(millrace, shop):
    """Models that are computed as a whole must not wait for a quiet moment: under load there is none."""
    shoplib.load_sample(shop, orders=200)
    millrace.start()
    millrace.caught_up()
    sums = "SELECT toString(sum(gross)), toString(sum(net)) FROM agg_monthly_revenue"
    before = millrace.query(sums)
    stop = threading.Event()

    def load():
        with shop.connect() as connection:
            while not stop.is_set():
                connection.execute("UPDATE order_items SET price = price + 1 WHERE order_id = "
                                   "(SELECT order_id FROM order_items ORDER BY random() LIMIT 1)")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        wait_for(lambda: millrace.query(sums) != before, timeout=60, what="agg_monthly_revenue under load")
    finally:
        stop.set()
        thread.join(timeout=30)
