/* PostgreSQL's texts as canonical JSON; changes and schema records there and back. */
#include "unit.h"

#include "format/change.h"
#include "format/pgvalue.h"
#include "format/schema.h"

static void check(uint32_t oid, const char *name, const char *text, const char *want)
{
    struct buf out = {0};
    pgvalue_put_json(&out, pgvalue_type_of(oid, name), slice_of(text));
    assert_string_equal(buf_text(&out), want);
    buf_free(&out);
}

static void test_scalars(void **state)
{
    (void)state;
    check(25, "text", NULL, "null");
    check(25, "text", "", "\"\"");
    check(16, "boolean", "t", "true");
    check(16, "boolean", "f", "false");
    check(16, "boolean", "maybe", "\"maybe\"");
    check(21, "smallint", "-32768", "-32768");
    check(20, "bigint", "9223372036854775807", "9223372036854775807");
    check(26, "oid", "4294967295", "4294967295");
    check(23, "integer", "007", "\"007\"");
    check(23, "integer", "1.5", "\"1.5\"");
    check(701, "double precision", "1e+20", "1e+20");
    check(701, "double precision", "-0", "-0");
    check(701, "double precision", "1.7976931348623157e+308", "1.7976931348623157e+308");
    check(701, "double precision", "NaN", "\"NaN\"");
    check(700, "real", "-Infinity", "\"-Infinity\"");
    check(701, "double precision", ".5", "\".5\"");
    check(701, "double precision", "1.", "\"1.\"");
    check(701, "double precision", "1e", "\"1e\"");
    check(1700, "numeric(10,2)", "1.10", "\"1.10\"");
    check(790, "money", "$1,234.11", "\"$1,234.11\"");
    check(1184, "timestamp with time zone", "2024-01-02 03:04:05.6+00", "\"2024-01-02 03:04:05.6+00\"");
    check(3802, "jsonb", "{\"a\": \"b\\n\"}", "\"{\\\"a\\\": \\\"b\\\\n\\\"}\"");
    check(99999, "mood", "it's \"so\"", "\"it's \\\"so\\\"\"");
    check(25, "text", "\xc3\xa7\x01\t", "\"\xc3\xa7\\u0001\\t\"");
}

static void test_bytea(void **state)
{
    (void)state;
    check(17, "bytea", "\\x", "\"\"");
    check(17, "bytea", "\\x61", "\"YQ==\"");
    check(17, "bytea", "\\x6162", "\"YWI=\"");
    check(17, "bytea", "\\x616263", "\"YWJj\"");
    check(17, "bytea", "\\xFFfe00", "\"//4A\"");
    check(17, "bytea", "\\x6", "\"\\\\x6\"");
    check(17, "bytea", "\\xzz", "\"\\\\xzz\"");
}

static void test_arrays(void **state)
{
    (void)state;
    check(1007, "integer[]", "{}", "[]");
    check(1007, "integer[]", "{1,NULL,-3}", "[1,null,-3]");
    check(1007, "integer[]", "{{1,2},{3,4}}", "[[1,2],[3,4]]");
    check(1007, "integer[]", "[2:3][-1:0]={{1,2},{3,4}}", "[[1,2],[3,4]]");
    check(1009, "text[]", "{a,\"b,c\",\"\\\"q\\\" \\\\\",NULL,\"NULL\",\"\"}",
          "[\"a\",\"b,c\",\"\\\"q\\\" \\\\\",null,\"NULL\",\"\"]");
    check(1000, "boolean[]", "{t,f,NULL}", "[true,false,null]");
    check(1022, "double precision[]", "{1.5,NaN}", "[1.5,\"NaN\"]");
    check(1001, "bytea[]", "{\"\\\\x6162\",NULL}", "[\"YWI=\",null]");
    check(1231, "numeric(10,2)[]", "{1.10,2.00}", "[\"1.10\",\"2.00\"]");
    check(1020, "box[]", "{(1,1),(0,0);(2,2),(1,1)}", "[\"(1,1),(0,0)\",\"(2,2),(1,1)\"]");
    check(99998, "mood[]", "{sad,\"very happy\"}", "[\"sad\",\"very happy\"]");
    check(1009, "text[]", "{{{{{{a}}}}}}", "[[[[[[\"a\"]]]]]]");
}

static void test_arrays_malformed(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "{",
                               "{1",
                               "{1,}",
                               "{,1}",
                               "1}",
                               "{1}x",
                               "{\"a",
                               "{\"a\\",
                               "{{1}",
                               "[1:2]{1}",
                               "[1:2]=",
                               "{{{{{{{a}}}}}}}",
                               "{a\"b\"}",
                               "{a{b}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf out = {0}, want = {0};
        pgvalue_put_json(&out, pgvalue_type_of(1009, "text[]"), slice_of(bad[i]));
        buf_put_json(&want, slice_of(bad[i])); /* kept whole, as a string */
        assert_string_equal(buf_text(&out), buf_text(&want));
        buf_free(&out);
        buf_free(&want);
    }
}

static void assert_slice(struct slice a, struct slice b)
{
    assert_int_equal(a.data == NULL, b.data == NULL);
    assert_true(slice_equal(a, b));
}

static void test_change(void **state)
{
    (void)state;
    struct error err = {0};
    const struct change c = {
        .op = CHANGE_UPDATE,
        .table = SLICE("public.orders"),
        .epoch = 3,
        .lsn = UINT64_C(0x16B374D848),
        .ordinal = 7,
        .xid = 4000000000u,
        .commit_us = -1,
        .capture_us = INT64_C(1767225600000000),
        .key = SLICE("{\"id\":1}"),
        .after = SLICE("{\"id\":1,\"t\":\"\"}"),
        .unchanged = SLICE("[\"big\"]"),
    };
    struct buf rows = {0};
    change_encode(&rows, &c);
    change_encode(&rows, &c);
    struct slice rest = buf_slice(&rows);
    for (int i = 0; i < 2; i++) {
        struct change d;
        unit_ok(change_decode(&rest, &d, &err));
        assert_int_equal(d.op, c.op);
        assert_slice(d.table, c.table);
        assert_int_equal(d.epoch, 3);
        assert_int_equal(d.lsn, c.lsn);
        assert_int_equal(d.ordinal, 7);
        assert_int_equal(d.xid, c.xid);
        assert_int_equal(d.commit_us, -1);
        assert_int_equal(d.capture_us, c.capture_us);
        assert_slice(d.key, c.key);
        assert_slice(d.old_key, c.old_key);
        assert_slice(d.before, c.before);
        assert_slice(d.after, c.after);
        assert_slice(d.unchanged, c.unchanged);
    }
    assert_int_equal(rest.len, 0);
    for (size_t len = 0; len < rows.len / 2; len++) {
        struct slice cut = {rows.data, len};
        struct change d;
        assert_false(change_decode(&cut, &d, &err));
        assert_int_equal(cut.len, len);
    }
    /* the row has the shape that it declares */
    rest = buf_slice(&rows);
    struct slice fields[16], row;
    assert_int_equal(change_columns()->count, 16);
    assert_true(row_next(change_columns(), &rest, fields, &row));
    assert_slice(fields[8], c.key);
    assert_int_equal(row.len, rows.len / 2);
    buf_free(&rows);
}

static void test_batch(void **state)
{
    (void)state;
    struct change c = {.op = CHANGE_CREATE, .table = SLICE("a.b"), .lsn = 1, .key = SLICE("{}")};
    struct change_batch *b = change_batch_new();
    change_batch_add(b, &c);
    c.table = SLICE("a.c");
    change_batch_add(b, &c);
    c.table = SLICE("a.b");
    change_batch_add(b, &c);
    assert_int_equal(b->table_count, 2);
    assert_int_equal(b->count, 3);
    assert_int_equal(b->tables[0].count, 2);
    assert_string_equal(b->tables[1].table, "a.c");
    assert_int_equal(b->size_bytes, b->tables[0].rows.len + b->tables[1].rows.len);
    struct buf whole = {0}; /* its rows are whole rows without the table */
    change_encode(&whole, &c);
    assert_memory_equal(b->tables[0].rows.data, whole.data + 4, whole.len - 4);
    buf_free(&whole);
    change_batch_free(b);
}

static void test_schema(void **state)
{
    (void)state;
    struct error err = {0};
    struct schema_column columns[] = {
        {.name = (char[]){"id"},
         .type = (char[]){"integer"},
         .oid = 23,
         .typmod = -1,
         .attnum = 1,
         .key = 1,
         .not_null = true},
        {.name = (char[]){"no\"te"},
         .type = (char[]){"character varying(32)"},
         .oid = 1043,
         .typmod = 36,
         .attnum = 5,
         .missing = (char[]){"x"}},
    };
    struct schema s = {
        .table = (char[]){"public.t"}, .replica_identity = 'd', .columns = columns, .count = 2};
    struct buf json = {0}, again = {0};
    schema_encode(&s, &json);
    struct schema d;
    unit_ok(schema_decode(buf_slice(&json), &d, &err));
    schema_encode(&d, &again);
    assert_string_equal(buf_text(&json), buf_text(&again));
    schema_set_id(&s);
    assert_string_equal(d.id, s.id);
    assert_int_equal(strlen(d.id), 16);
    const struct schema_column *c = schema_find(&d, SLICE("no\"te"));
    assert_non_null(c);
    assert_int_equal(c->typmod, 36);
    assert_string_equal(c->missing, "x");
    assert_null(schema_find(&d, SLICE("no")));
    columns[1].typmod = 37;
    schema_set_id(&s);
    assert_string_not_equal(d.id, s.id);
    schema_free(&d);
    struct slice cut = buf_slice(&json);
    cut.len--;
    assert_false(schema_decode(cut, &d, &err));
    assert_false(schema_decode(SLICE("{\"table\":\"t\"}"), &d, &err));
    assert_false(schema_decode(SLICE(""), &d, &err));
    buf_free(&json);
    buf_free(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars), cmocka_unit_test(test_bytea),
        cmocka_unit_test(test_arrays),  cmocka_unit_test(test_arrays_malformed),
        cmocka_unit_test(test_change),  cmocka_unit_test(test_batch),
        cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
