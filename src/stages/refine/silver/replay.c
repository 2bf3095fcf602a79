/* Replay of quarantined keys: the newest raw image is cleaned again, after a rule or a type was mended. And
 * cleaning for check, from a snapshot of the state alone.
 *
 *   <table>_history --> <table> --> quarantine --> the raw row's flag
 *
 *  1. A run that is killed in between leaves the key in quarantine, so the next replay does the rest, or its
 *     flag, so the next image does; the history gets the version once. */
#include "stages/refine/gold/gold.h"
#include "stages/refine/silver/silver_int.h"

#include <stdio.h>

struct replay {
    struct silver *silver;
    const char *table, *key;
    struct slice *keys; /* of quarantined rows of one table at a time */
    char **tables;
    size_t count, cap, table_cap;
    struct arena arena;
};

static bool take_quarantined(void *arg, struct slice key, struct slice row, struct error *err)
{
    (void)key;
    struct replay *r = arg;
    struct slice fields[9];
    if (!row_next(quarantine_columns(), &row, fields, NULL))
        return error_set(err, ERROR_FATAL, QUARANTINE_TABLE ": a row does not have its table's shape");
    if (r->table && !slice_equal(fields[0], slice_of(r->table))) return true;
    if (r->key && !slice_equal(fields[1], slice_of(r->key))) return true;
    size_t count = r->count;
    MEM_GROW(r->keys, count, r->cap);
    MEM_GROW(r->tables, count, r->table_cap);
    struct slice name = arena_copy(&r->arena, fields[0]);
    r->tables[count] = (char *)(uintptr_t)name.data; /* arena bytes end in 0 */
    r->keys[count] = arena_copy(&r->arena, fields[1]);
    r->count++;
    return true;
}

static bool history_has(struct silver *s, const struct table *t, const struct entry *e, bool *has,
                        struct error *err)
{
    char lsn[24], ordinal[24];
    snprintf(lsn, sizeof lsn, "%llu", (unsigned long long)e->raw.lsn);
    snprintf(ordinal, sizeof ordinal, "%llu", (unsigned long long)e->raw.ordinal);
    const struct engine_param params[] = {
        {.name = "key", .value = e->key},
        {.name = "lsn", .value = slice_of(lsn)},
        {.name = "ordinal", .value = slice_of(ordinal)},
    };
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT count() FROM ");
    delta_put_source(t->history, &sql);
    buf_put_text(&sql, " WHERE _key = {key:String} AND _lsn = {lsn:Int64} AND _ordinal = {ordinal:Int64}");
    struct engine_result result;
    bool ok = engine_query(s->conn, buf_text(&sql), "TSV", params, 3, &result, err);
    buf_free(&sql);
    if (!ok) return false;
    *has = result.data.len > 0 && result.data.data[0] != '0';
    engine_result_free(&result);
    return true;
}

/* Its flag goes last: while it is there, a later good image takes the key out of quarantine. */
static bool clear_flag(struct silver *s, const struct table *t, struct entry *e, struct error *err)
{
    struct state_batch *batch = state_batch_new();
    e->raw.flags &= (uint8_t)~RAW_QUARANTINED;
    raw_put_row(t, e, batch);
    bool ok = state_write(s->flow->state, batch, err);
    state_batch_free(batch);
    return ok;
}

/* A key's newest image passed: history first, as a range does, then current. */
static bool replay_commit(struct silver *s, struct table *t, struct entry *e, struct slice model_part,
                          struct error *err)
{
    struct buf row = {0}, history = {0};
    const struct version v = raw_version(e);
    bool has = false;
    put_current_row(&row, model_part, &v);
    bool ok = put_history_row(t, buf_slice(&row), v.op, v.valid_from_us, &history, err);
    struct keyed_change change = {e->key, buf_slice(&row)};
    struct gold_mark mark = {s->flow->state, t->name};
    struct keyed_counts counts;
    size_t one = 1;
    ok = ok && history_has(s, t, e, &has, err) &&
         (has || commit_history(t, s->conn, &history, &one, 1, -1, err)) &&
         keyed_merge(t->current, s->conn, &change, 1, keyed_position(t->current), NULL, s->hooks.applied,
                     &mark, &counts, err);
    buf_free(&row);
    buf_free(&history);
    return ok;
}

static bool leave_quarantine(struct silver *s, const char *table, struct slice key, struct error *err)
{
    struct buf full = {0};
    struct keyed_counts counts;
    quarantine_put_key(table, key, &full);
    const struct keyed_change change = {.key = buf_slice(&full)};
    bool ok = keyed_merge(s->quarantine, s->conn, &change, 1, keyed_position(s->quarantine), NULL, NULL,
                          NULL, &counts, err);
    buf_free(&full);
    return ok;
}

static bool replay_key(struct silver *s, struct table *t, struct slice key, size_t *repaired,
                       struct error *err)
{
    struct buf full = {0}, value = {0};
    struct entry e = {.key = key};
    bool found = false;
    raw_put_key('w', t->name, key, &full);
    bool ok = state_get(s->flow->state, NULL, buf_slice(&full), &value, &found, err);
    bool lives = ok && found && raw_decode(buf_slice(&value), &e.raw) &&
                 !(e.raw.flags & (RAW_DELETED | RAW_PARTIAL));
    struct clean_item item = {.after = e.raw.after};
    struct clean_results results = {0};
    if (lives) {
        ok = table_schema(t, s->flow->state, e.raw.schema, &item.schema, err);
        if (!item.schema) item.schema = t->schema;
        ok = ok && clean_items(&s->cleaner, &t->model, t->schema, &t->columns, &item, 1, &results, err);
    }
    bool good = ok && lives && !item.reason.data;
    if (good)
        ok = replay_commit(s, t, &e, item.row, err) && leave_quarantine(s, t->name, key, err) &&
             clear_flag(s, t, &e, err);
    else if (ok && found && e.raw.flags & RAW_DELETED)
        ok = leave_quarantine(s, t->name, key, err);
    *repaired += ok && good;
    clean_results_free(&results);
    buf_free(&full);
    buf_free(&value);
    return ok;
}

bool silver_replay(struct silver *s, const char *table, const char *key, size_t *repaired,
                   struct error *err)
{
    struct replay r = {.silver = s, .table = table && *table ? table : NULL, .key = key};
    *repaired = 0;
    bool ok = keyed_scan(s->quarantine, NULL, take_quarantined, &r, err);
    for (size_t i = 0; ok && i < r.count; i++) {
        struct table *t = silver_find(s, r.tables[i]);
        if (t && t->current) ok = replay_key(s, t, r.keys[i], repaired, err);
    }
    mem_free(r.keys);
    mem_free(r.tables);
    arena_free(&r.arena);
    return ok || error_wrap(err, "replay");
}

/* ---- check */

struct cleaning { /* one table as of a snapshot */
    struct table *table;
    struct map shown; /* keys whose newest image silver does not show */
    keyed_each *each;
    void *arg;
};

static bool give_shown(void *arg, struct slice key, struct slice row, struct error *err)
{
    const struct cleaning *c = arg;
    return !map_find(&c->shown, key) || c->each(c->arg, key, row, err);
}

static bool give_rows(struct cleaning *c, struct state *state, struct cleaner *cleaner,
                      const struct state_snapshot *at, struct error *err)
{
    struct raw_walk walk;
    struct entry *e;
    struct clean_item *item;
    struct buf row = {0};
    raw_walk_open(&walk, c->table, state, cleaner, at);
    walk.partial = &c->shown;
    bool ok = true;
    while (ok && (ok = raw_walk_next(&walk, &e, &item, err)) && e) {
        if (item->reason.data) {
            map_put(&c->shown, e->key);
            continue;
        }
        const struct version v = raw_version(e);
        buf_clear(&row);
        put_current_row(&row, item->row, &v);
        ok = c->each(c->arg, e->key, buf_slice(&row), err);
    }
    buf_free(&row);
    return raw_walk_close(&walk, ok, err);
}

bool silver_clean_at(const struct silver *s, const char *table, struct engine_conn *conn,
                     const struct state_snapshot *at, struct columns *columns, bool *has_current,
                     keyed_each *each, void *arg, struct error *err)
{
    struct state *state = s->flow->state;
    struct table *t = mem_alloc(sizeof *t);
    const struct table *live = silver_find(s, table);
    struct cleaner cleaner = {.conn = conn};
    struct cleaning c = {.table = t, .each = each, .arg = arg};
    bool found = false;
    t->name = mem_text(table);
    *has_current = false;
    bool ok = table_load(t, state, at, &found, err);
    if (ok && (!found || !t->schema || !live))
        ok = error_set(err, ERROR_CONFIG, "there is no silver table %s", table);
    if (ok) ok = table_plan(t, err);
    if (ok && t->kind != TABLE_HISTORY) {
        *has_current = true;
        columns_copy(columns, &t->stored);
        ok = cleaner_open(&cleaner, err) && give_rows(&c, state, &cleaner, at, err);
        if (ok && c.shown.count) ok = keyed_scan(live->current, at, give_shown, &c, err);
        cleaner_close(&cleaner);
    }
    map_free(&c.shown, NULL);
    table_free(t);
    return ok;
}
