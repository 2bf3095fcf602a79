/* check            bronze                    refine
 *   hold  ------->   finishes its commit, held
 *   make slot: L
 *   cut = L ----->   commits what is below L,
 *                    cut_version = V  -------> ends a range at V, snapshot
 *   reader imports the snapshot, slot goes
 *
 * The hold lasts as long as the slot takes to be made (PostgreSQL waits for transactions that run), at
 * most HOLD_US; then the check gives up and says who is in the way. */
#include "check/point.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

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

/* Makes a temporary slot; its snapshot lives while `pg` runs no other command. */
static bool make_slot(struct pg *pg, uint64_t *lsn, char **snapshot, struct error *err)
{
    char sql[160];
    snprintf(sql, sizeof sql, "CREATE_REPLICATION_SLOT \"millrace_check_%ld\" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT",
             (long)getpid());
    if (!pg_send(pg, sql, err)) return false;
    int64_t until_us = clock_mono_us() + HOLD_US;
    bool done = false;
    struct pg_rows rows = {0};
    while (!done) {
        if (!pg_poll(pg, 100000, &done, &rows, err)) return false;
        if (!done && clock_mono_us() > until_us)
            return error_set(err, ERROR_RETRY,
                             "check: PostgreSQL made no snapshot in %d s because transactions are open; see "
                             "pg_stat_activity, end them and try again",
                             HOLD_US / 1000000);
    }
    bool ok = rows.count == 1 && lsn_parse(pg_text(&rows, 0, 1), lsn) && pg_text(&rows, 0, 2);
    if (ok) *snapshot = mem_text(pg_text(&rows, 0, 2));
    else error_set(err, ERROR_FATAL, "check: the server's answer to CREATE_REPLICATION_SLOT is malformed");
    pg_rows_free(&rows);
    return ok;
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

/* From the hold to the reader that sees the source at L. */
static bool freeze_source(struct point *p, struct error *err)
{
    const char *source = p->flow->config->source;
    struct pg *slot = NULL;
    char *snapshot = NULL;
    bool ok = pg_connect(&p->reader, source, PG_PLAIN, &p->flow->stopping, err) &&
              pg_connect(&slot, source, PG_REPLICATION, &p->flow->stopping, err) && hold(p->flow, err);
    bool holding = ok;
    ok = ok && make_slot(slot, &p->lsn, &snapshot, err);
    if (holding) {
        pthread_mutex_lock(&p->flow->check_lock);
        p->flow->check.hold = false;
        if (ok) p->flow->check.cut_lsn = p->lsn;
        pthread_mutex_unlock(&p->flow->check_lock);
        atomic_store(&p->flow->wanted_lsn, ok ? p->lsn : 0);
        wake_signal(&p->flow->capture_wake);
        wake_signal(&p->flow->bronze_wake);
    }
    ok = ok && import_snapshot(p, snapshot, err);
    pg_close(slot); /* and with it the slot */
    mem_free(snapshot);
    if (!ok && holding) clear_request(p->flow);
    return ok;
}

static bool await_pipeline(struct point *p, struct error *err)
{
    struct flow *flow = p->flow;
    pthread_mutex_lock(&flow->check_lock);
    bool ok = wait_check(flow, has_snapshot, REACH_US);
    if (ok) {
        p->snapshot = flow->check.snapshot;
        p->position = flow->check.position;
        p->batches_version = flow->check.batches_version;
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
