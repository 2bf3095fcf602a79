/* Follows the append-only tables <table>_history into the state, where models look their rows up by the
 * value of a column (gold.h: hi/, hv/).
 *
 *   hv/ says version v and shape --> commits v+1 .. newest: rows of their files into hi/, a mark for each
 *   none, another shape, log gone --> all of hi/ anew; the readers are recomputed instead of marks
 *
 * 1. hi/ entries, marks and hv/ of one commit are written at once: a crash repeats a commit or does not.
 * 2. The entries are exactly the table's rows: their keys come from their place in the log, so that equal
 *    rows stay two.
 * Compactions add files with dataChange=false, which delta_history leaves out. */
#include "stages/refine/gold/gold_int.h"

enum { COMMITS_FOLLOWED_MAX = 200, PIECE_BYTES = 8 << 20 };

struct follow {
    struct gold *g;
    size_t input;
    const struct gold_input *in;
    int *indexed; /* columns that models look up */
    size_t indexed_count;
    struct buf shape;
    int64_t version; /* being followed */
    uint64_t row;    /* number within it */
    bool marks;
    struct state_batch *batch;
    struct buf rest; /* of a chunk that ends inside a row */
};

void gold_history_prefix(const char *table, const char *column, struct slice value, struct buf *out)
{
    gold_put_key(out, "hi", table, true);
    buf_put_text(out, column);
    buf_put_char(out, '\0');
    buf_put_slice(out, value);
    buf_put_char(out, '\0');
}

static void index_column(struct follow *f, const char *name)
{
    int at = columns_find(f->in->columns, name);
    for (size_t i = 0; i < f->indexed_count; i++)
        if (f->indexed[i] == at) return;
    if (at < 0) return; /* gold_model_bind says so */
    f->indexed[f->indexed_count++] = at;
    buf_printf(&f->shape, ",%s", name);
}

/* The columns by which lines look the history up, from both sides. */
static void find_indexed(struct follow *f)
{
    const struct gold_models *set = &f->g->models;
    f->indexed = mem_resize(NULL, f->in->columns->count + 1, sizeof *f->indexed);
    columns_clickhouse(f->in->columns, &f->shape);
    for (size_t i = 0; i < set->count; i++) {
        const struct gold_model *m = &set->items[i];
        for (size_t l = 0; l < m->line_count; l++) {
            const struct gold_line *line = &m->lines[l];
            if (line->column && m->tables[line->table] == f->input) index_column(f, line->column);
            if (line->parent >= 0 && m->tables[line->parent] == f->input)
                index_column(f, line->parent_column);
        }
    }
}

static bool read_reached(struct follow *f, int64_t *version, struct error *err)
{
    struct buf key = {0}, value = {0};
    bool found = false;
    gold_put_key(&key, "hv", f->in->base, false);
    bool ok = state_get(f->g->flow->state, NULL, buf_slice(&key), &value, &found, err);
    bool same = ok && found && value.len == 8 + f->shape.len &&
                memcmp(value.data + 8, f->shape.data, f->shape.len) == 0;
    *version = same ? (int64_t)gold_get_be64(value.data) : -1;
    buf_free(&key);
    buf_free(&value);
    return ok;
}

static void put_reached(struct follow *f, int64_t version)
{
    struct buf key = {0}, value = {0};
    gold_put_key(&key, "hv", f->in->base, false);
    gold_put_be64(&value, (uint64_t)version);
    buf_put_slice(&value, buf_slice(&f->shape));
    state_batch_put(f->batch, buf_slice(&key), buf_slice(&value));
    buf_free(&key);
    buf_free(&value);
}

static bool write_batch(struct follow *f, struct error *err)
{
    bool ok = state_write(f->g->flow->state, f->batch, err);
    state_batch_free(f->batch);
    f->batch = state_batch_new();
    return ok;
}

static void put_row(struct follow *f, struct slice row)
{
    struct buf tail = {0}, key = {0}, value = {0};
    gold_put_be64(&tail, (uint64_t)f->version);
    gold_put_be64(&tail, f->row++);
    for (size_t i = 0; i < f->indexed_count; i++) {
        const struct column *c = &f->in->columns->items[f->indexed[i]];
        buf_clear(&value);
        if (!field_text(c, f->g->fields[f->indexed[i]], &value)) continue;
        buf_clear(&key);
        gold_history_prefix(f->in->base, c->name, buf_slice(&value), &key);
        buf_put_slice(&key, buf_slice(&tail));
        state_batch_put(f->batch, buf_slice(&key), row);
    }
    if (f->marks) gold_mark_put(f->batch, f->in->name, buf_slice(&tail), f->version, row);
    buf_free(&tail);
    buf_free(&key);
    buf_free(&value);
}

/* Rows of one chunk; what is cut short waits for the next. */
static bool take_chunk(struct follow *f, struct slice chunk, struct error *err)
{
    buf_put_slice(&f->rest, chunk);
    struct slice rest = buf_slice(&f->rest), row;
    while (rest.len && row_next(f->in->columns, &rest, f->g->fields, &row)) {
        put_row(f, row);
        if (!f->marks && state_batch_size(f->batch) > PIECE_BYTES && !write_batch(f, err)) return false;
    }
    if (rest.len) memmove(f->rest.data, rest.data, rest.len);
    f->rest.len = rest.len;
    return true;
}

static bool take_rows(struct follow *f, const char *sql, struct error *err)
{
    struct engine_stream *s;
    struct slice chunk;
    bool done = false, ok = true;
    buf_clear(&f->rest);
    if (!engine_stream_open(f->g->full[0], sql, "RowBinary", NULL, 0, &s, err)) return false;
    while (ok && !done) {
        ok = engine_stream_next(s, &chunk, &done, err);
        if (ok && !done) ok = take_chunk(f, chunk, err);
    }
    engine_stream_close(s);
    return ok &&
           (f->rest.len == 0 || error_set(err, ERROR_FATAL, "a row of %s is cut short", f->in->table));
}

/* ---- commit by commit ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Paths in the log are URI-encoded. */
static void put_path(struct buf *out, const char *path)
{
    for (; *path; path++) {
        int high = path[0] == '%' ? hex(path[1]) : -1, low = high >= 0 ? hex(path[2]) : -1;
        if (low >= 0) path += 2;
        buf_put_char(out, low >= 0 ? (char)(high << 4 | low) : *path);
    }
}

static bool take_file(struct follow *f, const struct delta_file *file, struct error *err)
{
    struct buf sql = {0}, path = {0}, structure = {0};
    buf_printf(&path, "%s/", delta_folder(f->in->history));
    put_path(&path, file->path);
    columns_clickhouse(f->in->columns, &structure);
    buf_put_text(&sql, "SELECT * FROM file(");
    buf_put_sql_text(&sql, buf_slice(&path));
    buf_put_text(&sql, ", Parquet, ");
    buf_put_sql_text(&sql, buf_slice(&structure));
    buf_put_text(&sql, ") SETTINGS max_threads = 1");
    bool ok = take_rows(f, buf_text(&sql), err);
    buf_free(&sql);
    buf_free(&path);
    buf_free(&structure);
    return ok;
}

static bool take_commit(struct follow *f, int64_t version, struct error *err)
{
    struct delta_history_entry entry = {0};
    if (!delta_history(f->in->history, version, &entry, err)) return false;
    f->version = version;
    f->row = 0;
    bool ok = true;
    for (size_t i = 0; i < entry.added_count && ok; i++)
        ok = take_file(f, &entry.added[i], err);
    bool any = entry.added_count > 0;
    delta_history_free(&entry);
    if (!ok) return false;
    put_reached(f, version);
    if (any) gold_batch_number(f->batch, "dm", f->in->name, version);
    return write_batch(f, err);
}

/* ---- all anew ---- */

static bool load_all(struct follow *f, struct error *err)
{
    struct buf from = {0}, to = {0}, sql = {0};
    int64_t version = delta_version(f->in->history);
    f->marks = false;
    f->version = version;
    f->row = 0;
    gold_put_key(&from, "hi", f->in->base, true);
    buf_put_slice(&to, buf_slice(&from));
    to.data[to.len - 1] = 1;
    state_batch_delete_range(f->batch, buf_slice(&from), buf_slice(&to));
    gold_forget_readers(f->g, f->input, f->batch);
    buf_put_text(&sql, "SELECT ");
    for (size_t i = 0; i < f->in->columns->count; i++) {
        const struct column *c = &f->in->columns->items[i];
        buf_put_text(&sql, i ? ", CAST(" : "CAST(");
        buf_put_sql_name(&sql, c->name);
        buf_put_text(&sql, " AS ");
        column_type_clickhouse(c, &sql);
        buf_put_text(&sql, ")");
    }
    buf_put_text(&sql, " FROM ");
    delta_put_source(f->in->history, &sql);
    buf_printf(&sql, " SETTINGS delta_lake_snapshot_version = %lld", (long long)version);
    bool ok = take_rows(f, buf_text(&sql), err);
    put_reached(f, version);
    gold_batch_number(f->batch, "dm", f->in->name, version);
    ok = ok && write_batch(f, err);
    buf_free(&from);
    buf_free(&to);
    buf_free(&sql);
    return ok;
}

static bool follow(struct follow *f, struct error *err)
{
    int64_t reached, newest = delta_version(f->in->history);
    if (!read_reached(f, &reached, err)) return false;
    if (reached < 0 || reached > newest || newest - reached > COMMITS_FOLLOWED_MAX) return load_all(f, err);
    f->marks = true;
    for (int64_t v = reached + 1; v <= newest; v++) {
        if (take_commit(f, v, err)) continue;
        if (err->kind != ERROR_DATA) return false;
        state_batch_free(f->batch); /* the log was cleaned up beyond what was followed */
        f->batch = state_batch_new();
        return load_all(f, err);
    }
    return true;
}

static bool open_history(struct gold *g, struct gold_input *in, bool *there, struct error *err)
{
    *there = in->history != NULL;
    if (*there) return delta_refresh(in->history, err);
    if (!delta_exists(g->flow->lake, in->table)) return true;
    *there = true;
    return delta_open(&in->history, g->flow->lake, in->table, err);
}

bool gold_history_follow(struct gold *g, size_t input, struct error *err)
{
    struct gold_input *in = &g->models.inputs[input];
    bool there;
    if (!open_history(g, in, &there, err)) return false;
    if (!there) return true;
    in->columns = delta_columns(in->history);
    gold_fields_reserve(g, in->columns->count);
    struct follow f = {.g = g, .input = input, .in = in, .batch = state_batch_new()};
    find_indexed(&f);
    bool ok = follow(&f, err);
    state_batch_free(f.batch);
    mem_free(f.indexed);
    buf_free(&f.shape);
    buf_free(&f.rest);
    return ok;
}
