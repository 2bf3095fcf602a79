#include "cli/generate/play.h"

#include <math.h>

/* Edits of the catalogue for each purchase. */
#define EDITS 0.06
/* Faults for each step, when they are wanted. */
#define FAULTS 0.05

enum { NEW_SELLERS = 60, NEW_PRODUCTS = 400 };

const char *const play_kind_names[PLAY_KINDS] = {
    [STEP_PLACED] = "orders placed",
    [STEP_BASKET] = "items added to an order",
    [STEP_APPROVED] = "approved",
    [STEP_INVOICED] = "invoiced",
    [STEP_PROCESSING] = "processing",
    [STEP_SHIPPED] = "shipped",
    [STEP_DELIVERED] = "delivered",
    [STEP_CANCELED] = "canceled",
    [STEP_UNAVAILABLE] = "unavailable",
    [STEP_REVIEW] = "reviews",
    [STEP_REVIEW_AGAIN] = "second reviews",
    [STEP_REVIEW_EDIT] = "reviews edited",
    [STEP_REVIEW_DELETE] = "reviews deleted",
    [STEP_FORGET] = "orders deleted",
    [PLAY_OPENING] = "openings of the shop",
    [PLAY_CATALOGUE] = "catalogue edits",
    [PLAY_FAULT] = "faults",
};

/* --- the heap of lives, soonest first; equal times by the order's number --- */

static bool sooner(const struct life *a, const struct life *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order->number < b->order->number;
}

static void heap_swap(struct play *p, size_t a, size_t b)
{
    struct life life = p->heap[a];
    p->heap[a] = p->heap[b];
    p->heap[b] = life;
}

static void heap_put(struct play *p, struct life life)
{
    MEM_GROW(p->heap, p->heap_count, p->heap_cap);
    size_t i = p->heap_count++;
    p->heap[i] = life;
    for (; i && sooner(&p->heap[i], &p->heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap_swap(p, i, (i - 1) / 2);
}

static struct life heap_take(struct play *p)
{
    struct life first = p->heap[0];
    p->heap[0] = p->heap[--p->heap_count];
    for (size_t i = 0, child; (child = 2 * i + 1) < p->heap_count; i = child) {
        if (child + 1 < p->heap_count && sooner(&p->heap[child + 1], &p->heap[child])) child++;
        if (!sooner(&p->heap[child], &p->heap[i])) break;
        heap_swap(p, i, child);
    }
    return first;
}

/* --- life cycle --- */

static void draw_purchase(struct play *p)
{
    p->purchase_us += (int64_t)(-log(1 - random_unit(&p->random)) / p->rate * 1e6);
}

void play_init(struct play *p, uint64_t seed, double rate, double speed, int64_t start_us)
{
    struct shop shop = p->shop;
    *p = (struct play){.shop = shop, .rate = rate, .speed = speed, .start_us = start_us};
    random_seed(&p->random, seed);
    random_seed(&p->fault_random, ~seed);
    draw_purchase(p);
}

void play_free(struct play *p)
{
    while (p->heap_count)
        order_free(p->heap[--p->heap_count].order);
    for (size_t i = 0; i < p->out_count; i++)
        mem_free(p->out[i].sql);
    mem_free(p->heap);
    mem_free(p->out);
    shop_free(&p->shop);
    *p = (struct play){0};
}

void play_emit(struct play *p, struct buf *sql, uint64_t key, size_t kind, bool may_fail, bool alone)
{
    MEM_GROW(p->out, p->out_count, p->out_cap);
    p->out[p->out_count++] = (struct played){
        .sql = buf_take(sql), .key = key, .kind = kind, .may_fail = may_fail, .alone = alone};
}

void play_open(struct play *p)
{
    if (p->shop.seller_count && p->shop.product_count) return;
    struct buf sql = {0};
    shop_open(&p->shop, &p->random, NEW_SELLERS, NEW_PRODUCTS, &sql);
    play_emit(p, &sql, 0, PLAY_OPENING, false, true);
}

/* --- what the seller does --- */

static void put_product_edit(struct play *p, struct buf *sql)
{
    struct random *r = &p->random;
    struct product *product = &p->shop.products[shop_pick_product(&p->shop, r)];
    switch (random_below(r, 4)) {
    case 0: /* filed under another category */
        product->category = (uint8_t)random_below(r, CATEGORIES);
        buf_put_text(sql, "UPDATE products SET product_category_name = ");
        if (category_shares[product->category].name)
            pg_put_text(sql, slice_of(category_shares[product->category].name));
        else
            buf_put_text(sql, "NULL");
        break;
    case 1:
        product->weight_g = (int32_t)fmin(product->weight_g * random_between(r, .8, 1.25) + 1, 40000);
        buf_printf(sql, "UPDATE products SET product_weight_g = %d", product->weight_g);
        break;
    default: /* a new price shows in the next sale; the page is written again with it */
        product->price_cents = shop_price(r, product->category);
        buf_printf(sql, "UPDATE products SET product_description_lenght = %u, product_photos_qty = %u",
                   100 + random_below(r, 2500), 1 + random_below(r, 8));
    }
    buf_printf(sql, " WHERE product_id = '%s'", product->id);
}

static void put_seller_move(struct play *p, struct buf *sql)
{
    struct random *r = &p->random;
    struct seller *seller = &p->shop.sellers[random_below(r, (uint32_t)p->shop.seller_count)];
    seller->place = shop_pick_place(&p->shop, r, p->shop.places[seller->place].state);
    const struct place *place = &p->shop.places[seller->place];
    buf_printf(sql, "UPDATE sellers SET seller_zip_code_prefix = '%s', seller_city = ", place->zip);
    pg_put_text(sql, slice_of(place->city));
    buf_printf(sql, " WHERE seller_id = '%s'", seller->id);
}

static void edit_catalogue(struct play *p)
{
    static const double shares[] = {80, 6, 12, 2};
    struct buf sql = {0};
    size_t what = random_pick(&p->random, shares, 4);
    switch (what) {
    case 0: put_product_edit(p, &sql); break;
    case 1: put_seller_move(p, &sql); break;
    case 2: shop_add_product(&p->shop, &p->random, &sql); break;
    default: shop_add_seller(&p->shop, &p->random, &sql);
    }
    /* what comes later may refer to the new row */
    play_emit(p, &sql, 0, PLAY_CATALOGUE, false, what >= 2);
}

/* --- the next thing --- */

static void remember(struct play *p, const struct order *o)
{
    struct recent *recent = &p->recent[p->recent_count++ % RECENT];
    recent->number = o->number;
    memcpy(recent->order_id, o->order_id, RANDOM_ID);
    memcpy(recent->customer_id, o->customer_id, RANDOM_ID);
    memcpy(recent->review_id, o->review_id, RANDOM_ID);
}

static void live_on(struct play *p, struct order *o, int64_t now_us)
{
    struct buf sql = {0};
    enum step step = o->steps[o->step_next].step;
    play_put_step(&sql, &p->shop, o);
    play_emit(p, &sql, o->number, step, false, false);
    if (p->faults && random_chance(&p->fault_random, FAULTS)) play_fault(p);
    if (step == STEP_REVIEW) remember(p, o);
    int64_t from_us = o->steps[o->step_next++].at_us;
    if (!order_has_step(o, STEP_BASKET) || step == STEP_BASKET) {
        mem_free(o->basket);
        o->basket = NULL;
    }
    if (o->step_next == o->step_count) {
        order_free(o);
        return;
    }
    double wait_us = (double)(o->steps[o->step_next].at_us - from_us) / p->speed;
    heap_put(p, (struct life){now_us + (int64_t)wait_us, o});
}

static void purchase(struct play *p)
{
    int64_t now_us = p->purchase_us;
    struct order *o = order_plan(&p->shop, &p->random, p->start_us + now_us);
    o->number = ++p->orders;
    draw_purchase(p);
    live_on(p, o, now_us);
    if (random_chance(&p->random, EDITS)) edit_catalogue(p);
}

bool play_over(const struct play *p)
{
    return p->orders_max && p->orders >= p->orders_max;
}

int64_t play_next_us(const struct play *p)
{
    int64_t next_us = p->heap_count ? p->heap[0].at_us : INT64_MAX;
    return !play_over(p) && p->purchase_us < next_us ? p->purchase_us : next_us;
}

void play_step(struct play *p)
{
    bool buying = !play_over(p) && (!p->heap_count || p->purchase_us < p->heap[0].at_us);
    if (buying) {
        purchase(p);
    } else if (p->heap_count) {
        struct life life = heap_take(p);
        live_on(p, life.order, life.at_us);
    }
}
