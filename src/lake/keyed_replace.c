/* New content and columns in one commit; the index is rebuilt from the new files.
 *
 *   v/ = -1  ->  files  ->  commit: metaData, removes of all, adds of all, txn  ->  rebuild
 *
 * A crash before the commit leaves the old table and costs a rebuild; after it, the new table. */
#include "lake/delta_int.h"
#include "lake/keyed_int.h"

struct replacing {
    struct keyed *k;
    struct engine_conn *conn;
    struct columns columns; /* borrowed: the new ones */
    struct delta_file *files;
    size_t count, cap;
};

/* A file of the table as it will be: the handle has the new columns for as long as that takes. */
static bool write_file(struct replacing *r, struct slice rows, size_t count, struct delta_file *out,
                       struct error *err)
{
    struct delta_snapshot *now = &r->k->table->now;
    struct columns columns = now->columns, file_columns = now->file_columns;
    now->columns = now->file_columns = r->columns;
    bool ok = delta_write_file(r->k->table, r->conn, rows, count, NULL, out, err);
    now->columns = columns;
    now->file_columns = file_columns;
    return ok;
}

static bool write_rows(struct replacing *r, struct buf *rows, size_t *count, struct error *err)
{
    struct delta_file f = {0};
    if (*count == 0) return true;
    if (!buf_ok(rows)) return error_set(err, ERROR_DATA, "rows too large for a file");
    if (!write_file(r, buf_slice(rows), *count, &f, err)) return false;
    MEM_GROW(r->files, r->count, r->cap);
    r->files[r->count++] = f;
    buf_clear(rows);
    *count = 0;
    return true;
}

static bool write_files(struct replacing *r, keyed_source *next, void *arg, struct error *err)
{
    struct buf rows = {0};
    size_t count = 0;
    bool ok = true, done = false;
    while (ok) {
        struct slice key, row;
        ok = next(arg, &key, &row, &done, err);
        if (!ok || done) break;
        buf_put_slice(&rows, row);
        if (++count >= KEYED_FILE_ROWS || rows.len >= KEYED_FILE_BYTES) ok = write_rows(r, &rows, &count, err);
    }
    ok = ok && write_rows(r, &rows, &count, err);
    buf_free(&rows);
    return ok;
}

static bool mark_for_rebuild(struct keyed *k, struct error *err)
{
    struct state_batch *batch = state_batch_new();
    keyed_batch_version(k, batch, -1);
    bool ok = state_write(k->state, batch, err);
    state_batch_free(batch);
    return ok;
}

static bool commit(struct replacing *r, const struct columns *columns, int64_t position, struct error *err)
{
    struct keyed *k = r->k;
    int64_t version;
    struct delta_commit *c = delta_commit_begin(k->table, "REPLACE TABLE");
    if (!columns_equal(columns, delta_columns(k->table))) delta_commit_columns(c, columns);
    for (size_t i = 0; i < delta_file_count(k->table); i++)
        delta_commit_remove(c, delta_file_at(k->table, i), true);
    for (size_t i = 0; i < r->count; i++) delta_commit_add(c, &r->files[i], true);
    if (position >= 0) delta_commit_txn(c, k->app_id, position);
    return delta_commit_finish(c, &version, err);
}

static void take_columns(struct keyed *k, const struct columns *columns)
{
    struct columns copy;
    columns_copy(&copy, columns);
    columns_free(&k->columns);
    k->columns = copy;
    k->fields = mem_resize(k->fields, copy.count + 1, sizeof *k->fields);
    k->fields_before = mem_resize(k->fields_before, copy.count + 1, sizeof *k->fields_before);
    k->columns_differ = false;
}

bool keyed_replace(struct keyed *k, struct engine_conn *conn, const struct columns *columns,
                   keyed_source *next, void *arg, int64_t position, struct error *err)
{
    /* An intent of the old index would be lost with it: what its caller added must hold first. */
    if (!k->in_step && (!delta_refresh(k->table, err) || !keyed_intent_settle(k, NULL, err))) return false;
    if (!keyed_check_position(k, position, err)) return false;
    struct replacing r = {.k = k, .conn = conn, .columns = *columns};
    bool ok = write_files(&r, next, arg, err) && mark_for_rebuild(k, err);
    if (ok) {
        k->in_step = false;
        ok = commit(&r, columns, position, err);
    }
    for (size_t i = 0; i < r.count; i++) delta_file_free(&r.files[i]);
    mem_free(r.files);
    if (!ok) return error_wrap(err, "%s: replace", k->name);
    take_columns(k, columns);
    return keyed_rebuild(k, conn, err);
}
