/* The statements of an order's life. Ids are hexadecimal digits and need no quoting; texts get it. */
#include "cli/generate/play.h"

#include "base/clock.h"
#include "cli/generate/words.h"

#include <stdlib.h>

void play_put_time(struct buf *sql, int64_t us)
{
    int64_t s = us / 1000000, year;
    int month, day, second = (int)(s % 86400);
    clock_civil(s / 86400, &year, &month, &day);
    buf_printf(sql, "'%04lld-%02d-%02d %02d:%02d:%02d'", (long long)year, month, day, second / 3600,
               second / 60 % 60, second % 60);
}

void play_put_money(struct buf *sql, int64_t cents)
{
    buf_printf(sql, "%s%lld.%02d", cents < 0 ? "-" : "", llabs((long long)cents) / 100,
               abs((int)(cents % 100)));
}

static void put_item(struct buf *sql, const struct shop *shop, const struct order *o, int i)
{
    const struct order_item *item = &o->basket->items[i];
    buf_printf(sql, "('%s', %d, '%s', '%s', ", o->order_id, i + 1, shop->products[item->product].id,
               shop->sellers[item->seller].id);
    play_put_time(sql, item->limit_us);
    buf_put_text(sql, ", ");
    play_put_money(sql, item->price_cents);
    buf_put_text(sql, ", ");
    play_put_money(sql, item->freight_cents);
    buf_put_char(sql, ')');
}

static void put_payment(struct buf *sql, const struct order *o, int i, int64_t less_cents)
{
    const struct order_payment *pay = &o->basket->payments[i];
    int64_t cents = pay->value_cents > less_cents ? pay->value_cents - less_cents : 0;
    buf_printf(sql, "('%s', %d, '%s', %d, ", o->order_id, pay->sequential, pay->type, pay->installments);
    play_put_money(sql, cents);
    buf_put_char(sql, ')');
}

static void put_placed(struct buf *sql, const struct shop *shop, const struct order *o)
{
    const struct place *place = &shop->places[o->person.place];
    buf_printf(sql, "INSERT INTO customers VALUES ('%s', '%s', '%s', ", o->customer_id, o->person.id,
               place->zip);
    pg_put_text(sql, slice_of(place->city));
    buf_printf(sql, ", '%s');\nINSERT INTO orders VALUES ('%s', '%s', 'created', ",
               state_shares[place->state].code, o->order_id, o->customer_id);
    play_put_time(sql, o->purchase_us);
    buf_put_text(sql, ", NULL, NULL, NULL, ");
    play_put_time(sql, o->estimate_us);
    buf_put_text(sql, ");\nINSERT INTO order_items VALUES ");
    bool later = order_has_step(o, STEP_BASKET);
    for (int i = 0; i < o->item_count - later; i++) {
        if (i) buf_put_text(sql, ", ");
        put_item(sql, shop, o, i);
    }
    const struct order_item *last = &o->basket->items[o->item_count - 1];
    buf_put_text(sql, ";\nINSERT INTO order_payments VALUES ");
    for (int i = 0; i < o->payment_count; i++) {
        if (i) buf_put_text(sql, ", ");
        put_payment(sql, o, i, later && i == 0 ? last->price_cents + last->freight_cents : 0);
    }
}

static void put_basket(struct buf *sql, const struct shop *shop, const struct order *o)
{
    const struct order_payment *pay = &o->basket->payments[0];
    buf_put_text(sql, "INSERT INTO order_items VALUES ");
    put_item(sql, shop, o, o->item_count - 1);
    buf_put_text(sql, ";\nUPDATE order_payments SET payment_value = ");
    play_put_money(sql, pay->value_cents);
    buf_printf(sql, " WHERE order_id = '%s' AND payment_sequential = %d", o->order_id, pay->sequential);
}

static void put_status(struct buf *sql, const struct order *o, const char *status, const char *column,
                       int64_t us)
{
    buf_printf(sql, "UPDATE orders SET order_status = '%s'", status);
    if (column) {
        buf_printf(sql, ", %s = ", column);
        play_put_time(sql, us);
    }
    buf_printf(sql, " WHERE order_id = '%s'", o->order_id);
}

static void put_end(struct buf *sql, const struct order *o, const char *status)
{
    put_status(sql, o, status, NULL, 0);
    if (o->items_removed) buf_printf(sql, ";\nDELETE FROM order_items WHERE order_id = '%s'", o->order_id);
}

static void put_review(struct buf *sql, struct random *r, const struct order *o, const char *review_id,
                       int score, int64_t created_us, int64_t answered_us)
{
    buf_printf(sql, "INSERT INTO order_reviews VALUES ('%s', '%s', %d, ", review_id, o->order_id, score);
    words_put_review(sql, r, score);
    buf_put_text(sql, ", ");
    play_put_time(sql, created_us);
    buf_put_text(sql, ", ");
    play_put_time(sql, answered_us);
    buf_put_char(sql, ')');
}

static void put_second_review(struct buf *sql, struct random *r, const struct order *o, int64_t at_us)
{
    char id[RANDOM_ID];
    random_id(r, id);
    put_review(sql, r, o, id, 1 + (int)random_below(r, 5), o->review_us + INT64_C(172800000000), at_us);
}

static void put_review_edit(struct buf *sql, struct random *r, const struct order *o)
{
    int score = o->score < 5 && random_chance(r, .7) ? o->score + 1 : 1;
    buf_printf(
        sql,
        "UPDATE order_reviews SET review_score = %d, (review_comment_title, review_comment_message) = (",
        score);
    words_put_review(sql, r, score);
    buf_printf(sql, ") WHERE review_id = '%s' AND order_id = '%s'", o->review_id, o->order_id);
}

static void put_forget(struct buf *sql, const struct order *o)
{
    static const char *const tables[] = {"order_reviews", "order_payments", "order_items", "orders"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        buf_printf(sql, "DELETE FROM %s WHERE order_id = '%s';\n", tables[i], o->order_id);
    buf_printf(sql, "DELETE FROM customers WHERE customer_id = '%s'", o->customer_id);
}

void play_put_step(struct buf *sql, const struct shop *shop, struct order *o)
{
    struct random *r = &o->random;
    const struct order_step *step = &o->steps[o->step_next];
    switch (step->step) {
    case STEP_PLACED: put_placed(sql, shop, o); break;
    case STEP_BASKET: put_basket(sql, shop, o); break;
    case STEP_APPROVED: put_status(sql, o, "approved", "order_approved_at", o->approved_us); break;
    case STEP_INVOICED: put_status(sql, o, "invoiced", NULL, 0); break;
    case STEP_PROCESSING: put_status(sql, o, "processing", NULL, 0); break;
    case STEP_SHIPPED: put_status(sql, o, "shipped", "order_delivered_carrier_date", o->carrier_us); break;
    case STEP_DELIVERED:
        put_status(sql, o, "delivered", "order_delivered_customer_date", o->delivered_us);
        break;
    case STEP_CANCELED: put_end(sql, o, "canceled"); break;
    case STEP_UNAVAILABLE: put_end(sql, o, "unavailable"); break;
    case STEP_REVIEW: put_review(sql, r, o, o->review_id, o->score, o->review_us, o->answer_us); break;
    case STEP_REVIEW_AGAIN: put_second_review(sql, r, o, step->at_us); break;
    case STEP_REVIEW_EDIT: put_review_edit(sql, r, o); break;
    case STEP_REVIEW_DELETE:
        buf_printf(sql, "DELETE FROM order_reviews WHERE review_id = '%s' AND order_id = '%s'",
                   o->review_id, o->order_id);
        break;
    case STEP_FORGET: put_forget(sql, o); break;
    case STEPS: break;
    }
}
