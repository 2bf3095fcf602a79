/* Reading a keyed table from the state store: single rows, many, all (by index: keyed_find.c). Nothing
 * here touches the table's files. */
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

bool keyed_scan(struct keyed *k, const struct state_snapshot *at, keyed_each *each, void *arg,
                struct error *err)
{
    struct buf prefix = {0};
    struct slice key, value;
    if (!keyed_check_ready(k, err)) return false;
    keyed_put_state_key(k, 'r', (struct slice){0}, &prefix);
    struct state_iter *it = state_iter_open(k->state, at, buf_slice(&prefix));
    bool ok = true;
    while (ok && state_iter_next(it, &key, &value)) {
        uint32_t file, number;
        key.data += prefix.len;
        key.len -= prefix.len;
        ok = keyed_take_place(&value, &file, &number) ? each(arg, key, value, err)
                                                      : keyed_damaged(k, "a place is cut short", err);
    }
    struct error closing = {0};
    bool closed = state_iter_close(it, &closing);
    buf_free(&prefix);
    if (ok && !closed) *err = closing;
    return ok && closed;
}
