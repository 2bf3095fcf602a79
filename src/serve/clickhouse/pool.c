/* Slots, the register and the watcher.
 *
 *   enter: listed -> waits for a slot -> holds it -> leave
 *   cancel: KILL by the slot's tag, again until the statement has left
 *
 * 1. A KILL runs under the lock and only while its statement is listed: it cannot hit the slot's next one.
 * 2. A slot's database and settings are what its fields say, also after a SET that failed. */
#include "serve/clickhouse/pool.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_SECONDS_MAX = 20, DEADLINE_SLACK_S = 5, WATCH_MS = 1000, KILL_AGAIN_MS = 100 };

static bool open_slot(struct pool *p, struct slot *s, size_t number, struct error *err)
{
    s->tag = mem_format("millrace-user-%zu", number);
    s->database = mem_text("default");
    char *own[] = {
        mem_format("log_comment=%s", s->tag),
        mem_format("max_execution_time=%lld", (long long)p->seconds_max),
        mem_format("max_memory_usage=%lld", (long long)p->memory_max),
        mem_format("max_result_bytes=%lld", (long long)p->memory_max),
        mem_format("max_threads=%lld", (long long)p->threads_max),
    };
    const char *settings[] = {own[0],
                              own[1],
                              own[2],
                              own[3],
                              own[4],
                              "readonly=2",
                              "allow_introspection_functions=0",
                              "max_untracked_memory=1048576",
                              NULL};
    bool ok = engine_connect(&s->conn, settings, err);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        mem_free(own[i]);
    return ok;
}

static void free_settings(struct slot *s)
{
    for (size_t i = 0; i < s->setting_count; i++) {
        mem_free(s->settings[i].name);
        mem_free(s->settings[i].value);
    }
    s->setting_count = 0;
}

/* KILL by the slot's tag; the lock is held, so the slot still belongs to r. */
static void cancel(struct pool *p, struct running *r)
{
    r->cancelled = true;
    r->killed_us = clock_mono_us();
    if (!r->slot) {
        pthread_cond_broadcast(&p->freed);
        return;
    }
    struct error ignored;
    struct engine_result result = {0};
    struct engine_param tag = {.name = "tag", .value = slice_of(r->slot->tag)};
    if (engine_query(p->killer, "KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC", "TSV",
                     &tag, 1, &result, &ignored))
        engine_result_free(&result);
}

static bool hung_up(const struct pollfd *fd)
{
    return (fd->revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* A KILL that comes while a statement starts can be lost, so it is repeated until the statement ends. */
static bool cancel_again(struct pool *p, struct running *r, int64_t now)
{
    if (r->cancelled && now - r->killed_us >= KILL_AGAIN_MS * 1000) cancel(p, r);
    return r->cancelled;
}

/* Waits for a client to go away, a deadline to pass, or a change of the register. */
static void *watch(void *arg)
{
    struct pool *p = arg;
    struct pollfd fds[RUNNING_MAX + 1];
    uint64_t who[RUNNING_MAX + 1]; /* serials: an address may be a later statement's by then */
    pthread_mutex_lock(&p->lock);
    while (!p->stopping || p->running_count > 0) {
        nfds_t n = 1;
        fds[0] = (struct pollfd){.fd = p->wake, .events = POLLIN};
        int64_t now = clock_mono_us();
        int wait_ms = -1;
        for (size_t i = 0; i < p->running_count; i++) {
            struct running *r = p->running[i];
            if (!r->cancelled && now > r->deadline_us) cancel(p, r);
            if (cancel_again(p, r, now)) {
                wait_ms = KILL_AGAIN_MS;
                continue;
            }
            if (wait_ms < 0) wait_ms = WATCH_MS;
            who[n] = r->serial;
            fds[n++] = (struct pollfd){.fd = r->fd, .events = POLLRDHUP};
        }
        pthread_mutex_unlock(&p->lock);
        int ready = poll(fds, n, wait_ms);
        pthread_mutex_lock(&p->lock);
        uint64_t count;
        if (ready > 0 && (fds[0].revents & POLLIN) && read(p->wake, &count, sizeof count) < 0) continue;
        for (nfds_t i = 1; ready > 0 && i < n; i++) {
            if (!hung_up(&fds[i])) continue;
            for (size_t k = 0; k < p->running_count; k++)
                if (p->running[k]->serial == who[i] && !p->running[k]->cancelled) cancel(p, p->running[k]);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void wake_watcher(struct pool *p)
{
    uint64_t one = 1;
    while (write(p->wake, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

bool pool_open(struct pool *p, size_t slots, struct error *err)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->freed, &attr);
    pthread_condattr_destroy(&attr);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool ok = p->wake >= 0 || error_errno(err, "eventfd");
    ok = ok && engine_connect(&p->killer, NULL, err);
    p->slot_count = slots < 1 ? 1 : slots > SLOTS_MAX ? SLOTS_MAX : slots;
    for (size_t i = 0; ok && i < p->slot_count; i++)
        ok = open_slot(p, &p->slots[i], i, err);
    if (ok) {
        int code = pthread_create(&p->watcher, NULL, watch, p);
        p->watching = code == 0;
        if (code) ok = error_set(err, ERROR_RETRY, "the watcher thread does not start (%d)", code);
    }
    if (!ok) pool_close(p);
    return ok;
}

void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    for (size_t i = 0; i < p->running_count; i++)
        if (!p->running[i]->cancelled) cancel(p, p->running[i]);
    pthread_cond_broadcast(&p->freed);
    pthread_mutex_unlock(&p->lock);
    wake_watcher(p);
}

void pool_close(struct pool *p)
{
    if (p->watching) {
        pool_stop(p);
        pthread_join(p->watcher, NULL);
    }
    for (size_t i = 0; i < p->slot_count; i++) {
        struct slot *s = &p->slots[i];
        engine_disconnect(s->conn);
        free_settings(s);
        mem_free(s->settings);
        mem_free(s->tag);
        mem_free(s->database);
    }
    engine_disconnect(p->killer);
    if (p->wake >= 0) close(p->wake);
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->lock);
    *p = (struct pool){.wake = -1};
}

static struct slot *free_slot(struct pool *p)
{
    for (size_t i = 0; i < p->slot_count; i++)
        if (!p->slots[i].busy) return &p->slots[i];
    return NULL;
}

static struct running *find(struct pool *p, const char *query_id)
{
    for (size_t i = 0; i < p->running_count; i++)
        if (strcmp(p->running[i]->query_id, query_id) == 0) return p->running[i];
    return NULL;
}

static bool busy(struct error *err)
{
    return error_set(err, ERROR_RETRY,
                     "Code: 202. DB::Exception: Too many simultaneous queries."
                     " (TOO_MANY_SIMULTANEOUS_QUERIES)");
}

static bool wait_for_slot(struct pool *p, struct running *r, struct error *err)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_SECONDS_MAX;
    struct slot *s = NULL;
    while (!p->stopping && !r->cancelled && !(s = free_slot(p)))
        if (pthread_cond_timedwait(&p->freed, &p->lock, &until) == ETIMEDOUT) break;
    if (p->stopping || r->cancelled)
        return error_set(err, ERROR_RETRY,
                         "Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)");
    if (!s && !(s = free_slot(p))) return busy(err);
    s->busy = true;
    r->slot = s;
    r->since_us = clock_mono_us();
    r->deadline_us = r->since_us + (p->seconds_max + DEADLINE_SLACK_S) * 1000000;
    return true;
}

bool pool_enter(struct pool *p, struct running *r, const char *query_id, int fd, struct error *err)
{
    *r = (struct running){.fd = fd, .deadline_us = INT64_MAX};
    pthread_mutex_lock(&p->lock);
    bool ok = true;
    if (find(p, query_id))
        ok = error_set(err, ERROR_CONFIG,
                       "Code: 216. DB::Exception: Query with id = %.100s is already running."
                       " (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)",
                       query_id);
    else if (p->running_count == RUNNING_MAX)
        ok = busy(err);
    bool listed = ok;
    if (listed) {
        r->query_id = mem_text(query_id);
        r->serial = ++p->serial;
        p->running[p->running_count++] = r;
        wake_watcher(p);
        ok = wait_for_slot(p, r, err);
    }
    pthread_mutex_unlock(&p->lock);
    if (listed && !ok) pool_leave(p, r);
    return ok;
}

void pool_leave(struct pool *p, struct running *r)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->running_count; i++) {
        if (p->running[i] != r) continue;
        p->running[i] = p->running[--p->running_count];
        break;
    }
    if (r->slot) r->slot->busy = false;
    r->slot = NULL;
    pthread_cond_broadcast(&p->freed);
    pthread_mutex_unlock(&p->lock);
    mem_free(r->query_id);
    r->query_id = NULL;
}

void pool_move(struct pool *p, struct running *from, struct running *to)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->running_count; i++)
        if (p->running[i] == from) p->running[i] = to;
    *to = *from;
    *from = (struct running){0};
    pthread_mutex_unlock(&p->lock);
}

bool pool_kill(struct pool *p, const char *query_id)
{
    pthread_mutex_lock(&p->lock);
    struct running *r = find(p, query_id);
    if (r && !r->cancelled) cancel(p, r);
    pthread_mutex_unlock(&p->lock);
    if (r) wake_watcher(p);
    return r != NULL;
}

static bool same_settings(const struct slot *s, const struct setting *settings, size_t count)
{
    if (s->setting_count != count) return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(s->settings[i].name, settings[i].name) ||
            strcmp(s->settings[i].value, settings[i].value))
            return false;
    return true;
}

/* What a setting returns to: the pool's or the connection's own value, where it has one. */
static char *base_value(const struct pool *p, const char *name)
{
    static const struct setting fixed[] = {
        {"session_timezone", "'UTC'"},
        {"join_use_nulls", "1"},
        {"aggregate_functions_null_for_empty", "1"},
        {"optimize_trivial_count_query", "0"},
        {"output_format_decimal_trailing_zeros", "1"},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcasecmp(name, fixed[i].name) == 0) return mem_text(fixed[i].value);
    if (strcasecmp(name, "max_execution_time") == 0) return mem_format("%lld", (long long)p->seconds_max);
    if (strcasecmp(name, "max_threads") == 0) return mem_format("%lld", (long long)p->threads_max);
    if (strcasecmp(name, "max_memory_usage") == 0 || strcasecmp(name, "max_result_bytes") == 0)
        return mem_format("%lld", (long long)p->memory_max);
    return mem_text("DEFAULT");
}

static bool reset_settings(const struct pool *p, struct slot *s, struct error *err)
{
    if (s->setting_count == 0) return true;
    struct buf sql = {0};
    for (size_t i = 0; i < s->setting_count; i++) {
        char *value = base_value(p, s->settings[i].name);
        buf_put_text(&sql, i ? ", " : "SET ");
        buf_put_sql_name(&sql, s->settings[i].name);
        buf_printf(&sql, " = %s", value);
        mem_free(value);
    }
    bool ok = engine_run(s->conn, buf_text(&sql), err);
    buf_free(&sql);
    if (ok) free_settings(s);
    return ok;
}

/* A refused SET may have been taken in part: nothing of it stays. */
static void unset(const struct pool *p, struct slot *s, const struct setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf sql = {0};
        struct error ignored;
        char *value = base_value(p, settings[i].name);
        buf_put_text(&sql, "SET ");
        buf_put_sql_name(&sql, settings[i].name);
        buf_printf(&sql, " = %s", value);
        mem_free(value);
        bool known = engine_run(s->conn, buf_text(&sql), &ignored);
        (void)known; /* an unknown name was not set either */
        buf_free(&sql);
    }
}

static bool apply_settings(const struct pool *p, struct slot *s, const struct setting *settings,
                           size_t count, struct error *err)
{
    if (count == 0) return true;
    struct buf sql = {0};
    for (size_t i = 0; i < count; i++) {
        buf_put_text(&sql, i ? ", " : "SET ");
        buf_put_sql_name(&sql, settings[i].name);
        buf_put_text(&sql, " = ");
        buf_put_sql_text(&sql, slice_of(settings[i].value));
    }
    bool ok = engine_run(s->conn, buf_text(&sql), err);
    buf_free(&sql);
    if (!ok) unset(p, s, settings, count);
    for (size_t i = 0; ok && i < count; i++) {
        MEM_GROW(s->settings, s->setting_count, s->setting_cap);
        s->settings[s->setting_count++] =
            (struct setting){mem_text(settings[i].name), mem_text(settings[i].value)};
    }
    return ok;
}

static bool use_database(struct slot *s, const char *database, struct error *err)
{
    if (strcmp(s->database, database) == 0) return true;
    struct buf sql = {0};
    buf_put_text(&sql, "USE ");
    buf_put_sql_name(&sql, database);
    bool ok = engine_run(s->conn, buf_text(&sql), err);
    buf_free(&sql);
    if (!ok) return false;
    mem_free(s->database);
    s->database = mem_text(database);
    return true;
}

bool pool_prepare(const struct pool *p, struct slot *s, const char *database,
                  const struct setting *settings, size_t count, struct error *err)
{
    if (!use_database(s, database, err)) return false;
    if (same_settings(s, settings, count)) return true;
    return reset_settings(p, s, err) && apply_settings(p, s, settings, count, err);
}
