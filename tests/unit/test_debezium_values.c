/* Single values of Debezium's events, by a column's description and by a Connect schema: what PostgreSQL
 * prints for them, and what is refused. */
#include "debezium_lab.h"

static const struct debezium_options precise = {.money_digits = 2};
static const struct debezium_options text_modes = {.decimal = DEBEZIUM_DECIMAL_STRING,
                                                   .time = DEBEZIUM_TIME_ISOSTRING,
                                                   .interval = DEBEZIUM_INTERVAL_STRING,
                                                   .binary = DEBEZIUM_BINARY_HEX,
                                                   .hstore = DEBEZIUM_HSTORE_MAP};
static const struct debezium_options doubles = {.decimal = DEBEZIUM_DECIMAL_DOUBLE,
                                                .time = DEBEZIUM_TIME_NANOSECONDS};
static const struct debezium_options connect = {.time = DEBEZIUM_TIME_CONNECT,
                                                .binary = DEBEZIUM_BINARY_BASE64_URL_SAFE};

/* include.unknown.datatypes: PostgreSQL's text as bytes. */
static const struct debezium_options unknown_types = {.unknown_types = true};

#define SOURCE "\"source\":{\"connector\":\"postgresql\",\"schema\":\"public\",\"table\":\"t\",\"lsn\":5}"

/* The value of column c as it lies in `after`, NULL when the event was refused; *unchanged when it was a
 * placeholder. */
static char *decode(struct debezium_decoder *d, const char *value, bool *unchanged)
{
    struct debezium_record record;
    struct error err = {0};
    *unchanged = false;
    if (!debezium_decode(d, (struct slice){0}, slice_of(value), (struct slice){0}, &record, &err)) {
        assert_int_equal(err.kind, ERROR_DATA);
        if (!strstr(err.text, "after.c ")) fail_msg("%s", err.text);
        return NULL;
    }
    *unchanged = record.change.unchanged.data != NULL;
    if (*unchanged) return mem_text("");
    assert_true(record.change.after.len > 6);
    return mem_textn(record.change.after.data + 5, record.change.after.len - 6);
}

static void check(const char *what, const char *raw, char *got, const char *wanted)
{
    if (!got != !wanted || (got && strcmp(got, wanted) != 0))
        fail_msg("%s %s: %s, not %s", what, raw, got ? got : "refused", wanted ? wanted : "refused");
    mem_free(got);
}

struct described {
    const struct debezium_options *options;
    const char *type_name;
    int32_t typmod;
    bool array;
    const char *raw, *wanted;
};

static const struct described described[] = {
    /* decimals */
    {&precise, "numeric", 655366, false, "\"MDk=\"", "\"123.45\""},
    {&precise, "numeric", 655366, false, "\"z8c=\"", "\"-123.45\""},
    {&precise, "numeric", 655366, false, "\"AA==\"", "\"0.00\""},
    {&precise, "numeric", 655366, false, "\"/w==\"", "\"-0.01\""},
    {&precise, "numeric", 655366, false, "\"bg==\"", "\"1.10\""},
    {&precise, "numeric", 262148, false, "\"AIA=\"", "\"128\""},
    {&precise, "numeric", 655366, false, "\"gAAAAAAAAAA=\"", "\"-92233720368547758.08\""},
    {&precise, "numeric", 655366, false, "\"/3//////////\"", "\"-92233720368547758.09\""},
    {&precise, "numeric", 655366, false, "\"gAAAAAAAAAAA\"", "\"-23611832414348226068.48\""},
    {&precise, "numeric", 655366, false, "1.5", "\"1.50\""},
    {&precise, "numeric", 655366, false, "\"1.5\"", "\"1.50\""},
    {&precise, "numeric", 655366, false, "\"\"", NULL},
    {&precise, "numeric", 655366, false, "\"A\"", NULL},
    {&precise, "numeric", 655366, false, "true", NULL},
    {&precise, "numeric", -1, false, "{\"scale\":4,\"value\":\"AYr3\"}", "\"10.1111\""},
    {&precise, "numeric", -1, false, "{\"scale\":-3,\"value\":\"Bw==\"}", "\"7000\""},
    {&precise, "numeric", -1, false, "{\"scale\":99999999,\"value\":\"Bw==\"}", NULL},
    {&precise, "numeric", -1, false, "{\"value\":\"Bw==\"}", NULL},
    {&text_modes, "numeric", 655366, false, "\"1234\"", "\"1234\""},
    {&text_modes, "numeric", 655366, false, "\"MDk=\"", "\"123.45\""},
    {&text_modes, "numeric", -1, false, "\"NAN\"", "\"NaN\""},
    {&text_modes, "numeric", 655366, false, "\"NAN\"", "\"NaN\""},
    {&text_modes, "numeric", -1, false, "\"POSITIVE_INFINITY\"", "\"Infinity\""},
    {&text_modes, "numeric", 655366, false, "\"NEGATIVE_INFINITY\"", "\"-Infinity\""},
    {&text_modes, "numeric", -1, true, "[\"1.10\",null]", "[\"1.10\",null]"},
    {&text_modes, "numeric", -1, false, "\"1.2.3\"", NULL},
    {&doubles, "numeric", 655366, false, "1.1", "\"1.10\""},
    {&doubles, "numeric", -1, false, "12.0", "\"12\""},
    {&doubles, "numeric", -1, false, "1.5E-3", "\"0.0015\""},
    {&doubles, "numeric", -1, false, "1.0E20", "\"100000000000000000000\""},
    {&doubles, "numeric", -1, false, "\"NaN\"", "\"NaN\""},
    {&doubles, "numeric", -1, false, "1e999999", NULL},
    {&precise, "money", -1, false, "\"AeIT\"", "\"1234.11\""},
    /* numbers */
    {&precise, "int4", -1, false, "-0", "0"},
    {&precise, "int4", -1, false, "01", NULL},
    {&precise, "int8", -1, false, "-9223372036854775808", "-9223372036854775808"},
    {&precise, "int8", -1, false, "9223372036854775808", NULL},
    {&precise, "float8", -1, false, "1.0E15", "1e+15"},
    {&precise, "float8", -1, false, "1.0E14", "100000000000000"},
    {&precise, "float8", -1, false, "1.0E-5", "1e-05"},
    {&precise, "float8", -1, false, "1.25E-4", "0.000125"},
    {&precise, "float8", -1, false, "4.9E-324", "5e-324"},
    {&precise, "float8", -1, false, "1.7976931348623157E308", "1.7976931348623157e+308"},
    {&precise, "float8", -1, false, "0.1", "0.1"},
    {&precise, "float8", -1, false, "2.2250738585072014E-308", "2.2250738585072014e-308"},
    {&precise, "float8", -1, false, "-0.0", "-0"},
    {&precise, "float8", -1, false, "9007199254740993", "9.007199254740992e+15"},
    {&precise, "float8", -1, false, "1e400", NULL},
    {&precise, "float8", -1, false, "1.", NULL},
    {&precise, "float8", -1, false, "\"NaN\"", "\"NaN\""},
    {&precise, "float4", -1, false, "123456.0", "123456"},
    {&precise, "float4", -1, false, "1234567.0", "1.234567e+06"},
    {&precise, "float4", -1, false, "3.4028235E38", "3.4028235e+38"},
    {&precise, "float4", -1, false, "1.4E-45", "1e-45"},
    {&precise, "float4", -1, false, "3.987891E7", "3.9878912e+07"}, /* the middle of two numbers */
    {&precise, "float4", -1, false, "6.71089E7", "6.7108896e+07"},
    {&precise, "float8", -1, false, "4.610274058800457E26", "4.610274058800457e+26"},
    {&precise, "bool", -1, true, "[true,null,false]", "[true,null,false]"},
    {&precise, "bool", -1, false, "1", NULL},
    /* dates and times */
    {&precise, "date", -1, false, "0", "\"1970-01-01\""},
    {&precise, "date", -1, false, "-719163", "\"0001-12-31 BC\""},
    {&precise, "date", -1, false, "-2440588", "\"4714-11-24 BC\""},
    {&precise, "date", -1, false, "-2147472692", "\"infinity\""},
    {&precise, "date", -1, false, "2146033979", "\"infinity\""}, /* streamed, not copied */
    {&precise, "date", -1, false, "-2147472691", "\"-infinity\""},
    {&precise, "date", -1, false, "2145042905", "\"5874897-12-31\""},
    {&precise, "date", -1, false, "2145042906", NULL},
    {&precise, "date", -1, false, "-2440589", NULL},
    {&text_modes, "date", -1, false, "\"+5877611-06-21Z\"", "\"infinity\""},
    {&text_modes, "date", -1, false, "\"-5877611-06-22Z\"", "\"-infinity\""},
    {&text_modes, "date", -1, false, "\"2017-09-15Z\"", "\"2017-09-15\""},
    {&text_modes, "date", -1, false, "\"-0043-03-15Z\"", "\"0044-03-15 BC\""},
    {&text_modes, "date", -1, false, "\"2017-13-15Z\"", NULL},
    {&precise, "time", 3, false, "86400000", "\"24:00:00\""},
    {&precise, "time", -1, false, "86400000001", NULL},
    {&connect, "time", -1, false, "14400001", "\"04:00:00.001\""},
    {&doubles, "time", -1, false, "1001000", "\"00:00:00.001001\""},
    {&text_modes, "time", -1, false, "\"04:05:11.789Z\"", "\"04:05:11.789\""},
    {&precise, "timestamp", -1, false, "-1", "\"1969-12-31 23:59:59.999999\""},
    {&precise, "timestamp", -1, false, "-210831897600000001", "\"4713-12-31 23:59:59.999999 BC\""},
    {&precise, "timestamp", -1, false, "9223372036825200000", "\"infinity\""},
    {&precise, "timestamp", -1, false, "-9223372036832400000", "\"-infinity\""},
    {&precise, "timestamp", 3, false, "1529507596945", "\"2018-06-20 15:13:16.945\""},
    {&precise, "timestamp", -1, false, "1.5", NULL},
    {&connect, "timestamp", -1, false, "1529507596945", "\"2018-06-20 15:13:16.945\""},
    {&doubles, "timestamp", -1, false, "1529507596945104000", "\"2018-06-20 15:13:16.945104\""},
    {&text_modes, "timestamp", -1, false, "\"2019-07-09T02:28:57.1234Z\"", "\"2019-07-09 02:28:57.1234\""},
    {&text_modes, "timestamp", -1, false, "\"+21016-01-01T00:00:00Z\"", "\"21016-01-01 00:00:00\""},
    {&text_modes, "timestamp", -1, false, "\"2019-07-09 x\"", NULL},
    {&precise, "timestamptz", -1, false, "\"2016-11-04T11:51:30.000000Z\"", "\"2016-11-04 11:51:30+00\""},
    {&precise, "timestamptz", -1, false, "\"2016-11-04T01:51:30+02:00\"", "\"2016-11-03 23:51:30+00\""},
    {&precise, "timestamptz", -1, false, "\"-4713-12-31T00:00:00Z\"", "\"4714-12-31 00:00:00+00 BC\""},
    {&precise, "timestamptz", -1, false, "\"infinity\"", "\"infinity\""},
    {&precise, "timetz", -1, false, "\"11:51:30.123789Z\"", "\"11:51:30.123789+00\""},
    {&precise, "timetz", -1, false, "\"24:00:00Z\"", "\"24:00:00+00\""},
    {&precise, "interval", -1, false, "0", "\"00:00:00\""},
    {&precise, "interval", -1, false, "-90061000001", "\"-1 days -01:01:01.000001\""},
    {&text_modes, "interval", -1, false, "\"P0Y0M-1DT0H0M0S\"", "\"-1 days\""},
    {&text_modes, "interval", -1, false, "\"P1Y-1M3DT-4H5M6.78S\"", "\"11 mons 3 days -03:54:53.22\""},
    {&text_modes, "interval", -1, false, "\"P0Y-2M3DT0H0M1S\"", "\"-2 mons +3 days 00:00:01\""},
    {&text_modes, "interval", -1, false, "\"P1H\"", NULL},
    {&text_modes, "interval", -1, false, "\"PT999999999999H\"", NULL},
    /* bytes, bits, texts */
    {&precise, "bytea", -1, false, "\"\"", "\"\""},
    {&precise, "bytea", -1, false, "\"YWI=\"", "\"YWI=\""},
    {&precise, "bytea", -1, false, "\"YW*=\"", NULL},
    {&connect, "bytea", -1, false, "\"-_8=\"", "\"+/8=\""},
    {&text_modes, "bytea", -1, false, "\"00ff10ab\"", "\"AP8Qqw==\""},
    {&text_modes, "bytea", -1, false, "\"0\"", NULL},
    {&precise, "bit", 1, false, "true", "\"1\""},
    {&precise, "bit", 7, false, "\"QA==\"", "\"1000000\""},
    {&precise, "bit", 24, false, "\"AQID\"", "\"000000110000001000000001\""},
    {&precise, "bit", 8, false, "\"\"", "\"00000000\""},
    {&precise, "bit", 8, false, "\"AQID\"", NULL},
    {&precise, "varbit", -1, false, "\"Mw==\"", "\"110011\""},
    {&precise, "text", -1, false, "\"\\/\\u00e9\\u0001\"", "\"/\xC3\xA9\\u0001\""},
    {&precise, "text", -1, false, "\"\\q\"", NULL},
    {&precise, "text", -1, true, "[[\"a\"],[\"b\"]]", "[[\"a\"],[\"b\"]]"},
    {&precise, "text", -1, true, "[[[[[[[1]]]]]]]", NULL},
    {&precise, "text", -1, true, "\"x\"", NULL},
    /* structs and maps */
    {&precise, "point", -1, false, "{\"x\":1.0,\"y\":-2.5}", "\"(1,-2.5)\""},
    {&precise, "point", -1, false, "{\"x\":1.0}", NULL},
    {&precise, "circle", -1, false, "{\"center\":{\"x\":1.0,\"y\":2.0},\"radius\":3.0}", "\"<(1,2),3>\""},
    {&precise, "line", -1, false, "{\"a\":1.0,\"b\":2.0,\"c\":3.5}", "\"{1,2,3.5}\""},
    {&precise, "geometry", -1, false, "{\"wkb\":\"AQEAAAAAAAAAAADwPwAAAAAAAABA\",\"srid\":4326}",
     "\"0101000020E6100000000000000000F03F0000000000000040\""},
    {&precise, "geometry", -1, false, "{\"srid\":4326}", NULL},
    {&precise, "box", -1, false, "{\"wkb\":\"AQMAAAD/////\",\"extensions\":{\"type\":\"box\"}}",
     "\"0103000000FFFFFFFF\""},
    {&text_modes, "hstore", -1, false, "{\"kk\":\"v\",\"n\":null,\"a\":\"q\\\"\"}",
     "\"\\\"a\\\"=>\\\"q\\\\\\\"\\\", \\\"n\\\"=>NULL, \\\"kk\\\"=>\\\"v\\\"\""},
    {&precise, "hstore", -1, false, "\"{\\\"k\\\":\\\"v\\\"}\"", "\"\\\"k\\\"=>\\\"v\\\"\""},
    {&precise, "hstore", -1, false, "\"{\"", NULL},
    {&precise, "hstore", -1, false, "{}", "\"\""},
    {&precise, "vector", -1, false, "[1.0,2.5]", "\"[1,2.5]\""},
    {&precise, "sparsevec", -1, false, "{\"dimensions\":5,\"vector\":{\"1\":1.5,\"3\":2.0}}",
     "\"{1:1.5,3:2}/5\""},
    {&unknown_types, "pg_lsn", -1, false, "\"MTYvQjM3NEQ4NDg=\"", "\"16/B374D848\""},
    {&unknown_types, "pg_lsn", -1, false, "\"\"", "\"\""},
    {&unknown_types, "bytea", -1, false, "\"MTYv\"", "\"MTYv\""},
    /* the placeholder */
    {&precise, "text", -1, false, "\"__debezium_unavailable_value\"", ""},
    {&precise, "text", -1, true, "[\"__debezium_unavailable_value\"]", ""},
    {&precise, "json", -1, false, "\"__debezium_unavailable_value\"", ""},
    {&precise, "bytea", -1, false, "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"", ""},
    {&precise, "bytea", -1, true, "[\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"]", ""},
    {&text_modes, "bytea", -1, false, "\"__debezium_unavailable_value\"", ""},
    {&precise, "uuid", -1, true, "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]", ""},
    {&text_modes, "hstore", -1, false,
     "{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}", ""},
    {&precise, "int4", -1, true,
     "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,"
     "101]",
     ""},
    {&precise, "int4", -1, true, "[95]", "[95]"},
    {&precise, "varchar", -1, false, "\"__debezium_unavailable_valu\"", "\"__debezium_unavailable_valu\""},
};

static void by_description(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof described / sizeof *described; i++) {
        const struct described *t = &described[i];
        struct debezium_decoder *d = debezium_decoder_new(t->options);
        struct debezium_column column = {.name = (char *)"c",
                                         .type = (char *)"?",
                                         .type_name = (char *)t->type_name,
                                         .type_kind = 'b',
                                         .typmod = t->typmod,
                                         .array = t->array};
        debezium_decoder_describe(d, "public.t", 'd', &column, 1);
        char *value = mem_format("{\"op\":\"c\",\"after\":{\"c\":%s}," SOURCE "}", t->raw);
        bool unchanged;
        char *got = decode(d, value, &unchanged);
        mem_free(value);
        check(t->type_name, t->raw, got, t->wanted);
        debezium_decoder_free(d);
    }
}

struct typed {
    const char *node, *raw, *type, *wanted;
    uint32_t oid;
    int32_t typmod;
};

#define NAMED(type, name) "\"type\":\"" type "\",\"name\":\"" name "\""

static const struct typed typed[] = {
    {"\"type\":\"int16\"", "5", "smallint", "5", 21, -1},
    {"\"type\":\"float\"", "1.5", "real", "1.5", 700, -1},
    {"\"type\":\"bytes\"", "\"YWI=\"", "bytea", "\"YWI=\"", 17, -1},
    {NAMED("bytes", "org.apache.kafka.connect.data.Decimal") ",\"parameters\":{\"scale\":\"2\","
                                                             "\"connect.decimal.precision\":\"10\"}",
     "\"MDk=\"", "numeric(10,2)", "\"123.45\"", 1700, 655366},
    {NAMED("bytes", "org.apache.kafka.connect.data.Decimal") ",\"parameters\":{\"scale\":\"2\"}",
     "\"MDk=\"", "numeric", "\"123.45\"", 1700, -1},
    {NAMED("struct", "io.debezium.data.VariableScaleDecimal"), "{\"scale\":4,\"value\":\"AYr3\"}",
     "numeric", "\"10.1111\"", 1700, -1},
    {NAMED("int32", "io.debezium.time.Date"), "17702", "date", "\"2018-06-20\"", 1082, -1},
    {NAMED("int32", "org.apache.kafka.connect.data.Date"), "17702", "date", "\"2018-06-20\"", 1082, -1},
    {NAMED("int32", "io.debezium.time.Time"), "1", "time(3) without time zone", "\"00:00:00.001\"", 1083,
     3},
    {NAMED("int64", "io.debezium.time.NanoTime"), "1000", "time without time zone", "\"00:00:00.000001\"",
     1083, -1},
    {NAMED("int64", "org.apache.kafka.connect.data.Timestamp"), "0", "timestamp(3) without time zone",
     "\"1970-01-01 00:00:00\"", 1114, 3},
    {NAMED("int64", "io.debezium.time.NanoTimestamp"), "9223372036854775807", "timestamp without time zone",
     "\"infinity\"", 1114, -1},
    {NAMED("string", "io.debezium.time.ZonedTimestamp"), "\"2016-11-04T11:51:30Z\"",
     "timestamp with time zone", "\"2016-11-04 11:51:30+00\"", 1184, -1},
    {NAMED("string", "io.debezium.data.Json"), "\"{}\"", "jsonb", "\"{}\"", 3802, -1},
    {NAMED("string", "io.debezium.data.Uuid"), "\"u\"", "uuid", "\"u\"", 2950, -1},
    {NAMED("bytes", "io.debezium.data.Bits") ",\"parameters\":{\"length\":\"5\"}", "\"AQ==\"", "bit(5)",
     "\"00001\"", 1560, 5},
    {NAMED("bytes", "io.debezium.data.Bits") ",\"parameters\":{\"length\":\"2147483647\"}", "\"AQ==\"",
     "bit varying", "\"1\"", 1562, -1},
    {"\"type\":\"map\"", "{\"a\":\"b\"}", "hstore", "\"\\\"a\\\"=>\\\"b\\\"\"", 0, -1},
    {"\"type\":\"array\",\"items\":{\"type\":\"int32\"}", "[1,null]", "integer[]", "[1,null]", 1007, -1},
    {"\"type\":\"array\",\"items\":{" NAMED("int64", "io.debezium.time.MicroTimestamp") "}", "[0]",
     "timestamp without time zone[]", "[\"1970-01-01 00:00:00\"]", 1115, -1},
    {"\"type\":\"struct\",\"fields\":[]", "{\"z\":[1]}", "text", "\"{\\\"z\\\":[1]}\"", 25, -1},
    {NAMED("string", "an.unknown.Name"), "\"x\"", "text", "\"x\"", 25, -1},
    {"\"type\":\"strange\"", "[1]", "text", "\"[1]\"", 25, -1},
    {"\"type\":\"int32\"", "\"x\"", NULL, NULL, 0, 0},
};

static void by_schema(void **state)
{
    (void)state;
    struct debezium_decoder *d = debezium_decoder_new(&precise);
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        const struct typed *t = &typed[i];
        char *value =
            mem_format("{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"struct\",\"fields\":["
                       "{%s,\"optional\":true,\"field\":\"c\"}],\"field\":\"after\"}]},"
                       "\"payload\":{\"op\":\"c\",\"after\":{\"c\":%s}," SOURCE "}}",
                       t->node, t->raw);
        for (int again = 0; again < 2; again++) {
            bool unchanged;
            check(t->node, t->raw, decode(d, value, &unchanged), t->wanted);
        }
        struct debezium_record record;
        struct error err = {0};
        if (t->wanted) {
            unit_ok(debezium_decode(d, SLICE("{\"c\":null}"), slice_of(value), (struct slice){0}, &record,
                                    &err));
            assert_string_equal(record.schema->columns[0].type, t->type);
            assert_int_equal(record.schema->columns[0].oid, t->oid);
            assert_int_equal(record.schema->columns[0].typmod, t->typmod);
            assert_int_equal(record.schema->columns[0].key, 1);
        }
        mem_free(value);
    }
    debezium_decoder_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_description),
        cmocka_unit_test(by_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
