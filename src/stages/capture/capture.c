/* The stage: opens connections, decides between copying and streaming, steps the phase it is in. */
#include "stages/capture/capture.h"

#include "base/log.h"
#include "stages/capture/capture_int.h"

#include <inttypes.h>

enum { PHASE_BEGIN, PHASE_WAIT, PHASE_COPY, PHASE_START, PHASE_STREAM };

void capture_set_resume(const struct capture_resume *r)
{
    struct capture_memory *m = &capture_memory;
    capture_memory_free(m);
    bool anew = r->new_epoch && r->epoch > 0;
    *m = (struct capture_memory){
        .set = true,
        .epoch = r->epoch < 1 ? 1 : r->epoch + anew,
        .copy_complete = r->copy_complete && !anew,
        .begun = r->identity && !r->copy_complete,
        .new_epoch = r->new_epoch,
        .next_copy_id = r->next_copy_id < 1 ? 1 : r->next_copy_id,
        .handed_lsn = r->copy_complete && !anew ? r->durable_lsn : 0,
        .previous_lsn = anew ? 0 : r->previous_lsn,
        .identity = anew ? NULL : mem_text(r->identity),
    };
    for (size_t i = 0; i < r->copied_count && !anew; i++)
        *map_put(&m->copied, slice_of(r->copied[i])) = m;
}

static void capture_close(void *self)
{
    struct capture *c = self;
    if (c->phase == PHASE_STREAM && c->replication) stream_stop(c);
    if (c->copy) copy_close(c->copy);
    resync_return_conditions(c);
    pg_close(c->pg);
    pg_close(c->replication);
    outbox_free(&c->outbox);
    published_free(&c->copying);
    map_free(&c->relations, relation_free);
    pgoutput_message_free(&c->message);
    mem_free(c->values);
    mem_free(c->old_values);
    buf_free(&c->key);
    buf_free(&c->old_key);
    buf_free(&c->before);
    buf_free(&c->after);
    buf_free(&c->unchanged);
    buf_free(&c->origin);
    map_free(&c->window, mem_free);
    mem_free(c);
}

static bool connect_and_check(struct capture *c, struct error *err)
{
    const char *source = c->config->source;
    const struct capture_memory *m = &capture_memory;
    return pg_connect(&c->pg, source, PG_PLAIN, &c->flow->stopping, err) &&
           preflight_settings(c->pg, err) &&
           pg_connect(&c->replication, source, PG_REPLICATION, &c->flow->stopping, err) &&
           preflight_identify(c->replication, &c->server, err) &&
           preflight_identity(m->identity, &c->server, c->config, pg_database(c->pg), err);
}

/* What the first step needs is looked at before the stage counts as open: what the user must change ends
 * the start. */
static bool check_phase(struct capture *c, struct error *err)
{
    if (c->phase == PHASE_BEGIN) return snapshot_prepare(c, err);
    return preflight_slot(c->pg, c->config->slot, capture_memory.handed_lsn, err);
}

static bool capture_open(struct flow *flow, void **self, struct error *err)
{
    if (!capture_memory.set)
        return error_set(err, ERROR_FATAL,
                         "capture: nobody has told what the lake holds (capture_set_resume)");
    if (!events_configure(flow, err)) return error_wrap(err, "capture");
    struct capture *c = mem_alloc(sizeof *c);
    c->flow = flow;
    c->config = flow->config;
    c->status = &flow->status[STAGE_CAPTURE];
    outbox_init(&c->outbox, flow);
    atomic_store(&flow->epoch, capture_memory.epoch);
    stage_state(c->status, "connecting to PostgreSQL");
    c->phase = capture_memory.copy_complete ? PHASE_START : PHASE_BEGIN;
    if (!connect_and_check(c, err) || !check_phase(c, err)) {
        capture_close(c);
        return error_wrap(err, "capture");
    }
    *self = c;
    return true;
}

static bool step_copy(struct capture *c, struct error *err)
{
    bool done = false;
    if (!snapshot_step(c, &done, err)) return false;
    if (done) {
        capture_memory.copy_complete = true;
        capture_memory.begun = capture_memory.new_epoch = false;
        published_free(&c->copying);
        c->phase = PHASE_START;
    }
    return true;
}

static bool step(struct capture *c, enum progress *out, struct error *err)
{
    bool durable = false;
    *out = PROGRESS_SOME;
    switch (c->phase) {
    case PHASE_BEGIN:
        snapshot_begin(c);
        c->phase = PHASE_WAIT;
        return true;
    case PHASE_WAIT:
        if (!snapshot_wait(c, &durable, err)) return false;
        if (durable) c->phase = PHASE_COPY;
        return true;
    case PHASE_COPY: return step_copy(c, err);
    case PHASE_START:
        if (!stream_start(c, err)) return false;
        c->phase = PHASE_STREAM;
        return true;
    default: return stream_step(c, out, err);
    }
}

static bool capture_step(void *self, enum progress *out, struct error *err)
{
    *out = PROGRESS_IDLE;
    return step(self, out, err) || error_wrap(err, "capture");
}

const struct stage_ops capture_ops = {"capture", capture_open, capture_step, capture_close};
