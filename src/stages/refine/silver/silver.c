/* Silver's life and the tables of a range (silver.h).
 *
 *   rows of a range --by table--> [new columns?] --> fold --> clean --> settle --> commit
 *
 *  1. A table whose raw state stands at the position is passed over; so replaying a range gives the same
 *     result (invariant 4).
 *  2. A table that fails by its data or its model is left behind, alone: its record says so, the others go
 *     on (invariant 6). It waits until silver_position_least was asked, that is until the driver begins
 *     again there; a range with a gap before it is never taken.
 *  3. After any failure a table is opened anew, so that what the lake decided is what memory knows. */
#include "base/log.h"
#include "format/change.h"
#include "stages/refine/silver/silver_int.h"

#include <xxhash.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static struct metric tables_behind =
    METRIC_GAUGE("millrace_silver_tables_behind", "Tables left behind by an error of their data or model");

/* ---- opening */

static bool open_quarantine(struct silver *s, struct error *err)
{
    static const char *const key[] = {"table", "key"};
    bool differ;
    return keyed_open_named(s, QUARANTINE_TABLE, quarantine_columns(), key, 2, NULL, 0, &s->quarantine,
                            &differ, err);
}

/* Opens a table's handles; a state that is behind the lake gets h/ again from the lake. */
static bool load_table(struct silver *s, struct table *t, struct error *err)
{
    bool found = false;
    if (!table_load(t, s->flow->state, NULL, &found, err)) return false;
    if (!found || !t->schema) return true;
    if (!table_plan(t, err) || !table_open(s, t, err)) return false;
    /* opening may have applied what a killed run had prepared */
    if (!table_load(t, s->flow->state, NULL, &found, err) || !table_plan(t, err)) return false;
    if (t->record.position < table_lake_position(t)) t->record.history_columns = 0;
    history_map(t);
    t->opened = true;
    return true;
}

static void unload_table(struct table *t)
{
    if (t->current) keyed_close(t->current);
    if (t->history) delta_close(t->history);
    t->current = NULL;
    t->history = NULL;
    t->opened = false;
}

static struct table *add_table(struct silver *s, const char *source)
{
    struct table *t = table_new(source);
    *map_put(&s->tables, slice_of(source)) = t;
    return t;
}

static bool load_tables(struct silver *s, struct error *err)
{
    struct state_iter *it = state_iter_open(s->flow->state, NULL, SLICE("t/"));
    struct slice key, value;
    while (state_iter_next(it, &key, &value)) {
        struct table_record record;
        if (table_decode_record(value, &record) && !map_get(&s->tables, slice_of(record.source)))
            add_table(s, record.source);
    }
    if (!state_iter_close(it, err)) return false;
    size_t at = 0;
    void *t;
    while (map_next(&s->tables, &at, NULL, &t))
        if (!load_table(s, t, err)) return error_wrap(err, "silver: %s", ((struct table *)t)->name);
    return true;
}

static bool known_folder(const struct silver *s, const char *name)
{
    size_t n = strlen(name);
    if (strcmp(name, "quarantine") == 0) return true;
    if (silver_find(s, name)) return true;
    if (n <= 8 || strcmp(name + n - 8, "_history") != 0) return false;
    char *base = mem_textn(name, n - 8);
    bool known = silver_find(s, base) != NULL;
    mem_free(base);
    return known;
}

static bool look_at(struct silver *s, const char *folder, struct error *err)
{
    struct delta_table *t;
    char *name = mem_format("silver/%s", folder);
    bool ok = !delta_exists(s->flow->lake, name) || delta_open(&t, s->flow->lake, name, err);
    if (ok && delta_exists(s->flow->lake, name)) {
        s->state_lost = true;
        if (delta_txn(t, SILVER_APP_ID) > s->lake_most) s->lake_most = delta_txn(t, SILVER_APP_ID);
        delta_close(t);
    }
    mem_free(name);
    return ok;
}

/* Tables in the lake that the state does not know: it was deleted, everything is to be folded again. */
static bool look_for_lost(struct silver *s, struct error *err)
{
    char *path = mem_format("%s/silver", s->flow->lake);
    DIR *dir = opendir(path);
    mem_free(path);
    bool ok = true;
    s->lake_most = -1;
    for (struct dirent *d; ok && dir && (d = readdir(dir));)
        if (d->d_name[0] != '.' && !known_folder(s, d->d_name)) ok = look_at(s, d->d_name, err);
    if (dir) closedir(dir);
    if (s->state_lost)
        log_warn("refine", "the state knows less than the lake, it is built again", "lake=%s",
                 s->flow->lake);
    return ok;
}

static bool load_open_copy(struct silver *s, struct error *err)
{
    struct buf value = {0};
    bool found;
    bool ok = state_get(s->flow->state, NULL, SLICE("c/"), &value, &found, err);
    if (ok && found && value.len == 8) s->open_copy = raw_get_be64(value.data);
    buf_free(&value);
    return ok;
}

bool silver_open(struct silver **out, struct flow *flow, struct engine_conn *conn,
                 const struct silver_hooks *hooks, struct error *err)
{
    struct silver *s = mem_alloc(sizeof *s);
    s->flow = flow;
    s->conn = conn;
    if (hooks) s->hooks = *hooks;
    if (dialect_load(conn, err) && cleaner_open(&s->cleaner, err) && open_quarantine(s, err) &&
        load_open_copy(s, err) && load_tables(s, err) && look_for_lost(s, err)) {
        *out = s;
        return true;
    }
    silver_close(s);
    return error_wrap(err, "silver");
}

static void free_table(void *t)
{
    table_free(t);
}

void silver_close(struct silver *s)
{
    if (!s) return;
    map_free(&s->tables, free_table);
    if (s->quarantine) keyed_close(s->quarantine);
    cleaner_close(&s->cleaner);
    mem_free(s);
}

/* ---- one table of a range */

struct group { /* the events of one table */
    char *source;
    struct change *changes;
    size_t count, cap;
};

static void work_free(struct range_work *w)
{
    state_batch_free(w->also);
    clean_results_free(&w->results);
    map_free(&w->entries, NULL);
    map_free(&w->counts, NULL);
    mem_free(w->versions);
    mem_free(w->items);
    mem_free(w->held);
    arena_free(&w->arena);
}

/* The schema at the end of the range decides on the columns of all its rows. */
static bool last_schema(struct range_work *w, const struct group *g, struct error *err)
{
    for (size_t i = g->count; i-- > 0;)
        if (g->changes[i].op == CHANGE_SCHEMA)
            return table_add_schema(w->table, g->changes[i].after, w->also, err);
    return true;
}

static void key_text(const struct schema *s, struct buf *out)
{
    for (int place = 1; s && place <= (int)s->count; place++)
        for (size_t i = 0; i < s->count; i++)
            if (s->columns[i].key == place) buf_printf(out, "%s,", s->columns[i].name);
}

/* Keys that are made otherwise do not meet the old ones: only a new copy brings them together. */
static void ask_for_copy(struct range_work *w, const struct schema *before)
{
    struct table *t = w->table;
    struct buf was = {0}, is = {0};
    key_text(before, &was);
    key_text(t->schema, &is);
    bool other = before && (!slice_equal(buf_slice(&was), buf_slice(&is)) ||
                            (t->kind == TABLE_HASHED && strcmp(before->id, t->schema->id) != 0));
    buf_free(&was);
    buf_free(&is);
    if (!other || t->record.copy || t->kind == TABLE_HISTORY) return;
    char *request = mem_text(t->source);
    log_warn("refine", "the key or a row without key changed its shape, a new copy is asked for",
             "table=%s", t->name);
    if (!queue_push(&w->silver->flow->resync_requests, request, strlen(request) + 1, 0)) mem_free(request);
}

static bool evolve(struct range_work *w, const struct schema *before, int64_t position, struct error *err)
{
    w->state_only = table_lake_position(w->table) >= position;
    if (w->state_only) return true; /* an old shape must not come over what is newer in the lake */
    ask_for_copy(w, before);
    return table_evolve(w->silver, w->table, err);
}

static bool prepare(struct range_work *w, const struct group *g, int64_t position, struct error *err)
{
    struct table *t = w->table;
    const struct schema *before = t->schema;
    char id[17];
    memcpy(id, t->record.schema, sizeof id);
    if (!last_schema(w, g, err)) return false;
    if (!t->schema) return true; /* the begin of its first copy, perhaps: folding decides */
    if (!table_plan(t, err) || !table_open(w->silver, t, err) || !evolve(w, before, position, err))
        return false;
    t->opened = true;
    t->schema = before; /* folding meets the schema records again, each in its place */
    memcpy(t->record.schema, id, sizeof id);
    return true;
}

static bool prefetch(struct range_work *w, const struct group *g, struct error *err)
{
    if (w->table->kind != TABLE_KEYED) return true;
    struct slice *keys = mem_resize(NULL, g->count * 2 + 1, sizeof *keys);
    size_t n = 0;
    for (size_t i = 0; i < g->count; i++) {
        const struct change *c = &g->changes[i];
        if (!strchr("cudr", (char)c->op)) continue;
        if (c->key.data) keys[n++] = c->key;
        if (c->old_key.data) keys[n++] = c->old_key;
    }
    bool ok = range_prefetch(w, keys, n, err);
    mem_free(keys);
    return ok;
}

static bool fold(struct range_work *w, const struct group *g, struct error *err)
{
    for (size_t i = 0; i < g->count; i++)
        if (!fold_change(w, &g->changes[i], err))
            return error_wrap(err, "lsn %X/%08X, change %llu", (unsigned)(g->changes[i].lsn >> 32),
                              (unsigned)g->changes[i].lsn, (unsigned long long)g->changes[i].ordinal);
    hashed_flush(w);
    return true;
}

static bool refine_table(struct range_work *w, const struct group *g, int64_t position, struct error *err)
{
    struct table *t = w->table;
    struct settled settled = {0};
    if (!prepare(w, g, position, err) || !prefetch(w, g, err) || !fold(w, g, err)) return false;
    bool ok = clean_items(&w->silver->cleaner, &t->model, t->schema, &t->columns, w->items, w->item_count,
                          &w->results, err) &&
              settle(w, &settled, position, err) && commit_table(w, &settled, position, err);
    settled_free(&settled);
    return ok;
}

/* Leaves a table behind, so that the others go on; false when the failure is not its own. */
static bool leave_behind(struct silver *s, struct table *t, struct error *err)
{
    if (err->kind != ERROR_DATA && err->kind != ERROR_CONFIG) return false;
    log_error("refine", "table left behind", err);
    t->failed = true;
    t->record.behind = true;
    metric_add(&tables_behind, 1);
    struct state_batch *batch = state_batch_new();
    table_put_record(t, batch);
    bool ok = state_write(s->flow->state, batch, err);
    state_batch_free(batch);
    return ok;
}

static bool apply_group(struct silver *s, struct table *t, const struct group *g, int64_t position,
                        struct error *err)
{
    if (t->failed) return true;
    if (!t->opened && !load_table(s, t, err)) return error_wrap(err, "silver: %s", t->name);
    if (t->record.position >= position) return true;
    if (t->record.behind && !s->position_asked) return true;
    if (t->record.position == 0 && s->open_copy && !t->record.copy) t->record.copy = s->open_copy;
    const struct table_record before = t->record;
    struct range_work w = {.silver = s, .table = t, .also = state_batch_new()};
    bool ok = refine_table(&w, g, position, err);
    work_free(&w);
    if (ok) return true;
    unload_table(t);
    t->record = before;
    t->schema = NULL;
    error_wrap(err, "silver: %s", t->name);
    return leave_behind(s, t, err);
}

/* ---- a range */

static void group_add(struct group *g, const struct change *c)
{
    MEM_GROW(g->changes, g->count, g->cap);
    g->changes[g->count++] = *c;
}

struct groups {
    struct group *items;
    size_t count, cap;
    struct group shared;  /* brackets that name no table */
    struct map by_source; /* index + 1 */
};

static struct group *group_of(struct groups *all, struct slice source)
{
    void **place = map_put(&all->by_source, source);
    if (!*place) {
        MEM_GROW(all->items, all->count, all->cap);
        all->items[all->count++] = (struct group){.source = mem_textn(source.data, source.len)};
        *place = (void *)(uintptr_t)all->count;
    }
    return &all->items[(uintptr_t)*place - 1];
}

static bool group_rows(struct groups *all, struct slice rows, struct error *err)
{
    struct group *last = NULL;
    while (rows.len) {
        struct change c;
        if (!change_decode(&rows, &c, err)) return error_wrap(err, "silver: bronze row");
        if (c.table.len == 0) {
            group_add(&all->shared, &c);
            continue;
        }
        if (!last || !slice_equal(slice_of(last->source), c.table)) last = group_of(all, c.table);
        group_add(last, &c);
    }
    return true;
}

/* Puts a bracket of all tables into one table's events: a begin first, a complete after what it covers. */
static void insert_shared(struct group *g, const struct change *c)
{
    size_t at = 0;
    while (c->op == CHANGE_SNAPSHOT_COMPLETE && at < g->count &&
           (g->changes[at].epoch < c->epoch ||
            (g->changes[at].epoch == c->epoch && g->changes[at].lsn <= c->lsn)))
        at++;
    group_add(g, c);
    memmove(g->changes + at + 1, g->changes + at, (g->count - 1 - at) * sizeof *g->changes);
    g->changes[at] = *c;
}

static void spread_shared(struct silver *s, struct groups *all)
{
    size_t at = 0;
    struct slice source;
    if (all->shared.count == 0) return;
    while (map_next(&s->tables, &at, &source, NULL))
        group_of(all, source);
    for (size_t i = 0; i < all->count; i++)
        for (size_t k = 0; k < all->shared.count; k++)
            insert_shared(&all->items[i], &all->shared.changes[k]);
}

static bool save_open_copy(struct silver *s, const struct groups *all, struct error *err)
{
    if (all->shared.count == 0) return true;
    for (size_t i = 0; i < all->shared.count; i++) {
        const struct change *c = &all->shared.changes[i];
        if (c->op == CHANGE_SNAPSHOT_BEGIN)
            s->open_copy = copy_hash(c->key);
        else if (c->op == CHANGE_SNAPSHOT_COMPLETE && s->open_copy == copy_hash(c->key))
            s->open_copy = 0;
    }
    struct buf value = {0};
    struct state_batch *batch = state_batch_new();
    raw_put_be64(&value, s->open_copy);
    state_batch_put(batch, SLICE("c/"), buf_slice(&value));
    bool ok = state_write(s->flow->state, batch, err);
    state_batch_free(batch);
    buf_free(&value);
    return ok;
}

static void groups_free(struct groups *all)
{
    for (size_t i = 0; i < all->count; i++) {
        mem_free(all->items[i].source);
        mem_free(all->items[i].changes);
    }
    mem_free(all->items);
    mem_free(all->shared.changes);
    map_free(&all->by_source, NULL);
}

bool silver_apply(struct silver *s, struct slice rows, int64_t position, struct error *err)
{
    struct groups all = {0};
    bool ok = group_rows(&all, rows, err);
    if (ok) spread_shared(s, &all);
    for (size_t i = 0; ok && i < all.count; i++) {
        struct table *t = map_get(&s->tables, slice_of(all.items[i].source));
        if (!t) t = add_table(s, all.items[i].source);
        ok = apply_group(s, t, &all.items[i], position, err);
    }
    ok = ok && save_open_copy(s, &all, err);
    groups_free(&all);
    return ok;
}

/* ---- what others ask */

struct table *silver_find(const struct silver *s, const char *name)
{
    size_t at = 0;
    void *t;
    while (map_next(&s->tables, &at, NULL, &t))
        if (strcmp(((struct table *)t)->name, name) == 0) return t;
    return NULL;
}

struct keyed *silver_table(struct silver *s, const char *table)
{
    const struct table *t = silver_find(s, table);
    return t ? t->current : NULL;
}

bool silver_copying(const struct silver *s)
{
    size_t at = 0;
    void *value;
    while (map_next(&s->tables, &at, NULL, &value))
        if (((const struct table *)value)->record.copy) return true;
    return s->open_copy != 0;
}

int64_t silver_position_most(const struct silver *s)
{
    int64_t most = s->lake_most;
    size_t at = 0;
    void *value;
    while (map_next(&s->tables, &at, NULL, &value)) {
        const struct table *t = value;
        int64_t here = table_lake_position(t);
        if (t->record.schema[0] && t->record.position > here) here = t->record.position;
        if (here > most) most = here;
    }
    return most;
}

int64_t silver_position_least(struct silver *s)
{
    int64_t least = silver_position_most(s);
    size_t at = 0;
    void *value;
    s->position_asked = true;
    if (s->state_lost) return 0;
    while (map_next(&s->tables, &at, NULL, &value)) {
        const struct table *t = value;
        bool behind = t->record.behind || t->record.position < table_lake_position(t);
        if (behind && t->record.position < least) least = t->record.position;
    }
    return least;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(struct table *const *)a)->name, (*(struct table *const *)b)->name);
}

void silver_versions(const struct silver *s, struct buf *json)
{
    struct table **sorted = mem_resize(NULL, s->tables.count + 1, sizeof *sorted);
    size_t count = 0, at = 0;
    void *t;
    while (map_next(&s->tables, &at, NULL, &t))
        sorted[count++] = t;
    qsort(sorted, count, sizeof *sorted, compare_names);
    buf_put_char(json, '{');
    for (size_t i = 0; i < count; i++) {
        char *history = mem_format("%s_history", sorted[i]->name);
        if (sorted[i]->current) {
            buf_put_json(json, slice_of(sorted[i]->name));
            buf_printf(json, ":%lld,", (long long)keyed_version(sorted[i]->current));
        }
        if (sorted[i]->history) {
            buf_put_json(json, slice_of(history));
            buf_printf(json, ":%lld,", (long long)delta_version(sorted[i]->history));
        }
        mem_free(history);
    }
    buf_printf(json, "\"quarantine\":%lld}", (long long)keyed_version(s->quarantine));
    mem_free(sorted);
}

uint64_t silver_shape(const struct silver *s)
{
    uint64_t shape = 0;
    size_t at = 0;
    struct slice name;
    void *value;
    while (map_next(&s->tables, &at, &name, &value)) {
        const struct table *t = value;
        struct buf text = {0};
        buf_put_slice(&text, name);
        buf_put_char(&text, t->current || t->history ? '+' : '-');
        columns_clickhouse(&t->stored, &text);
        shape += XXH3_64bits(text.data, text.len); /* a sum: the order of a map means nothing */
        buf_free(&text);
    }
    return shape;
}
