/* Where to begin: whether the position row and the outbox meet.
 *
 *   recorded == last row of `batches`                     -> go on, nothing waits
 *   recorded <  last, next row's batch is in the outbox   -> go on from the outbox
 *   recorded <  last, refine is not ready                 -> wait (it may still complete that batch)
 *   recorded <  last, otherwise                           -> reload as of the last row of `batches`
 *   recorded >  last                                      -> another lake: reload
 *   no `batches`                                          -> nothing to show yet; forget what is there
 *
 * Before all of that: tables with parts that the engine cannot read (must_reload) are loaded anew. */
#include "stages/warehouse/stage_int.h"

#include "base/log.h"
#include "lake/delta.h"
#include "stages/outbox.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* The gold part of {"silver":{...},"gold":{...}}. */
static char *gold_versions_of(const char *text)
{
    json_error_t at;
    json_t *all = json_loads(text, 0, &at);
    char *gold = json_dumps(json_object_get(all, "gold"), JSON_COMPACT);
    char *own = mem_text(gold ? gold : "{}");
    free(gold);
    json_decref(all);
    return own;
}

static void take_batch(char *text, struct warehouse_position *last)
{
    char *rest = text;
    last->position = strtoll(strsep(&rest, "\t"), NULL, 10);
    const char *lsn = strsep(&rest, "\t"), *commit = strsep(&rest, "\t"), *versions = strsep(&rest, "\n");
    last->end_lsn = lsn ? strtoull(lsn, NULL, 10) : 0;
    last->commit_us = commit ? strtoll(commit, NULL, 10) : 0;
    last->versions = gold_versions_of(versions ? versions : "{}");
}

/* position stays -1 when there is no batch. */
static bool read_last_batch(struct warehouse *w, struct warehouse_position *last, struct error *err)
{
    *last = (struct warehouse_position){.position = -1};
    if (!delta_exists(w->flow->lake, BATCHES_TABLE)) return true;
    struct buf sql = {0}, row = {0};
    buf_put_text(&sql, "SELECT position, end_lsn, toUnixTimestamp64Micro(commit_at), versions FROM ");
    w->target.ops->put_delta(w->target.self, BATCHES_TABLE, &sql);
    buf_put_text(&sql, " ORDER BY position DESC LIMIT 1");
    bool ok = w->target.ops->ask(w->target.self, buf_text(&sql), &row, err);
    char *text = buf_take(&row);
    if (ok && *text) take_batch(text, last);
    mem_free(text);
    buf_free(&sql);
    return ok || error_wrap(err, "warehouse: batches");
}

/* The first position in `batches` after the recorded one. */
static bool read_next_position(struct warehouse *w, int64_t *next, struct error *err)
{
    struct buf sql = {0}, row = {0};
    buf_put_text(&sql, "SELECT position FROM ");
    w->target.ops->put_delta(w->target.self, BATCHES_TABLE, &sql);
    buf_printf(&sql, " WHERE position > %lld ORDER BY position LIMIT 1", (long long)w->at.position);
    bool ok = w->target.ops->ask(w->target.self, buf_text(&sql), &row, err);
    *next = strtoll(buf_text(&row), NULL, 10);
    buf_free(&row);
    buf_free(&sql);
    return ok || error_wrap(err, "warehouse: batches");
}

static bool outbox_meets(struct warehouse *w, bool *found, bool *meets, struct error *err)
{
    struct outbox_batch first = {0};
    int64_t next = 0;
    *meets = false;
    if (!outbox_next(w->flow->state, w->at.position, &first, found, err)) return false;
    bool ok = !*found || read_next_position(w, &next, err);
    *meets = *found && first.position == next;
    outbox_batch_free(&first);
    return ok;
}

static bool reload(struct warehouse *w, struct warehouse_position *last, struct error *err)
{
    stage_state(w->status, "loading all tables from gold");
    log_info("warehouse", "loading all tables from gold", "recorded=%lld batches=%lld",
             (long long)w->at.position, (long long)last->position);
    if (!reload_all(&w->target, &w->tables, last->versions ? last->versions : "{}", err)) return false;
    last->sequence = w->at.sequence;
    position_free(&w->at);
    w->at = *last;
    last->versions = NULL;
    if (!position_write(&w->target, &w->at, err)) return false;
    warehouse_show(w);
    return w->at.position < 0 || outbox_remove(w->flow->state, w->at.position, err);
}

static bool decide(struct warehouse *w, struct warehouse_position *last, bool *ready, struct error *err)
{
    bool found = false, meets = false;
    *ready = true;
    if (w->must_reload) {
        if (!reload(w, last, err)) return false;
        w->must_reload = false;
        return true;
    }
    if (last->position < 0) {
        *ready = false;
        return w->at.position < 0 || reload(w, last, err);
    }
    if (w->at.position == last->position) return true;
    if (w->at.position > last->position) return reload(w, last, err);
    if (!outbox_meets(w, &found, &meets, err)) return false;
    if (meets) return true;
    if (!found && atomic_load(&w->flow->refined_position) < last->position) {
        *ready = false;
        return true;
    }
    return reload(w, last, err);
}

bool warehouse_meet(struct warehouse *w, bool *ready, struct error *err)
{
    struct warehouse_position last;
    *ready = false;
    bool ok = read_last_batch(w, &last, err) && decide(w, &last, ready, err);
    mem_free(last.versions);
    return ok;
}
