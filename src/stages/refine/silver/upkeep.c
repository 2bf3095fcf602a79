/* Upkeep of silver's tables, one table a call, and of old tombstones. Best effort: what is not done now is
 * done next time. */
#include "stages/refine/silver/silver_int.h"

enum { TOMBSTONE_POSITIONS = 1024, TOMBSTONE_BATCH = 1000 };

/* Tombstones keep positions and times of deleted keys against repeats; old ones are dropped. */
static bool drop_tombstones(struct silver *s, struct table *t, struct error *err)
{
    int64_t until = t->record.position - ((int64_t)TOMBSTONE_POSITIONS << 16);
    if (t->record.copy || until <= 0) return true;
    struct buf prefix = {0}, key = {0}, value = {0};
    raw_put_key('z', t->name, (struct slice){0}, &prefix);
    struct state_iter *it = state_iter_open(s->flow->state, NULL, buf_slice(&prefix));
    struct state_batch *batch = state_batch_new();
    struct slice mark, nothing;
    bool ok = true;
    for (int n = 0; ok && n < TOMBSTONE_BATCH && state_iter_next(it, &mark, &nothing); n++) {
        if (mark.len < prefix.len + 8 || (int64_t)raw_get_be64(mark.data + prefix.len) >= until) break;
        struct raw_row raw;
        bool found;
        buf_clear(&key);
        buf_clear(&value);
        raw_put_key('w', t->name, (struct slice){mark.data + prefix.len + 8, mark.len - prefix.len - 8},
                    &key);
        ok = state_get(s->flow->state, NULL, buf_slice(&key), &value, &found, err);
        if (ok && found && raw_decode(buf_slice(&value), &raw) && raw.flags & RAW_DELETED)
            state_batch_delete(batch, buf_slice(&key));
        state_batch_delete(batch, mark);
    }
    struct error closing = {0};
    ok = state_iter_close(it, ok ? err : &closing) && ok;
    ok = ok && state_write(s->flow->state, batch, err);
    state_batch_free(batch);
    buf_free(&prefix);
    buf_free(&key);
    buf_free(&value);
    return ok;
}

static bool upkeep_table(struct silver *s, struct table *t, struct error *err)
{
    const struct config *config = s->flow->config;
    size_t merged;
    if (t->current && !keyed_upkeep(t->current, s->conn, keyed_version(t->current), err)) return false;
    return delta_compact_append_only(t->history, s->conn, (size_t)config->live_files_max,
                                     config->compact_rows_max, &merged, err) &&
           delta_upkeep(t->history, s->conn, delta_version(t->history), err) && drop_tombstones(s, t, err);
}

bool silver_upkeep(struct silver *s, size_t part, bool *done, struct error *err)
{
    size_t at = 0;
    void *value;
    *done = false;
    while (map_next(&s->tables, &at, NULL, &value)) {
        struct table *t = value;
        if (part-- > 0) continue;
        return !t->opened || !t->history || upkeep_table(s, t, err) ||
               error_wrap(err, "silver: %s", t->name);
    }
    *done = true;
    return keyed_upkeep(s->quarantine, s->conn, keyed_version(s->quarantine), err);
}
