/* Whole values: the envelope around the images, and the records that are not about a row. */
#include "format/debezium/encode_int.h"

#include <inttypes.h>

static void put_int(struct buf *json, int64_t v)
{
    char digits[24];
    size_t n = sizeof digits;
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do digits[--n] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) digits[--n] = '-';
    buf_put(json, digits + n, sizeof digits - n);
}

static void put_number(struct buf *json, const char *label, int64_t v)
{
    buf_put_text(json, label);
    put_int(json, v);
}

static void put_image(struct buf *json, const char *label, struct slice image)
{
    buf_put_text(json, label);
    if (image.data) buf_put_slice(json, image);
    else buf_put_text(json, "null");
}

static void put_sequence(const struct debezium_event *e, struct buf *json)
{
    buf_put_text(json, ",\"sequence\":\"[");
    if (e->previous_lsn) {
        buf_put_text(json, "\\\"");
        put_int(json, (int64_t)e->previous_lsn);
        buf_put_text(json, "\\\"");
    } else {
        buf_put_text(json, "null");
    }
    buf_put_text(json, ",\\\"");
    put_int(json, (int64_t)e->lsn);
    buf_put_text(json, "\\\"]\"");
}

static void put_source(const struct debezium_event *e, struct buf *json)
{
    const char *dot = e->table.len ? memchr(e->table.data, '.', e->table.len) : NULL;
    size_t schema = dot ? (size_t)(dot - e->table.data) : 0;
    struct slice table = dot ? (struct slice){dot + 1, e->table.len - schema - 1} : e->table;
    buf_put_text(json, "{\"version\":");
    debezium_put_string(slice_of(e->version), json);
    buf_put_text(json, ",\"connector\":\"postgresql\",\"name\":");
    debezium_put_string(slice_of(e->prefix), json);
    put_number(json, ",\"ts_ms\":", e->commit_us / 1000);
    buf_put_text(json, e->snapshot ? ",\"snapshot\":\"" : ",\"snapshot\":null");
    if (e->snapshot) {
        buf_put_text(json, e->snapshot);
        buf_put_char(json, '"');
    }
    buf_put_text(json, ",\"db\":");
    debezium_put_string(slice_of(e->database ? e->database : ""), json);
    put_sequence(e, json);
    put_number(json, ",\"ts_us\":", e->commit_us);
    put_number(json, ",\"ts_ns\":", e->commit_us * 1000);
    buf_put_text(json, ",\"schema\":");
    debezium_put_string(dot ? (struct slice){e->table.data, schema} : SLICE(""), json);
    buf_put_text(json, ",\"table\":");
    debezium_put_string(table.len ? table : SLICE(""), json);
    if (e->xid) put_number(json, ",\"txId\":", e->xid);
    else buf_put_text(json, ",\"txId\":null");
    put_number(json, ",\"lsn\":", (int64_t)e->lsn);
    buf_put_text(json, ",\"xmin\":null,\"origin\":");
    if (e->origin.data) debezium_put_string(e->origin, json);
    else buf_put_text(json, "null");
    if (e->origin.data) put_number(json, ",\"origin_lsn\":", (int64_t)e->origin_lsn);
    else buf_put_text(json, ",\"origin_lsn\":null");
    buf_put_char(json, '}');
}

static void put_transaction(const struct debezium_event *e, struct buf *json)
{
    if (!e->total_order) {
        buf_put_text(json, ",\"transaction\":null");
        return;
    }
    buf_printf(json, ",\"transaction\":{\"id\":\"%" PRIu32 ":%" PRIu64 "\",\"total_order\":%" PRIu64
                     ",\"data_collection_order\":%" PRIu64 "}",
               e->xid, e->lsn, e->total_order, e->table_order);
}

static void put_message(const struct debezium_event *e, enum debezium_binary binary, struct buf *out)
{
    put_number(out, "{\"op\":\"m\",\"ts_ms\":", e->now_us / 1000);
    buf_put_text(out, ",\"source\":");
    put_source(e, out);
    put_transaction(e, out);
    buf_put_text(out, ",\"message\":{\"prefix\":");
    debezium_put_string(e->message_prefix.len ? e->message_prefix : SLICE(""), out);
    buf_put_text(out, ",\"content\":");
    debezium_put_binary(binary, (const unsigned char *)e->message_content.data, e->message_content.len, out);
    buf_put_text(out, "}}");
}

static void put_envelope(const struct debezium_event *e, struct buf *out)
{
    char op[] = ",\"op\":\"?\"";
    op[7] = e->op;
    put_image(out, "{\"before\":", e->before);
    put_image(out, ",\"after\":", e->after);
    buf_put_text(out, ",\"source\":");
    put_source(e, out);
    put_transaction(e, out);
    buf_put_text(out, op);
    put_number(out, ",\"ts_ms\":", e->now_us / 1000);
    put_number(out, ",\"ts_us\":", e->now_us);
    put_number(out, ",\"ts_ns\":", e->now_us * 1000);
    buf_put_char(out, '}');
}

void debezium_put_value(const struct debezium_event *e, enum debezium_binary binary, struct buf *out)
{
    if (e->schema) {
        buf_put_text(out, "{\"schema\":");
        buf_put_text(out, e->schema);
        buf_put_text(out, ",\"payload\":");
    }
    if (e->op == 'm') put_message(e, binary, out);
    else put_envelope(e, out);
    if (e->schema) buf_put_char(out, '}');
}

void debezium_put_wrapped(const char *schema, struct slice payload, struct buf *out)
{
    if (schema) {
        buf_put_text(out, "{\"schema\":");
        buf_put_text(out, schema);
        buf_put_text(out, ",\"payload\":");
    }
    buf_put_slice(out, payload);
    if (schema) buf_put_char(out, '}');
}

/* ---- transactions */

static const char transaction_value_schema[] =
    "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":\"status\"},"
    "{\"type\":\"string\",\"optional\":false,\"field\":\"id\"},{\"type\":\"int64\",\"optional\":true,\"field\":\"event_count\"},"
    "{\"type\":\"array\",\"items\":{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":"
    "\"data_collection\"},{\"type\":\"int64\",\"optional\":false,\"field\":\"event_count\"}],\"optional\":true,\"name\":"
    "\"event.collection\",\"version\":1},\"optional\":true,\"field\":\"data_collections\"},"
    "{\"type\":\"int64\",\"optional\":false,\"field\":\"ts_ms\"}],\"optional\":false,\"name\":"
    "\"io.debezium.connector.common.TransactionMetadataValue\",\"version\":1}";
static const char transaction_key_schema[] =
    "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":\"id\"}],\"optional\":false,\"name\":"
    "\"io.debezium.connector.common.TransactionMetadataKey\",\"version\":1}";

static void put_id(uint32_t xid, uint64_t lsn, struct buf *json)
{
    buf_printf(json, "\"id\":\"%" PRIu32 ":%" PRIu64 "\"", xid, lsn);
}

void debezium_put_transaction(bool end, uint32_t xid, uint64_t lsn, int64_t ts_ms, uint64_t count,
                              const struct debezium_table_count *tables, size_t table_count, bool schema, struct buf *value)
{
    struct buf json = {0};
    buf_printf(&json, "{\"status\":\"%s\",", end ? "END" : "BEGIN");
    put_id(xid, lsn, &json);
    if (end) {
        buf_printf(&json, ",\"event_count\":%" PRIu64 ",\"data_collections\":[", count);
        for (size_t i = 0; i < table_count; i++) {
            buf_put_text(&json, i ? ",{\"data_collection\":" : "{\"data_collection\":");
            debezium_put_string(tables[i].table, &json);
            buf_printf(&json, ",\"event_count\":%" PRIu64 "}", tables[i].count);
        }
        buf_put_char(&json, ']');
    } else {
        buf_put_text(&json, ",\"event_count\":null,\"data_collections\":null");
    }
    buf_printf(&json, ",\"ts_ms\":%" PRId64 "}", ts_ms);
    debezium_put_wrapped(schema ? transaction_value_schema : NULL, buf_slice(&json), value);
    buf_free(&json);
}

void debezium_put_transaction_key(uint32_t xid, uint64_t lsn, bool schema, struct buf *key)
{
    struct buf json = {0};
    buf_put_char(&json, '{');
    put_id(xid, lsn, &json);
    buf_put_char(&json, '}');
    debezium_put_wrapped(schema ? transaction_key_schema : NULL, buf_slice(&json), key);
    buf_free(&json);
}

/* ---- heartbeats and messages */

void debezium_put_heartbeat(int64_t ts_ms, bool schema, struct buf *value)
{
    struct buf json = {0};
    buf_printf(&json, "{\"ts_ms\":%" PRId64 "}", ts_ms);
    debezium_put_wrapped(schema ? "{\"type\":\"struct\",\"fields\":[{\"type\":\"int64\",\"optional\":false,\"field\":\"ts_ms\"}],"
                                  "\"optional\":false,\"name\":\"io.debezium.connector.common.Heartbeat\",\"version\":1}"
                                : NULL,
                         buf_slice(&json), value);
    buf_free(&json);
}

void debezium_put_heartbeat_key(const char *prefix, bool schema, struct buf *key)
{
    struct buf json = {0};
    buf_put_text(&json, "{\"serverName\":");
    debezium_put_string(slice_of(prefix), &json);
    buf_put_char(&json, '}');
    debezium_put_wrapped(schema ? "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":"
                                  "\"serverName\"}],\"optional\":false,\"name\":"
                                  "\"io.debezium.connector.common.ServerNameKey\",\"version\":1}"
                                : NULL,
                         buf_slice(&json), key);
    buf_free(&json);
}

void debezium_put_message_key(struct slice message_prefix, bool schema, struct buf *key)
{
    struct buf json = {0};
    buf_put_text(&json, "{\"prefix\":");
    debezium_put_string(message_prefix.len ? message_prefix : SLICE(""), &json);
    buf_put_char(&json, '}');
    debezium_put_wrapped(schema ? "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":true,\"field\":\"prefix\"}],"
                                  "\"optional\":false,\"name\":\"io.debezium.connector.postgresql.MessageKey\",\"version\":1}"
                                : NULL,
                         buf_slice(&json), key);
    buf_free(&json);
}

void debezium_put_message_schema(enum debezium_binary binary, struct buf *out)
{
    buf_put_text(out, "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":\"op\"},"
                      "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ms\"},");
    debezium_put_source_schema(out);
    buf_put_char(out, ',');
    debezium_put_transaction_schema(out);
    buf_put_text(out, ",{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":true,\"field\":\"prefix\"},"
                      "{\"type\":\"");
    buf_put_text(out, binary == DEBEZIUM_BINARY_BYTES ? "bytes" : "string");
    buf_put_text(out, "\",\"optional\":true,\"field\":\"content\"}],\"optional\":false,\"name\":"
                      "\"io.debezium.connector.postgresql.Message\",\"version\":1,\"field\":\"message\"}],\"optional\":false,"
                      "\"name\":\"io.debezium.connector.postgresql.MessageValue\",\"version\":1}");
}
