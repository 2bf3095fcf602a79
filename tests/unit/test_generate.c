/* The generator without a database: 20,000 orders have the shares that the published orders have, lives
 * are in order, the same seed gives the same transactions. */
#include "unit.h"

#include "cli/generate/play.h"

#include <math.h>

enum { ORDERS = 20000 };
#define DAY_US INT64_C(86400000000)
#define START_US (INT64_C(20780) * DAY_US) /* some day in 2026 */

struct tally {
    double ends[ENDS], ways[PAY_WAYS], items[ITEMS_MOST + 1], instalments[25];
    double cards, orders, scores[6], several, one_product, one_seller, same_state, repeats;
    double delivered, late, delivery_days, unavailable_without_items, canceled, canceled_without_items;
    double ln_price, ln_price_square, units, boleto_hours_below_30, states[STATES];
};

static struct shop shop;
static struct tally tally;

static void new_shop(struct shop *s, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed);
    *s = (struct shop){0};
    shop_places_default(s);
    shop_open(s, &r, 600, 6000, NULL);
}

static void count_items(struct tally *t, const struct order *o)
{
    bool products = false, sellers = false;
    const struct order_item *items = o->basket->items;
    t->items[o->item_count]++;
    for (int i = 0; i < o->item_count; i++) {
        products |= items[i].product != items[0].product;
        sellers |= items[i].seller != items[0].seller;
        double ln = log((double)items[i].price_cents / 100);
        t->ln_price += ln;
        t->ln_price_square += ln * ln;
        t->units++;
    }
    t->several += o->item_count > 1;
    t->one_product += !products;
    t->one_seller += !sellers;
    t->same_state +=
        shop.places[shop.sellers[items[0].seller].place].state == shop.places[o->person.place].state;
    t->states[shop.places[o->person.place].state]++;
}

static void count_payments(struct tally *t, const struct order *o)
{
    t->ways[o->way]++;
    const struct order_payment *first = &o->basket->payments[0];
    if (strcmp(first->type, "credit_card") != 0) return;
    assert_in_range(first->installments, 1, 24);
    t->cards++;
    t->instalments[first->installments]++;
}

static void count_life(struct tally *t, const struct order *o)
{
    t->orders++;
    t->ends[o->end]++;
    if (o->end == END_CANCELED) t->canceled++, t->canceled_without_items += o->items_removed;
    if (o->end == END_UNAVAILABLE) t->unavailable_without_items += o->items_removed;
    if (o->way == PAY_BOLETO)
        t->boleto_hours_below_30 += o->approved_us - o->purchase_us < 30 * DAY_US / 24;
    if (order_has_step(o, STEP_REVIEW)) t->scores[o->score]++;
    if (o->end != END_DELIVERED) return;
    t->delivered++;
    t->late += o->delivered_us / DAY_US > o->estimate_us / DAY_US;
    t->delivery_days += (double)(o->delivered_us - o->purchase_us) / (double)DAY_US;
}

/* The year through, so that no season stands for all. */
static int count_orders(void **state)
{
    (void)state;
    struct random r;
    new_shop(&shop, 1);
    random_seed(&r, 2);
    for (int i = 0; i < ORDERS; i++) {
        size_t persons = shop.person_next;
        struct order *o = order_plan(&shop, &r, START_US + (int64_t)i * 365 * DAY_US / ORDERS);
        tally.repeats += persons == shop.person_next;
        count_items(&tally, o);
        count_payments(&tally, o);
        count_life(&tally, o);
        order_free(o);
    }
    return 0;
}

static int drop_shop(void **state)
{
    (void)state;
    shop_free(&shop);
    return 0;
}

static void near(const char *what, double share, double of, double percent, double tolerance)
{
    double found = 100 * share / of;
    if (getenv("MILLRACE_TEST_SHOW")) printf("%-28s %8.2f (%.2f)\n", what, found, percent);
    if (fabs(found - percent) > tolerance)
        fail_msg("%s: %.2f, should be %.2f +- %.2f", what, found, percent, tolerance);
}

static void test_ends(void **state)
{
    (void)state;
    near("delivered", tally.ends[END_DELIVERED], ORDERS, 97.02, .5);
    near("shipped", tally.ends[END_SHIPPED], ORDERS, 1.11, .3);
    near("canceled", tally.ends[END_CANCELED], ORDERS, .63, .25);
    near("unavailable", tally.ends[END_UNAVAILABLE], ORDERS, .61, .25);
    near("invoiced", tally.ends[END_INVOICED], ORDERS, .32, .2);
    near("processing", tally.ends[END_PROCESSING], ORDERS, .30, .2);
    near("unavailable, no items", tally.unavailable_without_items, tally.ends[END_UNAVAILABLE], 99, 4);
    near("canceled, no items", tally.canceled_without_items, tally.canceled, 26, 14);
}

static void test_baskets(void **state)
{
    (void)state;
    near("one item", tally.items[1], ORDERS, 90.07, .9);
    near("two items", tally.items[2], ORDERS, 7.62, .8);
    near("three items", tally.items[3], ORDERS, 1.34, .35);
    near("one product", tally.one_product, ORDERS, 96.6, .6);
    near("one seller", tally.one_seller, ORDERS, 98.7, .5);
    near("same state", tally.same_state, ORDERS, 37, 9);
    double mu = tally.ln_price / tally.units, sigma = sqrt(tally.ln_price_square / tally.units - mu * mu);
    near("price mu", mu, 1, 432, 20);
    near("price sigma", sigma, 1, 93.5, 15);
}

static void test_payments(void **state)
{
    (void)state;
    static const struct {
        int instalments;
        double percent;
    } shares[] = {{1, 33.2}, {2, 16.2}, {3, 13.6}, {4, 9.2},  {5, 6.8},
                  {6, 5.1},  {7, 2.1},  {8, 5.6},  {10, 6.9}, {15, .1}};
    near("card", tally.ways[PAY_CARD], ORDERS, 74.7, 1.2);
    near("boleto", tally.ways[PAY_BOLETO], ORDERS, 19.9, 1.1);
    near("card and voucher", tally.ways[PAY_CARD_VOUCHER], ORDERS, 2.3, .45);
    near("voucher", tally.ways[PAY_VOUCHER], ORDERS, 1.6, .4);
    near("debit", tally.ways[PAY_DEBIT], ORDERS, 1.5, .4);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        char what[32];
        snprintf(what, sizeof what, "%d instalments", shares[i].instalments);
        near(what, tally.instalments[shares[i].instalments], tally.cards, shares[i].percent,
             .5 + .12 * shares[i].percent);
    }
}

static void test_persons_and_lags(void **state)
{
    (void)state;
    near("bought before", tally.repeats, ORDERS, 3.36, .5);
    near("customers in SP", tally.states[0], ORDERS, 41.98, 1.3);
    near("customers in RJ", tally.states[1], ORDERS, 12.92, .9);
    near("boleto within 30 h", tally.boleto_hours_below_30, tally.ways[PAY_BOLETO], 50, 8);
    near("late by date", tally.late, tally.delivered, 6.6, 2.0);
    near("mean delivery days", tally.delivery_days, tally.delivered, 1250, 150);
}

static void test_scores(void **state)
{
    (void)state;
    double all = 0, sum = 0;
    for (int i = 1; i <= 5; i++)
        all += tally.scores[i], sum += tally.scores[i] * i;
    near("reviewed", all, ORDERS, 99.2, .4);
    near("mean score", sum, all, 409, 12);
    near("scores 4 and 5", tally.scores[4] + tally.scores[5], all, 77.1, 3);
    near("scores 1 and 2", tally.scores[1] + tally.scores[2], all, 14.7, 3);
}

/* --- lives --- */

static void test_a_life_is_in_order(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 3);
    for (int i = 0; i < 5000; i++) {
        struct order *o = order_plan(&shop, &r, START_US + i * INT64_C(1000000));
        int64_t paid = 0;
        for (int k = 0; k < o->payment_count; k++)
            paid += o->basket->payments[k].value_cents;
        assert_int_equal(o->steps[0].step, STEP_PLACED);
        assert_int_equal(o->steps[0].at_us, o->purchase_us);
        for (int k = 1; k < o->step_count; k++)
            assert_true(o->steps[k].at_us > o->steps[k - 1].at_us);
        assert_in_range(o->step_count, 1, STEPS_MOST);
        assert_int_equal(o->estimate_us % DAY_US, 0);
        assert_true(o->delivered_us > o->carrier_us && o->carrier_us > o->purchase_us);
        bool nothing = strcmp(o->basket->payments[0].type, "not_defined") == 0;
        assert_true(nothing ? paid == 0 : paid >= order_value_cents(o));
        assert_true(order_has_step(o, STEP_DELIVERED) || o->end != END_DELIVERED);
        order_free(o);
    }
}

/* --- the play --- */

static void open_play(struct play *p, uint64_t seed, bool faults)
{
    *p = (struct play){0};
    shop_places_default(&p->shop);
    play_init(p, seed, 20, 1440, START_US);
    play_open(p);
    p->orders_max = 400;
    p->faults = faults;
}

/* Everything it does, as one text; kinds are counted. */
static char *play_all(struct play *p, int *kinds)
{
    struct buf all = {0};
    int64_t before_us = 0;
    for (;;) {
        for (size_t i = 0; i < p->out_count; i++) {
            buf_printf(&all, "%s;\n", p->out[i].sql);
            kinds[p->out[i].kind]++;
            mem_free(p->out[i].sql);
        }
        p->out_count = 0;
        int64_t next_us = play_next_us(p);
        if (next_us == INT64_MAX) break;
        assert_true(next_us >= before_us);
        before_us = next_us;
        play_step(p);
    }
    return buf_take(&all);
}

static void test_a_seed_gives_one_stream(void **state)
{
    (void)state;
    char *texts[3];
    static const uint64_t seeds[] = {5, 5, 6};
    for (size_t i = 0; i < 3; i++) {
        struct play p;
        int kinds[PLAY_KINDS] = {0};
        open_play(&p, seeds[i], true);
        texts[i] = play_all(&p, kinds);
        assert_int_equal(kinds[STEP_PLACED], 400);
        assert_int_equal(kinds[PLAY_OPENING], 1);
        assert_true(kinds[PLAY_FAULT] > 100 && kinds[PLAY_CATALOGUE] > 5 && kinds[STEP_REVIEW] > 350);
        assert_true(play_over(&p));
        play_free(&p);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    for (size_t i = 0; i < 3; i++)
        mem_free(texts[i]);
}

static void test_a_calm_shop_has_no_faults(void **state)
{
    (void)state;
    struct play p;
    int kinds[PLAY_KINDS] = {0};
    open_play(&p, 8, false);
    char *text = play_all(&p, kinds);
    assert_int_equal(kinds[PLAY_FAULT], 0);
    assert_null(strstr(text, "ROLLBACK"));
    assert_non_null(strstr(text, "'credit_card'"));
    mem_free(text);
    play_free(&p);
}

/* What follows a purchase comes `speed` times sooner than the times that are written. */
static void test_speed(void **state)
{
    (void)state;
    struct play slow, fast;
    open_play(&slow, 9, false);
    open_play(&fast, 9, false);
    slow.orders_max = fast.orders_max = 1;
    fast.speed = slow.speed * 10;
    slow.out_count = 0; /* the opening */
    mem_free(slow.out[0].sql);
    play_step(&slow);
    play_step(&fast);
    double slow_us = (double)(play_next_us(&slow) - slow.heap[0].order->steps[0].at_us + START_US);
    double fast_us = (double)(play_next_us(&fast) - fast.heap[0].order->steps[0].at_us + START_US);
    const struct order *o = slow.heap[0].order;
    double life_us = (double)(o->steps[1].at_us - o->steps[0].at_us);
    /* a second's slack: the time that is written has no fraction */
    assert_true(fabs(slow_us - life_us / 1440) < 1e6);
    assert_true(fabs(fast_us - life_us / 14400) < 1e6);
    play_free(&slow);
    play_free(&fast);
}

static void test_money_and_time_as_text(void **state)
{
    (void)state;
    struct buf sql = {0};
    play_put_money(&sql, 123456);
    buf_put_char(&sql, ' ');
    play_put_money(&sql, 5);
    buf_put_char(&sql, ' ');
    play_put_money(&sql, -1);
    buf_put_char(&sql, ' ');
    play_put_time(&sql, 20454 * DAY_US + INT64_C(3723000000));
    assert_string_equal(buf_text(&sql), "1234.56 0.05 -0.01 '2026-01-01 01:02:03'");
    buf_free(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_baskets),
        cmocka_unit_test(test_payments),
        cmocka_unit_test(test_persons_and_lags),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_a_life_is_in_order),
        cmocka_unit_test(test_a_seed_gives_one_stream),
        cmocka_unit_test(test_a_calm_shop_has_no_faults),
        cmocka_unit_test(test_speed),
        cmocka_unit_test(test_money_and_time_as_text),
    };
    return cmocka_run_group_tests_name("generate", tests, count_orders, drop_shop);
}
