/* PostgreSQL's types to Debezium's, by the name of the base type (Debezium's documentation, "Data type mappings"). */
#include "format/debezium/encode_int.h"

#include <stdlib.h>

static const struct {
    const char *type;
    enum debezium_value value;
    const char *name;
    bool in_array; /* arrays of it are known */
} known[] = {
    {"bool", VALUE_BOOL, NULL, true},
    {"int2", VALUE_INT16, NULL, true},
    {"int4", VALUE_INT32, NULL, true},
    {"int8", VALUE_INT64, NULL, true},
    {"oid", VALUE_INT64, NULL, true},
    {"float4", VALUE_FLOAT, NULL, true},
    {"float8", VALUE_DOUBLE, NULL, true},
    {"numeric", VALUE_DECIMAL, NULL, true},
    {"money", VALUE_MONEY, NULL, false},
    {"text", VALUE_TEXT, NULL, true},
    {"varchar", VALUE_TEXT, NULL, true},
    {"bpchar", VALUE_TEXT, NULL, true},
    {"char", VALUE_TEXT, NULL, true},
    {"citext", VALUE_TEXT, NULL, true},
    {"name", VALUE_TEXT, NULL, false},
    {"inet", VALUE_TEXT, NULL, true},
    {"cidr", VALUE_TEXT, NULL, true},
    {"macaddr", VALUE_TEXT, NULL, true},
    {"macaddr8", VALUE_TEXT, NULL, true},
    {"isbn", VALUE_TEXT, NULL, true},
    {"uuid", VALUE_TEXT, "io.debezium.data.Uuid", true},
    {"json", VALUE_TEXT, "io.debezium.data.Json", true},
    {"jsonb", VALUE_TEXT, "io.debezium.data.Json", true},
    {"xml", VALUE_TEXT, "io.debezium.data.Xml", false},
    {"tsvector", VALUE_TEXT, "io.debezium.data.Tsvector", false},
    {"ltree", VALUE_TEXT, "io.debezium.data.Ltree", true},
    {"date", VALUE_DATE, NULL, true},
    {"time", VALUE_TIME, NULL, true},
    {"timetz", VALUE_ZONED_TIME, NULL, true},
    {"timestamp", VALUE_TIMESTAMP, NULL, true},
    {"timestamptz", VALUE_ZONED_TIMESTAMP, NULL, true},
    {"interval", VALUE_INTERVAL, NULL, false},
    {"bytea", VALUE_BYTES, NULL, true},
    {"bit", VALUE_BITS, NULL, true},
    {"varbit", VALUE_BITS, NULL, false},
    {"point", VALUE_POINT, NULL, false},
    {"box", VALUE_BOX, NULL, false},
    {"hstore", VALUE_HSTORE, NULL, true},
};

static void add_modifier(struct debezium_kind_of *k, const char *type, int32_t typmod)
{
    switch (k->value) {
    case VALUE_DECIMAL:
        if (typmod < 4) {
            k->value = VALUE_FREE_DECIMAL;
        } else {
            k->precision = ((typmod - 4) >> 16) & 0xffff;
            k->scale = (((typmod - 4) & 0x7ff) ^ 0x400) - 0x400;
        }
        break;
    case VALUE_TIME:
    case VALUE_TIMESTAMP:
    case VALUE_ZONED_TIMESTAMP: k->precision = typmod < 0 || typmod > 6 ? 6 : typmod; break;
    case VALUE_BITS:
        k->precision = typmod < 0 ? (strcmp(type, "bit") == 0 ? 1 : INT32_MAX) : typmod;
        if (k->precision == 1) k->value = VALUE_BIT;
        break;
    default: break;
    }
}

struct debezium_kind_of debezium_kind_of_column(const struct debezium_column *c, const struct debezium_options *o)
{
    struct debezium_kind_of k = {.value = o->unknown_types ? VALUE_OTHER : VALUE_DROP, .array = c->array};
    if (c->hashed) return (struct debezium_kind_of){.value = VALUE_TEXT};
    if (c->type_kind == 'e') {
        k.value = VALUE_TEXT;
        k.name = "io.debezium.data.Enum";
        k.labels = c->labels ? c->labels : "";
        return k;
    }
    if ((c->type_kind == 'r' || c->type_kind == 'm') && !c->array) {
        k.value = VALUE_TEXT;
        return k;
    }
    for (size_t i = 0; c->type_name && i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].type, c->type_name) != 0) continue;
        if (c->array && !known[i].in_array) return (struct debezium_kind_of){.value = VALUE_DROP};
        k.value = known[i].value;
        k.name = known[i].name;
        add_modifier(&k, c->type_name, c->typmod);
        return k;
    }
    if (c->array) k.value = VALUE_DROP;
    return k;
}
