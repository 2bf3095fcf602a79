/* A bounded first-in first-out queue of owned pointers between two threads, bounded by the sum of
 * the items' sizes: an item always fits an empty queue, so one large item cannot block for ever.
 * The item belongs to the queue between a successful push and the pop. */
#ifndef MILLRACE_BASE_QUEUE_H
#define MILLRACE_BASE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_item {
    void *item;
    size_t size_bytes;
};

struct queue {
    pthread_mutex_t lock; /* protects all below; nothing else is taken while it is held */
    pthread_cond_t changed;
    struct queue_item *items;
    size_t head, count, cap;
    size_t size_bytes, size_bytes_max;
    bool closed;
};

void queue_init(struct queue *q, size_t size_bytes_max);
/* Frees what is left with free_item (may be NULL). */
void queue_free(struct queue *q, void (*free_item)(void *));
/* Waits up to timeout_us for room; false when there was none or the queue is closed: the item stays
 * the caller's. */
bool queue_push(struct queue *q, void *item, size_t size_bytes, int64_t timeout_us);
/* The oldest item, or NULL after timeout_us (0: do not wait). */
void *queue_pop(struct queue *q, int64_t timeout_us);
/* The oldest item without taking it; only for the one consumer. */
void *queue_peek(struct queue *q);
void queue_close(struct queue *q);
size_t queue_size_bytes(struct queue *q);
size_t queue_count(struct queue *q);

#endif
