#include "cli/generate/order.h"

#include "base/clock.h"

#include <math.h>

#define HOUR_US INT64_C(3600000000)
#define DAY_US (24 * HOUR_US)
#define SECOND_US INT64_C(1000000)

/* Cents, as published; a price that wanders stays within. */
#define PRICE_LEAST 85
#define PRICE_MOST 673500
/* Shares of orders. */
#define SAME_PRODUCT 0.67 /* of those with several items */
#define SAME_SELLER 0.62  /* of those with several products */
#define FREE_FREIGHT 0.002
#define BASKET_LATER 0.10 /* of those with several items */
#define REVIEWED 0.992
#define REVIEWED_AGAIN 0.0055
#define REVIEW_EDITED 0.01
#define REVIEW_DELETED 0.003
#define FORGOTTEN 0.003
#define CARRIER_BEFORE_APPROVAL 0.013
#define SAME_STATE 0.35     /* of purchases from elsewhere, those that turn to a seller near by */
#define KNOWN_SLOWNESS 0.85 /* correlation of promise and transit */
#define OTHER_PRICE 0.05    /* sold for another price than the last one */

static int64_t hours(double h)
{
    return (int64_t)(h * (double)HOUR_US);
}

static int64_t midnight(int64_t us)
{
    return us - us % DAY_US;
}

static int64_t to_second(int64_t us)
{
    return us - us % SECOND_US;
}

/* --- basket --- */

static int64_t freight_cents(struct random *r, const struct product *product, double km)
{
    if (random_chance(r, FREE_FREIGHT)) return 0;
    double size = fmax(product->weight_g, product->volume_cm3 / 6.0);
    double ln = -0.649 + 0.270 * log(km + 30) + 0.252 * log(size + 200) + 0.418 * random_normal(r);
    return (int64_t)(fmin(exp(ln), 400) * 100);
}

static void put_item(struct order *o, struct shop *shop, struct random *r, uint32_t product)
{
    struct product *p = &shop->products[product];
    double km = shop_distance_km(shop, shop->sellers[p->seller].place, o->person.place);
    if (random_chance(r, OTHER_PRICE)) {
        double cents = (double)p->price_cents * random_between(r, .86, 1.16);
        p->price_cents = (int64_t)fmin(fmax(cents, PRICE_LEAST), PRICE_MOST);
    }
    o->basket->items[o->item_count++] = (struct order_item){.product = product,
                                                            .seller = p->seller,
                                                            .price_cents = p->price_cents,
                                                            .freight_cents = freight_cents(r, p, km)};
}

/* Another product, of the same seller or of any. */
static uint32_t other_product(const struct shop *shop, struct random *r, uint32_t first, bool same_seller)
{
    const struct seller *seller = &shop->sellers[shop->products[first].seller];
    if (!same_seller || seller->products < 2) return shop_pick_product(shop, r);
    uint32_t at = random_below(r, seller->products);
    if (shop->by_seller[seller->first + at] == first) at = (at + 1) % seller->products;
    return shop->by_seller[seller->first + at];
}

static bool is_near(const struct order *o, const struct shop *shop, uint32_t product)
{
    return shop->places[shop->sellers[shop->products[product].seller].place].state ==
           shop->places[o->person.place].state;
}

static uint32_t first_product(const struct order *o, const struct shop *shop, struct random *r)
{
    uint32_t product = shop_pick_product(shop, r);
    if (is_near(o, shop, product) || !random_chance(r, SAME_STATE)) return product;
    uint32_t other = shop_pick_product(shop, r);
    return is_near(o, shop, other) ? other : product;
}

static void fill_basket(struct order *o, struct shop *shop, struct random *r)
{
    int wanted = (int)random_pick(r, item_shares, ITEMS_MOST) + 1;
    bool same = random_chance(r, SAME_PRODUCT), same_seller = random_chance(r, SAME_SELLER);
    uint32_t first = first_product(o, shop, r);
    put_item(o, shop, r, first);
    while (o->item_count < wanted) {
        put_item(o, shop, r, same ? first : other_product(shop, r, first, same_seller));
        if (same) { /* equal units are equal rows */
            o->basket->items[o->item_count - 1].price_cents = o->basket->items[0].price_cents;
            o->basket->items[o->item_count - 1].freight_cents = o->basket->items[0].freight_cents;
        }
    }
}

int64_t order_value_cents(const struct order *o)
{
    int64_t cents = 0;
    for (int i = 0; i < o->item_count; i++)
        cents += o->basket->items[i].price_cents + o->basket->items[i].freight_cents;
    return cents;
}

/* --- payments --- */

static int pick_instalments(struct random *r, int64_t value_cents)
{
    static const int64_t limits[] = {5000, 10000, 20000, 40000};
    static const struct {
        int count, from;
        double shares[3];
    } groups[INSTALMENT_GROUPS] = {
        {1, 1, {1}},           {2, 2, {16.2, 13.6}}, {3, 4, {9.2, 6.8, 5.1}}, {3, 7, {2.1, 5.6, .8}},
        {3, 10, {6.9, 0, .2}},
    };
    size_t by_value = 0;
    while (by_value < INSTALMENT_VALUES - 1 && value_cents >= limits[by_value])
        by_value++;
    size_t group = random_pick(r, instalment_shares[by_value], INSTALMENT_GROUPS);
    if (group == INSTALMENT_GROUPS - 1 && random_chance(r, .014)) return 15;
    return groups[group].from + (int)random_pick(r, groups[group].shares, (size_t)groups[group].count);
}

static void put_payment(struct order *o, const char *type, int installments, int64_t cents)
{
    o->basket->payments[o->payment_count] = (struct order_payment){.type = type,
                                                                   .sequential = o->payment_count + 1,
                                                                   .installments = installments,
                                                                   .value_cents = cents};
    o->payment_count++;
}

/* Several vouchers, each a part of what is left. */
static void pay_by_vouchers(struct order *o, struct random *r, int64_t cents)
{
    while (o->payment_count < PAYMENTS_MOST - 1 && random_chance(r, .25)) {
        int64_t part = (int64_t)((double)cents * random_between(r, .2, .8));
        put_payment(o, "voucher", 1, part);
        cents -= part;
    }
    put_payment(o, "voucher", 1, cents);
}

static void plan_payments(struct order *o, struct random *r)
{
    int64_t value = order_value_cents(o);
    o->way = (enum pay_way)random_pick(r, pay_shares, PAY_WAYS);
    int instalments = pick_instalments(r, value);
    int64_t voucher = 0;
    switch (o->way) {
    case PAY_CARD_VOUCHER:
        voucher = (int64_t)((double)value * fmin(.98, fmax(.05, .72 + .25 * random_normal(r))));
        /* fall through */
    case PAY_CARD:
        value -= voucher;
        /* interest: what makes payments differ from items (trap 8) */
        if (instalments > 1 && random_chance(r, .005))
            value += (int64_t)((double)value * .015 * instalments);
        put_payment(o, "credit_card", instalments, value);
        if (voucher) put_payment(o, "voucher", 1, voucher);
        break;
    case PAY_BOLETO: put_payment(o, "boleto", 1, value); break;
    case PAY_DEBIT: put_payment(o, "debit_card", 1, value); break;
    case PAY_VOUCHER: pay_by_vouchers(o, r, value); break;
    case PAY_WAYS: break;
    }
    bool later = random_chance(r, .0008); /* some begin at two */
    for (int i = 0; later && i < o->payment_count; i++)
        o->basket->payments[i].sequential++;
}

/* --- times --- */

static double approval_hours(const struct order *o, struct random *r)
{
    switch (o->way) {
    case PAY_CARD:
    case PAY_CARD_VOUCHER:
        return random_chance(r, .78) ? random_lognormal(r, -1.35, .44) : random_lognormal(r, 2.42, 1.33);
    case PAY_BOLETO: return random_lognormal(r, 3.25, .87);
    case PAY_VOUCHER:
    case PAY_DEBIT:
    case PAY_WAYS: break;
    }
    return random_lognormal(r, -.45, .8);
}

static int month_of(int64_t us)
{
    int64_t year;
    int month, day;
    clock_civil(us / DAY_US, &year, &month, &day);
    return month;
}

/* Hardly anybody delivers on Sundays, few on Saturdays, most in the afternoon. */
static int64_t delivery_time(struct random *r, int64_t us)
{
    int64_t day = us / DAY_US;
    int weekday = (int)((day + 3) % 7); /* 0: Monday; 1970-01-01 was a Thursday */
    if (weekday == 6 && random_chance(r, .92))
        day++;
    else if (weekday == 5 && random_chance(r, .6))
        day += 2;
    double hour = random_chance(r, .78) ? random_between(r, 13, 22) : random_between(r, 7, 24);
    return day * DAY_US + hours(fmin(hour, 23.99));
}

static double distance_of(const struct order *o, const struct shop *shop)
{
    return shop_distance_km(shop, shop->sellers[o->basket->items[0].seller].place, o->person.place);
}

/* ln of the median days of the promise: by where it goes to, a little by how far. */
static double promise_mu(const struct order *o, const struct shop *shop, double km)
{
    static const double days[] = {
        [REGION_SE] = 20.5, [REGION_S] = 25, [REGION_NE] = 30.3, [REGION_CO] = 26.4, [REGION_N] = 37.2};
    return log(days[state_shares[shop->places[o->person.place].state].region]) + .1 * log((km + 30) / 500);
}

static void plan_times(struct order *o, const struct shop *shop, struct random *r)
{
    double km = distance_of(o, shop);
    o->approved_us = to_second(o->purchase_us + hours(approval_hours(o, r))) + SECOND_US;
    o->carrier_us = to_second(o->approved_us + hours(24 * random_lognormal(r, .543, 1.056)));
    if (random_chance(r, CARRIER_BEFORE_APPROVAL))
        o->carrier_us = o->approved_us - hours(random_between(r, .1, 20)); /* trap 13 */
    if (o->carrier_us <= o->purchase_us) o->carrier_us = o->purchase_us + 2 * SECOND_US;
    double slowness = random_normal(r);
    double transit = exp(-1.31 + .536 * log(km + 30) + .687 * slowness);
    transit *= month_factor[month_of(o->carrier_us) - 1];
    o->delivered_us = to_second(delivery_time(r, o->carrier_us + hours(24 * transit)));
    if (o->delivered_us <= o->carrier_us) o->delivered_us += DAY_US;
    /* whoever promises knows a part of what will make it slow, and how dear a late parcel is */
    double known = KNOWN_SLOWNESS * slowness + sqrt(1 - KNOWN_SLOWNESS * KNOWN_SLOWNESS) * random_normal(r);
    double promise = promise_mu(o, shop, km) + .33 * known;
    o->estimate_us = midnight(o->purchase_us + hours(24 * exp(promise)));
    if (o->estimate_us <= o->purchase_us) o->estimate_us = midnight(o->purchase_us) + 2 * DAY_US;
    int64_t limit = to_second(o->approved_us + hours(24 * fmax(2, 6 + 1.5 * random_normal(r))));
    for (int i = 0; i < o->item_count; i++)
        o->basket->items[i].limit_us = limit;
}

/* --- the end and the review --- */

static size_t delay_class(int64_t days)
{
    static const int64_t limits[] = {-10, -1, 0, 3, 7, 14};
    size_t i = 0;
    while (i < sizeof limits / sizeof *limits && days > limits[i])
        i++;
    return i;
}

static void plan_review(struct order *o, struct random *r)
{
    const double *shares = score_by_end[o->end];
    if (o->end == END_DELIVERED) {
        int64_t days = (midnight(o->delivered_us) - o->estimate_us) / DAY_US;
        shares = score_by_delay[delay_class(days)];
        o->review_us = midnight(o->delivered_us) + DAY_US;
    } else {
        o->review_us = o->estimate_us + 2 * DAY_US;
    }
    o->score = (int)random_pick(r, shares, 5) + 1;
    o->answer_us = to_second(o->review_us + hours(random_lognormal(r, 3.64, .88)));
    random_id(r, o->review_id);
}

static void put_step(struct order *o, enum step step, int64_t at_us)
{
    if (o->step_count && at_us <= o->steps[o->step_count - 1].at_us)
        at_us = o->steps[o->step_count - 1].at_us + SECOND_US;
    o->steps[o->step_count++] = (struct order_step){at_us, step};
}

/* Between approval and carrier, at that share of the way. */
static int64_t on_the_way(const struct order *o, double share)
{
    int64_t way = o->carrier_us - o->approved_us;
    return o->approved_us + (way > 0 ? (int64_t)((double)way * share) : 0);
}

/* Steps as far as the carrier at most. */
static void put_handling(struct order *o, enum step last)
{
    put_step(o, STEP_APPROVED, o->approved_us);
    if (last >= STEP_INVOICED) put_step(o, STEP_INVOICED, on_the_way(o, .25));
    if (last >= STEP_PROCESSING) put_step(o, STEP_PROCESSING, on_the_way(o, .6));
    if (last >= STEP_SHIPPED) put_step(o, STEP_SHIPPED, o->carrier_us);
}

static void plan_cancel(struct order *o, struct random *r)
{
    switch ((enum cancel_stage)random_pick(r, cancel_shares, CANCEL_STAGES)) {
    case CANCEL_EARLY:
        put_step(o, STEP_CANCELED, o->purchase_us + (o->approved_us - o->purchase_us) / 2);
        break;
    case CANCEL_APPROVED:
        put_handling(o, STEP_INVOICED);
        put_step(o, STEP_CANCELED, on_the_way(o, .8));
        break;
    case CANCEL_SHIPPED:
        put_handling(o, STEP_SHIPPED);
        put_step(o, STEP_CANCELED, (o->carrier_us + o->delivered_us) / 2);
        break;
    case CANCEL_DELIVERED:
    case CANCEL_STAGES:
        put_handling(o, STEP_SHIPPED);
        put_step(o, STEP_DELIVERED, o->delivered_us);
        put_step(o, STEP_CANCELED, o->delivered_us + 2 * DAY_US);
        break;
    }
    o->items_removed = random_chance(r, 164.0 / 625);
    if (random_chance(r, 3.0 / 625)) {
        o->payment_count = 0;
        put_payment(o, "not_defined", 1, 0);
    }
}

static void plan_life(struct order *o, struct random *r)
{
    switch (o->end) {
    case END_CREATED: break;
    case END_APPROVED: put_handling(o, STEP_APPROVED); break;
    case END_INVOICED: put_handling(o, STEP_INVOICED); break;
    case END_PROCESSING: put_handling(o, STEP_PROCESSING); break;
    case END_SHIPPED: put_handling(o, STEP_SHIPPED); break;
    case END_UNAVAILABLE:
        put_handling(o, STEP_APPROVED);
        o->items_removed = random_chance(r, .99);
        put_step(o, STEP_UNAVAILABLE, on_the_way(o, .7) + DAY_US);
        break;
    case END_CANCELED: plan_cancel(o, r); break;
    case END_DELIVERED:
    case ENDS:
        put_handling(o, STEP_SHIPPED);
        put_step(o, STEP_DELIVERED, o->delivered_us);
        break;
    }
}

static void plan_after(struct order *o, struct random *r)
{
    bool reviewed = random_chance(r, REVIEWED);
    if (reviewed) {
        put_step(o, STEP_REVIEW, o->answer_us);
        if (random_chance(r, REVIEWED_AGAIN)) put_step(o, STEP_REVIEW_AGAIN, o->answer_us + 3 * DAY_US);
        if (random_chance(r, REVIEW_EDITED)) put_step(o, STEP_REVIEW_EDIT, o->answer_us + hours(30));
        if (random_chance(r, REVIEW_DELETED)) put_step(o, STEP_REVIEW_DELETE, o->answer_us + 6 * DAY_US);
    }
    if (random_chance(r, FORGOTTEN)) put_step(o, STEP_FORGET, o->answer_us + 20 * DAY_US);
}

bool order_has_step(const struct order *o, enum step step)
{
    for (int i = 0; i < o->step_count; i++)
        if (o->steps[i].step == step) return true;
    return false;
}

struct order *order_plan(struct shop *shop, struct random *source, int64_t purchase_us)
{
    struct order *o = mem_alloc(sizeof *o);
    struct random *r = &o->random;
    random_seed(r, random_next(source));
    o->basket = mem_alloc(sizeof *o->basket);
    o->purchase_us = to_second(purchase_us);
    random_id(r, o->order_id);
    random_id(r, o->customer_id);
    o->person = shop_pick_person(shop, r);
    o->end = (enum order_end)random_pick(r, end_shares, ENDS);
    fill_basket(o, shop, r);
    plan_payments(o, r);
    plan_times(o, shop, r);
    put_step(o, STEP_PLACED, o->purchase_us);
    if (o->item_count > 1 && random_chance(r, BASKET_LATER))
        put_step(o, STEP_BASKET, o->purchase_us + 2 * SECOND_US);
    plan_life(o, r);
    plan_review(o, r);
    plan_after(o, r);
    return o;
}

void order_free(struct order *o)
{
    if (o) mem_free(o->basket);
    mem_free(o);
}
