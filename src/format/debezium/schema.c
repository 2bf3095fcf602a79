/* Connect schemas as JsonConverter prints them: type, [fields | items | keys, values], optional, name, version, doc,
 * parameters, default, field. */
#include "format/debezium/encode_int.h"

#include <stdio.h>

/* The members that make the type of one value. */
struct node {
    const char *type; /* "int32"; with its fields, items or keys for the composed ones */
    const char *inside; /* ",\"fields\":[..]" or NULL */
    const char *name; /* NULL: none */
    int version;
    const char *doc;
    char parameters[160]; /* {"scale":"2"}; empty: none */
};

static const char variable_fields[] = ",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"scale\"},"
                                      "{\"type\":\"bytes\",\"optional\":false,\"field\":\"value\"}]";
static const char point_fields[] = ",\"fields\":[{\"type\":\"double\",\"optional\":false,\"field\":\"x\"},"
                                   "{\"type\":\"double\",\"optional\":false,\"field\":\"y\"},"
                                   "{\"type\":\"bytes\",\"optional\":true,\"field\":\"wkb\"},"
                                   "{\"type\":\"int32\",\"optional\":true,\"field\":\"srid\"}]";
static const char geometry_fields[] =
    ",\"fields\":[{\"type\":\"bytes\",\"optional\":false,\"field\":\"wkb\"},{\"type\":\"int32\",\"optional\":true,\"field\":"
    "\"srid\"},{\"type\":\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},\"values\":{\"type\":\"string\","
    "\"optional\":false},\"optional\":true,\"field\":\"extensions\"}]";
static const char hstore_inside[] = ",\"keys\":{\"type\":\"string\",\"optional\":false},\"values\":{\"type\":\"string\","
                                    "\"optional\":true}";

static struct node decimal_node(const struct debezium_options *o, int scale, int precision)
{
    if (o->decimal == DEBEZIUM_DECIMAL_STRING) return (struct node){.type = "string"};
    if (o->decimal == DEBEZIUM_DECIMAL_DOUBLE) return (struct node){.type = "double"};
    struct node n = {.type = "bytes", .name = "org.apache.kafka.connect.data.Decimal", .version = 1};
    if (precision) snprintf(n.parameters, sizeof n.parameters, "{\"scale\":\"%d\",\"connect.decimal.precision\":\"%d\"}", scale, precision);
    else snprintf(n.parameters, sizeof n.parameters, "{\"scale\":\"%d\"}", scale);
    return n;
}

static struct node time_node(const struct debezium_options *o, const struct debezium_kind_of *k)
{
    bool millis = k->precision <= 3;
    switch (o->time) {
    case DEBEZIUM_TIME_ADAPTIVE:
        return millis ? (struct node){.type = "int32", .name = "io.debezium.time.Time", .version = 1}
                      : (struct node){.type = "int64", .name = "io.debezium.time.MicroTime", .version = 1};
    case DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS:
    case DEBEZIUM_TIME_MICROSECONDS: return (struct node){.type = "int64", .name = "io.debezium.time.MicroTime", .version = 1};
    case DEBEZIUM_TIME_NANOSECONDS: return (struct node){.type = "int64", .name = "io.debezium.time.NanoTime", .version = 1};
    case DEBEZIUM_TIME_CONNECT: return (struct node){.type = "int32", .name = "org.apache.kafka.connect.data.Time", .version = 1};
    case DEBEZIUM_TIME_ISOSTRING: break;
    }
    return (struct node){.type = "string", .name = "io.debezium.time.IsoTime", .version = 1};
}

static struct node timestamp_node(const struct debezium_options *o, const struct debezium_kind_of *k)
{
    bool millis = k->precision <= 3;
    switch (o->time) {
    case DEBEZIUM_TIME_ADAPTIVE:
    case DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS:
        return millis ? (struct node){.type = "int64", .name = "io.debezium.time.Timestamp", .version = 1}
                      : (struct node){.type = "int64", .name = "io.debezium.time.MicroTimestamp", .version = 1};
    case DEBEZIUM_TIME_MICROSECONDS: return (struct node){.type = "int64", .name = "io.debezium.time.MicroTimestamp", .version = 1};
    case DEBEZIUM_TIME_NANOSECONDS: return (struct node){.type = "int64", .name = "io.debezium.time.NanoTimestamp", .version = 1};
    case DEBEZIUM_TIME_CONNECT:
        return (struct node){.type = "int64", .name = "org.apache.kafka.connect.data.Timestamp", .version = 1};
    case DEBEZIUM_TIME_ISOSTRING: break;
    }
    return (struct node){.type = "string", .name = "io.debezium.time.IsoTimestamp", .version = 1};
}

static struct node date_node(const struct debezium_options *o)
{
    if (o->time == DEBEZIUM_TIME_CONNECT) return (struct node){.type = "int32", .name = "org.apache.kafka.connect.data.Date", .version = 1};
    if (o->time == DEBEZIUM_TIME_ISOSTRING) return (struct node){.type = "string", .name = "io.debezium.time.IsoDate", .version = 1};
    return (struct node){.type = "int32", .name = "io.debezium.time.Date", .version = 1};
}

static struct node node_of(const struct debezium_options *o, const struct debezium_kind_of *k)
{
    struct node n = {.type = "string"};
    switch (k->value) {
    case VALUE_BOOL:
    case VALUE_BIT: n.type = "boolean"; break;
    case VALUE_INT16: n.type = "int16"; break;
    case VALUE_INT32: n.type = "int32"; break;
    case VALUE_INT64: n.type = "int64"; break;
    case VALUE_FLOAT: n.type = "float"; break;
    case VALUE_DOUBLE: n.type = "double"; break;
    case VALUE_DECIMAL: return decimal_node(o, k->scale, k->precision);
    case VALUE_MONEY: return decimal_node(o, o->money_digits, 0);
    case VALUE_FREE_DECIMAL:
        if (o->decimal != DEBEZIUM_DECIMAL_PRECISE) return decimal_node(o, 0, 0);
        return (struct node){.type = "struct", .inside = variable_fields, .name = "io.debezium.data.VariableScaleDecimal",
                             .version = 1, .doc = "Variable scaled decimal"};
    case VALUE_DATE: return date_node(o);
    case VALUE_TIME: return time_node(o, k);
    case VALUE_TIMESTAMP: return timestamp_node(o, k);
    case VALUE_ZONED_TIMESTAMP: return (struct node){.type = "string", .name = "io.debezium.time.ZonedTimestamp", .version = 1};
    case VALUE_ZONED_TIME: return (struct node){.type = "string", .name = "io.debezium.time.ZonedTime", .version = 1};
    case VALUE_INTERVAL:
        return o->interval == DEBEZIUM_INTERVAL_NUMERIC
                   ? (struct node){.type = "int64", .name = "io.debezium.time.MicroDuration", .version = 1}
                   : (struct node){.type = "string", .name = "io.debezium.time.Interval", .version = 1};
    case VALUE_BYTES:
    case VALUE_OTHER: n.type = o->binary == DEBEZIUM_BINARY_BYTES ? "bytes" : "string"; break;
    case VALUE_BITS:
        n = (struct node){.type = "bytes", .name = "io.debezium.data.Bits", .version = 1};
        snprintf(n.parameters, sizeof n.parameters, "{\"length\":\"%d\"}", k->precision);
        break;
    case VALUE_POINT:
        return (struct node){.type = "struct", .inside = point_fields, .name = "io.debezium.data.geometry.Point", .version = 1,
                             .doc = "Geometry (POINT)"};
    case VALUE_BOX:
        return (struct node){.type = "struct", .inside = geometry_fields, .name = "io.debezium.data.geometry.Geometry",
                             .version = 2, .doc = "Geometry"};
    case VALUE_HSTORE:
        if (o->hstore == DEBEZIUM_HSTORE_MAP) return (struct node){.type = "map", .inside = hstore_inside};
        return (struct node){.type = "string", .name = "io.debezium.data.Json", .version = 1};
    case VALUE_TEXT:
    case VALUE_DROP: break;
    }
    if (k->value == VALUE_TEXT && k->name) {
        n.name = k->name;
        n.version = 1;
    }
    return n;
}

static void put_parameters(const struct node *n, const struct debezium_kind_of *k, struct buf *json)
{
    if (k->labels && k->value == VALUE_TEXT) {
        buf_put_text(json, ",\"parameters\":{\"allowed\":");
        debezium_put_string(slice_of(k->labels), json);
        buf_put_char(json, '}');
    } else if (n->parameters[0]) {
        buf_printf(json, ",\"parameters\":%s", n->parameters);
    }
}

/* {"type":..,"optional":..,"name":..,..} without its end, so that default and field can follow. */
static void put_node(const struct debezium_options *o, const struct debezium_kind_of *k, bool optional, struct buf *json)
{
    struct node n = node_of(o, k);
    buf_printf(json, "{\"type\":\"%s\"%s,\"optional\":%s", n.type, n.inside ? n.inside : "", optional ? "true" : "false");
    if (n.name) buf_printf(json, ",\"name\":\"%s\",\"version\":%d", n.name, n.version);
    if (n.doc) buf_printf(json, ",\"doc\":\"%s\"", n.doc);
    put_parameters(&n, k, json);
}

static void put_field(const struct debezium_options *o, const struct debezium_field *f, bool optional, struct buf *json)
{
    if (f->kind.array) {
        struct debezium_kind_of element = f->kind;
        element.array = false;
        buf_put_text(json, "{\"type\":\"array\",\"items\":");
        put_node(o, &element, !element.labels, json);
        buf_printf(json, "},\"optional\":%s", optional ? "true" : "false");
    } else {
        put_node(o, &f->kind, optional, json);
    }
    if (f->fallback.len) {
        buf_put_text(json, ",\"default\":");
        buf_put_slice(json, buf_slice(&f->fallback));
    }
    buf_put_text(json, ",\"field\":");
    debezium_put_string(slice_of(f->name), json);
    buf_put_char(json, '}');
}

static void put_row_fields(const struct debezium_table *t, struct buf *json)
{
    bool first = true;
    for (size_t i = 0; i < t->count; i++) {
        const struct debezium_field *f = &t->fields[i];
        if (f->kind.value == VALUE_DROP) continue;
        if (!first) buf_put_char(json, ',');
        first = false;
        put_field(&t->options, f, !f->not_null, json);
    }
}

void debezium_put_source_schema(struct buf *json)
{
    buf_put_text(json,
                 "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":\"version\"},"
                 "{\"type\":\"string\",\"optional\":false,\"field\":\"connector\"},"
                 "{\"type\":\"string\",\"optional\":false,\"field\":\"name\"},"
                 "{\"type\":\"int64\",\"optional\":false,\"field\":\"ts_ms\"},"
                 "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\",\"version\":1,\"parameters\":"
                 "{\"allowed\":\"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental\"},"
                 "\"default\":\"false\",\"field\":\"snapshot\"},"
                 "{\"type\":\"string\",\"optional\":false,\"field\":\"db\"},"
                 "{\"type\":\"string\",\"optional\":true,\"field\":\"sequence\"},"
                 "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_us\"},"
                 "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ns\"},"
                 "{\"type\":\"string\",\"optional\":false,\"field\":\"schema\"},"
                 "{\"type\":\"string\",\"optional\":false,\"field\":\"table\"},"
                 "{\"type\":\"int64\",\"optional\":true,\"field\":\"txId\"},"
                 "{\"type\":\"int64\",\"optional\":true,\"field\":\"lsn\"},"
                 "{\"type\":\"int64\",\"optional\":true,\"field\":\"xmin\"},"
                 "{\"type\":\"string\",\"optional\":true,\"field\":\"origin\"},"
                 "{\"type\":\"int64\",\"optional\":true,\"field\":\"origin_lsn\"}],\"optional\":false,\"name\":"
                 "\"io.debezium.connector.postgresql.Source\",\"version\":1,\"field\":\"source\"}");
}

void debezium_put_transaction_schema(struct buf *json)
{
    buf_put_text(json, "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":\"id\"},"
                       "{\"type\":\"int64\",\"optional\":false,\"field\":\"total_order\"},"
                       "{\"type\":\"int64\",\"optional\":false,\"field\":\"data_collection_order\"}],\"optional\":true,"
                       "\"name\":\"event.block\",\"version\":1,\"field\":\"transaction\"}");
}

static void put_name(const struct debezium_table *t, const char *suffix, struct buf *json)
{
    struct buf name = {0};
    debezium_put_topic(t->options.prefix, slice_of(t->name), &name);
    buf_put_char(&name, '.');
    buf_put_text(&name, suffix);
    debezium_put_string(buf_slice(&name), json);
    buf_free(&name);
}

static char *make_key_schema(const struct debezium_table *t)
{
    struct buf json = {0};
    buf_put_text(&json, "{\"type\":\"struct\",\"fields\":[");
    for (size_t i = 0; i < t->key_count; i++) {
        const struct debezium_field *f = &t->fields[t->key[i]];
        if (i) buf_put_char(&json, ',');
        put_field(&t->options, f, !f->not_null, &json);
    }
    buf_put_text(&json, "],\"optional\":false,\"name\":");
    put_name(t, "Key", &json);
    buf_put_char(&json, '}');
    return buf_take(&json);
}

static void put_image_schema(const struct debezium_table *t, const struct buf *fields, const char *field, struct buf *json)
{
    buf_put_text(json, "{\"type\":\"struct\",\"fields\":[");
    buf_put_slice(json, buf_slice(fields));
    buf_put_text(json, "],\"optional\":true,\"name\":");
    put_name(t, "Value", json);
    buf_printf(json, ",\"field\":\"%s\"},", field);
}

void debezium_make_schemas(struct debezium_table *t)
{
    struct buf json = {0}, fields = {0};
    put_row_fields(t, &fields);
    buf_put_text(&json, "{\"type\":\"struct\",\"fields\":[");
    put_image_schema(t, &fields, "before", &json);
    put_image_schema(t, &fields, "after", &json);
    debezium_put_source_schema(&json);
    buf_put_char(&json, ',');
    debezium_put_transaction_schema(&json);
    buf_put_text(&json, ",{\"type\":\"string\",\"optional\":false,\"field\":\"op\"},"
                        "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ms\"},"
                        "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_us\"},"
                        "{\"type\":\"int64\",\"optional\":true,\"field\":\"ts_ns\"}],\"optional\":false,\"name\":");
    put_name(t, "Envelope", &json);
    buf_put_text(&json, ",\"version\":2}");
    buf_free(&fields);
    t->value_schema = buf_take(&json);
    t->key_schema = t->key_count ? make_key_schema(t) : NULL;
}
