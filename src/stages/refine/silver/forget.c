/* The state of tables that is made anew from a snapshot of bronze: what goes before, what is said after. */
#include "format/change.h"
#include "stages/refine/silver/silver_int.h"

/* Deletes all `<kind>/<table>\0...`. */
static void delete_kind(const struct table *t, char kind, struct state_batch *batch)
{
    struct buf from = {0}, to = {0};
    raw_put_key(kind, t->name, (struct slice){0}, &from);
    buf_put_slice(&to, buf_slice(&from));
    to.data[to.len - 1] = 1; /* the 0 after the name */
    state_batch_delete_range(batch, buf_slice(&from), buf_slice(&to));
    buf_free(&from);
    buf_free(&to);
}

static void forget_table(struct table *t, struct state_batch *batch)
{
    struct table_record none = {0};
    memcpy(none.source, t->record.source, sizeof none.source);
    for (const char *kind = "wnqzst"; *kind; kind++)
        delete_kind(t, *kind, batch);
    silver_unload_table(t);
    t->record = none;
    t->schema = NULL;
    t->failed = false;
}

bool silver_forget(struct silver *s, int64_t position, struct error *err)
{
    struct state_batch *batch = state_batch_new();
    size_t at = 0;
    void *value;
    while (map_next(&s->tables, &at, NULL, &value))
        if (((struct table *)value)->record.position < position) forget_table(value, batch);
    struct buf none = {0};
    raw_put_be64(&none, 0);
    state_batch_put(batch, SLICE("c/"), buf_slice(&none));
    s->open_copy = 0;
    s->from = 0;
    bool ok = state_write(s->flow->state, batch, err);
    buf_free(&none);
    state_batch_free(batch);
    return ok;
}

bool silver_stand_at(struct silver *s, int64_t position, struct error *err)
{
    struct state_batch *batch = state_batch_new();
    size_t at = 0;
    void *value;
    while (map_next(&s->tables, &at, NULL, &value)) {
        struct table *t = value;
        if (t->record.behind || t->record.position >= position) continue;
        t->record.position = position;
        table_put_record(t, batch);
    }
    s->from = position;
    bool ok = state_write(s->flow->state, batch, err);
    state_batch_free(batch);
    return ok;
}
