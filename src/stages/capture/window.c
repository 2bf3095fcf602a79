/* The window of a copy beside the stream (after DBLog): the stream goes on while the rows are read, and each topic
 * must end with the newest. A key that the stream has changed by a transaction which the snapshot does not hold is
 * left out of the copy: its change is, or will be, in the topic, with the whole row. */
#include "stages/capture/capture_int.h"

/* data NULL: the whole table, which TRUNCATE has emptied. */
static void put_name(struct buf *name, struct slice table, struct slice key)
{
    buf_put_slice(name, table);
    buf_put_char(name, '\0');
    if (key.data) buf_put_slice(name, key);
}

void window_open(struct capture *c)
{
    c->window_open = events_options() != NULL;
    map_clear(&c->window, mem_free);
}

void window_close(struct capture *c)
{
    c->window_open = false;
    map_clear(&c->window, mem_free);
}

static void note(struct capture *c, const char *table, struct slice key)
{
    struct buf name = {0};
    put_name(&name, slice_of(table), key);
    void **place = map_put(&c->window, buf_slice(&name));
    buf_free(&name);
    if (!*place) *place = mem_alloc(sizeof c->commit_lsn);
    memcpy(*place, &c->commit_lsn, sizeof c->commit_lsn);
}

static bool is_copied(const struct capture *c, const char *table)
{
    return c->window_open && published_find(&c->copying, table);
}

void window_note(struct capture *c, const char *table, struct slice key, struct slice old_key)
{
    if (!is_copied(c, table)) return;
    if (key.data) note(c, table, key);
    if (old_key.data) note(c, table, old_key);
}

void window_truncate(struct capture *c, const char *table)
{
    if (is_copied(c, table)) note(c, table, (struct slice){0});
}

static bool changed_since(const struct capture *c, struct slice table, struct slice key, uint64_t lsn)
{
    struct buf name = {0};
    uint64_t commit_lsn = 0;
    put_name(&name, table, key);
    const void *found = map_get(&c->window, buf_slice(&name));
    if (found) memcpy(&commit_lsn, found, sizeof commit_lsn);
    buf_free(&name);
    return found && commit_lsn >= lsn;
}

void window_filter(struct capture *c, struct change_batch *batch, uint64_t snapshot_lsn)
{
    if (!c->window_open || batch->table_count == 0) return;
    struct change_table *t = &batch->tables[0];
    struct slice rest = buf_slice(&t->rows);
    struct buf kept = {0};
    struct error ignored = {0}; /* our own bytes */
    while (rest.len) {
        struct change change;
        struct slice row = rest;
        if (!event_decode(&rest, &change, &ignored)) break;
        row.len -= rest.len;
        bool stale = change.op == CHANGE_READ && (changed_since(c, change.table, change.key, snapshot_lsn) ||
                                                  changed_since(c, change.table, (struct slice){0}, snapshot_lsn));
        if (stale) {
            t->count--;
            batch->count--;
            batch->size_bytes -= row.len;
        } else {
            buf_put_slice(&kept, row);
        }
    }
    buf_free(&t->rows);
    t->rows = kept;
}
