/* Counters, gauges and latency histograms: lock-free to write, printed in the Prometheus text format
 * by serve. Each is a static object that registers itself at first use.
 *   static struct metric rows = METRIC_COUNTER("millrace_bronze_rows_total", "Rows committed to bronze");
 *   metric_add(&rows, n); */
#ifndef MILLRACE_BASE_METRICS_H
#define MILLRACE_BASE_METRICS_H

#include "base/buf.h"

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE };
enum { HISTOGRAM_BUCKETS = 80 };

struct metric {
    const char *name, *help;
    enum metric_type type;
    _Atomic int64_t value;
    _Atomic int registered;
    struct metric *next;
};

/* Durations in microseconds, in buckets a quarter octave wide from 64 us to a minute. Printed in
 * seconds, as Prometheus wants: the name ends in _seconds. */
struct histogram {
    const char *name, *help;
    _Atomic int64_t counts[HISTOGRAM_BUCKETS];
    _Atomic int64_t sum_us;
    _Atomic int registered;
    struct histogram *next;
};

#define METRIC_COUNTER(name_, help_) {.name = (name_), .help = (help_), .type = METRIC_TYPE_COUNTER}
#define METRIC_GAUGE(name_, help_) {.name = (name_), .help = (help_), .type = METRIC_TYPE_GAUGE}
#define HISTOGRAM(name_, help_) {.name = (name_), .help = (help_)}

void metric_add(struct metric *m, int64_t n);
void metric_set(struct metric *m, int64_t value);
int64_t metric_value(struct metric *m);
void histogram_record(struct histogram *h, int64_t us);
/* The value below which the share q (0..1) of all recorded durations lies, in us; 0 when empty. */
int64_t histogram_quantile(struct histogram *h, double q);
/* A histogram that has recorded something, by name; NULL before. */
struct histogram *histogram_find(const char *name);
/* Quantile of what was recorded since `before` (HISTOGRAM_BUCKETS counts, which become the present ones);
 * *total tells how many. */
struct histogram_window {
    int64_t before[HISTOGRAM_BUCKETS], fresh[HISTOGRAM_BUCKETS], total;
};
void histogram_advance(struct histogram *h, struct histogram_window *w);
int64_t histogram_window_quantile(const struct histogram_window *w, double q);
/* All registered metrics in the Prometheus text format. */
void metrics_print(struct buf *out);

#endif
