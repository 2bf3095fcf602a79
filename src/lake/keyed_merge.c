/* A batch of changes becomes a plan (keyed_int.h): ordered by key, old rows looked up, what changes
 * nothing dropped.
 *
 *  1. Every row is checked before anything is written: whole, of the table's columns, and its key is
 *     the one it is filed under; else a rebuild would give another index.
 *  2. An upsert of the same bytes and a delete of a missing key are "unchanged" and reach no file. */
#include "lake/keyed_int.h"

#include <stdlib.h>

#define MISSING SIZE_MAX
enum { LOOKUP_KEYS = 8192 };

struct lookup {
    struct keyed_item *items; /* of this call */
    size_t *before_at;        /* offsets into before, MISSING: no such key */
    struct buf *before;
    bool damaged;
};

static int compare_items(const void *a, const void *b)
{
    return slice_compare(((const struct keyed_item *)a)->key, ((const struct keyed_item *)b)->key);
}

static bool take_changes(struct keyed *k, const struct keyed_change *changes, size_t count,
                         struct keyed_item *items, struct error *err)
{
    struct buf key = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        items[i] = (struct keyed_item){.key = changes[i].key, .after = changes[i].row};
        if (!changes[i].row.data) continue;
        buf_clear(&key);
        keyed_row_key(k, changes[i].row, &key);
        if (!keyed_split(k, changes[i].row, k->fields))
            ok = error_set(err, ERROR_FATAL, "%s: a row is not of the table's columns", k->name);
        else if (!slice_equal(buf_slice(&key), changes[i].key))
            ok = error_set(err, ERROR_FATAL, "%s: a row is filed under another key", k->name);
    }
    buf_free(&key);
    if (!ok) return false;
    qsort(items, count, sizeof *items, compare_items);
    for (size_t i = 1; i < count; i++)
        if (slice_equal(items[i].key, items[i - 1].key))
            return error_set(err, ERROR_FATAL, "%s: a key occurs twice in a batch", k->name);
    return true;
}

static void take_old(void *arg, size_t i, struct slice value)
{
    struct lookup *l = arg;
    l->before_at[i] = MISSING;
    if (!value.data) return;
    struct keyed_item *item = &l->items[i];
    if (!keyed_take_place(&value, &item->old_file, &item->old_row)) {
        l->damaged = true;
        return;
    }
    l->before_at[i] = l->before->len;
    buf_put_slice(l->before, value);
    item->before.len = value.len;
}

/* Looks up items[0..count): their old rows go to `before`, their offsets to before_at. */
static bool look_up_some(struct keyed *k, struct keyed_item *items, size_t count, struct buf *before,
                         size_t *before_at, struct error *err)
{
    struct lookup l = {.items = items, .before_at = before_at, .before = before};
    struct buf keys = {0};
    struct slice *slices = mem_resize(NULL, count, sizeof *slices);
    for (size_t i = 0; i < count; i++) {
        size_t from = keys.len;
        keyed_put_state_key(k, 'r', items[i].key, &keys);
        slices[i].len = keys.len - from;
    }
    for (size_t i = 0, at = 0; i < count; at += slices[i++].len) slices[i].data = keys.data + at;
    bool ok = buf_ok(&keys) || error_set(err, ERROR_FATAL, "%s: keys too large", k->name);
    ok = ok && state_get_many(k->state, NULL, slices, count, take_old, &l, err);
    if (ok && l.damaged) ok = keyed_damaged(k, "a place is cut short", err);
    if (ok && !buf_ok(before)) ok = error_set(err, ERROR_FATAL, "%s: old rows too large", k->name);
    mem_free(slices);
    buf_free(&keys);
    return ok;
}

/* Keeps of items[0..count) what really changes and checks the old rows; gives back how many. */
static bool drop_unchanged(struct keyed *k, struct keyed_item *items, size_t *count, const struct buf *before,
                           const size_t *before_at, struct keyed_counts *counts, struct error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        struct keyed_item item = items[i];
        if (before_at[i] != MISSING)
            item.before = (struct slice){before->data + before_at[i], item.before.len};
        bool same = item.before.data ? item.after.data && slice_equal(item.before, item.after)
                                     : !item.after.data;
        if (same) {
            counts->unchanged++;
            continue;
        }
        if (item.before.data && !keyed_split(k, item.before, k->fields_before))
            return keyed_damaged(k, "a row is not of the table's columns", err);
        if (!item.before.data) counts->inserted++;
        else if (item.after.data) counts->updated++;
        else counts->deleted++;
        items[kept++] = item;
    }
    *count = kept;
    return true;
}

static bool look_up(struct keyed *k, struct keyed_item *items, size_t *count, struct buf *before,
                    struct keyed_counts *counts, struct error *err)
{
    size_t *before_at = mem_resize(NULL, *count + 1, sizeof *before_at);
    bool ok = true;
    for (size_t i = 0; ok && i < *count; i += LOOKUP_KEYS) {
        size_t n = *count - i < LOOKUP_KEYS ? *count - i : LOOKUP_KEYS;
        ok = look_up_some(k, items + i, n, before, before_at + i, err);
    }
    ok = ok && drop_unchanged(k, items, count, before, before_at, counts, err);
    mem_free(before_at);
    return ok;
}

/* Nothing for the table to do: what the caller adds is still written. */
static bool write_also(struct keyed *k, const struct keyed_plan *plan, struct error *err)
{
    if (!plan->also && !plan->hook) return true;
    struct state_batch *batch =
        plan->also ? state_batch_from_bytes(state_batch_bytes(plan->also)) : state_batch_new();
    if (plan->hook) plan->hook(plan->hook_arg, NULL, 0, delta_version(k->table), batch);
    bool ok = state_write(k->state, batch, err);
    state_batch_free(batch);
    return ok;
}

bool keyed_merge(struct keyed *k, struct engine_conn *conn, const struct keyed_change *changes,
                 size_t count, int64_t position, struct state_batch *also, keyed_hook *hook, void *arg,
                 struct keyed_counts *counts, struct error *err)
{
    struct keyed_counts unused;
    if (!counts) counts = &unused;
    *counts = (struct keyed_counts){0};
    if (!k->in_step && !k->columns_differ && !keyed_recover(k, conn, err)) return false;
    if (!keyed_check_ready(k, err) || !keyed_check_position(k, position, err)) return false;
    struct keyed_plan plan = {
        .items = mem_resize(NULL, count + 1, sizeof *plan.items), .count = count, .operation = "MERGE",
        .position = position, .also = also, .hook = hook, .hook_arg = arg,
    };
    struct buf before = {.max = SIZE_MAX / 2};
    bool ok = take_changes(k, changes, count, plan.items, err) &&
              look_up(k, plan.items, &plan.count, &before, counts, err);
    if (ok && plan.count == 0 && position == keyed_position(k)) ok = write_also(k, &plan, err);
    else if (ok) ok = keyed_commit_plan(k, conn, &plan, err);
    buf_free(&before);
    mem_free(plan.items);
    return ok;
}
