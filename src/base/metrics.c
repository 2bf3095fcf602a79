/* Metrics register themselves by pushing onto a list that only grows, so readers need no lock.
 * Histogram buckets end at 64 us * 2^(i/4), rounded; the last one takes everything above. */
#include "base/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

static struct metric *_Atomic all_metrics;
static struct histogram *_Atomic all_histograms;

/* One definition for both types: the first caller pushes the object onto its list. */
#define REGISTER(object, list)                                                                  \
    do {                                                                                        \
        if (atomic_load_explicit(&(object)->registered, memory_order_relaxed)) break;           \
        if (atomic_exchange(&(object)->registered, 1)) break;                                   \
        (object)->next = atomic_load(&(list));                                                  \
        while (!atomic_compare_exchange_weak(&(list), &(object)->next, (object))) {             \
        }                                                                                       \
    } while (0)

void metric_add(struct metric *m, int64_t n)
{
    REGISTER(m, all_metrics);
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t value)
{
    REGISTER(m, all_metrics);
    atomic_store_explicit(&m->value, value, memory_order_relaxed);
}

int64_t metric_value(struct metric *m)
{
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}

static int64_t bucket_end_us(int bucket)
{
    static const int64_t quarters[4] = {64, 76, 91, 108};
    return quarters[bucket % 4] << (bucket / 4);
}

static int bucket_of(int64_t us)
{
    if (us <= bucket_end_us(0)) return 0;
    int octave = 63 - __builtin_clzll((unsigned long long)us) - 6;
    int bucket = octave * 4;
    if (bucket >= HISTOGRAM_BUCKETS) return HISTOGRAM_BUCKETS - 1;
    while (bucket < HISTOGRAM_BUCKETS - 1 && us > bucket_end_us(bucket)) bucket++;
    return bucket;
}

void histogram_record(struct histogram *h, int64_t us)
{
    REGISTER(h, all_histograms);
    if (us < 0) us = 0; /* a clock that was set back */
    atomic_fetch_add_explicit(&h->counts[bucket_of(us)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

static int64_t copy_counts(struct histogram *h, int64_t *counts)
{
    int64_t total = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counts[i] = atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        total += counts[i];
    }
    return total;
}

static int64_t counts_quantile(const int64_t *counts, int64_t total, double q)
{
    if (total == 0) return 0;
    double wanted = q * (double)total, below = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (counts[i] == 0 || below + (double)counts[i] < wanted) {
            below += (double)counts[i];
            continue;
        }
        int64_t start = i ? bucket_end_us(i - 1) : 0;
        if (i == HISTOGRAM_BUCKETS - 1) return start; /* no upper end: at least this */
        double part = (wanted - below) / (double)counts[i];
        return start + (int64_t)(part * (double)(bucket_end_us(i) - start));
    }
    return bucket_end_us(HISTOGRAM_BUCKETS - 2);
}

int64_t histogram_quantile(struct histogram *h, double q)
{
    int64_t counts[HISTOGRAM_BUCKETS];
    int64_t total = copy_counts(h, counts);
    return counts_quantile(counts, total, q);
}

struct histogram *histogram_find(const char *name)
{
    struct histogram *h = atomic_load(&all_histograms);
    while (h && strcmp(h->name, name) != 0) h = h->next;
    return h;
}

void histogram_advance(struct histogram *h, struct histogram_window *w)
{
    int64_t now[HISTOGRAM_BUCKETS];
    copy_counts(h, now);
    w->total = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        w->fresh[i] = now[i] - w->before[i];
        w->total += w->fresh[i];
        w->before[i] = now[i];
    }
}

int64_t histogram_window_quantile(const struct histogram_window *w, double q)
{
    return counts_quantile(w->fresh, w->total, q);
}

/* The name without its labels: `a{b="c"}` belongs to family `a`. */
static struct slice family_of(const char *name)
{
    return (struct slice){name, strcspn(name, "{")};
}

static void print_head(struct buf *out, struct slice family, const char *help, const char *type)
{
    buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)family.len, family.data, help, (int)family.len,
               family.data, type);
}

static void print_histogram(struct buf *out, struct histogram *h)
{
    int64_t counts[HISTOGRAM_BUCKETS];
    int64_t total = copy_counts(h, counts), below = 0;
    print_head(out, slice_of(h->name), h->help, "histogram");
    for (int i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        below += counts[i];
        if (i % 4 == 0) /* one line for each octave is enough outside */
            buf_printf(out, "%s_bucket{le=\"%.6f\"} %lld\n", h->name, (double)bucket_end_us(i) / 1e6,
                       (long long)below);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %lld\n", h->name, (long long)total);
    buf_printf(out, "%s_sum %.6f\n%s_count %lld\n", h->name,
               (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) / 1e6, h->name,
               (long long)total);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct metric *const *)a)->name, (*(struct metric *const *)b)->name);
}

static void print_metrics(struct buf *out)
{
    struct metric **sorted = NULL;
    size_t count = 0, cap = 0;
    for (struct metric *m = atomic_load(&all_metrics); m; m = m->next) {
        MEM_GROW(sorted, count, cap);
        sorted[count++] = m;
    }
    /* The format wants all lines of a family together. */
    if (count) qsort(sorted, count, sizeof *sorted, by_name);
    struct slice family = {0};
    for (size_t i = 0; i < count; i++) {
        struct slice own = family_of(sorted[i]->name);
        if (!slice_equal(own, family))
            print_head(out, own, sorted[i]->help,
                       sorted[i]->type == METRIC_TYPE_COUNTER ? "counter" : "gauge");
        family = own;
        buf_printf(out, "%s %lld\n", sorted[i]->name, (long long)metric_value(sorted[i]));
    }
    mem_free(sorted);
}

void metrics_print(struct buf *out)
{
    print_metrics(out);
    for (struct histogram *h = atomic_load(&all_histograms); h; h = h->next) print_histogram(out, h);
}
