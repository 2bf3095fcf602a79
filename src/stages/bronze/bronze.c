/* Bronze: change batches in, Delta commits out.
 *
 *   queue --> gather (until flush_ms or flush_bytes) --> one file per table --> commit + txn(end LSN)
 *                     (a quarter of flush_ms when refine is hungry, twice that time while it is busy)
 *                                                                                 |
 *                                                durable_lsn, bronze_version <----+
 *
 * A batch that is `partial` belongs to a transaction larger than the budget: its files are written as
 * they come and wait in `files`; the commit happens at the transaction's end. The spill is the data.
 *
 * Invariants kept here: (1) durable_lsn moves only after the commit is durable; (2) a commit ends at a
 * transaction's end; nothing is taken from the queue while a failed flush waits to be tried again.
 * What it does not do: look into a row. Bronze knows nothing of the source's schema. */
#include "stages/bronze/bronze.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "engine/engine.h"
#include "format/change.h"
#include "lake/delta.h"

#include <stdio.h>

enum { UPKEEP_US = 5000000, WAIT_US = 500000, LOOK_US = 5000, COMPACT_FILES = 128 };
enum { KEPT_BYTES = 1 << 20 }; /* a larger buffer is not kept from flush to flush */

static struct metric rows_total = METRIC_COUNTER("millrace_bronze_rows_total", "Changes made durable in bronze");
static struct metric commits_total = METRIC_COUNTER("millrace_bronze_commits_total", "Commits of bronze");
static struct histogram flush_time = HISTOGRAM("millrace_bronze_flush_seconds", "Time to write and commit one flush");

/* Rows gathered for one table since the last file of that table. */
struct gathered {
    char *table;
    struct buf rows;
    size_t count;
};

struct bronze {
    struct flow *flow;
    struct stage_status *status;
    struct engine_conn *conn;
    struct delta_table *table;
    struct gathered *tables;
    size_t table_count, table_cap;
    struct delta_file *files; /* written, waiting for the commit */
    size_t file_count, file_cap;
    struct buf *kept;         /* the rows of each, for refine; empty: not kept */
    size_t kept_cap;
    size_t size_bytes, rows, transactions; /* since the last commit */
    uint64_t end_lsn;
    int64_t commit_us;
    bool open_transaction;    /* the last batch was partial */
    bool position_only;       /* a heartbeat moved end_lsn */
    struct change_offset *offsets; /* from Kafka: what the gathered rows come from */
    size_t offset_count, offset_cap;
    struct change_batch *next; /* taken from the queue, not yet gathered */
    int64_t last_flush_us, last_upkeep_us;
};

static void bronze_close(void *self);

/* Positions of the two streams do not compare: a lake is filled by one of them. */
static bool check_stream(const struct bronze *b, struct error *err)
{
    int64_t mark = delta_txn(b->table, BRONZE_STREAM_APP_ID);
    if (b->end_lsn == 0 || (mark > 0) == b->flow->kafka) return true;
    return error_set(err, ERROR_CONFIG, "this lake was filled with stream = %s; use another `home` for stream = %s",
                     mark > 0 ? "kafka" : "memory", b->flow->config->stream);
}

static bool bronze_open(struct flow *flow, void **self, struct error *err)
{
    struct bronze *b = mem_alloc(sizeof *b);
    b->flow = flow;
    b->status = &flow->status[STAGE_BRONZE];
    struct delta_options options = {
        .partition_column = "table",
        .append_only = true,
        .checkpoint_commits = flow->config->checkpoint_commits,
        .log_retention_s = flow->config->log_retention_s,
        .tombstone_retention_s = flow->config->tombstone_retention_s,
    };
    if (!engine_connect(&b->conn, NULL, err) ||
        !delta_open_or_create(&b->table, flow->lake, BRONZE_TABLE, change_columns(), &options, err) ||
        !delta_verify(b->table, err)) {
        bronze_close(b);
        return error_wrap(err, "bronze");
    }
    int64_t lsn = delta_txn(b->table, BRONZE_APP_ID);
    b->end_lsn = lsn < 0 ? 0 : (uint64_t)lsn;
    if (!check_stream(b, err)) {
        bronze_close(b);
        return error_wrap(err, "bronze");
    }
    if (!flow->kafka) atomic_store(&flow->durable_lsn, b->end_lsn);
    atomic_store(&flow->bronze_version, delta_version(b->table));
    stage_state(b->status, "ready");
    *self = b;
    return true;
}

static void forget_files(struct bronze *b)
{
    for (size_t i = 0; i < b->file_count; i++) {
        delta_file_free(&b->files[i]);
        buf_free(&b->kept[i]);
    }
    b->file_count = 0;
}

static void forget_offsets(struct bronze *b)
{
    for (size_t i = 0; i < b->offset_count; i++) mem_free(b->offsets[i].topic);
    b->offset_count = 0;
}

static void bronze_close(void *self)
{
    struct bronze *b = self;
    forget_files(b);
    for (size_t i = 0; i < b->table_count; i++) {
        buf_free(&b->tables[i].rows);
        mem_free(b->tables[i].table);
    }
    mem_free(b->tables);
    mem_free(b->files);
    mem_free(b->kept);
    forget_offsets(b);
    mem_free(b->offsets);
    change_batch_free(b->next);
    if (b->table) delta_close(b->table);
    if (b->conn) engine_disconnect(b->conn);
    mem_free(b);
}

static struct gathered *gathered_for(struct bronze *b, const char *table)
{
    for (size_t i = 0; i < b->table_count; i++)
        if (strcmp(b->tables[i].table, table) == 0) return &b->tables[i];
    MEM_GROW(b->tables, b->table_count, b->table_cap);
    struct gathered *g = &b->tables[b->table_count++];
    *g = (struct gathered){.table = mem_text(table)};
    return g;
}

/* Batches of a partition follow each other. */
static void gather_offset(struct bronze *b, const struct change_offset *from)
{
    struct change_offset *o = NULL;
    for (size_t i = 0; i < b->offset_count && !o; i++)
        if (b->offsets[i].partition == from->partition && strcmp(b->offsets[i].topic, from->topic) == 0)
            o = &b->offsets[i];
    if (!o) {
        MEM_GROW(b->offsets, b->offset_count, b->offset_cap);
        o = &b->offsets[b->offset_count++];
        *o = (struct change_offset){.topic = mem_text(from->topic), .partition = from->partition, .from = from->from};
    }
    o->to = from->to;
    o->previous_lsn = from->previous_lsn;
    o->event_lsn = from->event_lsn;
    o->copied_lsn = from->copied_lsn;
}

/* A part without its beginning, or a beginning inside another's parts, is a mistake of capture: what is
 * gathered cannot be told apart any more, so nothing of it is committed and the next start takes it anew. */
static bool gather(struct bronze *b, struct change_batch *batch, struct error *err)
{
    if (b->open_transaction != batch->continues)
        return error_set(err, ERROR_FATAL, "bronze: the parts of a large transaction are out of order");
    for (size_t i = 0; i < batch->table_count; i++) {
        struct gathered *g = gathered_for(b, batch->tables[i].table);
        buf_put_slice(&g->rows, buf_slice(&batch->tables[i].rows));
        g->count += batch->tables[i].count;
    }
    for (size_t i = 0; i < batch->offset_count; i++) gather_offset(b, &batch->offsets[i]);
    b->size_bytes += batch->size_bytes;
    b->rows += batch->count;
    if (b->rows) atomic_store(&b->flow->bronze_waiting, true);
    b->transactions += batch->transactions;
    b->open_transaction = batch->partial;
    if (!batch->partial) {
        b->end_lsn = batch->end_lsn;
        if (batch->commit_us) b->commit_us = batch->commit_us;
        b->position_only |= batch->heartbeat;
    }
    return true;
}

/* The rows of a file that is written: set aside for refine while there is room. */
static void keep_rows(struct bronze *b, struct gathered *g, struct buf *kept)
{
    *kept = (struct buf){0};
    if (!b->open_transaction && recent_has_room(&b->flow->recent, g->rows.cap)) {
        *kept = g->rows;
        g->rows = (struct buf){0};
    }
    if (g->rows.cap > KEPT_BYTES) buf_free(&g->rows);
    buf_clear(&g->rows);
}

static bool write_file(struct bronze *b, struct gathered *g, struct error *err)
{
    MEM_GROW(b->files, b->file_count, b->file_cap);
    MEM_GROW(b->kept, b->file_count, b->kept_cap);
    struct delta_file *file = &b->files[b->file_count];
    if (!delta_write_file(b->table, b->conn, buf_slice(&g->rows), g->count, g->table, file, err))
        return error_wrap(err, "bronze: %s", g->table);
    file->tags = mem_format("{\"" BRONZE_BYTES_TAG "\":\"%zu\"}", g->rows.len);
    keep_rows(b, g, &b->kept[b->file_count++]);
    return true;
}

static bool write_files(struct bronze *b, struct error *err)
{
    for (size_t i = 0; i < b->table_count; i++) {
        struct gathered *g = &b->tables[i];
        if (g->count == 0) continue;
        if (!buf_ok(&g->rows)) return error_set(err, ERROR_FATAL, "more than 2 GB of %s in one flush", g->table);
        if (!write_file(b, g, err)) return false;
        g->count = 0;
    }
    b->size_bytes = 0;
    failpoint("bronze.files");
    return true;
}

static void put_txn(struct delta_commit *c, const char *what, const struct change_offset *o, int64_t value)
{
    char *app = change_offset_app(what, o->topic, o->partition);
    delta_commit_txn(c, app, value);
    mem_free(app);
}

/* Where the partitions stand, and what tells a repeat, with the rows that brought them there. */
static void put_offsets(const struct bronze *b, struct delta_commit *c)
{
    if (b->flow->kafka) delta_commit_txn(c, BRONZE_STREAM_APP_ID, 1);
    for (size_t i = 0; i < b->offset_count; i++) {
        const struct change_offset *o = &b->offsets[i];
        put_txn(c, OFFSET_NEXT, o, o->to);
        put_txn(c, OFFSET_PREVIOUS_LSN, o, (int64_t)o->previous_lsn);
        put_txn(c, OFFSET_EVENT_LSN, o, (int64_t)o->event_lsn);
        if (o->copied_lsn > 0) put_txn(c, OFFSET_COPIED_LSN, o, o->copied_lsn);
    }
}

/* What is gathered continues what the lake holds, or somebody else has taken it meanwhile. */
static bool continues_offsets(const struct bronze *b, struct error *err)
{
    for (size_t i = 0; i < b->offset_count; i++) {
        const struct change_offset *o = &b->offsets[i];
        char *app = change_offset_app(OFFSET_NEXT, o->topic, o->partition);
        int64_t next = delta_txn(b->table, app);
        mem_free(app);
        if (next != o->from)
            return error_set(err, ERROR_FATAL,
                             "bronze: the lake holds topic %s, partition %d, up to offset %lld, not %lld: another process "
                             "writes this lake; stop one of them. Nothing of this one's is lost",
                             o->topic, (int)o->partition, (long long)next, (long long)o->from);
    }
    return true;
}

static bool commit(struct bronze *b, struct error *err)
{
    if (!continues_offsets(b, err)) return false;
    struct delta_commit *c = delta_commit_begin(b->table, "STREAMING UPDATE");
    for (size_t i = 0; i < b->file_count; i++) delta_commit_add(c, &b->files[i], true);
    delta_commit_txn(c, BRONZE_APP_ID, (int64_t)b->end_lsn);
    put_offsets(b, c);
    char about[160];
    snprintf(about, sizeof about, "{\"end_lsn\":%llu,\"commit_us\":%lld,\"rows\":%zu,\"transactions\":%zu}",
             (unsigned long long)b->end_lsn, (long long)b->commit_us, b->rows, b->transactions);
    delta_commit_user_metadata(c, about);
    int64_t version;
    if (!delta_commit_finish(c, &version, err)) return error_wrap(err, "bronze");
    failpoint("bronze.committed");
    for (size_t i = 0; i < b->file_count; i++)
        if (b->kept[i].len) recent_put(&b->flow->recent, version, b->files[i].path, &b->kept[i]);
    if (!b->flow->kafka) atomic_store(&b->flow->durable_lsn, b->end_lsn);
    atomic_store(&b->flow->bronze_version, version);
    forget_offsets(b);
    atomic_store(&b->flow->bronze_waiting, false);
    int hungry = REFINE_HUNGRY; /* no longer */
    atomic_compare_exchange_strong(&b->flow->refine_state, &hungry, REFINE_BUSY);
    wake_signal(&b->flow->capture_wake);
    wake_signal(&b->flow->refine_wake);
    forget_files(b);
    return true;
}

/* Writes and commits what is gathered. A failure leaves everything as it was: the next step tries again. */
static bool flush(struct bronze *b, struct error *err)
{
    int64_t start_us = clock_mono_us();
    size_t rows = b->rows, transactions = b->transactions;
    if (!write_files(b, err) || !commit(b, err)) return false;
    b->last_flush_us = start_us;
    b->rows = b->transactions = 0;
    b->position_only = false;
    int64_t took_us = clock_mono_us() - start_us;
    histogram_record(&flush_time, took_us);
    metric_add(&rows_total, (int64_t)rows);
    metric_add(&commits_total, 1);
    atomic_fetch_add(&b->status->rows, (int64_t)rows);
    atomic_fetch_add(&b->status->batches, 1);
    atomic_fetch_add(&b->status->busy_us, took_us);
    atomic_store(&b->status->last_commit_us, clock_wall_us());
    log_debug("bronze", "committed", "version=%lld rows=%zu transactions=%zu us=%lld",
              (long long)atomic_load(&b->flow->bronze_version), rows, transactions, (long long)took_us);
    return true;
}

static bool has_work(const struct bronze *b)
{
    return b->rows > 0 || b->position_only;
}

/* The next batch, waiting until `until_us` at most; it stays in b->next until gathered. */
static struct change_batch *next_batch(struct bronze *b, int64_t until_us)
{
    if (!b->next) {
        int64_t left = until_us - clock_mono_us();
        b->next = queue_pop(&b->flow->changes, left > 0 ? left : 0);
    }
    return b->next;
}

/* check wants a commit to end exactly at a consistent point: while it holds, nothing is committed; once
 * the point is known, the first batch at or past it closes the commit before it. */
struct cut {
    bool hold;
    uint64_t lsn; /* 0: none */
};

static struct cut read_cut(struct bronze *b)
{
    pthread_mutex_lock(&b->flow->check_lock);
    struct check_request *r = &b->flow->check;
    struct cut cut = {.hold = r->hold && !b->open_transaction,
                      .lsn = r->cut_version < 0 ? r->cut_lsn : 0};
    if (r->held != cut.hold) {
        r->held = cut.hold;
        pthread_cond_broadcast(&b->flow->check_changed);
    }
    pthread_mutex_unlock(&b->flow->check_lock);
    return cut;
}

static bool passes_cut(const struct change_batch *batch, struct cut cut)
{
    if (!cut.lsn) return false;
    if (cut.lsn == UINT64_MAX) return batch->cut_lsn != 0;
    return batch->heartbeat ? batch->end_lsn >= cut.lsn : batch->first_lsn >= cut.lsn;
}

static bool make_cut(struct bronze *b, struct error *err)
{
    if (has_work(b) && !flush(b, err)) return false;
    pthread_mutex_lock(&b->flow->check_lock);
    b->flow->check.cut_version = atomic_load(&b->flow->bronze_version);
    pthread_cond_broadcast(&b->flow->check_changed);
    pthread_mutex_unlock(&b->flow->check_lock);
    wake_signal(&b->flow->refine_wake);
    return true;
}

static bool upkeep(struct bronze *b, struct error *err)
{
    b->last_upkeep_us = clock_mono_us();
    if (b->open_transaction) return true; /* its files are not in the log yet */
    size_t merged = 0;
    /* and the version before, from whose files silver's state can be made again */
    int64_t keep = POSITION_VERSION(atomic_load(&b->flow->needed_position)) - 1;
    if (keep < 0) keep = 0;
    if (!delta_compact_append_only(b->table, b->conn, COMPACT_FILES, b->flow->config->compact_rows_max, &merged,
                                   err) ||
        !delta_upkeep(b->table, b->conn, keep, err))
        return error_wrap(err, "bronze upkeep");
    if (merged) {
        atomic_store(&b->flow->bronze_version, delta_version(b->table));
        log_info("bronze", "compacted", "files=%zu version=%lld", merged, (long long)delta_version(b->table));
    }
    return true;
}

/* When what is gathered is to be committed. */
static int64_t flush_due_us(const struct bronze *b)
{
    int64_t wait_us = b->flow->config->flush_ms * 1000;
    int state = atomic_load(&b->flow->refine_state);
    if (state == REFINE_HUNGRY) wait_us /= 4;
    /* much is waiting: a backlog, whose end should not lie here */
    bool much = b->size_bytes > (size_t)b->flow->config->flush_bytes / 16;
    if (state == REFINE_BUSY && !much) wait_us *= 2;
    return b->last_flush_us + wait_us;
}

static bool bronze_step(void *self, enum progress *out, struct error *err)
{
    struct bronze *b = self;
    *out = PROGRESS_IDLE;
    int64_t now_us = clock_mono_us();
    struct cut cut = read_cut(b);
    if (cut.hold) {
        wake_wait(&b->flow->bronze_wake, 10000);
        return true;
    }
    int64_t until_us = now_us + (has_work(b) ? LOOK_US : WAIT_US);
    if (has_work(b) && flush_due_us(b) < until_us) until_us = flush_due_us(b);
    struct change_batch *batch = next_batch(b, until_us);
    if (batch && passes_cut(batch, cut)) return make_cut(b, err);
    if (batch) {
        *out = PROGRESS_SOME;
        if (!gather(b, batch, err)) return false;
        change_batch_free(batch);
        b->next = NULL;
    }
    if (has_work(b)) *out = PROGRESS_SOME;
    size_t budget = (size_t)b->flow->config->flush_bytes;
    if (b->open_transaction) return b->size_bytes < budget || write_files(b, err);
    bool drained = queue_count(&b->flow->changes) == 0;
    bool due = b->size_bytes >= budget || b->file_count > 0 || (drained && clock_mono_us() >= flush_due_us(b));
    if (has_work(b) && due) return flush(b, err);
    if (!batch && !has_work(b) && now_us - b->last_upkeep_us > UPKEEP_US) return upkeep(b, err);
    if (now_us - b->last_upkeep_us > 4 * UPKEEP_US) return upkeep(b, err);
    return true;
}

const struct stage_ops bronze_ops = {"bronze", bronze_open, bronze_step, bronze_close};
