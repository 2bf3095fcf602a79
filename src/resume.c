/* Bronze keeps a record for every copy of a table: 'B' before its slot is made, 'E' once all rows are
 * durable. From those follow the epoch, the source's identity, and which tables have a whole copy. */
#include "resume.h"

#include "engine/engine.h"
#include "format/row.h"
#include "lake/delta.h"
#include "stages/capture/capture.h"

#include <stdlib.h>

enum { F_OP, F_TABLE, F_EPOCH, F_KEY, F_AFTER, F_COUNT };

static const struct columns *record_columns(void)
{
    static struct column items[F_COUNT] = {
        {.name = "op", .type = COLUMN_STRING},
        {.name = "table", .type = COLUMN_STRING},
        {.name = "epoch", .type = COLUMN_INTEGER},
        {.name = "key", .type = COLUMN_STRING, .nullable = true},
        {.name = "after", .type = COLUMN_STRING, .nullable = true},
    };
    static const struct columns columns = {.items = items, .count = F_COUNT};
    return &columns;
}

struct reading {
    struct capture_resume resume;
    char *identity;
    char **copied;
    size_t cap;
};

static int32_t epoch_of(struct slice field)
{
    uint32_t v = 0;
    for (size_t i = 0; i < field.len; i++) v |= (uint32_t)(unsigned char)field.data[i] << (8 * i);
    return (int32_t)v;
}

static void forget_copies(struct reading *r)
{
    for (size_t i = 0; i < r->resume.copied_count; i++) mem_free(r->copied[i]);
    r->resume.copied_count = 0;
    r->resume.copy_complete = false;
    mem_free(r->identity);
    r->identity = NULL;
}

static void drop_copied(struct reading *r, struct slice table)
{
    for (size_t i = 0; i < r->resume.copied_count; i++) {
        if (!slice_equal(slice_of(r->copied[i]), table)) continue;
        mem_free(r->copied[i]);
        r->copied[i] = r->copied[--r->resume.copied_count];
        return;
    }
}

/* Copy ids are numbers and count up. */
static int64_t copy_number(struct slice key)
{
    char *text = mem_textn(key.data, key.len);
    int64_t n = strtoll(text, NULL, 10);
    mem_free(text);
    return n;
}

/* A table is copied when its newest begin record has its complete record. */
static void take_record(struct reading *r, const struct slice *f)
{
    int32_t epoch = epoch_of(f[F_EPOCH]);
    if (epoch > r->resume.epoch) {
        forget_copies(r);
        r->resume.epoch = epoch;
    }
    int64_t n = copy_number(f[F_KEY]);
    if (n >= r->resume.next_copy_id) r->resume.next_copy_id = n + 1;
    drop_copied(r, f[F_TABLE]);
    if (f[F_OP].data[0] == 'B') {
        if (!r->identity) r->identity = mem_textn(f[F_AFTER].data, f[F_AFTER].len);
        return;
    }
    r->resume.copy_complete = true; /* others of the epoch follow only a whole first copy */
    MEM_GROW(r->copied, r->resume.copied_count, r->cap);
    r->copied[r->resume.copied_count++] = mem_textn(f[F_TABLE].data, f[F_TABLE].len);
}

static bool read_records(struct engine_conn *conn, const struct delta_table *bronze, struct reading *r,
                         struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT op, `table`, epoch, key, after FROM ");
    delta_put_source(bronze, &sql);
    buf_put_text(&sql, " WHERE op IN ('B', 'E') ORDER BY epoch, toInt64OrZero(key), op");
    struct engine_result rows;
    bool ok = engine_query(conn, buf_text(&sql), "RowBinary", NULL, 0, &rows, err);
    buf_free(&sql);
    if (!ok) return false;
    struct slice rest = rows.data, fields[F_COUNT];
    while (row_next(record_columns(), &rest, fields, NULL)) take_record(r, fields);
    engine_result_free(&rows);
    return rest.len == 0 || error_set(err, ERROR_FATAL, "bronze's copy records are malformed");
}

bool resume_from_lake(struct flow *flow, bool new_epoch, struct error *err)
{
    struct reading r = {.resume = {.durable_lsn = atomic_load(&flow->durable_lsn), .new_epoch = new_epoch}};
    struct engine_conn *conn = NULL;
    struct delta_table *bronze = NULL;
    bool ok = true;
    if (delta_exists(flow->lake, BRONZE_TABLE))
        ok = engine_connect(&conn, NULL, err) && delta_open(&bronze, flow->lake, BRONZE_TABLE, err) &&
             read_records(conn, bronze, &r, err);
    if (bronze) delta_close(bronze);
    if (conn) engine_disconnect(conn);
    if (ok) {
        r.resume.identity = r.identity;
        r.resume.copied = (const char *const *)r.copied;
        atomic_store(&flow->epoch, r.resume.epoch);
        atomic_store(&flow->copy_complete, r.resume.copy_complete && !new_epoch);
        capture_set_resume(&r.resume);
    }
    forget_copies(&r);
    mem_free(r.copied);
    return ok || error_wrap(err, "reading the lake's copy records");
}
