/* What a calm shop does not do, for a pipeline to prove itself on. Each is legal in PostgreSQL; some break
 * silver's rules, most of those are put right a little later by the next fault of the kind. */
#include "cli/generate/play.h"

enum { STORM = 60, GEO_ROWS = 2000, COMMENT_BYTES = 40000 };

static void emit(struct play *p, struct buf *sql, uint64_t key)
{
    play_emit(p, sql, key, PLAY_FAULT, false, false);
}

/* The order once more: refused, and nothing of it stays. */
static void duplicate(struct play *p, const struct recent *o)
{
    struct buf sql = {0};
    buf_printf(&sql,
               "UPDATE orders SET order_status = 'created' WHERE order_id = '%s';\n"
               "INSERT INTO orders SELECT * FROM orders WHERE order_id = '%s'",
               o->order_id, o->order_id);
    play_emit(p, &sql, o->number, PLAY_FAULT, true, false);
}

/* States that go back and forth, within one transaction and over three. */
static void out_of_order(struct play *p, const struct recent *o)
{
    static const char *const states[] = {"shipped", "approved", "delivered"};
    for (size_t i = 0; i < 3; i++) {
        struct buf sql = {0};
        buf_printf(&sql,
                   "UPDATE orders SET order_status = '%s' WHERE order_id = '%s';\n"
                   "UPDATE orders SET order_status = '%s' WHERE order_id = '%s'",
                   states[(i + 1) % 3], o->order_id, states[i], o->order_id);
        emit(p, &sql, o->number);
    }
}

static void change_key(struct play *p, const struct recent *o)
{
    struct buf sql = {0};
    char id[RANDOM_ID];
    random_id(&p->fault_random, id);
    if (random_chance(&p->fault_random, .5))
        buf_printf(&sql,
                   "UPDATE order_reviews SET review_id = '%s' WHERE order_id = '%s' AND review_id = '%s'",
                   id, o->order_id, o->review_id);
    else /* every key becomes the next one's: free again only at the end of the statement before */
        buf_printf(
            &sql,
            "UPDATE order_payments SET payment_sequential = payment_sequential + 100 WHERE order_id = "
            "'%s';\n"
            "UPDATE order_payments SET payment_sequential = payment_sequential - 99 WHERE order_id = '%s'",
            o->order_id, o->order_id);
    emit(p, &sql, o->number);
}

static void large(struct play *p)
{
    struct buf sql = {0};
    if (p->fault_count % 2)
        buf_printf(
            &sql,
            "INSERT INTO geolocation (geolocation_zip_code_prefix, geolocation_lat, geolocation_lng,"
            " geolocation_city, geolocation_state) SELECT '99999', -23 - i / 10000.0, -46, 'cidade', 'SP'"
            " FROM generate_series(1, %d) i;\nUPDATE products SET product_photos_qty ="
            " coalesce(product_photos_qty, 0) %% 9 + 1",
            GEO_ROWS);
    else
        buf_put_text(&sql, "DELETE FROM geolocation WHERE geolocation_zip_code_prefix = '99999'");
    play_emit(p, &sql, 0, PLAY_FAULT, false, true);
}

/* One row again and again: half within a transaction, half each in its own. */
static void storm(struct play *p)
{
    const struct product *product = &p->shop.products[shop_pick_product(&p->shop, &p->fault_random)];
    struct buf all = {0};
    for (int i = 0; i < STORM; i++) {
        struct buf one = {0}, *to = i % 2 ? &all : &one;
        buf_printf(to, "UPDATE products SET product_description_lenght = %d WHERE product_id = '%s';\n",
                   100 + i, product->id);
        if (to == &one) emit(p, &one, 0);
    }
    emit(p, &all, 0);
}

/* PostgreSQL takes it, silver must not (or must be able to). */
static void misfit(struct play *p, const struct recent *o)
{
    static const char *const wrong[] = {
        "UPDATE customers SET customer_state = 'XX' WHERE customer_id = '%s'",
        "UPDATE customers SET customer_zip_code_prefix = 'A-12' WHERE customer_id = '%s'",
        "UPDATE order_items SET price = 'NaN' WHERE order_id = '%s'",
        "UPDATE order_items SET price = 99999999.99 WHERE order_id = '%s'",
        "UPDATE order_items SET freight_value = -0.01 WHERE order_id = '%s'",
        "UPDATE order_payments SET payment_installments = -1 WHERE order_id = '%s'",
        "UPDATE orders SET order_delivered_customer_date = 'infinity' WHERE order_id = '%s'",
        "UPDATE orders SET order_approved_at = '0044-03-15 12:00:00 BC' WHERE order_id = '%s'",
    };
    static const char *const right[] = {
        "UPDATE customers SET customer_state = 'SP' WHERE customer_id = '%s'",
        "UPDATE customers SET customer_zip_code_prefix = '01001' WHERE customer_id = '%s'",
        "UPDATE order_items SET price = 19.90 WHERE order_id = '%s'",
        "UPDATE order_items SET price = 29.90 WHERE order_id = '%s'",
        "UPDATE order_items SET freight_value = 0.01 WHERE order_id = '%s'",
        "UPDATE order_payments SET payment_installments = 1 WHERE order_id = '%s'",
        "UPDATE orders SET order_delivered_customer_date = NULL WHERE order_id = '%s'",
        "UPDATE orders SET order_approved_at = order_purchase_timestamp WHERE order_id = '%s'",
    };
    size_t i = random_below(&p->fault_random, sizeof wrong / sizeof *wrong);
    const char *id = i < 2 ? o->customer_id : o->order_id;
    const char *const *texts[] = {wrong, right};
    int count = random_chance(&p->fault_random, .75) ? 2 : 1;
    for (int k = 0; k < count; k++) {
        struct buf sql = {0};
        const char *text = texts[k][i], *at = strstr(text, "%s");
        buf_put(&sql, text, (size_t)(at - text));
        buf_put_text(&sql, id);
        buf_put_text(&sql, at + 2);
        emit(p, &sql, o->number);
    }
}

/* Stored outside the row, then an update that leaves it out of the stream. */
static void long_comment(struct play *p, const struct recent *o)
{
    static const char *const pieces[] = {"😀 ", "não\r\n", "\"aspas\", ", "'", "\\N\t", "ação; ", "🇧🇷", "x"};
    struct buf text = {0}, sql = {0}, score = {0};
    while (text.len < COMMENT_BYTES) {
        buf_put_text(&text, pieces[random_below(&p->fault_random, sizeof pieces / sizeof *pieces)]);
        buf_printf(&text, "%08x",
                   (unsigned)random_next(&p->fault_random)); /* so that it does not compress away */
    }
    buf_put_text(&sql, "UPDATE order_reviews SET review_comment_message = ");
    pg_put_text(&sql, buf_slice(&text));
    buf_printf(&sql, " WHERE order_id = '%s'", o->order_id);
    emit(p, &sql, o->number);
    buf_printf(&score, "UPDATE order_reviews SET review_score = 6 - review_score WHERE order_id = '%s'",
               o->order_id);
    emit(p, &score, o->number);
    buf_free(&text);
}

static void roll_back(struct play *p, const struct recent *o)
{
    struct buf sql = {0};
    buf_printf(&sql,
               "BEGIN;\nUPDATE orders SET order_status = 'created' WHERE order_id = '%s';\n"
               "DELETE FROM order_reviews WHERE order_id = '%s';\nROLLBACK",
               o->order_id, o->order_id);
    emit(p, &sql, o->number);
    buf_printf(&sql,
               "BEGIN;\nUPDATE orders SET order_status = 'shipped' WHERE order_id = '%s';\nSAVEPOINT one;\n"
               "DELETE FROM order_items WHERE order_id = '%s';\nSAVEPOINT two;\n"
               "UPDATE orders SET order_status = 'created' WHERE order_id = '%s';\nROLLBACK TO one;\n"
               "UPDATE orders SET order_status = 'delivered' WHERE order_id = '%s';\nCOMMIT",
               o->order_id, o->order_id, o->order_id, o->order_id);
    emit(p, &sql, o->number);
}

void play_fault(struct play *p)
{
    uint64_t kind = p->fault_count++ % 8;
    size_t known = p->recent_count < RECENT ? p->recent_count : RECENT;
    if (!known && kind != 3 && kind != 4) return;
    const struct recent *o = known ? &p->recent[random_below(&p->fault_random, (uint32_t)known)] : NULL;
    switch (kind) {
    case 0: duplicate(p, o); break;
    case 1: out_of_order(p, o); break;
    case 2: change_key(p, o); break;
    case 3: large(p); break;
    case 4: storm(p); break;
    case 5: misfit(p, o); break;
    case 6: long_comment(p, o); break;
    default: roll_back(p, o);
    }
}
