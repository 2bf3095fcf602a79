/* Debezium's events as changes: every recorded event of every mode, with and without schemas. The same row
 * must come out the same, byte for byte, wherever the mode has lost nothing of it; rows are compared with
 * PostgreSQL's text. */
#include "debezium_lab.h"
#include "format/json_scan.h"

#include <time.h>

static const struct debezium_options off = {.money_digits = 2};
static const struct debezium_options str = {.decimal = DEBEZIUM_DECIMAL_STRING,
                                            .time = DEBEZIUM_TIME_ISOSTRING,
                                            .interval = DEBEZIUM_INTERVAL_STRING,
                                            .binary = DEBEZIUM_BINARY_HEX,
                                            .money_digits = 2};
static const struct debezium_options strc = {.time = DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS,
                                             .money_digits = 2};
static const struct debezium_options micro = {
    .time = DEBEZIUM_TIME_MICROSECONDS, .decimal_numeric = true, .money_digits = 2};

struct mode {
    const char *prefix;
    const struct debezium_options *options;
    bool schemas, bare; /* bare: decode the payloads of a topic with schemas without them */
    const char *lost;   /* columns that this mode does not tell wholly, in any row */
};

static const struct mode modes[] = {
    {"off", &off, false, false, ""},
    {"on", &off, true, false, " c_bit1 c_varbit "},
    {"on", &off, true, true, ""},
    {"str", &str, true, false, " c_bit1 c_varbit c_numeric c_bytea c_interval bigb c_time n n2 "},
    {"str", &str, true, true, " c_numeric c_interval c_time n n2 "},
    {"txmd", &off, false, false, ""},
    {"micro", &micro, false, false, ""},
};

/* What a record came to, kept. */
struct result {
    enum debezium_kind kind;
    char op;
    char *key, *old_key, *before, *after, *unchanged;
};

static char *text_of(struct slice s)
{
    return s.data ? mem_textn(s.data, s.len) : NULL;
}

static void result_free(struct result *r)
{
    mem_free(r->key);
    mem_free(r->old_key);
    mem_free(r->before);
    mem_free(r->after);
    mem_free(r->unchanged);
}

/* The payload without its wrapper. */
static struct slice bare(struct slice text)
{
    struct slice payload;
    return text.data && json_get(text, SLICE("payload"), &payload) ? payload : text;
}

static void take(struct debezium_decoder *d, const struct lab_record *in, bool without_schemas,
                 struct result *out)
{
    struct debezium_record record;
    struct error err = {0};
    struct slice key = without_schemas ? bare(in->key) : in->key;
    struct slice value = without_schemas ? bare(in->value) : in->value;
    unit_ok(debezium_decode(d, key, value, in->old_key, &record, &err));
    const struct change *c = &record.change;
    *out = (struct result){.kind = record.kind,
                           .op = (char)c->op,
                           .key = text_of(c->key),
                           .old_key = text_of(c->old_key),
                           .before = text_of(c->before),
                           .after = text_of(c->after),
                           .unchanged = text_of(c->unchanged)};
    assert_false(record.undescribed.data);
}

/* The events of a table that change rows; the number of them. */
static size_t take_all(const struct mode *mode, const char *table, struct result *out, size_t most)
{
    char *name = mem_format("%s.public.%s", mode->prefix, table);
    struct lab_file file;
    size_t count = 0;
    if (lab_file_read(name, &file)) {
        struct debezium_decoder *d = lab_decoder(mode->options, !mode->schemas || mode->bare);
        for (size_t i = 0; i < file.count; i++) {
            assert_true(count < most);
            take(d, &file.records[i], mode->bare, &out[count]);
            assert_true(out[count].kind ==
                        (file.records[i].value.data ? DEBEZIUM_CHANGE : DEBEZIUM_TOMBSTONE));
            if (out[count].kind == DEBEZIUM_CHANGE && out[count].op != 't')
                count++;
            else
                result_free(&out[count]);
        }
        debezium_decoder_free(d);
        lab_file_free(&file);
    }
    mem_free(name);
    return count;
}

static bool is_lost(const struct mode *mode, struct slice name)
{
    char *word = mem_format(" %.*s ", (int)name.len, name.data);
    bool lost = strstr(mode->lost, word) != NULL;
    mem_free(word);
    return lost;
}

static void same_image(const struct mode *mode, const char *table, const char *what, size_t row,
                       const char *wanted, const char *got)
{
    if (!wanted || !got) {
        if (wanted || got)
            fail_msg("%s.%s, event %zu: %s is %s, not %s", mode->prefix, table, row, what,
                     got ? got : "none", wanted ? wanted : "none");
        return;
    }
    struct json_scan a = json_scan_object(slice_of(wanted));
    struct json_scan b = json_scan_object(slice_of(got));
    struct slice name, value, other_name, other;
    while (json_scan_next(&a, &name, &value)) {
        assert_true(json_scan_next(&b, &other_name, &other));
        if (!slice_equal(name, other_name) || (!slice_equal(value, other) && !is_lost(mode, name)))
            fail_msg("%s.%s%s, event %zu, %s.%.*s: %.*s, not %.*s", mode->prefix, table,
                     mode->bare ? " (bare)" : "", row, what, (int)other_name.len, other_name.data,
                     (int)(other.len < 200 ? other.len : 200), other.data,
                     (int)(value.len < 200 ? value.len : 200), value.data);
    }
    assert_false(json_scan_next(&b, &name, &value));
    assert_true(json_scan_ok(&a) && json_scan_ok(&b));
}

/* Every mode gives the rows that the first one gives. */
static void modes_agree(void **state)
{
    (void)state;
    enum { MOST = 64 };
    struct result wanted[MOST], got[MOST];
    for (size_t t = 0; t < LAB_TABLES; t++) {
        const char *table = lab_tables[t].name;
        size_t count = take_all(&modes[0], table, wanted, MOST);
        assert_true(count > 0);
        for (size_t m = 1; m < sizeof modes / sizeof *modes; m++) {
            size_t n = take_all(&modes[m], table, got, MOST);
            /* leaves have topics of their own, unless published by their root */
            if (strcmp(table, "part_t") != 0) assert_int_equal(n, count);
            for (size_t i = 0; i < n && i < count; i++) {
                const struct result *a = &wanted[i], *b = &got[i];
                assert_int_equal(a->op, b->op);
                same_image(&modes[m], table, "key", i, a->key, b->key);
                same_image(&modes[m], table, "old_key", i, a->old_key, b->old_key);
                same_image(&modes[m], table, "before", i, a->before, b->before);
                same_image(&modes[m], table, "after", i, a->after, b->after);
                if (a->unchanged) assert_string_equal(a->unchanged, b->unchanged);
                assert_true(!a->unchanged == !b->unchanged);
            }
            for (size_t i = 0; i < n; i++)
                result_free(&got[i]);
        }
        for (size_t i = 0; i < count; i++)
            result_free(&wanted[i]);
    }
}

/* One record of a table in a mode, by the number that take_all gives it. */
static struct result one(const struct mode *mode, const char *table, size_t number)
{
    struct result all[64];
    size_t count = take_all(mode, table, all, 64);
    assert_true(number < count);
    for (size_t i = 0; i < count; i++)
        if (i != number) result_free(&all[i]);
    return all[number];
}

static void has(const char *image, const char *member, const char *wanted)
{
    struct slice value;
    assert_non_null(image);
    if (!json_get(slice_of(image), slice_of(member), &value)) fail_msg("%s is missing", member);
    if (!slice_equal(value, slice_of(wanted)))
        fail_msg("%s is %.*s, not %s", member, (int)value.len, value.data, wanted);
}

/* The rows of types_t as PostgreSQL prints them. */
static void prints_as_postgresql(void **state)
{
    (void)state;
    struct result r = one(&modes[0], "types_t", 0);
    assert_string_equal(r.key, "{\"id\":1}");
    assert_string_equal(
        r.after,
        "{\"id\":1,\"c_int2\":-32768,\"c_int4\":2147483647,\"c_int8\":9223372036854775807,"
        "\"c_numeric\":\"12345.6789\",\"c_num_10_2\":\"-123.45\","
        "\"c_num_38_10\":\"12345678901234567890.0123456789\","
        "\"c_text\":\"h\xC3\xA9llo \\\"q\\\" \\\\ <\xC3\xA9> \xE6\x97\xA5\xE6\x9C\xAC \\n\\t\\u0001 end\","
        "\"c_varchar\":\"vc\",\"c_char\":\"ab   \",\"c_ts\":\"2018-06-20 15:13:16.945104\","
        "\"c_ts3\":\"2018-06-20 15:13:16.945\",\"c_ts0\":\"2018-06-20 15:13:16\","
        "\"c_tstz\":\"2018-06-20 13:13:16.945104+00\",\"c_tstz3\":\"2018-06-20 13:13:16.9+00\","
        "\"c_date\":\"2018-06-20\",\"c_time\":\"15:13:16.945104\",\"c_time3\":\"15:13:16.945\","
        "\"c_timetz\":\"13:13:16.945104+00\",\"c_bool\":true,\"c_bytea\":\"AP8Qqw==\","
        "\"c_uuid\":\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\",\"c_json\":\"{\\\"b\\\": 1,  "
        "\\\"a\\\":[1,2]}\","
        "\"c_jsonb\":\"{\\\"a\\\": [1, 2], \\\"b\\\": 1}\",\"c_int_arr\":[1,null,3],"
        "\"c_text_arr\":[\"a\",\"b c\",null,\"q\\\"x\"],\"c_num_arr\":[\"1.10\",null,\"-2.50\"],"
        "\"c_ts_arr\":[\"2018-06-20 "
        "15:13:16.945104\"],\"c_enum\":\"happy\",\"c_enum_arr\":[\"sad\",\"ok\"],"
        "\"c_interval\":\"429 days 07:05:06.78\",\"c_inet\":\"192.168.1.5/24\",\"c_cidr\":\"10.0.0.0/8\","
        "\"c_mac\":\"08:00:2b:01:02:03\",\"c_money\":\"1234.11\",\"c_float4\":1.1,"
        "\"c_float8\":3.141592653589793,\"c_bit1\":\"1\",\"c_bit5\":\"10110\",\"c_varbit\":\"110011\","
        "\"c_point\":\"(1.5,-2.5)\",\"c_box\":\"(3,4),(1,2)\",\"c_int4range\":\"[1,6)\","
        "\"c_tsrange\":\"[\\\"2019-03-31 15:30:00\\\",)\",\"c_xml\":\"<a>x</a>\",\"c_oid\":12345,"
        "\"c_tsvector\":\"'a':1 'cat':3 "
        "'fat':2\",\"c_def\":\"dflt\",\"c_nn\":7,\"c_serial\":1,\"c_gen\":2}");
    assert_null(r.before);
    result_free(&r);
    r = one(&modes[0], "types_t", 2);
    has(r.after, "c_ts", "\"infinity\"");
    has(r.after, "c_tstz", "\"infinity\"");
    has(r.after, "c_date", "\"infinity\"");
    has(r.after, "c_interval", "\"-1 days\"");
    has(r.after, "c_float4", "\"NaN\"");
    has(r.after, "c_float8", "\"Infinity\"");
    has(r.after, "c_num_10_2", "\"0.00\"");
    result_free(&r);
    r = one(&modes[0], "types_t", 3);
    has(r.after, "c_ts", "\"-infinity\"");
    has(r.after, "c_date", "\"-infinity\"");
    has(r.after, "c_interval", "\"00:00:01\"");
    has(r.after, "c_float4", "1e-10");
    has(r.after, "c_time", "\"24:00:00\"");
    has(r.after, "c_int8", "-9007199254740993");
    result_free(&r);
    r = one(&modes[0], "types_t", 4);
    has(r.after, "c_ts", "\"0044-03-15 12:00:00 BC\"");
    has(r.after, "c_tstz", "\"0044-03-15 12:00:00+00 BC\"");
    has(r.after, "c_float4", "1.6777216e+07");
    has(r.after, "c_float8", "1e+21");
    has(r.after, "c_numeric", "\"100000000000000000000\"");
    result_free(&r);
    r = one(&modes[4], "types_t", 0);
    has(r.after, "c_numeric", "\"12345.67890\"");
    has(r.after, "c_interval", "\"1 year 2 mons 3 days 04:05:06.78\"");
    has(r.after, "c_bytea", "\"AP8Qqw==\"");
    result_free(&r);
    const struct mode microseconds = {"strc", &strc, false, false, ""};
    r = one(&microseconds, "types_t", 4);
    has(r.after, "c_ts3", "\"2018-06-20 15:13:16.945\"");
    has(r.after, "c_ts", "\"2018-06-20 15:13:16.945104\"");
    has(r.after, "c_time3", "\"15:13:16.945\"");
    result_free(&r);
}

/* Changes of keys, deletes with and without the old row, values that the connector did not have. */
static void takes_old_rows_and_placeholders(void **state)
{
    (void)state;
    struct result r = one(&modes[1], "pk2", 3);
    assert_int_equal(r.op, 'c');
    assert_string_equal(r.key, "{\"a\":2,\"b\":\"z\"}");
    assert_string_equal(r.old_key, "{\"a\":2,\"b\":\"y\"}");
    result_free(&r);
    r = one(&modes[0], "orders", 22); /* replica identity default: zeros and nulls */
    assert_int_equal(r.op, 'd');
    assert_null(r.before);
    assert_null(r.after);
    result_free(&r);
    r = one(&modes[0], "orders", 25); /* full */
    assert_int_equal(r.op, 'd');
    has(r.before, "order_status", "\"approved\"");
    result_free(&r);
    r = one(&modes[1], "nopk", 3);
    assert_int_equal(r.op, 'd');
    assert_null(r.key);
    assert_string_equal(r.before, "{\"a\":2,\"v\":\"n3\"}");
    result_free(&r);
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        r = one(&modes[m], "toast_t", 1);
        assert_int_equal(r.op, 'u');
        assert_string_equal(r.after, "{\"id\":1,\"small\":2}");
        assert_string_equal(r.unchanged, "[\"big\",\"bigb\"]");
        result_free(&r);
    }
}

static struct debezium_kind_of {
    const char *file;
    enum debezium_kind kind;
} const specials[] = {
    {"off.message", DEBEZIUM_MESSAGE},
    {"on.message", DEBEZIUM_MESSAGE},
    {"str.message", DEBEZIUM_MESSAGE},
    {"txmd.message", DEBEZIUM_MESSAGE},
    {"micro.message", DEBEZIUM_MESSAGE},
    {"txmd.transaction", DEBEZIUM_OTHER},
    {"__debezium-heartbeat.txmd", DEBEZIUM_OTHER},
};

static void passes_over_other_records(void **state)
{
    (void)state;
    struct debezium_decoder *d = lab_decoder(&off, false);
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        struct lab_file file;
        assert_true(lab_file_read(specials[i].file, &file));
        for (size_t k = 0; k < file.count; k++) {
            struct result r;
            take(d, &file.records[k], false, &r);
            assert_int_equal(r.kind, specials[i].kind);
            result_free(&r);
        }
        lab_file_free(&file);
    }
    debezium_decoder_free(d);
}

/* Positions, times, and the truncate, which has no image. */
static void takes_positions(void **state)
{
    (void)state;
    struct debezium_decoder *d = lab_decoder(&off, true);
    struct debezium_record record;
    struct error err = {0};
    struct lab_file file;
    assert_true(lab_file_read("txmd.public.nan_t", &file));
    unit_ok(
        debezium_decode(d, file.records[0].key, file.records[0].value, (struct slice){0}, &record, &err));
    assert_int_equal(record.change.op, CHANGE_READ);
    assert_string_equal(record.snapshot, "first_in_data_collection");
    assert_true(record.change.previous_lsn == 0 && record.change.lsn == record.change.event_lsn &&
                record.change.ordinal == 0 && record.change.lsn > 0);
    unit_ok(
        debezium_decode(d, file.records[2].key, file.records[2].value, (struct slice){0}, &record, &err));
    assert_int_equal(record.change.op, CHANGE_TRUNCATE);
    assert_true(slice_equal(record.change.table, SLICE("public.nan_t")));
    assert_true(record.change.event_lsn == 39763616 && record.change.previous_lsn == 39747104);
    assert_true(record.change.lsn == 39747104 && record.change.ordinal == 39763616);
    assert_true(record.change.xid == 836 && record.change.commit_us == 1795348156394570);
    assert_string_equal(record.snapshot, "");
    assert_null(record.change.after.data);
    lab_file_free(&file);
    debezium_decoder_free(d);
}

/* The schema record from a Connect schema, and the same pointer for the same shape. */
static void makes_schemas(void **state)
{
    (void)state;
    struct debezium_decoder *d = lab_decoder(&off, false);
    struct debezium_record record;
    struct error err = {0};
    struct lab_file file;
    assert_true(lab_file_read("on.public.order_items", &file));
    const struct schema *schema = NULL;
    for (size_t i = 0; i < file.count; i++) {
        const struct lab_record *in = &file.records[i];
        unit_ok(debezium_decode(d, in->key, in->value, in->old_key, &record, &err));
        if (record.kind == DEBEZIUM_TOMBSTONE) continue;
        assert_true(!schema || schema == record.schema);
        schema = record.schema;
    }
    struct buf json = {0};
    schema_encode(schema, &json);
    const char *at = strstr(buf_text(&json), "\"replica_identity\"");
    assert_non_null(at);
    assert_string_equal(
        at,
        "\"replica_identity\":\"d\",\"columns\":["
        "{\"name\":\"order_id\",\"type\":\"text\",\"oid\":25,\"typmod\":-1,\"attnum\":0,\"key\":1,"
        "\"not_null\":true,\"missing\":null},"
        "{\"name\":\"order_item_id\",\"type\":\"integer\",\"oid\":23,\"typmod\":-1,\"attnum\":0,\"key\":2,"
        "\"not_null\":true,\"missing\":null},"
        "{\"name\":\"product_id\",\"type\":\"text\",\"oid\":25,\"typmod\":-1,\"attnum\":0,\"key\":0,"
        "\"not_null\":true,\"missing\":null},"
        "{\"name\":\"seller_id\",\"type\":\"text\",\"oid\":25,\"typmod\":-1,\"attnum\":0,\"key\":0,"
        "\"not_null\":true,\"missing\":null},"
        "{\"name\":\"shipping_limit_date\",\"type\":\"timestamp without time zone\",\"oid\":1114,"
        "\"typmod\":-1,\"attnum\":0,\"key\":0,\"not_null\":false,\"missing\":null},"
        "{\"name\":\"price\",\"type\":\"numeric(10,2)\",\"oid\":1700,\"typmod\":655366,\"attnum\":0,"
        "\"key\":0,\"not_null\":false,\"missing\":null},"
        "{\"name\":\"freight_value\",\"type\":\"numeric(10,2)\",\"oid\":1700,\"typmod\":655366,\"attnum\":"
        "0,"
        "\"key\":0,\"not_null\":false,\"missing\":null}]}");
    buf_free(&json);
    lab_file_free(&file);
    debezium_decoder_free(d);
}

#define SOURCE_OF(table, rest)                                                                             \
    "\"source\":{\"connector\":\"postgresql\",\"schema\":\"public\",\"table\":\"" table "\"," rest "}"
#define SOURCE SOURCE_OF("nopk", "\"lsn\":5,\"sequence\":\"[null,\\\"5\\\"]\"")

/* Connectors of other ages: members missing, others not known, snapshot as a boolean. */
static void accepts_other_forms(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"op\":\"c\",\"after\":{\"a\":1,\"v\":\"x\"}," SOURCE "}",
        " { \"extra\" : [{}] , \"before\":null, \"after\" : {\"v\":\"x\" , \"a\" : 1 } , \"op\":\"c\" "
        ", " SOURCE " } ",
        "{\"op\":\"c\",\"after\":{\"a\":1,\"v\":\"x\"}," SOURCE_OF(
            "nopk", "\"lsn\":\"5\",\"sequence\":null,\"snapshot\":false,\"ts_ms\":7") "}",
        "{\"op\":\"c\",\"after\":{\"a\":1,\"v\":\"x\"}," SOURCE_OF("nopk",
                                                                   "\"lsn\":5,\"snapshot\":null") "}",
        "{\"schema\":null,\"payload\":{\"op\":\"c\",\"after\":{\"a\":1,\"v\":\"x\"}," SOURCE "}}",
    };
    struct debezium_decoder *d = lab_decoder(&off, true);
    struct debezium_record record;
    struct error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        unit_ok(debezium_decode(d, (struct slice){0}, slice_of(good[i]), (struct slice){0}, &record, &err));
        assert_int_equal(record.kind, DEBEZIUM_CHANGE);
        assert_true(slice_equal(record.change.after, SLICE("{\"a\":1,\"v\":\"x\"}")));
        assert_string_equal(record.snapshot, "");
        assert_true(record.change.event_lsn == 5 && record.change.previous_lsn == 0);
    }
    unit_ok(debezium_decode(d, (struct slice){0},
                            SLICE("{\"op\":\"r\",\"after\":{\"a\":1,\"new\":2}," SOURCE_OF(
                                "nopk", "\"snapshot\":true,\"lsn\":null") "}"),
                            (struct slice){0}, &record, &err));
    assert_string_equal(record.snapshot, "true");
    assert_true(slice_equal(record.undescribed, SLICE("new")));
    unit_ok(debezium_decode(d, (struct slice){0},
                            SLICE("{\"op\":\"c\",\"after\":{}," SOURCE_OF("x", "\"lsn\":5") "}"),
                            (struct slice){0}, &record, &err));
    assert_int_equal(record.kind, DEBEZIUM_UNDESCRIBED);
    assert_true(slice_equal(record.change.table, SLICE("public.x")));
    static const char *const tombstones[] = {"null", "{\"schema\":null,\"payload\":null}"};
    for (size_t i = 0; i < 2; i++) {
        unit_ok(debezium_decode(d, SLICE("{}"), slice_of(tombstones[i]), (struct slice){0}, &record, &err));
        assert_int_equal(record.kind, DEBEZIUM_TOMBSTONE);
    }
    debezium_decoder_free(d);
}

/* Which old rows are whole, by what the table's replica identity is described to be. */
static void judges_old_rows(void **state)
{
    (void)state;
    static const struct {
        char identity, op;
        const char *before;
        bool taken;
    } rows[] = {
        {'d', 'u', "{\"id\":1,\"big\":null,\"bigb\":null,\"small\":null}", true},
        {'i', 'u', "{\"id\":1,\"big\":\"x\",\"bigb\":null,\"small\":null}", false},
        {'d', 'd', "{\"id\":1,\"big\":\"\",\"bigb\":\"\",\"small\":0}", false},
        {'d', 'd', "{\"id\":1,\"big\":null,\"bigb\":null,\"small\":3}", true},
        {'i', 'd', "{\"id\":1,\"big\":null,\"bigb\":null,\"small\":3}", false},
        {'f', 'd', "{\"id\":1,\"big\":null,\"bigb\":null,\"small\":null}", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct debezium_decoder *d = debezium_decoder_new(&off);
        struct debezium_record record;
        struct error err = {0};
        debezium_decoder_describe(d, "public.toast_t", rows[i].identity, lab_toast_t, 4);
        char *value =
            mem_format("{\"op\":\"%c\",\"before\":%s,\"after\":%s," SOURCE_OF("toast_t", "\"lsn\":5") "}",
                       rows[i].op, rows[i].before, rows[i].op == 'u' ? "{\"id\":1}" : "null");
        unit_ok(debezium_decode(d, SLICE("{\"id\":1}"), slice_of(value), (struct slice){0}, &record, &err));
        if (!rows[i].taken != !record.change.before.data) fail_msg("row %zu", i);
        assert_true(record.schema->replica_identity == rows[i].identity);
        mem_free(value);
        debezium_decoder_free(d);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *value, *says;
    } bad[] = {
        {"", "not a JSON object"},
        {"[1]", "not a JSON object"},
        {"{\"op\":\"c\"", "not a JSON object"},
        {"{\"a\":1,\"v\":\"x\"}", "ExtractNewRecordState"},
        {"{\"a\":1,\"__op\":\"c\",\"__deleted\":\"false\"}", "ExtractNewRecordState"},
        {"{\"op\":\"open\",\"a\":1}", "ExtractNewRecordState"},
        {"{\"op\":\"c\",\"after\":{},\"source\":{\"connector\":\"mysql\"}}", "postgresql connector"},
        {"{\"op\":\"x\"," SOURCE "}", "op is 'x'"},
        {"{\"op\":\"c\",\"after\":null," SOURCE "}", "after is missing"},
        {"{\"op\":\"c\",\"after\":[]," SOURCE "}", "after is not a JSON object"},
        {"{\"op\":\"d\",\"before\":null," SOURCE "}", "before is missing"},
        {"{\"op\":\"c\",\"after\":{\"a\":\"q\"}," SOURCE "}",
         "event of public.nopk: after.a is not an integer: \"q\""},
        {"{\"op\":\"c\",\"after\":{\"a\":99999999999999999999}," SOURCE "}", "after.a is not an integer"},
        {"{\"op\":\"c\",\"after\":{\"v\":{}}," SOURCE "}", "after.v is not a text"},
        {"{\"op\":\"c\",\"after\":{}," SOURCE_OF("nopk", "\"lsn\":null") "}", "source.lsn is missing"},
        {"{\"op\":\"c\",\"after\":{}," SOURCE_OF("nopk", "\"lsn\":1.5") "}",
         "source.lsn is not an integer"},
        {"{\"op\":\"c\",\"after\":{}," SOURCE_OF("nopk", "\"lsn\":1,\"sequence\":\"x\"") "}",
         "source.sequence"},
        {"{\"schema\":{},\"payload\":{\"op\":\"c\",\"after\":{}," SOURCE "}}", "no field after"},
        {"{\"schema\":{\"a\"},\"payload\":{\"op\":\"c\",\"after\":{}," SOURCE "}}", "schema is not JSON"},
    };
    struct debezium_decoder *d = lab_decoder(&off, true);
    struct debezium_record record;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {0};
        if (debezium_decode(d, (struct slice){0}, slice_of(bad[i].value), (struct slice){0}, &record, &err))
            fail_msg("%s was taken", bad[i].value);
        assert_int_equal(err.kind, ERROR_DATA);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s, not %s", err.text, bad[i].says);
    }
    debezium_decoder_free(d);
}

/* A record cut at any byte, in its value or its key, is DATA or, where what is left is whole, a record. */
static void survives_cuts(void **state)
{
    (void)state;
    static const char *const names[] = {"off.public.types_t", "on.public.pk2", "str.public.nan_t",
                                        "txmd.transaction", "off.message"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct lab_file file;
        assert_true(lab_file_read(names[n], &file));
        const struct lab_record *in = &file.records[0];
        struct debezium_record record;
        struct debezium_decoder *d = lab_decoder(&off, true);
        size_t taken = 0;
        for (size_t len = 0; len < in->value.len + in->key.len; len++) {
            bool of_key = len >= in->value.len;
            struct slice whole = of_key ? in->key : in->value;
            struct error err = {0};
            /* a buffer of its own, so that what is read behind it is seen */
            size_t left = of_key ? len - in->value.len : len;
            char *bytes = malloc(left ? left : 1);
            assert_non_null(bytes);
            memcpy(bytes, whole.data, left);
            struct slice cut = {bytes, left};
            if (debezium_decode(d, of_key ? cut : in->key, of_key ? in->value : cut, (struct slice){0}, &record, &err))
                taken++;
            else
                assert_int_equal(err.kind, ERROR_DATA);
            free(bytes);
        }
        if (taken && strcmp(names[n], "txmd.transaction") != 0 && strcmp(names[n], "off.message") != 0)
            fail_msg("%s: %zu cuts were taken", names[n], taken);
        struct error err = {0};
        unit_ok(debezium_decode(d, in->key, in->value, (struct slice){0}, &record, &err)); /* and goes on */
        debezium_decoder_free(d);
        lab_file_free(&file);
    }
}

/* Not a test: MILLRACE_BENCH=1 prints messages a second. */
static void measures(void **state)
{
    (void)state;
    if (!getenv("MILLRACE_BENCH")) return;
    static const char *const names[] = {"off.public.orders", "on.public.orders", "off.public.types_t"};
    for (size_t n = 0; n < 3; n++) {
        struct lab_file file;
        assert_true(lab_file_read(names[n], &file));
        struct debezium_decoder *d = lab_decoder(&off, true);
        struct debezium_record record;
        struct error err = {0};
        struct timespec a, b;
        enum { ROUNDS = 10000 };
        size_t bytes = 0, count = 0;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int round = 0; round < ROUNDS; round++) {
            for (size_t i = 0; i < file.count; i++) {
                const struct lab_record *in = &file.records[i];
                if (!in->value.data) continue;
                unit_ok(debezium_decode(d, in->key, in->value, in->old_key, &record, &err));
                bytes += in->value.len;
                count++;
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
        printf("%s: %.0f messages/s of %zu bytes\n", names[n], (double)count / seconds, bytes / count);
        debezium_decoder_free(d);
        lab_file_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_agree),
        cmocka_unit_test(prints_as_postgresql),
        cmocka_unit_test(takes_old_rows_and_placeholders),
        cmocka_unit_test(passes_over_other_records),
        cmocka_unit_test(takes_positions),
        cmocka_unit_test(makes_schemas),
        cmocka_unit_test(accepts_other_forms),
        cmocka_unit_test(judges_old_rows),
        cmocka_unit_test(refuses),
        cmocka_unit_test(survives_cuts),
        cmocka_unit_test(measures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
