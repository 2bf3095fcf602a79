/* New columns, or another model, over rows that are there already.
 *
 *   columns differ:  judge all raw rows --> keyed_replace (good rows; bad ones keep their last good row)
 *   model differs:   judge all raw rows --> keyed_merge by difference, which leaves marks for gold
 *
 *  1. Both happen at the table's own position, before the range that brought the schema is folded, so a
 *     run that is killed in between finds either the old table or the new one, and the range still to do.
 *  2. Rows that the new rules refuse go to quarantine and keep what silver shows of them. */
#include "base/log.h"
#include "stages/refine/gold/gold.h"
#include "stages/refine/silver/silver_int.h"

static void put_quarantine_row(const struct table *t, const struct entry *e, struct slice reason,
                               struct buf *row)
{
    buf_put_string(row, slice_of(t->name));
    buf_put_string(row, e->key);
    buf_put_string(row, reason);
    buf_put_string(row, e->raw.after);
    buf_put_u32(row, (uint32_t)e->raw.epoch);
    buf_put_u64(row, e->raw.lsn);
    buf_put_u64(row, e->raw.ordinal);
    buf_put_u64(row, (uint64_t)e->raw.commit_us);
    buf_put_u64(row, (uint64_t)e->raw.commit_us);
}

/* ---- judging again */

struct judge {
    struct silver *silver;
    struct table *table;
    struct map kept; /* key -> struct buf *: last good rows of bad keys, in the new columns */
    struct keyed_change *quarantine;
    size_t count, cap;
    struct arena arena;
    struct state_batch *flags;
};

static void free_buf(void *p)
{
    buf_free(p);
    mem_free(p);
}

/* What silver shows of a key, in other columns; *out stays empty when a value that must be there is not. */
static bool convert_row(const struct columns *from, const struct columns *to, struct slice row,
                        struct buf *out)
{
    struct slice *fields = mem_resize(NULL, from->count + 1, sizeof *fields);
    bool ok = row_next(from, &row, fields, NULL);
    for (size_t i = 0; ok && i < to->count; i++) {
        const struct column *c = &to->items[i];
        int at = columns_find(from, c->name);
        bool same = at >= 0 && from->items[at].type == c->type && from->items[at].scale == c->scale &&
                    from->items[at].precision == c->precision;
        struct slice field = same ? fields[at] : (struct slice){0};
        if (!field.data && !c->nullable)
            ok = false;
        else
            row_put_field(out, c, field);
    }
    mem_free(fields);
    if (!ok) buf_clear(out);
    return ok;
}

static bool judge_bad(struct judge *j, struct entry *e, struct slice reason, struct error *err)
{
    struct buf key = {0}, row = {0}, shown = {0};
    bool found = false;
    quarantine_put_key(j->table->name, e->key, &key);
    put_quarantine_row(j->table, e, reason, &row);
    MEM_GROW(j->quarantine, j->count, j->cap);
    j->quarantine[j->count++] = (struct keyed_change){arena_copy(&j->arena, buf_slice(&key)),
                                                      arena_copy(&j->arena, buf_slice(&row))};
    bool ok = keyed_get(j->table->current, e->key, &shown, &found, err);
    if (ok && found) {
        struct buf *kept = mem_alloc(sizeof *kept);
        convert_row(keyed_columns(j->table->current), &j->table->stored, buf_slice(&shown), kept);
        *map_put(&j->kept, e->key) = kept;
    }
    buf_free(&key);
    buf_free(&row);
    buf_free(&shown);
    return ok;
}

static bool judge_row(struct judge *j, struct entry *e, const struct clean_item *item, struct error *err)
{
    bool was = e->raw.flags & RAW_QUARANTINED;
    if (item->reason.data) {
        e->raw.flags |= RAW_QUARANTINED;
        if (!was) raw_put_row(j->table, e, j->flags);
        return judge_bad(j, e, item->reason, err);
    }
    if (!was) return true;
    struct buf key = {0};
    e->raw.flags &= (uint8_t)~RAW_QUARANTINED;
    raw_put_row(j->table, e, j->flags);
    quarantine_put_key(j->table->name, e->key, &key);
    MEM_GROW(j->quarantine, j->count, j->cap);
    j->quarantine[j->count++] = (struct keyed_change){.key = arena_copy(&j->arena, buf_slice(&key))};
    buf_free(&key);
    return true;
}

static bool judge_all(struct judge *j, struct error *err)
{
    struct raw_walk walk;
    struct entry *e;
    struct clean_item *item;
    raw_walk_open(&walk, j->table, j->silver->flow->state, &j->silver->cleaner, NULL);
    bool ok = true;
    while ((ok = raw_walk_next(&walk, &e, &item, err)) && e)
        if (!(ok = judge_row(j, e, item, err))) break;
    return raw_walk_close(&walk, ok, err);
}

static bool judge_commit(struct judge *j, struct error *err)
{
    struct silver *s = j->silver;
    struct keyed_counts counts;
    int64_t position = keyed_position(s->quarantine);
    if (j->count && !keyed_merge(s->quarantine, s->conn, j->quarantine, j->count, position, NULL, NULL,
                                 NULL, &counts, err))
        return error_wrap(err, QUARANTINE_TABLE);
    return state_write(s->flow->state, j->flags, err);
}

static void judge_free(struct judge *j)
{
    map_free(&j->kept, free_buf);
    mem_free(j->quarantine);
    arena_free(&j->arena);
    state_batch_free(j->flags);
}

/* ---- replacing and merging */

struct replacement {
    struct judge *judge;
    struct raw_walk walk;
    struct buf row;
};

static bool next_row(void *arg, struct slice *key, struct slice *row, bool *done, struct error *err)
{
    struct replacement *r = arg;
    struct entry *e;
    struct clean_item *item;
    for (*done = false;;) {
        if (!raw_walk_next(&r->walk, &e, &item, err)) return false;
        if (!e) {
            *done = true;
            return true;
        }
        *key = e->key;
        buf_clear(&r->row);
        if (!item->reason.data) {
            const struct version v = raw_version(e);
            put_current_row(&r->row, item->row, &v);
            *row = buf_slice(&r->row);
            return true;
        }
        const struct buf *kept = map_get(&r->judge->kept, e->key);
        if (!kept || !kept->len) continue;
        *row = buf_slice(kept);
        return true;
    }
}

static bool replace_current(struct judge *j, struct error *err)
{
    struct silver *s = j->silver;
    struct table *t = j->table;
    int64_t position = keyed_position(t->current);
    bool differ;
    keyed_close(t->current);
    t->current = NULL;
    if (!table_open_current(s, t, &t->stored, &differ, err)) return false;
    struct replacement r = {.judge = j};
    raw_walk_open(&r.walk, t, s->flow->state, &s->cleaner, NULL);
    bool ok = keyed_replace(t->current, s->conn, &t->stored, next_row, &r, position, err);
    ok = raw_walk_close(&r.walk, ok, err);
    buf_free(&r.row);
    return ok;
}

/* The rows that the new model gives, merged by difference. */
static bool merge_current(struct judge *j, struct error *err)
{
    struct silver *s = j->silver;
    struct table *t = j->table;
    struct gold_mark mark = {s->flow->state, t->name};
    struct raw_walk walk;
    raw_walk_open(&walk, t, s->flow->state, &s->cleaner, NULL);
    struct keyed_change *changes = mem_resize(NULL, RAW_WALK_ROWS, sizeof *changes);
    bool ok = true;
    do {
        struct arena rows = {0};
        struct keyed_counts counts;
        size_t n = 0;
        ok = raw_walk_fill(&walk, err);
        for (size_t i = 0; ok && i < walk.count; i++) {
            if (walk.items[i].reason.data) continue;
            struct buf row = {0};
            const struct version v = raw_version(&walk.entries[i]);
            put_current_row(&row, walk.items[i].row, &v);
            changes[n++] = (struct keyed_change){walk.entries[i].key, arena_copy(&rows, buf_slice(&row))};
            buf_free(&row);
        }
        ok = ok && (n == 0 || keyed_merge(t->current, s->conn, changes, n, keyed_position(t->current), NULL,
                                          s->hooks.applied, &mark, &counts, err));
        arena_free(&rows);
    } while (ok && walk.count);
    mem_free(changes);
    return raw_walk_close(&walk, ok, err);
}

static bool evolve_current(struct silver *s, struct table *t, struct error *err)
{
    bool columns = !columns_equal(keyed_columns(t->current), &t->stored);
    bool model = t->record.model_hash != t->model.hash && t->record.position > 0;
    if (!columns && !model) return true;
    log_info("refine", columns ? "new columns" : "new model", "table=%s rows=%lld", t->name,
             (long long)keyed_row_count(t->current));
    struct judge j = {.silver = s, .table = t, .flags = state_batch_new()};
    /* quarantine first: once the columns are the new ones, nobody judges these rows again */
    bool ok = judge_all(&j, err) && judge_commit(&j, err) &&
              (columns ? replace_current(&j, err) : merge_current(&j, err));
    judge_free(&j);
    return ok || error_wrap(err, "silver/%s: new columns", t->name);
}

bool table_evolve(struct silver *s, struct table *t, struct error *err)
{
    if (t->current && !evolve_current(s, t, err)) return false;
    if (!history_evolve(t, err)) return false;
    t->record.model_hash = t->model.hash;
    return true;
}
