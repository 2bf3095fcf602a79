#include "cli/generate/shop.h"

#include <math.h>

#define PRODUCT_EXPONENT 0.6
#define SELLER_EXPONENT 0.9
/* of all orders, those by somebody who bought before */
#define REPEAT_SHARE 0.0336
#define MOVED_SHARE 0.07

void shop_free(struct shop *s)
{
    for (size_t i = 0; i < s->place_count; i++)
        mem_free(s->places[i].city);
    mem_free(s->places);
    mem_free(s->by_state);
    mem_free(s->sellers);
    mem_free(s->products);
    mem_free(s->product_sums);
    mem_free(s->by_seller);
    mem_free(s->persons);
    *s = (struct shop){0};
}

void shop_places_default(struct shop *s)
{
    bool known[STATES] = {0};
    for (size_t i = 0; i < s->place_count; i++)
        known[s->places[i].state] = true;
    for (size_t i = 0; i < STATES; i++) {
        if (known[i]) continue;
        const struct state_share *state = &state_shares[i];
        MEM_GROW(s->places, s->place_count, s->place_cap);
        struct place *p = &s->places[s->place_count++];
        *p = (struct place){.state = (uint8_t)i,
                            .city = mem_text(state->capital),
                            .lat = (float)state->lat,
                            .lng = (float)state->lng};
        memcpy(p->zip, state->zip, sizeof p->zip);
    }
}

/* --- indexes --- */

static void index_places(struct shop *s)
{
    uint32_t at[STATES + 1] = {0};
    for (size_t i = 0; i < s->place_count; i++)
        at[s->places[i].state + 1]++;
    for (size_t i = 1; i <= STATES; i++)
        at[i] += at[i - 1];
    memcpy(s->state_first, at, sizeof at);
    s->by_state = mem_resize(s->by_state, s->place_count, sizeof *s->by_state);
    for (size_t i = 0; i < s->place_count; i++)
        s->by_state[at[s->places[i].state]++] = (uint32_t)i;
}

static void index_sellers(struct shop *s)
{
    for (size_t i = 0; i < s->seller_count; i++)
        s->sellers[i].first = s->sellers[i].products = 0;
    for (size_t i = 0; i < s->product_count; i++)
        s->sellers[s->products[i].seller].products++;
    for (size_t i = 1; i < s->seller_count; i++)
        s->sellers[i].first = s->sellers[i - 1].first + s->sellers[i - 1].products;
    s->by_seller = mem_resize(s->by_seller, s->product_count + 1, sizeof *s->by_seller);
    for (size_t i = 0; i < s->seller_count; i++)
        s->sellers[i].products = 0;
    for (size_t i = 0; i < s->product_count; i++) {
        struct seller *seller = &s->sellers[s->products[i].seller];
        s->by_seller[seller->first + seller->products++] = (uint32_t)i;
    }
}

static void sum_product(struct shop *s, size_t i)
{
    MEM_GROW(s->product_sums, i, s->sums_cap);
    s->product_sums[i] = (i ? s->product_sums[i - 1] : 0) + pow((double)(i + 1), -PRODUCT_EXPONENT);
}

void shop_index(struct shop *s)
{
    index_places(s);
    index_sellers(s);
    for (size_t i = 0; i < s->product_count; i++)
        sum_product(s, i);
    if (!s->persons) s->persons = mem_resize(NULL, PERSONS_KEPT, sizeof *s->persons);
}

/* --- a catalogue --- */

int64_t shop_price(struct random *r, size_t category)
{
    double price = random_lognormal(r, category_shares[category].mu, category_shares[category].sigma);
    price = fmin(fmax(price, 1.0), 6700.0);
    static const double shares[] = {34, 30, 19, 17};
    static const int64_t ends[] = {90, 0, 99};
    int64_t whole = (int64_t)price * 100;
    size_t kind = random_pick(r, shares, 4);
    return kind < 3 ? whole + ends[kind] : (int64_t)(price * 100);
}

static void put_text_or_null(struct buf *sql, const char *text)
{
    if (text)
        pg_put_text(sql, slice_of(text));
    else
        buf_put_text(sql, "NULL");
}

static int32_t edge_cm(double side, double factor, int32_t least)
{
    int32_t cm = (int32_t)(side * factor);
    return cm < least ? least : cm;
}

static uint32_t add_product(struct shop *s, struct random *r, uint32_t seller, struct buf *sql)
{
    double shares[CATEGORIES];
    for (size_t i = 0; i < CATEGORIES; i++)
        shares[i] = category_shares[i].items;
    size_t category = random_pick(r, shares, CATEGORIES);
    MEM_GROW(s->products, s->product_count, s->product_cap);
    struct product *p = &s->products[s->product_count];
    *p = (struct product){.category = (uint8_t)category, .seller = seller};
    random_id(r, p->id);
    p->weight_g = (int32_t)fmin(random_lognormal(r, log(category_shares[category].weight_g), .7), 40000);
    p->price_cents = shop_price(r, category);
    /* about 5 cm3 to the gram; the published parcels are at least 16 x 2 x 11 cm */
    double side = cbrt(p->weight_g * 5.0 * random_lognormal(r, 0, .4));
    int32_t length = edge_cm(side, 1.4, 16), height = edge_cm(side, .7, 2), width = edge_cm(side, 1.0, 11);
    p->volume_cm3 = length * height * width;
    const char *name = category_shares[category].name;
    if (sql) {
        buf_printf(sql, "INSERT INTO products VALUES ('%s', ", p->id);
        put_text_or_null(sql, name);
        if (name)
            buf_printf(sql, ", %u, %u, %u", 20 + random_below(r, 41), 100 + random_below(r, 2000),
                       1 + random_below(r, 6));
        else
            buf_put_text(sql, ", NULL, NULL, NULL");
        buf_printf(sql, ", %d, %d, %d, %d);\n", p->weight_g, length, height, width);
    }
    return (uint32_t)s->product_count++;
}

static uint32_t add_seller(struct shop *s, struct random *r, struct buf *sql)
{
    double shares[STATES];
    for (size_t i = 0; i < STATES; i++)
        shares[i] = state_shares[i].sellers;
    MEM_GROW(s->sellers, s->seller_count, s->seller_cap);
    struct seller *seller = &s->sellers[s->seller_count];
    *seller = (struct seller){.place = shop_pick_place(s, r, random_pick(r, shares, STATES))};
    random_id(r, seller->id);
    const struct place *place = &s->places[seller->place];
    if (sql) {
        buf_printf(sql, "INSERT INTO sellers VALUES ('%s', '%s', ", seller->id, place->zip);
        pg_put_text(sql, slice_of(place->city));
        buf_printf(sql, ", '%s');\n", state_shares[place->state].code);
    }
    return (uint32_t)s->seller_count++;
}

static uint32_t pick_seller(const struct shop *s, struct random *r)
{
    /* the integral of x^-a, turned round: near enough to Zipf, without a table */
    double a = 1 - SELLER_EXPONENT, n = (double)s->seller_count;
    double x = pow(random_unit(r) * (pow(n + 1, a) - 1) + 1, 1 / a);
    size_t i = (size_t)(x - 1);
    return (uint32_t)(i < s->seller_count ? i : s->seller_count - 1);
}

void shop_open(struct shop *s, struct random *r, size_t sellers, size_t products, struct buf *sql)
{
    index_places(s);
    for (size_t i = 0; i < sellers; i++)
        add_seller(s, r, sql);
    for (size_t i = 0; i < products; i++)
        add_product(s, r, pick_seller(s, r), sql);
    shop_index(s);
}

uint32_t shop_add_product(struct shop *s, struct random *r, struct buf *sql)
{
    uint32_t product = add_product(s, r, pick_seller(s, r), sql);
    sum_product(s, product);
    index_sellers(s);
    return product;
}

uint32_t shop_add_seller(struct shop *s, struct random *r, struct buf *sql)
{
    uint32_t seller = add_seller(s, r, sql);
    index_sellers(s);
    return seller;
}

/* --- drawing from it --- */

uint32_t shop_pick_product(const struct shop *s, struct random *r)
{
    return (uint32_t)random_pick_sum(r, s->product_sums, s->product_count);
}

uint32_t shop_pick_place(const struct shop *s, struct random *r, size_t state)
{
    uint32_t first = s->state_first[state], count = s->state_first[state + 1] - first;
    return s->by_state[first + random_below(r, count)];
}

uint32_t shop_pick_customer_place(const struct shop *s, struct random *r)
{
    double shares[STATES];
    for (size_t i = 0; i < STATES; i++)
        shares[i] = state_shares[i].customers;
    return shop_pick_place(s, r, random_pick(r, shares, STATES));
}

/* One who bought lately is likelier to buy again. */
static struct person pick_known(struct shop *s, struct random *r)
{
    double back = random_unit(r);
    size_t age = (size_t)(back * back * (double)s->person_count);
    size_t i = (s->person_next + PERSONS_KEPT - 1 - age) % PERSONS_KEPT;
    if (random_chance(r, MOVED_SHARE))
        s->persons[i].place = shop_pick_place(s, r, s->places[s->persons[i].place].state);
    return s->persons[i];
}

struct person shop_pick_person(struct shop *s, struct random *r)
{
    if (s->person_count && random_chance(r, REPEAT_SHARE)) return pick_known(s, r);
    struct person p = {.place = shop_pick_customer_place(s, r)};
    random_id(r, p.id);
    s->persons[s->person_next] = p;
    s->person_next = (s->person_next + 1) % PERSONS_KEPT;
    if (s->person_count < PERSONS_KEPT) s->person_count++;
    return p;
}

double shop_distance_km(const struct shop *s, uint32_t place_a, uint32_t place_b)
{
    const struct place *a = &s->places[place_a], *b = &s->places[place_b];
    double to_rad = M_PI / 180, lat_a = a->lat * to_rad, lat_b = b->lat * to_rad;
    double h = pow(sin((lat_b - lat_a) / 2), 2) +
               cos(lat_a) * cos(lat_b) * pow(sin((b->lng - a->lng) * to_rad / 2), 2);
    return 2 * 6371 * asin(sqrt(fmin(h, 1)));
}
