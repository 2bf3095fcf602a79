#include "cli/generate/lanes.h"

#include "base/clock.h"
#include "base/log.h"

#include <poll.h>

enum { RECONNECT_US = 500000, TICK_US = 100000 };

void lanes_init(struct lanes *l, const char *source, uint64_t *done, const _Atomic bool *stop)
{
    *l = (struct lanes){.source = source, .done = done, .stop = stop};
}

void lanes_free(struct lanes *l)
{
    for (int i = 0; i < LANES; i++) {
        struct lane *lane = &l->lane[i];
        for (size_t k = 0; k < lane->count; k++)
            mem_free(lane->queue[(lane->head + k) % lane->cap].sql);
        mem_free(lane->queue);
        pg_close(lane->pg);
    }
    *l = (struct lanes){0};
}

static void lane_grow(struct lane *lane)
{
    size_t cap = lane->cap ? lane->cap * 2 : 64;
    struct transaction *queue = mem_resize(NULL, cap, sizeof *queue);
    for (size_t i = 0; i < lane->count; i++)
        queue[i] = lane->queue[(lane->head + i) % lane->cap];
    mem_free(lane->queue);
    lane->queue = queue;
    lane->head = 0;
    lane->cap = cap;
}

void lanes_put(struct lanes *l, uint64_t key, struct transaction t)
{
    struct lane *lane = &l->lane[key % LANES];
    if (lane->count == lane->cap) lane_grow(lane);
    lane->queue[(lane->head + lane->count++) % lane->cap] = t;
    l->pending++;
}

/* --- one lane --- */

static void lane_lost(struct lanes *l, struct lane *lane, const struct error *why)
{
    if (!l->down) log_warn("generate", "waiting for PostgreSQL", "%s", why->text);
    l->down = true;
    pg_close(lane->pg);
    lane->pg = NULL;
    if (lane->sending) lane->queue[lane->head].again = true;
    lane->sending = false;
    lane->retry_us = clock_mono_us() + RECONNECT_US;
    l->reconnects++;
}

static bool lane_send(struct lanes *l, struct lane *lane, struct error *err)
{
    if (!lane->pg) {
        if (clock_mono_us() < lane->retry_us) return true;
        if (!pg_connect(&lane->pg, l->source, PG_PLAIN, NULL, err)) {
            if (err->kind != ERROR_RETRY) return false;
            lane_lost(l, lane, err);
            return true;
        }
        if (l->down)
            log_info("generate", "connected again", "reconnects=%llu", (unsigned long long)l->reconnects);
        l->down = false;
    }
    lane->sending = pg_send(lane->pg, lane->queue[lane->head].sql, err);
    if (!lane->sending) lane_lost(l, lane, err);
    return true;
}

static void lane_pop(struct lanes *l, struct lane *lane)
{
    mem_free(lane->queue[lane->head].sql);
    lane->head = (lane->head + 1) % lane->cap;
    lane->count--;
    lane->sending = false;
    l->pending--;
}

/* Class 23: a constraint says no. 23505 is a duplicate key. */
static bool refused(const struct transaction *t, const struct error *err)
{
    if (t->may_fail && strstr(err->text, "PostgreSQL 23")) return true;
    return t->again && strstr(err->text, "PostgreSQL 23505");
}

static bool lane_take(struct lanes *l, struct lane *lane, struct error *err)
{
    struct transaction *t = &lane->queue[lane->head];
    bool done = false;
    if (pg_poll(lane->pg, 0, &done, NULL, err)) {
        if (!done) return true;
        l->done[t->kind]++;
    } else if (err->kind == ERROR_RETRY) {
        lane_lost(l, lane, err);
        return true;
    } else if (refused(t, err)) {
        l->refused++;
    } else {
        return error_wrap(err, "%.60s ...", t->sql);
    }
    lane_pop(l, lane);
    return true;
}

/* --- all of them --- */

static void wait_for_any(struct lanes *l, int64_t timeout_us)
{
    struct pollfd fds[LANES];
    nfds_t n = 0;
    for (int i = 0; i < LANES; i++)
        if (l->lane[i].sending)
            fds[n++] = (struct pollfd){.fd = pg_socket(l->lane[i].pg), .events = POLLIN};
    struct timespec wait = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    ppoll(fds, n, &wait, NULL);
}

bool lanes_turn(struct lanes *l, int64_t timeout_us, struct error *err)
{
    bool taken = false;
    for (int i = 0; i < LANES; i++) {
        struct lane *lane = &l->lane[i];
        size_t before = lane->count;
        if (lane->sending && !lane_take(l, lane, err)) return false;
        taken |= lane->count < before;
    }
    for (int i = 0; i < LANES; i++) {
        struct lane *lane = &l->lane[i];
        if (lane->count && !lane->sending && !lane_send(l, lane, err)) return false;
    }
    if (!taken && timeout_us > 0) wait_for_any(l, timeout_us);
    return true;
}

bool lanes_drain(struct lanes *l, struct error *err)
{
    while (l->pending) {
        if (l->down && *l->stop) return error_set(err, ERROR_RETRY, "stopped while PostgreSQL was away");
        if (!lanes_turn(l, TICK_US, err)) return false;
    }
    return true;
}
