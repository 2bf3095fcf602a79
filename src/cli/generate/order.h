/* One order, planned from purchase to review before it is placed. Pure: needs a shop and numbers, no
 * database. Times are microseconds of the shop's local clock (as if it were UTC); 0 is "never".
 *
 *   PLACED --> APPROVED --> INVOICED --> PROCESSING --> SHIPPED --> DELIVERED --> REVIEW --> ...
 *      |           \--> UNAVAILABLE            \--> CANCELED (at four stages)
 *      \--> BASKET (one item more, before approval)
 *
 * 1. Steps are in the order of time, each at least a second after the one before. */
#ifndef MILLRACE_CLI_GENERATE_ORDER_H
#define MILLRACE_CLI_GENERATE_ORDER_H

#include "cli/generate/shop.h"

enum step {
    STEP_PLACED,
    STEP_BASKET,
    STEP_APPROVED,
    STEP_INVOICED,
    STEP_PROCESSING,
    STEP_SHIPPED,
    STEP_DELIVERED,
    STEP_CANCELED,
    STEP_UNAVAILABLE,
    STEP_REVIEW,
    STEP_REVIEW_AGAIN, /* a second review of the same order */
    STEP_REVIEW_EDIT,
    STEP_REVIEW_DELETE,
    STEP_FORGET, /* the whole order is deleted */
    STEPS
};

enum { STEPS_MOST = 12, PAYMENTS_MOST = 4 };

struct order_step {
    int64_t at_us;
    enum step step;
};

struct order_item {
    uint32_t product, seller;
    int64_t price_cents, freight_cents, limit_us;
};

struct order_payment {
    const char *type;
    int sequential, installments;
    int64_t value_cents;
};

/* What is needed only until the order is placed. */
struct basket {
    struct order_item items[ITEMS_MOST];
    struct order_payment payments[PAYMENTS_MOST];
};

struct order {
    char order_id[RANDOM_ID], customer_id[RANDOM_ID], review_id[RANDOM_ID];
    struct random random; /* its own, so that no order's draws depend on what became of another */
    uint64_t number;
    struct person person;
    enum order_end end;
    enum pay_way way;
    int64_t purchase_us, approved_us, carrier_us, delivered_us, estimate_us;
    bool items_removed; /* with cancellation or unavailability */
    int score;
    int64_t review_us, answer_us;
    struct order_step steps[STEPS_MOST];
    int step_count, step_next;
    int item_count, payment_count;
    struct basket *basket; /* from mem_*, NULL once it is not needed any more */
};

/* A new order for a purchase at that time; free it with order_free. Takes one number of source. Who buys
 * what and pays how follows from it alone; the times also follow from the calendar. */
struct order *order_plan(struct shop *shop, struct random *source, int64_t purchase_us);
void order_free(struct order *o);
/* Cents of the items and their freight. */
int64_t order_value_cents(const struct order *o);
bool order_has_step(const struct order *o, enum step step);

#endif
