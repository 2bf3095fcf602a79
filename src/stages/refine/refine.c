/* The refine stage: bronze's commits -> silver -> gold -> the row in `batches` -> the outbox is whole.
 *
 *   position (from `batches`)
 *      |  range_plan: up to refine_bytes, or exactly to where a killed run's tables already stand
 *      v
 *   silver_apply --> gold_apply --> batches row + txn(position) --> outbox_complete --> clear marks
 *
 * Invariants: gold never reads ahead of its input; `batches` names versions that all exist; the outbox is
 * whole only after `batches` says so; marks are cleared last, so that a crash before that only means that
 * some groups are computed again. A range that ends inside a version (a large transaction in slices), or is
 * followed by much more, moves silver alone.
 *
 * What changes silver between two ranges (a replay of quarantine) is a batch of its own: it ends at the same
 * place in bronze, and its position counts on from that in the bits of the slice, where no batch ends else. So
 * each position names one set of versions. Silver's own positions know nothing of it. A run that is killed
 * before such a batch has its row left marks for gold and nothing to do again: the next run makes the batch. */
#include "stages/refine/refine.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "lake/views.h"
#include "stages/outbox.h"
#include "stages/refine/base.h"
#include "stages/refine/gold/gold.h"
#include "stages/refine/range.h"
#include "stages/refine/silver/silver.h"
#include "stages/refine/upkeep.h"

#include <stdio.h>

enum { WAIT_US = 500000, BRONZE_US = 60000, RANGE_ROWS = 100000, SLICE_BITS = 0xFFFF };
enum { DEFER_LEAST = 5000, DEFER_MOST = 200000 };

static struct metric ranges_total = METRIC_COUNTER("millrace_refine_batches_total", "Ranges refined to gold");
static struct metric rows_total = METRIC_COUNTER("millrace_refine_rows_total", "Changes refined into silver");
static struct histogram range_time = HISTOGRAM("millrace_refine_seconds", "Time to bring one range to gold");
static struct histogram silver_time = HISTOGRAM("millrace_silver_seconds", "Time of silver in one range");
static struct histogram gold_time = HISTOGRAM("millrace_gold_seconds", "Time of gold in one range");

struct refine {
    struct flow *flow;
    struct stage_status *status;
    struct engine_conn *conn;
    struct delta_table *bronze, *batches;
    struct silver *silver;
    struct gold *gold;
    struct base *base;        /* under way; NULL: none */
    int64_t position;         /* of the last batch: silver, gold and `batches` are complete below */
    int64_t completed;        /* the outbox is whole below: behind position only after a failure in between */
    int64_t again_to;         /* where the last range ends that failed, or was cut off: it is taken again as it was */
    int64_t silver_position;  /* silver is complete below; further than position while gold waits for more */
    int64_t deferred_rows;    /* of whole versions that gold waits for */
    uint64_t end_lsn;
    int64_t commit_us;
    struct upkeep upkeep;
    bool gold_started;
    bool unrecorded;          /* silver has changed at its position, `batches` does not say so yet */
    uint64_t shape;           /* of silver's tables when the views were last made */
    _Atomic bool settled;
};

const struct columns *batches_columns(void)
{
    static struct column items[] = {
        {.name = "position", .type = COLUMN_LONG},      {.name = "bronze_version", .type = COLUMN_LONG},
        {.name = "end_lsn", .type = COLUMN_LONG},       {.name = "commit_at", .type = COLUMN_TIMESTAMP},
        {.name = "completed_at", .type = COLUMN_TIMESTAMP}, {.name = "versions", .type = COLUMN_STRING},
    };
    static const struct columns columns = {.items = items, .count = sizeof items / sizeof *items};
    return &columns;
}

/* Where the last batch ends in bronze. */
static int64_t bronze_position(const struct refine *r)
{
    return r->position & ~(int64_t)SLICE_BITS;
}

static struct keyed *find_silver(void *arg, const char *table)
{
    const struct refine *r = arg;
    return silver_table(r->silver, table);
}

static size_t index_columns(void *arg, const char *table, const char **names, size_t max)
{
    const struct refine *r = arg;
    return gold_index_columns(r->gold, table, names, max);
}

static bool open_tables(struct refine *r, struct error *err)
{
    const struct config *config = r->flow->config;
    struct delta_options options = {.append_only = true,
                                    .checkpoint_commits = config->checkpoint_commits,
                                    .log_retention_s = config->log_retention_s,
                                    .tombstone_retention_s = config->tombstone_retention_s};
    if (!delta_open(&r->bronze, r->flow->lake, BRONZE_TABLE, err)) return false;
    return delta_open_or_create(&r->batches, r->flow->lake, BATCHES_TABLE, batches_columns(), &options, err) &&
           delta_verify(r->batches, err);
}

/* The last row of `batches`, for its LSN and commit time. */
static bool read_last_batch(struct refine *r, struct error *err)
{
    int64_t position = delta_txn(r->batches, REFINE_APP_ID);
    r->position = position < 0 ? 0 : position;
    if (position < 0) return true;
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT end_lsn, toUnixTimestamp64Micro(commit_at) FROM ");
    delta_put_source(r->batches, &sql);
    buf_printf(&sql, " WHERE position = %lld LIMIT 1", (long long)position);
    struct engine_result row;
    bool ok = engine_query(r->conn, buf_text(&sql), "TSV", NULL, 0, &row, err);
    buf_free(&sql);
    if (!ok) return false;
    char *text = mem_textn(row.data.data, row.data.len);
    unsigned long long lsn = 0;
    long long commit_us = 0;
    if (sscanf(text, "%llu\t%lld", &lsn, &commit_us) == 2) {
        r->end_lsn = lsn;
        r->commit_us = commit_us;
    }
    mem_free(text);
    engine_result_free(&row);
    return true;
}

static bool complete_outbox(struct refine *r, struct error *err)
{
    struct buf versions = {0};
    gold_versions(r->gold, &versions);
    struct outbox_batch batch = {.position = r->position,
                                 .end_lsn = r->end_lsn,
                                 .commit_us = r->commit_us,
                                 .versions = buf_take(&versions)};
    bool ok = outbox_complete(r->flow->state, &batch, err);
    outbox_batch_free(&batch);
    if (!ok) return false;
    r->completed = r->position;
    atomic_store(&r->flow->refined_position, r->position);
    wake_signal(&r->flow->warehouse_wake);
    return true;
}

static void refine_close(void *self);

static bool open_parts(struct refine *r, struct error *err)
{
    struct silver_hooks hooks = {.index_columns = index_columns, .applied = gold_mark_hook, .arg = r};
    return engine_connect(&r->conn, NULL, err) && open_tables(r, err) && read_last_batch(r, err) &&
           gold_open(&r->gold, r->flow, r->conn, find_silver, r, err) &&
           silver_open(&r->silver, r->flow, r->conn, &hooks, err);
}

/* People's SQL sees the lake's tables by name; new tables and new columns show at once. The views lie in the
 * warehouse's folder: who removed that one finds them again at the next start. */
static void show_views(struct refine *r)
{
    uint64_t shape = silver_shape(r->silver) + 1;
    struct error err;
    if (shape == r->shape) return;
    if (!lake_views(r->conn, r->flow->lake, &err))
        log_error("refine", "a table has no view", &err); /* its data is there all the same */
    r->shape = shape;
}

/* Bronze keeps its log from here. */
static void publish_needed(struct refine *r)
{
    int64_t needed = r->silver_position < r->position ? r->silver_position : r->position;
    int64_t waiting = silver_position_waiting(r->silver);
    if (waiting >= 0 && waiting < needed) needed = waiting;
    atomic_store(&r->flow->needed_position, needed);
}

/* A run that was killed while it applied a range to gold left blocks under that range's end. */
static bool find_cut_off(struct refine *r, struct error *err)
{
    int64_t newest;
    if (!outbox_newest(r->flow->state, &newest, err)) return false;
    r->again_to = POSITION_WHOLE(newest);
    return true;
}

static bool refine_open(struct flow *flow, void **self, struct error *err)
{
    struct refine *r = mem_alloc(sizeof *r);
    r->flow = flow;
    r->status = &flow->status[STAGE_REFINE];
    stage_state(r->status, "opening silver and gold");
    if (!open_parts(r, err)) {
        refine_close(r);
        return error_wrap(err, "refine");
    }
    int64_t least = silver_position_least(r->silver);
    r->silver_position = least >= 0 && least < bronze_position(r) ? least : bronze_position(r);
    silver_begin_at(r->silver, r->silver_position);
    publish_needed(r);
    if (!find_cut_off(r, err) || !gold_marks_left(r->gold, &r->unrecorded, err)) {
        refine_close(r);
        return error_wrap(err, "refine");
    }
    /* a run killed between `batches` and the outbox left the batch without its mark of completeness */
    if (r->position > 0 && !complete_outbox(r, err)) {
        refine_close(r);
        return error_wrap(err, "refine");
    }
    if (r->position > 0) show_views(r);
    stage_state(r->status, "ready");
    atomic_store(&flow->refine, r);
    *self = r;
    return true;
}

bool refine_hold(struct flow *flow, struct silver **silver, struct gold **gold)
{
    pthread_mutex_lock(&flow->check_lock);
    const struct refine *r = atomic_load(&flow->refine);
    if (r) {
        flow->refine_readers++;
        *silver = r->silver;
        *gold = r->gold;
    }
    pthread_mutex_unlock(&flow->check_lock);
    return r;
}

void refine_release(struct flow *flow)
{
    pthread_mutex_lock(&flow->check_lock);
    flow->refine_readers--;
    pthread_cond_broadcast(&flow->check_changed);
    pthread_mutex_unlock(&flow->check_lock);
}

static void let_readers_go(struct flow *flow)
{
    pthread_mutex_lock(&flow->check_lock);
    atomic_store(&flow->refine, NULL);
    while (flow->refine_readers) pthread_cond_wait(&flow->check_changed, &flow->check_lock);
    pthread_mutex_unlock(&flow->check_lock);
}

static void refine_close(void *self)
{
    struct refine *r = self;
    let_readers_go(r->flow);
    atomic_store(&r->flow->refine_state, REFINE_ABSENT);
    base_close(r->base);
    if (r->silver) silver_close(r->silver);
    if (r->gold) gold_close(r->gold);
    if (r->bronze) delta_close(r->bronze);
    if (r->batches) delta_close(r->batches);
    if (r->conn) engine_disconnect(r->conn);
    mem_free(r);
}

bool refine_settled(const struct flow *flow)
{
    struct refine *r = atomic_load(&flow->refine);
    return r && atomic_load(&r->settled);
}

/* A consistent point that check waits for bounds the range: refine must stop exactly there once. */
static int64_t last_version(struct refine *r)
{
    int64_t last = atomic_load(&r->flow->bronze_version);
    pthread_mutex_lock(&r->flow->check_lock);
    const struct check_request *check = &r->flow->check;
    if (check->cut_version >= 0 && !check->snapshot && check->cut_version < last &&
        POSITION_AFTER(check->cut_version) >= r->silver_position)
        last = check->cut_version;
    pthread_mutex_unlock(&r->flow->check_lock);
    return last;
}

/* In a backlog gold follows several ranges at once: a pass over a model costs the same for all of them. */
static bool may_defer(const struct refine *r, const struct range *range, const struct range_limits *limits)
{
    return !range->sliced && !limits->end && range->version < limits->last_version && range->rows >= DEFER_LEAST &&
           r->deferred_rows + range->rows <= DEFER_MOST;
}

static bool plan(struct refine *r, struct range *range, struct error *err)
{
    /* ranges that are done again end where they ended: where a table stands, at the last batch, then where
     * silver stands, or gold's blocks in the outbox, which wait for the batch that they were made for */
    int64_t batch = bronze_position(r);
    int64_t reached = r->silver_position < batch ? batch : silver_position_most(r->silver);
    if (r->silver_position >= batch && reached < r->again_to) reached = r->again_to;
    int64_t next = silver_position_next(r->silver, r->silver_position);
    struct range_limits limits = {
        .size_bytes = r->flow->config->refine_bytes,
        .rows = RANGE_ROWS,
        .last_version = last_version(r),
        .end = reached <= r->silver_position          ? 0
               : next >= 0 && next < reached ? next
                                             : reached,
    };
    if (!delta_refresh(r->bronze, err)) return error_wrap(err, "refine");
    if (!range_plan(r->bronze, r->silver_position, &limits, range, err)) return false;
    /* what a killed run had taken may be far more than a range: it comes in pieces, as it came then, and silver
     * passes over what it has; between them is no consistent cut, for some table stands further */
    if (range->to < reached && r->silver_position >= batch) range->sliced = true;
    range->deferred = may_defer(r, range, &limits);
    return true;
}

static bool write_batches_row(struct refine *r, const struct range *range, struct error *err)
{
    struct buf row = {0}, versions = {0}, gold = {0};
    buf_put_text(&versions, "{\"silver\":");
    silver_versions(r->silver, &versions);
    buf_put_text(&versions, ",\"gold\":");
    gold_versions(r->gold, &gold);
    buf_put_slice(&versions, buf_slice(&gold));
    buf_put_char(&versions, '}');
    buf_put_u64(&row, (uint64_t)range->to);
    buf_put_u64(&row, (uint64_t)range->version);
    buf_put_u64(&row, r->end_lsn);
    buf_put_u64(&row, (uint64_t)r->commit_us);
    buf_put_u64(&row, (uint64_t)clock_wall_us());
    buf_put_string(&row, buf_slice(&versions));
    struct delta_file file = {0};
    bool ok = delta_write_file(r->batches, r->conn, buf_slice(&row), 1, NULL, &file, err);
    if (ok) {
        struct delta_commit *c = delta_commit_begin(r->batches, "STREAMING UPDATE");
        delta_commit_add(c, &file, true);
        delta_commit_txn(c, REFINE_APP_ID, range->to);
        int64_t version;
        ok = delta_commit_finish(c, &version, err);
        delta_file_free(&file);
    }
    buf_free(&row);
    buf_free(&versions);
    buf_free(&gold);
    return ok || error_wrap(err, "refine: batches");
}

static void give_snapshot(struct refine *r)
{
    pthread_mutex_lock(&r->flow->check_lock);
    struct check_request *check = &r->flow->check;
    bool wanted = check->cut_version >= 0 && !check->snapshot;
    if (wanted && !r->unrecorded && r->position >= POSITION_AFTER(check->cut_version)) {
        check->snapshot = state_snapshot_take(r->flow->state);
        check->position = r->position;
        pthread_cond_broadcast(&r->flow->check_changed);
    }
    pthread_mutex_unlock(&r->flow->check_lock);
}

/* Gold starts when the first copy is complete in silver; a copy beside the stream does not stop it later. */
static bool gold_may_start(struct refine *r)
{
    if (r->gold_started) return true;
    for (size_t i = 0; i < gold_model_count(r->gold) && !r->gold_started; i++)
        r->gold_started = keyed_position(gold_model_table(r->gold, i)) >= 0;
    bool whole = !r->flow->kafka || atomic_load(&r->flow->copy_complete);
    if (!r->gold_started)
        r->gold_started = whole && silver_position_most(r->silver) > 0 && !silver_copying(r->silver);
    return r->gold_started;
}

static bool apply_gold(struct refine *r, int64_t position, struct error *err)
{
    if (!gold_may_start(r)) return true;
    stage_state(r->status, gold_needs_rebuild(r->gold) ? "rebuilding gold" : "refining");
    return gold_needs_rebuild(r->gold) ? gold_rebuild(r->gold, position, err) : gold_apply(r->gold, position, err);
}

/* Gold, `batches`, outbox, marks: the end of a range that ends a version. */
static bool finish_range(struct refine *r, const struct range *range, struct error *err)
{
    int64_t start_us = clock_mono_us();
    if (!apply_gold(r, range->to, err)) return false;
    histogram_record(&gold_time, clock_mono_us() - start_us);
    atomic_store(&r->flow->refine_state, REFINE_HUNGRY); /* what bronze commits now is in the next range */
    failpoint("refine.batches");
    if (!write_batches_row(r, range, err)) return false;
    r->position = range->to;
    r->unrecorded = false;
    /* views first: who waits for this batch to show finds its new columns */
    show_views(r);
    if (!complete_outbox(r, err) || !gold_clear_marks(r->gold, err)) return false;
    give_snapshot(r);
    return true;
}

static bool take_range(struct refine *r, struct range *range, struct error *err)
{
    int64_t start_us = clock_mono_us();
    struct range_rows rows;
    if (!range_read(r->bronze, &r->flow->recent, r->conn, range, &rows, err)) return false;
    bool ok = silver_apply(r->silver, rows.data, range->to, err);
    range_rows_free(&rows);
    if (!ok) return false;
    failpoint("refine.silver");
    /* `batches` has it already: only the state was behind, or a table that was left behind */
    bool known = range->to <= bronze_position(r);
    if (!known) histogram_record(&silver_time, clock_mono_us() - start_us);
    /* what fails from here on is planned again as this range, not as a longer one: the outbox has its blocks
     * under this position */
    if (!known && range->end_lsn) r->end_lsn = range->end_lsn;
    if (!known && range->commit_us) r->commit_us = range->commit_us;
    bool wait = range->sliced || range->deferred;
    if (!known && !wait && !finish_range(r, range, err)) return false;
    r->deferred_rows = range->deferred ? r->deferred_rows + range->rows : 0;
    r->silver_position = range->to;
    recent_drop(&r->flow->recent, range->sliced ? range->version - 1 : range->version);
    if (known) return gold_marks_left(r->gold, &r->unrecorded, err);
    int64_t took_us = clock_mono_us() - start_us;
    histogram_record(&range_time, took_us);
    metric_add(&ranges_total, 1);
    metric_add(&rows_total, range->rows);
    atomic_fetch_add(&r->status->rows, range->rows);
    atomic_fetch_add(&r->status->batches, 1);
    atomic_fetch_add(&r->status->busy_us, took_us);
    atomic_store(&r->status->last_commit_us, clock_wall_us());
    log_debug("refine", "batch", "version=%lld rows=%lld us=%lld", (long long)range->version,
              (long long)range->rows, (long long)took_us);
    return true;
}

/* Quarantined keys that somebody asked to clean again: "<table>" or "<table>\x1f<key>". */
static bool replay(struct refine *r, char *request, struct error *err)
{
    char *key = strchr(request, 0x1f);
    if (key) *key++ = '\0';
    size_t repaired = 0;
    bool ok = silver_replay(r->silver, request, key, &repaired, err);
    r->unrecorded = r->unrecorded || repaired > 0 || !ok;
    if (ok) log_info("refine", "replayed", "table=%s repaired=%zu", request, repaired);
    mem_free(request);
    return ok;
}

/* Silver stands where the last batch ended, and so does all that gold computes. */
static bool between_batches(const struct refine *r)
{
    return r->position > 0 && !r->base && r->silver_position == bronze_position(r) &&
           silver_position_most(r->silver) <= r->silver_position && !gold_whole_running(r->gold) &&
           (r->position & SLICE_BITS) < SLICE_BITS;
}

/* The batch of what has changed in silver between two ranges. */
static bool own_batch(struct refine *r, struct error *err)
{
    const struct range range = {.to = r->position + 1, .version = POSITION_VERSION(r->position) - 1};
    atomic_store(&r->settled, false);
    return finish_range(r, &range, err);
}

/* Replays that were asked for, then the batch that shows what they repaired. */
static bool between_step(struct refine *r, struct error *err)
{
    if (!between_batches(r)) return true;
    char *request = queue_pop(&r->flow->replay_requests, 0);
    if (request && !replay(r, request, err)) return false;
    return !r->unrecorded || own_batch(r, err);
}

static bool whole_step(struct refine *r, bool *did, struct error *err)
{
    *did = false;
    if (r->position == 0 || !r->gold_started) return true;
    return gold_whole_step(r->gold, r->position, false, did, err);
}

static bool idle_step(struct refine *r, enum progress *out, struct error *err)
{
    bool did;
    if (!whole_step(r, &did, err)) return false;
    atomic_store(&r->settled, !did && !gold_whole_running(r->gold));
    if (did)
        *out = PROGRESS_SOME;
    else
        wake_wait(&r->flow->refine_wake, WAIT_US);
    return true;
}

/* ---- bronze's log does not reach back to its beginning */

static bool begin_base(struct refine *r, bool *needed, struct error *err)
{
    const struct config *config = r->flow->config;
    *needed = false;
    if (POSITION_VERSION(r->silver_position) > 0) return true;
    if (!base_needed(r->bronze, needed, err)) return false;
    if (!*needed) return true;
    if (!delta_refresh(r->bronze, err)) return false;
    int64_t last = delta_version(r->bronze);
    if (r->position && POSITION_VERSION(r->position) - 1 < last) last = POSITION_VERSION(r->position) - 1;
    stage_state(r->status, "building the state again");
    return silver_forget(r->silver, POSITION_AFTER(0), err) &&
           base_open(&r->base, r->flow->lake, last, r->conn, config->refine_bytes, RANGE_ROWS, err);
}

static bool end_base(struct refine *r, struct error *err)
{
    const int64_t version = base_version(r->base);
    const struct range range = {
        .to = POSITION_AFTER(version), .version = version, .end_lsn = base_end_lsn(r->base)};
    if (!silver_stand_at(r->silver, range.to, err)) return false;
    if (range.to > r->position && !finish_range(r, &range, err)) return false;
    r->silver_position = range.to;
    return true;
}

static bool take_slice(struct refine *r, bool *end, struct error *err)
{
    struct engine_result rows;
    int64_t slice;
    if (!base_next(r->base, &rows, &slice, err)) return false;
    *end = slice == 0;
    if (*end) return end_base(r, err);
    bool ok = silver_apply(r->silver, rows.data, slice, err);
    engine_result_free(&rows);
    return ok;
}

/* One slice; what fails lets the base begin anew. */
static bool base_step(struct refine *r, bool *did, struct error *err)
{
    bool end = false;
    *did = r->base;
    if (!r->base && !begin_base(r, did, err)) return false;
    if (!*did) return true;
    bool ok = take_slice(r, &end, err);
    if (ok && !end) return true;
    base_close(r->base);
    r->base = NULL;
    return ok;
}

/* What bronze is about to commit comes into the next range: without it that would hold what came before the
 * last one began, and the newest rows would wait for another. */
static void await_bronze(struct refine *r)
{
    int64_t until_us = clock_mono_us() + BRONZE_US;
    while (atomic_load(&r->flow->refine_state) == REFINE_HUNGRY && atomic_load(&r->flow->bronze_waiting) &&
           clock_mono_us() < until_us)
        wake_wait(&r->flow->refine_wake, BRONZE_US / 10);
}

static bool keep_up(struct refine *r, struct error *err)
{
    if (upkeep_begins(&r->upkeep)) publish_needed(r);
    return upkeep_step(&r->upkeep, r->silver, r->gold, r->batches, r->conn, err);
}

static bool refine_step(void *self, enum progress *out, struct error *err)
{
    struct refine *r = self;
    *out = PROGRESS_IDLE;
    if (upkeep_is_due(&r->upkeep) && !keep_up(r, err)) return error_wrap(err, "refine upkeep");
    if (r->completed < r->position && !complete_outbox(r, err)) return error_wrap(err, "refine");
    if (!between_step(r, err)) return false;
    bool based;
    if (!base_step(r, &based, err)) return false;
    if (based) {
        *out = PROGRESS_SOME;
        atomic_store(&r->settled, false);
        return true;
    }
    struct range range;
    await_bronze(r);
    if (!plan(r, &range, err)) return false;
    bool ok = true;
    if (range.to > range.from) {
        *out = PROGRESS_SOME;
        atomic_store(&r->settled, false);
        atomic_store(&r->flow->refine_state, REFINE_BUSY);
        bool did;
        ok = take_range(r, &range, err);
        if (!ok && range.to > r->again_to) r->again_to = range.to;
        ok = ok && (range.sliced || range.deferred || whole_step(r, &did, err));
    } else {
        give_snapshot(r);
        atomic_store(&r->flow->refine_state, REFINE_HUNGRY);
        stage_state(r->status, "up to date");
        ok = idle_step(r, out, err);
    }
    range_free(&range);
    return ok;
}

const struct stage_ops refine_ops = {"refine", refine_open, refine_step, refine_close};
