/* Building and publishing a commit.
 *
 *   sync new files in parallel -> put version read+1 if absent -> taken? -> read the winner
 *                                        ^                                     |
 *                                        +-- next version <-- no conflict <----+--> conflict: RETRY
 *
 *  1. Everything the commit names is durable before it is published.
 *  2. A winner is a conflict when
 *       it changes protocol or metadata;
 *       it carries a txn of an app id that we write: somebody has taken our input;
 *       we stand on the whole table (delta_commit_read_all);
 *       we remove data, and it adds or removes any;
 *       we remove a path that it removes too, whatever the vectors.
 *     Pure appends pass; so does compaction (nothing but dataChange=false) past appends.
 *  3. An answer that may have been lost is settled by reading the version and comparing txnId.
 *  4. Within one commit: one metaData, one txn of an app id, one add and one remove of a path. */
#include "lake/delta_int.h"

#include <assert.h>
#include <stdlib.h>

#ifndef MILLRACE_VERSION
#define MILLRACE_VERSION "unknown"
#endif

struct commit_file {
    struct delta_file file;
    bool data_change;
};

struct commit_files {
    struct commit_file *items;
    size_t count, cap;
};

struct delta_commit {
    struct delta_table *table;
    char *operation, *id, *user_metadata;
    struct commit_files adds, removes;
    struct delta_txn *txns;
    size_t txn_count, txn_cap;
    struct columns columns;
    bool new_columns, read_all;
};

struct delta_commit *delta_commit_begin(struct delta_table *t, const char *operation)
{
    struct delta_commit *c = mem_alloc(sizeof *c);
    c->table = t;
    c->operation = mem_text(operation);
    c->id = delta_uuid();
    return c;
}

const char *delta_commit_id(const struct delta_commit *c)
{
    return c->id;
}

void delta_commit_read_all(struct delta_commit *c)
{
    c->read_all = true;
}

static void files_put(struct commit_files *l, const struct delta_file *f, bool data_change)
{
    MEM_GROW(l->items, l->count, l->cap);
    l->items[l->count].data_change = data_change;
    delta_file_copy(&l->items[l->count++].file, f);
}

static void files_free(struct commit_files *l)
{
    for (size_t i = 0; i < l->count; i++)
        delta_file_free(&l->items[i].file);
    mem_free(l->items);
    *l = (struct commit_files){0};
}

void delta_commit_add(struct delta_commit *c, const struct delta_file *f, bool data_change)
{
    bool all_deleted = f->dv.type && f->rows >= 0 && f->dv.cardinality >= f->rows;
    if (!all_deleted) files_put(&c->adds, f, data_change);
}

void delta_commit_remove(struct delta_commit *c, const struct delta_file *f, bool data_change)
{
    files_put(&c->removes, f, data_change);
}

void delta_commit_txn(struct delta_commit *c, const char *app_id, int64_t version)
{
    for (size_t i = 0; i < c->txn_count; i++)
        assert(strcmp(c->txns[i].app_id, app_id));
    MEM_GROW(c->txns, c->txn_count, c->txn_cap);
    c->txns[c->txn_count++] = (struct delta_txn){mem_text(app_id), version};
}

void delta_commit_columns(struct delta_commit *c, const struct columns *columns)
{
    columns_free(&c->columns);
    columns_copy(&c->columns, columns);
    c->new_columns = true;
}

void delta_commit_user_metadata(struct delta_commit *c, const char *text)
{
    mem_free(c->user_metadata);
    c->user_metadata = mem_text(text);
}

void delta_commit_cancel(struct delta_commit *c)
{
    if (!c) return;
    files_free(&c->adds);
    files_free(&c->removes);
    for (size_t i = 0; i < c->txn_count; i++)
        mem_free(c->txns[i].app_id);
    mem_free(c->txns);
    columns_free(&c->columns);
    mem_free(c->operation);
    mem_free(c->id);
    mem_free(c->user_metadata);
    mem_free(c);
}

/* ---- checks before anything is written ---- */

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct commit_file *)a)->file.path, ((const struct commit_file *)b)->file.path);
}

static bool paths_unique(struct commit_files *l, const char *what, struct error *err)
{
    if (l->count) qsort(l->items, l->count, sizeof *l->items, by_path);
    for (size_t i = 1; i < l->count; i++)
        if (by_path(&l->items[i - 1], &l->items[i]) == 0)
            return error_set(err, ERROR_FATAL, "a commit %s %.300s twice", what, l->items[i].file.path);
    return true;
}

/* The adds stay in the order in which they were given: the log keeps it, and readers of an append-only
 * table go by it. */
static bool adds_unique(const struct delta_commit *c, struct error *err)
{
    struct commit_files sorted = {.count = c->adds.count};
    sorted.items = mem_resize(NULL, sorted.count + 1, sizeof *sorted.items);
    if (sorted.count) memcpy(sorted.items, c->adds.items, sorted.count * sizeof *sorted.items);
    bool unique = paths_unique(&sorted, "adds", err);
    mem_free(sorted.items);
    return unique;
}

static const struct delta_file *find_sorted(const struct commit_files *l, const char *path)
{
    struct commit_file key = {.file = {.path = (char *)path}};
    const struct commit_file *at = l->count ? bsearch(&key, l->items, l->count, sizeof key, by_path) : NULL;
    return at ? &at->file : NULL;
}

static bool check_removes(const struct delta_commit *c, struct error *err)
{
    for (size_t i = 0; i < c->removes.count; i++) {
        const struct commit_file *r = &c->removes.items[i];
        const struct delta_file *live = delta_file_find(c->table, r->file.path);
        if (!live || !delta_same_dv(&live->dv, &r->file.dv))
            return error_set(err, ERROR_RETRY, "%.300s is no longer live in this state", r->file.path);
        if (r->data_change && c->table->now.append_only)
            return error_set(err, ERROR_CONFIG, "the table is append-only");
    }
    return true;
}

static bool check_adds(const struct delta_commit *c, struct error *err)
{
    for (size_t i = 0; i < c->adds.count; i++) {
        const struct delta_file *f = &c->adds.items[i].file;
        const struct delta_file *live = delta_file_find(c->table, f->path);
        if (f->dv.type && f->rows < 0)
            return error_set(err, ERROR_DATA, "%.300s has a deletion vector and no row count", f->path);
        if (f->dv.type && !c->table->now.deletion_vectors)
            return error_set(err, ERROR_CONFIG, "the table does not allow deletion vectors");
        if (live && !delta_same_dv(&live->dv, &f->dv) && !find_sorted(&c->removes, f->path))
            return error_set(err, ERROR_FATAL, "%.300s would live twice", f->path);
    }
    return true;
}

static bool check(struct delta_commit *c, struct error *err)
{
    const struct delta_snapshot *s = &c->table->now;
    if (s->unwritable) return error_set(err, ERROR_CONFIG, "%s", s->unwritable);
    if (c->table->pinned) return error_set(err, ERROR_CONFIG, "the table is open at a past version");
    if (c->table->stale) return error_set(err, ERROR_RETRY, "the handle must be refreshed first");
    return adds_unique(c, err) && paths_unique(&c->removes, "removes", err) &&
           check_removes(c, err) && check_adds(c, err);
}

/* ---- durable files ---- */

/* New data files, and the .bin files of vectors that the live state does not already stand on. */
static void new_files(const struct delta_commit *c, struct delta_texts *names)
{
    for (size_t i = 0; i < c->adds.count; i++) {
        const struct delta_file *f = &c->adds.items[i].file;
        const struct delta_file *live = delta_file_find(c->table, f->path);
        if (!live) {
            struct buf decoded = {0};
            delta_put_decoded(&decoded, f->path);
            delta_texts_add(names, buf_text(&decoded));
            buf_free(&decoded);
        }
        char *vector = live && delta_same_dv(&live->dv, &f->dv) ? NULL : delta_vector_name(&f->dv);
        if (vector && !delta_texts_have(names, vector)) delta_texts_add(names, vector);
        mem_free(vector);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is committed is no longer in flight. Sorts the names. */
static void landed(struct delta_table *t, struct delta_texts *names)
{
    size_t left = 0;
    if (names->count) qsort(names->items, names->count, sizeof *names->items, by_text);
    for (size_t i = 0; i < t->in_flight.count; i++) {
        char *name = t->in_flight.items[i];
        if (names->count && bsearch(&name, names->items, names->count, sizeof name, by_text))
            mem_free(name);
        else
            t->in_flight.items[left++] = name;
    }
    t->in_flight.count = left;
}

/* ---- rendering ---- */

static bool is_compaction(const struct delta_commit *c)
{
    for (size_t i = 0; i < c->adds.count; i++)
        if (c->adds.items[i].data_change) return false;
    for (size_t i = 0; i < c->removes.count; i++)
        if (c->removes.items[i].data_change) return false;
    return c->removes.count > 0 && !c->new_columns && c->txn_count == 0;
}

static bool is_blind(const struct delta_commit *c)
{
    return c->removes.count == 0 && !c->new_columns && !c->read_all;
}

static void put_commit_info(const struct delta_commit *c, struct buf *out)
{
    bool compaction = is_compaction(c);
    buf_printf(out, "{\"commitInfo\":{\"timestamp\":%lld,\"operation\":", (long long)delta_now_ms());
    buf_put_json(out, slice_of(c->operation));
    buf_printf(out,
               ",\"operationParameters\":{},\"readVersion\":%lld,\"isolationLevel\":\"%s\","
               "\"isBlindAppend\":%s,\"operationMetrics\":{\"numAddedFiles\":\"%zu\","
               "\"numRemovedFiles\":\"%zu\"}",
               (long long)c->table->now.version, compaction ? "SnapshotIsolation" : "Serializable",
               is_blind(c) ? "true" : "false", c->adds.count, c->removes.count);
    if (c->user_metadata) {
        buf_put_text(out, ",\"userMetadata\":");
        buf_put_json(out, slice_of(c->user_metadata));
    }
    buf_printf(out, ",\"engineInfo\":\"Millrace/%s\",\"txnId\":\"%s\"}}\n", MILLRACE_VERSION, c->id);
}

/* New columns keep what the old schema says in their "metadata": other programs may need it. */
static char *schema_with_metadata(const struct columns *columns, const char *old_schema)
{
    struct buf text = {0};
    columns_delta_schema(columns, &text);
    json_t *fresh = json_loads(buf_text(&text), 0, NULL), *old = json_loads(old_schema, 0, NULL);
    buf_free(&text);
    size_t at, old_at;
    json_t *field, *old_field;
    json_array_foreach(json_object_get(fresh, "fields"), at, field)
    {
        json_array_foreach(json_object_get(old, "fields"), old_at, old_field)
        {
            json_t *metadata = json_object_get(old_field, "metadata");
            if (metadata && json_equal(json_object_get(field, "name"), json_object_get(old_field, "name")))
                json_object_set(field, "metadata", metadata);
        }
    }
    char *dumped = json_dumps(fresh, JSON_COMPACT);
    char *schema = mem_text(dumped);
    free(dumped);
    json_decref(fresh);
    json_decref(old);
    return schema;
}

static void put_new_metadata(const struct delta_commit *c, struct buf *out)
{
    struct delta_metadata m = c->table->now.metadata;
    m.schema = schema_with_metadata(&c->columns, m.schema);
    delta_put_metadata(out, &m);
    mem_free(m.schema);
}

static void render(const struct delta_commit *c, struct buf *out)
{
    const char *partition_column = c->table->now.metadata.partition_column;
    int64_t now = delta_now_ms();
    put_commit_info(c, out);
    if (c->new_columns) put_new_metadata(c, out);
    for (size_t i = 0; i < c->txn_count; i++)
        delta_put_txn(out, c->txns[i].app_id, c->txns[i].version, now);
    for (size_t i = 0; i < c->removes.count; i++)
        delta_put_remove(out, &c->removes.items[i].file, partition_column, now,
                         c->removes.items[i].data_change);
    for (size_t i = 0; i < c->adds.count; i++)
        delta_put_add(out, &c->adds.items[i].file, partition_column, c->adds.items[i].data_change);
}

/* ---- conflicts ---- */

static bool removes_data(const struct delta_commit *c)
{
    for (size_t i = 0; i < c->removes.count; i++)
        if (c->removes.items[i].data_change) return true;
    return false;
}

static const char *conflict_with(const struct delta_commit *c, const struct delta_action *winner)
{
    bool file = winner->kind == DELTA_ADD || winner->kind == DELTA_REMOVE;
    if (winner->kind == DELTA_PROTOCOL) return "another commit changed the protocol";
    if (winner->kind == DELTA_METADATA) return "another commit changed the columns";
    if (c->read_all) return "another commit came first";
    if (file && removes_data(c)) return "another commit changed the table's files";
    if (file && c->new_columns) return "another commit changed the table's files";
    if (winner->kind == DELTA_REMOVE && find_sorted(&c->removes, winner->file.path))
        return "another commit removed the same file";
    for (size_t i = 0; winner->kind == DELTA_TXN && i < c->txn_count; i++)
        if (strcmp(winner->app_id, c->txns[i].app_id) == 0)
            return "another commit has taken the same input";
    return NULL;
}

/* Reads the version that was taken. *mine: it is this very commit. */
static bool settle(struct delta_commit *c, int64_t version, bool *mine, bool *absent, struct error *err)
{
    struct delta_actions winner;
    bool found;
    *mine = false;
    *absent = false;
    if (!delta_read_commit(c->table, version, &winner, &found, err)) return false;
    *absent = !found;
    const char *why = NULL;
    for (size_t i = 0; i < winner.count && !*mine; i++) {
        const struct delta_action *a = &winner.items[i];
        *mine = a->kind == DELTA_COMMIT_INFO && a->commit_id && strcmp(a->commit_id, c->id) == 0;
        if (!why) why = conflict_with(c, a);
    }
    if (found && !winner.count && c->read_all) why = "another commit came first";
    bool ok =
        *mine || !why || error_set(err, ERROR_RETRY, "version %lld conflicts: %s", (long long)version, why);
    delta_actions_free(&winner);
    return ok;
}

/* The put failed, and nobody knows whether it took effect. When it did, it must also be durable. */
static bool settle_unknown(struct delta_commit *c, int64_t version, const char *name, struct error *err)
{
    bool mine, absent;
    struct error ignored;
    if (!settle(c, version, &mine, &absent, &ignored) || !mine) return false;
    const char *const names[] = {name};
    if (store_sync(c->table->store, names, 1, &ignored)) return true;
    err->kind = ERROR_FATAL; /* visible, perhaps not durable: what follows would stand on sand */
    return false;
}

/* Takes in the commits from elsewhere that came between, then ours. */
static bool advance(struct delta_commit *c, int64_t version, struct slice text, struct error *err)
{
    struct delta_table *t = c->table;
    struct delta_actions actions;
    while (t->now.version < version - 1) {
        bool found;
        if (!delta_read_commit(t, t->now.version + 1, &actions, &found, err)) return false;
        if (!found) return delta_load(t, err); /* cleaned up meanwhile */
        if (!delta_take_in(t, &actions, err)) return false;
    }
    return delta_actions_parse(text, &actions, err) && delta_take_in(t, &actions, err);
}

static bool publish(struct delta_commit *c, struct slice text, int64_t *version, struct error *err)
{
    for (int64_t v = c->table->now.version + 1;;) {
        char name[64];
        bool taken, mine, absent;
        delta_commit_name(v, name);
        *version = v;
        if (!store_put_new(c->table->store, name, text, &taken, err))
            return settle_unknown(c, v, name, err);
        if (!taken) return true;
        if (!settle(c, v, &mine, &absent, err)) return false;
        if (mine) return true;
        if (!absent) v++;
    }
}

/* A version at or below the newest checkpoint may have been cleaned up: its name is free again, and
 * must not be taken. A handle so far behind is refreshed first. */
static bool not_passed_by(const struct delta_commit *c, struct error *err)
{
    char name[64];
    bool found;
    delta_commit_name(c->table->now.version, name);
    if (!store_exists(c->table->store, name, &found, err)) return false;
    if (found) return true;
    int64_t before = c->table->now.version;
    if (!delta_refresh(c->table, err)) return false;
    return c->table->now.version == before ||
           error_set(err, ERROR_RETRY, "the handle was %lld commits behind",
                     (long long)(c->table->now.version - before));
}

bool delta_commit_finish(struct delta_commit *c, int64_t *version, struct error *err)
{
    struct delta_table *t = c->table;
    struct delta_texts names = {0};
    struct buf text = {0};
    int64_t reached = -1;
    bool ok = check(c, err) && not_passed_by(c, err);
    if (ok) {
        new_files(c, &names);
        ok = store_sync(t->store, (const char *const *)names.items, names.count, err);
    }
    if (ok) {
        render(c, &text);
        ok = buf_ok(&text) || error_set(err, ERROR_DATA, "the commit is too large");
    }
    if (ok && publish(c, buf_slice(&text), &reached, err)) {
        struct error later; /* the commit stands: a failure to follow it only makes the handle stale */
        if (!advance(c, reached, buf_slice(&text), &later)) t->stale = true;
        landed(t, &names);
        if (version) *version = reached;
    } else {
        ok = false;
        struct error ignored;
        if (!t->now.unwritable && !delta_refresh(t, &ignored)) t->stale = true;
        error_wrap(err, "%s: commit of %s", t->name, c->operation);
    }
    delta_texts_free(&names);
    buf_free(&text);
    delta_commit_cancel(c);
    return ok;
}
