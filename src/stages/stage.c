#include "stages/stage.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "format/change.h"

#include <stdarg.h>
#include <stdio.h>

enum { RECENT_BYTES = 16 << 20 };

void stage_state(struct stage_status *s, const char *fmt, ...)
{
    char text[sizeof s->state];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pthread_mutex_lock(&s->lock);
    memcpy(s->state, text, sizeof text);
    pthread_mutex_unlock(&s->lock);
}

void stage_failed(struct stage_status *s, const struct error *err)
{
    pthread_mutex_lock(&s->lock);
    snprintf(s->last_error, sizeof s->last_error, "%.*s", (int)sizeof s->last_error - 1, err->text);
    s->last_error_us = clock_wall_us();
    s->last_error_kind = err->kind;
    s->failing = true;
    pthread_mutex_unlock(&s->lock);
}

void stage_recovered(struct stage_status *s)
{
    pthread_mutex_lock(&s->lock);
    s->failing = false;
    pthread_mutex_unlock(&s->lock);
}

/* Conditions wait on the monotonic clock: a jump of the wall clock must not stretch a timeout. */
static void condition_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static bool wakes_init(struct flow *f, struct error *err)
{
    return wake_init(&f->bronze_wake, err) && wake_init(&f->producer_wake, err) && wake_init(&f->refine_wake, err) &&
           wake_init(&f->warehouse_wake, err) && wake_init(&f->capture_wake, err);
}

/* A store that cannot be opened is worth nothing: who fills it finds it empty and fills it from the lake. */
static bool open_state(struct flow *f, struct error *err)
{
    char *path = mem_format("%s/state", f->config->home);
    int64_t cache_bytes = f->config->state_cache_bytes;
    bool ok = state_open(&f->state, path, cache_bytes, err);
    if (!ok && err->kind == ERROR_DATA) {
        log_error("state", "damaged, built again from the lake", err);
        ok = file_remove_tree(path, err) && state_open(&f->state, path, cache_bytes, err);
    }
    mem_free(path);
    return ok;
}

static void init(struct flow *f, const struct config *config)
{
    *f = (struct flow){.config = config};
    f->lake = mem_format("%s/lake", config->home);
    f->bronze_version = -1;
    f->kafka = strcmp(config->stream, "kafka") == 0;
    queue_init(&f->changes, (size_t)config->queue_bytes);
    queue_init(&f->events, (size_t)config->queue_bytes);
    recent_init(&f->recent, RECENT_BYTES);
    queue_init(&f->resync_requests, 1 << 20);
    queue_init(&f->replay_requests, 1 << 20);
    pthread_mutex_init(&f->check_lock, NULL);
    pthread_mutex_init(&f->warehouse_lock, NULL);
    condition_init(&f->check_changed);
    f->check.cut_version = -1;
    for (int i = 0; i < STAGE_COUNT; i++) pthread_mutex_init(&f->status[i].lock, NULL);
}

bool flow_init(struct flow *f, const struct config *config, struct error *err)
{
    init(f, config);
    bool ok = file_make_dirs(f->lake, err) && wakes_init(f, err) && open_state(f, err);
    if (!ok) flow_free(f);
    return ok;
}

bool flow_init_source(struct flow *f, const struct config *config, struct error *err)
{
    init(f, config);
    bool ok = wakes_init(f, err);
    if (!ok) flow_free(f);
    return ok;
}

void flow_free(struct flow *f)
{
    if (!f->config) return;
    if (f->state && f->check.snapshot) state_snapshot_free(f->state, f->check.snapshot);
    if (f->state) state_close(f->state);
    queue_free(&f->changes, change_batch_free);
    queue_free(&f->events, change_batch_free);
    recent_free(&f->recent);
    queue_free(&f->resync_requests, mem_free);
    queue_free(&f->replay_requests, mem_free);
    wake_free(&f->bronze_wake);
    wake_free(&f->producer_wake);
    wake_free(&f->refine_wake);
    wake_free(&f->warehouse_wake);
    wake_free(&f->capture_wake);
    pthread_mutex_destroy(&f->check_lock);
    pthread_mutex_destroy(&f->warehouse_lock);
    pthread_cond_destroy(&f->check_changed);
    for (int i = 0; i < STAGE_COUNT; i++) pthread_mutex_destroy(&f->status[i].lock);
    mem_free(f->lake);
    *f = (struct flow){0};
}

int64_t flow_lag_us(const struct flow *f)
{
    bool shown = atomic_load(&f->warehouse_lsn) >= atomic_load(&f->received_lsn);
    int64_t commit_us = atomic_load(&f->warehouse_commit_us);
    int64_t lag_us = clock_wall_us() - commit_us;
    return shown || commit_us == 0 || lag_us < 0 ? 0 : lag_us;
}

int64_t flow_retained_bytes(const struct flow *f)
{
    uint64_t server = atomic_load(&f->server_lsn), durable = atomic_load(&f->durable_lsn);
    return server > durable ? (int64_t)(server - durable) : 0;
}
