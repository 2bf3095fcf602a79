#include "stages/refine/base.h"

#include "base/log.h"
#include "stages/refine/range.h"
#include "stages/stage.h"

#include <stdlib.h>

enum { SLICES_MAX = 0xFFFF, SLICE_ROWS_MIN = 100 };

/* The order of all rows; those of a copy share their place, and their hash tells them apart. */
#define PLACE                                            \
    "tuple(epoch, lsn, ordinal, " RANGE_BRACKETS_FIRST \
    ", cityHash64(ifNull(key, ''), ifNull(after, '')))"

struct base {
    struct delta_table *bronze; /* as of the base's version */
    struct engine_conn *conn;
    struct range range;         /* its files */
    int64_t slice_rows, slice, taken;
    char *after;                /* the place of the last row taken; NULL: none yet */
};

bool base_needed(const struct delta_table *bronze, bool *needed, struct error *err)
{
    struct delta_history_entry first;
    bool there = delta_history(bronze, 0, &first, err);
    *needed = !there;
    if (there) delta_history_free(&first);
    return there || err->kind == ERROR_DATA;
}

/* Opens bronze at a version whose files are all there; false when the log or a file is gone. */
static bool open_whole(struct delta_table **out, const char *lake, int64_t version, struct error *err)
{
    if (!delta_open_at(out, lake, BRONZE_TABLE, version, err)) return false;
    if (delta_verify(*out, err)) return true;
    delta_close(*out);
    return false;
}

/* The oldest: between the newest, which is whole, and those that are not. */
static bool open_oldest(struct delta_table **out, const char *lake, int64_t last_version, struct error *err)
{
    int64_t gone = -1, whole = last_version;
    if (!open_whole(out, lake, last_version, err)) return false;
    while (whole - gone > 1) {
        int64_t middle = gone + (whole - gone) / 2;
        struct delta_table *older;
        struct error why;
        if (open_whole(&older, lake, middle, &why)) {
            delta_close(*out);
            *out = older;
            whole = middle;
        } else if (why.kind == ERROR_DATA || why.kind == ERROR_CONFIG) {
            gone = middle;
        } else {
            delta_close(*out);
            *err = why;
            return false;
        }
    }
    return true;
}

bool base_open(struct base **out, const char *lake, int64_t last_version, struct engine_conn *conn,
               int64_t size_bytes, int64_t rows, struct error *err)
{
    struct delta_table *bronze;
    if (!open_oldest(&bronze, lake, last_version, err)) return error_wrap(err, "refine: the oldest bronze");
    struct base *b = mem_alloc(sizeof *b);
    b->bronze = bronze;
    b->conn = conn;
    int64_t all_bytes = range_of_snapshot(bronze, &b->range);
    b->slice_rows = rows;
    if (all_bytes > size_bytes) {
        int64_t fit = (int64_t)((double)b->range.rows * (double)size_bytes / (double)all_bytes);
        if (fit < b->slice_rows) b->slice_rows = fit > SLICE_ROWS_MIN ? fit : SLICE_ROWS_MIN;
    }
    log_info("refine", "the state is made from bronze's files", "version=%lld files=%zu rows=%lld slices_of=%lld",
             (long long)b->range.version, b->range.file_count, (long long)b->range.rows, (long long)b->slice_rows);
    *out = b;
    return true;
}

static void put_after(const struct base *b, struct buf *sql)
{
    buf_put_text(sql, " WHERE ");
    if (b->after) buf_printf(sql, PLACE " > %s", b->after);
    else buf_put_char(sql, '1');
}

/* The place where the next slice ends and how many rows it has; 0 when there is none. */
static bool find_end(const struct base *b, char **end, struct error *err)
{
    struct buf sql = {0};
    struct engine_result answer;
    buf_put_text(&sql, "SELECT max(place) FROM (SELECT " PLACE " AS place FROM (");
    range_put_rows(b->bronze, &b->range, &sql);
    buf_put_char(&sql, ')');
    put_after(b, &sql);
    buf_printf(&sql, " ORDER BY place LIMIT %lld) HAVING count() > 0 SETTINGS max_threads=2",
               (long long)b->slice_rows);
    bool ok = engine_query(b->conn, buf_text(&sql), "TSV", NULL, 0, &answer, err);
    buf_free(&sql);
    if (!ok) return false;
    size_t n = answer.data.len;
    while (n && answer.data.data[n - 1] == '\n') n--;
    *end = n ? mem_textn(answer.data.data, n) : NULL;
    engine_result_free(&answer);
    return true;
}

static bool read_slice(const struct base *b, const char *end, struct engine_result *rows, struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT * FROM (");
    range_put_rows(b->bronze, &b->range, &sql);
    buf_put_char(&sql, ')');
    put_after(b, &sql);
    buf_printf(&sql, " AND " PLACE " <= %s" RANGE_ORDER, end);
    bool ok = engine_query(b->conn, buf_text(&sql), "RowBinary", NULL, 0, rows, err);
    buf_free(&sql);
    return ok;
}

bool base_next(struct base *b, struct engine_result *rows, int64_t *slice, struct error *err)
{
    char *end = NULL;
    *slice = 0;
    if (b->range.file_count && !find_end(b, &end, err)) return error_wrap(err, "refine: reading bronze");
    if (!end) /* a file that is not found gives no error */
        return b->taken == b->range.rows ||
               error_set(err, ERROR_RETRY, "refine: %lld rows of bronze came instead of %lld",
                         (long long)b->taken, (long long)b->range.rows);
    bool ok = b->slice < SLICES_MAX ||
              error_set(err, ERROR_FATAL, "refine: bronze has more than %d slices", SLICES_MAX);
    if (!ok || !read_slice(b, end, rows, err)) {
        mem_free(end);
        return error_wrap(err, "refine: reading bronze");
    }
    mem_free(b->after);
    b->after = end;
    b->taken += (int64_t)rows->result_rows;
    *slice = ++b->slice;
    return true;
}

int64_t base_version(const struct base *b)
{
    return b->range.version;
}

uint64_t base_end_lsn(const struct base *b)
{
    int64_t lsn = delta_txn(b->bronze, BRONZE_APP_ID);
    return lsn < 0 ? 0 : (uint64_t)lsn;
}

void base_close(struct base *b)
{
    if (!b) return;
    delta_close(b->bronze);
    range_free(&b->range);
    mem_free(b->after);
    mem_free(b);
}
