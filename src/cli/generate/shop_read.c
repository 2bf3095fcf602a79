/* The shop out of the database. Every query is ordered, so that the same content gives the same shop. */
#include "cli/generate/shop.h"

#include "base/map.h"

#include <math.h>
#include <stdlib.h>

/* A place is known by zip prefix and state. */
static void put_key(struct buf *key, struct slice zip, struct slice state)
{
    buf_clear(key);
    buf_put_slice(key, zip);
    buf_put_slice(key, state);
}

static uint32_t add_place(struct shop *s, struct map *known, const struct pg_rows *rows, int row,
                          struct buf *key)
{
    struct slice zip = pg_slice(rows, row, 0), state = pg_slice(rows, row, 1);
    put_key(key, zip, state);
    void **at = map_put(known, buf_slice(key));
    if (*at) return (uint32_t)((uintptr_t)*at - 1);
    MEM_GROW(s->places, s->place_count, s->place_cap);
    struct place *p = &s->places[s->place_count];
    *p = (struct place){.state = (uint8_t)state_find(pg_text(rows, row, 1)),
                        .city = mem_text(pg_text(rows, row, 2))};
    memcpy(p->zip, zip.data, zip.len < 5 ? zip.len : 5);
    const char *lat = pg_text(rows, row, 3), *lng = pg_text(rows, row, 4);
    p->lat = lat ? (float)strtod(lat, NULL) : (float)state_shares[p->state].lat;
    p->lng = lng ? (float)strtod(lng, NULL) : (float)state_shares[p->state].lng;
    *at = (void *)(uintptr_t)(s->place_count + 1);
    return (uint32_t)s->place_count++;
}

/* What is outside Brazil is an error of the data (trap 12). */
static const char places_sql[] =
    "SELECT geolocation_zip_code_prefix, geolocation_state,"
    " min(geolocation_city COLLATE \"C\"), avg(geolocation_lat), avg(geolocation_lng) FROM geolocation"
    " WHERE geolocation_lat BETWEEN -33.8 AND 5.3 AND geolocation_lng BETWEEN -74 AND -32"
    " AND geolocation_state ~ '^[A-Z]{2}$' AND geolocation_zip_code_prefix ~ '^[0-9]{5}$'"
    " GROUP BY 1, 2 ORDER BY 1, 2";
static const char sellers_sql[] =
    "SELECT seller_zip_code_prefix, seller_state, seller_city, NULL, NULL, seller_id"
    " FROM sellers s LEFT JOIN (SELECT seller_id, count(*) AS n FROM order_items GROUP BY 1) i USING "
    "(seller_id)"
    " ORDER BY coalesce(n, 0) DESC, seller_id COLLATE \"C\"";
/* The seller and the price of the last sale. */
static const char products_sql[] =
    "SELECT product_id, product_category_name, coalesce(product_weight_g, 0),"
    " coalesce(product_length_cm, 16)::bigint * coalesce(product_height_cm, 2) * "
    "coalesce(product_width_cm, 11),"
    " l.seller_id, (l.price * 100)::bigint"
    " FROM products p"
    " LEFT JOIN (SELECT product_id, count(*) AS n FROM order_items GROUP BY 1) i USING (product_id)"
    " LEFT JOIN (SELECT DISTINCT ON (product_id) product_id, seller_id, price FROM order_items"
    "            WHERE price BETWEEN 0.01 AND 10000"
    "            ORDER BY product_id, shipping_limit_date DESC, order_id, order_item_id) l USING "
    "(product_id)"
    " WHERE length(product_id) = 32 ORDER BY coalesce(n, 0) DESC, product_id COLLATE \"C\"";
static const char persons_sql[] =
    "SELECT customer_zip_code_prefix, customer_state, customer_city, NULL, NULL, customer_unique_id"
    " FROM customers JOIN orders USING (customer_id) WHERE length(customer_unique_id) = 32"
    " ORDER BY order_purchase_timestamp DESC, customer_id COLLATE \"C\" LIMIT 4096";

static void copy_id(char *id, struct slice from)
{
    memcpy(id, from.data, from.len < RANDOM_ID - 1 ? from.len : RANDOM_ID - 1);
}

static bool read_places(struct shop *s, struct pg *pg, struct map *known, struct error *err)
{
    struct pg_rows rows;
    struct buf key = {0};
    bool ok = pg_query(pg, &rows, places_sql, NULL, 0, err);
    for (int i = 0; ok && i < rows.count; i++)
        add_place(s, known, &rows, i, &key);
    pg_rows_free(&rows);
    buf_free(&key);
    return ok;
}

static bool read_sellers(struct shop *s, struct pg *pg, struct map *known, struct map *ids,
                         struct error *err)
{
    struct pg_rows rows;
    struct buf key = {0};
    bool ok = pg_query(pg, &rows, sellers_sql, NULL, 0, err);
    for (int i = 0; ok && i < rows.count; i++) {
        struct slice id = pg_slice(&rows, i, 5);
        uint32_t place = add_place(s, known, &rows, i, &key);
        MEM_GROW(s->sellers, s->seller_count, s->seller_cap);
        s->sellers[s->seller_count] = (struct seller){.place = place};
        copy_id(s->sellers[s->seller_count].id, id);
        *map_put(ids, id) = (void *)(uintptr_t)++s->seller_count;
    }
    pg_rows_free(&rows);
    buf_free(&key);
    return ok;
}

static void add_product(struct shop *s, const struct pg_rows *rows, int row, const struct map *ids)
{
    MEM_GROW(s->products, s->product_count, s->product_cap);
    struct product *p = &s->products[s->product_count];
    *p = (struct product){.category = (uint8_t)category_find(pg_text(rows, row, 1)),
                          .weight_g = (int32_t)pg_int(rows, row, 2),
                          .price_cents = pg_int(rows, row, 5)};
    int64_t volume = pg_int(rows, row, 3);
    p->volume_cm3 = (int32_t)(volume < 0 || volume > 1000000 ? 1000000 : volume);
    copy_id(p->id, pg_slice(rows, row, 0));
    struct slice seller = pg_slice(rows, row, 4);
    uintptr_t found = seller.data ? (uintptr_t)map_get(ids, seller) : 0;
    /* never sold: the middle price of its category, and some seller */
    p->seller = (uint32_t)(found ? found - 1 : s->product_count % s->seller_count);
    if (p->price_cents <= 0) p->price_cents = (int64_t)exp(category_shares[p->category].mu) * 100 + 90;
    s->product_count++;
}

static bool read_products(struct shop *s, struct pg *pg, const struct map *ids, struct error *err)
{
    struct pg_rows rows;
    bool ok = pg_query(pg, &rows, products_sql, NULL, 0, err);
    for (int i = 0; ok && s->seller_count && i < rows.count; i++)
        add_product(s, &rows, i, ids);
    pg_rows_free(&rows);
    return ok;
}

static bool read_persons(struct shop *s, struct pg *pg, struct map *known, struct error *err)
{
    struct pg_rows rows;
    struct buf key = {0};
    bool ok = pg_query(pg, &rows, persons_sql, NULL, 0, err);
    s->persons = mem_resize(NULL, PERSONS_KEPT, sizeof *s->persons);
    for (int i = rows.count - 1; ok && i >= 0; i--) { /* the latest last */
        struct person p = {.place = add_place(s, known, &rows, i, &key)};
        copy_id(p.id, pg_slice(&rows, i, 5));
        s->persons[s->person_next++] = p;
        s->person_count++;
    }
    pg_rows_free(&rows);
    buf_free(&key);
    return ok;
}

bool shop_read(struct shop *s, struct pg *pg, struct error *err)
{
    struct map known = {0}, sellers = {0};
    bool ok = read_places(s, pg, &known, err) && read_sellers(s, pg, &known, &sellers, err) &&
              read_products(s, pg, &sellers, err) && read_persons(s, pg, &known, err);
    map_free(&known, NULL);
    map_free(&sellers, NULL);
    if (!ok && strstr(err->text, "42P01"))
        return error_wrap(err, "the shop has no tables; make them with millrace load --create");
    if (!ok) return error_wrap(err, "reading the shop");
    shop_places_default(s);
    shop_index(s);
    return true;
}
