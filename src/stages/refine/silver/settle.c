/* Settling: cleaned versions become what is committed.
 *
 *   good image   history row, current row; a quarantined key leaves quarantine
 *   bad image    quarantine; the key keeps its last good row
 *   removal      history row with the last good values, current row deleted; leaves quarantine
 *
 *  1. Raw rows hold the newest image, good or bad; silver the newest good one.
 *  2. A removal of a key that never had a good image leaves no history.
 *
 * A history row has the columns that the lake's table has: columns that the model no longer gives are NULL,
 * a column that changed its type stands under "<name>_<type>" from then on. */
#include "stages/refine/silver/silver_int.h"

#include <stdio.h>

enum { HISTORY_PIECE_BYTES = 32 << 20 };

const struct columns *quarantine_columns(void)
{
    static struct column items[] = {
        {.name = "table", .type = COLUMN_STRING},         {.name = "key", .type = COLUMN_STRING},
        {.name = "reason", .type = COLUMN_STRING},        {.name = "image", .type = COLUMN_STRING},
        {.name = "epoch", .type = COLUMN_INTEGER},        {.name = "lsn", .type = COLUMN_LONG},
        {.name = "ordinal", .type = COLUMN_LONG},         {.name = "commit_at", .type = COLUMN_TIMESTAMP},
        {.name = "first_seen", .type = COLUMN_TIMESTAMP},
    };
    static const struct columns columns = {.items = items, .count = sizeof items / sizeof *items};
    return &columns;
}

void quarantine_put_key(const char *table, struct slice key, struct buf *out)
{
    buf_put_text(out, table);
    buf_put_char(out, 0x1F);
    buf_put_slice(out, key);
}

void settled_free(struct settled *s)
{
    for (size_t i = 0; i < s->history_count; i++)
        buf_free(&s->history[i]);
    mem_free(s->history);
    mem_free(s->history_rows);
    mem_free(s->changes);
    mem_free(s->quarantine);
    *s = (struct settled){0};
}

/* ---- rows */

void put_current_row(struct buf *out, struct slice model_part, const struct version *v)
{
    buf_put_slice(out, model_part);
    buf_put_string(out, v->entry ? v->entry->key : SLICE(""));
    buf_put_u32(out, (uint32_t)v->epoch);
    buf_put_u64(out, v->lsn);
    buf_put_u64(out, v->ordinal);
    buf_put_u64(out, (uint64_t)v->commit_us);
}

static bool same_type(const struct column *a, const struct column *b)
{
    return a->type == b->type && a->precision == b->precision && a->scale == b->scale;
}

char *history_name(const struct column *c)
{
    struct buf name = {0};
    buf_printf(&name, "%s_", c->name);
    column_type_delta(c, &name);
    char *text = buf_take(&name);
    size_t n = 0;
    for (const char *at = text; *at; at++)
        if (*at != ')') text[n++] = strchr("(,", *at) ? '_' : *at;
    text[n] = '\0';
    return text;
}

/* Which column of silver/<table> a history column shows; -1: none. */
int history_source(const struct columns *stored, const struct column *h)
{
    int at = columns_find(stored, h->name);
    if (at >= 0 && same_type(&stored->items[at], h)) return at;
    for (size_t i = 0; i < stored->count; i++) {
        char *name = history_name(&stored->items[i]);
        bool found = strcmp(name, h->name) == 0 && same_type(&stored->items[i], h);
        mem_free(name);
        if (found) return (int)i;
    }
    return -1;
}

enum { HISTORY_OP = -2, HISTORY_VALID_FROM = -3 };

void history_map(struct table *t)
{
    const struct columns *h = delta_columns(t->history);
    t->history_sources = mem_resize(t->history_sources, h->count + 1, sizeof *t->history_sources);
    t->history_plain = h->count == t->stored.count + HISTORY_META_COUNT;
    for (size_t i = 0; i < h->count; i++) {
        int source = history_source(&t->stored, &h->items[i]);
        if (strcmp(h->items[i].name, "_op") == 0) source = HISTORY_OP;
        if (strcmp(h->items[i].name, "_valid_from") == 0) source = HISTORY_VALID_FROM;
        t->history_sources[i] = source;
        bool in_place = i < t->stored.count
                            ? source == (int)i && h->items[i].nullable == t->stored.items[i].nullable
                            : source == (i == t->stored.count ? HISTORY_OP : HISTORY_VALID_FROM);
        t->history_plain = t->history_plain && in_place;
    }
}

bool put_history_row(const struct table *t, struct slice current_row, char op, int64_t valid_from_us,
                     struct buf *out, struct error *err)
{
    if (t->history_plain) {
        buf_put_slice(out, current_row);
        buf_put_string(out, (struct slice){&op, 1});
        buf_put_u64(out, (uint64_t)valid_from_us);
        return true;
    }
    const struct columns *h = delta_columns(t->history);
    struct slice *fields = mem_resize(NULL, t->stored.count + 1, sizeof *fields);
    bool ok = row_next(&t->stored, &current_row, fields, NULL);
    for (size_t i = 0; ok && i < h->count; i++) {
        int source = t->history_sources[i];
        if (source == HISTORY_OP)
            buf_put_string(out, (struct slice){&op, 1});
        else if (source == HISTORY_VALID_FROM)
            buf_put_u64(out, (uint64_t)valid_from_us);
        else
            row_put_field(out, &h->items[i], source < 0 ? (struct slice){0} : fields[source]);
    }
    mem_free(fields);
    return ok || error_set(err, ERROR_FATAL, "%s: a row does not have its table's shape", t->name);
}

/* ---- last good rows */

struct fetch {
    struct range_work *w;
    struct slice *fields;
};

static bool take_current(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct fetch *f = arg;
    struct entry *e = map_get(&f->w->entries, key);
    struct slice part;
    if (!e || !row_next(&f->w->table->columns, &row, f->fields, &part))
        return error_set(err, ERROR_FATAL, "a current row does not have its table's shape");
    e->good = arena_copy(&f->w->arena, part);
    return true;
}

/* Values for removals: of keys whose first version in the range that counts is a removal. */
static bool fetch_removed(struct range_work *w, struct error *err)
{
    if (!w->table->current) return true;
    struct slice *keys = NULL;
    size_t count = 0, cap = 0;
    for (size_t i = 0; i < w->version_count; i++) {
        const struct version *v = &w->versions[i];
        if (!v->removes) continue;
        MEM_GROW(keys, count, cap);
        keys[count++] = v->entry->key;
    }
    struct fetch f = {w, mem_resize(NULL, w->table->columns.count + 1, sizeof *f.fields)};
    bool ok = count == 0 || keyed_get_many(w->table->current, keys, count, take_current, &f, err);
    mem_free(f.fields);
    mem_free(keys);
    return ok;
}

/* ---- versions */

static bool add_history(struct range_work *w, struct settled *out, const struct version *v,
                        struct slice row, struct error *err)
{
    if (w->state_only) return true;
    struct buf *piece = out->history_count ? &out->history[out->history_count - 1] : NULL;
    if (!piece || piece->len > HISTORY_PIECE_BYTES) {
        if (out->history_count == out->history_cap) {
            out->history_cap = out->history_cap ? out->history_cap * 2 : 4;
            out->history = mem_resize(out->history, out->history_cap, sizeof *out->history);
            out->history_rows = mem_resize(out->history_rows, out->history_cap, sizeof *out->history_rows);
        }
        out->history[out->history_count] = (struct buf){0};
        out->history_rows[out->history_count] = 0;
        piece = &out->history[out->history_count++];
    }
    if (!put_history_row(w->table, row, v->op, v->valid_from_us, piece, err)) return false;
    out->history_rows[out->history_count - 1]++;
    return true;
}

static struct slice make_row(struct range_work *w, struct slice model_part, const struct version *v)
{
    struct buf row = {0};
    put_current_row(&row, model_part, v);
    struct slice kept = arena_copy(&w->arena, buf_slice(&row));
    buf_free(&row);
    return kept;
}

static void add_quarantine(struct settled *out, struct slice key, struct slice row)
{
    MEM_GROW(out->quarantine, out->quarantine_count, out->quarantine_cap);
    out->quarantine[out->quarantine_count++] = (struct keyed_change){key, row};
}

/* When the key was first put in quarantine, so that a later bad image does not make it look new. */
static bool first_seen(struct silver *s, struct slice key, int64_t now_us, int64_t *out, struct error *err)
{
    struct buf row = {0};
    bool found = false;
    *out = now_us;
    if (!keyed_get(s->quarantine, key, &row, &found, err)) return false;
    struct slice fields[9], rest = buf_slice(&row);
    if (found && row_next(quarantine_columns(), &rest, fields, NULL))
        memcpy(out, fields[8].data, sizeof *out);
    buf_free(&row);
    return true;
}

struct bad_row {
    struct slice key, reason, image;
    int32_t epoch;
    uint64_t lsn, ordinal;
    int64_t commit_us;
};

static bool quarantine_put(struct range_work *w, struct settled *out, const struct bad_row *bad,
                           struct error *err)
{
    struct buf key = {0}, row = {0};
    int64_t seen_us;
    quarantine_put_key(w->table->name, bad->key, &key);
    if (!first_seen(w->silver, buf_slice(&key), bad->commit_us, &seen_us, err)) {
        buf_free(&key);
        return false;
    }
    buf_put_string(&row, slice_of(w->table->name));
    buf_put_string(&row, bad->key);
    buf_put_string(&row, bad->reason);
    buf_put_string(&row, bad->image);
    buf_put_u32(&row, (uint32_t)bad->epoch);
    buf_put_u64(&row, bad->lsn);
    buf_put_u64(&row, bad->ordinal);
    buf_put_u64(&row, (uint64_t)bad->commit_us);
    buf_put_u64(&row, (uint64_t)seen_us);
    add_quarantine(out, arena_copy(&w->arena, buf_slice(&key)), arena_copy(&w->arena, buf_slice(&row)));
    buf_free(&key);
    buf_free(&row);
    return true;
}

/* A row of a table without key is known by its place in the stream. */
static bool quarantine_keyless(struct range_work *w, struct settled *out, const struct version *v,
                               struct slice reason, struct error *err)
{
    char key[96];
    snprintf(key, sizeof key, "{\"_epoch\":%d,\"_lsn\":%llu,\"_ordinal\":%llu}", (int)v->epoch,
             (unsigned long long)v->lsn, (unsigned long long)v->ordinal);
    const struct bad_row bad = {slice_of(key), reason,      w->items[v->clean].after, v->epoch, v->lsn,
                                v->ordinal,    v->commit_us};
    return quarantine_put(w, out, &bad, err);
}

static bool settle_removal(struct range_work *w, struct settled *out, const struct version *v,
                           struct error *err)
{
    struct entry *e = v->entry;
    bool had = e->good.data != NULL;
    e->reason = (struct slice){0};
    e->judged = true;
    e->current = (struct slice){0};
    e->changed = true;
    if (!had) return true;
    struct slice row = make_row(w, e->good, v);
    e->good = (struct slice){0};
    return add_history(w, out, v, row, err);
}

static bool settle_image(struct range_work *w, struct settled *out, const struct version *v,
                         struct error *err)
{
    struct entry *e = v->entry;
    const struct clean_item *item = v->reason.data ? NULL : &w->items[v->clean];
    struct slice reason = item ? item->reason : v->reason;
    if (!e && reason.data) return w->state_only || quarantine_keyless(w, out, v, reason, err);
    if (e) {
        e->reason = reason;
        e->judged = true;
    }
    if (reason.data) return true;
    struct slice row = make_row(w, item->row, v);
    if (e) {
        e->good = item->row;
        e->current = row;
        e->changed = true;
    }
    return add_history(w, out, v, row, err);
}

/* ---- entries */

static void put_raw(struct range_work *w, const struct entry *e, int64_t position)
{
    struct buf key = {0}, value = {0};
    raw_put_key('w', w->table->name, e->key, &key);
    raw_encode(&e->raw, &value);
    state_batch_put(w->also, buf_slice(&key), buf_slice(&value));
    if (e->raw.flags & RAW_DELETED) {
        buf_clear(&key);
        raw_put_key('z', w->table->name, (struct slice){0}, &key);
        raw_put_be64(&key, (uint64_t)position);
        buf_put_slice(&key, e->key);
        state_batch_put(w->also, buf_slice(&key), SLICE(""));
    }
    buf_free(&key);
    buf_free(&value);
}

static bool settle_entry(struct range_work *w, struct entry *e, struct settled *out, int64_t position,
                         struct error *err)
{
    bool bad = e->judged ? e->reason.data != NULL : e->was_quarantined;
    e->raw.flags = (uint8_t)(bad ? e->raw.flags | RAW_QUARANTINED : e->raw.flags & ~RAW_QUARANTINED);
    if (e->dirty) put_raw(w, e, position);
    if (e->changed && !w->state_only) {
        MEM_GROW(out->changes, out->change_count, out->change_cap);
        out->changes[out->change_count++] = (struct keyed_change){e->key, e->current};
    }
    if (!e->judged || w->state_only) return true;
    if (bad) {
        const struct bad_row row = {e->key,     e->reason,      e->raw.after,    e->raw.epoch,
                                    e->raw.lsn, e->raw.ordinal, e->raw.commit_us};
        return quarantine_put(w, out, &row, err);
    }
    if (!e->was_quarantined) return true;
    struct buf key = {0};
    quarantine_put_key(w->table->name, e->key, &key);
    add_quarantine(out, arena_copy(&w->arena, buf_slice(&key)), (struct slice){0});
    buf_free(&key);
    return true;
}

bool settle(struct range_work *w, struct settled *out, int64_t position, struct error *err)
{
    if (!w->state_only && !fetch_removed(w, err)) return false;
    for (size_t i = 0; i < w->version_count; i++) {
        const struct version *v = &w->versions[i];
        bool ok = v->removes ? settle_removal(w, out, v, err) : settle_image(w, out, v, err);
        if (!ok) return false;
    }
    for (size_t i = 0; i < w->poison_count && !w->state_only; i++) {
        const struct change *c = &w->poison[i];
        const struct bad_row bad = {c->key, c->before, c->after, c->epoch, c->lsn, c->ordinal, c->commit_us};
        if (!quarantine_put(w, out, &bad, err)) return false;
    }
    size_t at = 0;
    void *value;
    while (map_next(&w->entries, &at, NULL, &value))
        if (!settle_entry(w, value, out, position, err)) return false;
    return true;
}
