/* Where check compares: behind everything that the source had committed at its LSN.
 *
 *   asked(L) --> is it in the topics? --> their ends --> all taken --> a commit of bronze ends here
 *
 * Our producer's position says when it is; of another's nothing is known but that the topics have been quiet for a
 * while. */
#include "base/clock.h"
#include "stages/stream/consumer_int.h"
#include "stages/stream/position.h"

enum { LOOK_US = 300000, QUIET_US = 3000000, LIST_US = 10000000 };

/* The producer's position, if there is one: *known tells. Read without shutting it out. */
static bool sent_lsn(struct consumer *c, bool *known, uint64_t *lsn, struct error *err)
{
    struct stream_position position;
    if (!stream_position_look(c->admin, c->config, known, &position, err)) return false;
    *lsn = position.lsn;
    stream_position_free(&position);
    return true;
}

static bool find_ends(struct consumer *c, struct error *err)
{
    int64_t now_us = clock_mono_us();
    if (c->cut_known || now_us - c->cut_look_us < LOOK_US) return true;
    c->cut_look_us = now_us;
    bool ours = false;
    uint64_t lsn = 0;
    if (!sent_lsn(c, &ours, &lsn, err)) return false;
    bool quiet = now_us - c->last_message_us > QUIET_US && now_us - c->cut_asked_us > QUIET_US;
    if (ours ? lsn < c->cut_wanted : !quiet) return true;
    kafka_partitions_free(&c->cut_ends);
    if (!kafka_list(c->admin, c->topics, LIST_US, &c->cut_ends, err)) return false;
    c->cut_known = true;
    return true;
}

bool consumer_cut(struct consumer *c, struct error *err)
{
    uint64_t wanted = atomic_load(&c->flow->wanted_lsn);
    if (wanted != c->cut_wanted) {
        c->cut_wanted = wanted;
        c->cut_known = c->cut_made = false;
        c->cut_asked_us = clock_mono_us();
    }
    if (!wanted || c->cut_made) return true;
    if (!find_ends(c, err)) return false;
    if (!c->cut_known || !consumer_reached(c, &c->cut_ends)) return true;
    struct change_batch *batch = change_batch_new();
    batch->heartbeat = true;
    batch->cut_lsn = wanted;
    batch->end_lsn = batch->first_lsn = batch->last_lsn = consumer_memory.arrival;
    c->cut_made = queue_push(&c->flow->changes, batch, 256, LOOK_US);
    if (!c->cut_made) change_batch_free(batch);
    wake_signal(&c->flow->bronze_wake);
    return true;
}
