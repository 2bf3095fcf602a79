/* What a range of bronze does to silver's tables.
 *
 *   rows of a range --by table--> [new columns?] --> fold --> clean --> settle, quarantine --> commit
 *                                 '---- begun, several ----'  crew   '--- one by one ---'    crew
 *
 *  1. A table whose raw state stands at the position is passed over; so replaying a range gives the same
 *     result (invariant 4).
 *  2. A table that fails by its data or its model is left behind, alone: its record says so, the others go
 *     on (invariant 6). It waits until silver_position_least was asked, that is until the driver begins
 *     again there; a range with a gap before it is never taken.
 *  3. After any failure a table is opened anew, so that what the lake decided is what memory knows.
 *  4. Tables do not read each other, so several are under way while memory allows (UNDER_WAY_BYTES of
 *     images), and two may commit at once. */
#include "base/clock.h"
#include "base/log.h"
#include "format/change.h"
#include "stages/refine/silver/silver_int.h"

#include <stdlib.h>

enum { UNDER_WAY_BYTES = 4 << 20 };

static struct metric tables_behind =
    METRIC_GAUGE("millrace_silver_tables_behind", "Tables left behind by an error of their data or model");

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
    mem_free(w->poison);
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

/* One table's share of a range, on its way: its SELECT and its commit are the crew's. */
struct share {
    struct table *table;
    struct table_record before; /* to go back to when it fails */
    struct range_work w;
    struct settled settled;
    int64_t position; /* of the range's end */
    struct crew_job job;
    bool begun, given;
    bool ok;            /* so far */
    bool ended;         /* committed or undone */
    struct error error; /* why it is not ok */
    int64_t folded_us, cleaned_us, settled_us, committed_us; /* spent */
};

static void run_clean(void *arg, int lane)
{
    struct share *p = arg;
    struct range_work *w = &p->w;
    int64_t start_us = clock_mono_us();
    struct cleaner *cleaner = lane ? &w->silver->helper_cleaner : &w->silver->cleaner;
    p->ok = clean_items(cleaner, &w->table->model, w->table->schema, &w->table->columns, w->items, w->item_count,
                        &w->results, &p->error);
    p->cleaned_us = clock_mono_us() - start_us;
}

static void run_commit(void *arg, int lane)
{
    struct share *p = arg;
    struct silver *s = p->w.silver;
    int64_t start_us = clock_mono_us();
    struct engine_conn *conn = lane ? s->helper_cleaner.conn : s->conn;
    p->ok = commit_table(&p->w, conn, &p->settled, p->position, &p->error);
    p->committed_us = clock_mono_us() - start_us;
}

static void share_give(struct share *p, void (*run)(void *arg, int lane))
{
    p->job = (struct crew_job){.run = run, .arg = p};
    p->given = true;
    crew_give(p->w.silver->crew, &p->job);
}

static void share_wait(struct share *p)
{
    if (p->given) crew_finish(p->w.silver->crew, &p->job);
    p->given = false;
}

/* Leaves a table behind, so that the others go on; false when the failure is not its own. */
static bool leave_behind(struct silver *s, struct table *t, struct error *err)
{
    if (err->kind != ERROR_DATA && err->kind != ERROR_CONFIG) return false;
    log_error("refine", "table left behind", err);
    bool waited = t->record.behind;
    t->failed = true;
    t->record.behind = true;
    /* nothing of it came in between: bronze keeps its log from where a table waits */
    if (t->record.position < s->from && !waited) t->record.position = s->from;
    metric_add(&tables_behind, 1);
    struct state_batch *batch = state_batch_new();
    table_put_record(t, batch);
    bool ok = state_write(s->flow->state, batch, err);
    state_batch_free(batch);
    return ok;
}

/* Folding has moved what memory knows of the table: it is opened anew where it stood. */
static void share_undo(struct share *p)
{
    silver_unload_table(p->table);
    p->table->record = p->before;
    p->table->schema = NULL;
    p->ended = true;
}

/* After a failure of the table's own it is left behind; any other is the range's. */
static bool share_failed(struct share *p, struct error *err)
{
    struct silver *s = p->w.silver;
    share_undo(p);
    error_wrap(err, "silver: %s", p->table->name);
    return leave_behind(s, p->table, err);
}

static void share_drop(struct share *p)
{
    share_wait(p);
    if (p->begun && !p->ended) share_undo(p);
    if (p->begun) work_free(&p->w);
    settled_free(&p->settled);
    p->begun = false;
}

/* Folds the events and gives their images to be cleaned; p->begun says whether there is anything to end. */
static bool share_begin(struct silver *s, struct share *p, const struct group *g, int64_t position,
                        struct error *err)
{
    struct table *t = p->table;
    if (t->failed) return true;
    if (!t->opened && !silver_load_table(s, t, err)) return error_wrap(err, "silver: %s", t->name);
    if (t->record.position >= position) return true;
    if (t->record.behind && !s->position_asked) return true;
    if (t->record.position == 0 && s->open_copy && !t->record.copy) t->record.copy = s->open_copy;
    int64_t start_us = clock_mono_us();
    p->before = t->record;
    p->w = (struct range_work){.silver = s, .table = t, .also = state_batch_new()};
    p->begun = true;
    if (!prepare(&p->w, g, position, err) || !prefetch(&p->w, g, err) || !fold(&p->w, g, err)) {
        bool others_go_on = share_failed(p, err);
        share_drop(p);
        return others_go_on;
    }
    p->folded_us = clock_mono_us() - start_us;
    p->position = position;
    share_give(p, run_clean);
    return true;
}

/* What is cleaned goes on its way to the lake. */
static void share_commit(struct share *p)
{
    if (!p->begun) return;
    share_wait(p);
    int64_t start_us = clock_mono_us();
    p->ok = p->ok && settle(&p->w, &p->settled, p->position, &p->error) &&
            commit_quarantine(&p->w, &p->settled, p->position, &p->error);
    p->settled_us = clock_mono_us() - start_us;
    if (p->ok) share_give(p, run_commit);
}

static bool share_end(struct share *p, struct error *err)
{
    if (!p->begun) return true;
    share_wait(p);
    bool ok = p->ended = p->ok;
    if (ok)
        log_debug("refine", "silver",
                  "table=%s rows=%zu fold_us=%lld clean_us=%lld settle_us=%lld commit_us=%lld", p->table->name,
                  p->w.version_count, (long long)p->folded_us, (long long)p->cleaned_us,
                  (long long)p->settled_us, (long long)p->committed_us);
    else
        *err = p->error;
    ok = ok || share_failed(p, err);
    share_drop(p);
    return ok;
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

static size_t group_bytes(const struct group *g)
{
    size_t bytes = 0;
    for (size_t i = 0; i < g->count; i++)
        bytes += g->changes[i].after.len + g->changes[i].key.len;
    return bytes;
}

/* Tables are begun as long as what is under way stays small, and ended in their order, each after the next one
 * was sent to its commit. */
static bool apply_groups(struct silver *s, const struct groups *all, struct share *shares, int64_t position,
                         struct error *err)
{
    size_t next = 0, under_way = 0;
    bool ok = true;
    for (size_t i = 0; ok && i <= all->count; i++) {
        for (; ok && next < all->count && (next <= i || under_way < UNDER_WAY_BYTES); next++) {
            struct table *t = map_get(&s->tables, slice_of(all->items[next].source));
            shares[next].table = t ? t : silver_add_table(s, all->items[next].source);
            under_way += group_bytes(&all->items[next]);
            ok = share_begin(s, &shares[next], &all->items[next], position, err);
        }
        if (ok && i < all->count) share_commit(&shares[i]);
        if (i == 0) continue;
        ok = ok && share_end(&shares[i - 1], err);
        under_way -= group_bytes(&all->items[i - 1]);
    }
    for (size_t i = 0; i < next; i++)
        share_drop(&shares[i]);
    return ok;
}

bool silver_apply(struct silver *s, struct slice rows, int64_t position, struct error *err)
{
    struct groups all = {0};
    bool ok = group_rows(&all, rows, err);
    if (ok) {
        spread_shared(s, &all);
        struct share *shares = mem_alloc((all.count + 1) * sizeof *shares);
        ok = apply_groups(s, &all, shares, position, err) && save_open_copy(s, &all, err);
        mem_free(shares);
        if (ok && position > s->from) s->from = position;
    }
    groups_free(&all);
    return ok;
}
