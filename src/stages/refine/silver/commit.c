/* The commits of one table for one range, in their order:
 *
 *   quarantine --> <table>_history --> <table> with raw rows, record and marks in one state batch
 *
 *  1. A commit is skipped when its table stands at the position already, so a range that was cut short
 *     anywhere is done to its end and nothing twice (invariants 4, 8).
 *  2. When the lake's table stands there but the raw state does not (the state was lost), only the state
 *     is written.
 *  3. Nothing is committed when nothing changed; the record in the state moves on. */
#include "base/failpoint.h"
#include "stages/refine/gold/gold.h"
#include "stages/refine/silver/silver_int.h"

static struct metric rows_written =
    METRIC_COUNTER("millrace_silver_rows_total", "Row versions written to silver");
static struct metric quarantined = METRIC_COUNTER(
    "millrace_silver_quarantined_total", "Images put in quarantine because a value or rule failed");
static struct metric repeats = METRIC_COUNTER("millrace_silver_repeats_total",
                                              "Changes dropped because their key stood there already");

bool commit_history(struct table *t, struct engine_conn *conn, const struct buf *pieces, const size_t *rows,
                    size_t count, int64_t position, struct error *err)
{
    struct delta_commit *commit = delta_commit_begin(t->history, "STREAMING UPDATE");
    for (size_t i = 0; i < count; i++) {
        struct delta_file file = {0};
        if (!delta_write_file(t->history, conn, buf_slice(&pieces[i]), rows[i], NULL, &file, err)) {
            delta_commit_cancel(commit);
            return error_wrap(err, "%s", delta_name(t->history));
        }
        delta_commit_add(commit, &file, true);
        delta_file_free(&file);
        metric_add(&rows_written, (int64_t)rows[i]);
    }
    if (position >= 0) delta_commit_txn(commit, SILVER_APP_ID, position);
    int64_t version;
    return delta_commit_finish(commit, &version, err) || error_wrap(err, "%s", delta_name(t->history));
}

static int64_t at_least(int64_t position, const struct keyed *k)
{
    return keyed_position(k) > position ? keyed_position(k) : position;
}

bool commit_quarantine(struct range_work *w, struct settled *settled, int64_t position, struct error *err)
{
    struct silver *s = w->silver;
    if (settled->quarantine_count == 0 || w->state_only || !w->table->history) return true;
    struct keyed_counts counts = {0};
    if (!keyed_merge(s->quarantine, s->conn, settled->quarantine, settled->quarantine_count,
                     at_least(position, s->quarantine), NULL, NULL, NULL, &counts, err))
        return error_wrap(err, QUARANTINE_TABLE);
    metric_add(&quarantined, (int64_t)(counts.inserted + counts.updated));
    return true;
}

static bool commit_current(struct range_work *w, struct engine_conn *conn, struct settled *settled,
                           int64_t position, struct error *err)
{
    struct silver *s = w->silver;
    struct table *t = w->table;
    struct gold_mark mark = {s->flow->state, t->name};
    struct keyed_counts counts = {0};
    if (!keyed_merge(t->current, conn, settled->changes, settled->change_count, position, w->also,
                     s->hooks.applied, &mark, &counts, err))
        return error_wrap(err, "silver/%s", t->name);
    failpoint("silver.table");
    return true;
}

static bool commit_lake(struct range_work *w, struct engine_conn *conn, struct settled *settled, int64_t position,
                        struct error *err)
{
    struct table *t = w->table;
    if (settled->history_count && delta_txn(t->history, SILVER_APP_ID) < position &&
        !commit_history(t, conn, settled->history, settled->history_rows, settled->history_count, position, err))
        return false;
    failpoint("silver.history");
    if (t->current && (settled->change_count || settled->history_count))
        return commit_current(w, conn, settled, position, err);
    return state_write(w->silver->flow->state, w->also, err);
}

bool commit_table(struct range_work *w, struct engine_conn *conn, struct settled *settled, int64_t position,
                  struct error *err)
{
    struct table *t = w->table;
    t->record.position = position;
    t->record.behind = false;
    table_put_record(t, w->also);
    metric_add(&repeats, (int64_t)w->repeats);
    if (w->state_only || !t->history) return state_write(w->silver->flow->state, w->also, err);
    return commit_lake(w, conn, settled, position, err);
}
