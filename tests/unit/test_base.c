/* The foundation: buffers, maps, queues, clocks, files, errors. */
#include "unit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/queue.h"
#include "base/wake.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

static void assert_buf(struct buf *b, const char *want, size_t len)
{
    assert_true(buf_ok(b));
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, want, len);
    buf_clear(b);
}

#define BUF_IS(b, literal) assert_buf((b), literal, sizeof literal - 1)

static void test_buf_numbers(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_put_u16(&b, 0x0102);
    buf_put_u32(&b, 0x03040506);
    buf_put_u64(&b, 0x0708090a0b0c0d0eU);
    BUF_IS(&b, "\x02\x01\x06\x05\x04\x03\x0e\x0d\x0c\x0b\x0a\x09\x08\x07");
    buf_put_varint(&b, 0);
    buf_put_varint(&b, 127);
    buf_put_varint(&b, 128);
    buf_put_varint(&b, UINT64_MAX);
    BUF_IS(&b, "\0\x7f\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    buf_put_nullable(&b, (struct slice){0});
    buf_put_nullable(&b, SLICE(""));
    buf_put_nullable(&b, SLICE("ab"));
    BUF_IS(&b, "\x01\0\0\0\x02"
               "ab");
    buf_free(&b);
}

static void test_buf_max(void **state)
{
    (void)state;
    struct buf b = {.max = 100};
    for (int i = 0; i < 10; i++)
        buf_put(&b, "0123456789", 10);
    assert_true(buf_ok(&b));
    buf_put_char(&b, 'x');
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 100);
    buf_put(&b, "", 0);
    assert_false(buf_ok(&b));
    buf_clear(&b);
    buf_printf(&b, "%d-%s", 42, "x");
    assert_string_equal(buf_text(&b), "42-x");
    char *taken = buf_take(&b);
    assert_string_equal(taken, "42-x");
    assert_int_equal(b.len, 0);
    mem_free(taken);
    taken = buf_take(&b);
    assert_string_equal(taken, "");
    mem_free(taken);
    buf_free(&b);
    buf_free(&b);
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        struct slice in;
        const char *out;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{"a\"b\\c\n\r\t\x01\x1f", 10}, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\""},
        {{"S\xC3\xA3o \xE2\x82\xAC \xF0\x9F\x98\x80", 13}, "\"S\xC3\xA3o \xE2\x82\xAC \xF0\x9F\x98\x80\""},
        {{"\xFFx", 2}, "\"\xEF\xBF\xBDx\""},                               /* never a first byte */
        {{"\xC3", 1}, "\"\xEF\xBF\xBD\""},                                 /* cut short */
        {{"\xC0\xAF", 2}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                 /* overlong */
        {{"\xE0\x80\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* overlong */
        {{"\xED\xA0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* surrogate */
        {{"\xF4\x90\x80\x80", 4}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* too high */
        {{"\0", 1}, "\"\\u0000\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        buf_put_json(&b, cases[i].in);
        assert_string_equal(buf_text(&b), cases[i].out);
        buf_free(&b);
    }
}

static void test_sql(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_put_sql_text(&b, SLICE("it's \\ \"x\""));
    buf_put_char(&b, ' ');
    buf_put_sql_name(&b, "a`b");
    assert_string_equal(buf_text(&b), "'it\\'s \\\\ \"x\"' `a\\`b`");
    buf_free(&b);
}

static void test_map(void **state)
{
    (void)state;
    struct map m = {0};
    assert_null(map_get(&m, SLICE("absent")));
    enum { COUNT = 5000 };
    static int values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        *map_put(&m, slice_of(key)) = &values[i];
        *map_put(&m, slice_of(key)) = &values[i];
    }
    *map_put(&m, (struct slice){"\0", 1}) = &m;
    *map_put(&m, (struct slice){"\0\0", 2}) = &values;
    assert_int_equal(m.count, COUNT + 2);
    assert_ptr_equal(map_get(&m, (struct slice){"\0", 1}), &m);
    for (int i = 0; i < COUNT; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_ptr_equal(map_get(&m, slice_of(key)), &values[i]);
    }
    size_t seen = 0, at = 0;
    struct slice key;
    void *value;
    while (map_next(&m, &at, &key, &value)) {
        assert_ptr_equal(map_get(&m, key), value);
        seen++;
    }
    assert_int_equal(seen, COUNT + 2);
    map_clear(&m, NULL);
    assert_int_equal(m.count, 0);
    assert_null(map_get(&m, SLICE("k1")));
    *map_put(&m, SLICE("owned")) = mem_text("value");
    map_free(&m, mem_free);
    map_free(&m, mem_free);
}

enum { ITEMS = 20000 };

static void *produce(void *argument)
{
    struct queue *q = argument;
    for (uintptr_t i = 1; i <= ITEMS; i++)
        while (!queue_push(q, (void *)i, 10, 1000000)) {
        }
    queue_close(q);
    return NULL;
}

static void test_queue_threads(void **state)
{
    (void)state;
    struct queue q;
    queue_init(&q, 1000);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &q), 0);
    uintptr_t next = 1;
    while (next <= ITEMS) {
        void *item = queue_pop(&q, 10000000);
        assert_int_equal((uintptr_t)item, next++);
        assert_true(queue_size_bytes(&q) <= 1000);
    }
    pthread_join(thread, NULL);
    assert_null(queue_pop(&q, 10000000)); /* closed: does not wait */
    queue_free(&q, NULL);
}

static void test_queue_bounds(void **state)
{
    (void)state;
    struct queue q;
    int a = 0, b = 0;
    queue_init(&q, 100);
    assert_null(queue_pop(&q, 0));
    assert_true(queue_push(&q, &a, 5000, 0)); /* larger than the bound, but the queue is empty */
    assert_false(queue_push(&q, &b, 1, 1000));
    assert_int_equal(queue_count(&q), 1);
    assert_ptr_equal(queue_peek(&q), &a);
    assert_ptr_equal(queue_pop(&q, 0), &a);
    assert_int_equal(queue_size_bytes(&q), 0);
    assert_true(queue_push(&q, mem_text("left"), 1, 0));
    queue_close(&q);
    assert_false(queue_push(&q, &b, 1, 1000000));
    queue_free(&q, mem_free);
}

static void test_wake(void **state)
{
    (void)state;
    struct wake w;
    struct error err;
    unit_ok(wake_init(&w, &err));
    assert_false(wake_wait(&w, 0));
    wake_signal(&w);
    wake_signal(&w);
    assert_true(wake_wait(&w, 0));
    assert_false(wake_wait(&w, 1000));
    wake_free(&w);
}

static void test_days(void **state)
{
    (void)state;
    assert_int_equal(clock_days(1970, 1, 1), 0);
    assert_int_equal(clock_days(2000, 1, 1) * 86400 * 1000000, CLOCK_PG_EPOCH_US);
    assert_int_equal(clock_days(0, 3, 1), -719468);
    assert_int_equal(clock_days(-4713, 11, 24), -2440588); /* Julian day 0, where PostgreSQL starts */
    assert_int_equal(clock_days(1969, 12, 31), -1);
    int64_t expect = clock_days(-4800, 1, 1);
    for (int64_t year = -4800; year <= 4800; year++)
        for (int month = 1; month <= 12; month++) {
            static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            int length = lengths[month - 1] + (month == 2 && leap), m, d;
            int64_t y;
            assert_int_equal(clock_days(year, month, 1), expect);
            clock_civil(expect + length - 1, &y, &m, &d);
            assert_true(y == year && m == month && d == length);
            expect += length;
        }
}

static void test_iso(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {CLOCK_PG_EPOCH_US, "2000-01-01T00:00:00.000000Z"},
        {INT64_C(1706702400123456), "2024-01-31T12:00:00.123456Z"},
        {INT64_C(-62135596800000000), "0001-01-01T00:00:00.000000Z"},
        {INT64_C(-62167219200000001), "-001-12-31T23:59:59.999999Z"},
        {INT64_MAX, "294247-01-10T04:00:54.775807Z"},
        {INT64_MIN, "-290308-12-21T19:59:05.224192Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[CLOCK_TEXT];
        clock_format_iso(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_files(void **state)
{
    (void)state;
    char *folder = unit_folder(), *deep = mem_format("%s/a/b/c", folder), *path = mem_format("%s/x", deep);
    struct error err = {0};
    unit_ok(file_make_dirs(deep, &err));
    unit_ok(file_make_dirs(deep, &err));
    struct buf big = {0}, back = {0};
    for (int i = 0; i < 200000; i++)
        buf_put_u8(&big, (uint8_t)i);
    unit_ok(file_write_atomic(path, SLICE("old"), &err));
    unit_ok(file_write_atomic(path, buf_slice(&big), &err));
    unit_ok(file_read(path, &back, &err));
    assert_int_equal(back.len, big.len);
    assert_memory_equal(back.data, big.data, big.len);
    assert_false(file_write_new(path, SLICE("again"), &err));
    assert_non_null(strstr(err.text, path));
    char *missing = mem_format("%s/none", deep);
    assert_false(file_read(missing, &back, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    struct buf small = {.max = 1000};
    assert_false(file_read(path, &small, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    unit_ok(file_sync(deep, &err) && file_remove_tree(missing, &err));
    unit_ok(file_remove_tree(deep, &err));
    assert_false(file_exists(path));
    buf_free(&big);
    buf_free(&back);
    buf_free(&small);
    mem_free(missing);
    mem_free(path);
    mem_free(deep);
    unit_folder_remove(folder);
}

static void test_errors(void **state)
{
    (void)state;
    struct error err;
    assert_false(error_set(&err, ERROR_DATA, "bad %d", 7));
    assert_false(error_wrap(&err, "table %s", "t"));
    assert_string_equal(err.text, "table t: bad 7");
    assert_int_equal(err.kind, ERROR_DATA);
    errno = ENOSPC;
    assert_false(error_errno(&err, "write"));
    assert_int_equal(err.kind, ERROR_RETRY);
    char longest[3000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_false(error_set(&err, ERROR_FATAL, "%s", longest));
    assert_false(error_wrap(&err, "%s", longest));
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_string_equal(error_kind_name(ERROR_RETRY), "retry");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_numbers),  cmocka_unit_test(test_buf_max),
        cmocka_unit_test(test_json),         cmocka_unit_test(test_sql),
        cmocka_unit_test(test_map),          cmocka_unit_test(test_queue_threads),
        cmocka_unit_test(test_queue_bounds), cmocka_unit_test(test_wake),
        cmocka_unit_test(test_days),         cmocka_unit_test(test_iso),
        cmocka_unit_test(test_files),        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
