/* Which files of bronze come next, and their rows in order.
 *
 * A position is version << 16 | slice: the slice counts the files of a version that are taken already, in
 * the order of the commit. The same two positions always give the same files (invariant 4). */
#include "stages/refine/range.h"

#include "format/change.h"
#include "stages/stage.h"

#include <jansson.h>
#include <stdlib.h>

enum { SLICE_MAX = 0xFFFF, FILES_MAX = 512 }; /* their paths stand in one statement */
enum { PARQUET_RATIO = 4 };                   /* of a file that does not tell */

/* Bytes of a file's rows once they are read. */
static int64_t row_bytes(const struct delta_file *file)
{
    json_t *tags = file->tags ? json_loads(file->tags, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(tags, BRONZE_BYTES_TAG));
    int64_t bytes = text ? strtoll(text, NULL, 10) : 0;
    json_decref(tags);
    return bytes > 0 ? bytes : PARQUET_RATIO * file->size_bytes;
}

static void take_file(struct range *r, const struct delta_file *file)
{
    MEM_GROW(r->files, r->file_count, r->file_cap);
    delta_file_copy(&r->files[r->file_count++], file);
    r->rows += file->rows > 0 ? file->rows : 0;
}

/* {"end_lsn":1,"commit_us":2,...}, written by bronze; commits of upkeep have none. */
static void read_about(struct range *r, const char *text)
{
    json_t *about = text ? json_loads(text, 0, NULL) : NULL;
    json_t *lsn = json_object_get(about, "end_lsn"), *commit = json_object_get(about, "commit_us");
    if (json_is_integer(lsn)) r->end_lsn = (uint64_t)json_integer_value(lsn);
    if (json_is_integer(commit) && json_integer_value(commit) > r->commit_us)
        r->commit_us = json_integer_value(commit);
    json_decref(about);
}

struct walk {
    const struct range_limits *limits;
    struct range *range;
    int64_t size_bytes;
};

static bool fits(const struct walk *w, int64_t size_bytes, int64_t rows)
{
    if (w->range->file_count == 0) return true;
    if (w->range->file_count >= FILES_MAX) return false;
    return w->size_bytes + size_bytes <= w->limits->size_bytes && w->range->rows + rows <= w->limits->rows;
}

/* Takes what fits of one version, from its file `slice` on; false when the range ends here. */
static bool take_version(struct walk *w, const struct delta_history_entry *entry, size_t slice)
{
    struct range *r = w->range;
    int64_t size_bytes = 0, rows = 0;
    for (size_t i = slice; i < entry->added_count; i++) {
        size_bytes += row_bytes(&entry->added[i]);
        rows += entry->added[i].rows;
    }
    bool whole = fits(w, size_bytes, rows);
    /* a version that does not fit a range of its own is cut into slices of files */
    if (!whole && r->file_count > 0 && slice == 0) return false;
    size_t i = slice;
    for (; i < entry->added_count; i++) {
        int64_t here = (entry->version << 16) | (int64_t)i;
        if (w->limits->end && here >= w->limits->end) break;
        int64_t bytes = row_bytes(&entry->added[i]);
        if (!fits(w, bytes, entry->added[i].rows)) break;
        take_file(r, &entry->added[i]);
        w->size_bytes += bytes;
    }
    r->version = entry->version;
    r->sliced = i < entry->added_count;
    r->to = r->sliced ? (entry->version << 16) | (int64_t)i : POSITION_AFTER(entry->version);
    if (!r->sliced) read_about(r, entry->user_metadata);
    return !r->sliced;
}

bool range_plan(const struct delta_table *bronze, int64_t from, const struct range_limits *limits,
                struct range *range, struct error *err)
{
    *range = (struct range){.from = from, .to = from};
    struct walk walk = {.limits = limits, .range = range};
    for (int64_t v = POSITION_VERSION(from); v <= limits->last_version; v++) {
        if (limits->end && range->to >= limits->end) break;
        struct delta_history_entry entry;
        if (!delta_history(bronze, v, &entry, err)) {
            range_free(range);
            return error_wrap(err, "refine: bronze version %lld", (long long)v);
        }
        bool ok = entry.added_count <= SLICE_MAX;
        size_t slice = v == POSITION_VERSION(from) ? (size_t)(from & SLICE_MAX) : 0;
        bool more = ok && take_version(&walk, &entry, slice);
        delta_history_free(&entry);
        if (!ok) {
            range_free(range);
            return error_set(err, ERROR_FATAL, "bronze version %lld has more than %d files", (long long)v, SLICE_MAX);
        }
        if (!more) break;
    }
    return true;
}

/* One SELECT for the files of one table, from `first` on; returns how many it took. */
static size_t put_select(const struct delta_table *bronze, const struct range *range, size_t first, struct buf *sql)
{
    const struct columns *c = change_columns();
    const char *table = range->files[first].partition ? range->files[first].partition : "";
    struct buf paths = {0}, structure = {0};
    size_t n = 0;
    buf_printf(&paths, "%s/{", delta_folder(bronze)); /* a path that begins with a brace is not absolute */
    for (; first + n < range->file_count; n++) {
        const struct delta_file *file = &range->files[first + n];
        if (strcmp(file->partition ? file->partition : "", table) != 0) break;
        buf_printf(&paths, "%s%s", n ? "," : "", file->path);
    }
    buf_put_char(&paths, '}');
    buf_put_text(sql, "SELECT ");
    buf_put_sql_text(sql, slice_of(table));
    buf_put_text(sql, " AS `table`");
    for (size_t i = 1; i < c->count; i++) {
        buf_put_text(sql, ", ");
        buf_put_sql_name(sql, c->items[i].name);
    }
    buf_put_text(sql, " FROM file(");
    buf_put_sql_text(sql, buf_slice(&paths));
    buf_put_text(sql, ", 'Parquet', ");
    struct columns stored = {.items = c->items + 1, .count = c->count - 1};
    columns_clickhouse(&stored, &structure);
    buf_put_sql_text(sql, buf_slice(&structure));
    buf_put_char(sql, ')');
    buf_free(&paths);
    buf_free(&structure);
    return n;
}

/* Files of one table in the order of their commits. */
static int by_table(const void *a, const void *b)
{
    const struct delta_file *x = a, *y = b;
    int order = strcmp(x->partition ? x->partition : "", y->partition ? y->partition : "");
    if (order) return order;
    return (x->added_version > y->added_version) - (x->added_version < y->added_version);
}

/* ---- rows that are still in memory ---- */

/* Where a row stands among its table's: what the files are ordered by. */
struct place {
    int32_t epoch;
    uint64_t lsn, ordinal;
};

enum { AT_EPOCH = 1, AT_LSN, AT_ORDINAL }; /* in change_columns without `table` */

static struct place place_of(const struct slice *fields)
{
    struct place p;
    memcpy(&p.epoch, fields[AT_EPOCH].data, sizeof p.epoch);
    memcpy(&p.lsn, fields[AT_LSN].data, sizeof p.lsn);
    memcpy(&p.ordinal, fields[AT_ORDINAL].data, sizeof p.ordinal);
    return p;
}

static bool grows(struct place a, struct place b)
{
    if (a.epoch != b.epoch) return a.epoch < b.epoch;
    return a.lsn != b.lsn ? a.lsn < b.lsn : a.ordinal < b.ordinal;
}

/* Appends one file's rows, each with its table; false when their places do not grow strictly: a copy's
 * rows share theirs, and a copy beside the stream comes between others. */
static bool append_rows(const char *table, struct slice rest, struct place *last, struct buf *out)
{
    const struct columns *c = change_columns();
    const struct columns stored = {.items = c->items + 1, .count = c->count - 1};
    struct slice fields[32], row;
    while (rest.len) {
        if (!row_next(&stored, &rest, fields, &row)) return false;
        struct place here = place_of(fields);
        if (!grows(*last, here)) return false;
        *last = here;
        buf_put_string(out, slice_of(table));
        buf_put_slice(out, row);
    }
    return true;
}

/* The whole range from memory; false when something is missing or not in order. */
static bool read_recent(struct recent *recent, const struct range *range, struct buf *out)
{
    struct place last = {.epoch = INT32_MIN};
    for (size_t i = 0; i < range->file_count; i++) {
        const struct delta_file *file = &range->files[i];
        const char *table = file->partition ? file->partition : "";
        if (i == 0 || strcmp(table, range->files[i - 1].partition) != 0) last = (struct place){.epoch = INT32_MIN};
        struct slice rows = recent_find(recent, file->path);
        if (!rows.data || !append_rows(table, rows, &last, out)) return false;
    }
    return buf_ok(out);
}

/* ---- rows from the files ---- */

void range_put_rows(const struct delta_table *bronze, const struct range *range, struct buf *sql)
{
    for (size_t i = 0; i < range->file_count;) {
        if (i) buf_put_text(sql, " UNION ALL ");
        i += put_select(bronze, range, i, sql);
    }
}

int64_t range_of_snapshot(const struct delta_table *bronze, struct range *range)
{
    int64_t bytes = 0;
    *range = (struct range){.version = delta_version(bronze), .to = POSITION_AFTER(delta_version(bronze))};
    for (size_t i = 0; i < delta_file_count(bronze); i++) {
        take_file(range, delta_file_at(bronze, i));
        bytes += row_bytes(delta_file_at(bronze, i));
    }
    if (range->file_count) qsort(range->files, range->file_count, sizeof *range->files, by_table);
    return bytes;
}

static bool read_files(const struct delta_table *bronze, struct engine_conn *conn, const struct range *range,
                       struct engine_result *rows, struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT * FROM (");
    range_put_rows(bronze, range, &sql);
    buf_put_text(&sql, ")" RANGE_ORDER);
    bool ok = engine_query(conn, buf_text(&sql), "RowBinary", NULL, 0, rows, err);
    buf_free(&sql);
    if (ok && rows->result_rows != (uint64_t)range->rows) { /* a file that is not found gives no error */
        ok = error_set(err, ERROR_RETRY, "%llu rows came instead of %lld", (unsigned long long)rows->result_rows,
                       (long long)range->rows);
        engine_result_free(rows);
    }
    return ok || error_wrap(err, "refine: reading %zu files of bronze up to version %lld", range->file_count,
                            (long long)range->version);
}

bool range_read(const struct delta_table *bronze, struct recent *recent, struct engine_conn *conn,
                struct range *range, struct range_rows *rows, struct error *err)
{
    *rows = (struct range_rows){0};
    if (range->file_count == 0) return true;
    qsort(range->files, range->file_count, sizeof *range->files, by_table);
    if (read_recent(recent, range, &rows->own)) {
        rows->data = buf_slice(&rows->own);
        return true;
    }
    buf_free(&rows->own);
    if (!read_files(bronze, conn, range, &rows->answer, err)) return false;
    rows->data = rows->answer.data;
    return true;
}

void range_rows_free(struct range_rows *rows)
{
    buf_free(&rows->own);
    engine_result_free(&rows->answer);
    *rows = (struct range_rows){0};
}

void range_free(struct range *range)
{
    for (size_t i = 0; i < range->file_count; i++) delta_file_free(&range->files[i]);
    mem_free(range->files);
    *range = (struct range){0};
}
