/* The live files of a keyed table in memory: number, path, deletion vector; and reading their rows.
 *
 *  1. Vectors are read when first needed and then kept, four bytes for each deleted row; compaction
 *     bounds how many there are.
 *  2. A row's number is what the engine says (_row_number), never the order of reading. */
#include "lake/delta_int.h"
#include "lake/keyed_int.h"

#include <stdlib.h>

static void file_clear(struct keyed_file *f)
{
    mem_free(f->path);
    mem_free(f->deleted);
    *f = (struct keyed_file){0};
}

void keyed_files_clear(struct keyed *k)
{
    for (size_t i = 0; i < k->file_count; i++) file_clear(&k->files[i]);
    k->file_count = 0;
    k->next_number = 0;
}

struct keyed_file *keyed_files_add(struct keyed *k, uint32_t number, const char *path, int64_t rows)
{
    MEM_GROW(k->files, k->file_count, k->file_cap);
    size_t at = k->file_count++;
    while (at > 0 && k->files[at - 1].number > number) {
        k->files[at] = k->files[at - 1];
        at--;
    }
    k->files[at] = (struct keyed_file){.number = number, .path = mem_text(path), .rows = rows};
    if (number >= k->next_number) k->next_number = number + 1;
    return &k->files[at];
}

static int compare_number(const void *key, const void *item)
{
    uint32_t a = *(const uint32_t *)key, b = ((const struct keyed_file *)item)->number;
    return (a > b) - (a < b);
}

struct keyed_file *keyed_files_find(struct keyed *k, uint32_t number)
{
    if (k->file_count == 0) return NULL;
    return bsearch(&number, k->files, k->file_count, sizeof *k->files, compare_number);
}

void keyed_files_drop(struct keyed *k, uint32_t number)
{
    struct keyed_file *f = keyed_files_find(k, number);
    if (!f) return;
    file_clear(f);
    size_t at = (size_t)(f - k->files);
    memmove(f, f + 1, (k->file_count - at - 1) * sizeof *f);
    k->file_count--;
}

bool keyed_file_vector(struct keyed *k, struct keyed_file *f, struct error *err)
{
    if (f->loaded) return true;
    const struct delta_file *in_log = delta_file_find(k->table, f->path);
    if (!in_log) return keyed_damaged(k, "a file is not in the table", err);
    if (in_log->dv.type != 0 &&
        !delta_read_vector(k->table, &in_log->dv, &f->deleted, &f->deleted_count, err))
        return false;
    f->loaded = true;
    return true;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

bool keyed_file_is_deleted(const struct keyed_file *f, uint32_t row)
{
    if (f->deleted_count == 0) return false;
    return bsearch(&row, f->deleted, f->deleted_count, sizeof row, compare_u32) != NULL;
}

/* SELECT of `place`, which says where a row stands, and the table's columns, from what the path names. */
static void put_select(const struct keyed *k, const char *place, const struct buf *path, struct buf *sql)
{
    struct buf structure = {0};
    columns_clickhouse(&k->columns, &structure);
    buf_printf(sql, "SELECT %s", place);
    for (size_t i = 0; i < k->columns.count; i++) {
        buf_put_text(sql, ", ");
        buf_put_sql_name(sql, k->columns.items[i].name);
    }
    buf_put_text(sql, " FROM file(");
    buf_put_sql_text(sql, buf_slice(path));
    buf_put_text(sql, ", 'Parquet', ");
    buf_put_sql_text(sql, buf_slice(&structure));
    buf_put_char(sql, ')');
    buf_free(&structure);
}

static void put_read_query(const struct keyed *k, const struct keyed_file *f, uint32_t from, uint32_t to,
                           struct buf *sql)
{
    struct buf path = {0};
    buf_put_text(&path, delta_folder(k->table));
    buf_put_char(&path, '/');
    delta_put_decoded(&path, f->path);
    put_select(k, "toUInt32(assumeNotNull(_row_number))", &path, sql);
    if (from > 0 || to < UINT32_MAX)
        buf_printf(sql, " WHERE _row_number >= %lu AND _row_number < %lu", (unsigned long)from,
                   (unsigned long)to);
    buf_free(&path);
}

/* Gives the whole rows at the front of `data` to each; what is left is a row cut short. */
static bool take_rows(struct keyed *k, struct keyed_file *f, struct slice *data, uint64_t *seen,
                      keyed_file_each *each, void *arg, struct error *err)
{
    while (data->len >= 4) {
        const unsigned char *p = (const unsigned char *)data->data;
        uint32_t number = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        struct slice rest = {data->data + 4, data->len - 4}, row;
        if (!row_next(&k->columns, &rest, k->fields, &row)) return true;
        *data = rest;
        ++*seen;
        if (!keyed_file_is_deleted(f, number) && !each(arg, number, row, err)) return false;
    }
    return true;
}

static bool read_stream(struct keyed *k, struct keyed_file *f, struct engine_stream *stream, uint64_t *seen,
                        keyed_file_each *each, void *arg, struct error *err)
{
    struct buf kept = {0};
    bool ok = true, done = false;
    while (ok) {
        struct slice chunk;
        ok = engine_stream_next(stream, &chunk, &done, err);
        if (!ok || done) break;
        buf_put_slice(&kept, chunk);
        if (!buf_ok(&kept)) {
            ok = error_set(err, ERROR_DATA, "%s: rows too large", f->path);
            break;
        }
        struct slice data = buf_slice(&kept);
        ok = take_rows(k, f, &data, seen, each, arg, err);
        if (data.len) memmove(kept.data, data.data, data.len);
        kept.len = data.len;
    }
    if (ok && kept.len) ok = error_set(err, ERROR_DATA, "%s: rows not of the table's columns", f->path);
    buf_free(&kept);
    return ok;
}

bool keyed_file_read(struct keyed *k, struct engine_conn *conn, struct keyed_file *f, uint32_t from,
                     uint32_t to, keyed_file_each *each, void *arg, struct error *err)
{
    if (!keyed_file_vector(k, f, err)) return false;
    struct buf sql = {0};
    struct engine_stream *stream;
    uint64_t seen = 0;
    put_read_query(k, f, from, to, &sql);
    bool ok = engine_stream_open(conn, buf_text(&sql), "RowBinary", NULL, 0, &stream, err);
    if (ok) {
        ok = read_stream(k, f, stream, &seen, each, arg, err);
        engine_stream_close(stream);
    }
    buf_free(&sql);
    if (!ok) return error_wrap(err, "%s/%s", k->name, f->path);
    if (f->rows < 0 && from == 0 && to == UINT32_MAX) f->rows = (int64_t)seen;
    uint64_t expected = (f->rows < (int64_t)to ? (uint64_t)f->rows : to) - from;
    if (seen != expected)
        return error_set(err, ERROR_FATAL, "%s/%s: has %llu rows, the log says %llu", k->name, f->path,
                         (unsigned long long)seen, (unsigned long long)expected);
    return true;
}

/* ---- several files ---- */

enum { TOGETHER_FILES = 128, TOGETHER_BYTES = 2 << 20 };

/* The files' paths as one, `<folder>/{a,b}`; how many it names. Names that a list or an address could read
 * otherwise, and those of other folders, are not put together with others: here a path is the file's name. */
static size_t put_together(const struct keyed *k, struct keyed_file *const *files, size_t count, struct buf *path)
{
    int64_t size_bytes = 0;
    size_t n = 0;
    buf_printf(path, "%s/{", delta_folder(k->table));
    for (; n < count && n < TOGETHER_FILES; n++) {
        const struct delta_file *in_log = delta_file_find(k->table, files[n]->path);
        if (!in_log || files[n]->rows < 0 || strpbrk(files[n]->path, "/{},*?%")) break;
        size_bytes += in_log->size_bytes;
        if (n && size_bytes > TOGETHER_BYTES) break;
        buf_printf(path, "%s%s", n ? "," : "", files[n]->path);
    }
    buf_put_char(path, '}');
    return n;
}

/* Index of the file with this name, from `at` on round all of them; count: none. */
static size_t file_named(struct keyed_file *const *files, size_t count, size_t at, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = (at + i) % count;
        if (slice_equal(slice_of(files[n]->path), name)) return n;
    }
    return count;
}

static bool take_together(struct keyed *k, struct keyed_file *const *files, size_t count, struct slice rest,
                          keyed_files_each *each, void *arg, struct error *err)
{
    static struct column place[] = {{.name = "_file", .type = COLUMN_STRING},
                                    {.name = "_row_number", .type = COLUMN_INTEGER}};
    const struct columns head = {.items = place, .count = 2};
    int64_t *seen = mem_alloc((count + 1) * sizeof *seen);
    size_t at = 0;
    bool ok = true;
    while (ok && rest.len) {
        struct slice fields[2], row;
        uint32_t number = 0;
        ok = row_next(&head, &rest, fields, NULL) && row_next(&k->columns, &rest, k->fields, &row) &&
             (at = file_named(files, count, at, fields[0])) < count;
        if (!ok) {
            error_set(err, ERROR_DATA, "%s: rows not of the table's columns", files[0]->path);
            break;
        }
        memcpy(&number, fields[1].data, sizeof number);
        seen[at]++;
        ok = keyed_file_is_deleted(files[at], number) || each(arg, files[at], number, row, err);
    }
    for (size_t i = 0; ok && i < count; i++)
        if (seen[i] != files[i]->rows)
            ok = error_set(err, ERROR_FATAL, "%s: has %lld rows, the log says %lld", files[i]->path,
                           (long long)seen[i], (long long)files[i]->rows);
    mem_free(seen);
    return ok;
}

/* What keyed_file_read needs to give the same as this. */
struct alone {
    const struct keyed_file *f;
    keyed_files_each *each;
    void *arg;
};

static bool each_alone(void *arg, uint32_t number, struct slice row, struct error *err)
{
    struct alone *a = arg;
    return a->each(a->arg, a->f, number, row, err);
}

bool keyed_files_read(struct keyed *k, struct engine_conn *conn, struct keyed_file *const *files, size_t count,
                      size_t *taken, keyed_files_each *each, void *arg, struct error *err)
{
    struct buf path = {0}, sql = {0};
    *taken = put_together(k, files, count, &path);
    bool ok = true;
    if (*taken < 2) {
        *taken = 1;
        ok = keyed_file_read(k, conn, files[0], 0, UINT32_MAX, each_alone, &(struct alone){files[0], each, arg}, err);
    } else {
        for (size_t i = 0; ok && i < *taken; i++)
            ok = keyed_file_vector(k, files[i], err);
        struct engine_result r = {0};
        put_select(k, "toString(_file), toInt32(assumeNotNull(_row_number))", &path, &sql);
        buf_put_text(&sql, " SETTINGS max_threads=1, use_hive_partitioning=0");
        ok = ok && engine_query(conn, buf_text(&sql), "RowBinary", NULL, 0, &r, err);
        if (ok) ok = take_together(k, files, *taken, r.data, each, arg, err);
        engine_result_free(&r);
        if (!ok) error_wrap(err, "%s", k->name);
    }
    buf_free(&path);
    buf_free(&sql);
    return ok;
}
