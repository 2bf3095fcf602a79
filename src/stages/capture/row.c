/* The messages of a transaction, one at a time, into changes.
 *
 *   B, (R | Y | I U D | T)*, C
 *
 * An update: unchanged TOAST values are filled from the old row where it has them (REPLICA IDENTITY
 * FULL, or a key column), else named in `unchanged`. The old key is told when it differs. With FULL the
 * old row is `before`; of a 'K' tuple only the identity's columns are real, the others are unknown. */
#include "base/clock.h"
#include "base/log.h"
#include "stages/capture/capture_int.h"

void relation_free(void *relation)
{
    struct relation *r = relation;
    if (!r) return;
    capture_table_free(r->table);
    mem_free(r);
}

static struct slice oid_key(const uint32_t *oid)
{
    return (struct slice){(const char *)oid, sizeof *oid};
}

static void reserve_values(struct capture *c, size_t count)
{
    if (count <= c->value_cap) return;
    c->value_cap = count + 32;
    c->values = mem_resize(c->values, c->value_cap, sizeof *c->values);
    c->old_values = mem_resize(c->old_values, c->value_cap, sizeof *c->old_values);
}

static bool wanted(const struct capture *c, const char *table)
{
    return !c->config->tables || !c->config->tables[0] || list_holds(c->config->tables, table);
}

/* PostgreSQL sends a relation before its first change on a connection and after anything that may have
 * changed it. The catalogue is asked each time: keys and NOT NULL do not show in the message. */
static bool on_relation(struct capture *c, struct error *err)
{
    const struct pgoutput_message *m = &c->message;
    struct relation *r = mem_alloc(sizeof *r);
    if (!catalog_relation(c->pg, c->config, m, &r->table, err) || !events_prepare(c->pg, r->table, false, err)) {
        relation_free(r);
        return false;
    }
    const char *name = r->table->schema.table;
    if (!wanted(c, name)) {
        capture_table_free(r->table);
        r->table = NULL;
    } else {
        reserve_values(c, r->table->source_count);
    }
    void **place = map_put(&c->relations, oid_key(&m->oid));
    struct relation *old = *place;
    if (old && old->table && r->table && old->announced)
        r->announced = strcmp(old->table->schema.id, r->table->schema.id) == 0 &&
                       strcmp(old->table->schema.table, r->table->schema.table) == 0;
    if (old && !r->announced) c->next_look_us = 0; /* it may have been rewritten */
    relation_free(old);
    *place = r;
    return true;
}

static bool find_relation(struct capture *c, uint32_t oid, struct relation **out, struct error *err)
{
    *out = map_get(&c->relations, oid_key(&oid));
    return *out || error_set(err, ERROR_RETRY,
                             "PostgreSQL sent a change of relation %u without describing it", oid);
}

static struct slice given(const struct buf *b)
{
    return b->len ? buf_slice(b) : (struct slice){0};
}

static struct change change_for(const struct capture *c, enum change_op op, const char *table)
{
    return (struct change){
        .op = op,
        .table = slice_of(table),
        .epoch = capture_memory.epoch,
        .lsn = c->commit_lsn,
        .ordinal = c->ordinal,
        .xid = c->xid,
        .commit_us = c->commit_us,
        .capture_us = c->capture_us,
        .event_lsn = c->event_lsn,
        .previous_lsn = c->previous_lsn,
        .origin = given(&c->origin),
        .origin_lsn = c->origin_lsn,
    };
}

/* The transaction whose parts are in the queue comes first. PostgreSQL sends in the order of commits, so
 * another one means that it lost that one; the next start takes all anew from the lake's position. */
static bool continues(const struct capture *c, struct error *err)
{
    if (!c->outbox.torn || c->outbox.open_partial) return true;
    return error_set(err, ERROR_FATAL,
                     "the rest of the transaction that committed at " LSN_FORMAT
                     " did not come again, but one that committed at " LSN_FORMAT,
                     LSN_ARGS(capture_memory.partial_lsn), LSN_ARGS(c->commit_lsn));
}

static void announce(struct capture *c, struct relation *r)
{
    if (r->announced) return;
    r->announced = true;
    struct buf record = {0};
    struct change change = change_for(c, CHANGE_SCHEMA, r->table->schema.table);
    table_put_schema(r->table, &record, &change);
    outbox_add(&c->outbox, &change);
    buf_free(&record);
    resync_need(r->table->schema.table);
}

/* The tuple's values in the order of kept columns. */
static bool map_tuple(const struct capture_table *t, const struct pgoutput_tuple *tuple,
                      struct pgoutput_value *to, struct error *err)
{
    if (tuple->count != t->source_count)
        return error_set(err, ERROR_RETRY, "a row of %s came with %zu columns, its relation has %zu",
                         t->schema.table, tuple->count, t->source_count);
    for (size_t i = 0; i < t->schema.count; i++)
        to[i] = tuple->values[t->source[i]];
    return true;
}

static void fill_unchanged(const struct capture *c, const struct capture_table *t)
{
    char kind = c->message.old_kind;
    for (size_t i = 0; i < t->schema.count; i++) {
        bool known = kind == 'O' || (kind == 'K' && t->columns[i].identity);
        if (c->values[i].kind == PGOUTPUT_UNCHANGED && known && c->old_values[i].kind != PGOUTPUT_UNCHANGED)
            c->values[i] = c->old_values[i];
    }
}

static void clear_images(struct capture *c)
{
    buf_clear(&c->key);
    buf_clear(&c->old_key);
    buf_clear(&c->before);
    buf_clear(&c->after);
    buf_clear(&c->unchanged);
}

/* The old tuple's key and, when it is the whole row, the old image. */
static bool read_old(struct capture *c, const struct capture_table *t, struct error *err)
{
    if (!c->message.old_kind) return true;
    if (!map_tuple(t, &c->message.old_row, c->old_values, err)) return false;
    table_put_key(t, c->old_values, &c->old_key);
    if (c->message.old_kind == 'O') {
        table_put_image(t, c->old_values, &c->before, &c->unchanged);
        buf_clear(&c->unchanged); /* an old row comes detoasted */
    } else if (t->debezium) {
        table_put_old_image(t, c->old_values, &c->before);
    }
    return true;
}

static bool read_new(struct capture *c, const struct capture_table *t, struct error *err)
{
    if (!map_tuple(t, &c->message.new_row, c->values, err)) return false;
    fill_unchanged(c, t);
    table_put_key(t, c->values, &c->key);
    table_put_image(t, c->values, &c->after, &c->unchanged);
    return true;
}

static bool images_fit(const struct capture *c)
{
    return buf_ok(&c->key) && buf_ok(&c->old_key) && buf_ok(&c->before) && buf_ok(&c->after) &&
           buf_ok(&c->unchanged);
}

static bool on_row(struct capture *c, struct error *err)
{
    struct relation *r;
    if (!find_relation(c, c->message.oid, &r, err)) return false;
    if (++c->ordinal <= c->skip || !r->table) return true;
    if (!continues(c, err)) return false;
    const struct capture_table *t = r->table;
    announce(c, r);
    clear_images(c);
    char type = c->message.type;
    if (!read_old(c, t, err) || (type != 'D' && !read_new(c, t, err))) return false;
    if (!images_fit(c))
        return error_set(err, ERROR_FATAL, "a row of %s is larger than 2 GB", t->schema.table);
    enum change_op op = type == 'I' ? CHANGE_CREATE : type == 'U' ? CHANGE_UPDATE : CHANGE_DELETE;
    struct change change = change_for(c, op, t->schema.table);
    change.key = given(type == 'D' ? &c->old_key : &c->key);
    if (type == 'U' && !slice_equal(buf_slice(&c->key), buf_slice(&c->old_key)))
        change.old_key = given(&c->old_key);
    change.before = given(&c->before);
    change.after = given(&c->after);
    change.unchanged = given(&c->unchanged);
    window_note(c, t->schema.table, change.key, change.old_key);
    if (type == 'I' && t->debezium && strcmp(c->config->signal_data_collection, t->schema.table) == 0)
        signal_take(c, change.after);
    outbox_add(&c->outbox, &change);
    return true;
}

static bool on_truncate(struct capture *c, struct error *err)
{
    for (size_t i = 0; i < c->message.relation_count; i++) {
        struct relation *r;
        if (!find_relation(c, c->message.relations[i], &r, err)) return false;
        if (++c->ordinal <= c->skip || !r->table) continue;
        if (!continues(c, err)) return false;
        announce(c, r);
        window_truncate(c, r->table->schema.table);
        struct change change = change_for(c, CHANGE_TRUNCATE, r->table->schema.table);
        outbox_add(&c->outbox, &change);
    }
    return true;
}

static bool on_begin(struct capture *c, struct error *err)
{
    c->in_transaction = true;
    c->commit_lsn = c->message.commit_lsn;
    c->commit_us = c->message.commit_us;
    c->xid = c->message.xid;
    c->ordinal = c->skip = 0;
    buf_clear(&c->origin);
    c->origin_lsn = 0;
    c->outbox.changes = 0;
    if (!c->outbox.torn) return true;
    if (capture_memory.partial_lsn == c->commit_lsn) {
        c->skip = capture_memory.partial_count; /* handed on over an earlier connection */
        c->outbox.open_partial = true;
    }
    return c->commit_lsn <= capture_memory.partial_lsn || continues(c, err);
}

static void on_commit(struct capture *c)
{
    c->in_transaction = false;
    c->idle_lsn = c->message.end_lsn;
    if (!c->outbox.open->count && !c->outbox.open_partial) return;
    c->previous_lsn = c->message.end_lsn; /* of what was sent: a later run must come to the same */
    outbox_commit(&c->outbox, c->commit_lsn, c->message.end_lsn, c->commit_us);
}

static void on_origin(struct capture *c)
{
    buf_clear(&c->origin);
    buf_put_slice(&c->origin, c->message.name);
    c->origin_lsn = c->message.commit_lsn;
}

/* A comma list, as the settings have it, holds the message's prefix; empty lists hold nothing. */
static bool prefix_wanted(const struct capture *c)
{
    char *prefix = mem_textn(c->message.name.data, c->message.name.len);
    const char *only = c->config->message_prefix_include_list;
    bool wanted = (!*only || list_holds(only, prefix)) && !list_holds(c->config->message_prefix_exclude_list, prefix);
    mem_free(prefix);
    return wanted;
}

/* pg_logical_emit_message: to Kafka only. One that is not transactional comes between transactions and is a
 * transaction of its own, which ends behind its record. */
static bool on_logical_message(struct capture *c, struct error *err)
{
    if (!events_options() || !prefix_wanted(c)) return true;
    bool alone = !c->in_transaction;
    if (alone) {
        c->commit_lsn = c->event_lsn;
        c->ordinal = c->skip = c->xid = 0;
        c->origin_lsn = 0;
        buf_clear(&c->origin);
        c->outbox.changes = 0;
    }
    if (++c->ordinal <= c->skip) return true;
    if (!continues(c, err)) return false;
    struct change change = change_for(c, CHANGE_MESSAGE, "");
    change.key = c->message.name;
    change.after = c->message.content;
    outbox_add(&c->outbox, &change);
    if (!alone) return true;
    c->idle_lsn = c->previous_lsn = c->event_lsn + 1;
    outbox_commit(&c->outbox, c->commit_lsn, c->event_lsn + 1, c->commit_us);
    return true;
}

bool stream_message(struct capture *c, struct slice bytes, struct error *err)
{
    if (!pgoutput_decode(bytes, &c->message, err)) return false;
    switch (c->message.type) {
    case 'B': return on_begin(c, err);
    case 'C': on_commit(c); return true;
    case 'R': return on_relation(c, err);
    case 'I':
    case 'U':
    case 'D': return on_row(c, err);
    case 'T': return on_truncate(c, err);
    case 'O': on_origin(c); return true;
    case 'M': return on_logical_message(c, err);
    default: return true; /* Y carries nothing that we keep */
    }
}
