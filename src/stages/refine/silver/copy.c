/* What concerns all keys of a table at once: the brackets of a copy, TRUNCATE, and tables without key.
 *
 *   begin(id) --> open: rows of the copy mark their key with the id --> complete(id, lsn):
 *        keys that live, were not seen by this copy and stand below lsn are ghosts and are deleted
 *
 *  1. A begin while a copy is open replaces it: the first one was cut short, its marks count for nothing.
 *  2. A table without key but with REPLICA IDENTITY FULL counts equal images: the n-th equal row has the
 *     key {"_row":<hash>,"_n":n}; a delete takes the highest. Rows of its copy cannot be told apart by
 *     key, so a begin removes all rows, and events that come while the copy is open wait until complete,
 *     which says which of them the copy has already.
 *  3. Such a table drops repeats by the position of the table, not of a key.
 *
 * TRUNCATE and complete hold one entry in memory for each key they remove. */
#include "format/json_scan.h"
#include "stages/refine/silver/silver_int.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t copy_hash(struct slice id)
{
    return XXH3_64bits(id.data, id.len) | 1;
}

static uint64_t copy_lsn(struct slice id)
{
    uint64_t lsn = 0;
    for (size_t i = 0; i < id.len; i++) lsn = lsn * 10 + (uint64_t)(id.data[i] - '0');
    return lsn;
}

/* What a complete copy holds stands below this: the consistent point; through Kafka the arrival of its begin. */
static uint64_t copy_point(const struct change *complete)
{
    return complete->topic.data ? complete->ordinal : complete->lsn;
}

/* ---- all keys */

typedef bool raw_filter(const struct range_work *w, const struct raw_row *raw, const struct change *c);

static bool is_live(const struct range_work *w, const struct raw_row *raw, const struct change *c)
{
    (void)w;
    /* the partitions of a topic arrive each in its own time; a TRUNCATE locks the table, so LSNs tell */
    if (c->topic.data) return !(raw->flags & RAW_DELETED) && raw->ordinal < c->ordinal;
    return !(raw->flags & RAW_DELETED) && position_compare(raw, c) < 0;
}

static bool is_ghost(const struct range_work *w, const struct raw_row *raw, const struct change *c)
{
    if (raw->flags & RAW_DELETED || raw->copy == w->table->record.copy) return false;
    /* another partition brought it before the begin, and it is newer than the snapshot (the id is its LSN) */
    if (c->topic.data && raw->ordinal >= copy_lsn(c->key)) return false;
    return raw->epoch < c->epoch || (raw->epoch == c->epoch && raw->lsn < copy_point(c));
}

static bool is_partial(const struct range_work *w, const struct raw_row *raw, const struct change *c)
{
    (void)w;
    (void)c;
    return (raw->flags & (RAW_PARTIAL | RAW_DELETED)) == RAW_PARTIAL;
}

/* Brings the rows of the state that match into the range, so that one walk over the entries does all. */
static bool load_matching(struct range_work *w, raw_filter *filter, const struct change *c,
                          struct error *err)
{
    struct buf prefix = {0};
    raw_put_key('w', w->table->name, (struct slice){0}, &prefix);
    struct state_iter *it = state_iter_open(w->silver->flow->state, NULL, buf_slice(&prefix));
    struct slice key, value;
    bool ok = true;
    while (ok && state_iter_next(it, &key, &value)) {
        struct raw_row raw;
        struct slice plain = {key.data + prefix.len, key.len - prefix.len};
        if (map_find(&w->entries, plain) || !raw_decode(value, &raw) || !filter(w, &raw, c)) continue;
        struct entry *e;
        ok = range_entry(w, plain, &e, err);
    }
    struct error closing = {0};
    bool closed = state_iter_close(it, ok ? err : &closing);
    buf_free(&prefix);
    return ok && closed;
}

static bool remove_matching(struct range_work *w, raw_filter *filter, const struct change *c, char op,
                            struct error *err)
{
    if (!load_matching(w, filter, c, err)) return false;
    size_t at = 0;
    void *value;
    while (map_next(&w->entries, &at, NULL, &value)) {
        struct entry *e = value;
        if (e->exists && filter(w, &e->raw, c)) fold_remove(w, e, c, op);
    }
    return true;
}

/* ---- rows without key */

struct row_count {
    uint64_t count;
    bool dirty;
};

static void hash_image(struct slice image, char *hex)
{
    XXH128_hash_t h = XXH3_128bits(image.data, image.len);
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

static uint64_t read_count(struct slice value)
{
    uint64_t v = 0;
    for (size_t i = value.len; i-- > 0;)
        v = v << 8 | (unsigned char)value.data[i];
    return v;
}

static bool find_count(struct range_work *w, const char *hex, struct row_count **out, struct error *err)
{
    *out = map_get(&w->counts, slice_of(hex));
    if (*out) return true;
    struct buf key = {0}, value = {0};
    bool found = false;
    raw_put_key('n', w->table->name, slice_of(hex), &key);
    bool ok =
        w->counts_reset || state_get(w->silver->flow->state, NULL, buf_slice(&key), &value, &found, err);
    if (ok) {
        *out = arena_take(&w->arena, sizeof **out);
        (*out)->count = found ? read_count(buf_slice(&value)) : 0;
        *map_put(&w->counts, slice_of(hex)) = *out;
    }
    buf_free(&key);
    buf_free(&value);
    return ok;
}

static bool hashed_entry(struct range_work *w, const char *hex, uint64_t n, struct entry **out,
                         struct error *err)
{
    char key[96];
    snprintf(key, sizeof key, "{\"_row\":\"%s\",\"_n\":%llu}", hex, (unsigned long long)n);
    return range_entry(w, slice_of(key), out, err);
}

static bool hashed_add(struct range_work *w, const struct change *c, struct slice image, struct error *err)
{
    char hex[33];
    struct row_count *count;
    struct entry *e;
    hash_image(image, hex);
    if (!find_count(w, hex, &count, err) || !hashed_entry(w, hex, count->count + 1, &e, err)) return false;
    count->count++;
    count->dirty = true;
    fold_put(w, e, c, image);
    return true;
}

static bool hashed_remove(struct range_work *w, const struct change *c, struct slice image,
                          struct error *err)
{
    char hex[33];
    struct row_count *count;
    struct entry *e;
    hash_image(image, hex);
    if (!find_count(w, hex, &count, err)) return false;
    if (count->count == 0) {
        w->repeats++;
        return true;
    }
    if (!hashed_entry(w, hex, count->count, &e, err)) return false;
    count->count--;
    count->dirty = true;
    fold_remove(w, e, c, CHANGE_DELETE);
    return true;
}

static bool hashed_apply(struct range_work *w, const struct change *c, struct error *err)
{
    struct slice image = c->after;
    if (c->op == CHANGE_DELETE) return !c->before.data || hashed_remove(w, c, c->before, err);
    if (!c->after.data) return error_set(err, ERROR_DATA, "an event '%c' has no image", c->op);
    if (!fold_image(w, c, NULL, &image, err)) return false;
    if (c->op != CHANGE_UPDATE) return hashed_add(w, c, image, err);
    if (c->before.data && slice_equal(c->before, image)) return true;
    return (!c->before.data || hashed_remove(w, c, c->before, err)) && hashed_add(w, c, image, err);
}

static void hold(struct range_work *w, const struct change *c)
{
    struct buf row = {0};
    change_encode(&row, c);
    MEM_GROW(w->held, w->held_count, w->held_cap);
    w->held[w->held_count++] = arena_copy(&w->arena, buf_slice(&row));
    buf_free(&row);
}

bool hashed_change(struct range_work *w, const struct change *c, struct error *err)
{
    struct table_record *r = &w->table->record;
    if (c->op == CHANGE_READ) return hashed_apply(w, c, err);
    if (r->copy) {
        hold(w, c);
        return true;
    }
    const struct raw_row last = {.epoch = r->epoch, .lsn = r->lsn, .ordinal = r->ordinal};
    if (position_compare(&last, c) >= 0) {
        w->repeats++;
        return true;
    }
    r->epoch = c->epoch;
    r->lsn = c->lsn;
    r->ordinal = c->ordinal;
    return c->op == CHANGE_TRUNCATE ? fold_truncate(w, c, err) : hashed_apply(w, c, err);
}

static void put_held_key(const struct range_work *w, const struct change *c, struct buf *key)
{
    raw_put_key('q', w->table->name, (struct slice){0}, key);
    raw_put_be64(key, (uint64_t)(uint32_t)c->epoch);
    raw_put_be64(key, c->lsn);
    raw_put_be64(key, c->ordinal);
}

void hashed_flush(struct range_work *w)
{
    size_t at = 0;
    struct slice hex;
    void *value;
    struct buf key = {0}, bytes = {0};
    while (map_next(&w->counts, &at, &hex, &value)) {
        const struct row_count *count = value;
        if (!count->dirty) continue;
        buf_clear(&key);
        buf_clear(&bytes);
        raw_put_key('n', w->table->name, hex, &key);
        buf_put_u64(&bytes, count->count);
        if (count->count)
            state_batch_put(w->also, buf_slice(&key), buf_slice(&bytes));
        else
            state_batch_delete(w->also, buf_slice(&key));
    }
    for (size_t i = 0; i < w->held_count; i++) {
        struct slice rest = w->held[i];
        struct change c;
        struct error ignored = {0}; /* our own bytes */
        if (!change_decode(&rest, &c, &ignored)) continue;
        buf_clear(&key);
        put_held_key(w, &c, &key);
        state_batch_put(w->also, buf_slice(&key), w->held[i]);
    }
    buf_free(&key);
    buf_free(&bytes);
}

/* Deletes all `<kind>/<table>\0...`. */
static void delete_all(struct range_work *w, char kind)
{
    struct buf from = {0}, to = {0};
    raw_put_key(kind, w->table->name, (struct slice){0}, &from);
    buf_put_slice(&to, buf_slice(&from));
    to.data[to.len - 1] = 1; /* the 0 after the name */
    state_batch_delete_range(w->also, buf_slice(&from), buf_slice(&to));
    buf_free(&from);
    buf_free(&to);
}

static void reset_counts(struct range_work *w)
{
    delete_all(w, 'n');
    map_clear(&w->counts, NULL);
    w->counts_reset = true;
}

static bool apply_held(struct range_work *w, struct slice row, const struct change *complete,
                       struct error *err)
{
    struct change c;
    if (!change_decode(&row, &c, err)) return false;
    bool in_copy = c.epoch < complete->epoch || (c.epoch == complete->epoch && c.lsn < copy_point(complete));
    return in_copy || hashed_change(w, &c, err);
}

/* The events that waited: those of earlier ranges from the state, then those of this one. */
static bool release_held(struct range_work *w, const struct change *complete, struct error *err)
{
    struct buf prefix = {0};
    raw_put_key('q', w->table->name, (struct slice){0}, &prefix);
    struct state_iter *it = state_iter_open(w->silver->flow->state, NULL, buf_slice(&prefix));
    struct slice key, value;
    bool ok = true;
    while (ok && state_iter_next(it, &key, &value))
        ok = apply_held(w, arena_copy(&w->arena, value), complete, err);
    struct error closing = {0};
    ok = state_iter_close(it, ok ? err : &closing) && ok;
    buf_free(&prefix);
    size_t count = w->held_count;
    w->held_count = 0;
    for (size_t i = 0; ok && i < count; i++)
        ok = apply_held(w, w->held[i], complete, err);
    delete_all(w, 'q');
    return ok;
}

/* ---- brackets */

bool bracket_begin(struct range_work *w, const struct change *c, struct error *err)
{
    struct table_record *r = &w->table->record;
    r->copy = copy_hash(c->key);
    if (w->table->kind != TABLE_HASHED) return true;
    /* the record's own position is not known: everything that is there goes */
    const struct change now = {.epoch = INT32_MAX, .commit_us = c->commit_us};
    if (!load_matching(w, is_live, &now, err)) return false;
    size_t at = 0;
    void *value;
    while (map_next(&w->entries, &at, NULL, &value)) {
        struct entry *e = value;
        if (e->exists && !(e->raw.flags & RAW_DELETED)) fold_remove(w, e, c, CHANGE_DELETE);
    }
    reset_counts(w);
    delete_all(w, 'q');
    w->held_count = 0;
    return true;
}

/* Rows that the copy should have completed and did not are bad, and said to be so. */
static bool publish_partial(struct range_work *w, const struct change *c, struct error *err)
{
    if (!load_matching(w, is_partial, c, err)) return false;
    size_t at = 0;
    void *value;
    while (map_next(&w->entries, &at, NULL, &value)) {
        struct entry *e = value;
        if (e->exists && is_partial(w, &e->raw, c)) fold_publish(w, e, CHANGE_UPDATE);
    }
    return true;
}

bool bracket_complete(struct range_work *w, const struct change *c, struct error *err)
{
    struct table_record *r = &w->table->record;
    if (r->copy != copy_hash(c->key)) return true; /* of a copy that was cut short and begun again */
    if (w->table->kind == TABLE_KEYED && !remove_matching(w, is_ghost, c, CHANGE_DELETE, err)) return false;
    r->copy = 0;
    if (w->table->kind == TABLE_KEYED) return publish_partial(w, c, err);
    if (w->table->kind != TABLE_HASHED) return true;
    r->epoch = c->epoch;
    r->lsn = copy_point(c);
    r->ordinal = 0;
    return release_held(w, c, err);
}

bool fold_truncate(struct range_work *w, const struct change *c, struct error *err)
{
    if (w->table->kind == TABLE_HISTORY) return true;
    if (c->topic.data && w->table->kind == TABLE_KEYED && c->ordinal > w->table->record.ordinal)
        w->table->record.ordinal = c->ordinal;
    if (w->table->kind == TABLE_HASHED) reset_counts(w);
    return remove_matching(w, is_live, c, CHANGE_TRUNCATE, err);
}
