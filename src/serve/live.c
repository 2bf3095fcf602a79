/* Live updates by server-sent events. One producer looks at the warehouse's position every TICK_US; when it
 * moved, the newest orders are read once and every listener gets the same text. Nothing is read while nobody
 * listens; who comes then gets the next tick's text. A listener that was away gets the newest text at once:
 * it holds all that is needed, nothing is replayed.
 *
 *   id: <position>
 *   data: {"position":..,"lsn":"..","commit_us":..,"lag_us":..,"recent":[..]} */
#include "serve/http.h"

#include "base/clock.h"

#include <stdio.h>

enum { TICK_US = 500000, BEAT_US = 2000000 };

struct live {
    struct serve *serve;
    pthread_t thread;
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t changed;
    struct buf text;      /* the newest event */
    uint64_t number;
    size_t listeners;
    bool asked; /* by the first listener */
    bool stopping;
};

static void publish(struct live *l, const struct buf *recent)
{
    pthread_mutex_lock(&l->lock);
    buf_clear(&l->text);
    buf_printf(&l->text, "id: %lld\ndata: {", (long long)atomic_load(&l->serve->flow->warehouse_position));
    serve_put_as_of(l->serve->flow, &l->text);
    if (recent) {
        buf_put_text(&l->text, ",\"recent\":");
        for (size_t i = 0; i < recent->len; i++) /* an event's data is one line */
            if (recent->data[i] != '\n') buf_put_char(&l->text, recent->data[i]);
    }
    buf_put_text(&l->text, "}\n\n");
    l->number++;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static bool stopping(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    bool stop = l->stopping;
    pthread_mutex_unlock(&l->lock);
    return stop;
}

static bool listened(struct live *l, bool *asked)
{
    pthread_mutex_lock(&l->lock);
    bool any = l->listeners > 0;
    *asked = l->asked;
    l->asked = false;
    pthread_mutex_unlock(&l->lock);
    return any;
}

static void *produce(void *arg)
{
    struct live *l = arg;
    int64_t seen = -1, beat_us = 0;
    while (!stopping(l)) {
        int64_t position = atomic_load(&l->serve->flow->warehouse_position), now_us = clock_mono_us();
        bool asked, any = listened(l, &asked);
        if (any && (asked || position != seen)) {
            struct error ignored; /* the next version brings the next try; the age of the numbers is shown */
            struct buf recent = {0};
            bool ok = serve_query(l->serve, "recent", NULL, 0, &recent, &ignored);
            publish(l, ok ? &recent : NULL);
            buf_free(&recent);
            if (ok) seen = position;
            beat_us = now_us;
        } else if (any && now_us - beat_us >= BEAT_US) {
            publish(l, NULL);
            beat_us = now_us;
        }
        latency_tick();
        clock_sleep_us(TICK_US);
    }
    return NULL;
}

struct live *live_start(struct serve *s)
{
    struct live *l = mem_alloc(sizeof *l);
    l->serve = s;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    if (pthread_create(&l->thread, NULL, produce, l)) l->stopping = true;
    return l;
}

void live_stop(struct live *l)
{
    pthread_mutex_lock(&l->lock);
    bool running = !l->stopping;
    l->stopping = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    if (running) pthread_join(l->thread, NULL);
}

void live_free(struct live *l)
{
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    buf_free(&l->text);
    mem_free(l);
}

struct listener {
    struct live *live;
    uint64_t number;  /* of the newest event that was sent */
    struct buf text;  /* what is being sent */
    size_t at;
};

static ssize_t send_more(void *arg, uint64_t position, char *to, size_t max)
{
    (void)position;
    struct listener *me = arg;
    if (me->at == me->text.len) {
        pthread_mutex_lock(&me->live->lock);
        while (!me->live->stopping && me->number == me->live->number)
            pthread_cond_wait(&me->live->changed, &me->live->lock);
        bool stop = me->live->stopping;
        buf_clear(&me->text);
        buf_put_slice(&me->text, buf_slice(&me->live->text));
        me->number = me->live->number;
        me->at = 0;
        pthread_mutex_unlock(&me->live->lock);
        if (stop) return MHD_CONTENT_READER_END_OF_STREAM;
    }
    size_t n = me->text.len - me->at;
    if (n > max) n = max;
    memcpy(to, me->text.data + me->at, n);
    me->at += n;
    return (ssize_t)n;
}

static void forget(void *arg)
{
    struct listener *me = arg;
    pthread_mutex_lock(&me->live->lock);
    me->live->listeners--;
    pthread_mutex_unlock(&me->live->lock);
    buf_free(&me->text);
    mem_free(me);
}

enum MHD_Result live_answer(struct http_request *r)
{
    struct listener *me = mem_alloc(sizeof *me);
    me->live = r->serve->live;
    pthread_mutex_lock(&me->live->lock);
    if (me->live->listeners++ == 0) { /* the text may be old */
        me->number = me->live->number;
        me->live->asked = true;
    }
    pthread_mutex_unlock(&me->live->lock);
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, send_more, me, forget);
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    enum MHD_Result result = MHD_queue_response(r->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}
