/* Recomputes some groups of a row model.
 *
 *   groups --(lines forwards, index look-ups)--> rows of each input --> tables of database scratch_gold
 *          --(the model's SELECT)--> new rows  --(against the rows these groups have now)--> changes
 *
 * 1. Memory is bounded: a slice has at most GOLD_SLICE_GROUPS groups, and one whose rows pass SLICE_BYTES
 *    is halved.
 * 2. New rows of groups that are not in the slice are dropped: their inputs were not loaded in full.
 * 3. A row is in a scratch table once, also when several lines lead to it. */
#include "stages/refine/gold/gold_int.h"

enum { SLICE_BYTES = 48 << 20 };

/* One table of the model, as far as it is loaded. */
struct loaded {
    const struct gold_input *in;
    struct buf rows;
    struct map seen; /* keys, when several lines lead to the table */
    bool several;
};

struct existing {
    size_t at, len;
    bool seen;
};

struct slice_run {
    struct gold *g;
    struct gold_model *m;
    const struct slice *groups;
    size_t count;
    struct gold_changes *changes;
    struct loaded *tables;
    struct map *values; /* one for each line: what its parent's rows ask for */
    size_t line;        /* being loaded */
    size_t bytes;
    bool too_large;
    struct map members;   /* the groups */
    struct map rows;      /* key -> struct existing *: rows now, and new ones */
    struct buf row_bytes; /* of the rows now */
    struct buf text;
};

static void free_run(struct slice_run *r)
{
    for (size_t t = 0; t < r->m->table_count; t++) {
        buf_free(&r->tables[t].rows);
        map_free(&r->tables[t].seen, NULL);
    }
    for (size_t l = 0; l < r->m->line_count; l++)
        map_free(&r->values[l], NULL);
    mem_free(r->tables);
    mem_free(r->values);
    map_free(&r->members, NULL);
    map_free(&r->rows, mem_free);
    buf_free(&r->row_bytes);
    buf_free(&r->text);
}

/* ---- inputs forwards ---- */

static void prepare(struct slice_run *r)
{
    const struct gold_model *m = r->m;
    r->tables = mem_alloc((m->table_count + 1) * sizeof *r->tables);
    r->values = mem_alloc((m->line_count + 1) * sizeof *r->values);
    for (size_t t = 0; t < m->table_count; t++) {
        size_t lines = 0;
        for (size_t l = 0; l < m->line_count; l++)
            lines += m->lines[l].table == t;
        r->tables[t].in = &r->g->models.inputs[m->tables[t]];
        r->tables[t].several = lines > 1;
    }
    for (size_t i = 0; i < r->count; i++)
        *map_put(&r->members, r->groups[i]) = r;
}

/* Values that later lines will look up, from a row of their parent. */
static bool ask_children(struct slice_run *r, size_t table, struct slice row, struct error *err)
{
    const struct columns *columns = r->tables[table].in->columns;
    bool split = false;
    for (size_t l = r->line + 1; l < r->m->line_count; l++) {
        const struct gold_line *child = &r->m->lines[l];
        if (child->parent != (int)table) continue;
        if (!split && !gold_split(r->g, columns, row, err)) return false;
        split = true;
        buf_clear(&r->text);
        if (field_text(&columns->items[child->parent_at], r->g->fields[child->parent_at], &r->text))
            map_put(&r->values[l], buf_slice(&r->text));
    }
    return true;
}

static bool load_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct slice_run *r = arg;
    size_t table = r->m->lines[r->line].table;
    struct loaded *t = &r->tables[table];
    bool fresh = true;
    if (r->too_large) return true;
    if (t->several) {
        void **seen = map_put(&t->seen, key);
        fresh = *seen == NULL;
        *seen = r;
    }
    if (fresh) {
        buf_put_slice(&t->rows, row);
        r->bytes += row.len;
    }
    r->too_large = r->bytes > SLICE_BYTES && r->count > 1;
    return ask_children(r, table, row, err);
}

static bool load_line(struct slice_run *r, struct error *err)
{
    const struct gold_line *line = &r->m->lines[r->line];
    const struct gold_input *in = r->tables[line->table].in;
    struct slice value;
    if (line->parent == LINE_ALL) return keyed_scan(in->keyed, NULL, load_row, r, err);
    if (line->parent == LINE_GROUP) {
        for (size_t i = 0; i < r->count && !r->too_large; i++)
            if (!gold_input_find(r->g, in, line->column_at, r->groups[i], load_row, r, err)) return false;
        return true;
    }
    for (size_t at = 0; !r->too_large && map_next(&r->values[r->line], &at, &value, NULL);)
        if (!gold_input_find(r->g, in, line->column_at, value, load_row, r, err)) return false;
    return true;
}

static bool load(struct slice_run *r, struct error *err)
{
    for (r->line = 0; r->line < r->m->line_count && !r->too_large; r->line++)
        if (!load_line(r, err)) return false;
    return true;
}

/* ---- the scratch database ---- */

static bool make_scratch(struct gold *g, struct gold_input *in, struct error *err)
{
    struct buf sql = {0};
    if (columns_equal(&in->scratch, in->columns)) return true;
    buf_put_text(&sql, "DROP TABLE IF EXISTS scratch_gold.");
    buf_put_sql_name(&sql, in->name);
    bool ok = engine_run(g->scratch, buf_text(&sql), err);
    buf_clear(&sql);
    buf_put_text(&sql, "CREATE TABLE scratch_gold.");
    buf_put_sql_name(&sql, in->name);
    buf_put_text(&sql, " (");
    columns_clickhouse(in->columns, &sql);
    buf_put_text(&sql, ") ENGINE = Memory");
    ok = ok && engine_run(g->scratch, buf_text(&sql), err);
    buf_free(&sql);
    if (!ok) return false;
    columns_free(&in->scratch);
    columns_copy(&in->scratch, in->columns);
    in->scratch_dirty = false;
    return true;
}

static bool fill_scratch(struct gold *g, struct gold_input *in, struct slice rows, struct error *err)
{
    struct buf sql = {0};
    bool ok = make_scratch(g, in, err);
    if (ok && in->scratch_dirty) {
        buf_put_text(&sql, "TRUNCATE TABLE scratch_gold.");
        buf_put_sql_name(&sql, in->name);
        ok = engine_run(g->scratch, buf_text(&sql), err);
        in->scratch_dirty = !ok;
    }
    if (ok && rows.len) {
        buf_clear(&sql);
        buf_put_text(&sql, "INSERT INTO scratch_gold.");
        buf_put_sql_name(&sql, in->name);
        in->scratch_dirty = true;
        ok = engine_insert(g->scratch, buf_text(&sql), "RowBinary", rows, NULL, err);
    }
    buf_free(&sql);
    return ok || error_wrap(err, "scratch table %s", in->name);
}

/* ---- new rows against those that are there ---- */

static bool take_existing(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct slice_run *r = arg;
    (void)err;
    struct existing *e = mem_alloc(sizeof *e);
    *e = (struct existing){.at = r->row_bytes.len, .len = row.len};
    buf_put_slice(&r->row_bytes, row);
    void **at = map_put(&r->rows, key);
    mem_free(*at);
    *at = e;
    return true;
}

static bool compare_row(struct slice_run *r, struct slice row, struct error *err)
{
    const struct gold_model *m = r->m;
    buf_clear(&r->text);
    if (!field_text(&m->columns.items[m->group], r->g->fields[m->group], &r->text) ||
        !map_find(&r->members, buf_slice(&r->text)))
        return true;
    buf_clear(&r->text);
    keyed_row_key(m->keyed, row, &r->text);
    void **at = map_put(&r->rows, buf_slice(&r->text));
    struct existing *e = *at;
    if (e && e->seen)
        return error_set(err, ERROR_CONFIG, "the key %.*s comes twice", (int)r->text.len, r->text.data);
    if (e && slice_equal(row, (struct slice){r->row_bytes.data + e->at, e->len})) {
        e->seen = true;
        return true;
    }
    if (!e) *at = e = mem_alloc(sizeof *e);
    e->seen = true;
    gold_changes_upsert(r->changes, buf_slice(&r->text), row);
    return true;
}

static bool compare(struct slice_run *r, struct slice result, struct error *err)
{
    struct slice row, key;
    void *value;
    for (size_t i = 0; i < r->count; i++)
        if (!keyed_scan_index(r->m->keyed, r->m->group, r->groups[i], take_existing, r, err)) return false;
    while (result.len) {
        if (!row_next(&r->m->columns, &result, r->g->fields, &row))
            return error_set(err, ERROR_FATAL, "the engine's rows do not have the model's shape");
        if (!compare_row(r, row, err)) return false;
    }
    for (size_t at = 0; map_next(&r->rows, &at, &key, &value);)
        if (!((struct existing *)value)->seen) gold_changes_delete(r->changes, key);
    return true;
}

static bool compute(struct slice_run *r, struct error *err)
{
    struct buf sql = {0};
    struct engine_result result;
    for (size_t t = 0; t < r->m->table_count; t++) {
        struct gold_input *in = &r->g->models.inputs[r->m->tables[t]];
        if (!fill_scratch(r->g, in, buf_slice(&r->tables[t].rows), err)) return false;
        buf_free(&r->tables[t].rows);
    }
    gold_put_select(r->m, &sql);
    bool ok = engine_query(r->g->scratch, buf_text(&sql), "RowBinary", NULL, 0, &result, err);
    buf_free(&sql);
    if (!ok) return false;
    ok = compare(r, result.data, err);
    engine_result_free(&result);
    return ok;
}

static bool run_slice(struct gold *g, struct gold_model *m, const struct slice *groups, size_t count,
                      struct gold_changes *changes, struct error *err)
{
    struct slice_run r = {.g = g, .m = m, .groups = groups, .count = count, .changes = changes};
    prepare(&r);
    bool ok = load(&r, err), halve = r.too_large;
    if (ok && !halve) ok = compute(&r, err);
    free_run(&r);
    if (!ok) return false;
    if (!halve) return !gold_changes_large(changes) || gold_changes_flush(changes, err);
    return run_slice(g, m, groups, count / 2, changes, err) &&
           run_slice(g, m, groups + count / 2, count - count / 2, changes, err);
}

bool gold_run_groups(struct gold *g, struct gold_model *m, const struct map *groups, struct gold_changes *c,
                     struct error *err)
{
    struct slice *part = mem_resize(NULL, GOLD_SLICE_GROUPS, sizeof *part);
    bool ok = true, more = true;
    for (size_t at = 0; ok && more;) {
        size_t n = 0;
        while (n < GOLD_SLICE_GROUPS && (more = map_next(groups, &at, &part[n], NULL)))
            n++;
        ok = n == 0 || run_slice(g, m, part, n, c, err);
    }
    mem_free(part);
    return ok;
}
