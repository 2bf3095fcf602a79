/* The CSV parser: every dialect the shop's files were seen in, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/csv.h"

/* Records as "a|b;c|d;" with quoted empty fields as "" */
static bool collect(void *arg, const struct csv_record *r, struct error *err)
{
    (void)err;
    struct buf *out = arg;
    for (size_t i = 0; i < r->count; i++) {
        if (i) buf_put_char(out, '|');
        if (r->fields[i].quoted && r->fields[i].len == 0) buf_put_text(out, "\"\"");
        buf_put_slice(out, csv_text(r, i));
    }
    buf_printf(out, "@%lld;", (long long)r->line);
    return true;
}

static bool parse(const char *text, size_t piece, struct buf *out, struct error *err)
{
    struct csv csv;
    csv_init(&csv);
    size_t len = strlen(text);
    bool ok = true;
    for (size_t at = 0; ok && at < len; at += piece)
        ok = csv_feed(&csv, (struct slice){text + at, len - at < piece ? len - at : piece}, collect, out, err);
    ok = ok && csv_end(&csv, collect, out, err);
    csv_free(&csv);
    return ok;
}

static void check(const char *text, const char *expected)
{
    for (size_t piece = 1; piece <= 64; piece *= 4) {
        struct buf out = {0};
        struct error err = {0};
        assert_true(parse(text, piece, &out, &err));
        assert_string_equal(buf_text(&out), expected);
        buf_free(&out);
    }
}

static void test_dialects(void **state)
{
    (void)state;
    check("a,b\n1,2\n", "a|b@1;1|2@2;");
    check("a,b\r\n1,2", "a|b@1;1|2@2;");
    check("\xEF\xBB\xBF\"a\",b\r\n", "a|b@1;");
    check("a\n\"x\r\ny \"\"q\"\"\"\nz\n", "a@1;x\r\ny \"q\"@2;z@4;");
    check("a,,\"\"\n", "a||\"\"@1;");
    check("01037,\n\n,x\n", "01037|@1;|x@3;");
    check("", "");
}

static void refuse(const char *text, const char *part)
{
    struct buf out = {0};
    struct error err = {0};
    assert_false(parse(text, 3, &out, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_non_null(strstr(err.text, part));
    buf_free(&out);
}

static void test_errors_name_the_line(void **state)
{
    (void)state;
    refuse("a\nb\"c\n", "line 2, field 1");
    refuse("a\n\"b\" c\n", "line 2, field 1");
    refuse("a\nb\n\"open\n\n", "line 3");
    refuse("a\rb\n", "line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dialects), cmocka_unit_test(test_errors_name_the_line)};
    return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}
