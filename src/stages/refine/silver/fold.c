/* Folding: the events of a range, in order, over the raw rows of the state.
 *
 *        no row --c,u,r--> live --c,u,r--> live          each arrow is a version
 *        live --d,t--> tombstone --c,u,r--> live
 *
 *  1. An event at or below the row's position is a repeat and is dropped (invariant 3), except that a
 *     row of a copy marks the key as seen and brings unchanged TOAST columns that were missing.
 *  2. A copy's row with the very image that is there makes no version: a repeated copy leaves no trace.
 *  3. valid_from grows strictly for each key, tombstones included, whatever the clocks say.
 *  4. An image keeps the source's bytes; filled columns stand in the schema's order, as in any image.
 *  5. A row whose unchanged columns nobody knows is held back while a copy is open, else it is bad.
 *  6. Such a row keeps the key under which it was met first (RAW_MOVED), and the tombstone there names its
 *     key now: the copy brings it under the first. Where another row has come to stand at one of the two,
 *     nothing is filled: better in quarantine than with the columns of another. */
#include "format/json_scan.h"
#include "stages/refine/silver/silver_int.h"

#include <stdio.h>

/* ---- entries */

static struct entry *entry_new(struct range_work *w, struct slice key, struct slice value)
{
    struct entry *e = arena_take(&w->arena, sizeof *e);
    void **place = map_put(&w->entries, key);
    *place = e;
    e->key = arena_copy(&w->arena, key);
    if (value.data && raw_decode(arena_copy(&w->arena, value), &e->raw)) {
        e->exists = true;
        e->was_live = !(e->raw.flags & RAW_DELETED);
        e->was_quarantined = e->raw.flags & RAW_QUARANTINED;
    }
    return e;
}

struct prefetch {
    struct range_work *w;
    const struct slice *keys; /* plain */
};

static void take_value(void *arg, size_t i, struct slice value)
{
    const struct prefetch *p = arg;
    if (!map_get(&p->w->entries, p->keys[i])) entry_new(p->w, p->keys[i], value);
}

bool range_prefetch(struct range_work *w, const struct slice *keys, size_t count, struct error *err)
{
    enum { PIECE = 4096 };
    struct slice full[PIECE];
    struct buf bytes = {0};
    size_t ends[PIECE];
    bool ok = true;
    for (size_t at = 0; ok && at < count; at += PIECE) {
        size_t n = count - at < PIECE ? count - at : PIECE;
        buf_clear(&bytes);
        for (size_t i = 0; i < n; i++) {
            raw_put_key('w', w->table->name, keys[at + i], &bytes);
            ends[i] = bytes.len;
        }
        for (size_t i = 0; i < n; i++) {
            size_t start = i ? ends[i - 1] : 0;
            full[i] = (struct slice){bytes.data + start, ends[i] - start};
        }
        struct prefetch p = {w, keys + at};
        ok = state_get_many(w->silver->flow->state, NULL, full, n, take_value, &p, err);
    }
    buf_free(&bytes);
    return ok;
}

bool range_entry(struct range_work *w, struct slice key, struct entry **out, struct error *err)
{
    *out = map_get(&w->entries, key);
    if (*out) return true;
    if (!range_prefetch(w, &key, 1, err)) return false;
    *out = map_get(&w->entries, key);
    return true;
}

int position_compare(const struct raw_row *raw, const struct change *c)
{
    if (raw->epoch != c->epoch) return raw->epoch < c->epoch ? -1 : 1;
    if (raw->lsn != c->lsn) return raw->lsn < c->lsn ? -1 : 1;
    if (raw->ordinal != c->ordinal) return raw->ordinal < c->ordinal ? -1 : 1;
    return 0;
}

/* ---- versions */

static struct version *add_version(struct range_work *w, struct entry *e, const struct change *c, char op)
{
    MEM_GROW(w->versions, w->version_count, w->version_cap);
    struct version *v = &w->versions[w->version_count++];
    *v = (struct version){.entry = e,
                          .op = op,
                          .epoch = c->epoch,
                          .lsn = c->lsn,
                          .ordinal = c->ordinal,
                          .commit_us = c->commit_us,
                          .valid_from_us = c->commit_us};
    if (e) v->valid_from_us = e->raw.valid_from_us;
    return v;
}

static void add_image(struct range_work *w, struct version *v, struct slice after,
                      const struct schema *schema)
{
    v->clean = w->item_count;
    MEM_GROW(w->items, w->item_count, w->item_cap);
    w->items[w->item_count++] = (struct clean_item){.after = after, .schema = schema};
}

static void move_position(struct entry *e, const struct change *c)
{
    int64_t after_us = e->exists ? e->raw.valid_from_us + 1 : c->commit_us;
    e->raw.epoch = c->epoch;
    e->raw.lsn = c->lsn;
    e->raw.ordinal = c->ordinal;
    e->raw.commit_us = c->commit_us;
    e->raw.valid_from_us = c->commit_us > after_us ? c->commit_us : after_us;
    e->exists = e->dirty = true;
}

void fold_remove(struct range_work *w, struct entry *e, const struct change *c, char op)
{
    bool lived = e->exists && !(e->raw.flags & RAW_DELETED);
    move_position(e, c);
    e->raw.flags = RAW_DELETED;
    e->raw.after = e->raw.moved = (struct slice){0};
    if (lived) add_version(w, e, c, op)->removes = true;
}

static struct slice missing_name(const struct schema *schema, struct slice after)
{
    struct slice value;
    for (size_t i = 0; i < schema->count; i++)
        if (!json_get(after, slice_of(schema->columns[i].name), &value))
            return slice_of(schema->columns[i].name);
    return (struct slice){0};
}

static struct slice unknown_reason(struct range_work *w, struct slice after)
{
    struct buf text = {0};
    struct slice name = missing_name(w->table->schema, after);
    buf_printf(&text, "%.*s was not sent because it did not change, and its value is not known",
               (int)name.len, name.data ? name.data : "");
    struct slice kept = arena_copy(&w->arena, buf_slice(&text));
    buf_free(&text);
    return kept;
}

/* One version with the entry's newest image, at the entry's own position. */
void fold_publish(struct range_work *w, struct entry *e, char op)
{
    const struct change at = {
        .epoch = e->raw.epoch, .lsn = e->raw.lsn, .ordinal = e->raw.ordinal, .commit_us = e->raw.commit_us};
    if (e->raw.flags & RAW_PARTIAL && w->table->record.copy) return;
    struct version *v = add_version(w, e, &at, op);
    if (e->raw.flags & RAW_PARTIAL)
        v->reason = unknown_reason(w, e->raw.after);
    else
        add_image(w, v, e->raw.after, w->table->schema);
}

void fold_put(struct range_work *w, struct entry *e, const struct change *c, struct slice after)
{
    move_position(e, c);
    e->raw.flags = c->topic.data && c->op == CHANGE_READ ? RAW_COPIED : 0;
    e->raw.after = after;
    e->raw.moved = (struct slice){0};
    snprintf(e->raw.schema, sizeof e->raw.schema, "%s", w->table->schema->id);
    if (c->op == CHANGE_READ) e->raw.copy = w->table->record.copy;
    if (c->unchanged.data && missing_name(w->table->schema, after).data) e->raw.flags = RAW_PARTIAL;
    fold_publish(w, e, (char)c->op);
}

/* ---- unchanged columns */

/* The value of a column in an older image, by its name then. */
static bool old_value(const struct schema_column *c, const struct schema *was, struct slice image,
                      struct slice *value)
{
    const char *name = c->name;
    for (size_t i = 0; was && c->attnum > 0 && i < was->count; i++)
        if (was->columns[i].attnum == c->attnum) name = was->columns[i].name;
    return json_get(image, slice_of(name), value);
}

/* after, with the columns it lacks taken from image; in the order of the schema. */
static struct slice fill(struct range_work *w, struct slice after, struct slice image,
                         const struct schema *was)
{
    if (!image.data) return after;
    const struct schema *schema = w->table->schema;
    struct buf out = {0};
    for (size_t i = 0; i < schema->count; i++) {
        const struct schema_column *c = &schema->columns[i];
        struct slice value;
        if (!json_get(after, slice_of(c->name), &value) && !old_value(c, was, image, &value)) continue;
        buf_put_char(&out, out.len ? ',' : '{');
        buf_put_json(&out, slice_of(c->name));
        buf_put_char(&out, ':');
        buf_put_slice(&out, value);
    }
    buf_put_text(&out, out.len ? "}" : "{}");
    struct slice filled = arena_copy(&w->arena, buf_slice(&out));
    buf_free(&out);
    return filled;
}

static bool schema_of(struct range_work *w, const struct entry *e, const struct schema **out,
                      struct error *err)
{
    return table_schema(w->table, w->silver->flow->state, e->raw.schema, out, err);
}

/* The whole new image: what the event lacks comes from the row before it, then from the event's own
 * before image (REPLICA IDENTITY FULL). */
bool fold_image(struct range_work *w, const struct change *c, const struct entry *from, struct slice *out,
                struct error *err)
{
    *out = c->after;
    if (!c->unchanged.data || slice_equal(c->unchanged, SLICE("[]"))) return true;
    const struct schema *was = NULL;
    if (from && from->exists && !(from->raw.flags & RAW_DELETED)) {
        if (!schema_of(w, from, &was, err)) return false;
        *out = fill(w, *out, from->raw.after, was);
    }
    *out = fill(w, *out, c->before, NULL);
    return true;
}

/* ---- rows that move while a copy has not brought them yet */

static bool is_moved(const struct entry *e, uint8_t flags)
{
    enum { WHAT = RAW_DELETED | RAW_PARTIAL | RAW_MOVED };
    return e->exists && (e->raw.flags & WHAT) == (flags | RAW_MOVED);
}

/* The key under which the copy brings what the event found at `from`; data NULL: nothing waits for it. */
static struct slice first_key(const struct range_work *w, const struct entry *from)
{
    if (!w->table->record.copy) return (struct slice){0};
    if (!from->exists) return from->key;
    if (from->raw.flags & RAW_DELETED || !(from->raw.flags & RAW_PARTIAL)) return (struct slice){0};
    return from->raw.flags & RAW_MOVED ? from->raw.moved : from->key;
}

/* e is the row that was met first under the key `first`; old: the tombstone that it has just left. */
static bool remember_first(struct range_work *w, struct entry *e, struct entry *old, struct slice first,
                           struct error *err)
{
    struct entry *f;
    if (!first.data || !(e->raw.flags & RAW_PARTIAL) || slice_equal(first, e->key)) return true;
    if (!range_entry(w, first, &f, err)) return false;
    e->raw.flags |= RAW_MOVED;
    e->raw.moved = first;
    bool left = f->raw.flags & RAW_DELETED && (f == old || f->raw.flags & RAW_MOVED);
    if (!left) return true; /* another row came to stand there */
    f->raw.flags |= RAW_MOVED;
    f->raw.moved = e->key;
    f->dirty = true;
    return true;
}

/* What a copy's row of this key is now: NULL when it is gone, or when the row there came from elsewhere. */
static bool read_as(struct range_work *w, struct entry *e, struct entry **out, struct error *err)
{
    *out = NULL;
    if (is_moved(e, RAW_DELETED)) {
        struct entry *now;
        if (!range_entry(w, e->raw.moved, &now, err)) return false;
        if (is_moved(now, RAW_PARTIAL) && slice_equal(now->raw.moved, e->key)) *out = now;
        return true;
    }
    if (!(e->raw.flags & (RAW_DELETED | RAW_MOVED))) *out = e;
    return true;
}

/* ---- events */

static void seen_by_copy(struct range_work *w, struct entry *e)
{
    if (e->raw.copy == w->table->record.copy || !w->table->record.copy) return;
    e->raw.copy = w->table->record.copy;
    e->dirty = true;
}

/* A copy's row older than what is there. */
static bool fold_older_read(struct range_work *w, struct entry *e, const struct change *c, struct error *err)
{
    if (!(e->raw.flags & RAW_DELETED)) seen_by_copy(w, e);
    if (!read_as(w, e, &e, err)) return false;
    if (!e || !(e->raw.flags & RAW_PARTIAL)) return true;
    e->raw.after = fill(w, e->raw.after, c->after, NULL);
    e->dirty = true;
    if (missing_name(w->table->schema, e->raw.after).data) return true;
    e->raw.flags &= (uint8_t)~(RAW_PARTIAL | RAW_MOVED);
    fold_publish(w, e, CHANGE_UPDATE);
    return true;
}

static bool same_image(struct range_work *w, struct entry *e, const struct change *c)
{
    if (c->op != CHANGE_READ || !e->exists || e->raw.flags & (RAW_DELETED | RAW_PARTIAL)) return false;
    if (!slice_equal(e->raw.after, c->after)) return false;
    seen_by_copy(w, e);
    if (strcmp(e->raw.schema, w->table->schema->id) == 0) return true;
    snprintf(e->raw.schema, sizeof e->raw.schema, "%s", w->table->schema->id);
    e->dirty = true;
    return true;
}

/* A copy brings a row once; through Kafka its id is the snapshot's LSN. */
static bool was_read_by(const struct entry *e, uint64_t snapshot_lsn)
{
    char id[24];
    if (!e->raw.copy) return false;
    snprintf(id, sizeof id, "%llu", (unsigned long long)snapshot_lsn);
    return e->raw.copy == copy_hash(slice_of(id));
}

/* Through Kafka the position is the arrival, so nothing is below it. What is past all the same: an event from before
 * the table's TRUNCATE, or from before the key moved to another partition, which was read first; an old copy that is
 * read once more; the last event once more, which the consumer cannot tell from another one of the same WAL record.
 * The LSNs of a row's changes grow, for they lock it. Only against a snapshot they say nothing: it does not hold what
 * was written before and committed after. There the order of arrival, that of the partition, is right. */
static bool is_past(const struct range_work *w, const struct entry *e, const struct change *c)
{
    if (c->ordinal < w->table->record.ordinal) return true;
    if (c->op == CHANGE_READ && e->exists && was_read_by(e, c->ordinal)) return true;
    bool comparable = e->exists && (c->op == CHANGE_READ || !(e->raw.flags & RAW_COPIED));
    if (comparable && c->ordinal < e->raw.ordinal) return true;
    return e->exists && !(e->raw.flags & (RAW_DELETED | RAW_PARTIAL)) && c->op != CHANGE_READ &&
           e->raw.ordinal == c->ordinal && slice_equal(e->raw.after, c->after);
}

static bool is_repeat(const struct range_work *w, const struct entry *e, const struct change *c)
{
    return (e->exists && position_compare(&e->raw, c) >= 0) || (c->topic.data && is_past(w, e, c));
}

/* The row under the old key is still the one that moved away. Through Kafka a later one may have arrived before. */
static bool is_left(const struct entry *old, const struct change *c)
{
    if (!old->exists) return true;
    if (c->topic.data) return old->raw.flags & RAW_COPIED || old->raw.ordinal < c->ordinal;
    return position_compare(&old->raw, c) < 0;
}

static bool fold_image_event(struct range_work *w, const struct change *c, struct error *err)
{
    struct entry *e, *old = NULL;
    if (!c->after.data) return error_set(err, ERROR_DATA, "an event '%c' has no image", c->op);
    if (!range_entry(w, c->key, &e, err)) return false;
    if (c->old_key.data && !slice_equal(c->old_key, c->key) && !range_entry(w, c->old_key, &old, err))
        return false;
    struct slice after;
    const struct slice first = first_key(w, old ? old : e);
    bool repeat = is_repeat(w, e, c);
    if (!repeat && !fold_image(w, c, old ? old : e, &after, err)) return false;
    if (old && is_left(old, c)) fold_remove(w, old, c, CHANGE_DELETE);
    if (repeat) {
        w->repeats++;
        return c->op != CHANGE_READ || fold_older_read(w, e, c, err);
    }
    if (same_image(w, e, c)) return true;
    fold_put(w, e, c, after);
    return remember_first(w, e, old, first, err);
}

static bool fold_delete_event(struct range_work *w, const struct change *c, struct error *err)
{
    struct entry *e;
    struct slice key = c->key.data ? c->key : c->old_key;
    if (!range_entry(w, key, &e, err)) return false;
    if (is_repeat(w, e, c))
        w->repeats++;
    else
        fold_remove(w, e, c, CHANGE_DELETE);
    return true;
}

/* Without a key there is nothing to fold: every image is a version. */
static void history_event(struct range_work *w, const struct change *c)
{
    if (!c->after.data) return;
    struct version *v = add_version(w, NULL, c, (char)c->op);
    add_image(w, v, c->after, w->table->schema);
}

static bool fold_row(struct range_work *w, const struct change *c, struct error *err)
{
    if (!w->table->schema) return error_set(err, ERROR_DATA, "a row came before the table's schema record");
    if (w->table->kind == TABLE_HASHED) return hashed_change(w, c, err);
    if (w->table->kind == TABLE_HISTORY) {
        history_event(w, c);
        return true;
    }
    if (!c->key.data && !c->old_key.data)
        return error_set(err, ERROR_DATA, "an event '%c' of a table with a key has none", c->op);
    return c->op == CHANGE_DELETE ? fold_delete_event(w, c, err) : fold_image_event(w, c, err);
}

/* A record of Kafka that could not be read: its place, the reason and its text are the quarantine's. */
static bool fold_poison(struct range_work *w, const struct change *c)
{
    MEM_GROW(w->poison, w->poison_count, w->poison_cap);
    w->poison[w->poison_count++] = *c;
    return true;
}

bool fold_change(struct range_work *w, const struct change *c, struct error *err)
{
    switch (c->op) {
    case CHANGE_POISON: return fold_poison(w, c);
    case CHANGE_MESSAGE: break; /* not in bronze */
    case CHANGE_SCHEMA: return table_add_schema(w->table, c->after, w->also, err);
    case CHANGE_SNAPSHOT_BEGIN: return bracket_begin(w, c, err);
    case CHANGE_SNAPSHOT_COMPLETE: return bracket_complete(w, c, err);
    case CHANGE_TRUNCATE:
        return w->table->kind == TABLE_HASHED ? hashed_change(w, c, err) : fold_truncate(w, c, err);
    case CHANGE_CREATE:
    case CHANGE_UPDATE:
    case CHANGE_DELETE:
    case CHANGE_READ: return fold_row(w, c, err);
    }
    return error_set(err, ERROR_DATA, "unknown operation %d", (int)c->op);
}
