/* Rows of many tables under one exported snapshot.
 *
 *   lead:    slot (exports) --> readers import --> schemas --> units --> start workers, join them
 *   worker:  next unit --> COPY --> encode --> batch --> `ready` (bounded) --> the stage takes it
 *
 * A unit is a table or, for a large one, a range of its pages (PostgreSQL 14 can seek there). All
 * readers import before the slot's connection closes; each keeps its snapshot by its own transaction.
 * The tables are locked in ACCESS SHARE mode, so no DDL comes between schema and rows: by all readers before the first
 * row is read, and by none that would have to wait behind DDL that waits for another reader, which waits for it.
 *
 * What it does not do: brackets and positions, which are the stage's. */
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "stages/capture/capture_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    WORKERS_MAX = 16,
    PAGE_BYTES = 8192,
    UNIT_FLUSHES = 8,      /* a unit is this many flushes' worth of pages, */
    UNIT_PAGES_LEAST = 64, /* but not less than this */
    SLOT_WAIT_US = 90000000,
    PUSH_US = 200000,
    BATCH_BYTES_MAX = 4 << 20,
};

static struct metric copied_rows = METRIC_COUNTER("millrace_copy_rows_total", "Rows read by copies");

struct unit {
    size_t table;
    int64_t from_page, to_page; /* to_page 0: whole table; -1: to its end */
};

struct worker {
    struct copy *copy;
    struct pg *pg;
    pthread_t thread;
    bool started;
};

struct copy {
    struct copy_plan plan;
    pthread_t lead;
    bool lead_started;
    struct queue ready; /* struct change_batch * */
    _Atomic bool stop;
    pthread_mutex_t lock; /* protects state and error */
    enum copy_state state;
    struct error error;
    struct capture_snapshot snapshot;
    _Atomic uint64_t lsn;
    int64_t snapshot_us;
    uint32_t snapshot_xid; /* no transaction from here on is in it */
    struct capture_table **tables;
    struct unit *units;
    size_t unit_count, unit_cap;
    _Atomic size_t next_unit;
    _Atomic int64_t rows, rows_estimate;
    struct worker workers[WORKERS_MAX];
    size_t worker_count;
};

static void finish(struct copy *c, enum copy_state state, const struct error *err)
{
    pthread_mutex_lock(&c->lock);
    if (c->state == COPY_RUNNING) {
        c->state = state;
        if (err) c->error = *err;
    }
    pthread_mutex_unlock(&c->lock);
    if (state == COPY_FAILED) atomic_store(&c->stop, true);
}

static bool import(struct copy *c, struct pg *pg, struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "SET TRANSACTION SNAPSHOT ");
    pg_put_text(&sql, slice_of(c->snapshot.name));
    bool ok = pg_run(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) &&
              pg_run(pg, buf_text(&sql), err);
    buf_free(&sql);
    return ok || error_wrap(err, "importing the slot's snapshot");
}

static bool connect_readers(struct copy *c, struct error *err)
{
    for (size_t i = 0; i < c->worker_count; i++) {
        struct worker *w = &c->workers[i];
        w->copy = c;
        if (!pg_connect(&w->pg, c->plan.config->source, PG_PLAIN, &c->stop, err) || !import(c, w->pg, err))
            return false;
    }
    return true;
}

/* Makes the slot, lets all readers import its snapshot, closes the slot's connection. */
static bool open_snapshot(struct copy *c, struct error *err)
{
    const struct copy_plan *p = &c->plan;
    struct pg *replication;
    if (!pg_connect(&replication, p->config->source, PG_REPLICATION, &c->stop, err)) return false;
    bool ok = (!p->drop_leftover || slot_drop(replication, p->slot, err)) &&
              slot_create(replication, p->config, p->slot, p->temporary, SLOT_WAIT_US, p->status,
                          &c->snapshot, err);
    if (ok) {
        atomic_store(&c->lsn, c->snapshot.lsn);
        c->snapshot_us = clock_wall_us();
        ok = connect_readers(c, err);
    }
    pg_close(replication);
    return ok;
}

/* The first reader waits for it; the others hold it at once or not at all, as pg_dump's. */
static bool lock_table(struct copy *c, const char *table, struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "LOCK TABLE ");
    pg_put_table(&sql, table);
    buf_put_text(&sql, " IN ACCESS SHARE MODE");
    bool ok = pg_run(c->workers[0].pg, buf_text(&sql), err);
    buf_put_text(&sql, " NOWAIT");
    for (size_t i = 1; ok && i < c->worker_count; i++) {
        ok = pg_run(c->workers[i].pg, buf_text(&sql), err);
        if (!ok && strstr(err->text, "55P03"))
            error_set(err, ERROR_RETRY, "table %s is about to be changed by another session; the copy begins again", table);
    }
    buf_free(&sql);
    return ok;
}

static void add_unit(struct copy *c, struct unit u)
{
    MEM_GROW(c->units, c->unit_count, c->unit_cap);
    c->units[c->unit_count++] = u;
}

static void plan_units(struct copy *c, size_t table, bool may_split)
{
    const struct capture_table *t = c->tables[table];
    int64_t pages = c->plan.config->flush_bytes / PAGE_BYTES * UNIT_FLUSHES;
    if (pages < UNIT_PAGES_LEAST) pages = UNIT_PAGES_LEAST;
    atomic_fetch_add(&c->rows_estimate, (int64_t)t->rows_estimate);
    if (!may_split || t->kind != 'r' || t->pages <= pages) {
        add_unit(c, (struct unit){.table = table});
        return;
    }
    for (int64_t from = 0; from < t->pages; from += pages) {
        bool last = from + pages >= t->pages; /* the table may have grown since */
        add_unit(c, (struct unit){table, from, last ? -1 : from + pages});
    }
}

static bool push(struct copy *c, struct change_batch *batch)
{
    batch->commit_us = c->snapshot_us;
    while (!atomic_load(&c->stop))
        if (queue_push(&c->ready, batch, batch->size_bytes + 1, PUSH_US)) return true;
    change_batch_free(batch);
    return false;
}

static struct change change_for(const struct copy *c, enum change_op op, const struct capture_table *t)
{
    return (struct change){
        .op = op,
        .table = slice_of(t->schema.table),
        .epoch = c->plan.epoch,
        .lsn = c->snapshot.lsn,
        .event_lsn = c->snapshot.lsn,
        .xid = c->snapshot_xid,
        .commit_us = c->snapshot_us,
        .capture_us = clock_wall_us(),
    };
}

static void add_condition(const struct copy *c, struct capture_table *t)
{
    const char *wanted = c->plan.conditions ? map_get(c->plan.conditions, slice_of(t->schema.table)) : NULL;
    if (!wanted) return;
    char *both = t->filter ? mem_format("(%s) AND (%s)", t->filter, wanted) : mem_text(wanted);
    mem_free(t->filter);
    t->filter = both;
}

/* What a row of a copy names as its transaction, to Kafka: bronze's rows of copies have none. */
static bool read_xid(struct copy *c, struct pg *pg, struct error *err)
{
    struct pg_rows rows;
    if (!events_options()) return true;
    if (!pg_query(pg, &rows, "SELECT txid_snapshot_xmax(txid_current_snapshot())", NULL, 0, err)) return false;
    c->snapshot_xid = (uint32_t)pg_int(&rows, 0, 0);
    pg_rows_free(&rows);
    return true;
}

/* The schemas of all tables, as one batch before any row. */
static bool read_schemas(struct copy *c, struct error *err)
{
    struct pg *pg = c->workers[0].pg;
    struct published_list list = {0};
    struct change_batch *batch = capture_batch_new();
    bool ok = read_xid(c, pg, err);
    for (size_t i = 0; ok && i < c->plan.table_count; i++)
        ok = lock_table(c, c->plan.tables[i], err);
    if (ok) ok = catalog_published(pg, c->plan.config, &list, err);
    for (size_t i = 0; ok && i < c->plan.table_count; i++) {
        const struct published *p = published_find(&list, c->plan.tables[i]);
        ok = p ? catalog_table(pg, c->plan.config, p, events_options() != NULL, &c->tables[i], err) && events_prepare(pg, c->tables[i], true, err)
               : error_set(err, ERROR_RETRY, "table %s left the publication", c->plan.tables[i]);
        if (!ok) break;
        add_condition(c, c->tables[i]);
        struct buf record = {0};
        struct change change = change_for(c, CHANGE_SCHEMA, c->tables[i]);
        table_put_schema(c->tables[i], &record, &change);
        change_batch_add(batch, &change);
        buf_free(&record);
        plan_units(c, i, pg_server_version(pg) >= 140000);
    }
    published_free(&list);
    if (ok) return push(c, batch) || error_set(err, ERROR_RETRY, "stopping");
    change_batch_free(batch);
    return false;
}

static void put_unit_sql(const struct copy *c, const struct unit *u, struct buf *sql)
{
    char condition[96] = "";
    if (u->to_page > 0)
        snprintf(condition, sizeof condition, "ctid >= '(%" PRId64 ",0)' AND ctid < '(%" PRId64 ",0)'",
                 u->from_page, u->to_page);
    else if (u->to_page < 0)
        snprintf(condition, sizeof condition, "ctid >= '(%" PRId64 ",0)'", u->from_page);
    capture_table_put_copy(c->tables[u->table], condition[0] ? condition : NULL, sql);
}

/* A batch in the making and the buffers of one row. */
struct filling {
    struct change_batch *batch;
    struct change change;
    struct buf key, after;
    size_t bytes_max;
};

static bool add_row(struct copy *c, const struct capture_table *t, struct slice line, struct filling *f,
                    struct error *err)
{
    buf_clear(&f->key);
    buf_clear(&f->after);
    if (!capture_encode_row(t, line, &f->key, &f->after, err)) return false;
    if (!buf_ok(&f->key) || !buf_ok(&f->after))
        return error_set(err, ERROR_FATAL, "a row of %s is larger than 2 GB", t->schema.table);
    f->change.key = f->key.len ? buf_slice(&f->key) : (struct slice){0};
    f->change.after = buf_slice(&f->after);
    change_batch_add(f->batch, &f->change);
    if (f->batch->size_bytes < f->bytes_max) return true;
    struct change_batch *full = f->batch;
    atomic_fetch_add(&c->rows, (int64_t)full->count);
    metric_add(&copied_rows, (int64_t)full->count);
    f->batch = capture_batch_new();
    f->change.capture_us = clock_wall_us();
    return push(c, full) || error_set(err, ERROR_RETRY, "stopping");
}

static bool read_rows(struct copy *c, struct pg *pg, const struct capture_table *t, struct filling *f,
                      struct error *err)
{
    for (;;) {
        struct slice line;
        enum pg_copy what;
        if (!pg_copy_next(pg, &line, &what, err)) return false;
        if (what == PG_COPY_END) return true;
        if (what == PG_COPY_DATA) {
            if (!add_row(c, t, line, f, err)) return false;
            continue;
        }
        if (atomic_load(&c->stop)) return error_set(err, ERROR_RETRY, "stopping");
        pg_wait(pg, -1, PUSH_US);
    }
}

static bool copy_unit(struct copy *c, struct pg *pg, const struct unit *u, struct error *err)
{
    const struct capture_table *t = c->tables[u->table];
    int64_t flush_bytes = c->plan.config->flush_bytes;
    struct filling f = {
        .batch = capture_batch_new(),
        .change = change_for(c, CHANGE_READ, t),
        .bytes_max = flush_bytes < BATCH_BYTES_MAX ? (size_t)flush_bytes : BATCH_BYTES_MAX,
    };
    struct buf sql = {0};
    put_unit_sql(c, u, &sql);
    bool ok = pg_copy_begin(pg, buf_text(&sql), err) && read_rows(c, pg, t, &f, err);
    buf_free(&sql);
    if (ok && f.batch->count) {
        atomic_fetch_add(&c->rows, (int64_t)f.batch->count);
        metric_add(&copied_rows, (int64_t)f.batch->count);
        ok = push(c, f.batch) || error_set(err, ERROR_RETRY, "stopping");
    } else {
        change_batch_free(f.batch);
    }
    buf_free(&f.key);
    buf_free(&f.after);
    return ok || error_wrap(err, "copying %s", t->schema.table);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    struct copy *c = w->copy;
    struct error err;
    while (!atomic_load(&c->stop)) {
        size_t i = atomic_fetch_add(&c->next_unit, 1);
        if (i >= c->unit_count) break;
        if (!copy_unit(c, w->pg, &c->units[i], &err)) {
            finish(c, COPY_FAILED, &err);
            break;
        }
    }
    return NULL;
}

static bool run_workers(struct copy *c, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < c->worker_count; i++) {
        errno = pthread_create(&c->workers[i].thread, NULL, run_worker, &c->workers[i]);
        ok = errno == 0 || error_errno(err, "cannot start a thread to copy");
        c->workers[i].started = ok;
    }
    if (!ok) atomic_store(&c->stop, true);
    for (size_t i = 0; i < c->worker_count; i++)
        if (c->workers[i].started) pthread_join(c->workers[i].thread, NULL);
    return ok;
}

static void *run_lead(void *arg)
{
    struct copy *c = arg;
    struct error err = {0};
    bool ok = open_snapshot(c, &err) && read_schemas(c, &err) && run_workers(c, &err);
    if (ok && atomic_load(&c->stop)) ok = error_set(&err, ERROR_RETRY, "stopping");
    finish(c, ok ? COPY_DONE : COPY_FAILED, ok ? NULL : &err);
    for (size_t i = 0; i < c->worker_count; i++) {
        pg_close(c->workers[i].pg);
        c->workers[i].pg = NULL;
    }
    return NULL;
}

bool copy_start(struct copy **out, const struct copy_plan *plan, struct error *err)
{
    struct copy *c = mem_alloc(sizeof *c);
    c->plan = *plan;
    c->tables = mem_alloc((plan->table_count + 1) * sizeof *c->tables);
    int64_t workers = plan->config->copy_workers;
    c->worker_count = workers < 1 ? 1 : workers > WORKERS_MAX ? WORKERS_MAX : (size_t)workers;
    queue_init(&c->ready, 2 * (size_t)plan->config->flush_bytes);
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    errno = pthread_create(&c->lead, NULL, run_lead, c);
    c->lead_started = errno == 0;
    if (c->lead_started) return true;
    error_errno(err, "cannot start a thread to copy");
    copy_close(c);
    *out = NULL;
    return false;
}

struct change_batch *copy_take(struct copy *c, int64_t timeout_us)
{
    return queue_pop(&c->ready, timeout_us);
}

enum copy_state copy_look(struct copy *c, struct error *err)
{
    pthread_mutex_lock(&c->lock);
    enum copy_state state = c->state;
    if (state == COPY_FAILED) *err = c->error;
    pthread_mutex_unlock(&c->lock);
    if (state == COPY_DONE && queue_count(&c->ready)) return COPY_RUNNING;
    return state;
}

uint64_t copy_lsn(const struct copy *c)
{
    return atomic_load(&c->lsn);
}

void copy_show(struct copy *c)
{
    int64_t rows = atomic_load(&c->rows), estimate = atomic_load(&c->rows_estimate);
    if (rows == 0) return; /* the lead may be showing what it waits for */
    size_t unit = atomic_load(&c->next_unit);
    const char *table = "";
    if (unit && c->unit_count)
        table =
            c->tables[c->units[unit <= c->unit_count ? unit - 1 : c->unit_count - 1].table]->schema.table;
    int64_t percent = estimate > rows ? rows * 100 / estimate : 99;
    stage_state(c->plan.status, "copying %.40s %" PRId64 " %%", table, percent);
}

void copy_close(struct copy *c)
{
    if (!c) return;
    atomic_store(&c->stop, true);
    if (c->lead_started) pthread_join(c->lead, NULL);
    queue_free(&c->ready, change_batch_free);
    pthread_mutex_destroy(&c->lock);
    for (size_t i = 0; i < c->plan.table_count; i++) {
        capture_table_free(c->tables[i]);
        mem_free(c->plan.tables[i]);
    }
    mem_free(c->tables);
    mem_free(c->plan.tables);
    mem_free(c->units);
    mem_free(c);
}
