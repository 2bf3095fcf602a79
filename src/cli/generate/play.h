/* Plays the shop: purchases come at a rate, and what follows from each comes at its time. Knows no clock
 * and no database: it says when the next thing happens and what to run, so that the same seed, shop and
 * start give the same transactions.
 *
 * 1. A purchase has the time at which it happens. What follows happens `speed` times sooner than the
 *    times that it writes, which are those of a life at its usual pace. */
#ifndef MILLRACE_CLI_GENERATE_PLAY_H
#define MILLRACE_CLI_GENERATE_PLAY_H

#include "cli/generate/order.h"

/* Kinds of transactions: the steps of an order, then these. */
enum {
    PLAY_OPENING = STEPS, /* a catalogue for an empty shop */
    PLAY_CATALOGUE,
    PLAY_FAULT,
    PLAY_KINDS
};
extern const char *const play_kind_names[PLAY_KINDS];

struct played {
    char *sql;    /* one transaction; from mem_*, the taker's */
    uint64_t key; /* transactions of one key stay in order */
    size_t kind;
    bool may_fail; /* meant to be refused by a constraint */
    bool alone;    /* everything before is through before it begins, and it before everything after */
};

enum { RECENT = 256 };

/* An order whose life is over, or long enough on its way, for faults to play with. */
struct recent {
    uint64_t number;
    char order_id[RANDOM_ID], customer_id[RANDOM_ID], review_id[RANDOM_ID];
};

struct life {
    int64_t at_us; /* of the next step */
    struct order *order;
};

struct play {
    struct shop shop;
    struct random random, fault_random; /* apart, so that faults leave the orders as they are */
    double rate, speed;
    bool faults;
    int64_t start_us;            /* the shop's local time at 0 */
    int64_t purchase_us;         /* of the next one, since the start */
    uint64_t orders, orders_max; /* 0: no end */
    struct life *heap;
    size_t heap_count, heap_cap;
    struct played *out;
    size_t out_count, out_cap;
    struct recent recent[RECENT];
    size_t recent_count;
    uint64_t fault_count;
};

/* Takes a shop that was read (or is empty: then the first transaction opens one). */
void play_init(struct play *p, uint64_t seed, double rate, double speed, int64_t start_us);
void play_free(struct play *p);
/* Opens a catalogue when the shop has none: transactions in p->out. */
void play_open(struct play *p);
/* When the next thing happens, microseconds since the start; INT64_MAX when nothing will. */
int64_t play_next_us(const struct play *p);
/* Lets it happen: its transactions are in p->out; take their texts and set p->out_count to 0. */
void play_step(struct play *p);
bool play_over(const struct play *p); /* the last purchase was made */

/* play_sql.c: the statements of an order's next step. */
void play_put_step(struct buf *sql, const struct shop *shop, struct order *o);
void play_put_time(struct buf *sql, int64_t us); /* '2026-01-31 12:00:00' */
void play_put_money(struct buf *sql, int64_t cents);
/* play.c, for the faults: one transaction more. */
void play_emit(struct play *p, struct buf *sql, uint64_t key, size_t kind, bool may_fail, bool alone);
/* faults.c: one thing that a calm shop does not do. */
void play_fault(struct play *p);

#endif
