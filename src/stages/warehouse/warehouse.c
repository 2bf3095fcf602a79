/* The warehouse stage's steps (warehouse.h says what it is for).
 *
 *   open: tables made, position row read --> meet (meet.c) --> step: gather waiting batches up to
 *   GATHER_BYTES, insert in order, write the position row, remove them from the outbox
 *
 * Invariants
 *   1. The position row is written after the rows; a step that is killed before it is done again with the
 *      same rows, keys and versions, which changes nothing.
 *   2. Only whole batches are loaded, in order, and all tables of one before the row says so.
 *   3. Batches leave the outbox only after the row that names them. */
#include "stages/warehouse/warehouse.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "stages/outbox.h"
#include "stages/warehouse/stage_int.h"

enum { WAIT_US = 500000, GATHER_BATCHES = 256, COMMITS_MEASURED = GATHER_BATCHES };
enum { GATHER_BYTES = 16 << 20, BLOCK_BYTES = 64 << 20 };

static struct metric batches_total =
    METRIC_COUNTER("millrace_warehouse_batches_total", "Batches loaded into the warehouse");
static struct metric rows_total =
    METRIC_COUNTER("millrace_warehouse_rows_total", "Rows loaded into the warehouse");
static struct histogram load_time =
    HISTOGRAM("millrace_warehouse_seconds", "Time of one load into the warehouse");
static struct histogram visible_time =
    HISTOGRAM("millrace_commit_to_visible_seconds", "From the source's commit to the warehouse");

void warehouse_show(struct warehouse *w)
{
    struct flow *f = w->flow;
    atomic_store(&f->warehouse_lsn, w->at.end_lsn);
    atomic_store(&f->warehouse_commit_us, w->at.commit_us);
    atomic_store(&f->warehouse_position, w->at.position < 0 ? 0 : w->at.position);
}

/* Whether the engine has put a part aside that it could not read: a write that failed unseen, or a power cut.
 * The position row's own table does not count: an older row makes the stage meet anew. */
static bool look_for_damage(struct warehouse *w, struct error *err)
{
    static const char sql[] = "SELECT arrayStringConcat(arraySort(groupUniqArray(table)), ', ') FROM"
                              " system.detached_parts WHERE database = currentDatabase()"
                              " AND reason LIKE 'broken%' AND table NOT LIKE 'millrace%'";
    struct buf tables = {0};
    if (!w->target.ops->ask(w->target.self, sql, &tables, err)) return error_wrap(err, "warehouse: damaged parts");
    char *names = buf_take(&tables);
    names[strcspn(names, "\n")] = '\0';
    w->must_reload = *names != '\0';
    if (w->must_reload) log_warn("warehouse", "damaged parts, loading all tables anew", "tables=%s", names);
    mem_free(names);
    return true;
}

/* Tables of another definition are dropped: their rows come again from gold. */
static bool open_tables(struct warehouse *w, struct error *err)
{
    bool found;
    if (!position_read(&w->target, &w->at, &found, err)) return false;
    uint64_t sequence = w->at.sequence;
    if (!found && !tables_drop(&w->target, err)) return false;
    if (!tables_create(&w->target, err)) return false;
    if (found) return true;
    position_free(&w->at);
    w->at.sequence = sequence;
    return position_write(&w->target, &w->at, err);
}

static void warehouse_close(void *self)
{
    struct warehouse *w = self;
    load_free(&w->load);
    tables_free(&w->tables);
    position_free(&w->at);
    target_close(&w->target);
    mem_free(w);
}

static bool warehouse_open(struct flow *flow, void **self, struct error *err)
{
    struct warehouse *w = mem_alloc(sizeof *w);
    w->flow = flow;
    w->status = &flow->status[STAGE_WAREHOUSE];
    stage_state(w->status, "opening the warehouse");
    if (!target_open_engine(&w->target, flow->lake, err) || !tables_load(&w->tables, err) ||
        !open_tables(w, err) || !look_for_damage(w, err)) {
        warehouse_close(w);
        return false;
    }
    load_init(&w->load, &w->target, &w->tables, BLOCK_BYTES);
    warehouse_show(w);
    stage_state(w->status, "ready");
    *self = w;
    return true;
}

/* Batches that go in together, and when their newest changes were committed. */
struct gathered {
    struct outbox_batch last;
    int64_t commits_us[COMMITS_MEASURED];
    size_t count;
};

static bool take_block(void *arg, const char *table, int64_t version, struct slice block, struct error *err)
{
    return load_add(arg, table, version, block, err);
}

static bool gather(struct warehouse *w, struct gathered *g, struct error *err)
{
    *g = (struct gathered){.last.position = w->at.position};
    while (g->count < GATHER_BATCHES && w->load.bytes < GATHER_BYTES) {
        struct outbox_batch next = {0};
        bool found;
        if (!outbox_next(w->flow->state, g->last.position, &next, &found, err)) return false;
        if (!found) return true;
        if (!outbox_blocks(w->flow->state, next.position, take_block, &w->load, err)) {
            outbox_batch_free(&next);
            return false;
        }
        g->commits_us[g->count++] = next.commit_us;
        outbox_batch_free(&g->last);
        g->last = next;
    }
    return true;
}

static bool record(struct warehouse *w, struct gathered *g, struct error *err)
{
    struct warehouse_position next = {.sequence = w->at.sequence,
                                      .position = g->last.position,
                                      .end_lsn = g->last.end_lsn,
                                      .commit_us = g->last.commit_us,
                                      .versions = mem_text(g->last.versions)};
    if (!position_write(&w->target, &next, err)) {
        position_free(&next);
        return false;
    }
    position_free(&w->at);
    w->at = next;
    warehouse_show(w);
    return outbox_remove(w->flow->state, w->at.position, err);
}

static void measure(struct warehouse *w, const struct gathered *g, size_t rows, int64_t start_us)
{
    int64_t now_us = clock_wall_us(), took_us = clock_mono_us() - start_us;
    for (size_t i = 0; i < g->count; i++)
        if (g->commits_us[i] > 0 && now_us > g->commits_us[i])
            histogram_record(&visible_time, now_us - g->commits_us[i]);
    histogram_record(&load_time, took_us);
    metric_add(&batches_total, (int64_t)g->count);
    metric_add(&rows_total, (int64_t)rows);
    atomic_fetch_add(&w->status->rows, (int64_t)rows);
    atomic_fetch_add(&w->status->batches, (int64_t)g->count);
    atomic_fetch_add(&w->status->busy_us, took_us);
    atomic_store(&w->status->last_commit_us, now_us);
    atomic_store(&w->status->lag_us, now_us - w->at.commit_us);
    log_debug("warehouse", "loaded", "position=%lld batches=%zu rows=%zu us=%lld",
              (long long)w->at.position, g->count, rows, (long long)took_us);
}

/* Loads what is gathered; what fails is gathered again. */
static bool load(struct warehouse *w, struct gathered *g, struct error *err)
{
    int64_t start_us = clock_mono_us();
    size_t rows = w->load.rows;
    stage_state(w->status, "loading");
    if (!load_flush(&w->load, err)) return false;
    failpoint("warehouse.rows");
    if (!record(w, g, err)) return false;
    measure(w, g, rows, start_us);
    return true;
}

/* A block that the tables refuse (another program wrote it) must not stop the warehouse for good. */
static bool recover(struct warehouse *w, bool ok, enum progress *out, struct error *err)
{
    if (ok) return true;
    struct error ignored = {0};
    if (!load_cancel(&w->load, &ignored)) w->must_reload = true;
    if (err->kind != ERROR_DATA) return false;
    log_error("warehouse", "a block was refused, loading all tables anew", err);
    w->must_reload = true;
    w->met = false;
    *out = PROGRESS_SOME;
    return true;
}

static bool take_batches(struct warehouse *w, enum progress *out, struct error *err)
{
    struct gathered g;
    bool ok = gather(w, &g, err);
    if (ok && g.count) {
        *out = PROGRESS_SOME;
        ok = load(w, &g, err);
    }
    outbox_batch_free(&g.last);
    return recover(w, ok, out, err);
}

static bool warehouse_step(void *self, enum progress *out, struct error *err)
{
    struct warehouse *w = self;
    *out = PROGRESS_IDLE;
    if (!w->met && !warehouse_meet(w, &w->met, err)) return false;
    pthread_mutex_lock(&w->flow->warehouse_lock);
    bool taken = !w->met || take_batches(w, out, err);
    pthread_mutex_unlock(&w->flow->warehouse_lock);
    if (!taken) return false;
    if (*out == PROGRESS_IDLE) {
        stage_state(w->status, w->met ? "up to date" : "waiting for the first batch");
        wake_wait(&w->flow->warehouse_wake, WAIT_US);
    }
    return true;
}

const struct stage_ops warehouse_ops = {"warehouse", warehouse_open, warehouse_step, warehouse_close};
