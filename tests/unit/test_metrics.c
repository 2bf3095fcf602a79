/* Counters from many threads, the error of a histogram's quantiles, and the text format. */
#include "unit.h"

#include "base/metrics.h"

#include <pthread.h>

static struct metric counted = METRIC_COUNTER("test_counted_total", "Counted");
static struct metric level_b = METRIC_GAUGE("test_level{table=\"b\"}", "Level");
static struct metric level_a = METRIC_GAUGE("test_level{table=\"a\"}", "Level");
static struct metric unused = METRIC_GAUGE("test_unused", "Never touched");
static struct histogram waits = HISTOGRAM("test_wait_seconds", "Waits");

enum { THREADS = 4, EACH = 20000 };

static void *count_up(void *argument)
{
    (void)argument;
    for (int i = 0; i < EACH; i++) {
        metric_add(&counted, 1);
        histogram_record(&waits, i);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metric_value(&counted), THREADS * EACH);
    struct buf out = {0};
    metrics_print(&out);
    char *text = buf_take(&out);
    assert_non_null(strstr(text, "# TYPE test_counted_total counter\ntest_counted_total 80000\n"));
    assert_non_null(strstr(text, "test_wait_seconds_count 80000\n"));
    assert_null(strstr(strstr(text, "# TYPE test_counted_total") + 1, "# TYPE test_counted_total"));
    mem_free(text);
}

/* A bucket is a quarter octave, so a quantile is at most a fifth away from the truth. */
static void test_quantiles(void **state)
{
    (void)state;
    static struct histogram even = HISTOGRAM("test_even_seconds", "Even");
    assert_int_equal(histogram_quantile(&even, 0.5), 0);
    for (int64_t us = 1; us <= 100000; us++)
        histogram_record(&even, us * 10);
    static const double shares[] = {0.1, 0.5, 0.9, 0.99, 1.0};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double truth = shares[i] * 1e6, got = (double)histogram_quantile(&even, shares[i]);
        assert_true(got > truth * 0.8 && got < truth * 1.2);
    }
}

static void test_extremes(void **state)
{
    (void)state;
    static struct histogram odd = HISTOGRAM("test_odd_seconds", "Odd");
    histogram_record(&odd, -5);
    histogram_record(&odd, 0);
    assert_in_range(histogram_quantile(&odd, 1.0), 0, 64);
    histogram_record(&odd, INT64_C(3600000000)); /* above the last bucket's start */
    assert_in_range(histogram_quantile(&odd, 1.0), 40000000, 70000000);
    struct buf out = {0};
    metrics_print(&out);
    assert_non_null(strstr(buf_text(&out), "test_odd_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(buf_text(&out), "test_odd_seconds_bucket{le=\"0.000064\"} 2\n"));
    assert_non_null(strstr(buf_text(&out), "test_odd_seconds_sum 3600.000000\n"));
    buf_free(&out);
}

static void test_families(void **state)
{
    (void)state;
    metric_set(&level_b, 2);
    metric_set(&level_a, -1);
    struct buf out = {0};
    metrics_print(&out);
    assert_non_null(strstr(buf_text(&out), "# HELP test_level Level\n# TYPE test_level gauge\n"
                                           "test_level{table=\"a\"} -1\ntest_level{table=\"b\"} 2\n"));
    assert_null(strstr(buf_text(&out), "test_unused"));
    metric_set(&unused, 7);
    buf_clear(&out);
    metrics_print(&out);
    assert_non_null(strstr(buf_text(&out), "test_unused 7\n"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_families),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
