/* What a model's run has found to change, kept until it is merged.
 *
 * Usually one merge for a model and batch; a run that changes very much merges in between, at the
 * position where the table stands, and only the last merge moves it. The merge's hook writes what follows
 * from it into the same atomic batch: the outbox for the warehouse, and marks when later models read this
 * one and are not recomputed anyway. */
#include "stages/refine/gold/gold_int.h"

#include "base/failpoint.h"
#include "stages/outbox.h"

/* With the rows before, the outbox and the marks a merge then stays below what keyed keeps as one intent.
 */
enum { CHANGES_BYTES_MAX = 8 << 20, CHANGES_MAX = 50000 };

static struct gold_change *find(struct gold_changes *c, struct slice key)
{
    size_t at = (size_t)(uintptr_t)map_get(&c->by_key, key);
    return at ? &c->items[at - 1] : NULL;
}

static struct gold_change *add(struct gold_changes *c, struct slice key)
{
    MEM_GROW(c->items, c->count, c->cap);
    struct gold_change *item = &c->items[c->count++];
    *item = (struct gold_change){.key_at = c->bytes.len, .key_len = key.len};
    buf_put_slice(&c->bytes, key);
    *map_put(&c->by_key, key) = (void *)(uintptr_t)c->count;
    return item;
}

void gold_changes_upsert(struct gold_changes *c, struct slice key, struct slice row)
{
    struct gold_change *item = find(c, key);
    if (!item) item = add(c, key);
    item->gone = false;
    item->row_at = c->bytes.len;
    item->row_len = row.len;
    buf_put_slice(&c->bytes, row);
}

void gold_changes_delete(struct gold_changes *c, struct slice key)
{
    if (find(c, key)) return;
    add(c, key)->gone = true;
}

bool gold_changes_large(const struct gold_changes *c)
{
    return c->bytes.len >= CHANGES_BYTES_MAX || c->count >= CHANGES_MAX;
}

/* Whether a model that follows by marks reads this one. */
static bool marks_wanted(const struct gold *g, const struct gold_model *m)
{
    for (size_t i = 0; i < g->models.count; i++) {
        const struct gold_model *reader = &g->models.items[i];
        if (reader->whole || reader->full || !reader->built_hash) continue;
        for (size_t t = 0; t < reader->table_count; t++) {
            const struct gold_input *in = &g->models.inputs[reader->tables[t]];
            if (in->kind == GOLD_MODEL && &g->models.items[in->model] == m) return true;
        }
    }
    return false;
}

static void merge_hook(void *arg, const struct keyed_applied *applied, size_t count, int64_t version,
                       struct state_batch *also)
{
    struct gold_changes *c = arg;
    struct outbox_writer writer = {
        .table = c->m->name,
        .position = c->outbox_position,
        .columns = &c->m->columns,
        .sort_columns = c->m->sort,
        .sort_column_count = c->m->sort_count,
    };
    outbox_append(&writer, applied, count, version, also);
    struct gold_mark mark = {.state = c->g->flow->state, .table = c->m->name};
    gold_mark_hook(&mark, applied, marks_wanted(c->g, c->m) ? count : 0, version, also);
}

static bool merge(struct gold_changes *c, int64_t position, struct error *err)
{
    struct keyed_change *changes = mem_resize(NULL, c->count + 1, sizeof *changes);
    struct keyed_counts counts = {0};
    for (size_t i = 0; i < c->count; i++) {
        const struct gold_change *item = &c->items[i];
        changes[i].key = (struct slice){c->bytes.data + item->key_at, item->key_len};
        changes[i].row = item->gone ? (struct slice){NULL, 0}
                                    : (struct slice){c->bytes.data + item->row_at, item->row_len};
    }
    bool ok = buf_ok(&c->bytes) || error_set(err, ERROR_FATAL, "changes do not fit into memory");
    ok = ok && keyed_merge(c->m->keyed, c->g->conn, changes, c->count, position, NULL, merge_hook, c,
                           &counts, err);
    mem_free(changes);
    c->written += counts.inserted + counts.updated;
    c->deleted += counts.deleted;
    c->count = 0;
    buf_clear(&c->bytes);
    map_clear(&c->by_key, NULL);
    if (!ok) return false;
    c->merged = true;
    failpoint("gold.model");
    return true;
}

bool gold_changes_flush(struct gold_changes *c, struct error *err)
{
    return c->count == 0 || merge(c, keyed_position(c->m->keyed), err);
}

bool gold_changes_end(struct gold_changes *c, struct error *err)
{
    if (c->count == 0 && !c->merged) return true; /* only touched tables commit */
    int64_t now = keyed_position(c->m->keyed);
    return merge(c, c->position > now ? c->position : now, err);
}

void gold_changes_free(struct gold_changes *c)
{
    buf_free(&c->bytes);
    mem_free(c->items);
    map_free(&c->by_key, NULL);
    c->items = NULL;
    c->count = c->cap = 0;
}
