/* Recomputes some groups of a row model.
 *
 *   groups --(lines forwards, index look-ups)--> rows of each input           the owner's thread
 *          --> tables of the lane's scratch database --(the model's SELECT)--> new rows    the crew
 *          --(against the rows these groups have now)--> changes              the owner's thread
 *
 * 1. Memory is bounded: a slice has at most GOLD_SLICE_GROUPS groups, and one whose rows pass SLICE_BYTES
 *    is halved.
 * 2. New rows of groups that are not in the slice are dropped: their inputs were not loaded in full.
 * 3. A row is in a scratch table once, also when several lines lead to it.
 * 4. A small slice costs what planning its SELECT costs, and no more is spent on that than it needs: the
 *    planner's searches and compiled code come back only on larger ones. The rows are the same. */
#include "stages/refine/gold/gold_int.h"

#include <xxhash.h>

enum { SLICE_BYTES = 48 << 20, SMALL_BYTES = 2 << 20, PIECE_VALUES = 1000 };

static const char small_settings[] =
    ", query_plan_enable_optimizations=0, compile_expressions=0, join_algorithm='hash'";
static const char *const databases[CREW_LANES] = {"scratch_gold", "scratch_gold_2"};

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

/* One slice. */
struct slice_run {
    struct gold *g;
    struct gold_model *m;
    const struct slice *groups;
    size_t count;
    struct gold_changes *changes;
    struct crew_job job;
    bool given;                  /* to the crew, and not yet finished */
    struct engine_result result; /* of the SELECT */
    bool computed;
    struct error error; /* why it is not */
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
    engine_result_free(&r->result);
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

static bool load_row(void *arg, size_t value, struct slice key, struct slice row, struct error *err)
{
    struct slice_run *r = arg;
    (void)value;
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

static bool load_scanned(void *arg, struct slice key, struct slice row, struct error *err)
{
    return load_row(arg, 0, key, row, err);
}

/* What the parent's rows asked for, a piece at a time: a slice that becomes too large is noticed early. */
static bool load_asked(struct slice_run *r, const struct gold_line *line, struct error *err)
{
    const struct gold_input *in = r->tables[line->table].in;
    const struct map *asked = &r->values[r->line];
    struct slice *values = mem_resize(NULL, PIECE_VALUES, sizeof *values);
    bool ok = true, more = true;
    for (size_t at = 0; ok && more && !r->too_large;) {
        size_t n = 0;
        while (n < PIECE_VALUES && (more = map_next(asked, &at, &values[n], NULL)))
            n++;
        ok = gold_input_find(r->g, in, line->column_at, values, n, load_row, r, err);
    }
    mem_free(values);
    return ok;
}

static bool load_line(struct slice_run *r, struct error *err)
{
    const struct gold_line *line = &r->m->lines[r->line];
    const struct gold_input *in = r->tables[line->table].in;
    if (line->parent == LINE_ALL) return keyed_scan(in->keyed, NULL, load_scanned, r, err);
    if (line->parent != LINE_GROUP) return load_asked(r, line, err);
    bool ok = true;
    for (size_t i = 0; ok && i < r->count && !r->too_large; i += PIECE_VALUES) {
        size_t n = r->count - i < PIECE_VALUES ? r->count - i : PIECE_VALUES;
        ok = gold_input_find(r->g, in, line->column_at, r->groups + i, n, load_row, r, err);
    }
    return ok;
}

static bool load(struct slice_run *r, struct error *err)
{
    for (r->line = 0; r->line < r->m->line_count && !r->too_large; r->line++)
        if (!load_line(r, err)) return false;
    return true;
}

/* ---- the scratch database ---- */

static bool statement(struct engine_conn *conn, const char *words, int lane, const char *table,
                      struct error *err)
{
    struct buf sql = {0};
    buf_printf(&sql, "%s %s.", words, databases[lane]);
    buf_put_sql_name(&sql, table);
    bool ok = engine_run(conn, buf_text(&sql), err);
    buf_free(&sql);
    return ok;
}

static bool make_scratch(struct engine_conn *conn, struct gold_input *in, int lane, struct error *err)
{
    struct gold_scratch *scratch = &in->scratch[lane];
    struct buf sql = {0};
    if (columns_equal(&scratch->columns, in->columns)) return true;
    buf_printf(&sql, "CREATE TABLE %s.", databases[lane]);
    buf_put_sql_name(&sql, in->name);
    buf_put_text(&sql, " (");
    columns_clickhouse(in->columns, &sql);
    buf_put_text(&sql, ") ENGINE = Memory");
    bool ok = statement(conn, "DROP TABLE IF EXISTS", lane, in->name, err) &&
              engine_run(conn, buf_text(&sql), err);
    buf_free(&sql);
    if (!ok) return false;
    columns_free(&scratch->columns);
    columns_copy(&scratch->columns, in->columns);
    scratch->dirty = false;
    scratch->content = 0;
    return true;
}

/* Models of one level often read the same rows: what stands there already is left. */
static bool fill_scratch(struct engine_conn *conn, struct gold_input *in, int lane, struct slice rows,
                         struct error *err)
{
    struct gold_scratch *scratch = &in->scratch[lane];
    uint64_t content = rows.len ? XXH3_64bits(rows.data, rows.len) : 0;
    if (!make_scratch(conn, in, lane, err)) return error_wrap(err, "scratch table %s", in->name);
    if (content && content == scratch->content) return true;
    scratch->content = 0;
    bool ok = true;
    if (ok && scratch->dirty) {
        ok = statement(conn, "TRUNCATE TABLE", lane, in->name, err);
        scratch->dirty = !ok;
    }
    if (ok && rows.len) {
        struct buf sql = {0};
        buf_printf(&sql, "INSERT INTO %s.", databases[lane]);
        buf_put_sql_name(&sql, in->name);
        scratch->dirty = true;
        ok = engine_insert(conn, buf_text(&sql), "RowBinary", rows, NULL, err);
        if (ok) scratch->content = content;
        buf_free(&sql);
    }
    return ok || error_wrap(err, "scratch table %s", in->name);
}

/* The crew's part: what it reads of the slice does not change meanwhile. */
static bool select_rows(struct slice_run *r, int lane)
{
    struct engine_conn *conn = r->g->scratch[lane];
    struct buf sql = {0};
    for (size_t t = 0; t < r->m->table_count; t++) {
        struct gold_input *in = &r->g->models.inputs[r->m->tables[t]];
        if (!fill_scratch(conn, in, lane, buf_slice(&r->tables[t].rows), &r->error)) return false;
        buf_free(&r->tables[t].rows);
    }
    gold_put_select(r->m, &sql);
    if (r->bytes <= SMALL_BYTES) buf_put_text(&sql, small_settings);
    bool ok = engine_query(conn, buf_text(&sql), "RowBinary", NULL, 0, &r->result, &r->error);
    buf_free(&sql);
    return ok;
}

static void run_select(void *arg, int lane)
{
    struct slice_run *r = arg;
    r->computed = select_rows(r, lane);
}

/* Whether the inputs that were loaded can give rows at all. */
static bool may_give_rows(const struct slice_run *r)
{
    for (size_t l = 0; l < r->m->line_count; l++)
        if (r->m->lines[l].required && r->tables[r->m->lines[l].table].rows.len == 0) return false;
    return true;
}

/* ---- new rows against those that are there ---- */

static bool take_existing(void *arg, size_t value, struct slice key, struct slice row, struct error *err)
{
    struct slice_run *r = arg;
    (void)value;
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
    if (!keyed_find_many(r->m->keyed, r->m->group, r->groups, r->count, take_existing, r, err))
        return false;
    while (result.len) {
        if (!row_next(&r->m->columns, &result, r->g->fields, &row))
            return error_set(err, ERROR_FATAL, "the engine's rows do not have the model's shape");
        if (!compare_row(r, row, err)) return false;
    }
    for (size_t at = 0; map_next(&r->rows, &at, &key, &value);)
        if (!((struct existing *)value)->seen) gold_changes_delete(r->changes, key);
    return true;
}

/* ---- a set of groups ---- */

static bool slice_begin(struct slice_run *r, struct error *err)
{
    prepare(r);
    if (!load(r, err)) return false;
    if (r->too_large) return true;
    r->job = (struct crew_job){.run = run_select, .arg = r};
    r->computed = !may_give_rows(r);
    r->given = !r->computed;
    if (r->given) crew_give(r->g->crew, &r->job);
    return true;
}

static void slice_wait(struct slice_run *r)
{
    if (r->given) crew_finish(r->g->crew, &r->job);
    r->given = false;
}

static bool slice_end(struct slice_run *r, struct error *err)
{
    slice_wait(r);
    if (r->computed) return compare(r, r->result.data, err);
    *err = r->error;
    return false;
}

static bool run_slice(struct gold *g, struct gold_model *m, const struct slice *groups, size_t count,
                      struct gold_changes *changes, struct error *err)
{
    struct slice_run r = {.g = g, .m = m, .groups = groups, .count = count, .changes = changes};
    bool ok = slice_begin(&r, err), halve = r.too_large;
    if (ok && !halve) ok = slice_end(&r, err);
    free_run(&r);
    if (!ok) return false;
    if (!halve) return !gold_changes_large(changes) || gold_changes_flush(changes, err);
    return run_slice(g, m, groups, count / 2, changes, err) &&
           run_slice(g, m, groups + count / 2, count - count / 2, changes, err);
}

static bool run_slices(struct gold *g, struct gold_model *m, const struct map *groups,
                       struct gold_changes *c, struct error *err)
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

struct gold_groups {
    struct slice_run slice; /* when all groups fit one */
    struct slice *part;     /* its groups; NULL: several slices, all of them at the end */
    const struct map *groups;
};

void gold_groups_cancel(struct gold_groups *run)
{
    if (!run) return;
    if (run->part) {
        slice_wait(&run->slice);
        free_run(&run->slice);
    }
    mem_free(run->part);
    mem_free(run);
}

bool gold_groups_begin(struct gold *g, struct gold_model *m, const struct map *groups,
                       struct gold_changes *c, struct gold_groups **out, struct error *err)
{
    struct gold_groups *run = mem_alloc(sizeof *run);
    *run = (struct gold_groups){.groups = groups};
    run->slice = (struct slice_run){.g = g, .m = m, .count = groups->count, .changes = c};
    *out = run;
    if (groups->count > GOLD_SLICE_GROUPS) return true;
    run->part = mem_resize(NULL, groups->count + 1, sizeof *run->part);
    run->slice.groups = run->part;
    for (size_t at = 0, n = 0; n < groups->count && map_next(groups, &at, &run->part[n], NULL);)
        n++;
    if (slice_begin(&run->slice, err)) {
        if (!run->slice.too_large) return true;
        free_run(&run->slice);
        mem_free(run->part);
        run->part = NULL;
        return true;
    }
    gold_groups_cancel(run);
    *out = NULL;
    return false;
}

bool gold_groups_end(struct gold_groups *run, struct error *err)
{
    struct slice_run *s = &run->slice;
    bool ok = run->part ? slice_end(s, err) : run_slices(s->g, s->m, run->groups, s->changes, err);
    gold_groups_cancel(run);
    return ok;
}
