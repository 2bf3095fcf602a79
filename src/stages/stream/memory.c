/* What the consumer must know before it takes a record: all of it is in bronze, in the positions of its log and in
 * the records of schemas and copies. */
#include "stages/stream/consumer_int.h"

#include "format/row.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct consumer_memory consumer_memory;

static char *part_name(const char *topic, int32_t partition)
{
    return mem_format("%s/%d", topic, (int)partition);
}

static int64_t position(const struct delta_table *bronze, const char *what, const struct part *part)
{
    char *app = change_offset_app(what, part->topic, part->partition);
    int64_t value = delta_txn(bronze, app);
    mem_free(app);
    return value;
}

/* Bronze may be behind what was handed on, and ahead when another process had the partition meanwhile. */
bool consumer_refresh(struct consumer *c, struct part *part, struct error *err)
{
    if (!delta_refresh(c->bronze, err)) return false;
    int64_t next = position(c->bronze, OFFSET_NEXT, part);
    if (next <= part->next) return true;
    int64_t previous = position(c->bronze, OFFSET_PREVIOUS_LSN, part), event = position(c->bronze, OFFSET_EVENT_LSN, part);
    part->next = next;
    part->previous_lsn = previous < 0 ? 0 : (uint64_t)previous;
    part->event_lsn = event < 0 ? 0 : (uint64_t)event;
    part->copied_lsn = position(c->bronze, OFFSET_COPIED_LSN, part);
    int64_t arrival = delta_txn(c->bronze, BRONZE_APP_ID);
    if (arrival > 0 && (uint64_t)arrival > consumer_memory.arrival) consumer_memory.arrival = (uint64_t)arrival;
    return true;
}

struct part *consumer_part(struct consumer *c, const char *topic, int32_t partition)
{
    (void)c;
    char *name = part_name(topic, partition);
    void **place = map_put(&consumer_memory.parts, slice_of(name));
    mem_free(name);
    if (*place) return *place;
    struct part *part = mem_alloc(sizeof *part);
    *part = (struct part){.topic = mem_text(topic), .partition = partition, .next = -1};
    *place = part;
    return part;
}

struct told *consumer_told(const char *table)
{
    void **place = map_put(&consumer_memory.told, slice_of(table));
    if (*place) return *place;
    struct told *t = mem_alloc(sizeof *t);
    t->table = mem_text(table);
    *place = t;
    return t;
}

/* ---- records of schemas and copies */

enum { F_OP, F_TABLE, F_LSN, F_ORDINAL, F_COMMIT_US, F_KEY, F_AFTER, F_TOPIC, F_COUNT };

static const struct columns *record_columns(void)
{
    static struct column items[F_COUNT] = {
        {.name = "op", .type = COLUMN_STRING},
        {.name = "table", .type = COLUMN_STRING},
        {.name = "lsn", .type = COLUMN_LONG},
        {.name = "ordinal", .type = COLUMN_LONG},
        {.name = "commit_us", .type = COLUMN_LONG},
        {.name = "key", .type = COLUMN_STRING, .nullable = true},
        {.name = "after", .type = COLUMN_STRING, .nullable = true},
        {.name = "topic", .type = COLUMN_STRING, .nullable = true},
    };
    static const struct columns columns = {.items = items, .count = F_COUNT};
    return &columns;
}

static uint64_t number(struct slice field)
{
    uint64_t v = 0;
    memcpy(&v, field.data, sizeof v);
    return v;
}

static void take_schema_id(struct told *t, const struct slice *f)
{
    char *text = mem_textn(f[F_AFTER].data, f[F_AFTER].len);
    json_t *record = json_loads(text, 0, NULL);
    const char *id = json_string_value(json_object_get(record, "id"));
    if (id) snprintf(t->schema_id, sizeof t->schema_id, "%s", id);
    t->schema_lsn = number(f[F_ORDINAL]);
    json_decref(record);
    mem_free(text);
}

static void take_record(const struct slice *f)
{
    char *table = mem_textn(f[F_TABLE].data, f[F_TABLE].len);
    struct told *t = consumer_told(table);
    mem_free(table);
    if (!t->topic && f[F_TOPIC].data) t->topic = mem_textn(f[F_TOPIC].data, f[F_TOPIC].len);
    char op = f[F_OP].data[0];
    if (op == 'S') {
        take_schema_id(t, f);
        return;
    }
    char *key = mem_textn(f[F_KEY].data ? f[F_KEY].data : "", f[F_KEY].len);
    t->copy_lsn = strtoull(key, NULL, 10);
    t->copy_begin = number(f[F_ORDINAL]);
    t->copying = op == 'B';
    if (op == 'B') t->copy_us = (int64_t)number(f[F_COMMIT_US]);
    mem_free(key);
}

static bool read_records(struct consumer *c, struct error *err)
{
    struct engine_conn *conn = NULL;
    struct engine_result rows;
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT op, `table`, lsn, ordinal, toUnixTimestamp64Micro(commit_at), key, after, topic FROM ");
    delta_put_source(c->bronze, &sql);
    buf_put_text(&sql, " WHERE op IN ('S', 'B', 'E') ORDER BY lsn");
    bool ok = engine_connect(&conn, NULL, err) && engine_query(conn, buf_text(&sql), "RowBinary", NULL, 0, &rows, err);
    buf_free(&sql);
    if (ok) {
        struct slice rest = rows.data, fields[F_COUNT];
        while (row_next(record_columns(), &rest, fields, NULL)) take_record(fields);
        ok = rest.len == 0 || error_set(err, ERROR_FATAL, "bronze's records are malformed");
        engine_result_free(&rows);
    }
    if (conn) engine_disconnect(conn);
    return ok;
}

bool consumer_remember(struct consumer *c, struct error *err)
{
    struct consumer_memory *m = &consumer_memory;
    if (!delta_open(&c->bronze, c->flow->lake, BRONZE_TABLE, err)) return false;
    if (m->set) return true;
    int64_t arrival = delta_txn(c->bronze, BRONZE_APP_ID);
    m->arrival = arrival < 0 ? 0 : (uint64_t)arrival;
    if (!read_records(c, err)) return error_wrap(err, "reading what bronze knows of the topics");
    m->set = true;
    return true;
}
