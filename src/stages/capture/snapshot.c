/* The first copy: begin records, durable; then the slot and the rows; then the complete records.
 *
 * Until the copy is complete bronze has no LSN as its position; its place is taken by the copy's id, a
 * number below any LSN, so that "begin is durable" is simply durable_lsn == id. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "stages/capture/capture_int.h"

#include <inttypes.h>
#include <stdio.h>

enum { TAKE_US = 100000 };

struct change_batch *snapshot_brackets(struct capture *c, enum change_op op, uint64_t lsn, uint64_t end_lsn)
{
    struct change_batch *batch = capture_batch_new();
    struct buf identity = {0};
    char id[24];
    snprintf(id, sizeof id, "%" PRId64, c->copy_id);
    identity_put(&identity, &c->server, c->config, pg_database(c->pg), c->copy_id, &c->copying);
    int64_t now_us = clock_wall_us();
    for (size_t i = 0; i < c->copying.count; i++) {
        struct change change = {
            .op = op,
            .table = slice_of(c->copying.items[i].table),
            .epoch = capture_memory.epoch,
            .lsn = lsn,
            .commit_us = now_us,
            .capture_us = now_us,
            .key = slice_of(id),
            .after = buf_slice(&identity),
        };
        change_batch_add(batch, &change);
    }
    buf_free(&identity);
    batch->end_lsn = end_lsn;
    batch->first_lsn = batch->last_lsn = lsn;
    batch->commit_us = now_us;
    return batch;
}

/* A slot of our name that the lake knows nothing of may be somebody else's. */
static bool check_foreign_slot(struct capture *c, struct error *err)
{
    struct slot_facts facts;
    if (!preflight_slot_facts(c->pg, c->config->slot, &facts, err)) return false;
    if (!facts.exists) return true;
    if (facts.foreign)
        return error_set(err, ERROR_CONFIG, "slot %s exists and is of another plugin or database; choose another `slot`",
                         c->config->slot);
    if (!capture_memory.begun && !capture_memory.new_epoch)
        return error_set(
            err, ERROR_CONFIG,
            "slot %s exists, but this lake did not make it: choose another `slot`, or, if nobody uses it, run "
            "`millrace resync --slot` (it is made anew and all tables are copied) or SELECT "
            "pg_drop_replication_slot('%s')",
            c->config->slot, c->config->slot);
    if (facts.active_pid)
        return error_set(err, ERROR_RETRY, "slot %s is in use by the connection with pid %lld",
                         c->config->slot, (long long)facts.active_pid);
    return true;
}

bool snapshot_prepare(struct capture *c, struct error *err)
{
    return check_foreign_slot(c, err) && catalog_position(c->pg, &c->begin_lsn, err) &&
           catalog_ensure_publication(c->pg, c->config, &c->copying, err);
}

void snapshot_begin(struct capture *c)
{
    struct capture_memory *m = &capture_memory;
    c->copy_id = m->next_copy_id++;
    map_clear(&m->copied, NULL);
    mem_free(m->identity);
    struct buf identity = {0};
    identity_put(&identity, &c->server, c->config, pg_database(c->pg), c->copy_id, &c->copying);
    m->identity = buf_take(&identity);
    outbox_put(&c->outbox,
               snapshot_brackets(c, CHANGE_SNAPSHOT_BEGIN, c->begin_lsn + 1, (uint64_t)c->copy_id));
    log_info("capture", "first copy begins", "epoch=%d copy=%" PRId64 " tables=%zu", m->epoch, c->copy_id,
             c->copying.count);
    stage_state(c->status, "beginning the copy of %zu tables", c->copying.count);
}

static bool start_copy(struct capture *c, struct error *err)
{
    struct slot_facts facts;
    if (!preflight_slot_facts(c->pg, c->config->slot, &facts, err)) return false;
    struct copy_plan plan = {
        .config = c->config,
        .status = c->status,
        .epoch = capture_memory.epoch,
        .drop_leftover = facts.exists,
        .table_count = c->copying.count,
        .tables = mem_alloc((c->copying.count + 1) * sizeof *plan.tables),
    };
    snprintf(plan.slot, sizeof plan.slot, "%s", c->config->slot);
    for (size_t i = 0; i < c->copying.count; i++)
        plan.tables[i] = mem_text(c->copying.items[i].table);
    return copy_start(&c->copy, &plan, err);
}

bool snapshot_wait(struct capture *c, bool *durable, struct error *err)
{
    *durable = false;
    if (!outbox_push(&c->outbox, TAKE_US)) return true;
    if (atomic_load(&c->flow->durable_lsn) != (uint64_t)c->copy_id) {
        wake_wait(&c->flow->capture_wake, TAKE_US);
        return true;
    }
    capture_memory.begun = true;
    *durable = true;
    failpoint("snapshot.begin");
    return start_copy(c, err);
}

static void complete(struct capture *c)
{
    struct capture_memory *m = &capture_memory;
    uint64_t lsn = copy_lsn(c->copy);
    failpoint("snapshot.copied");
    outbox_put(&c->outbox, snapshot_brackets(c, CHANGE_SNAPSHOT_COMPLETE, lsn, lsn));
    for (size_t i = 0; i < c->copying.count; i++)
        *map_put(&m->copied, slice_of(c->copying.items[i].table)) = &m->copied;
    log_info("capture", "first copy complete", "copy=%" PRId64 " lsn=" LSN_FORMAT, c->copy_id,
             LSN_ARGS(lsn));
}

bool snapshot_step(struct capture *c, bool *done, struct error *err)
{
    struct capture_memory *m = &capture_memory;
    *done = false;
    if (!outbox_push(&c->outbox, TAKE_US)) return true;
    if (m->copy_complete || !c->copy) { /* the complete records have been handed on */
        *done = true;
        return true;
    }
    struct change_batch *batch = copy_take(c->copy, TAKE_US);
    if (batch) {
        batch->end_lsn = (uint64_t)c->copy_id;
        outbox_put(&c->outbox, batch);
        copy_show(c->copy);
        return true;
    }
    switch (copy_look(c->copy, err)) {
    case COPY_RUNNING: copy_show(c->copy); return true;
    case COPY_FAILED: return error_wrap(err, "the first copy");
    case COPY_DONE: break;
    }
    complete(c);
    copy_close(c->copy);
    c->copy = NULL;
    return true;
}
