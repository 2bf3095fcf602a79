/* Reading a keyed table from the state store: single rows, many, by index, all. Nothing here touches
 * the table's files. */
#include "lake/keyed_int.h"

enum { SCAN_KEYS = 2048 };

/* Copies of keys and rows, so that no block of the store stays pinned while the caller works. */
struct rows {
    struct buf bytes;
    struct slice *keys;  /* as asked for */
    size_t *at, *len;    /* into bytes; len MISSING: absent */
    bool damaged;
};

#define MISSING SIZE_MAX

bool keyed_get(struct keyed *k, struct slice key, struct buf *row, bool *found, struct error *err)
{
    struct buf state_key = {0}, value = {0};
    uint32_t file, number;
    *found = false;
    if (!keyed_check_ready(k, err)) return false;
    keyed_put_state_key(k, 'r', key, &state_key);
    bool ok = state_get(k->state, NULL, buf_slice(&state_key), &value, found, err);
    struct slice rest = buf_slice(&value);
    if (ok && *found && !keyed_take_place(&rest, &file, &number))
        ok = keyed_damaged(k, "a place is cut short", err);
    if (ok && *found) buf_put_slice(row, rest);
    buf_free(&state_key);
    buf_free(&value);
    return ok;
}

static void take_row(void *arg, size_t i, struct slice value)
{
    struct rows *r = arg;
    uint32_t file, number;
    r->len[i] = MISSING;
    if (!value.data) return;
    if (!keyed_take_place(&value, &file, &number)) {
        r->damaged = true;
        return;
    }
    r->at[i] = r->bytes.len;
    r->len[i] = value.len;
    buf_put_slice(&r->bytes, value);
}

static bool fetch_rows(struct keyed *k, const struct slice *keys, size_t count, struct rows *r,
                       struct error *err)
{
    struct buf names = {0};
    buf_clear(&r->bytes);
    for (size_t i = 0; i < count; i++) {
        size_t from = names.len;
        keyed_put_state_key(k, 'r', keys[i], &names);
        r->keys[i].len = names.len - from;
    }
    for (size_t i = 0, at = 0; i < count; at += r->keys[i++].len) r->keys[i].data = names.data + at;
    bool ok = state_get_many(k->state, NULL, r->keys, count, take_row, r, err);
    if (ok && r->damaged) ok = keyed_damaged(k, "a place is cut short", err);
    if (ok && !buf_ok(&r->bytes)) ok = error_set(err, ERROR_FATAL, "%s: rows too large", k->name);
    buf_free(&names);
    return ok;
}

static bool give_rows(const struct slice *keys, size_t count, const struct rows *r, keyed_each *each,
                      void *arg, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (r->len[i] == MISSING) continue;
        struct slice row = {r->bytes.data + r->at[i], r->len[i]};
        if (!each(arg, keys[i], row, err)) return false;
    }
    return true;
}

bool keyed_get_many(struct keyed *k, const struct slice *keys, size_t count, keyed_each *each, void *arg,
                    struct error *err)
{
    if (!keyed_check_ready(k, err)) return false;
    struct rows r = {.keys = mem_resize(NULL, SCAN_KEYS, sizeof *r.keys),
                     .at = mem_resize(NULL, SCAN_KEYS, sizeof *r.at),
                     .len = mem_resize(NULL, SCAN_KEYS, sizeof *r.len)};
    bool ok = true;
    for (size_t from = 0; ok && from < count; from += SCAN_KEYS) {
        size_t n = count - from < SCAN_KEYS ? count - from : SCAN_KEYS;
        ok = fetch_rows(k, keys + from, n, &r, err) && give_rows(keys + from, n, &r, each, arg, err);
    }
    buf_free(&r.bytes);
    mem_free(r.keys);
    mem_free(r.at);
    mem_free(r.len);
    return ok;
}

/* ---- scans ---- */

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

/* All rows of r/ with this prefix; name_len: bytes before the key. */
static bool scan_rows(struct keyed *k, const struct state_snapshot *at, struct slice prefix, size_t name_len,
                      int column, struct slice text, keyed_each *each, void *arg, struct error *err)
{
    struct state_iter *it = state_iter_open(k->state, at, prefix);
    struct slice key, value;
    bool ok = true;
    while (ok && state_iter_next(it, &key, &value)) {
        uint32_t file, number;
        key.data += name_len;
        key.len -= name_len;
        if (!keyed_take_place(&value, &file, &number)) ok = keyed_damaged(k, "a place is cut short", err);
        else if (column < 0 || has_text(k, value, column, text)) ok = each(arg, key, value, err);
    }
    struct error closing = {0};
    bool closed = state_iter_close(it, &closing);
    if (ok && !closed) *err = closing;
    return ok && closed;
}

static size_t name_length(const struct keyed *k)
{
    return 2 + strlen(k->name) + 1;
}

bool keyed_scan(struct keyed *k, const struct state_snapshot *at, keyed_each *each, void *arg,
                struct error *err)
{
    struct buf prefix = {0};
    if (!keyed_check_ready(k, err)) return false;
    keyed_put_state_key(k, 'r', (struct slice){0}, &prefix);
    bool ok = scan_rows(k, at, buf_slice(&prefix), name_length(k), -1, (struct slice){0}, each, arg, err);
    buf_free(&prefix);
    return ok;
}

static bool scan_key_prefix(struct keyed *k, int column, struct slice value, keyed_each *each, void *arg,
                            struct error *err)
{
    struct buf prefix = {0};
    keyed_put_state_key(k, 'r', value, &prefix);
    buf_put_char(&prefix, 0x1F);
    bool ok = scan_rows(k, NULL, buf_slice(&prefix), name_length(k), column, value, each, arg, err);
    buf_free(&prefix);
    return ok;
}

struct key_list {
    struct buf bytes;
    size_t *at;
    size_t count, cap;
};

/* The keys that the index has for a value, copied. */
static bool index_keys(struct keyed *k, int column, struct slice value, struct key_list *keys,
                       struct error *err)
{
    struct buf prefix = {0};
    struct slice entry, nothing;
    keyed_put_index_prefix(k, column, value, &prefix);
    struct state_iter *it = state_iter_open(k->state, NULL, buf_slice(&prefix));
    while (state_iter_next(it, &entry, &nothing)) {
        MEM_GROW(keys->at, keys->count, keys->cap);
        keys->at[keys->count++] = keys->bytes.len;
        buf_put(&keys->bytes, entry.data + prefix.len, entry.len - prefix.len);
    }
    buf_free(&prefix);
    if (!state_iter_close(it, err)) return false;
    return buf_ok(&keys->bytes) || error_set(err, ERROR_FATAL, "%s: too many keys of one value", k->name);
}

static bool scan_index(struct keyed *k, int column, struct slice value, keyed_each *each, void *arg,
                       struct error *err)
{
    struct key_list list = {0};
    bool ok = index_keys(k, column, value, &list, err);
    if (ok && list.count) {
        struct slice *keys = mem_resize(NULL, list.count, sizeof *keys);
        for (size_t i = 0; i < list.count; i++) {
            size_t end = i + 1 < list.count ? list.at[i + 1] : list.bytes.len;
            const char *data = list.bytes.data ? list.bytes.data + list.at[i] : "";
            keys[i] = (struct slice){data, end - list.at[i]};
        }
        ok = keyed_get_many(k, keys, list.count, each, arg, err);
        mem_free(keys);
    }
    buf_free(&list.bytes);
    mem_free(list.at);
    return ok;
}

bool keyed_scan_index(struct keyed *k, int column, struct slice value, keyed_each *each, void *arg,
                      struct error *err)
{
    if (!keyed_check_ready(k, err)) return false;
    if (!value.data) return true;
    if (column == k->key_columns[0])
        return k->key_column_count > 1 ? scan_key_prefix(k, column, value, each, arg, err)
                                       : keyed_get_many(k, &value, 1, each, arg, err);
    for (size_t i = 0; i < k->index_column_count; i++)
        if (k->index_columns[i] == column) return scan_index(k, column, value, each, arg, err);
    return error_set(err, ERROR_FATAL, "%s: column %d has no index", k->name, column);
}
