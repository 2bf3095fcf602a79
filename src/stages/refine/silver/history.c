/* The history table beside a table whose columns change, and its copy by key in the state (h/).
 *
 *   new column       appended, nullable; older rows have NULL
 *   dropped column   stays and gets NULL from now on
 *   other type       goes on under "<name>_<type>"; a Delta column cannot change its type
 *   h/               read again from the table, in its new shape */
#include "stages/refine/silver/silver_int.h"

/* The history's columns with what silver/<table> has now; true when that differs from what it has. */
static bool history_plan(const struct table *t, struct columns *out)
{
    const struct columns *have = delta_columns(t->history);
    bool differs = false;
    columns_copy(out, have);
    for (size_t i = 0; i < out->count; i++) {
        struct column *c = &out->items[i];
        int at = history_source(&t->stored, c);
        bool own = strcmp(c->name, "_op") == 0 || strcmp(c->name, "_valid_from") == 0;
        if (own || c->nullable || (at >= 0 && !t->stored.items[at].nullable)) continue;
        c->nullable = true;
        differs = true;
    }
    for (size_t i = 0; i < t->stored.count; i++) {
        const struct column *c = &t->stored.items[i];
        bool found = false;
        for (size_t k = 0; k < have->count && !found; k++)
            found = history_source(&t->stored, &have->items[k]) == (int)i;
        if (found) continue;
        char *name = columns_find(have, c->name) >= 0 ? history_name(c) : mem_text(c->name);
        columns_add(out, name, c->type, c->precision, c->scale, true);
        mem_free(name);
        differs = true;
    }
    return differs;
}

bool history_evolve(struct table *t, struct error *err)
{
    struct columns wanted = {0};
    bool ok = true;
    if (history_plan(t, &wanted)) {
        struct delta_commit *c = delta_commit_begin(t->history, "ADD COLUMNS");
        int64_t version;
        delta_commit_columns(c, &wanted);
        ok = delta_commit_finish(c, &version, err) || error_wrap(err, "%s", delta_name(t->history));
    }
    columns_free(&wanted);
    if (ok) history_map(t);
    return ok;
}

static void history_range(const struct table *t, struct state_batch *batch)
{
    struct buf from = {0}, to = {0};
    raw_put_key('h', t->name, (struct slice){0}, &from);
    buf_put_slice(&to, buf_slice(&from));
    to.data[to.len - 1] = 1;
    state_batch_delete_range(batch, buf_slice(&from), buf_slice(&to));
    buf_free(&from);
    buf_free(&to);
}

static int64_t read_long(struct slice f)
{
    int64_t v;
    memcpy(&v, f.data, sizeof v);
    return v;
}

/* Puts the whole rows at the start of bytes into the batch; returns what is left of a row. */
static struct slice put_history_rows(const struct table *t, struct slice bytes, struct state_batch *batch)
{
    const struct columns *c = delta_columns(t->history);
    int key_at = columns_find(c, "_key"), lsn_at = columns_find(c, "_lsn"),
        ordinal_at = columns_find(c, "_ordinal");
    struct slice *fields = mem_resize(NULL, c->count + 1, sizeof *fields);
    struct slice row;
    struct buf key = {0};
    while (bytes.len && row_next(c, &bytes, fields, &row)) {
        buf_clear(&key);
        history_put_key(t->name, fields[key_at], (uint64_t)read_long(fields[lsn_at]),
                        (uint64_t)read_long(fields[ordinal_at]), &key);
        state_batch_put(batch, buf_slice(&key), row);
    }
    buf_free(&key);
    mem_free(fields);
    return bytes;
}

static void put_history_select(const struct table *t, struct buf *sql)
{
    const struct columns *c = delta_columns(t->history);
    buf_put_text(sql, "SELECT ");
    for (size_t i = 0; i < c->count; i++) {
        struct buf type = {0};
        column_type_clickhouse(&c->items[i], &type);
        buf_put_text(sql, i ? ", CAST(" : "CAST(");
        buf_put_sql_name(sql, c->items[i].name);
        buf_put_text(sql, ", ");
        buf_put_sql_text(sql, buf_slice(&type));
        buf_put_char(sql, ')');
        buf_free(&type);
    }
    buf_put_text(sql, " FROM ");
    delta_put_source(t->history, sql);
}

static bool load_history(struct silver *s, struct table *t, struct error *err)
{
    struct buf sql = {0}, left = {0};
    struct engine_stream *stream = NULL;
    put_history_select(t, &sql);
    bool done = false;
    bool ok = engine_stream_open(s->conn, buf_text(&sql), "RowBinary", NULL, 0, &stream, err);
    while (ok && !done) {
        struct slice chunk = {0};
        ok = engine_stream_next(stream, &chunk, &done, err);
        if (!ok || done) break;
        struct state_batch *batch = state_batch_new();
        buf_put_slice(&left, chunk);
        struct slice rest = put_history_rows(t, buf_slice(&left), batch);
        memmove(left.data, rest.data, rest.len);
        left.len = rest.len;
        ok = state_write(s->flow->state, batch, err);
        state_batch_free(batch);
    }
    if (ok && left.len) ok = error_set(err, ERROR_FATAL, "%s: rows are cut short", delta_name(t->history));
    if (stream) engine_stream_close(stream);
    buf_free(&left);
    buf_free(&sql);
    return ok;
}

/* h/ follows the history table when its columns changed, or when the state was lost. */
static bool reload_history(struct silver *s, struct table *t, struct error *err)
{
    struct state_batch *batch = state_batch_new();
    history_range(t, batch);
    bool ok = state_write(s->flow->state, batch, err);
    state_batch_free(batch);
    if (ok && delta_row_count(t->history) > 0) ok = load_history(s, t, err);
    return ok || error_wrap(err, "h/ of %s", t->name);
}

bool history_keep(struct silver *s, struct table *t, struct error *err)
{
    bool wanted = s->hooks.keeps_history && s->hooks.keeps_history(s->hooks.arg, t->name);
    uint32_t count = wanted ? (uint32_t)delta_columns(t->history)->count : 0;
    if (t->record.history_columns == count) return true;
    if (wanted && !reload_history(s, t, err)) return false;
    t->record.history_columns = count;
    return true;
}
