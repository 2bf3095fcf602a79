/* Rows of a keyed table by the value of a column, for many values at once.
 *
 *   first of several key columns:  one iterator over r/, moved to each value's prefix
 *   the only key column:           the values are the keys
 *   an index column:               one iterator over i/ gives keys, the rows come by key
 *
 * Values are worked in byte order, so that the iterator moves forwards through blocks that it has. */
#include "lake/keyed_int.h"

#include <stdlib.h>

enum { KEYS_MAX = 2048 }; /* of an index, fetched together */

struct value {
    struct slice text;
    size_t at; /* in the caller's array */
};

struct find {
    struct keyed *k;
    int column;
    struct value *values;
    size_t count;
    keyed_each_of *each;
    void *arg;
    /* keys of an index that wait for their rows */
    struct buf bytes;
    size_t key_at[KEYS_MAX], key_len[KEYS_MAX], key_value[KEYS_MAX];
    size_t key_count;
};

static int by_text(const void *a, const void *b)
{
    return slice_compare(((const struct value *)a)->text, ((const struct value *)b)->text);
}

/* Does the row's column have this text? Key prefixes can say so wrongly when values hold 0x1F. */
static bool has_text(struct keyed *k, struct slice row, int column, struct slice text)
{
    struct buf own = {0};
    bool has = keyed_split(k, row, k->fields) &&
               field_text(&k->columns.items[column], k->fields[column], &own) &&
               slice_equal(buf_slice(&own), text);
    buf_free(&own);
    return has;
}

static bool close_iter(struct state_iter *it, bool ok, struct error *err)
{
    struct error closing = {0};
    bool closed = state_iter_close(it, &closing);
    if (ok && !closed) *err = closing;
    return ok && closed;
}

/* ---- by the first key column ---- */

static bool take_prefixed(struct find *f, const struct value *v, size_t name_len, struct slice key,
                          struct slice value, struct error *err)
{
    uint32_t file, number;
    key.data += name_len;
    key.len -= name_len;
    if (!keyed_take_place(&value, &file, &number)) return keyed_damaged(f->k, "a place is cut short", err);
    return !has_text(f->k, value, f->column, v->text) || f->each(f->arg, v->at, key, value, err);
}

static bool find_by_prefix(struct find *f, struct error *err)
{
    struct buf prefix = {0};
    struct slice key, value;
    bool ok = true;
    keyed_put_state_key(f->k, 'r', (struct slice){0}, &prefix);
    size_t name_len = prefix.len;
    struct state_iter *it = state_iter_open(f->k->state, NULL, buf_slice(&prefix));
    for (size_t i = 0; ok && i < f->count; i++) {
        prefix.len = name_len;
        buf_put_slice(&prefix, f->values[i].text);
        buf_put_char(&prefix, 0x1F);
        state_iter_seek(it, buf_slice(&prefix));
        while (ok && state_iter_next(it, &key, &value))
            ok = take_prefixed(f, &f->values[i], name_len, key, value, err);
    }
    buf_free(&prefix);
    return close_iter(it, ok, err);
}

/* ---- by whole keys ---- */

struct taking {
    struct find *f;
    const struct slice *keys;
    const size_t *values;
    size_t at, count;
};

/* Rows come in the order of the keys that were asked for; keys without a row are passed over. */
static bool take_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct taking *t = arg;
    while (t->at < t->count && t->keys[t->at].data != key.data)
        t->at++;
    if (t->at == t->count)
        return error_set(err, ERROR_FATAL, "%s: a row that was not asked for", t->f->k->name);
    return t->f->each(t->f->arg, t->values[t->at++], key, row, err);
}

static bool fetch(struct find *f, const struct slice *keys, const size_t *values, size_t count,
                  struct error *err)
{
    struct taking t = {.f = f, .keys = keys, .values = values, .count = count};
    return keyed_get_many(f->k, keys, count, take_row, &t, err);
}

static bool find_by_key(struct find *f, struct error *err)
{
    struct slice *keys = mem_resize(NULL, f->count + 1, sizeof *keys);
    size_t *values = mem_resize(NULL, f->count + 1, sizeof *values);
    for (size_t i = 0; i < f->count; i++) {
        keys[i] = f->values[i].text;
        values[i] = f->values[i].at;
    }
    bool ok = fetch(f, keys, values, f->count, err);
    mem_free(keys);
    mem_free(values);
    return ok;
}

/* ---- by an index ---- */

static bool fetch_waiting(struct find *f, struct error *err)
{
    struct slice keys[KEYS_MAX];
    for (size_t i = 0; i < f->key_count; i++)
        keys[i] = (struct slice){f->bytes.data + f->key_at[i], f->key_len[i]};
    bool ok = buf_ok(&f->bytes) || error_set(err, ERROR_FATAL, "%s: keys too large", f->k->name);
    ok = ok && fetch(f, keys, f->key_value, f->key_count, err);
    f->key_count = 0;
    buf_clear(&f->bytes);
    return ok;
}

/* Copied, because the iterator moves on. The NUL keeps the addresses of empty keys apart. */
static bool put_key(struct find *f, const struct value *v, struct slice key, struct error *err)
{
    f->key_at[f->key_count] = f->bytes.len;
    f->key_len[f->key_count] = key.len;
    f->key_value[f->key_count++] = v->at;
    buf_put_slice(&f->bytes, key);
    buf_put_char(&f->bytes, '\0');
    return f->key_count < KEYS_MAX || fetch_waiting(f, err);
}

static bool find_by_index(struct find *f, struct error *err)
{
    struct buf all = {0}, prefix = {0};
    struct slice entry, nothing;
    bool ok = true;
    keyed_put_state_key(f->k, 'i', (struct slice){0}, &all);
    struct state_iter *it = state_iter_open(f->k->state, NULL, buf_slice(&all));
    for (size_t i = 0; ok && i < f->count; i++) {
        buf_clear(&prefix);
        keyed_put_index_prefix(f->k, f->column, f->values[i].text, &prefix);
        state_iter_seek(it, buf_slice(&prefix));
        while (ok && state_iter_next(it, &entry, &nothing)) {
            struct slice key = {entry.data + prefix.len, entry.len - prefix.len};
            ok = put_key(f, &f->values[i], key, err);
        }
    }
    buf_free(&all);
    buf_free(&prefix);
    return close_iter(it, ok, err) && fetch_waiting(f, err);
}

static bool has_index(const struct keyed *k, int column)
{
    for (size_t i = 0; i < k->index_column_count; i++)
        if (k->index_columns[i] == column) return true;
    return false;
}

static bool find(struct find *f, struct error *err)
{
    const struct keyed *k = f->k;
    if (f->column == k->key_columns[0])
        return k->key_column_count > 1 ? find_by_prefix(f, err) : find_by_key(f, err);
    if (has_index(k, f->column)) return find_by_index(f, err);
    return error_set(err, ERROR_FATAL, "%s: column %d has no index", k->name, f->column);
}

bool keyed_find_many(struct keyed *k, int column, const struct slice *values, size_t count,
                     keyed_each_of *each, void *arg, struct error *err)
{
    if (!keyed_check_ready(k, err)) return false;
    struct find *f = mem_alloc(sizeof *f);
    f->k = k;
    f->column = column;
    f->each = each;
    f->arg = arg;
    f->values = mem_resize(NULL, count + 1, sizeof *f->values);
    for (size_t i = 0; i < count; i++)
        if (values[i].data) f->values[f->count++] = (struct value){values[i], i};
    if (f->count > 1) qsort(f->values, f->count, sizeof *f->values, by_text);
    bool ok = find(f, err);
    buf_free(&f->bytes);
    mem_free(f->values);
    mem_free(f);
    return ok;
}
