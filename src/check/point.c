/* check            bronze                    refine
 *   hold  ------->   finishes its commit, held
 *   make slot: L
 *   cut = L ----->   commits what is below L,
 *                    cut_version = V  -------> ends a range at V, snapshot
 *   reader imports the snapshot, slot goes
 *
 * Through Kafka no LSN is known below: the cut is where the consumer has read all that the topics held a while after
 * L, which is L's state when the source is quiet.
 *
 * The hold lasts as long as the slot takes to be made (PostgreSQL waits for transactions that run), at
 * most HOLD_US; then the check gives up and says who is in the way. */
#include "check/point.h"

#include "base/clock.h"
#include "stages/capture/capture.h"

enum { HELD_US = 10000000, HOLD_US = 15000000, REACH_US = 120000000 };

/* Waits on check_changed until done(flow) or the time is up. check_lock is held. */
static bool wait_check(struct flow *flow, bool (*done)(const struct check_request *), int64_t timeout_us)
{
    int64_t until_us = clock_mono_us() + timeout_us;
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    while (!done(&flow->check) && !atomic_load(&flow->stopping))
        if (pthread_cond_timedwait(&flow->check_changed, &flow->check_lock, &until)) break;
    return done(&flow->check);
}

static bool is_held(const struct check_request *r)
{
    return r->held;
}

static bool has_snapshot(const struct check_request *r)
{
    return r->snapshot != NULL;
}

static void clear_request(struct flow *flow)
{
    pthread_mutex_lock(&flow->check_lock);
    struct state_snapshot *left = flow->check.snapshot;
    flow->check = (struct check_request){.cut_version = -1, .held = flow->check.held};
    flow->check_busy = false;
    pthread_cond_broadcast(&flow->check_changed);
    pthread_mutex_unlock(&flow->check_lock);
    if (left) state_snapshot_free(flow->state, left);
    atomic_store(&flow->wanted_lsn, 0);
}

static bool hold(struct flow *flow, struct error *err)
{
    pthread_mutex_lock(&flow->check_lock);
    bool free = !flow->check_busy;
    bool held = false;
    if (free) {
        flow->check_busy = true;
        flow->check.hold = true;
        wake_signal(&flow->bronze_wake);
        held = wait_check(flow, is_held, HELD_US);
    }
    pthread_mutex_unlock(&flow->check_lock);
    if (!free) return error_set(err, ERROR_RETRY, "another check is running");
    if (held) return true;
    clear_request(flow);
    return error_set(err, ERROR_RETRY, "check: bronze is busy with one large transaction; try again after it");
}

static bool import_snapshot(struct point *p, const char *snapshot, struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "SET TRANSACTION SNAPSHOT ");
    pg_put_text(&sql, slice_of(snapshot));
    bool ok = pg_run(p->reader, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) &&
              pg_run(p->reader, buf_text(&sql), err);
    buf_free(&sql);
    return ok;
}

/* The hold ends in any case; with the point when there is one. */
static void release(struct flow *flow, uint64_t cut_lsn, uint64_t lsn)
{
    pthread_mutex_lock(&flow->check_lock);
    flow->check.hold = false;
    flow->check.cut_lsn = cut_lsn;
    pthread_mutex_unlock(&flow->check_lock);
    atomic_store(&flow->wanted_lsn, lsn);
    wake_signal(&flow->capture_wake);
    wake_signal(&flow->bronze_wake);
}

/* From the hold to the reader that sees the source at L. */
static bool freeze_source(struct point *p, struct error *err)
{
    struct flow *flow = p->flow;
    struct capture_snapshot snapshot = {0};
    if (!pg_connect(&p->reader, flow->config->source, PG_PLAIN, &flow->stopping, err) || !hold(flow, err)) return false;
    bool ok = capture_snapshot_open(&snapshot, flow->config, HOLD_US, &flow->stopping, err);
    p->lsn = ok ? snapshot.lsn : 0;
    /* through Kafka bronze has no LSN: the consumer says when everything up to it has come */
    release(flow, ok && flow->kafka ? UINT64_MAX : p->lsn, p->lsn);
    ok = ok && import_snapshot(p, snapshot.name, err);
    capture_snapshot_close(&snapshot);
    if (!ok) clear_request(flow);
    return ok || error_wrap(err, "check");
}

static bool await_pipeline(struct point *p, struct error *err)
{
    struct flow *flow = p->flow;
    pthread_mutex_lock(&flow->check_lock);
    bool ok = wait_check(flow, has_snapshot, REACH_US);
    if (ok) {
        p->snapshot = flow->check.snapshot;
        p->position = flow->check.position;
        flow->check.snapshot = NULL;
    }
    pthread_mutex_unlock(&flow->check_lock);
    clear_request(flow);
    return ok || error_set(err, ERROR_RETRY, "check: the pipeline did not reach " LSN_FORMAT " in %d s",
                           LSN_ARGS(p->lsn), REACH_US / 1000000);
}

bool point_take(struct flow *flow, struct point *out, struct error *err)
{
    *out = (struct point){.flow = flow};
    if (freeze_source(out, err) && await_pipeline(out, err)) return true;
    point_free(out);
    return false;
}

void point_free(struct point *p)
{
    pg_close(p->reader);
    if (p->snapshot) state_snapshot_free(p->flow->state, p->snapshot);
    *p = (struct point){0};
}
