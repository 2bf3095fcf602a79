/* Capture under test: its stage on a thread as the pipeline runs it, and a bronze that keeps all rows in
 * memory, checks the order of batches, and makes them "durable" at once, or when it is let. */
#ifndef MILLRACE_TESTS_CAPTURE_LAB_H
#define MILLRACE_TESTS_CAPTURE_LAB_H

#include "pg_lab.h"

#include "format/change.h"
#include "stages/capture/capture.h"

#include <pthread.h>

struct kept { /* one change, all texts owned */
    struct change c;
    char *table, *key, *old_key, *before, *after, *unchanged;
    uint64_t end_lsn; /* of its batch */
};

struct lab {
    struct config config;
    struct flow flow;
    struct pg *pg; /* for the test's own statements */
    pthread_t stage, bronze;
    _Atomic bool stage_stop, bronze_stop, hold; /* hold: nothing is taken from the queue */
    bool stage_runs;
    _Atomic int failures;
    struct error last_error;
    pthread_mutex_t lock; /* protects the rest */
    struct kept *rows;
    size_t count, cap, pending; /* pending: from here on rows of a partial transaction */
    bool open_transaction;
    size_t abandoned, partial_batches, heartbeats, batches;
    uint64_t last_end_lsn;
    char wrong[200]; /* the first breach of the queue's contract */
};

static inline char *lab_slice(struct slice s)
{
    return s.data ? mem_textn(s.data, s.len) : NULL;
}

static inline void lab_keep(struct lab *lab, const struct change *c, uint64_t end_lsn)
{
    MEM_GROW(lab->rows, lab->count, lab->cap);
    lab->rows[lab->count++] = (struct kept){
        .c = *c,
        .table = lab_slice(c->table),
        .key = lab_slice(c->key),
        .old_key = lab_slice(c->old_key),
        .before = lab_slice(c->before),
        .after = lab_slice(c->after),
        .unchanged = lab_slice(c->unchanged),
        .end_lsn = end_lsn,
    };
}

static inline void lab_take_table(struct lab *lab, const struct change_table *t, uint64_t end_lsn)
{
    struct buf head = {0}, whole = {0};
    buf_put_string(&head, slice_of(t->table));
    buf_put_slice(&whole, buf_slice(&head));
    buf_put_slice(&whole, buf_slice(&t->rows));
    struct slice rest = buf_slice(&whole);
    for (size_t i = 0; i < t->count; i++) {
        struct change c;
        struct error err;
        if (!change_decode(&rest, &c, &err)) abort();
        lab_keep(lab, &c, end_lsn);
        if (i + 1 == t->count) break;
        rest.data -= head.len; /* the next row's table goes over bytes that are done with */
        rest.len += head.len;
        memcpy(whole.data + (rest.data - whole.data), head.data, head.len);
    }
    if (rest.len) abort();
    buf_free(&head);
    buf_free(&whole);
}

static inline void lab_take(struct lab *lab, const struct change_batch *b)
{
    lab->batches++;
    if (lab->open_transaction && !b->continues) {
        lab->abandoned++;
        lab->count = lab->pending;
    }
    if (!lab->open_transaction && b->continues)
        snprintf(lab->wrong, sizeof lab->wrong, "continues nothing");
    if (!lab->open_transaction) lab->pending = lab->count;
    for (size_t i = 0; i < b->table_count; i++)
        lab_take_table(lab, &b->tables[i], b->end_lsn);
    lab->open_transaction = b->partial;
    lab->partial_batches += b->partial;
    lab->heartbeats += b->heartbeat;
    if (b->heartbeat && b->count) snprintf(lab->wrong, sizeof lab->wrong, "a heartbeat has rows");
    if (b->partial) return;
    if (b->end_lsn < lab->last_end_lsn) snprintf(lab->wrong, sizeof lab->wrong, "positions go back");
    lab->last_end_lsn = b->end_lsn;
    atomic_store(&lab->flow.durable_lsn, b->end_lsn);
    atomic_fetch_add(&lab->flow.bronze_version, 1);
    wake_signal(&lab->flow.capture_wake);
}

static inline void *lab_bronze(void *arg)
{
    struct lab *lab = arg;
    while (!lab->bronze_stop) {
        struct change_batch *b = lab->hold ? NULL : queue_pop(&lab->flow.changes, 20000);
        if (lab->hold) clock_sleep_us(1000);
        if (!b) continue;
        pthread_mutex_lock(&lab->lock);
        lab_take(lab, b);
        pthread_mutex_unlock(&lab->lock);
        change_batch_free(b);
    }
    return NULL;
}

static inline void lab_failed(struct lab *lab, const struct error *err)
{
    pthread_mutex_lock(&lab->lock);
    lab->last_error = *err;
    pthread_mutex_unlock(&lab->lock);
    atomic_fetch_add(&lab->failures, 1);
    if (getenv("LAB_VERBOSE")) fprintf(stderr, "stage: %s: %s\n", error_kind_name(err->kind), err->text);
}

static inline void *lab_stage(void *arg)
{
    struct lab *lab = arg;
    void *self = NULL;
    while (!lab->stage_stop) {
        struct error err = {0};
        enum progress progress;
        bool ok =
            self ? capture_ops.step(self, &progress, &err) : capture_ops.open(&lab->flow, &self, &err);
        if (ok) continue;
        if (self) capture_ops.close(self);
        self = NULL;
        lab_failed(lab, &err);
        if (err.kind != ERROR_RETRY) break;
        clock_sleep_us(50000);
    }
    if (self) capture_ops.close(self);
    return NULL;
}

static inline void lab_stage_start(struct lab *lab)
{
    lab->stage_stop = lab->flow.stopping = false;
    if (pthread_create(&lab->stage, NULL, lab_stage, lab)) abort();
    lab->stage_runs = true;
}

static inline void lab_stage_stop(struct lab *lab)
{
    if (!lab->stage_runs) return;
    lab->stage_stop = lab->flow.stopping = true;
    pthread_join(lab->stage, NULL);
    lab->stage_runs = false;
}

/* A database of that name, with a slot of that name; the stage is not started. */
static inline struct lab *lab_open(const char *name)
{
    struct lab *lab = mem_alloc(sizeof *lab);
    struct error err = {0};
    struct pg *pg = lab_connect("postgres");
    char *sql = mem_format("CREATE DATABASE %s", name);
    lab_sql(pg, sql);
    mem_free(sql);
    pg_close(pg);
    lab->pg = lab_connect(name);
    lab->config = (struct config){
        .source = lab_source(name),
        .slot = mem_text(name),
        .publication = mem_text(name),
        .tables = mem_text(""),
        .exclude_columns = mem_text(""),
        .hash_columns = mem_text(""),
        .hash_salt = mem_text("salt"),
        .copy_workers = 2,
        .status_ms = 200,
        .queue_bytes = 8 << 20,
        .flush_ms = 50,
        .flush_bytes = 1 << 20,
        .idle_commit_ms = 300,
    };
    lab->flow.config = &lab->config;
    queue_init(&lab->flow.changes, (size_t)lab->config.queue_bytes);
    queue_init(&lab->flow.resync_requests, 1 << 20);
    unit_ok(wake_init(&lab->flow.bronze_wake, &err) && wake_init(&lab->flow.capture_wake, &err));
    pthread_mutex_init(&lab->flow.check_lock, NULL);
    pthread_mutex_init(&lab->flow.status[STAGE_CAPTURE].lock, NULL);
    pthread_mutex_init(&lab->lock, NULL);
    capture_set_resume(&(struct capture_resume){0});
    if (pthread_create(&lab->bronze, NULL, lab_bronze, lab)) abort();
    return lab;
}

static inline void lab_forget_rows(struct lab *lab)
{
    pthread_mutex_lock(&lab->lock);
    for (size_t i = 0; i < lab->count; i++) {
        struct kept *k = &lab->rows[i];
        char *texts[] = {k->table, k->key, k->old_key, k->before, k->after, k->unchanged};
        for (size_t j = 0; j < 6; j++)
            mem_free(texts[j]);
    }
    lab->count = lab->pending = 0;
    pthread_mutex_unlock(&lab->lock);
}

static inline void lab_close(struct lab *lab)
{
    lab_stage_stop(lab);
    lab->bronze_stop = true;
    pthread_join(lab->bronze, NULL);
    assert_string_equal(lab->wrong, "");
    assert_int_equal(lab->abandoned, 0);
    char *drop = mem_format("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                            " WHERE slot_name = '%s' AND NOT active",
                            lab->config.slot);
    lab_sql(lab->pg, drop);
    mem_free(drop);
    pg_close(lab->pg);
    lab_forget_rows(lab);
    mem_free(lab->rows);
    queue_free(&lab->flow.changes, change_batch_free);
    queue_free(&lab->flow.resync_requests, mem_free);
    wake_free(&lab->flow.bronze_wake);
    wake_free(&lab->flow.capture_wake);
    char *texts[] = {
        lab->config.source,          lab->config.slot,         lab->config.publication, lab->config.tables,
        lab->config.exclude_columns, lab->config.hash_columns, lab->config.hash_salt};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free(texts[i]);
    mem_free(lab);
}

static inline void lab_set(char **option, const char *value)
{
    mem_free(*option);
    *option = mem_text(value);
}

/* How many rows with that op (0: any) and table (NULL: any) are durable. */
static inline size_t lab_count(struct lab *lab, int op, const char *table)
{
    size_t n = 0;
    pthread_mutex_lock(&lab->lock);
    size_t end = lab->open_transaction ? lab->pending : lab->count;
    for (size_t i = 0; i < end; i++) {
        const struct kept *k = &lab->rows[i];
        n += (!op || (int)k->c.op == op) && (!table || strcmp(k->table, table) == 0);
    }
    pthread_mutex_unlock(&lab->lock);
    return n;
}

/* The n-th (from 0) row with op and table, waiting for it. The row is stable: rows are only added. */
static inline struct kept lab_row(struct lab *lab, int op, const char *table, size_t n)
{
    lab_wait(lab_count(lab, op, table) > n);
    struct kept found = {0};
    pthread_mutex_lock(&lab->lock);
    for (size_t i = 0; i < lab->count; i++) {
        const struct kept *k = &lab->rows[i];
        if ((int)k->c.op != op || strcmp(k->table, table) != 0 || n-- > 0) continue;
        found = *k;
        break;
    }
    pthread_mutex_unlock(&lab->lock);
    return found;
}

static inline uint64_t lab_confirmed(struct lab *lab)
{
    char *sql = mem_format("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '%s'",
                           lab->config.slot);
    char *text = lab_value(lab->pg, sql);
    uint64_t lsn = 0;
    if (text && !lsn_parse(text, &lsn)) abort();
    mem_free(text);
    mem_free(sql);
    return lsn;
}

static inline uint64_t lab_wal(struct lab *lab)
{
    char *text = lab_value(lab->pg, "SELECT pg_current_wal_lsn()");
    uint64_t lsn = 0;
    if (!lsn_parse(text, &lsn)) abort();
    mem_free(text);
    return lsn;
}

/* Starts the stage and waits until the first copy is complete and the stream runs. */
static inline void lab_stream(struct lab *lab)
{
    lab_stage_start(lab);
    lab_wait(lab->flow.copy_complete || lab->failures);
    if (lab->failures) fail_msg("%s", lab->last_error.text);
}

static inline void kill_sender(struct lab *lab)
{
    char *sql = mem_format("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                           " WHERE slot_name = '%s' AND active_pid IS NOT NULL",
                           lab->config.slot);
    mem_free(lab_value(lab->pg, sql));
    mem_free(sql);
}

/* A thread that writes until it is told to stop. */
struct writer {
    struct pg *pg;
    _Atomic bool stop;
    size_t written;
};

#endif
