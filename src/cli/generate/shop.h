/* The shop that the generator plays: who sells what at which price, and where people live. Read from the
 * database, or opened new when the database has no sellers or products.
 *
 * 1. Products and sellers stand by rank, best seller first; the rank decides how often one is bought.
 * 2. The order of everything follows from the database's content alone, so that a seed gives one stream. */
#ifndef MILLRACE_CLI_GENERATE_SHOP_H
#define MILLRACE_CLI_GENERATE_SHOP_H

#include "base/buf.h"
#include "base/error.h"
#include "cli/generate/random.h"
#include "cli/generate/shares.h"
#include "net/pg.h"

struct place {
    char zip[6];
    uint8_t state;
    char *city;
    float lat, lng;
};

struct seller {
    char id[RANDOM_ID];
    uint32_t place;
    uint32_t first, products; /* its products in shop.by_seller */
};

struct product {
    char id[RANDOM_ID];
    uint8_t category;
    uint32_t seller;
    int32_t weight_g, volume_cm3;
    int64_t price_cents;
};

struct person {
    char id[RANDOM_ID];
    uint32_t place;
};

enum { PERSONS_KEPT = 8192 };

struct shop {
    struct place *places;
    size_t place_count, place_cap;
    uint32_t *by_state; /* places of a state: from state_first[s] up to state_first[s + 1] */
    uint32_t state_first[STATES + 1];
    struct seller *sellers;
    size_t seller_count, seller_cap;
    struct product *products;
    size_t product_count, product_cap;
    double *product_sums; /* running sums of the products' weights */
    size_t sums_cap;
    uint32_t *by_seller;
    struct person *persons; /* the last PERSONS_KEPT who bought, a ring */
    size_t person_count, person_next;
};

void shop_free(struct shop *s);
/* Everything there is in the database; a shop without products stays without. */
bool shop_read(struct shop *s, struct pg *pg, struct error *err) MUST_CHECK;
/* A new catalogue of that size; sql gets the INSERTs, may be NULL. Needs places (shop_places_default). */
void shop_open(struct shop *s, struct random *r, size_t sellers, size_t products, struct buf *sql);
/* One place for each state that has none. */
void shop_places_default(struct shop *s);
/* After sellers, products and places are in: the indexes. */
void shop_index(struct shop *s);

/* One more; its INSERT is appended to sql. The new product comes last by rank. */
uint32_t shop_add_product(struct shop *s, struct random *r, struct buf *sql);
uint32_t shop_add_seller(struct shop *s, struct random *r, struct buf *sql);

uint32_t shop_pick_product(const struct shop *s, struct random *r);
uint32_t shop_pick_place(const struct shop *s, struct random *r, size_t state);
uint32_t shop_pick_customer_place(const struct shop *s, struct random *r);
/* A person who buys: new, or one who bought before. */
struct person shop_pick_person(struct shop *s, struct random *r);
double shop_distance_km(const struct shop *s, uint32_t place_a, uint32_t place_b);
int64_t shop_price(struct random *r, size_t category); /* cents, with the usual ends */

#endif
