/* Gold as refine sees it: opening the models' tables, following a batch (gold.h).
 *
 *   gold_apply:  inputs bound, gaps in the marks looked for, the row models followed (gold_follow.c)
 *   (refine: batches row, outbox)
 *   gold_clear_marks */
#include "stages/refine/gold/gold_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "stages/outbox.h"
#include "stages/refine/refine.h"

/* So long a model that failed is left alone. */
enum { REST_US = 60000000 };

/* ---- opening ---- */

static void add_index(int *indexes, size_t *count, const struct gold_model *m, int column)
{
    if (column < 0 || column == m->keys[0]) return;
    for (size_t i = 0; i < *count; i++)
        if (indexes[i] == column) return;
    indexes[(*count)++] = column;
}

/* Calls each for every column by which some model looks up the input, from either side. */
static void each_lookup(const struct gold *g, const char *input,
                        void (*each)(void *arg, const char *column), void *arg)
{
    for (size_t i = 0; i < g->models.count; i++) {
        const struct gold_model *m = &g->models.items[i];
        for (size_t l = 0; l < m->line_count; l++) {
            const struct gold_line *line = &m->lines[l];
            if (line->column && strcmp(g->models.inputs[m->tables[line->table]].name, input) == 0)
                each(arg, line->column);
            if (line->parent >= 0 && strcmp(g->models.inputs[m->tables[line->parent]].name, input) == 0)
                each(arg, line->parent_column);
        }
    }
}

struct model_indexes {
    const struct gold_model *m;
    int *items;
    size_t count;
};

static void add_model_index(void *arg, const char *column)
{
    struct model_indexes *x = arg;
    add_index(x->items, &x->count, x->m, columns_find(&x->m->columns, column));
}

static bool open_table(struct gold *g, struct gold_model *m, struct error *err)
{
    const struct config *config = g->flow->config;
    struct model_indexes x = {.m = m};
    x.items = mem_resize(NULL, m->columns.count + 1, sizeof *x.items);
    add_index(x.items, &x.count, m, m->group);
    each_lookup(g, m->name, add_model_index, &x);
    struct keyed_spec spec = {
        .name = m->table,
        .columns = &m->columns,
        .key_columns = m->keys,
        .key_column_count = m->key_count,
        .index_columns = x.items,
        .index_column_count = x.count,
        .app_id = REFINE_APP_ID,
        .live_files_max = config->live_files_max,
        .compact_rows_max = config->compact_rows_max,
        .options = {.deletion_vectors = true,
                    .checkpoint_commits = config->checkpoint_commits,
                    .log_retention_s = config->log_retention_s,
                    .tombstone_retention_s = config->tombstone_retention_s},
    };
    bool ok = keyed_open(&m->keyed, g->flow->lake, g->flow->state, g->conn, &spec, &m->columns_differ, err);
    mem_free(x.items);
    if (!ok) return false;
    m->safe_version = keyed_version(m->keyed);
    m->checked_version = -1;
    gold_fields_reserve(g, m->columns.count);
    int64_t built;
    if (!gold_get_number(g, "gm", m->name, &built, err)) return false;
    m->built_hash = built == -1 ? 0 : (uint64_t)built;
    return true;
}

static bool open_database(struct engine_conn **out, const char *name, const char *threads,
                          struct error *err)
{
    const char *const settings[] = {threads, NULL};
    char *create = mem_format("CREATE DATABASE IF NOT EXISTS %s ENGINE = Memory", name);
    char *use = mem_format("USE %s", name);
    bool ok =
        engine_connect(out, settings, err) && engine_run(*out, create, err) && engine_run(*out, use, err);
    mem_free(create);
    mem_free(use);
    return ok;
}

static bool open_parts(struct gold *g, const struct asset *files, size_t count, struct error *err)
{
    if (!gold_models_load(&g->models, files, count, err)) return false;
    if (!open_database(&g->scratch[0], "scratch_gold", "max_threads=1", err)) return false;
    if (!open_database(&g->scratch[1], "scratch_gold_2", "max_threads=1", err)) return false;
    if (!open_database(&g->full[0], "full_gold", "max_threads=1", err)) return false;
    if (!open_database(&g->full[1], "full_gold_2", "max_threads=1", err)) return false;
    if (!open_database(&g->whole, "whole_gold", "max_threads=1", err)) return false;
    if (!crew_open(&g->crew, "gold", err) || !crew_open(&g->background, "gold-whole", err)) return false;
    for (size_t i = 0; i < g->models.count; i++)
        if (!open_table(g, &g->models.items[i], err)) return error_wrap(err, "%s", g->models.items[i].name);
    return true;
}

bool gold_open_with(struct gold **out, const struct asset *files, size_t file_count, struct flow *flow,
                    struct engine_conn *conn, gold_silver *silver, void *arg, struct error *err)
{
    struct gold *g = mem_alloc(sizeof *g);
    *g = (struct gold){.flow = flow, .conn = conn, .silver = silver, .silver_arg = arg};
    if (!open_parts(g, files, file_count, err)) {
        gold_close(g);
        return error_wrap(err, "gold");
    }
    *out = g;
    return true;
}

bool gold_open(struct gold **out, struct flow *flow, struct engine_conn *conn, gold_silver *silver,
               void *arg, struct error *err)
{
    return gold_open_with(out, assets, asset_count, flow, conn, silver, arg, err);
}

void gold_close(struct gold *g)
{
    if (!g) return;
    gold_whole_cancel(g); /* it reads the models and the tables */
    crew_close(g->crew);
    crew_close(g->background);
    for (size_t i = 0; i < g->models.count; i++)
        keyed_close(g->models.items[i].keyed);
    for (size_t i = 0; i < g->models.input_count; i++)
        if (g->models.inputs[i].history) delta_close(g->models.inputs[i].history);
    gold_models_free(&g->models);
    if (g->whole) engine_disconnect(g->whole);
    for (int lane = 0; lane < CREW_LANES; lane++) {
        if (g->scratch[lane]) engine_disconnect(g->scratch[lane]);
        if (g->full[lane]) engine_disconnect(g->full[lane]);
    }
    mem_free(g->fields);
    mem_free(g);
}

/* ---- what silver asks ---- */

struct name_list {
    const char **names;
    size_t count, max;
};

static void add_name(void *arg, const char *column)
{
    struct name_list *list = arg;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->names[i], column) == 0) return;
    if (list->count < list->max) list->names[list->count++] = column;
}

size_t gold_index_columns(const struct gold *g, const char *table, const char **names, size_t max)
{
    struct name_list list = {.names = names, .max = max};
    each_lookup(g, table, add_name, &list);
    return list.count;
}

/* ---- row models ---- */

bool gold_set_built(struct gold *g, struct gold_model *m, uint64_t hash, struct error *err)
{
    struct state_batch *b = state_batch_new();
    gold_batch_number(b, "gm", m->name, (int64_t)hash);
    bool ok = state_write(g->flow->state, b, err);
    state_batch_free(b);
    if (ok) m->built_hash = hash;
    return ok;
}

static bool forget(struct gold *g, struct gold_model *m, struct error *err)
{
    struct buf key = {0};
    struct state_batch *b = state_batch_new();
    gold_put_key(&key, "gm", m->name, false);
    state_batch_delete(b, buf_slice(&key));
    bool ok = state_write(g->flow->state, b, err);
    state_batch_free(b);
    buf_free(&key);
    if (ok) m->built_hash = 0;
    return ok;
}

/* Decides which models are recomputed in full, before any of them runs: those that are leave it to the
 * models before them not to write marks. */
static bool prepare(struct gold *g, int64_t position, struct error *err)
{
    if (!gold_inputs_bind(g, err) || !gold_marks_check(g, position, err)) return false;
    for (size_t i = 0; i < g->models.count; i++) {
        struct gold_model *m = &g->models.items[i];
        if (m->whole) continue;
        bool ready = gold_model_ready(g, m);
        m->full = ready && (m->columns_differ || m->built_hash != gold_model_hash(g, m));
        if (!ready && m->built_hash && !forget(g, m, err)) return false;
    }
    return true;
}

bool gold_set_aside(struct gold *g, struct gold_model *m, struct error *err)
{
    if (err->kind != ERROR_DATA && err->kind != ERROR_CONFIG) return false;
    error_wrap(err, "gold: %s keeps its last rows", m->name);
    if (!m->rest_us) log_error("gold", "model failed", err);
    stage_failed(&g->flow->status[STAGE_REFINE], err);
    *err = (struct error){0};
    m->rest_us = clock_mono_us() + REST_US;
    m->full = false;
    return forget(g, m, err);
}

void gold_set_well(struct gold *g, struct gold_model *m)
{
    if (!m->rest_us) return;
    m->rest_us = 0;
    for (size_t i = 0; i < g->models.count; i++)
        if (g->models.items[i].rest_us) return;
    stage_recovered(&g->flow->status[STAGE_REFINE]);
}

bool gold_apply(struct gold *g, int64_t position, struct error *err)
{
    if (!prepare(g, position, err)) return error_wrap(err, "gold");
    if (!gold_follow(g, position, err)) return false;
    g->applied = true;
    return true;
}

bool gold_rebuild(struct gold *g, int64_t position, struct error *err)
{
    for (size_t i = 0; i < g->models.count; i++)
        if (!g->models.items[i].whole && !forget(g, &g->models.items[i], err))
            return error_wrap(err, "gold");
    return gold_apply(g, position, err);
}

static bool any_built(const struct gold *g)
{
    for (size_t i = 0; i < g->models.count; i++)
        if (!g->models.items[i].whole && g->models.items[i].built_hash) return true;
    return false;
}

bool gold_clear_marks(struct gold *g, struct error *err)
{
    /* marks that nobody has followed are needed, unless no model goes by marks yet */
    if (!g->applied && any_built(g)) return true;
    g->applied = false;
    for (size_t i = 0; i < g->models.count; i++)
        g->models.items[i].safe_version = keyed_version(g->models.items[i].keyed);
    return gold_marks_clear(g, err) || error_wrap(err, "gold: marks");
}

bool gold_needs_rebuild(const struct gold *g)
{
    return !any_built(g);
}

/* ---- what others see ---- */

void gold_versions(const struct gold *g, struct buf *json)
{
    buf_put_char(json, '{');
    for (size_t i = 0; i < g->models.count; i++) {
        if (i) buf_put_char(json, ',');
        buf_put_json(json, slice_of(g->models.items[i].name));
        buf_printf(json, ":%lld", (long long)keyed_version(g->models.items[i].keyed));
    }
    buf_put_char(json, '}');
}

size_t gold_model_count(const struct gold *g)
{
    return g->models.count;
}

const char *gold_model_name(const struct gold *g, size_t i)
{
    return g->models.items[i].name;
}

bool gold_model_is_whole(const struct gold *g, size_t i)
{
    return g->models.items[i].whole;
}

struct keyed *gold_model_table(struct gold *g, size_t i)
{
    return g->models.items[i].keyed;
}

bool gold_upkeep(struct gold *g, size_t part, bool *done, struct error *err)
{
    *done = part >= g->models.count;
    if (*done) return true;
    struct gold_model *m = &g->models.items[part];
    return m->columns_differ || keyed_upkeep(m->keyed, g->conn, m->safe_version, err) ||
           error_wrap(err, "gold: %s", m->name);
}
