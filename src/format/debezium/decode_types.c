/* Which converter a column has, and which type of PostgreSQL it gets in the schema record.
 *
 * From a Connect schema the semantic name decides, then the type. Debezium does not tell everything:
 * char(n), varchar, inet and ranges are text here, money is numeric, hstore as JSON is jsonb, timestamps in
 * milliseconds have three digits, bit(n) and bit varying(n) are one (bit(n), filled up with zeros), bytes
 * in hex or base64 mode are text; decimals as text are numeric where column.propagate.source.type tells so, and
 * bit varying is not filled up. Without a schema the column's description decides, with the modes that
 * the connector was set to.
 *
 * A null of a column with a default may have been printed as that default (JsonConverter's option
 * replace.null.with.default, true by itself): the event does not tell, the default is taken. */
#include "format/debezium/decode_int.h"

#include <stdio.h>
#include <stdlib.h>

#define TIME "io.debezium.time."
#define DATA "io.debezium.data."
#define CONNECT "org.apache.kafka.connect.data."

/* oid, array_oid: 0 where the type is an extension's. */
struct mapping {
    const char *name;
    enum conv conv;
    const char *type;
    uint32_t oid, array_oid;
    int32_t typmod;
};

static const struct mapping by_name[] = {
    {TIME "Date", CONV_DATE, "date", 1082, 1182, -1},
    {TIME "IsoDate", CONV_DATE, "date", 1082, 1182, -1},
    {CONNECT "Date", CONV_DATE, "date", 1082, 1182, -1},
    {TIME "Time", CONV_TIME_MS, "time(3) without time zone", 1083, 1183, 3},
    {CONNECT "Time", CONV_TIME_MS, "time(3) without time zone", 1083, 1183, 3},
    {TIME "MicroTime", CONV_TIME_US, "time without time zone", 1083, 1183, -1},
    {TIME "NanoTime", CONV_TIME_NS, "time without time zone", 1083, 1183, -1},
    {TIME "IsoTime", CONV_TIME_US, "time without time zone", 1083, 1183, -1},
    {TIME "Timestamp", CONV_TIMESTAMP_MS, "timestamp(3) without time zone", 1114, 1115, 3},
    {CONNECT "Timestamp", CONV_TIMESTAMP_MS, "timestamp(3) without time zone", 1114, 1115, 3},
    {TIME "MicroTimestamp", CONV_TIMESTAMP_US, "timestamp without time zone", 1114, 1115, -1},
    {TIME "NanoTimestamp", CONV_TIMESTAMP_NS, "timestamp without time zone", 1114, 1115, -1},
    {TIME "IsoTimestamp", CONV_TIMESTAMP_US, "timestamp without time zone", 1114, 1115, -1},
    {TIME "ZonedTimestamp", CONV_TIMESTAMPTZ, "timestamp with time zone", 1184, 1185, -1},
    {TIME "ZonedTime", CONV_TIMETZ, "time with time zone", 1266, 1270, -1},
    {TIME "MicroDuration", CONV_INTERVAL, "interval", 1186, 1187, -1},
    {TIME "Interval", CONV_INTERVAL, "interval", 1186, 1187, -1},
    {DATA "VariableScaleDecimal", CONV_DECIMAL, "numeric", 1700, 1231, -1},
    {DATA "Uuid", CONV_TEXT, "uuid", 2950, 2951, -1},
    {DATA "Json", CONV_TEXT, "jsonb", 3802, 3807, -1},
    {DATA "Xml", CONV_TEXT, "xml", 142, 143, -1},
    {DATA "Tsvector", CONV_TEXT, "tsvector", 3614, 3643, -1},
    {DATA "Ltree", CONV_TEXT, "ltree", 0, 0, -1},
    {DATA "Enum", CONV_TEXT, "text", 25, 1009, -1},
    {DATA "geometry.Point", CONV_GEOMETRY, "point", 600, 1017, -1},
    {DATA "geometry.Circle", CONV_GEOMETRY, "circle", 718, 719, -1},
    {DATA "geometry.Line", CONV_GEOMETRY, "line", 628, 629, -1},
    {DATA "geometry.Geometry", CONV_GEOMETRY, "geometry", 0, 0, -1},
    {DATA "geometry.Geography", CONV_GEOMETRY, "geography", 0, 0, -1},
    {DATA "DoubleVector", CONV_VECTOR, "vector", 0, 0, -1},
    {DATA "FloatVector", CONV_VECTOR, "halfvec", 0, 0, -1},
    {DATA "SparseDoubleVector", CONV_VECTOR, "sparsevec", 0, 0, -1},
};

static const struct mapping by_type[] = {
    {"int8", CONV_INTEGER, "smallint", 21, 1005, -1},
    {"int16", CONV_INTEGER, "smallint", 21, 1005, -1},
    {"int32", CONV_INTEGER, "integer", 23, 1007, -1},
    {"int64", CONV_INTEGER, "bigint", 20, 1016, -1},
    {"float", CONV_FLOAT4, "real", 700, 1021, -1},
    {"float32", CONV_FLOAT4, "real", 700, 1021, -1},
    {"double", CONV_FLOAT8, "double precision", 701, 1022, -1},
    {"float64", CONV_FLOAT8, "double precision", 701, 1022, -1},
    {"boolean", CONV_BOOLEAN, "boolean", 16, 1000, -1},
    {"string", CONV_TEXT, "text", 25, 1009, -1},
    {"bytes", CONV_BYTES, "bytea", 17, 1001, -1},
    {"map", CONV_HSTORE, "hstore", 0, 0, -1},
    {"struct", CONV_ANY, "text", 25, 1009, -1},
    {"array", CONV_ANY, "text", 25, 1009, -1},
};

static const struct mapping *mapping_of(const struct mapping *list, size_t count, const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(list[i].name, name) == 0) return &list[i];
    return NULL;
}

static int parameter(const json_t *node, const char *name, int otherwise)
{
    const char *text = json_string_value(json_object_get(json_object_get(node, "parameters"), name));
    if (!text || !*text) return otherwise;
    char *end;
    long n = strtol(text, &end, 10);
    return *end || n < INT32_MIN + 1 || n > INT32_MAX ? otherwise : (int)n;
}

static struct mapping numeric(enum conv conv, int precision, int scale, char *type, size_t size)
{
    struct mapping m = {"", conv, type, 1700, 1231, -1};
    snprintf(type, size, "numeric");
    if (precision < 1 || precision > 1000 || scale < -1000 || scale > 1000) return m;
    snprintf(type, size, "numeric(%d,%d)", precision, scale);
    m.typmod = (int32_t)((((uint32_t)precision << 16) | ((uint32_t)scale & 0x7FF)) + 4);
    return m;
}

/* Connect's Decimal: money has no precision and is numeric. */
static struct mapping decimal_of(const json_t *node, char *type, size_t size, struct converter *as)
{
    as->scale = parameter(node, "scale", 0);
    return numeric(CONV_DECIMAL, parameter(node, "connect.decimal.precision", 0), as->scale, type, size);
}

/* What column.propagate.source.type tells: "NUMERIC", "VARBIT"; "" without it. */
static const char *source_type(const json_t *node)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(node, "parameters"), "__debezium.source.column.type"));
    return text ? text : "";
}

/* A decimal that is sent as a text or a double is a number all the same when the source's type is told. */
static bool numeric_by_source(const json_t *node, struct mapping *out, char *type, size_t size)
{
    if (strcmp(source_type(node), "NUMERIC") != 0) return false;
    int precision = parameter(node, "__debezium.source.column.length", 0);
    if (precision > 1000) precision = 0; /* numeric without a precision */
    *out = numeric(CONV_NUMBER, precision, parameter(node, "__debezium.source.column.scale", 0), type, size);
    return true;
}

static struct mapping bits_of(const json_t *node, char *type, size_t size, struct converter *as)
{
    int length = parameter(node, "length", 0);
    if (length < 1 || length == INT32_MAX || strcmp(source_type(node), "VARBIT") == 0)
        return (struct mapping){"", CONV_BITS, "bit varying", 1562, 1563, -1};
    as->scale = length;
    snprintf(type, size, "bit(%d)", length);
    return (struct mapping){"", CONV_BITS, type, 1560, 1561, length};
}

void type_of_connect(const json_t *node, struct converter *as, struct schema_column *column)
{
    char text[64];
    const char *type = json_string_value(json_object_get(node, "type"));
    const char *name = json_string_value(json_object_get(node, "name"));
    *as = (struct converter){.scale = 0};
    for (int depth = 0; type && !name && strcmp(type, "array") == 0 && depth < DECODE_DEPTH_MAX; depth++) {
        as->array = true;
        node = json_object_get(node, "items");
        type = json_string_value(json_object_get(node, "type"));
        name = json_string_value(json_object_get(node, "name"));
    }
    struct mapping m;
    const struct mapping *found = mapping_of(by_name, sizeof by_name / sizeof *by_name, name);
    if (name && strcmp(name, CONNECT "Decimal") == 0)
        m = decimal_of(node, text, sizeof text, as);
    else if (name && strcmp(name, DATA "Bits") == 0)
        m = bits_of(node, text, sizeof text, as);
    else if (!name && numeric_by_source(node, &m, text, sizeof text))
        as->scale = SCALE_ANY;
    else if (found || (found = mapping_of(by_type, sizeof by_type / sizeof *by_type, type)))
        m = *found;
    else
        m = (struct mapping){"", CONV_ANY, "text", 25, 1009, -1};
    if (found && found->conv == CONV_DECIMAL) as->scale = SCALE_ANY;
    as->conv = m.conv;
    column->type = as->array ? mem_format("%s[]", m.type) : mem_text(m.type);
    column->oid = as->array ? m.array_oid : m.oid;
    column->typmod = m.typmod;
}

/* ---- by description */

static int32_t numeric_scale(int32_t typmod)
{
    if (typmod < 4) return SCALE_ANY;
    int32_t scale = (typmod - 4) & 0x7FF;
    return scale >= 0x400 ? scale - 0x800 : scale;
}

static struct converter decimal_conv(int32_t scale, enum debezium_decimal mode)
{
    return (struct converter){.conv = mode == DEBEZIUM_DECIMAL_STRING ? CONV_NUMBER : CONV_DECIMAL,
                              .scale = scale};
}

static enum conv time_conv(enum debezium_time mode, bool short_precision, bool timestamp)
{
    static const enum conv times[] = {CONV_TIME_MS, CONV_TIME_US, CONV_TIME_NS};
    static const enum conv timestamps[] = {CONV_TIMESTAMP_MS, CONV_TIMESTAMP_US, CONV_TIMESTAMP_NS};
    size_t unit = 1;
    if (mode == DEBEZIUM_TIME_CONNECT || (mode == DEBEZIUM_TIME_ADAPTIVE && short_precision) ||
        (mode == DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS && short_precision && timestamp))
        unit = 0;
    if (mode == DEBEZIUM_TIME_NANOSECONDS) unit = 2;
    return timestamp ? timestamps[unit] : times[unit];
}

static enum conv bytes_conv(enum debezium_binary mode)
{
    return mode == DEBEZIUM_BINARY_HEX ? CONV_HEX : CONV_BYTES;
}

static bool one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0) return true;
    return false;
}

struct converter converter_of_column(const struct debezium_column *c,
                                     const struct debezium_options *options)
{
    static const char *const integers[] = {"int2",   "int4",      "int8",        "oid",
                                           "serial", "bigserial", "smallserial", NULL};
    static const char *const shapes[] = {"point",  "box",      "lseg",      "path", "polygon",
                                         "circle", "geometry", "geography", "line", NULL};
    static const char *const vectors[] = {"vector", "halfvec", "sparsevec", NULL};
    static const char *const unknown[] = {"pg_lsn",      "tsquery",       "jsonpath",
                                          "pg_snapshot", "txid_snapshot", NULL};
    const char *name = c->type_name ? c->type_name : "";
    bool short_precision = c->typmod >= 0 && c->typmod <= 3;
    struct converter as = {.conv = CONV_TEXT};
    if (c->hashed) return as;
    if (one_of(name, integers))
        as.conv = CONV_INTEGER;
    else if (strcmp(name, "bool") == 0)
        as.conv = CONV_BOOLEAN;
    else if (strcmp(name, "float4") == 0)
        as.conv = CONV_FLOAT4;
    else if (strcmp(name, "float8") == 0)
        as.conv = CONV_FLOAT8;
    else if (strcmp(name, "bytea") == 0)
        as.conv = bytes_conv(options->binary);
    else if (strcmp(name, "numeric") == 0)
        as = decimal_conv(numeric_scale(c->typmod), options->decimal);
    else if (strcmp(name, "money") == 0)
        as = decimal_conv(options->money_digits, options->decimal);
    else if (strcmp(name, "date") == 0)
        as.conv = CONV_DATE;
    else if (strcmp(name, "time") == 0)
        as.conv = time_conv(options->time, short_precision, false);
    else if (strcmp(name, "timestamp") == 0)
        as.conv = time_conv(options->time, short_precision, true);
    else if (strcmp(name, "timestamptz") == 0)
        as.conv = CONV_TIMESTAMPTZ;
    else if (strcmp(name, "timetz") == 0)
        as.conv = CONV_TIMETZ;
    else if (strcmp(name, "interval") == 0)
        as.conv = CONV_INTERVAL;
    else if (strcmp(name, "bit") == 0)
        as = (struct converter){.conv = CONV_BITS, .scale = c->typmod};
    else if (strcmp(name, "varbit") == 0)
        as.conv = CONV_BITS;
    else if (strcmp(name, "hstore") == 0)
        as.conv = CONV_HSTORE;
    else if (one_of(name, shapes))
        as.conv = CONV_GEOMETRY;
    else if (one_of(name, vectors))
        as.conv = CONV_VECTOR;
    else if (options->unknown_types && (c->type_kind == 'c' || one_of(name, unknown)))
        as = (struct converter){.conv = bytes_conv(options->binary), .text_bytes = true};
    as.array = c->array;
    return as;
}
