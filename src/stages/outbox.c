/* The outbox in the state store (layout: outbox.h).
 *
 *   merge of gold --(same atomic write)--> o/P/...       o/0/...  (pending: whole models)
 *   batches row durable --> outbox_complete: b/P, and the pending blocks move to P, in one write
 *   warehouse: outbox_next, outbox_blocks, its own position, outbox_remove up to P
 *
 * 1. b/P is written once: repeating outbox_complete after a restart must not move later pending blocks
 *    into a batch that the warehouse may have loaded already. */
#include "stages/outbox.h"

static const char removed_key[] = "or";

static void put_be64(struct buf *out, uint64_t v)
{
    char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(v >> (56 - 8 * i));
    buf_put(out, bytes, sizeof bytes);
}

static uint64_t get_be64(const char *at)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

static uint64_t get_u64(const char *at)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

/* "o/<position>/" or "b/<position>". */
static void put_position(struct buf *out, char kind, int64_t position)
{
    buf_put_char(out, kind);
    buf_put_char(out, '/');
    put_be64(out, (uint64_t)position);
    if (kind == 'o') buf_put_char(out, '/');
}

static void put_block_key(struct buf *out, int64_t position, const char *table, int64_t version)
{
    put_position(out, 'o', position);
    buf_put_text(out, table);
    buf_put_char(out, '\0');
    put_be64(out, (uint64_t)version);
}

/* ---- writing blocks ---- */

static bool split(const struct columns *c, struct slice row, struct slice *fields)
{
    return row_next(c, &row, fields, NULL);
}

static bool same_field(struct slice a, struct slice b)
{
    return !a.data == !b.data && slice_equal(a, b);
}

/* Whether the row stands elsewhere in the warehouse's order. */
static bool moved(const struct outbox_writer *w, struct slice before, struct slice after,
                  struct slice *fields)
{
    struct slice *old = fields, *new = fields + w->columns->count;
    if (!split(w->columns, before, old) || !split(w->columns, after, new)) return true;
    for (size_t i = 0; i < w->sort_column_count; i++)
        if (!same_field(old[w->sort_columns[i]], new[w->sort_columns[i]])) return true;
    return false;
}

static void put_row(struct buf *block, struct slice row, int64_t version, bool deleted)
{
    buf_put_slice(block, row);
    buf_put_u64(block, (uint64_t)version);
    buf_put_u8(block, deleted);
}

void outbox_append(const struct outbox_writer *w, const struct keyed_applied *applied, size_t count,
                   int64_t version, struct state_batch *also)
{
    struct buf key = {0}, block = {0};
    if (count == 0) return;
    struct slice *fields = mem_resize(NULL, 2 * w->columns->count + 1, sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        const struct keyed_applied *a = &applied[i];
        if (a->before.data && (!a->after.data || moved(w, a->before, a->after, fields)))
            put_row(&block, a->before, version, true);
        if (a->after.data) put_row(&block, a->after, version, false);
    }
    put_block_key(&key, w->position, w->table, version);
    state_batch_put(also, buf_slice(&key), buf_slice(&block));
    mem_free(fields);
    buf_free(&key);
    buf_free(&block);
}

void outbox_append_reload(const char *table, int64_t position, int64_t version, struct state_batch *also)
{
    struct buf key = {0};
    put_block_key(&key, position, table, version);
    state_batch_put(also, buf_slice(&key), SLICE(""));
    buf_free(&key);
}

/* ---- whole batches ---- */

static bool read_removed(struct state *s, int64_t *position, struct error *err)
{
    struct buf value = {0};
    bool found = false, ok = state_get(s, NULL, slice_of(removed_key), &value, &found, err);
    *position = ok && found && value.len == 8 ? (int64_t)get_be64(value.data) : -1;
    buf_free(&value);
    return ok;
}

static bool is_done(struct state *s, int64_t position, bool *done, struct error *err)
{
    int64_t removed;
    struct buf key = {0}, value = {0};
    if (!read_removed(s, &removed, err)) return false;
    put_position(&key, 'b', position);
    bool ok = state_get(s, NULL, buf_slice(&key), &value, done, err);
    if (removed >= position) *done = true;
    buf_free(&key);
    buf_free(&value);
    return ok;
}

static bool move_pending(struct state *s, int64_t position, struct state_batch *b, struct error *err)
{
    struct buf prefix = {0}, to = {0};
    struct slice key, block;
    put_position(&prefix, 'o', OUTBOX_PENDING);
    struct state_iter *it = state_iter_open(s, NULL, buf_slice(&prefix));
    while (state_iter_next(it, &key, &block)) {
        buf_clear(&to);
        put_position(&to, 'o', position);
        buf_put(&to, key.data + prefix.len, key.len - prefix.len);
        state_batch_put(b, buf_slice(&to), block);
        state_batch_delete(b, key);
    }
    buf_free(&prefix);
    buf_free(&to);
    return state_iter_close(it, err);
}

static void put_batch(struct state_batch *b, const struct outbox_batch *batch)
{
    struct buf key = {0}, value = {0};
    put_position(&key, 'b', batch->position);
    buf_put_u64(&value, batch->end_lsn);
    buf_put_u64(&value, (uint64_t)batch->commit_us);
    buf_put_text(&value, batch->versions);
    state_batch_put(b, buf_slice(&key), buf_slice(&value));
    buf_free(&key);
    buf_free(&value);
}

bool outbox_complete(struct state *s, const struct outbox_batch *batch, struct error *err)
{
    bool done = false;
    if (!is_done(s, batch->position, &done, err)) return false;
    if (done) return true;
    struct state_batch *b = state_batch_new();
    put_batch(b, batch);
    bool ok = move_pending(s, batch->position, b, err) && state_write(s, b, err);
    state_batch_free(b);
    return ok;
}

enum { BATCH_KEY_BYTES = 2 + 8, BATCH_HEAD_BYTES = 16 };

bool outbox_next(struct state *s, int64_t position, struct outbox_batch *out, bool *found,
                 struct error *err)
{
    struct slice key, value;
    *found = false;
    struct state_iter *it = state_iter_open(s, NULL, SLICE("b/"));
    while (!*found && state_iter_next(it, &key, &value)) {
        if (key.len != BATCH_KEY_BYTES || value.len < BATCH_HEAD_BYTES) continue;
        int64_t at = (int64_t)get_be64(key.data + 2);
        if (at <= position) continue;
        *found = true;
        *out = (struct outbox_batch){
            .position = at,
            .end_lsn = get_u64(value.data),
            .commit_us = (int64_t)get_u64(value.data + 8),
            .versions = mem_textn(value.data + BATCH_HEAD_BYTES, value.len - BATCH_HEAD_BYTES),
        };
    }
    if (state_iter_close(it, err)) return true;
    if (*found) outbox_batch_free(out);
    *found = false;
    return false;
}

bool outbox_blocks(struct state *s, int64_t position, outbox_each *each, void *arg, struct error *err)
{
    struct buf prefix = {0};
    struct slice key, block;
    bool ok = true;
    put_position(&prefix, 'o', position);
    struct state_iter *it = state_iter_open(s, NULL, buf_slice(&prefix));
    while (ok && state_iter_next(it, &key, &block)) {
        size_t name = key.len - prefix.len;
        if (name < 9 || key.data[key.len - 9] != '\0') {
            ok = error_set(err, ERROR_FATAL, "outbox: an entry of position %lld is damaged",
                           (long long)position);
            break;
        }
        char *table = mem_textn(key.data + prefix.len, name - 9);
        ok = each(arg, table, (int64_t)get_be64(key.data + key.len - 8), block, err);
        mem_free(table);
    }
    buf_free(&prefix);
    struct error closing = {0};
    bool closed = state_iter_close(it, &closing);
    if (ok && !closed) *err = closing;
    return ok && closed;
}

bool outbox_newest(struct state *s, int64_t *position, struct error *err)
{
    struct slice key, block;
    struct state_iter *it = state_iter_open(s, NULL, SLICE("o/"));
    *position = OUTBOX_PENDING;
    while (state_iter_next(it, &key, &block))
        if (key.len >= BATCH_KEY_BYTES) *position = (int64_t)get_be64(key.data + 2);
    return state_iter_close(it, err);
}

/* ---- removing ---- */

/* Deletes entries of one kind up to position, pending ones excepted. */
static bool delete_through(struct state *s, char kind, int64_t position, struct state_batch *b,
                           struct error *err)
{
    const char prefix[2] = {kind, '/'};
    struct slice key, value;
    struct state_iter *it = state_iter_open(s, NULL, (struct slice){prefix, sizeof prefix});
    while (state_iter_next(it, &key, &value)) {
        if (key.len < BATCH_KEY_BYTES) continue;
        int64_t at = (int64_t)get_be64(key.data + 2);
        if (at > position) break;
        if (at != OUTBOX_PENDING) state_batch_delete(b, key);
    }
    return state_iter_close(it, err);
}

bool outbox_remove(struct state *s, int64_t position, struct error *err)
{
    int64_t removed;
    if (!read_removed(s, &removed, err)) return false;
    struct buf value = {0};
    struct state_batch *b = state_batch_new();
    put_be64(&value, (uint64_t)(position > removed ? position : removed));
    state_batch_put(b, slice_of(removed_key), buf_slice(&value));
    bool ok = delete_through(s, 'o', position, b, err) && delete_through(s, 'b', position, b, err) &&
              state_write(s, b, err);
    state_batch_free(b);
    buf_free(&value);
    return ok;
}

void outbox_batch_free(struct outbox_batch *b)
{
    mem_free(b->versions);
    *b = (struct outbox_batch){0};
}
