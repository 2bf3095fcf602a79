/* A keyed table's handle: opening, closing, what it knows, and the key of a row (keyed.h).
 *
 *  1. A handle that differs from its table in columns does nothing but keyed_replace.
 *  2. The position never goes back: that would mean that an input was lost or read twice. */
#include "lake/keyed_int.h"

enum { KEY_JOIN = 0x1F, KEY_NULL = 0x1E };

static int *copy_ints(const int *from, size_t count)
{
    int *to = mem_resize(NULL, count + 1, sizeof *to);
    if (count) memcpy(to, from, count * sizeof *to);
    return to;
}

static struct keyed *new_handle(struct state *state, const struct keyed_spec *spec)
{
    struct keyed *k = mem_alloc(sizeof *k);
    k->name = mem_text(spec->name);
    k->state = state;
    columns_copy(&k->columns, spec->columns);
    k->key_columns = copy_ints(spec->key_columns, spec->key_column_count);
    k->key_column_count = spec->key_column_count;
    k->index_columns = copy_ints(spec->index_columns, spec->index_column_count);
    k->index_column_count = spec->index_column_count;
    k->app_id = mem_text(spec->app_id);
    k->live_files_max = spec->live_files_max > 1 ? spec->live_files_max : 2;
    k->compact_rows_max = spec->compact_rows_max > 0 ? spec->compact_rows_max : 1;
    k->fields = mem_resize(NULL, spec->columns->count + 1, sizeof *k->fields);
    k->fields_before = mem_resize(NULL, spec->columns->count + 1, sizeof *k->fields_before);
    return k;
}

bool keyed_open(struct keyed **out, const char *lake, struct state *state, struct engine_conn *conn,
                const struct keyed_spec *spec, bool *columns_differ, struct error *err)
{
    struct keyed *k = new_handle(state, spec);
    struct delta_options options = spec->options;
    options.partition_column = NULL;
    options.append_only = false;
    options.deletion_vectors = true;
    *columns_differ = false;
    if (!delta_open_or_create(&k->table, lake, spec->name, spec->columns, &options, err)) goto fail;
    if (!delta_verify(k->table, err)) goto fail;
    k->columns_differ = !columns_equal(delta_columns(k->table), spec->columns);
    *columns_differ = k->columns_differ;
    if (!k->columns_differ && !keyed_recover(k, conn, err)) goto fail;
    *out = k;
    return true;
fail:
    keyed_close(k);
    return error_wrap(err, "%s", spec->name);
}

void keyed_close(struct keyed *k)
{
    if (!k) return;
    keyed_files_clear(k);
    mem_free(k->files);
    if (k->table) delta_close(k->table);
    columns_free(&k->columns);
    mem_free(k->key_columns);
    mem_free(k->index_columns);
    mem_free(k->fields);
    mem_free(k->fields_before);
    mem_free(k->app_id);
    mem_free(k->name);
    mem_free(k);
}

struct delta_table *keyed_table(struct keyed *k)
{
    return k->table;
}

int64_t keyed_version(const struct keyed *k)
{
    return delta_version(k->table);
}

int64_t keyed_position(const struct keyed *k)
{
    return delta_txn(k->table, k->app_id);
}

const struct columns *keyed_columns(const struct keyed *k)
{
    return &k->columns;
}

int64_t keyed_row_count(const struct keyed *k)
{
    return delta_row_count(k->table);
}

bool keyed_split(const struct keyed *k, struct slice row, struct slice *fields)
{
    return row_next(&k->columns, &row, fields, NULL) && row.len == 0;
}

void keyed_row_key(const struct keyed *k, struct slice row, struct buf *key)
{
    struct slice *fields = k->fields;
    if (!keyed_split(k, row, fields)) return;
    for (size_t i = 0; i < k->key_column_count; i++) {
        int at = k->key_columns[i];
        if (i) buf_put_char(key, KEY_JOIN);
        if (!field_text(&k->columns.items[at], fields[at], key)) buf_put_char(key, KEY_NULL);
    }
}

bool keyed_check_ready(const struct keyed *k, struct error *err)
{
    if (k->columns_differ)
        return error_set(err, ERROR_FATAL, "%s: columns differ from the table's, replace it first", k->name);
    if (!k->in_step)
        return error_set(err, ERROR_RETRY, "%s: index is not in step, the next merge rebuilds it", k->name);
    return true;
}

bool keyed_check_position(const struct keyed *k, int64_t position, struct error *err)
{
    int64_t now = keyed_position(k);
    if (position >= now) return true;
    return error_set(err, ERROR_FATAL, "%s: position %lld is behind the table's %lld", k->name,
                     (long long)position, (long long)now);
}

bool keyed_damaged(struct keyed *k, const char *what, struct error *err)
{
    k->in_step = false;
    k->damaged = true;
    return error_set(err, ERROR_RETRY, "%s: index damaged (%s), the next merge rebuilds it", k->name, what);
}
