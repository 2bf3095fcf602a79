/* Starts, watches and stops the stages.
 *
 *   capture ----------------------------> changes --> bronze --> refine --> warehouse      (one thread each)
 *       `--> events --> producer --> Kafka --> consumer --^                     serve      (its own threads)
 *
 * With `stream = kafka` the two halves may be two processes. One that only captures opens neither engine nor state.
 *
 * A stage that fails with RETRY is tried again with growing pauses, capture by closing and opening it
 * (its connection is gone), the others by stepping again (they keep what they had taken). DATA and CONFIG
 * after the start are shown and tried again too: the user may mend what is wrong while we run. FATAL stops
 * everything. */
#include "pipeline.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/engine.h"
#include "net/pg.h"
#include "resume.h"
#include "serve/serve.h"
#include "stages/bronze/bronze.h"
#include "stages/capture/capture.h"
#include "stages/refine/refine.h"
#include "stages/stream/consumer.h"
#include "stages/stream/producer.h"
#include "stages/warehouse/warehouse.h"

#include <errno.h>
#include <signal.h>

enum { PAUSE_LEAST_US = 100000, PAUSE_MOST_US = 10000000, DRAIN_US = 10000000, TRIM_US = 10000000 };

struct runner {
    struct pipeline *pipeline;
    const struct stage_ops *ops;
    int index;
    pthread_t thread;
    bool started;
    _Atomic bool opened, drain, done;
};

struct pipeline {
    struct home home;
    struct flow flow;
    unsigned stages;
    struct runner runners[STAGE_COUNT];
    struct serve *serve;
    struct wake failed_wake;
    pthread_mutex_t lock; /* protects failure */
    struct error failure;
    bool engine_open, flow_open, new_epoch;
    int64_t drain_until_us, trimmed_us;
};

static const struct stage_ops *const all_ops[STAGE_COUNT] = {&capture_ops, &producer_ops, &consumer_ops,
                                                         &bronze_ops,  &refine_ops,   &warehouse_ops};

/* What a user may name. */
static const struct {
    const char *name;
    unsigned bit;
} stage_bits[] = {{"capture", PIPELINE_CAPTURE},
                  {"bronze", PIPELINE_BRONZE},
                  {"refine", PIPELINE_REFINE},
                  {"warehouse", PIPELINE_WAREHOUSE},
                  {"serve", PIPELINE_SERVE}};
enum { NAMED = sizeof stage_bits / sizeof *stage_bits };

bool pipeline_parse_stages(const char *text, unsigned *stages, struct error *err)
{
    *stages = 0;
    while (*text) {
        size_t n = strcspn(text, ",");
        char *name = mem_textn(text, n);
        unsigned bit = 0;
        const char *names[NAMED];
        for (unsigned i = 0; i < NAMED; i++) {
            names[i] = stage_bits[i].name;
            if (strcmp(name, names[i]) == 0) bit = stage_bits[i].bit;
        }
        if (!bit) {
            const char *near = config_nearest(name, names, NAMED);
            error_set(err, ERROR_CONFIG, "there is no stage '%s'%s%s", name, near ? "; did you mean " : "",
                      near ? near : ": capture, bronze, refine, warehouse, serve");
        }
        mem_free(name);
        if (!bit) return false;
        *stages |= bit;
        text += n + (text[n] == ',');
    }
    return *stages || error_set(err, ERROR_CONFIG, "no stage is named");
}

static void fail(struct pipeline *p, const struct error *err)
{
    pthread_mutex_lock(&p->lock);
    if (p->failure.kind == ERROR_NONE) p->failure = *err;
    pthread_mutex_unlock(&p->lock);
    wake_signal(&p->failed_wake);
}

static bool stopping(const struct runner *r)
{
    return atomic_load(&r->pipeline->flow.stopping);
}

/* Waits in small pieces, so that a stop is noticed. */
static void pause_for(const struct runner *r, int64_t us)
{
    int64_t until_us = clock_mono_us() + us;
    while (!stopping(r) && clock_mono_us() < until_us) clock_sleep_us(20000);
}

/* One failed open or step: shows it; false when the stage must end. */
static bool survive(struct runner *r, const struct error *err, int64_t *pause_us)
{
    struct stage_status *status = &r->pipeline->flow.status[r->index];
    stage_failed(status, err);
    log_error(r->ops->name, "failed", err);
    if (err->kind == ERROR_FATAL) {
        fail(r->pipeline, err);
        return false;
    }
    if (stopping(r)) return false;
    atomic_fetch_add(&status->restarts, 1);
    *pause_us = *pause_us ? *pause_us * 2 : PAUSE_LEAST_US;
    if (*pause_us > PAUSE_MOST_US || err->kind != ERROR_RETRY) *pause_us = PAUSE_MOST_US;
    stage_state(status, "waiting %.1f s to try again", (double)*pause_us / 1e6);
    pause_for(r, *pause_us);
    return !stopping(r);
}

static void *run_stage(void *arg)
{
    struct runner *r = arg;
    struct flow *flow = &r->pipeline->flow;
    void *self = NULL;
    int64_t pause_us = 0;
    bool failing = false;
    for (;;) {
        struct error err = {0};
        enum progress progress = PROGRESS_IDLE;
        bool ok;
        if (self) {
            ok = r->ops->step(self, &progress, &err);
        } else {
            ok = r->ops->open(flow, &self, &err);
            if (!ok) self = NULL;
            else atomic_store(&r->opened, true);
        }
        if (ok && failing) stage_recovered(&flow->status[r->index]);
        failing = !ok;
        if (ok && progress == PROGRESS_SOME) pause_us = 0;
        if (!ok && self && r->index == STAGE_CAPTURE) { /* the connection is gone */
            r->ops->close(self);
            self = NULL;
        }
        if (!ok && !survive(r, &err, &pause_us)) break;
        if (ok && atomic_load(&r->drain) &&
            (progress == PROGRESS_IDLE || clock_mono_us() > r->pipeline->drain_until_us))
            break;
    }
    if (self) r->ops->close(self);
    atomic_store(&r->done, true);
    return NULL;
}

static bool start_runner(struct pipeline *p, int index, struct error *err)
{
    struct runner *r = &p->runners[index];
    r->pipeline = p;
    r->index = index;
    r->ops = all_ops[index];
    errno = pthread_create(&r->thread, NULL, run_stage, r);
    if (errno) return error_errno(err, "cannot start the thread of %s", r->ops->name);
    pthread_setname_np(r->thread, r->ops->name); /* as `top -H` shows it */
    r->started = true;
    return true;
}

/* The lower stages open before the upper ones start: refine needs bronze's table, capture its position.
 * Capture's first try tells whether the source is set up: what the user must change ends the start; a
 * server that does not answer yet is tried again while the rest already works. */
static bool wait_opened(struct pipeline *p, int index, struct error *err)
{
    struct runner *r = &p->runners[index];
    struct stage_status *status = &p->flow.status[index];
    while (!atomic_load(&r->opened)) {
        if (wake_wait(&p->failed_wake, 5000)) {
            *err = p->failure;
            return false;
        }
        if (!atomic_load(&status->restarts)) continue;
        pthread_mutex_lock(&status->lock);
        enum error_kind kind = status->last_error_kind;
        bool outside = index == STAGE_CAPTURE || index == STAGE_PRODUCER || index == STAGE_CONSUMER;
        bool passing = kind == ERROR_RETRY && outside;
        if (!passing) error_set(err, kind, "%s", status->last_error);
        pthread_mutex_unlock(&status->lock);
        return passing;
    }
    return true;
}

static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The warehouse is derived, so a folder that the engine does not start on (a file cut short by a full disk or a
 * power cut) is removed: its stage loads everything again. */
static bool open_engine(const struct config *config, struct error *err)
{
    char *storage = mem_format("%s/warehouse", config->home);
    bool ok = engine_open(config->library, config->home, storage, config->engine_memory_bytes, err);
    if (!ok && err->kind == ERROR_DATA) {
        log_error("warehouse", "its folder is damaged and is made again from gold", err);
        ok = file_remove_tree(storage, err) &&
             engine_open(config->library, config->home, storage, config->engine_memory_bytes, err);
    }
    mem_free(storage);
    return ok;
}

static bool open_base(struct pipeline *p, const struct config *config, struct error *err)
{
    bool ok = home_open(&p->home, config->home, true, err) && wake_init(&p->failed_wake, err);
    bool lake = p->stages & (PIPELINE_BRONZE | PIPELINE_REFINE | PIPELINE_WAREHOUSE | PIPELINE_SERVE);
    if (ok && lake) ok = p->engine_open = open_engine(config, err);
    if (ok) ok = p->flow_open = lake ? flow_init(&p->flow, config, err) : flow_init_source(&p->flow, config, err);
    return ok;
}

/* `millrace resync --slot` leaves it: the user accepts another slot, server or timeline. */
static char *epoch_marker(const struct pipeline *p)
{
    return mem_format("%s/run/new-epoch", p->flow.config->home);
}

static void take_epoch_marker(struct pipeline *p)
{
    char *marker = epoch_marker(p);
    p->new_epoch = file_exists(marker);
    mem_free(marker);
}

/* The marker goes once the copy of the new epoch is whole: a run killed before begins it again. */
static void drop_epoch_marker(struct pipeline *p)
{
    if (!p->new_epoch || !atomic_load(&p->flow.copy_complete)) return;
    char *marker = epoch_marker(p);
    struct error ignored;
    p->new_epoch = !file_remove_tree(marker, &ignored);
    mem_free(marker);
}

/* Statements and batches come in bursts; what they used is given back between them. */
static void trim(struct pipeline *p)
{
    int64_t now_us = clock_mono_us();
    if (p->trimmed_us && now_us - p->trimmed_us < TRIM_US) return;
    p->trimmed_us = now_us;
    if (p->engine_open) engine_trim();
    mem_trim();
}

static bool stop_is_asked(void)
{
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM);
}

/* Where capture goes on is in Kafka, and is true only once the producer has shut out older ones: a broker that does
 * not answer yet is waited for. */
static bool resume_after_producer(struct pipeline *p, struct error *err)
{
    for (;;) {
        bool opened = atomic_load(&p->runners[STAGE_PRODUCER].opened);
        if (opened && resume_from_stream(&p->flow, p->new_epoch, err)) return true;
        if (opened && err->kind != ERROR_RETRY) return false;
        if (wake_wait(&p->failed_wake, 200000)) {
            *err = p->failure;
            return false;
        }
        if (stop_is_asked()) return error_set(err, ERROR_RETRY, "stopped while waiting for Kafka");
    }
}

static bool start_stages(struct pipeline *p, struct error *err)
{
    take_epoch_marker(p);
    static const int order[] = {STAGE_BRONZE, STAGE_CONSUMER, STAGE_REFINE, STAGE_WAREHOUSE, STAGE_PRODUCER, STAGE_CAPTURE};
    bool kafka = p->flow.kafka;
    if (kafka && p->stages & PIPELINE_CAPTURE) p->stages |= PIPELINE_PRODUCER;
    if (kafka && p->stages & PIPELINE_BRONZE) p->stages |= PIPELINE_CONSUMER;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        int index = order[i];
        if (!(p->stages & (1u << index))) continue;
        bool ready = index != STAGE_CAPTURE || (kafka ? resume_after_producer(p, err)
                                                      : resume_from_lake(&p->flow, p->new_epoch, err));
        if (!ready) return false;
        if (!start_runner(p, index, err)) return false;
        if (!wait_opened(p, index, err)) return false;
    }
    return true;
}

bool pipeline_start(struct pipeline **out, const struct config *config, unsigned stages, struct error *err)
{
    block_signals();
    struct pipeline *p = mem_alloc(sizeof *p);
    p->stages = stages & (unsigned)~(PIPELINE_PRODUCER | PIPELINE_CONSUMER);
    pthread_mutex_init(&p->lock, NULL);
    bool ok = open_base(p, config, err) && start_stages(p, err);
    if (ok && stages & PIPELINE_SERVE)
        ok = serve_start(&p->serve, &p->flow, err) &&
             home_announce(&p->home, (int)config->http_port, (int)config->clickhouse_port, err);
    if (!ok) {
        pipeline_stop(p);
        return false;
    }
    *out = p;
    return true;
}

struct flow *pipeline_flow(struct pipeline *p)
{
    return &p->flow;
}

bool pipeline_wait(struct pipeline *p, int64_t timeout_us, bool *stop, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    int64_t until_us = clock_mono_us() + timeout_us;
    *stop = false;
    for (;;) {
        struct timespec none = {0};
        if (sigtimedwait(&set, NULL, &none) > 0) {
            *stop = true;
            return true;
        }
        drop_epoch_marker(p);
        trim(p);
        int64_t left_us = timeout_us < 0 ? 100000 : until_us - clock_mono_us();
        if (left_us <= 0) return true;
        if (wake_wait(&p->failed_wake, left_us < 100000 ? left_us : 100000)) {
            *err = p->failure;
            *stop = true;
            return false;
        }
    }
}

bool pipeline_wait_lsn(struct pipeline *p, uint64_t lsn, int64_t timeout_us, struct error *err)
{
    int64_t until_us = clock_mono_us() + timeout_us;
    atomic_store(&p->flow.wanted_lsn, lsn);
    bool stop = false;
    while (atomic_load(&p->flow.warehouse_lsn) < lsn) {
        if (!pipeline_wait(p, 20000, &stop, err)) return false;
        if (stop) return error_set(err, ERROR_RETRY, "stopped while waiting for the warehouse");
        if (clock_mono_us() > until_us) {
            uint64_t at = atomic_load(&p->flow.warehouse_lsn);
            return error_set(err, ERROR_RETRY, "the warehouse stands at %X/%X and did not reach %X/%X in %lld s",
                             (unsigned)(at >> 32), (unsigned)at, (unsigned)(lsn >> 32), (unsigned)lsn,
                             (long long)(timeout_us / 1000000));
        }
    }
    atomic_store(&p->flow.wanted_lsn, 0);
    return true;
}

bool pipeline_catch_up(struct pipeline *p, int64_t timeout_us, uint64_t *lsn, struct error *err)
{
    struct pg *pg = NULL;
    struct pg_rows rows = {0};
    bool ok = pg_connect(&pg, p->flow.config->source, PG_PLAIN, NULL, err) &&
              pg_query(pg, &rows, "SELECT pg_current_wal_lsn()", NULL, 0, err);
    if (ok && !lsn_parse(pg_text(&rows, 0, 0), lsn)) ok = error_set(err, ERROR_FATAL, "the server gave no LSN");
    pg_rows_free(&rows);
    pg_close(pg);
    return ok && pipeline_wait_lsn(p, *lsn, timeout_us, err);
}

static void stop_runner(struct pipeline *p, int index)
{
    struct runner *r = &p->runners[index];
    if (!r->started) return;
    atomic_store(&r->drain, true);
    pthread_join(r->thread, NULL);
    r->started = false;
}

void pipeline_stop(struct pipeline *p)
{
    if (p->flow_open) {
        p->drain_until_us = clock_mono_us() + DRAIN_US;
        atomic_store(&p->flow.stopping, true);
        for (int i = 0; i < STAGE_COUNT; i++) stop_runner(p, i);
    }
    if (p->serve) serve_stop(p->serve);
    if (p->flow_open) flow_free(&p->flow);
    if (p->engine_open) engine_close();
    wake_free(&p->failed_wake);
    home_close(&p->home);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}
