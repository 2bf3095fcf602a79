/* Silver's life, its tables, and where they stand (silver.h). What a range does to them is apply.c. */
#include "base/log.h"
#include "format/change.h"
#include "stages/refine/silver/silver_int.h"

#include <xxhash.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- opening */

static bool open_quarantine(struct silver *s, struct error *err)
{
    static const char *const key[] = {"table", "key"};
    bool differ;
    return keyed_open_named(s, QUARANTINE_TABLE, quarantine_columns(), key, 2, NULL, 0, &s->quarantine,
                            &differ, err);
}

/* Opens a table's handles. */
bool silver_load_table(struct silver *s, struct table *t, struct error *err)
{
    bool found = false;
    if (!table_load(t, s->flow->state, NULL, &found, err)) return false;
    if (!found || !t->schema) return true;
    if (!table_plan(t, err) || !table_open(s, t, err)) return false;
    /* opening may have applied what a killed run had prepared */
    if (!table_load(t, s->flow->state, NULL, &found, err) || !table_plan(t, err)) return false;
    history_map(t);
    t->opened = true;
    return true;
}

void silver_unload_table(struct table *t)
{
    if (t->current) keyed_close(t->current);
    if (t->history) delta_close(t->history);
    t->current = NULL;
    t->history = NULL;
    t->opened = false;
}

struct table *silver_add_table(struct silver *s, const char *source)
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
            silver_add_table(s, record.source);
    }
    if (!state_iter_close(it, err)) return false;
    size_t at = 0;
    void *t;
    while (map_next(&s->tables, &at, NULL, &t))
        if (!silver_load_table(s, t, err)) return error_wrap(err, "silver: %s", ((struct table *)t)->name);
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
        int64_t position = delta_txn(t, SILVER_APP_ID);
        if (position > s->lake_most) s->lake_most = position;
        MEM_GROW(s->lost_positions, s->lost_count, s->lost_cap);
        s->lost_positions[s->lost_count++] = position;
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
        log_warn("refine", "state is lost, built again", "lake=%s",
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

static bool open_cleaners(struct silver *s, struct error *err)
{
    return cleaner_open(&s->cleaner, err) && cleaner_open(&s->helper_cleaner, err) &&
           crew_open(&s->crew, "silver", err);
}

bool silver_open(struct silver **out, struct flow *flow, struct engine_conn *conn,
                 const struct silver_hooks *hooks, struct error *err)
{
    struct silver *s = mem_alloc(sizeof *s);
    s->flow = flow;
    s->conn = conn;
    if (hooks) s->hooks = *hooks;
    if (dialect_load(conn, err) && open_cleaners(s, err) && open_quarantine(s, err) &&
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
    crew_close(s->crew);
    cleaner_close(&s->cleaner);
    cleaner_close(&s->helper_cleaner);
    mem_free(s->lost_positions);
    mem_free(s);
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

void silver_begin_at(struct silver *s, int64_t position)
{
    s->from = position;
}

int64_t silver_position_waiting(const struct silver *s)
{
    int64_t least = -1;
    size_t at = 0;
    void *value;
    while (map_next(&s->tables, &at, NULL, &value)) {
        const struct table_record *r = &((const struct table *)value)->record;
        if (r->behind && (least < 0 || r->position < least)) least = r->position;
    }
    return least;
}

int64_t silver_position_most(const struct silver *s)
{
    int64_t most = s->lake_most;
    size_t at = 0;
    void *value;
    while (map_next(&s->tables, &at, NULL, &value)) {
        const struct table *t = value;
        int64_t here = table_lake_position(t);
        /* a run killed between the two commits left the history further */
        int64_t history = t->history ? delta_txn(t->history, SILVER_APP_ID) : -1;
        if (history > here) here = history;
        if (t->record.schema[0] && t->record.position > here) here = t->record.position;
        if (here > most) most = here;
    }
    return most;
}

static void take_nearer(int64_t *next, int64_t position, int64_t after)
{
    if (position > after && (*next < 0 || position < *next)) *next = position;
}

int64_t silver_position_next(const struct silver *s, int64_t after)
{
    int64_t next = -1;
    size_t at = 0;
    void *value;
    for (size_t i = 0; i < s->lost_count; i++)
        take_nearer(&next, s->lost_positions[i], after);
    while (map_next(&s->tables, &at, NULL, &value)) {
        const struct table *t = value;
        if (t->current) take_nearer(&next, keyed_position(t->current), after);
        if (t->history) take_nearer(&next, delta_txn(t->history, SILVER_APP_ID), after);
    }
    return next;
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
