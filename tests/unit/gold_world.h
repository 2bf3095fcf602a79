/* The small shop of test_gold.c: its models, its silver tables, random changes.
 *
 * What the tables hold after step p depends on the seed and p alone, so a process that was killed can
 * be started again: it plays the steps in memory up to where it stood and goes on from there. Every
 * fifth step moves silver alone, as a slice of a large transaction does. */
#ifndef MILLRACE_TESTS_GOLD_WORLD_H
#define MILLRACE_TESTS_GOLD_WORLD_H

#include "stages/outbox.h"
#include "stages/refine/gold/gold_int.h"

enum { CUSTOMERS = 12, PERSONS = 5, ORDERS = 24, ITEMS = 3, PRODUCTS = 6, ZIPS = 4, EVENTS_MAX = 64 };

#define DAY_US INT64_C(86400000000)
#define BASE_US (INT64_C(18262) * DAY_US) /* 2020-01-01 */

static const char *const statuses[] = {"created", "delivered", "canceled"};

/* -1: NULL. Numbers beyond the tables' sizes name rows that do not exist. */
struct shop {
    struct {
        bool there;
        int person, zip;
    } customers[CUSTOMERS];
    struct {
        bool there;
        int customer, day, status;
    } orders[ORDERS];
    struct {
        bool there;
        int product, price;
    } items[ORDERS][ITEMS];
    struct {
        bool there;
        int category;
    } products[PRODUCTS];
    struct {
        bool there;
        int state;
    } zips[ZIPS];
    int setting;
};

/* One version of a product, for its history. */
struct event {
    char op;
    int product, category;
    int64_t lsn, ordinal;
};

struct step {
    bool customers[CUSTOMERS], orders[ORDERS], items[ORDERS][ITEMS], products[PRODUCTS], zips[ZIPS],
        setting;
    struct event events[EVENTS_MAX];
    size_t event_count;
};

/* ---- random changes ---- */

static inline uint64_t random_next(uint64_t *r)
{
    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;
    return *r;
}

static inline int pick(uint64_t *r, int n)
{
    return (int)(random_next(r) % (uint64_t)n);
}

/* NULL now and then, and sometimes a number that no row has. */
static inline int pick_reference(uint64_t *r, int n)
{
    int v = pick(r, n + 2);
    return v == n + 1 ? -1 : v;
}

static inline void change_order(struct shop *s, struct step *t, uint64_t *r)
{
    int o = pick(r, ORDERS), action = pick(r, 10);
    t->orders[o] = true;
    if (action < 2) {
        s->orders[o].there = false;
    } else if (action == 2) { /* the key changes: the order and its items go elsewhere */
        int to = pick(r, ORDERS);
        if (to == o) return;
        t->orders[to] = true;
        s->orders[to] = s->orders[o];
        s->orders[o].there = false;
        for (int i = 0; i < ITEMS; i++) {
            t->items[o][i] = t->items[to][i] = true;
            s->items[to][i] = s->items[o][i];
            s->items[o][i].there = false;
        }
    } else {
        s->orders[o].there = true;
        s->orders[o].customer = pick_reference(r, CUSTOMERS);
        s->orders[o].day = pick(r, 12) == 0 ? -1 : pick(r, 60);
        s->orders[o].status = pick(r, 3);
    }
}

static inline void change_product(struct shop *s, struct step *t, int64_t lsn, uint64_t *r)
{
    int p = pick(r, PRODUCTS), times = 1 + pick(r, 3);
    t->products[p] = true;
    for (int i = 0; i < times && t->event_count < EVENTS_MAX; i++) {
        bool delete = s->products[p].there && pick(r, 4) == 0;
        char op = delete ? 'd' : s->products[p].there ? 'u' : 'c';
        if (!delete) s->products[p].category = pick(r, 4) - 1;
        s->products[p].there = !delete;
        t->events[t->event_count] =
            (struct event){op, p, s->products[p].category, lsn, (int64_t)t->event_count};
        t->event_count++;
    }
}

static inline void change_one(struct shop *s, struct step *t, int64_t p, uint64_t *r)
{
    int kind = pick(r, 20);
    if (kind < 6) {
        change_order(s, t, r);
    } else if (kind < 12) {
        int o = pick(r, ORDERS), i = pick(r, ITEMS);
        t->items[o][i] = true;
        s->items[o][i].there = pick(r, 5) > 0;
        s->items[o][i].product = pick_reference(r, PRODUCTS);
        s->items[o][i].price = pick(r, 100000);
    } else if (kind < 15) {
        int c = pick(r, CUSTOMERS);
        t->customers[c] = true;
        s->customers[c].there = pick(r, 5) > 0;
        s->customers[c].person = pick(r, 8) == 0 ? -1 : pick(r, PERSONS);
        s->customers[c].zip = pick_reference(r, ZIPS);
    } else if (kind < 18) {
        change_product(s, t, p + 1, r);
    } else {
        int z = pick(r, ZIPS);
        t->zips[z] = true;
        s->zips[z].there = pick(r, 4) > 0;
        s->zips[z].state = pick(r, 4) - 1;
    }
}

/* Plays step p in memory; what it touched comes back in t. */
static inline void shop_step(struct shop *s, struct step *t, uint64_t seed, int64_t p)
{
    uint64_t r = (seed + 1) * 0x9E3779B97F4A7C15u ^ ((uint64_t)p + 1) * 0xD1B54A32D192ED03u;
    for (int i = 0; i < 4; i++)
        random_next(&r);
    *t = (struct step){0};
    int count = p == 0 ? 0 : p == 1 ? 120 : pick(&r, 6) == 0 ? 0 : 1 + pick(&r, pick(&r, 3) ? 4 : 30);
    for (int i = 0; i < count; i++)
        change_one(s, t, p, &r);
    if (p == 1 || p % 13 == 12) {
        t->setting = true;
        s->setting = (int)(p % 7);
    }
}

/* ---- rows ---- */

static inline void put_id(struct buf *out, char kind, int id)
{
    char text[16];
    snprintf(text, sizeof text, "%c%d", kind, id);
    buf_put_string(out, slice_of(text));
}

static inline void put_id_or_null(struct buf *out, char kind, int id)
{
    buf_put_u8(out, id < 0);
    if (id >= 0) put_id(out, kind, id);
}

static inline void put_customer(struct buf *out, const struct shop *s, int c)
{
    put_id(out, 'c', c);
    put_id_or_null(out, 'p', s->customers[c].person);
    put_id_or_null(out, 'z', s->customers[c].zip);
}

static inline void put_order(struct buf *out, const struct shop *s, int o)
{
    put_id(out, 'o', o);
    put_id_or_null(out, 'c', s->orders[o].customer);
    buf_put_u8(out, s->orders[o].day < 0);
    if (s->orders[o].day >= 0) buf_put_u64(out, (uint64_t)(BASE_US + s->orders[o].day * DAY_US + o));
    buf_put_string(out, slice_of(statuses[s->orders[o].status]));
}

static inline void put_item(struct buf *out, const struct shop *s, int o, int i)
{
    put_id(out, 'o', o);
    buf_put_u16(out, (uint16_t)(i + 1));
    put_id_or_null(out, 'i', s->items[o][i].product);
    buf_put_u64(out, (uint64_t)s->items[o][i].price);
}

static inline void put_product(struct buf *out, int product, int category)
{
    put_id(out, 'i', product);
    put_id_or_null(out, 'k', category);
}

static inline void put_zip(struct buf *out, const struct shop *s, int z)
{
    put_id(out, 'z', z);
    put_id_or_null(out, 's', s->zips[z].state);
}

static inline void put_event(struct buf *out, const struct event *e, int64_t p)
{
    put_product(out, e->product, e->category);
    buf_put_u64(out, (uint64_t)e->lsn);
    buf_put_u64(out, (uint64_t)e->ordinal);
    char op[2] = {e->op, 0};
    buf_put_string(out, slice_of(op));
    buf_put_u64(out, (uint64_t)(BASE_US + p * DAY_US + e->ordinal));
}

/* ---- models ---- */

#define MODEL(name, text)                                                                                  \
    {                                                                                                      \
        "sql/gold/" name ".sql", text, sizeof(text) - 1                                                    \
    }

/* Out of order on purpose: gold puts them right. */
static const struct asset shop_models[] = {
    /* driving table, look-ups two hops away, the version of a dimension, a small table as a whole */
    MODEL("a_fact_items",
          "-- One row for each item.\n"
          "--\n"
          "-- model: fact_items\n-- kind: row\n-- key: order_id, item_id\n-- group: order_id\n"
          "-- input: items(order_id) = group\n"
          "-- input: orders(order_id) = group\n"
          "-- input: customers(customer_id) = orders.customer_id\n"
          "-- input: dim_persons(person) = customers.person\n"
          "-- input: dim_products(product_id) = items.product_id"
          " since valid_from, valid_to <= orders.bought_at\n"
          "-- input: settings\n"
          "-- sort: bought_at, order_id, item_id\n"
          "-- columns:\n"
          "--   order_id string not null\n--   item_id short not null\n--   bought_at timestamp not null\n"
          "--   product_version timestamp\n--   category string not null\n--   person string\n"
          "--   person_state string\n--   price decimal(12,2) not null\n--   factor long\n"
          "WITH asof AS (\n"
          "    SELECT i.order_id AS order_id, i.item_id AS item_id, d.valid_from AS valid_from,\n"
          "           d.category AS category, row_number() OVER (PARTITION BY i.order_id, i.item_id\n"
          "               ORDER BY d.valid_from DESC) AS place\n"
          "    FROM items i JOIN orders o ON o.order_id = i.order_id\n"
          "    JOIN dim_products d ON d.product_id = i.product_id\n"
          "    WHERE d.valid_from <= o.bought_at)\n"
          "SELECT i.order_id AS order_id, i.item_id AS item_id,\n"
          "       coalesce(o.bought_at, toDateTime64(0, 6, 'UTC')) AS bought_at,\n"
          "       a.valid_from AS product_version, coalesce(a.category, 'none') AS category,\n"
          "       c.person AS person, d.state AS person_state, i.price AS price,\n"
          "       (SELECT max(value) FROM settings) AS factor\n"
          "FROM items i\n"
          "LEFT JOIN orders o ON o.order_id = i.order_id\n"
          "LEFT JOIN customers c ON c.customer_id = o.customer_id\n"
          "LEFT JOIN dim_persons d ON d.person = c.person\n"
          "LEFT JOIN asof a ON a.order_id = i.order_id AND a.item_id = i.item_id AND a.place = 1;\n"),
    /* versions from history */
    MODEL(
        "b_dim_products",
        "-- model: dim_products\n-- kind: row\n-- key: product_id, valid_from\n-- group: product_id\n"
        "-- input: products_history(product_id) = group\n"
        "-- columns:\n"
        "--   product_id string not null\n--   category string not null\n"
        "--   valid_from timestamp not null\n--   valid_to timestamp\n--   is_current boolean not null\n"
        "WITH numbered AS (\n"
        "    SELECT product_id, category, _op, CASE WHEN row_number() OVER (PARTITION BY product_id\n"
        "        ORDER BY _lsn, _ordinal) = 1 THEN toDateTime64(0, 6, 'UTC') ELSE _valid_from END AS "
        "opened\n"
        "    FROM products_history),\n"
        "closed AS (\n"
        "    SELECT *, lead(toNullable(opened)) OVER (PARTITION BY product_id ORDER BY opened) AS closed\n"
        "    FROM numbered)\n"
        "SELECT product_id, coalesce(category, 'unknown') AS category, opened AS valid_from,\n"
        "       closed AS valid_to, closed IS NULL AS is_current\n"
        "FROM closed WHERE _op <> 'd'\n"
        "UNION ALL\n"
        "SELECT 'none', 'none', toDateTime64(0, 6, 'UTC'), NULL, true\n"),
    /* two hops, and another model */
    MODEL("c_dim_persons",
          "-- model: dim_persons\n-- kind: row\n-- key: person\n-- group: person\n"
          "-- input: customers(person) = group\n"
          "-- input: orders(customer_id) = customers.customer_id\n"
          "-- input: geo(zip) = customers.zip\n"
          "-- columns:\n"
          "--   person string not null\n--   orders long not null\n--   first_at timestamp\n"
          "--   state string\n--   neighbours long not null\n"
          "SELECT c.person AS person, count(DISTINCT o.order_id) AS orders, min(o.bought_at) AS first_at,\n"
          "       max(g.state) AS state, coalesce(max(g.customers), 0) AS neighbours\n"
          "FROM customers c LEFT JOIN orders o ON o.customer_id = c.customer_id\n"
          "LEFT JOIN geo g ON g.zip = c.zip\n"
          "WHERE c.person IS NOT NULL GROUP BY c.person\n"),
    /* two tables by group */
    MODEL("d_geo",
          "-- model: geo\n-- kind: row\n-- key: zip\n-- group: zip\n"
          "-- input: zips(zip) = group\n-- input: customers(zip) = group\n"
          "-- columns:\n--   zip string not null\n--   state string\n--   customers long not null\n"
          "SELECT zip, max(state) AS state, sum(n) AS customers\n"
          "FROM (SELECT zip, state, 0 AS n FROM zips\n"
          "      UNION ALL SELECT zip, NULL, 1 FROM customers WHERE zip IS NOT NULL)\n"
          "GROUP BY zip\n"),
    /* a table twice: the order's customer's other orders, of which the items are not loaded */
    MODEL("e_order_rank",
          "-- model: order_rank\n-- kind: row\n-- key: order_id\n-- group: order_id\n"
          "-- input: orders(order_id) = group\n"
          "-- input: customers(customer_id) = orders.customer_id\n"
          "-- input: orders(customer_id) = customers.customer_id\n"
          "-- input: items(order_id) = group\n"
          "-- columns:\n--   order_id string not null\n--   place long not null\n--   person string\n"
          "--   items long not null\n"
          "SELECT o.order_id AS order_id, row_number() OVER (PARTITION BY coalesce(c.customer_id, "
          "o.order_id)\n"
          "           ORDER BY o.bought_at NULLS FIRST, o.order_id) AS place, c.person AS person,\n"
          "       coalesce(i.n, 0) AS items\n"
          "FROM orders o LEFT JOIN customers c ON c.customer_id = o.customer_id\n"
          "LEFT JOIN (SELECT order_id, count(*) AS n FROM items GROUP BY order_id) i\n"
          "    ON i.order_id = o.order_id\n"),
    /* rows move between groups: the group is not part of the key */
    MODEL("f_members", "-- model: members\n-- kind: row\n-- key: customer_id\n-- group: person\n"
                       "-- input: customers(person) = group\n"
                       "-- sort: person, customer_id\n"
                       "-- columns:\n--   person string not null\n--   customer_id string not null\n"
                       "--   of long not null\n"
                       "SELECT person, customer_id, count(*) OVER (PARTITION BY person) AS of\n"
                       "FROM customers WHERE person IS NOT NULL\n"),
    MODEL("g_revenue",
          "-- model: revenue\n-- kind: whole\n-- key: category\n"
          "-- input: fact_items\n-- input: dim_products\n"
          "-- columns:\n--   category string not null\n--   amount decimal(18,2) not null\n"
          "--   items long not null\n"
          "SELECT p.category AS category, coalesce(sum(f.price), 0) AS amount, count(f.price) AS items\n"
          "FROM (SELECT DISTINCT category FROM dim_products) p\n"
          "LEFT JOIN fact_items f ON f.category = p.category GROUP BY p.category\n"),
    /* not a model */
    {"sql/silver/orders.sql", "SELECT 1", 8},
};
enum { SHOP_MODELS = sizeof shop_models / sizeof *shop_models, MEMBERS = 5 };

#endif
