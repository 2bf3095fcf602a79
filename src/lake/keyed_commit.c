/* A plan becomes durable: the protocol of keyed.h.
 *
 *   write files, vectors -> [intent in the store] -> Delta commit -> [batch applied, intent gone]
 *                                  |                     |
 *                          keyed.prepared        keyed.committed / keyed.compacted
 *
 *   large plan: the intent holds only what the caller adds; with it v/ becomes -1, and r/, i/, f/ follow
 *   the commit in pieces, v/ last. A crash in between costs a rebuild, never the caller's part.
 *
 *  1. Nothing in the store changes before the intent, nothing in memory before the Delta commit.
 *  2. After the intent every failure is decided by the log, at once if it can be read, else by the
 *     next call: success is reported exactly when the commit is there.
 *  3. File numbers are given in order of writing; a number is taken for good when f/ has it. */
#include "lake/keyed_int.h"

#include "base/failpoint.h"

#include <assert.h>
#include <stdlib.h>

/* One live file that loses rows. */
struct touched {
    uint32_t number;
    uint32_t *rows; /* its whole new vector */
    size_t count;
    bool gone;      /* no live row is left */
    struct delta_file file; /* as it will be in the log */
};

struct work {
    struct keyed *k;
    struct engine_conn *conn;
    const struct keyed_plan *plan;
    struct delta_file *added; /* numbered from first_number on */
    size_t added_count, added_cap;
    uint32_t first_number;
    struct touched *touched;
    size_t touched_count, touched_cap;
    struct state_batch *batch;
    struct keyed_intent intent;
};

static void free_work(struct work *w)
{
    for (size_t i = 0; i < w->added_count; i++) delta_file_free(&w->added[i]);
    for (size_t i = 0; i < w->touched_count; i++) {
        mem_free(w->touched[i].rows);
        delta_file_free(&w->touched[i].file);
    }
    mem_free(w->added);
    mem_free(w->touched);
    state_batch_free(w->batch);
}

/* ---- new rows ---- */

static bool write_rows(struct work *w, const struct buf *rows, size_t count, struct error *err)
{
    struct delta_file f = {0};
    if (!buf_ok(rows)) return error_set(err, ERROR_DATA, "%s: rows too large for a file", w->k->name);
    if (!delta_write_file(w->k->table, w->conn, buf_slice(rows), count, NULL, &f, err)) return false;
    MEM_GROW(w->added, w->added_count, w->added_cap);
    w->added[w->added_count++] = f;
    return true;
}

static bool write_files(struct work *w, struct error *err)
{
    struct buf rows = {0};
    size_t count = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < w->plan->count; i++) {
        struct keyed_item *item = &w->plan->items[i];
        if (!item->after.data) continue;
        item->new_file = w->first_number + (uint32_t)w->added_count;
        item->new_row = (uint32_t)count++;
        buf_put_slice(&rows, item->after);
        if (count < KEYED_FILE_ROWS && rows.len < KEYED_FILE_BYTES) continue;
        ok = write_rows(w, &rows, count, err);
        buf_clear(&rows);
        count = 0;
    }
    if (ok && count) ok = write_rows(w, &rows, count, err);
    buf_free(&rows);
    return ok;
}

/* ---- old places ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* file << 32 | row of every row that leaves its place, ascending. */
static uint64_t *old_places(const struct keyed_plan *plan, size_t *count)
{
    uint64_t *places = mem_resize(NULL, plan->count + 1, sizeof *places);
    *count = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct keyed_item *item = &plan->items[i];
        if (item->before.data) places[(*count)++] = (uint64_t)item->old_file << 32 | item->old_row;
    }
    qsort(places, *count, sizeof *places, compare_u64);
    return places;
}

/* Merges the places of one file with its present vector; false when one is already in it. */
static bool merge_vector(const struct keyed_file *f, const uint64_t *places, size_t count, struct touched *t)
{
    t->rows = mem_resize(NULL, f->deleted_count + count, sizeof *t->rows);
    size_t old = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t row = (uint32_t)places[i];
        if (row >= f->rows || (i && row == (uint32_t)places[i - 1])) return false;
        while (old < f->deleted_count && f->deleted[old] < row) t->rows[t->count++] = f->deleted[old++];
        if (old < f->deleted_count && f->deleted[old] == row) return false;
        t->rows[t->count++] = row;
    }
    size_t rest = f->deleted_count - old;
    if (rest) memcpy(t->rows + t->count, f->deleted + old, rest * sizeof *t->rows);
    t->count += rest;
    return true;
}

/* A file with a vector no longer has exact bounds (PROTOCOL.md, "Per-file Statistics"). */
static void loosen_bounds(struct delta_file *f)
{
    static const char tight[] = "\"tightBounds\":true";
    char *at = f->stats ? strstr(f->stats, tight) : NULL;
    if (!at) return;
    char *stats = mem_format("%.*s\"tightBounds\":false%s", (int)(at - f->stats), f->stats,
                             at + sizeof tight - 1);
    mem_free(f->stats);
    f->stats = stats;
}

static bool touch_file(struct work *w, const uint64_t *places, size_t count, struct error *err)
{
    struct keyed *k = w->k;
    struct keyed_file *f = keyed_files_find(k, (uint32_t)(places[0] >> 32));
    const struct delta_file *in_log = f ? delta_file_find(k->table, f->path) : NULL;
    if (!in_log) return keyed_damaged(k, "a row lies in a file that is not live", err);
    if (!keyed_file_vector(k, f, err)) return false;
    MEM_GROW(w->touched, w->touched_count, w->touched_cap);
    struct touched *t = &w->touched[w->touched_count++];
    *t = (struct touched){.number = f->number};
    delta_file_copy(&t->file, in_log);
    if (!merge_vector(f, places, count, t)) return keyed_damaged(k, "a row was deleted before", err);
    t->gone = (int64_t)t->count == f->rows;
    loosen_bounds(&t->file);
    return true;
}

static bool touch_files(struct work *w, struct error *err)
{
    size_t count;
    uint64_t *places = old_places(w->plan, &count);
    bool ok = true;
    for (size_t from = 0, to; ok && from < count; from = to) {
        for (to = from + 1; to < count && places[to] >> 32 == places[from] >> 32;) to++;
        ok = touch_file(w, places + from, to - from, err);
    }
    mem_free(places);
    return ok;
}

static bool write_vectors(struct work *w, struct error *err)
{
    size_t n = 0;
    struct delta_positions *vectors = mem_resize(NULL, w->touched_count + 1, sizeof *vectors);
    struct delta_dv *dvs = mem_alloc((w->touched_count + 1) * sizeof *dvs);
    for (size_t i = 0; i < w->touched_count; i++) {
        const struct touched *t = &w->touched[i];
        if (!t->gone) vectors[n++] = (struct delta_positions){t->rows, t->count};
    }
    bool ok = n == 0 || delta_write_vectors(w->k->table, vectors, n, dvs, err);
    for (size_t i = 0, at = 0; ok && i < w->touched_count; i++) {
        struct touched *t = &w->touched[i];
        if (t->gone) continue;
        mem_free(t->file.dv.path_or_inline);
        t->file.dv = dvs[at++];
    }
    mem_free(vectors);
    mem_free(dvs);
    return ok;
}

/* ---- the store's part ---- */

static void batch_files(struct work *w, struct state_batch *batch)
{
    for (size_t i = 0; i < w->added_count; i++)
        keyed_batch_file(w->k, batch, w->first_number + (uint32_t)i, w->added[i].path);
    for (size_t i = 0; i < w->touched_count; i++)
        if (w->touched[i].gone) keyed_batch_file(w->k, batch, w->touched[i].number, NULL);
}

static size_t plan_bytes(const struct keyed_plan *plan)
{
    size_t bytes = 0;
    for (size_t i = 0; i < plan->count; i++)
        bytes += plan->items[i].key.len + plan->items[i].after.len + 64;
    return bytes;
}

static void call_hook(const struct keyed_plan *plan, int64_t version, struct state_batch *batch)
{
    if (!plan->hook) return;
    struct keyed_applied *applied = mem_resize(NULL, plan->count + 1, sizeof *applied);
    for (size_t i = 0; i < plan->count; i++)
        applied[i] = (struct keyed_applied){plan->items[i].key, plan->items[i].before, plan->items[i].after};
    plan->hook(plan->hook_arg, applied, plan->count, version, batch);
    mem_free(applied);
}

static bool prepare(struct work *w, const struct delta_commit *commit, struct error *err)
{
    const struct keyed_plan *plan = w->plan;
    w->intent.version = delta_version(w->k->table) + 1;
    w->intent.large = plan_bytes(plan) > KEYED_INTENT_BYTES;
    memcpy(w->intent.id, delta_commit_id(commit), KEYED_ID_BYTES);
    w->batch = plan->also ? state_batch_from_bytes(state_batch_bytes(plan->also)) : state_batch_new();
    call_hook(plan, w->intent.version, w->batch);
    if (!w->intent.large) {
        for (size_t i = 0; i < plan->count; i++)
            keyed_batch_item(w->k, w->batch, &plan->items[i], plan->moves);
        batch_files(w, w->batch);
    }
    return keyed_intent_store(w->k, &w->intent, w->batch, err);
}

/* A large plan's rows, after its intent was applied. */
static bool apply_pieces(struct work *w, struct error *err)
{
    const struct keyed_plan *plan = w->plan;
    struct state_batch *piece = state_batch_new();
    bool ok = true;
    for (size_t i = 0; ok && i < plan->count; i++) {
        keyed_batch_item(w->k, piece, &plan->items[i], plan->moves);
        if (state_batch_size(piece) < KEYED_PIECE_BYTES) continue;
        ok = state_write(w->k->state, piece, err);
        state_batch_free(piece);
        piece = state_batch_new();
    }
    batch_files(w, piece);
    keyed_batch_version(w->k, piece, w->intent.version);
    ok = ok && state_write(w->k->state, piece, err);
    state_batch_free(piece);
    return ok;
}

static bool apply(struct work *w, struct error *err)
{
    keyed_batch_intent_done(w->k, w->batch);
    if (!w->intent.large) keyed_batch_version(w->k, w->batch, w->intent.version);
    if (!state_write(w->k->state, w->batch, err)) return false;
    return !w->intent.large || apply_pieces(w, err);
}

/* ---- the log's part ---- */

/* Stands on all that the handle has seen, so that its version is the one the intent names. */
static struct delta_commit *build_commit(struct work *w)
{
    const struct keyed_plan *plan = w->plan;
    struct delta_commit *c = delta_commit_begin(w->k->table, plan->operation);
    delta_commit_read_all(c);
    for (size_t i = 0; i < w->touched_count; i++) {
        const struct touched *t = &w->touched[i];
        const struct keyed_file *f = keyed_files_find(w->k, t->number);
        delta_commit_remove(c, delta_file_find(w->k->table, f->path), !plan->moves);
        if (!t->gone) delta_commit_add(c, &t->file, !plan->moves);
    }
    for (size_t i = 0; i < w->added_count; i++) delta_commit_add(c, &w->added[i], !plan->moves);
    if (plan->position >= 0) delta_commit_txn(c, w->k->app_id, plan->position);
    return c;
}

/* What the commit changed, in memory. */
static void take_in(struct work *w)
{
    struct keyed *k = w->k;
    for (size_t i = 0; i < w->touched_count; i++) {
        struct touched *t = &w->touched[i];
        if (t->gone) {
            keyed_files_drop(k, t->number);
            continue;
        }
        struct keyed_file *f = keyed_files_find(k, t->number);
        mem_free(f->deleted);
        f->deleted = t->rows;
        f->deleted_count = t->count;
        t->rows = NULL;
    }
    for (size_t i = 0; i < w->added_count; i++) {
        const struct delta_file *added = &w->added[i];
        struct keyed_file *f = keyed_files_add(k, w->first_number + (uint32_t)i, added->path, added->rows);
        f->loaded = true;
    }
}

/* The commit failed, or says so: the log decides, and what it holds is taken in. */
static bool decide(struct work *w, struct error *err)
{
    struct error why = *err;
    bool committed = false;
    w->k->in_step = false;
    if (!delta_refresh(w->k->table, err) || !keyed_intent_settle(w->k, &committed, err) ||
        !keyed_recover(w->k, w->conn, err)) {
        if (!committed && why.kind) *err = why;
        return false;
    }
    if (!committed) *err = why;
    return committed;
}

static bool run(struct work *w, struct error *err)
{
    struct keyed *k = w->k;
    if (!write_files(w, err) || !touch_files(w, err) || !write_vectors(w, err)) return false;
    struct delta_commit *c = build_commit(w);
    if (!prepare(w, c, err)) {
        delta_commit_cancel(c);
        k->in_step = false;
        return false;
    }
    failpoint("keyed.prepared");
    int64_t version = -1;
    if (!delta_commit_finish(c, &version, err)) return decide(w, err);
    assert(version == w->intent.version);
    failpoint(w->plan->moves ? "keyed.compacted" : "keyed.committed");
    take_in(w);
    if (apply(w, err)) return true;
    k->in_step = false;
    return false;
}

bool keyed_commit_plan(struct keyed *k, struct engine_conn *conn, const struct keyed_plan *plan,
                       struct error *err)
{
    struct work w = {.k = k, .conn = conn, .plan = plan, .first_number = k->next_number};
    bool ok = run(&w, err);
    free_work(&w);
    return ok;
}
