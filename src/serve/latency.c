/* From the source's commit to the warehouse: the last hour in points of ten seconds. A point without any
 * commit is left out. */
#include "serve/http.h"

#include "base/clock.h"
#include "base/metrics.h"

enum { POINT_US = 10000000, POINTS = 360 };

struct point {
    int64_t at_us, p50_us, p99_us;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects all below */
static struct point points[POINTS];
static size_t count;
static int64_t next_us;
static struct histogram_window window;

void latency_tick(void)
{
    pthread_mutex_lock(&lock);
    struct histogram *h = histogram_find("millrace_commit_to_visible_seconds");
    if (h && clock_mono_us() >= next_us) {
        next_us = clock_mono_us() + POINT_US;
        histogram_advance(h, &window);
        if (window.total)
            points[count++ % POINTS] = (struct point){clock_wall_us(), histogram_window_quantile(&window, 0.5),
                                                      histogram_window_quantile(&window, 0.99)};
    }
    pthread_mutex_unlock(&lock);
}

void latency_put(struct buf *json)
{
    struct histogram *h = histogram_find("millrace_commit_to_visible_seconds");
    buf_printf(json, "{\"p50_us\":%lld,\"p99_us\":%lld,\"points\":[", (long long)(h ? histogram_quantile(h, 0.5) : 0),
               (long long)(h ? histogram_quantile(h, 0.99) : 0));
    pthread_mutex_lock(&lock);
    size_t n = count < POINTS ? count : POINTS;
    for (size_t i = 0; i < n; i++) {
        const struct point *p = &points[(count - n + i) % POINTS];
        buf_printf(json, "%s[%lld,%lld,%lld]", i ? "," : "", (long long)p->at_us, (long long)p->p50_us,
                   (long long)p->p99_us);
    }
    pthread_mutex_unlock(&lock);
    buf_put_text(json, "]}");
}
