/* The keyed table's part of the state store: its keys and values, recovery and rebuild.
 *
 *   r/<name>\0<key>                          u32 file, u32 row, the row
 *   i/<name>\0<column>\0<value>\0<key>       nothing; in <value> 00 is written 01 01, and 01 is 01 02
 *   f/<name>\0<u32 file, big-endian>         path as in the log
 *   v/<name>\0                               i64 version, what the index is for: "k0,1;i3"
 *   p/<name>\0                               i64 version, u8 large, 36 bytes commitInfo.txnId, the batch
 *
 *   recovery:  p/ there? -- commit of that version carries the id --> apply the batch, v = version
 *                   |                                                  (large: v = -1)
 *                   '------ it does not ----------------------------> drop it
 *              v is the table's version, and f/ its live files? --> in step, else rebuild
 *
 *  1. v/ names a version only when r/, i/ and f/ are exactly that version of the table. Paths are
 *     unique, so a table that was made anew does not pass for the old one.
 *  2. A rebuild first makes v/ -1, so a rebuild cut short begins again.
 *  3. Memory of a rebuild: one piece of the stream and one write batch. */
#include "lake/keyed_int.h"

#include "base/log.h"

static uint32_t get_u32(const char *at)
{
    const unsigned char *p = (const unsigned char *)at;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int64_t get_i64(const char *at)
{
    return (int64_t)((uint64_t)get_u32(at) | (uint64_t)get_u32(at + 4) << 32);
}

void keyed_put_state_key(const struct keyed *k, char kind, struct slice tail, struct buf *out)
{
    buf_put_char(out, kind);
    buf_put_char(out, '/');
    buf_put_text(out, k->name);
    buf_put_char(out, '\0');
    buf_put_slice(out, tail);
}

void keyed_put_index_prefix(const struct keyed *k, int column, struct slice value, struct buf *out)
{
    keyed_put_state_key(k, 'i', slice_of(k->columns.items[column].name), out);
    buf_put_char(out, '\0');
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (c == 0 || c == 1) {
            buf_put_char(out, 1);
            c = (char)(c + 1);
        }
        buf_put_char(out, c);
    }
    buf_put_char(out, '\0');
}

void keyed_put_place(struct buf *out, uint32_t file, uint32_t row)
{
    buf_put_u32(out, file);
    buf_put_u32(out, row);
}

bool keyed_take_place(struct slice *value, uint32_t *file, uint32_t *row)
{
    if (value->len < KEYED_PLACE_BYTES) return false;
    *file = get_u32(value->data);
    *row = get_u32(value->data + 4);
    value->data += KEYED_PLACE_BYTES;
    value->len -= KEYED_PLACE_BYTES;
    return true;
}

static void put_number_key(const struct keyed *k, uint32_t number, struct buf *out)
{
    const char be[4] = {(char)(number >> 24), (char)(number >> 16), (char)(number >> 8), (char)number};
    keyed_put_state_key(k, 'f', (struct slice){be, sizeof be}, out);
}

void keyed_batch_file(const struct keyed *k, struct state_batch *batch, uint32_t number, const char *path)
{
    struct buf key = {0};
    put_number_key(k, number, &key);
    if (path) state_batch_put(batch, buf_slice(&key), slice_of(path));
    else state_batch_delete(batch, buf_slice(&key));
    buf_free(&key);
}

/* What the entries depend on besides the table. */
static void put_purpose(const struct keyed *k, struct buf *out)
{
    buf_put_char(out, 'k');
    for (size_t i = 0; i < k->key_column_count; i++) buf_printf(out, "%d,", k->key_columns[i]);
    buf_put_text(out, ";i");
    for (size_t i = 0; i < k->index_column_count; i++) buf_printf(out, "%d,", k->index_columns[i]);
}

void keyed_batch_version(const struct keyed *k, struct state_batch *batch, int64_t version)
{
    struct buf key = {0}, value = {0};
    keyed_put_state_key(k, 'v', (struct slice){0}, &key);
    buf_put_u64(&value, (uint64_t)version);
    put_purpose(k, &value);
    state_batch_put(batch, buf_slice(&key), buf_slice(&value));
    buf_free(&key);
    buf_free(&value);
}

static void batch_index_entry(struct keyed *k, struct state_batch *batch, int column, struct slice text,
                              struct slice row_key, bool put)
{
    struct buf entry = {0};
    keyed_put_index_prefix(k, column, text, &entry);
    buf_put_slice(&entry, row_key);
    if (put) state_batch_put(batch, buf_slice(&entry), SLICE(""));
    else state_batch_delete(batch, buf_slice(&entry));
    buf_free(&entry);
}

static void batch_index_column(struct keyed *k, struct state_batch *batch, const struct keyed_item *item,
                               int column)
{
    const struct column *c = &k->columns.items[column];
    struct buf before = {0}, after = {0};
    bool was = item->before.data && field_text(c, k->fields_before[column], &before);
    bool is = item->after.data && field_text(c, k->fields[column], &after);
    bool same = was && is && slice_equal(buf_slice(&before), buf_slice(&after));
    if (was && !same) batch_index_entry(k, batch, column, buf_slice(&before), item->key, false);
    if (is && !same) batch_index_entry(k, batch, column, buf_slice(&after), item->key, true);
    buf_free(&before);
    buf_free(&after);
}

void keyed_batch_item(struct keyed *k, struct state_batch *batch, const struct keyed_item *item, bool moves)
{
    struct buf key = {0}, value = {0};
    keyed_put_state_key(k, 'r', item->key, &key);
    if (item->after.data) {
        keyed_put_place(&value, item->new_file, item->new_row);
        buf_put_slice(&value, item->after);
        state_batch_put(batch, buf_slice(&key), buf_slice(&value));
    } else {
        state_batch_delete(batch, buf_slice(&key));
    }
    buf_free(&key);
    buf_free(&value);
    if (moves || k->index_column_count == 0) return;
    if (item->before.data && !keyed_split(k, item->before, k->fields_before)) return;
    if (item->after.data && !keyed_split(k, item->after, k->fields)) return;
    for (size_t i = 0; i < k->index_column_count; i++) batch_index_column(k, batch, item, k->index_columns[i]);
}

/* ---- intents ---- */

enum { INTENT_HEAD_BYTES = 8 + 1 + KEYED_ID_BYTES };

bool keyed_intent_store(struct keyed *k, const struct keyed_intent *intent, const struct state_batch *batch,
                        struct error *err)
{
    struct buf key = {0}, value = {0};
    struct state_batch *write = state_batch_new();
    keyed_put_state_key(k, 'p', (struct slice){0}, &key);
    buf_put_u64(&value, (uint64_t)intent->version);
    buf_put_u8(&value, intent->large);
    buf_put(&value, intent->id, KEYED_ID_BYTES);
    buf_put_slice(&value, state_batch_bytes(batch));
    bool ok = buf_ok(&value);
    if (!ok) error_set(err, ERROR_FATAL, "%s: merge too large to be noted", k->name);
    state_batch_put(write, buf_slice(&key), buf_slice(&value));
    if (intent->large) keyed_batch_version(k, write, -1);
    ok = ok && state_write(k->state, write, err);
    state_batch_free(write);
    buf_free(&key);
    buf_free(&value);
    return ok;
}

void keyed_batch_intent_done(const struct keyed *k, struct state_batch *batch)
{
    struct buf key = {0};
    keyed_put_state_key(k, 'p', (struct slice){0}, &key);
    state_batch_delete(batch, buf_slice(&key));
    buf_free(&key);
}

/* Does the log's commit carry the intent's id? One that was cleaned up is not asked for any more: the
 * store is then older than the log's retention and is rebuilt. */
static bool intent_committed(struct keyed *k, const struct keyed_intent *intent, bool *committed,
                             struct error *err)
{
    struct delta_history_entry entry = {0};
    struct error why = {0};
    *committed = false;
    if (intent->version > delta_version(k->table)) return true;
    if (!delta_history(k->table, intent->version, &entry, &why)) {
        if (why.kind == ERROR_DATA) return true;
        *err = why;
        return false;
    }
    *committed = entry.commit_id && strcmp(entry.commit_id, intent->id) == 0;
    delta_history_free(&entry);
    return true;
}

static bool parse_intent(struct slice value, struct keyed_intent *intent, struct slice *batch)
{
    if (value.len < INTENT_HEAD_BYTES) return false;
    intent->version = get_i64(value.data);
    intent->large = value.data[8] != 0;
    memcpy(intent->id, value.data + 9, KEYED_ID_BYTES);
    intent->id[KEYED_ID_BYTES] = '\0';
    *batch = (struct slice){value.data + INTENT_HEAD_BYTES, value.len - INTENT_HEAD_BYTES};
    return true;
}

static bool settle_found(struct keyed *k, struct slice value, bool *committed, struct error *err)
{
    struct keyed_intent intent = {0};
    struct slice bytes;
    bool whole = parse_intent(value, &intent, &bytes);
    *committed = false;
    if (whole && !intent_committed(k, &intent, committed, err)) return false;
    struct state_batch *batch = *committed ? state_batch_from_bytes(bytes) : state_batch_new();
    keyed_batch_intent_done(k, batch);
    if (!whole) keyed_batch_version(k, batch, -1);
    else if (*committed) keyed_batch_version(k, batch, intent.large ? -1 : intent.version);
    else if (intent.large) keyed_batch_version(k, batch, intent.version - 1);
    bool ok = state_write(k->state, batch, err);
    state_batch_free(batch);
    return ok;
}

bool keyed_intent_settle(struct keyed *k, bool *committed, struct error *err)
{
    struct buf key = {0}, value = {0};
    bool found = false, unused;
    if (!committed) committed = &unused;
    *committed = false;
    keyed_put_state_key(k, 'p', (struct slice){0}, &key);
    bool ok = state_get(k->state, NULL, buf_slice(&key), &value, &found, err);
    if (ok && found) ok = settle_found(k, buf_slice(&value), committed, err);
    buf_free(&key);
    buf_free(&value);
    return ok;
}

/* ---- recovery ---- */

static bool version_matches(struct keyed *k, bool *matches, struct error *err)
{
    struct buf key = {0}, value = {0}, expected = {0};
    bool found = false;
    keyed_put_state_key(k, 'v', (struct slice){0}, &key);
    bool ok = state_get(k->state, NULL, buf_slice(&key), &value, &found, err);
    buf_put_u64(&expected, (uint64_t)delta_version(k->table));
    put_purpose(k, &expected);
    *matches = ok && found && slice_equal(buf_slice(&value), buf_slice(&expected));
    buf_free(&key);
    buf_free(&value);
    buf_free(&expected);
    return ok;
}

static bool no_rows(struct keyed *k, bool *none, struct error *err)
{
    struct buf prefix = {0};
    struct slice key, value;
    keyed_put_state_key(k, 'r', (struct slice){0}, &prefix);
    struct state_iter *it = state_iter_open(k->state, NULL, buf_slice(&prefix));
    *none = !state_iter_next(it, &key, &value);
    buf_free(&prefix);
    return state_iter_close(it, err);
}

/* Takes f/ into memory; *matches: it names exactly the table's live files. */
static bool load_files(struct keyed *k, bool *matches, struct error *err)
{
    struct buf prefix = {0};
    struct slice key, value;
    *matches = true;
    keyed_files_clear(k);
    keyed_put_state_key(k, 'f', (struct slice){0}, &prefix);
    struct state_iter *it = state_iter_open(k->state, NULL, buf_slice(&prefix));
    while (*matches && state_iter_next(it, &key, &value)) {
        char *path = mem_textn(value.data, value.len);
        const struct delta_file *f = delta_file_find(k->table, path);
        *matches = f && f->rows >= 0 && key.len == prefix.len + 4;
        if (*matches) {
            const unsigned char *be = (const unsigned char *)key.data + prefix.len;
            uint32_t number = (uint32_t)be[0] << 24 | (uint32_t)be[1] << 16 | (uint32_t)be[2] << 8 | be[3];
            keyed_files_add(k, number, path, f->rows);
        }
        mem_free(path);
    }
    buf_free(&prefix);
    if (!state_iter_close(it, err)) return false;
    if (k->file_count != delta_file_count(k->table)) *matches = false;
    return !*matches || k->file_count > 0 || no_rows(k, matches, err);
}

bool keyed_recover(struct keyed *k, struct engine_conn *conn, struct error *err)
{
    bool matches = false;
    k->in_step = false;
    if (!delta_refresh(k->table, err)) return false;
    if (!keyed_intent_settle(k, NULL, err)) return false;
    if (!version_matches(k, &matches, err)) return false;
    if (k->damaged) matches = false;
    if (matches && !load_files(k, &matches, err)) return false;
    if (!matches) return keyed_rebuild(k, conn, err);
    k->in_step = true;
    return true;
}

/* ---- rebuild ---- */

struct rebuild {
    struct keyed *k;
    struct state_batch *batch;
    struct buf key;
    uint32_t file;
    int64_t rows;
};

static bool flush_rebuild(struct rebuild *r, struct error *err)
{
    bool ok = state_write(r->k->state, r->batch, err);
    state_batch_free(r->batch);
    r->batch = state_batch_new();
    return ok;
}

static bool rebuild_row(void *arg, uint32_t number, struct slice row, struct error *err)
{
    struct rebuild *r = arg;
    buf_clear(&r->key);
    keyed_row_key(r->k, row, &r->key);
    struct keyed_item item = {
        .key = buf_slice(&r->key), .after = row, .new_file = r->file, .new_row = number,
    };
    keyed_batch_item(r->k, r->batch, &item, false);
    r->rows++;
    return state_batch_size(r->batch) < KEYED_PIECE_BYTES || flush_rebuild(r, err);
}

static void batch_delete_kind(struct keyed *k, struct state_batch *batch, char kind)
{
    struct buf from = {0}, to = {0};
    keyed_put_state_key(k, kind, (struct slice){0}, &from);
    buf_put_slice(&to, buf_slice(&from));
    to.data[to.len - 1] = 1;
    state_batch_delete_range(batch, buf_slice(&from), buf_slice(&to));
    buf_free(&from);
    buf_free(&to);
}

static bool rebuild_files(struct rebuild *r, struct engine_conn *conn, struct error *err)
{
    struct keyed *k = r->k;
    keyed_files_clear(k);
    for (size_t i = 0; i < delta_file_count(k->table); i++) {
        const struct delta_file *f = delta_file_at(k->table, i);
        keyed_files_add(k, (uint32_t)i, f->path, f->rows);
    }
    for (size_t i = 0; i < k->file_count; i++) {
        r->file = k->files[i].number;
        if (!keyed_file_read(k, conn, &k->files[i], 0, UINT32_MAX, rebuild_row, r, err)) return false;
        keyed_batch_file(k, r->batch, r->file, k->files[i].path);
    }
    keyed_batch_version(k, r->batch, delta_version(k->table));
    return flush_rebuild(r, err);
}

bool keyed_rebuild(struct keyed *k, struct engine_conn *conn, struct error *err)
{
    struct rebuild r = {.k = k, .batch = state_batch_new()};
    k->in_step = false;
    batch_delete_kind(k, r.batch, 'r');
    batch_delete_kind(k, r.batch, 'i');
    batch_delete_kind(k, r.batch, 'f');
    keyed_batch_version(k, r.batch, -1);
    bool ok = flush_rebuild(&r, err) && rebuild_files(&r, conn, err);
    state_batch_free(r.batch);
    buf_free(&r.key);
    if (!ok) return error_wrap(err, "%s: rebuild of the index", k->name);
    k->in_step = true;
    k->damaged = false;
    if (r.rows) log_info("lake", "index rebuilt", "table=%s rows=%lld", k->name, (long long)r.rows);
    return true;
}
