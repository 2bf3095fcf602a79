/* Inputs as tables: where they are, how their columns fit the models' lines, their rows by value. */
#include "stages/refine/gold/gold_int.h"

#include <xxhash.h>

/* ---- state keys and values ---- */

void gold_put_be64(struct buf *out, uint64_t v)
{
    char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(v >> (56 - 8 * i));
    buf_put(out, bytes, sizeof bytes);
}

uint64_t gold_get_be64(const char *at)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

void gold_put_key(struct buf *out, const char *kind, const char *name, bool closed)
{
    buf_put_text(out, kind);
    buf_put_char(out, '/');
    buf_put_text(out, name);
    if (closed) buf_put_char(out, '\0');
}

bool gold_get_number(struct gold *g, const char *kind, const char *name, int64_t *out, struct error *err)
{
    struct buf key = {0}, value = {0};
    bool found = false;
    gold_put_key(&key, kind, name, false);
    bool ok = state_get(g->flow->state, NULL, buf_slice(&key), &value, &found, err);
    *out = ok && found && value.len == 8 ? (int64_t)gold_get_be64(value.data) : -1;
    buf_free(&key);
    buf_free(&value);
    return ok;
}

void gold_batch_number(struct state_batch *b, const char *kind, const char *name, int64_t v)
{
    struct buf key = {0}, value = {0};
    gold_put_key(&key, kind, name, false);
    gold_put_be64(&value, (uint64_t)v);
    state_batch_put(b, buf_slice(&key), buf_slice(&value));
    buf_free(&key);
    buf_free(&value);
}

void gold_forget_readers(struct gold *g, size_t input, struct state_batch *also)
{
    for (size_t i = 0; i < g->models.count; i++) {
        struct gold_model *m = &g->models.items[i];
        if (m->whole || !gold_model_reads(m, input)) continue;
        struct buf key = {0};
        gold_put_key(&key, "gm", m->name, false);
        state_batch_delete(also, buf_slice(&key));
        buf_free(&key);
        m->built_hash = 0;
    }
}

/* ---- binding ---- */

static void set_columns(struct gold *g, struct gold_input *in)
{
    in->columns = keyed_columns(in->keyed);
    gold_fields_reserve(g, in->columns->count);
}

void gold_inputs_bind_models(struct gold *g)
{
    for (size_t i = 0; i < g->models.input_count; i++) {
        struct gold_input *in = &g->models.inputs[i];
        if (in->kind != GOLD_MODEL) continue;
        const struct gold_model *m = &g->models.items[in->model];
        in->keyed = m->keyed;
        in->columns = NULL;
        if (!m->columns_differ) set_columns(g, in); /* else it waits until the table is replaced */
    }
}

static bool bind_input(struct gold *g, size_t at, struct error *err)
{
    struct gold_input *in = &g->models.inputs[at];
    in->keyed = g->silver(g->silver_arg, in->base);
    in->columns = NULL;
    if (!in->keyed) return true;
    if (in->kind == GOLD_HISTORY) return gold_history_follow(g, at, err);
    set_columns(g, in);
    return true;
}

bool gold_inputs_bind(struct gold *g, struct error *err)
{
    gold_inputs_bind_models(g);
    for (size_t i = 0; i < g->models.input_count; i++)
        if (g->models.inputs[i].kind != GOLD_MODEL && !bind_input(g, i, err))
            return error_wrap(err, "gold: input %s", g->models.inputs[i].name);
    return true;
}

bool gold_model_ready(const struct gold *g, const struct gold_model *m)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (!g->models.inputs[m->tables[i]].columns) return false;
    return true;
}

uint64_t gold_model_hash(const struct gold *g, const struct gold_model *m)
{
    struct buf text = {0};
    buf_put_u64(&text, m->text_hash);
    for (size_t i = 0; i < m->table_count; i++) {
        const struct gold_input *in = &g->models.inputs[m->tables[i]];
        buf_put_text(&text, in->name);
        if (in->columns) columns_clickhouse(in->columns, &text);
    }
    uint64_t hash = XXH3_64bits(text.data, text.len);
    buf_free(&text);
    return hash ? hash : 1;
}

static const struct gold_input *line_input(const struct gold *g, const struct gold_model *m, size_t table)
{
    return &g->models.inputs[m->tables[table]];
}

static bool find_column(const struct gold_model *m, const struct gold_input *in, const char *name, int *at,
                        struct error *err)
{
    *at = columns_find(in->columns, name);
    return *at >= 0 || error_set(err, ERROR_CONFIG, "%s: %s has no column %s", m->file, in->name, name);
}

static bool same_type(const struct column *a, const struct column *b)
{
    return a->type == b->type && a->scale == b->scale;
}

static bool bind_since(const struct gold *g, const struct gold_model *m, const struct gold_line *line,
                       struct error *err)
{
    const struct gold_input *in = line_input(g, m, line->table);
    const struct gold_input *facts = line_input(g, m, (size_t)line->since_table);
    int at[3];
    if (!find_column(m, in, line->since_from, &at[0], err) ||
        !find_column(m, in, line->since_to ? line->since_to : line->since_from, &at[1], err) ||
        !find_column(m, facts, line->since_column, &at[2], err))
        return false;
    const struct column *c[3] = {&in->columns->items[at[0]], &in->columns->items[at[1]],
                                 &facts->columns->items[at[2]]};
    for (int i = 0; i < 3; i++)
        if (c[i]->type != COLUMN_TIMESTAMP && c[i]->type != COLUMN_DATE)
            return error_set(err, ERROR_CONFIG, "%s: since compares dates or timestamps, %s is neither",
                             m->file, c[i]->name);
    return true;
}

static bool bind_line(const struct gold *g, const struct gold_model *m, struct gold_line *line,
                      struct error *err)
{
    const struct gold_input *in = line_input(g, m, line->table);
    if (line->parent == LINE_ALL) return true;
    if (!find_column(m, in, line->column, &line->column_at, err)) return false;
    const struct column *own = &in->columns->items[line->column_at], *other = &m->columns.items[m->group];
    if (line->parent >= 0) {
        const struct gold_input *parent = line_input(g, m, (size_t)line->parent);
        if (!find_column(m, parent, line->parent_column, &line->parent_at, err)) return false;
        other = &parent->columns->items[line->parent_at];
    }
    if (!same_type(own, other))
        return error_set(err, ERROR_CONFIG, "%s: %s(%s) and what it is compared with differ in type",
                         m->file, in->name, line->column);
    return line->since_table < 0 || bind_since(g, m, line, err);
}

bool gold_model_bind(struct gold *g, struct gold_model *m, struct error *err)
{
    for (size_t i = 0; i < m->line_count; i++)
        if (!bind_line(g, m, &m->lines[i], err)) return false;
    return true;
}

/* ---- rows ---- */

void gold_fields_reserve(struct gold *g, size_t count)
{
    if (count <= g->field_cap) return;
    g->fields = mem_resize(g->fields, count, sizeof *g->fields);
    g->field_cap = count;
}

bool gold_split(struct gold *g, const struct columns *columns, struct slice row, struct error *err)
{
    return (row_next(columns, &row, g->fields, NULL) && row.len == 0) ||
           error_set(err, ERROR_FATAL, "a row of the state does not fit its columns");
}

static bool find_history(struct gold *g, const struct gold_input *in, int column,
                         const struct slice *values, size_t count, keyed_each_of *each, void *arg,
                         struct error *err)
{
    struct buf prefix = {0}, all = {0};
    struct slice key, row;
    bool ok = true;
    gold_put_key(&all, "hi", in->base, true);
    struct state_iter *it = state_iter_open(g->flow->state, NULL, buf_slice(&all));
    for (size_t i = 0; ok && i < count; i++) {
        if (!values[i].data) continue;
        buf_clear(&prefix);
        gold_history_prefix(in->base, in->columns->items[column].name, values[i], &prefix);
        state_iter_seek(it, buf_slice(&prefix));
        while (ok && state_iter_next(it, &key, &row)) {
            if (key.len != prefix.len + GOLD_HISTORY_TAIL) continue;
            ok = each(arg, i, (struct slice){key.data + prefix.len, GOLD_HISTORY_TAIL}, row, err);
        }
    }
    buf_free(&prefix);
    buf_free(&all);
    struct error closing = {0};
    bool closed = state_iter_close(it, &closing);
    if (ok && !closed) *err = closing;
    return ok && closed;
}

bool gold_input_find(struct gold *g, const struct gold_input *in, int column, const struct slice *values,
                     size_t count, keyed_each_of *each, void *arg, struct error *err)
{
    if (in->kind == GOLD_HISTORY) return find_history(g, in, column, values, count, each, arg, err);
    return keyed_find_many(in->keyed, column, values, count, each, arg, err);
}
