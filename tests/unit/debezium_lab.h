/* Events recorded from Debezium's connector (tests/golden/debezium), and the tables that they are of. */
#ifndef MILLRACE_TESTS_DEBEZIUM_LAB_H
#define MILLRACE_TESTS_DEBEZIUM_LAB_H

#include "format/debezium/decode.h"
#include "unit.h"

#include <jansson.h>

struct lab_table {
    const char *name;
    const struct debezium_column *columns;
    size_t count;
};

#define COLUMN(n, t, tn, o, m, ...)                                                                        \
    {                                                                                                      \
        .name = (char *)(n), .type = (char *)(t), .type_name = (char *)(tn), .type_kind = 'b', .oid = (o), \
        .typmod = (m), __VA_ARGS__                                                                         \
    }
#define TEXT_COLUMN(n) COLUMN(n, "text", "text", 25, -1, .key = 0)
#define INT_COLUMN(n, ...) COLUMN(n, "integer", "int4", 23, -1, __VA_ARGS__)
#define TIMESTAMP_COLUMN(n, ...)                                                                           \
    COLUMN(n, "timestamp without time zone", "timestamp", 1114, -1, __VA_ARGS__)
#define ID_COLUMN(n, t, ...) COLUMN(n, t, "varchar", 1043, 36, __VA_ARGS__)
#define VARCHAR32 "character varying(32)"

static const struct debezium_column lab_types_t[] = {
    INT_COLUMN("id", .key = 1, .not_null = true),
    COLUMN("c_int2", "smallint", "int2", 21, -1, .key = 0),
    INT_COLUMN("c_int4", .key = 0),
    COLUMN("c_int8", "bigint", "int8", 20, -1, .key = 0),
    COLUMN("c_numeric", "numeric", "numeric", 1700, -1, .key = 0),
    COLUMN("c_num_10_2", "numeric(10,2)", "numeric", 1700, 655366, .key = 0),
    COLUMN("c_num_38_10", "numeric(38,10)", "numeric", 1700, 2490382, .key = 0),
    TEXT_COLUMN("c_text"),
    COLUMN("c_varchar", "character varying(40)", "varchar", 1043, 44, .key = 0),
    COLUMN("c_char", "character(5)", "bpchar", 1042, 9, .key = 0),
    TIMESTAMP_COLUMN("c_ts", .key = 0),
    COLUMN("c_ts3", "timestamp(3) without time zone", "timestamp", 1114, 3, .key = 0),
    COLUMN("c_ts0", "timestamp(0) without time zone", "timestamp", 1114, 0, .key = 0),
    COLUMN("c_tstz", "timestamp with time zone", "timestamptz", 1184, -1, .key = 0),
    COLUMN("c_tstz3", "timestamp(3) with time zone", "timestamptz", 1184, 3, .key = 0),
    COLUMN("c_date", "date", "date", 1082, -1, .key = 0),
    COLUMN("c_time", "time without time zone", "time", 1083, -1, .key = 0),
    COLUMN("c_time3", "time(3) without time zone", "time", 1083, 3, .key = 0),
    COLUMN("c_timetz", "time with time zone", "timetz", 1266, -1, .key = 0),
    COLUMN("c_bool", "boolean", "bool", 16, -1, .key = 0),
    COLUMN("c_bytea", "bytea", "bytea", 17, -1, .key = 0),
    COLUMN("c_uuid", "uuid", "uuid", 2950, -1, .key = 0),
    COLUMN("c_json", "json", "json", 114, -1, .key = 0),
    COLUMN("c_jsonb", "jsonb", "jsonb", 3802, -1, .key = 0),
    COLUMN("c_int_arr", "integer[]", "int4", 1007, -1, .array = true),
    COLUMN("c_text_arr", "text[]", "text", 1009, -1, .array = true),
    COLUMN("c_num_arr", "numeric(8,2)[]", "numeric", 1231, 524294, .array = true),
    COLUMN("c_ts_arr", "timestamp without time zone[]", "timestamp", 1115, -1, .array = true),
    COLUMN("c_enum", "mood", "mood", 16390, -1, .key = 0),
    COLUMN("c_enum_arr", "mood[]", "mood", 16389, -1, .array = true),
    COLUMN("c_interval", "interval", "interval", 1186, -1, .key = 0),
    COLUMN("c_inet", "inet", "inet", 869, -1, .key = 0),
    COLUMN("c_cidr", "cidr", "cidr", 650, -1, .key = 0),
    COLUMN("c_mac", "macaddr", "macaddr", 829, -1, .key = 0),
    COLUMN("c_money", "money", "money", 790, -1, .key = 0),
    COLUMN("c_float4", "real", "float4", 700, -1, .key = 0),
    COLUMN("c_float8", "double precision", "float8", 701, -1, .key = 0),
    COLUMN("c_bit1", "bit(1)", "bit", 1560, 1, .key = 0),
    COLUMN("c_bit5", "bit(5)", "bit", 1560, 5, .key = 0),
    COLUMN("c_varbit", "bit varying(20)", "varbit", 1562, 20, .key = 0),
    COLUMN("c_point", "point", "point", 600, -1, .key = 0),
    COLUMN("c_box", "box", "box", 603, -1, .key = 0),
    COLUMN("c_int4range", "int4range", "int4range", 3904, -1, .key = 0),
    COLUMN("c_tsrange", "tsrange", "tsrange", 3908, -1, .key = 0),
    COLUMN("c_xml", "xml", "xml", 142, -1, .key = 0),
    COLUMN("c_oid", "oid", "oid", 26, -1, .key = 0),
    COLUMN("c_tsvector", "tsvector", "tsvector", 3614, -1, .key = 0),
    COLUMN("c_pg_lsn", "pg_lsn", "pg_lsn", 3220, -1, .key = 0),
    COLUMN("c_def", "text", "text", 25, -1, .fallback = (char *)"dflt"),
    INT_COLUMN("c_nn", .not_null = true, .fallback = (char *)"7"),
    INT_COLUMN("c_serial", .not_null = true, .computed = true),
    INT_COLUMN("c_gen", .key = 0),
};
static const struct debezium_column lab_pk2[] = {
    INT_COLUMN("a", .key = 1, .not_null = true, .attnum = 1),
    COLUMN("b", "text", "text", 25, -1, .key = 2, .not_null = true),
    TEXT_COLUMN("v"),
    TEXT_COLUMN("vv"),
    COLUMN("extra", "numeric(6,2)", "numeric", 1700, 393222, .key = 0),
    INT_COLUMN("extra2", .key = 0),
};
static const struct debezium_column lab_nopk[] = {INT_COLUMN("a", .key = 0), TEXT_COLUMN("v")};
static const struct debezium_column lab_toast_t[] = {
    INT_COLUMN("id", .key = 1, .not_null = true),
    TEXT_COLUMN("big"),
    COLUMN("bigb", "bytea", "bytea", 17, -1, .key = 0),
    INT_COLUMN("small", .key = 0),
};
static const struct debezium_column lab_part_t[] = {
    INT_COLUMN("id", .key = 1, .not_null = true),
    COLUMN("d", "date", "date", 1082, -1, .key = 2, .not_null = true),
    TEXT_COLUMN("v"),
};
static const struct debezium_column lab_nan_t[] = {
    INT_COLUMN("id", .key = 1, .not_null = true),
    COLUMN("n", "numeric", "numeric", 1700, -1, .key = 0),
    COLUMN("n2", "numeric(10,2)", "numeric", 1700, 655366, .key = 0),
};
static const struct debezium_column lab_orders[] = {
    ID_COLUMN("order_id", VARCHAR32, .key = 1, .not_null = true),
    ID_COLUMN("customer_id", VARCHAR32, .not_null = true),
    COLUMN("order_status", "text", "text", 25, -1, .not_null = true),
    TIMESTAMP_COLUMN("order_purchase_timestamp", .not_null = true),
    TIMESTAMP_COLUMN("order_approved_at", .key = 0),
    TIMESTAMP_COLUMN("order_delivered_carrier_date", .key = 0),
    TIMESTAMP_COLUMN("order_delivered_customer_date", .key = 0),
    TIMESTAMP_COLUMN("order_estimated_delivery_date", .key = 0),
};
static const struct debezium_column lab_order_items[] = {
    ID_COLUMN("order_id", VARCHAR32, .key = 1, .not_null = true),
    INT_COLUMN("order_item_id", .key = 2, .not_null = true),
    ID_COLUMN("product_id", VARCHAR32, .not_null = true),
    ID_COLUMN("seller_id", VARCHAR32, .not_null = true),
    TIMESTAMP_COLUMN("shipping_limit_date", .key = 0),
    COLUMN("price", "numeric(10,2)", "numeric", 1700, 655366, .key = 0),
    COLUMN("freight_value", "numeric(10,2)", "numeric", 1700, 655366, .key = 0),
};
static const struct debezium_column lab_order_payments[] = {
    ID_COLUMN("order_id", VARCHAR32, .key = 1, .not_null = true),
    INT_COLUMN("payment_sequential", .key = 2, .not_null = true),
    TEXT_COLUMN("payment_type"),
    INT_COLUMN("payment_installments", .key = 0),
    COLUMN("payment_value", "numeric(10,2)", "numeric", 1700, 655366, .key = 0),
};

#define LAB_TABLE(n)                                                                                       \
    {                                                                                                      \
#n, lab_##n, sizeof lab_##n / sizeof *lab_##n                                                      \
    }
static const struct lab_table lab_tables[] = {
    LAB_TABLE(types_t), LAB_TABLE(pk2),         LAB_TABLE(nopk),
    LAB_TABLE(toast_t), LAB_TABLE(part_t),      LAB_TABLE(nan_t),
    LAB_TABLE(orders),  LAB_TABLE(order_items), LAB_TABLE(order_payments),
};
enum { LAB_TABLES = sizeof lab_tables / sizeof *lab_tables };

static inline struct debezium_decoder *lab_decoder(const struct debezium_options *options, bool describe)
{
    struct debezium_decoder *d = debezium_decoder_new(options);
    for (size_t i = 0; describe && i < LAB_TABLES; i++) {
        char *table = mem_format("public.%s", lab_tables[i].name);
        debezium_decoder_describe(d, table, 'd', lab_tables[i].columns, lab_tables[i].count);
        mem_free(table);
    }
    return d;
}

/* A record of a file; texts live in `line`. */
struct lab_record {
    json_t *line;
    struct slice key, value, old_key;
};

static inline struct slice lab_text(const json_t *v)
{
    return (struct slice){json_string_value(v), json_string_length(v)};
}

static inline void lab_record_read(struct slice line, struct lab_record *out)
{
    json_error_t where;
    *out = (struct lab_record){.line = json_loadb(line.data, line.len, 0, &where)};
    if (!out->line) fail_msg("%s", where.text);
    out->key = lab_text(json_object_get(out->line, "key"));
    out->value = lab_text(json_object_get(out->line, "value"));
    size_t i;
    json_t *header;
    json_array_foreach(json_object_get(out->line, "headers"), i, header)
    {
        if (strcmp(json_string_value(json_array_get(header, 0)), "__debezium.oldkey") == 0)
            out->old_key = lab_text(json_array_get(header, 1));
    }
}

/* The records of a file; to be freed by lab_file_free. */
struct lab_file {
    struct lab_record *records;
    size_t count, cap;
};

static inline bool lab_file_read(const char *name, struct lab_file *out)
{
    char *path = mem_format("tests/golden/debezium/%s.json", name);
    *out = (struct lab_file){0};
    FILE *in = fopen(path, "r");
    mem_free(path);
    if (!in) return false;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, in)) > 0) {
        MEM_GROW(out->records, out->count, out->cap);
        lab_record_read((struct slice){line, (size_t)n}, &out->records[out->count++]);
    }
    free(line);
    fclose(in);
    return true;
}

static inline void lab_file_free(struct lab_file *f)
{
    for (size_t i = 0; i < f->count; i++)
        json_decref(f->records[i].line);
    mem_free(f->records);
}

#endif
