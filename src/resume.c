/* Where capture goes on: from the copy records in bronze, or from the position in Kafka. */
#include "resume.h"

#include "engine/engine.h"
#include "format/row.h"
#include "lake/delta.h"
#include "net/kafka.h"
#include "stages/capture/capture.h"
#include "stages/copies.h"
#include "stages/stream/position.h"

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

static int32_t epoch_of(struct slice field)
{
    uint32_t v = 0;
    for (size_t i = 0; i < field.len; i++) v |= (uint32_t)(unsigned char)field.data[i] << (8 * i);
    return (int32_t)v;
}

static bool read_records(struct engine_conn *conn, const struct delta_table *bronze, struct copies *copies,
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
    while (row_next(record_columns(), &rest, fields, NULL))
        copies_take(copies, fields[F_OP].data[0], fields[F_TABLE], epoch_of(fields[F_EPOCH]), fields[F_KEY],
                    fields[F_AFTER]);
    engine_result_free(&rows);
    return rest.len == 0 || error_set(err, ERROR_FATAL, "bronze's copy records are malformed");
}

static void tell(struct flow *flow, const struct copies *copies, uint64_t lsn, uint64_t previous_lsn, bool new_epoch)
{
    struct capture_resume resume = {
        .epoch = copies->epoch,
        .durable_lsn = lsn,
        .previous_lsn = previous_lsn,
        .identity = copies->identity,
        .copy_complete = copies->complete,
        .new_epoch = new_epoch,
        .next_copy_id = copies->next_copy_id,
        .copied = (const char *const *)copies->tables,
        .copied_count = copies->count,
    };
    atomic_store(&flow->epoch, copies->epoch);
    atomic_store(&flow->copy_complete, copies->complete && !new_epoch);
    capture_set_resume(&resume);
}

bool resume_from_lake(struct flow *flow, bool new_epoch, struct error *err)
{
    struct copies copies = {0};
    struct engine_conn *conn = NULL;
    struct delta_table *bronze = NULL;
    bool ok = true;
    if (delta_exists(flow->lake, BRONZE_TABLE))
        ok = engine_connect(&conn, NULL, err) && delta_open(&bronze, flow->lake, BRONZE_TABLE, err) &&
             read_records(conn, bronze, &copies, err);
    if (bronze) delta_close(bronze);
    if (conn) engine_disconnect(conn);
    if (ok) tell(flow, &copies, atomic_load(&flow->durable_lsn), 0, new_epoch);
    copies_free(&copies);
    return ok || error_wrap(err, "reading the lake's copy records");
}

bool resume_from_stream(struct flow *flow, bool new_epoch, struct error *err)
{
    struct stream_position position;
    struct kafka_admin *admin = NULL;
    bool found, ok = kafka_admin_open(&admin, flow->config, err) &&
                     stream_position_look(admin, flow->config, &found, &position, err);
    kafka_admin_close(admin);
    if (!ok) return error_wrap(err, "reading the stream's position");
    atomic_store(&flow->durable_lsn, position.lsn);
    tell(flow, &position.copies, position.lsn, position.previous_lsn, new_epoch);
    stream_position_free(&position);
    return true;
}
