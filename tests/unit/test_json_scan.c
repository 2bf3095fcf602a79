/* The scanner over JSON images: members as they stand, every cut noticed, texts unescaped. */
#include "format/json_scan.h"
#include "unit.h"

static void scans_objects(void **state)
{
    (void)state;
    struct slice text = SLICE("{\"a\":1,\"b \\\"x\\\"\":[1,{\"c\":\"}\"}],\"d\":null}"), name, value;
    struct json_scan s = json_scan_object(text);
    assert_true(json_scan_next(&s, &name, &value) && slice_equal(name, SLICE("a")) &&
                slice_equal(value, SLICE("1")));
    assert_true(json_scan_next(&s, &name, &value) && json_name_is(name, SLICE("b \"x\"")));
    assert_true(slice_equal(value, SLICE("[1,{\"c\":\"}\"}]")));
    assert_true(json_scan_next(&s, &name, &value) && slice_equal(value, SLICE("null")));
    assert_false(json_scan_next(&s, &name, &value));
    assert_true(json_scan_ok(&s));
    assert_true(json_get(text, SLICE("b \"x\""), &value));
    assert_false(json_get(text, SLICE("x"), &value));
    s = json_scan_array(SLICE("[\"x\", 2 ]"));
    assert_true(json_scan_next(&s, NULL, &value) && slice_equal(value, SLICE("\"x\"")));
    assert_true(json_scan_next(&s, NULL, &value) && slice_equal(value, SLICE("2")));
    assert_false(json_scan_next(&s, NULL, &value));
    assert_true(json_scan_ok(&s));
    /* every cut of a good text is noticed */
    for (size_t n = 0; n < text.len; n++) {
        s = json_scan_object((struct slice){text.data, n});
        while (json_scan_next(&s, &name, &value))
            assert_true(value.data + value.len <= text.data + n);
        assert_false(json_scan_ok(&s));
    }
}

static void unescapes(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_true(json_unescape(SLICE("\"a\\n\\u00e9\\ud83d\\ude00\\ud83d\""), &out));
    assert_string_equal(buf_text(&out), "a\n\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBD");
    assert_false(json_unescape(SLICE("\\u12"), &out));
    assert_false(json_unescape(SLICE("x\\"), &out));
    buf_free(&out);
}

/* What is no object or array is refused, whatever comes first. */
static void refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "[]",         "{",          "{\"a\"}",     "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}",
        "{a:1}", "{\"a\":1}x", "{\"a\":[1}", "{\"a\":\"x}", "{,}",      "nul"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct slice name, value;
        struct json_scan s = json_scan_object(slice_of(bad[i]));
        while (json_scan_next(&s, &name, &value))
            continue;
        if (json_scan_ok(&s)) fail_msg("%s was taken", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_objects),
        cmocka_unit_test(unescapes),
        cmocka_unit_test(refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
