#include "base/queue.h"

#include "base/mem.h"

#include <errno.h>
#include <time.h>

void queue_init(struct queue *q, size_t size_bytes_max)
{
    *q = (struct queue){.size_bytes_max = size_bytes_max};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, &attr);
    pthread_condattr_destroy(&attr);
}

void queue_free(struct queue *q, void (*free_item)(void *))
{
    for (size_t i = 0; i < q->count; i++)
        if (free_item) free_item(q->items[(q->head + i) % q->cap].item);
    mem_free(q->items);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->changed);
    *q = (struct queue){0};
}

static struct timespec deadline_after(int64_t timeout_us)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    int64_t ns = ts.tv_nsec + (timeout_us % 1000000) * 1000;
    ts.tv_sec += (time_t)(timeout_us / 1000000 + ns / 1000000000);
    ts.tv_nsec = (long)(ns % 1000000000);
    return ts;
}

static bool has_room(const struct queue *q, size_t size_bytes)
{
    return q->count == 0 || q->size_bytes + size_bytes <= q->size_bytes_max;
}

bool queue_push(struct queue *q, void *item, size_t size_bytes, int64_t timeout_us)
{
    struct timespec until = deadline_after(timeout_us);
    pthread_mutex_lock(&q->lock);
    while (!q->closed && !has_room(q, size_bytes))
        if (pthread_cond_timedwait(&q->changed, &q->lock, &until) == ETIMEDOUT) break;
    bool ok = !q->closed && has_room(q, size_bytes);
    if (ok) {
        if (q->count == q->cap) {
            size_t cap = q->cap ? q->cap * 2 : 16;
            struct queue_item *items = mem_alloc(cap * sizeof *items);
            for (size_t i = 0; i < q->count; i++) items[i] = q->items[(q->head + i) % q->cap];
            mem_free(q->items);
            q->items = items;
            q->cap = cap;
            q->head = 0;
        }
        q->items[(q->head + q->count++) % q->cap] = (struct queue_item){item, size_bytes};
        q->size_bytes += size_bytes;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

void *queue_pop(struct queue *q, int64_t timeout_us)
{
    struct timespec until = deadline_after(timeout_us);
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed && timeout_us > 0)
        if (pthread_cond_timedwait(&q->changed, &q->lock, &until) == ETIMEDOUT) break;
    if (q->count) {
        struct queue_item first = q->items[q->head];
        q->head = (q->head + 1) % q->cap;
        q->count--;
        q->size_bytes -= first.size_bytes;
        item = first.item;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *queue_peek(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    void *item = q->count ? q->items[q->head].item : NULL;
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_size_bytes(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t size = q->size_bytes;
    pthread_mutex_unlock(&q->lock);
    return size;
}

size_t queue_count(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}
