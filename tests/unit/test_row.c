/* format/row.h: the bytes of rows, the names of types, and both against the real engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above */
#include <cmocka.h>

#include "base/file.h"
#include "engine/engine.h"
#include "format/row.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const type_texts[] = {
    "string", "long", "integer", "short", "byte", "boolean", "double", "float", "date", "timestamp",
    "decimal(9,2)", "decimal(18,3)", "decimal(38,10)", "string not null", "long not null",
    "decimal(12,0) not null",
};
enum { TYPE_TEXTS = sizeof type_texts / sizeof type_texts[0] };

static void all_types(struct columns *c)
{
    for (int i = 0; i < TYPE_TEXTS; i++) {
        struct error err = {0};
        struct column column = {0};
        char name[16];
        snprintf(name, sizeof name, "c`%d", i);
        assert_true(column_type_parse(type_texts[i], &column, &err));
        columns_add(c, name, column.type, column.precision, column.scale, column.nullable);
    }
}

static void put_le(struct buf *out, int64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) buf_put_u8(out, (uint8_t)((uint64_t)value >> (i < 8 ? 8 * i : 56)));
}

static void test_type_names(void **state)
{
    (void)state;
    struct columns c = {0}, back = {0}, copy = {0};
    struct buf text = {0};
    struct error err = {0};
    all_types(&c);
    for (int i = 0; i < TYPE_TEXTS; i++) {
        buf_clear(&text);
        column_type_delta(&c.items[i], &text);
        if (!c.items[i].nullable) buf_put_text(&text, " not null");
        assert_string_equal(buf_text(&text), type_texts[i]);
    }
    buf_clear(&text);
    columns_delta_schema(&c, &text);
    assert_true(columns_from_delta_schema(buf_text(&text), &back, &err));
    assert_true(columns_equal(&c, &back));
    columns_copy(&copy, &c);
    assert_true(columns_equal(&c, &copy));
    copy.items[3].nullable = !copy.items[3].nullable;
    assert_false(columns_equal(&c, &copy));
    assert_int_equal(columns_find(&c, "c`4"), 4);
    assert_int_equal(columns_find(&c, "C`4"), -1);
    columns_free(&c);
    columns_free(&back);
    columns_free(&copy);
    buf_free(&text);
}

static void test_bad_types(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "strings", "binary", "decimal", "decimal(39,2)", "decimal(4,5)", "decimal(0,0)",
        "decimal(12,2)x", "decimal(12)", "decimal(12,-1)", "timestamp_ntz", "String", " not null",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct column c = {0};
        struct error err = {0};
        assert_false(column_type_parse(bad[i], &c, &err));
        assert_int_equal(err.kind, ERROR_DATA);
    }
    static const char *const schemas[] = {
        "", "[]", "{}", "{\"fields\":[{}]}", "{\"fields\":[{\"name\":\"a\"}]}",
        "{\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"array\"}}]}",
        "{\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{\"name\":\"a\",\"type\":\"long\"}]}",
    };
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        struct columns c;
        struct error err = {0};
        assert_false(columns_from_delta_schema(schemas[i], &c, &err));
        assert_int_equal(c.count, 0);
    }
}

static void check_text(const char *type, int64_t value, size_t bytes, const char *expected)
{
    struct error err = {0};
    struct column c = {0};
    struct buf raw = {0}, text = {0};
    assert_true(column_type_parse(type, &c, &err));
    put_le(&raw, value, bytes);
    if (bytes > 8 && value >= 0) memset(raw.data + 8, 0, bytes - 8);
    if (bytes > 8 && value < 0) memset(raw.data + 8, 0xFF, bytes - 8);
    assert_true(field_text(&c, buf_slice(&raw), &text));
    assert_string_equal(buf_text(&text), expected);
    buf_free(&raw);
    buf_free(&text);
}

static int64_t double_bits(double v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static int64_t float_bits(float v)
{
    int32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static void test_texts(void **state)
{
    (void)state;
    check_text("long", INT64_MIN, 8, "-9223372036854775808");
    check_text("integer", -7, 4, "-7");
    check_text("short", 32767, 2, "32767");
    check_text("byte", -128, 1, "-128");
    check_text("boolean", 1, 1, "true");
    check_text("boolean", 0, 1, "false");
    check_text("decimal(9,2)", -1234, 4, "-12.34");
    check_text("decimal(9,2)", 5, 4, "0.05");
    check_text("decimal(9,2)", 0, 4, "0.00");
    check_text("decimal(9,9)", -5, 4, "-0.000000005");
    check_text("decimal(18,0)", 100, 8, "100");
    check_text("decimal(38,4)", INT64_MIN, 16, "-922337203685477.5808");
    check_text("date", 0, 4, "1970-01-01");
    check_text("date", -16436, 4, "1925-01-01");
    check_text("timestamp", 1769860800123456, 8, "2026-01-31T12:00:00.123456Z");
    check_text("double", double_bits(0.1), 8, "0.1");
    check_text("double", double_bits(1.0 / 3), 8, "0.3333333333333333");
    check_text("double", double_bits(-1e300), 8, "-1e+300");
    check_text("float", float_bits(0.1f), 4, "0.1");
    struct column c = {.type = COLUMN_LONG, .nullable = true};
    struct buf text = {0};
    assert_false(field_text(&c, (struct slice){0}, &text));
    assert_int_equal(text.len, 0);
}

static void test_compare(void **state)
{
    (void)state;
    struct column c = {.type = COLUMN_DECIMAL, .precision = 38, .scale = 2};
    const char minus[16] = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
    const char plus[16] = "\x01";
    struct slice a = {minus, 16}, b = {plus, 16};
    assert_true(field_compare(&c, a, b) < 0);
    assert_true(field_compare(&c, b, a) > 0);
    assert_int_equal(field_compare(&c, a, a), 0);
    c = (struct column){.type = COLUMN_STRING};
    assert_true(field_compare(&c, SLICE("ab"), SLICE("abc")) < 0);
    assert_true(field_compare(&c, SLICE("\xC3"), SLICE("a")) > 0);
    c = (struct column){.type = COLUMN_DOUBLE};
    double x = -1.5, y = 2.0;
    struct slice sx = {(const char *)&x, 8}, sy = {(const char *)&y, 8};
    assert_true(field_compare(&c, sx, sy) < 0);
}

/* Random rows survive split and join; every cut of them is refused. */
static void test_round_trip(void **state)
{
    (void)state;
    struct columns c = {0};
    struct buf rows = {0}, again = {0};
    struct slice fields[TYPE_TEXTS];
    all_types(&c);
    srand(7);
    enum { ROWS = 200 };
    for (int r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < c.count; i++) {
            char bytes[300];
            static const size_t widths[] = {0, 8, 4, 2, 1, 1, 8, 4, 4, 8, 4, 8, 16, 0, 8, 8};
            size_t n = widths[i] ? widths[i] : (size_t)(random() % 300);
            for (size_t k = 0; k < n; k++) bytes[k] = (char)random();
            if (c.items[i].type == COLUMN_BOOLEAN) bytes[0] &= 1;
            bool null = c.items[i].nullable && random() % 4 == 0;
            row_put_field(&rows, &c.items[i], null ? (struct slice){0} : (struct slice){bytes, n});
        }
    }
    struct slice rest = buf_slice(&rows), row;
    for (int r = 0; r < ROWS; r++) {
        assert_true(row_next(&c, &rest, fields, &row));
        for (size_t cut = 0; r < 5 && cut < row.len; cut++) {
            struct slice part = {row.data, cut};
            struct slice unused[TYPE_TEXTS];
            assert_false(row_next(&c, &part, unused, NULL));
            assert_int_equal(part.len, cut);
        }
        for (size_t i = 0; i < c.count; i++) row_put_field(&again, &c.items[i], fields[i]);
    }
    assert_int_equal(rest.len, 0);
    assert_true(slice_equal(buf_slice(&rows), buf_slice(&again)));
    columns_free(&c);
    buf_free(&rows);
    buf_free(&again);
}

/* The engine writes values of every type; we read them, and it reads back what we write. */
static void test_engine(void **state)
{
    (void)state;
    char home[] = "/tmp/test_row.XXXXXX";
    assert_non_null(mkdtemp(home));
    char storage[64];
    snprintf(storage, sizeof storage, "%s/w", home);
    struct error err = {0};
    struct engine_conn *conn = NULL;
    if (!engine_open("", home, storage, 0, &err) || !engine_connect(&conn, NULL, &err))
        fail_msg("%s", err.text);
    struct columns c = {0};
    struct buf sql = {0}, text = {0}, rows = {0};
    all_types(&c);
    buf_put_text(&sql, "CREATE TABLE t (");
    columns_clickhouse(&c, &sql);
    buf_put_text(&sql, ") ENGINE = Memory");
    assert_true(engine_run(conn, buf_text(&sql), &err));
    assert_true(engine_run(conn,
        "INSERT INTO t SETTINGS input_format_values_interpret_expressions=1 VALUES"
        " ('a\\0b', -1, 2, -3, 4, true, 1.5, 2.5, '1925-01-01', '2026-01-31 12:00:00.123456',"
        " -12.34, 5.001, -7.0000000001, 'x', 9, 12)", &err));
    struct engine_result result;
    assert_true(engine_query(conn, "SELECT * FROM t", "RowBinary", NULL, 0, &result, &err));
    struct slice rest = result.data, fields[TYPE_TEXTS];
    assert_true(row_next(&c, &rest, fields, NULL));
    assert_int_equal(rest.len, 0);
    for (size_t i = 1; i < c.count; i++) {
        if (i > 1) buf_put_char(&text, '|');
        field_text(&c.items[i], fields[i], &text);
    }
    assert_string_equal(buf_text(&text),
        "-1|2|-3|4|true|1.5|2.5|1925-01-01|2026-01-31T12:00:00.123456Z|-12.34|5.001|"
        "-7.0000000001|x|9|12");
    assert_true(slice_equal(fields[0], SLICE("a\0b")));
    for (size_t i = 0; i < c.count; i++) row_put_field(&rows, &c.items[i], fields[i]);
    for (size_t i = 0; i < c.count; i++)
        row_put_field(&rows, &c.items[i], c.items[i].nullable ? (struct slice){0} : fields[i]);
    uint64_t written = 0;
    assert_true(engine_insert(conn, "INSERT INTO t", "RowBinary", buf_slice(&rows), &written, &err));
    int64_t same = 0, nulls = 0;
    assert_true(engine_number(conn, "SELECT count() FROM t WHERE `c``0` IS NOT NULL AND `c``12` ="
        " toDecimal128('-7.0000000001', 10)", &same, &err));
    assert_true(engine_number(conn, "SELECT count() FROM t WHERE `c``0` IS NULL AND `c``9` IS NULL",
        &nulls, &err));
    assert_int_equal(same, 2);
    assert_int_equal(nulls, 1);
    engine_result_free(&result);
    engine_disconnect(conn);
    engine_close();
    columns_free(&c);
    buf_free(&sql);
    buf_free(&text);
    buf_free(&rows);
    assert_true(file_remove_tree(home, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type_names), cmocka_unit_test(test_bad_types), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
