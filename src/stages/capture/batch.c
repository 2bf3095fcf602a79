/* From changes to batches to the queue.
 *
 *   change --> open (the arriving transaction) --commit--> ready (whole transactions) --> waiting --> queue
 *                   `-- beyond flush_bytes: part by part, behind what is ready --------^
 *
 * While bronze is busy the queue is not empty, ready is not flushed, and batches grow. While anything
 * waits for room nothing is read from PostgreSQL: that is the backpressure.
 *
 * What is in the queue is never taken back. The memory says where that ends, to the change, so that a
 * new connection goes on exactly there: a transaction that had left in part is sent again by
 * PostgreSQL as a whole and its first changes are passed over.
 *
 * Invariant: what follows a part, in the queue, continues it. All batches go through put(), which holds to
 * that, also over connections: bronze cannot tell a part's rows from those of a batch that came between. */
#include "base/log.h"
#include "stages/capture/capture_int.h"

#include <assert.h>

enum { BATCH_OVERHEAD = 256 };

struct capture_memory capture_memory;

void capture_memory_free(struct capture_memory *m)
{
    mem_free(m->identity);
    map_free(&m->copied, NULL);
    map_free(&m->wanted, NULL);
    map_free(&m->shapes, mem_free);
    map_free(&m->conditions, mem_free);
    *m = (struct capture_memory){0};
}

void outbox_init(struct outbox *o, struct flow *flow)
{
    *o = (struct outbox){
        .flow = flow,
        .ready = capture_batch_new(),
        .open = capture_batch_new(),
        .torn = capture_memory.partial_lsn != 0,
    };
}

void outbox_free(struct outbox *o)
{
    change_batch_free(o->ready);
    change_batch_free(o->open);
    for (size_t i = o->head; i < o->count; i++)
        change_batch_free(o->items[i].batch);
    mem_free(o->items);
    *o = (struct outbox){0};
}

static void put(struct outbox *o, struct change_batch *batch, uint64_t changes)
{
    assert(batch->continues == o->torn);
    o->torn = batch->partial;
    if (o->head == o->count) o->head = o->count = 0;
    MEM_GROW(o->items, o->count, o->cap);
    o->items[o->count++] = (struct outgoing){batch, changes};
}

void outbox_flush(struct outbox *o)
{
    if (o->ready->count == 0) return;
    put(o, o->ready, 0);
    o->ready = capture_batch_new();
}

void outbox_put(struct outbox *o, struct change_batch *batch)
{
    outbox_flush(o);
    put(o, batch, 0);
}

static void put_part(struct outbox *o, bool last)
{
    outbox_flush(o);
    o->open->continues = o->open_partial;
    o->open->partial = !last;
    put(o, o->open, o->changes);
    o->open = capture_batch_new();
    o->open_partial = !last;
}

void outbox_add(struct outbox *o, const struct change *c)
{
    struct change_batch *open = o->open;
    change_batch_add(open, c);
    open->first_lsn = open->last_lsn = c->lsn;
    open->commit_us = c->commit_us;
    if (c->op == CHANGE_SCHEMA) return; /* it belongs to the change that follows */
    o->changes = c->ordinal;
    if (open->size_bytes >= (size_t)o->flow->config->flush_bytes) put_part(o, false);
}

static bool check_holds(struct flow *flow)
{
    pthread_mutex_lock(&flow->check_lock);
    bool holds = flow->check.hold || (flow->check.cut_lsn && flow->check.cut_version < 0);
    pthread_mutex_unlock(&flow->check_lock);
    return holds;
}

void outbox_commit(struct outbox *o, uint64_t commit_lsn, uint64_t end_lsn, int64_t commit_us)
{
    if (o->open_partial) {
        struct change_batch *last = o->open;
        last->first_lsn = last->last_lsn = commit_lsn;
        last->end_lsn = end_lsn;
        last->commit_us = commit_us;
        last->transactions = 1;
        put_part(o, true);
        return;
    }
    bool alone = check_holds(o->flow); /* so that bronze can end a commit between any two */
    if (alone) outbox_flush(o);
    o->open->last_lsn = commit_lsn;
    o->open->end_lsn = end_lsn;
    o->open->commit_us = commit_us;
    o->open->transactions = 1;
    change_batch_append(o->ready, o->open);
    if (alone || o->ready->size_bytes >= (size_t)o->flow->config->flush_bytes) outbox_flush(o);
}

static void remember(struct flow *flow, const struct outgoing *sent, const struct change_batch *facts)
{
    struct capture_memory *m = &capture_memory;
    struct stage_status *status = &flow->status[STAGE_CAPTURE];
    atomic_fetch_add(&status->rows, (int64_t)facts->count);
    atomic_fetch_add(&status->batches, 1);
    if (facts->commit_us) atomic_store(&status->last_commit_us, facts->commit_us);
    if (facts->partial) {
        m->partial_lsn = facts->last_lsn;
        m->partial_count = sent->changes;
        return;
    }
    m->partial_lsn = m->partial_count = 0;
    m->handed_lsn = facts->end_lsn;
    if (facts->transactions) m->previous_lsn = facts->end_lsn;
    if (!flow->kafka) atomic_store(&flow->received_lsn, facts->end_lsn);
}

bool outbox_push(struct outbox *o, int64_t timeout_us)
{
    for (; outbox_waiting(o); o->head++) {
        const struct outgoing *next = &o->items[o->head];
        struct change_batch facts = *next->batch; /* after the push it is the consumer's */
        if (!queue_push(flow_out(o->flow), next->batch, facts.size_bytes + BATCH_OVERHEAD, timeout_us))
            return false;
        remember(o->flow, next, &facts);
        wake_signal(flow_out_wake(o->flow));
    }
    return true;
}
