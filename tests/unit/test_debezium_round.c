/* There and back: PostgreSQL's text of a value through an event, in every mode, by description and by the
 * event's own schema. Where a mode tells all of a type, the same bytes come out that capture makes itself
 * (format/pgvalue.h). */
#include "debezium_lab.h"
#include "format/json_scan.h"
#include "format/pgvalue.h"

/* What a mode does not tell of a value. */
enum {
    LOST = 1,             /* in no mode */
    LOST_DECIMAL = 2,     /* as precise decimal */
    LOST_DOUBLE = 4,      /* as double */
    LOST_MICROS = 8,      /* as connect's milliseconds */
    LOST_NANOS = 16,      /* nanoseconds do not reach there */
    LOST_ISO = 32,        /* as ISO text */
    LOST_DURATION = 64,   /* intervals as a number */
    LOST_BY_SCHEMA = 128, /* a Connect schema does not tell the type */
};

struct round {
    const char *type, *type_name;
    uint32_t oid;
    int32_t typmod;
    bool array;
    char kind;
    int lost;
    const char *texts[8]; /* up to the first NULL */
};

#define NUMERIC(p, s) ((((p) << 16) | ((s)&0x7ff)) + 4)

static const struct round rounds[] = {
    {"boolean", "bool", 16, -1, false, 'b', 0, {"t", "f"}},
    {"smallint", "int2", 21, -1, false, 'b', 0, {"-32768", "0", "32767"}},
    {"integer", "int4", 23, -1, false, 'b', 0, {"-2147483648", "7", "2147483647"}},
    {"bigint",
     "int8",
     20,
     -1,
     false,
     'b',
     0,
     {"-9223372036854775808", "9007199254740993", "9223372036854775807"}},
    {"oid", "oid", 26, -1, false, 'b', 0, {"0", "4294967295"}},
    {"real",
     "float4",
     700,
     -1,
     false,
     'b',
     0,
     {"0", "-0", "1.1", "1.6777216e+07", "1e-10", "3.4028235e+38", "NaN", "-Infinity"}},
    {"double precision",
     "float8",
     701,
     -1,
     false,
     'b',
     0,
     {"0", "3.141592653589793", "1e+21", "5e-324", "1.7976931348623157e+308", "100000000000000", "1e+15",
      "Infinity"}},
    {"numeric(10,2)",
     "numeric",
     1700,
     NUMERIC(10, 2),
     false,
     'b',
     0,
     {"0.00", "-0.01", "1.28", "-1.28", "99999999.99", "-327.68"}},
    {"numeric(38,10)",
     "numeric",
     1700,
     NUMERIC(38, 10),
     false,
     'b',
     LOST_DOUBLE,
     {"12345678901234567890.0123456789", "-9999999999999999999999999999.9999999999"}},
    {"numeric(60,5)",
     "numeric",
     1700,
     NUMERIC(60, 5),
     false,
     'b',
     LOST_DOUBLE,
     {"1234567890123456789012345678901234567890.12345", "-1234567890123456789012345678901234567890.12345"}},
    {"numeric(5,-2)", "numeric", 1700, NUMERIC(5, -2), false, 'b', 0, {"12300", "-100", "0"}},
    {"numeric(3,5)", "numeric", 1700, NUMERIC(3, 5), false, 'b', 0, {"0.00123", "-0.00999"}},
    {"numeric", "numeric", 1700, -1, false, 'b', 0, {"0", "1.1", "-12345.6789", "0.001", "100"}},
    {"numeric",
     "numeric",
     1700,
     -1,
     false,
     'b',
     LOST_DECIMAL | LOST_DOUBLE,
     {"1.10", "100.00"}}, /* zeros at the end */
    {"numeric", "numeric", 1700, -1, false, 'b', LOST_DECIMAL, {"NaN", "Infinity", "-Infinity"}},
    {"numeric",
     "numeric",
     1700,
     -1,
     false,
     'b',
     LOST_DOUBLE,
     {"0.0000000000000000000000000000000000000001", "123456789012345678901234567890123456789012345"}},
    {"text",
     "text",
     25,
     -1,
     false,
     'b',
     0,
     {"", "a\"b\\c\n\t\x01", "\xE6\x97\xA5\xF0\x9F\x98\x80", "null", "{\"a\":1}"}},
    {"character varying(32)", "varchar", 1043, 36, false, 'b', 0, {"vc", ""}},
    {"character(5)", "bpchar", 1042, 9, false, 'b', 0, {"ab   "}},
    {"inet", "inet", 869, -1, false, 'b', 0, {"192.168.1.5/24", "::1"}},
    {"cidr", "cidr", 650, -1, false, 'b', 0, {"10.0.0.0/8"}},
    {"macaddr", "macaddr", 829, -1, false, 'b', 0, {"08:00:2b:01:02:03"}},
    {"uuid", "uuid", 2950, -1, false, 'b', 0, {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
    {"json", "json", 114, -1, false, 'b', 0, {"{\"b\": 1,  \"a\":[1,2]}", "null", "\"x\""}},
    {"jsonb", "jsonb", 3802, -1, false, 'b', 0, {"{\"a\": [1, 2], \"b\": 1}", "12345678901234567890.10"}},
    {"xml", "xml", 142, -1, false, 'b', 0, {"<a>x</a>"}},
    {"tsvector", "tsvector", 3614, -1, false, 'b', 0, {"'a':1 'cat':3 'fat':2", ""}},
    {"mood", "mood", 99999, -1, false, 'e', 0, {"happy", "it's \"so\""}},
    {"int4range", "int4range", 3904, -1, false, 'r', 0, {"[1,6)", "empty"}},
    {"date",
     "date",
     1082,
     -1,
     false,
     'b',
     0,
     {"1970-01-01", "2018-06-20", "0001-01-01", "0044-03-15 BC", "4714-11-24 BC", "5874897-12-31",
      "infinity", "-infinity"}},
    {"time without time zone",
     "time",
     1083,
     -1,
     false,
     'b',
     0,
     {"00:00:00", "15:13:16", "23:59:59.5", "00:00:00.001"}},
    {"time without time zone",
     "time",
     1083,
     -1,
     false,
     'b',
     LOST_MICROS,
     {"15:13:16.945104", "00:00:00.000001"}},
    {"time without time zone", "time", 1083, -1, false, 'b', LOST_ISO, {"24:00:00"}},
    {"time(3) without time zone", "time", 1083, 3, false, 'b', 0, {"15:13:16.945", "15:13:16"}},
    {"time with time zone", "timetz", 1266, -1, false, 'b', 0, {"15:13:16+00", "15:13:16.945104+00"}},
    {"timestamp without time zone",
     "timestamp",
     1114,
     -1,
     false,
     'b',
     0,
     {"1970-01-01 00:00:00", "1969-12-31 23:59:59.999", "2018-06-20 15:13:16.5"}},
    {"timestamp without time zone",
     "timestamp",
     1114,
     -1,
     false,
     'b',
     LOST_MICROS,
     {"2018-06-20 15:13:16.945104", "1969-12-31 23:59:59.999999"}},
    {"timestamp without time zone",
     "timestamp",
     1114,
     -1,
     false,
     'b',
     LOST_NANOS,
     {"0044-03-15 12:00:00 BC", "9999-12-31 23:59:59", "0001-01-01 00:00:00"}},
    {"timestamp without time zone", "timestamp", 1114, -1, false, 'b', 0, {"infinity", "-infinity"}},
    {"timestamp(3) without time zone",
     "timestamp",
     1114,
     3,
     false,
     'b',
     0,
     {"2018-06-20 15:13:16.945", "2018-06-20 15:13:16"}},
    {"timestamp(0) without time zone",
     "timestamp",
     1114,
     0,
     false,
     'b',
     0,
     {"2018-06-20 15:13:16", "infinity"}},
    {"timestamp with time zone",
     "timestamptz",
     1184,
     -1,
     false,
     'b',
     0,
     {"2018-06-20 13:13:16.945104+00", "2018-06-20 13:13:16+00", "0044-03-15 12:00:00+00 BC",
      "294276-12-31 23:59:59+00", "infinity", "-infinity"}},
    {"timestamp(3) with time zone", "timestamptz", 1184, 3, false, 'b', 0, {"2018-06-20 13:13:16.9+00"}},
    {"interval", "interval", 1186, -1, false, 'b', 0, {"00:00:00", "04:05:06.78", "-00:00:01.5"}},
    {"interval",
     "interval",
     1186,
     -1,
     false,
     'b',
     LOST_DURATION,
     {"1 year 2 mons 3 days 04:05:06.78", "-1 years -2 mons +3 days -04:05:06.78", "1 mon", "100:00:00",
      "3 days", "1 day -00:00:01"}},
    {"bytea", "bytea", 17, -1, false, 'b', 0, {"\\x", "\\x00ff10ab", "\\xfbff", "\\x61"}},
    {"bit(1)", "bit", 1560, 1, false, 'b', LOST_BY_SCHEMA, {"1", "0"}},
    {"bit(5)", "bit", 1560, 5, false, 'b', 0, {"10110", "00000", "00001"}},
    {"bit(9)", "bit", 1560, 9, false, 'b', 0, {"100000000", "000000001"}},
    {"bit varying(20)", "varbit", 1562, 20, false, 'b', LOST_BY_SCHEMA, {"110011", "1"}},
    {"point", "point", 600, -1, false, 'b', 0, {"(1.5,-2.5)", "(0,1e+21)"}},
    {"box", "box", 603, -1, false, 'b', 0, {"(3,4),(1,2)", "(0.1,1e-10),(-0.1,-1e+21)"}},
    {"integer[]", "int4", 1007, -1, true, 'b', 0, {"{}", "{1,NULL,-3}"}},
    {"bigint[]", "int8", 1016, -1, true, 'b', 0, {"{9007199254740993}"}},
    {"boolean[]", "bool", 1000, -1, true, 'b', 0, {"{t,f,NULL}"}},
    {"double precision[]", "float8", 1022, -1, true, 'b', 0, {"{1.5,NaN,1e+21}"}},
    {"text[]",
     "text",
     1009,
     -1,
     true,
     'b',
     0,
     {"{a,\"b,c\",\"\\\"q\\\" \\\\\",NULL,\"NULL\",\"\"}", "{}", "{{a,b},{c,NULL}}"}},
    {"numeric(8,2)[]", "numeric", 1231, NUMERIC(8, 2), true, 'b', 0, {"{1.10,NULL,-2.50}"}},
    {"timestamp without time zone[]", "timestamp", 1115, -1, true, 'b', 0, {"{\"2018-06-20 15:13:16.5\"}"}},
    {"date[]", "date", 1182, -1, true, 'b', 0, {"{2018-06-20,infinity,\"0044-03-15 BC\"}"}},
    {"bytea[]", "bytea", 1001, -1, true, 'b', 0, {"{\"\\\\x6162\",NULL}"}},
    {"uuid[]", "uuid", 2951, -1, true, 'b', 0, {"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"}},
    {"name", "name", 19, -1, false, 'b', 0, {"pg_class"}},
    {"\"char\"", "char", 18, -1, false, 'b', 0, {"x", ""}},
    {"citext", "citext", 99997, -1, false, 'b', 0, {"Ab"}},
    {"ltree", "ltree", 99996, -1, false, 'b', 0, {"Top.Science"}},
    {"isbn", "isbn", 99995, -1, false, 'b', 0, {"978-0-393-04002-9"}},
    {"macaddr8", "macaddr8", 774, -1, false, 'b', 0, {"08:00:2b:01:02:03:04:05"}},
    {"nummultirange", "nummultirange", 4532, -1, false, 'm', 0, {"{[1.1,2.2)}"}},
    /* money without its sign, hstore as JSON, timetz in UTC, PostgreSQL's lower bounds */
    {"money", "money", 790, -1, false, 'b', LOST, {"$1,234.11", "-$0.01", "$92,233,720,368,547,758.07"}},
    {"hstore",
     "hstore",
     99994,
     -1,
     false,
     'b',
     LOST,
     {"", "\"a\"=>\"1\", \"b\"=>NULL", "\"a\\\"b\"=>\"\\\\\""}},
    {"hstore[]", "hstore", 99993, -1, true, 'b', LOST, {"{\"\\\"a\\\"=>\\\"1\\\"\"}"}},
    {"time with time zone", "timetz", 1266, -1, false, 'b', LOST, {"15:13:16.945104+02", "24:00:00-15:59"}},
    {"integer[]", "int4", 1007, -1, true, 'b', 0, {"[2:3]={1,2}", "{{1,2},{3,NULL}}"}},
    {"bit(5)[]", "bit", 1561, 5, true, 'b', 0, {"{10110,NULL}"}},
    {"inet[]", "inet", 1041, -1, true, 'b', 0, {"{::1}"}},
    {"real[]", "float4", 1021, -1, true, 'b', 0, {"{1.1,1e+20}"}},
    {"time without time zone[]", "time", 1183, -1, true, 'b', 0, {"{00:00:00.5}"}},
    {"timestamp with time zone[]",
     "timestamptz",
     1185,
     -1,
     true,
     'b',
     0,
     {"{\"2018-06-20 13:13:16.945104+00\"}"}},
    {"mood[]", "mood", 99998, -1, true, 'e', 0, {"{sad,\"very happy\"}"}},
};
enum { ROUNDS = sizeof rounds / sizeof *rounds };

static bool is_lost(const struct round *r, const struct debezium_options *o, bool by_schema)
{
    static const int decimals[] = {LOST_DECIMAL, 0, LOST_DOUBLE};
    int lost = LOST | decimals[o->decimal];
    if (o->time == DEBEZIUM_TIME_CONNECT) lost |= LOST_MICROS;
    if (o->time == DEBEZIUM_TIME_NANOSECONDS) lost |= LOST_NANOS;
    if (o->time == DEBEZIUM_TIME_ISOSTRING) lost |= LOST_ISO;
    if (o->interval == DEBEZIUM_INTERVAL_NUMERIC) lost |= LOST_DURATION;
    if (by_schema) lost |= LOST_BY_SCHEMA;
    /* a schema does not tell that a string is a number of no known precision, or bytes */
    if (by_schema && o->decimal == DEBEZIUM_DECIMAL_DOUBLE && strcmp(r->type_name, "numeric") == 0)
        return true;
    if (by_schema && o->binary != DEBEZIUM_BINARY_BYTES && strcmp(r->type_name, "bytea") == 0) return true;
    if (by_schema && o->decimal == DEBEZIUM_DECIMAL_STRING && strcmp(r->type_name, "numeric") == 0)
        return true;
    return r->lost & lost;
}

/* The value as it comes back. */
static void go_round(const struct round *r, const struct debezium_options *o, const char *text,
                     bool by_schema, struct buf *out)
{
    struct debezium_column columns[] = {
        INT_COLUMN("id", .key = 1, .not_null = true),
        {.name = (char *)"c",
         .type = (char *)r->type,
         .type_name = (char *)r->type_name,
         .type_kind = r->kind,
         .oid = r->oid,
         .typmod = r->typmod,
         .array = r->array,
         .labels = r->kind == 'e' ? (char *)"happy,sad" : NULL},
    };
    struct pgoutput_value values[] = {{PGOUTPUT_TEXT, SLICE("1")},
                                      {text ? PGOUTPUT_TEXT : PGOUTPUT_NULL, slice_of(text)}};
    struct debezium_table *t = debezium_table_new("public.t", columns, 2, o);
    struct debezium_decoder *d = debezium_decoder_new(o);
    struct debezium_event e = {.version = "1",
                               .prefix = "p",
                               .database = "d",
                               .table = SLICE("public.t"),
                               .op = 'c',
                               .lsn = 9,
                               .previous_lsn = 5,
                               .xid = 3,
                               .commit_us = 1,
                               .now_us = 2};
    struct buf image = {0}, payload = {0}, key = {0}, value = {0};
    struct debezium_record record;
    struct error err = {0};
    debezium_put_row(t, values, &image);
    debezium_put_key(t, values, &payload);
    debezium_put_wrapped(by_schema ? debezium_key_schema(t) : NULL, buf_slice(&payload), &key);
    e.after = buf_slice(&image);
    e.schema = by_schema ? debezium_value_schema(t) : NULL;
    debezium_put_value(&e, o->binary, &value);
    json_error_t where;
    json_t *json = json_loadb(value.data, value.len, 0, &where);
    if (!json) fail_msg("%s %s: %s in %s", r->type, text, where.text, buf_text(&image));
    json_decref(json);
    if (!by_schema) debezium_decoder_describe(d, "public.t", 'd', columns, 2);
    if (!debezium_decode(d, buf_slice(&key), buf_slice(&value), (struct slice){0}, &record, &err))
        fail_msg("%s, decimal %d, time %d, binary %d, %s: %s", r->type, (int)o->decimal, (int)o->time,
                 (int)o->binary, buf_text(&image), err.text);
    assert_int_equal(record.kind, DEBEZIUM_CHANGE);
    assert_true(slice_equal(record.change.key, SLICE("{\"id\":1}")));
    assert_true(record.change.previous_lsn == 5 && record.change.event_lsn == 9 &&
                record.change.commit_us == 1);
    struct slice got;
    if (!json_get(record.change.after, SLICE("c"), &got))
        fail_msg("%s %s: not in the image", r->type, text);
    buf_put_slice(out, got);
    buf_free(&image);
    buf_free(&payload);
    buf_free(&key);
    buf_free(&value);
    debezium_decoder_free(d);
    debezium_table_free(t);
}

static size_t failures;

static void check_round(const struct round *r, const struct debezium_options *o, const char *text,
                        bool by_schema)
{
    struct buf got = {0}, want = {0};
    go_round(r, o, text, by_schema, &got);
    pgvalue_put_json(&want, pgvalue_type_of(r->oid, r->type), slice_of(text));
    if (!is_lost(r, o, by_schema) && !slice_equal(buf_slice(&want), buf_slice(&got))) {
        print_error("%s, decimal %d, time %d, binary %d, numeric %d%s: %s, not %s\n", r->type,
                    (int)o->decimal, (int)o->time, (int)o->binary, o->decimal_numeric,
                    by_schema ? ", by schema" : "", buf_text(&got), buf_text(&want));
        failures++;
    }
    buf_free(&got);
    buf_free(&want);
}

/* Each mode of one option with each value; options do not act upon one another. */
static void check_all(bool by_schema)
{
    failures = 0;
    for (int mode = 0; mode < 12; mode++) {
        struct debezium_options o = {
            .prefix = "p", .placeholder = "__debezium_unavailable_value", .money_digits = 2};
        o.decimal = (enum debezium_decimal)(mode % 3);
        o.time = (enum debezium_time)(mode % 6);
        o.binary = (enum debezium_binary)(mode % 4);
        o.interval = (enum debezium_interval)(mode / 6);
        o.decimal_numeric = mode >= 6;
        for (size_t i = 0; i < ROUNDS; i++) {
            for (size_t k = 0; k < 8 && rounds[i].texts[k]; k++)
                check_round(&rounds[i], &o, rounds[i].texts[k], by_schema);
            check_round(&rounds[i], &o, NULL, by_schema);
        }
    }
    assert_int_equal(failures, 0);
}

static void test_by_description(void **state)
{
    (void)state;
    check_all(false);
}

static void test_by_schema(void **state)
{
    (void)state;
    check_all(true);
}

/* Values that an update did not touch come back as their names alone, in each mode. */
static void test_unchanged(void **state)
{
    (void)state;
    static const struct debezium_column columns[] = {
        INT_COLUMN("id", .key = 1, .not_null = true),
        TEXT_COLUMN("t\""),
        COLUMN("b", "bytea", "bytea", 17, -1, .key = 0),
        COLUMN("j", "jsonb", "jsonb", 3802, -1, .key = 0),
        COLUMN("h", "hstore", "hstore", 99994, -1, .key = 0),
        COLUMN("ta", "text[]", "text", 1009, -1, .array = true),
        COLUMN("ba", "bytea[]", "bytea", 1001, -1, .array = true),
        COLUMN("ia", "integer[]", "int4", 1007, -1, .array = true),
        COLUMN("la", "bigint[]", "int8", 1016, -1, .array = true),
        COLUMN("da", "date[]", "date", 1182, -1, .array = true),
        COLUMN("ua", "uuid[]", "uuid", 2951, -1, .array = true),
        COLUMN("x", "xml", "xml", 142, -1, .key = 0),
    };
    enum { COUNT = sizeof columns / sizeof *columns };
    struct pgoutput_value values[COUNT] = {{PGOUTPUT_TEXT, SLICE("1")}};
    for (size_t i = 1; i < COUNT; i++)
        values[i].kind = PGOUTPUT_UNCHANGED;
    for (int mode = 0; mode < 16; mode++) {
        const struct debezium_options o = {.prefix = "p",
                                           .placeholder = mode % 3 ? "__debezium_unavailable_value"
                                                                   : "gone \"\\\xC3\xA9",
                                           .binary = (enum debezium_binary)(mode % 4),
                                           .hstore = (enum debezium_hstore)(mode / 4 % 2)};
        bool by_schema = mode >= 8;
        struct debezium_table *t = debezium_table_new("public.t", columns, COUNT, &o);
        struct debezium_decoder *d = debezium_decoder_new(&o);
        struct debezium_event e = {
            .version = "1", .prefix = "p", .table = SLICE("public.t"), .op = 'u', .lsn = 9};
        struct buf image = {0}, value = {0};
        struct debezium_record record;
        struct error err = {0};
        debezium_put_row(t, values, &image);
        e.after = buf_slice(&image);
        e.schema = by_schema ? debezium_value_schema(t) : NULL;
        debezium_put_value(&e, o.binary, &value);
        if (!by_schema) debezium_decoder_describe(d, "public.t", 'd', columns, COUNT);
        unit_ok(
            debezium_decode(d, SLICE("{\"id\":1}"), buf_slice(&value), (struct slice){0}, &record, &err));
        if (!slice_equal(record.change.after, SLICE("{\"id\":1}")))
            fail_msg("mode %d: %.*s", mode, (int)record.change.after.len, record.change.after.data);
        assert_true(slice_equal(
            record.change.unchanged,
            SLICE("[\"t\\\"\",\"b\",\"j\",\"h\",\"ta\",\"ba\",\"ia\",\"la\",\"da\",\"ua\",\"x\"]")));
        buf_free(&image);
        buf_free(&value);
        debezium_decoder_free(d);
        debezium_table_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_description),
        cmocka_unit_test(test_by_schema),
        cmocka_unit_test(test_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
