/* Walking the raw rows of a table and cleaning them again, a chunk at a time: for new columns, another
 * model, replay and check. Memory is one chunk, whatever the table holds. */
#include "stages/refine/silver/silver_int.h"

enum { CHUNK_BYTES = 8 << 20 };

void raw_walk_open(struct raw_walk *w, struct table *t, struct state *state, struct cleaner *cleaner,
                   const struct state_snapshot *at)
{
    struct buf prefix = {0};
    *w = (struct raw_walk){.table = t, .state = state, .cleaner = cleaner};
    raw_put_key('w', t->name, (struct slice){0}, &prefix);
    w->prefix_len = prefix.len;
    w->it = state_iter_open(state, at, buf_slice(&prefix));
    buf_free(&prefix);
}

bool raw_walk_close(struct raw_walk *w, bool ok, struct error *err)
{
    struct error closing = {0};
    bool closed = state_iter_close(w->it, ok ? err : &closing);
    clean_results_free(&w->results);
    arena_free(&w->arena);
    mem_free(w->entries);
    mem_free(w->items);
    return ok && closed;
}

bool raw_walk_fill(struct raw_walk *w, struct error *err)
{
    struct slice key, value;
    size_t bytes = 0;
    arena_free(&w->arena);
    clean_results_free(&w->results);
    w->count = w->at = 0;
    while (w->count < RAW_WALK_ROWS && bytes < CHUNK_BYTES && state_iter_next(w->it, &key, &value)) {
        struct raw_row raw;
        if (!raw_decode(value, &raw) || raw.flags & RAW_DELETED) continue;
        const struct slice plain = {key.data + w->prefix_len, key.len - w->prefix_len};
        if (raw.flags & RAW_PARTIAL) {
            if (w->partial) map_put(w->partial, plain);
            continue;
        }
        size_t count = w->count;
        MEM_GROW(w->entries, count, w->cap);
        MEM_GROW(w->items, count, w->item_cap);
        raw.after = arena_copy(&w->arena, raw.after);
        w->entries[count] = (struct entry){.key = arena_copy(&w->arena, plain), .raw = raw, .exists = true};
        w->items[count] = (struct clean_item){.after = raw.after};
        if (!table_schema(w->table, w->state, raw.schema, &w->items[count].schema, err)) return false;
        if (!w->items[count].schema) w->items[count].schema = w->table->schema;
        bytes += value.len;
        w->count++;
    }
    struct table *t = w->table;
    return w->count == 0 ||
           clean_items(w->cleaner, &t->model, t->schema, &t->columns, w->items, w->count, &w->results, err);
}

bool raw_walk_next(struct raw_walk *w, struct entry **entry, struct clean_item **item, struct error *err)
{
    *entry = NULL;
    if (w->at == w->count && !raw_walk_fill(w, err)) return false;
    if (w->at == w->count) return true;
    *entry = &w->entries[w->at];
    *item = &w->items[w->at++];
    return true;
}

struct version raw_version(struct entry *e)
{
    return (struct version){.entry = e,
                            .op = CHANGE_UPDATE,
                            .epoch = e->raw.epoch,
                            .lsn = e->raw.lsn,
                            .ordinal = e->raw.ordinal,
                            .commit_us = e->raw.commit_us,
                            .valid_from_us = e->raw.valid_from_us};
}

void raw_put_row(const struct table *t, const struct entry *e, struct state_batch *batch)
{
    struct buf key = {0}, value = {0};
    raw_put_key('w', t->name, e->key, &key);
    raw_encode(&e->raw, &value);
    state_batch_put(batch, buf_slice(&key), buf_slice(&value));
    buf_free(&key);
    buf_free(&value);
}
