/* Events to Kafka records, as Debezium's connector makes them.
 *
 *   c u r t      one record
 *   u, key moved  d of the old key (header __debezium.newkey), tombstone, c of the new (header __debezium.oldkey)
 *   d            d, tombstone
 *   m            a record of <prefix>.message
 *   S            nothing: the topic's schemas from here on, and the topic itself
 *   B E          nothing: the position; E lets go of the rows that were held
 *
 * A row of the first copy is held back until the next one of its table, or the end: source.snapshot says of each
 * whether it is the first or last of its table or of all. Rows of later copies are "incremental".
 *
 * Source: Debezium's PostgreSQL connector, "Data change events"; events recorded from it (tests/golden/debezium). */
#include "stages/stream/producer_int.h"

#include "base/clock.h"

#include <jansson.h>

enum { FULL_US = 20000, TOPIC_US = 30000000 };

/* ---- sending */

/* Waits while the local queue is full: that is the backpressure. */
static bool send(struct producer *p, const char *topic, struct slice key, struct slice value,
                 const struct kafka_header *headers, size_t count, struct error *err)
{
    enum kafka_sent sent;
    for (;;) {
        /* what has no key stays in order */
        if (!kafka_produce(p->kafka, topic, key.data ? -1 : 0, key, value, headers, count, &sent, err)) return false;
        if (sent == KAFKA_SENT) break;
        if (!kafka_poll(p->kafka, FULL_US, err)) return false;
        if (atomic_load(&p->flow->stopping) && kafka_producer_trouble(p->kafka))
            return error_set(err, ERROR_RETRY, "stopping while Kafka does not answer");
    }
    p->records++;
    return true;
}

static bool make_topic(struct producer *p, const char *name, bool *made, struct error *err)
{
    if (*made) return true;
    const struct config *c = p->config;
    const struct kafka_topic_settings settings = {
        .partitions = (int)c->topic_creation_default_partitions,
        .replication = (int)c->topic_creation_default_replication_factor,
        .cleanup_policy = c->topic_creation_default_cleanup_policy,
        .retention_ms = c->topic_creation_default_retention_ms,
    };
    *made = kafka_ensure_topic(p->admin, name, &settings, TOPIC_US, err);
    return *made;
}

enum { CONTEXT_HEADERS = 4, HEADERS_MAX = CONTEXT_HEADERS + 1 };

/* first: one more header in front, or NULL. */
static size_t put_headers(const struct producer *p, const struct kafka_header *first, struct kafka_header *out)
{
    size_t n = 0;
    if (first) out[n++] = *first;
    if (!p->config->extended_headers_enabled) return n;
    out[n++] = (struct kafka_header){"__debezium.context.connectorLogicalName", slice_of(p->config->topic_prefix)};
    out[n++] = (struct kafka_header){"__debezium.context.taskId", SLICE("0")};
    out[n++] = (struct kafka_header){"__debezium.context.connectorName", SLICE("postgresql")};
    out[n++] = (struct kafka_header){"__debezium.context.runId", slice_of(p->run_id)};
    return n;
}

/* ---- the transaction topic */

static bool send_boundary(struct producer *p, bool end, uint64_t lsn, struct error *err)
{
    struct open_transaction *o = &p->open;
    if (!make_topic(p, p->transaction_topic, &p->transaction_made, err)) return false;
    struct debezium_table_count *counts = mem_alloc((o->order_count + 1) * sizeof *counts);
    for (size_t i = 0; i < o->order_count; i++)
        counts[i] = (struct debezium_table_count){slice_of(o->order[i]->table), o->order[i]->count};
    buf_clear(&p->boundary_key);
    buf_clear(&p->boundary);
    debezium_put_transaction_key(o->xid, lsn, p->options.key_schemas, &p->boundary_key);
    debezium_put_transaction(end, o->xid, lsn, o->commit_us / 1000, o->count, counts, o->order_count,
                             p->options.value_schemas, &p->boundary);
    mem_free(counts);
    return send(p, p->transaction_topic, buf_slice(&p->boundary_key), buf_slice(&p->boundary), NULL, 0, err);
}

static bool end_transaction(struct producer *p, uint64_t end_lsn, struct error *err)
{
    struct open_transaction *o = &p->open;
    if (!o->open) return true;
    if (!send_boundary(p, true, end_lsn, err)) return false;
    for (size_t i = 0; i < o->order_count; i++) {
        undo_note(p, o->order[i]);
        o->order[i]->count = 0;
    }
    o->order_count = 0;
    o->open = false;
    return true;
}

/* Counts one record of a topic; gives its places in the transaction. */
static bool count_in(struct producer *p, struct topic *t, const struct change *c, struct debezium_event *e,
                     struct error *err)
{
    struct open_transaction *o = &p->open;
    if (!p->config->provide_transaction_metadata || c->op == CHANGE_READ) return true;
    if (o->open && o->commit_lsn != c->lsn && !end_transaction(p, c->previous_lsn, err)) return false;
    if (c->xid == 0) return true; /* a message that is in none */
    if (!o->open) {
        o->open = true;
        o->commit_lsn = c->lsn;
        o->commit_us = c->commit_us;
        o->xid = c->xid;
        o->count = 0;
        if (!send_boundary(p, false, c->event_lsn, err)) return false;
    }
    undo_note(p, t);
    e->total_order = ++o->count;
    e->table_order = ++t->count;
    if (t->count > 1) return true;
    MEM_GROW(o->order, o->order_count, o->order_cap);
    o->order[o->order_count++] = t;
    return true;
}

/* ---- topics */

void topic_free(void *topic)
{
    struct topic *t = topic;
    if (!t) return;
    mem_free(t->table);
    mem_free(t->name);
    mem_free(t->key_schema);
    mem_free(t->value_schema);
    buf_free(&t->held_event);
    mem_free(t);
}

void topics_forget(struct producer *p)
{
    void *value;
    for (size_t at = 0; map_next(&p->topics, &at, NULL, &value);) ((struct topic *)value)->made = false;
    p->transaction_made = p->message_made = p->heartbeat_made = p->ready = false;
}

static struct topic *topic_of(struct producer *p, struct slice table)
{
    void **place = map_put(&p->topics, table);
    if (*place) return *place;
    struct topic *t = mem_alloc(sizeof *t);
    struct buf name = {0};
    debezium_put_topic(p->config->topic_prefix, table, &name);
    t->table = mem_textn(table.data, table.len);
    t->name = buf_take(&name);
    *place = t;
    return t;
}

static bool take_schema(struct producer *p, const struct change *c, struct error *err)
{
    struct topic *t = topic_of(p, c->table);
    undo_schemas(p, t);
    t->key_schema = c->key.data ? mem_textn(c->key.data, c->key.len) : NULL;
    t->value_schema = mem_textn(c->after.data, c->after.len);
    return make_topic(p, t->name, &t->made, err);
}

/* ---- data records */

static struct slice put_key(struct producer *p, const struct topic *t, struct slice key)
{
    if (!key.data) return key;
    buf_clear(&p->key);
    debezium_put_wrapped(p->options.key_schemas ? t->key_schema : NULL, key, &p->key);
    return buf_slice(&p->key);
}

static struct slice put_value(struct producer *p, const struct debezium_event *e)
{
    buf_clear(&p->value);
    debezium_put_value(e, p->options.binary, &p->value);
    return buf_slice(&p->value);
}

static struct debezium_event event_of(const struct producer *p, const struct topic *t, const struct change *c,
                                      const char *snapshot)
{
    /* "false" is the member's default: JsonConverter prints it, or what the connector gave */
    if (!p->options.null_to_default && strcmp(snapshot, "false") == 0) snapshot = NULL;
    return (struct debezium_event){
        .schema = p->options.value_schemas ? t->value_schema : NULL,
        .version = MILLRACE_VERSION,
        .prefix = p->config->topic_prefix,
        .database = p->database,
        .snapshot = snapshot,
        .table = c->table,
        .op = (char)c->op,
        .before = c->before,
        .after = c->after,
        .lsn = c->event_lsn,
        .previous_lsn = c->previous_lsn,
        .xid = c->xid,
        .commit_us = c->commit_us,
        .now_us = clock_wall_us(),
        .origin = c->origin,
        .origin_lsn = c->origin_lsn,
    };
}

static bool skipped(const struct producer *p, char op)
{
    for (const char *s = p->config->skipped_operations; *s; s++)
        if (*s == op && strcmp(p->config->skipped_operations, "none") != 0) return true;
    return false;
}

static bool send_tombstone(struct producer *p, const struct topic *t, struct slice key,
                           const struct kafka_header *first, struct error *err)
{
    struct kafka_header headers[HEADERS_MAX];
    if (!p->config->tombstones_on_delete) return true;
    size_t n = put_headers(p, first, headers);
    return send(p, t->name, key, (struct slice){0}, headers, n, err);
}

static bool send_event(struct producer *p, struct topic *t, const struct change *c, struct slice key,
                       struct debezium_event *e, const struct kafka_header *first, struct error *err)
{
    struct kafka_header headers[HEADERS_MAX];
    if (!count_in(p, t, c, e, err)) return false;
    size_t n = put_headers(p, first, headers);
    return send(p, t->name, key, put_value(p, e), headers, n, err);
}

static bool send_delete(struct producer *p, struct topic *t, const struct change *c, struct slice key,
                        const struct kafka_header *first, struct error *err)
{
    struct debezium_event e = event_of(p, t, c, "false");
    struct slice record_key = put_key(p, t, key);
    e.op = 'd';
    e.after = (struct slice){0};
    return send_event(p, t, c, record_key, &e, first, err) && send_tombstone(p, t, record_key, first, err);
}

static bool send_moved(struct producer *p, struct topic *t, const struct change *c, struct error *err)
{
    const struct kafka_header new_key = {"__debezium.newkey", c->key}, old_key = {"__debezium.oldkey", c->old_key};
    if (!send_delete(p, t, c, c->old_key, &new_key, err)) return false;
    struct debezium_event e = event_of(p, t, c, "false");
    e.op = 'c';
    e.before = (struct slice){0};
    return send_event(p, t, c, put_key(p, t, c->key), &e, &old_key, err);
}

static bool send_row(struct producer *p, const struct change *c, const char *snapshot, struct error *err)
{
    struct topic *t = topic_of(p, c->table);
    if (!make_topic(p, t->name, &t->made, err)) return false;
    if (skipped(p, (char)c->op)) return true;
    if (c->op == CHANGE_DELETE) return send_delete(p, t, c, c->key, NULL, err);
    if (c->op == CHANGE_UPDATE && c->old_key.data) return send_moved(p, t, c, err);
    struct debezium_event e = event_of(p, t, c, snapshot);
    if (c->op == CHANGE_TRUNCATE) e.before = e.after = (struct slice){0};
    return send_event(p, t, c, put_key(p, t, c->key), &e, NULL, err);
}

static bool send_message(struct producer *p, const struct change *c, struct error *err)
{
    struct buf schema = {0};
    if (!make_topic(p, p->message_topic, &p->message_made, err)) return false;
    if (p->options.value_schemas) debezium_put_message_schema(p->options.binary, &schema);
    struct topic none = {.value_schema = schema.len ? schema.data : NULL};
    struct debezium_event e = event_of(p, &none, c, "false");
    if (schema.len) {
        buf_put_char(&schema, '\0');
        e.schema = schema.data;
    }
    e.after = (struct slice){0};
    e.message_prefix = c->key;
    e.message_content = c->after;
    buf_clear(&p->key);
    struct topic *messages = topic_of(p, SLICE("message"));
    if (!count_in(p, messages, c, &e, err)) {
        buf_free(&schema);
        return false;
    }
    debezium_put_message_key(c->key, p->options.key_schemas, &p->key);
    struct slice key = buf_slice(&p->key), value = put_value(p, &e);
    buf_free(&schema);
    return send(p, p->message_topic, key, value, NULL, 0, err);
}

/* ---- rows of the first copy */

static bool send_held(struct producer *p, struct topic *t, const char *snapshot, struct error *err)
{
    struct slice bytes = buf_slice(&t->held_event);
    struct change c;
    if (!t->held) return true;
    undo_note(p, t);
    if (!event_decode(&bytes, &c, err) || !send_row(p, &c, snapshot, err)) return false;
    t->held = false;
    return true;
}

/* What source.snapshot says of a held row that is not its table's last. */
static const char *marker(struct producer *p, const struct topic *t)
{
    const char *text = !p->any_row ? "first" : !t->any ? "first_in_data_collection" : "true";
    p->any_row = true;
    return text;
}

static bool hold_row(struct producer *p, const struct change *c, struct error *err)
{
    struct topic *t = topic_of(p, c->table);
    undo_note(p, t);
    if (t->held) {
        const char *snapshot = marker(p, t);
        t->any = true;
        if (!send_held(p, t, snapshot, err)) return false;
    }
    buf_clear(&t->held_event);
    event_encode(&t->held_event, c);
    t->held = true;
    return true;
}

/* All rows are there: those that were held are their tables' last, and the last of them the last of all. */
static bool release_rows(struct producer *p, const struct change_batch *batch, struct error *err)
{
    struct slice rest = buf_slice(&batch->tables[0].rows);
    struct topic *last = NULL;
    while (rest.len) {
        struct change c;
        if (!event_decode(&rest, &c, err)) return false;
        if (c.op != CHANGE_SNAPSHOT_COMPLETE) break; /* such records come together */
        struct topic *t = topic_of(p, c.table);
        if (!t->held) continue;
        if (last && !send_held(p, last, "last_in_data_collection", err)) return false;
        last = t;
    }
    return !last || send_held(p, last, "last", err);
}

static void forget_rows(struct producer *p)
{
    void *value;
    for (size_t at = 0; map_next(&p->topics, &at, NULL, &value);) {
        struct topic *t = value;
        undo_note(p, t);
        t->held = t->any = false;
    }
    p->any_row = false;
}

/* ---- a batch */

/* The source's identity, which the first copy brings, names it. */
static void learn_database(struct producer *p)
{
    if (p->database || !p->position.copies.identity) return;
    json_t *identity = json_loads(p->position.copies.identity, 0, NULL);
    const char *name = json_string_value(json_object_get(identity, "database"));
    p->database = mem_text(name ? name : "");
    json_decref(identity);
}

static bool take_event(struct producer *p, const struct change *c, struct error *err)
{
    bool first_copy = !p->position.copies.complete;
    switch (c->op) {
    case CHANGE_SCHEMA: return take_schema(p, c, err);
    case CHANGE_READ:
        return first_copy ? hold_row(p, c, err) : send_row(p, c, "incremental", err);
    case CHANGE_MESSAGE: return send_message(p, c, err);
    case CHANGE_SNAPSHOT_BEGIN:
        if (c->epoch != p->position.copies.epoch) p->position.previous_lsn = 0; /* the slot was made anew */
        copies_take(&p->position.copies, 'B', c->table, c->epoch, c->key, c->after);
        learn_database(p);
        if (!p->position.copies.complete) forget_rows(p);
        return true;
    case CHANGE_SNAPSHOT_COMPLETE:
        copies_take(&p->position.copies, 'E', c->table, c->epoch, c->key, c->after);
        return true;
    case CHANGE_CREATE:
    case CHANGE_UPDATE:
    case CHANGE_DELETE:
    case CHANGE_TRUNCATE: return send_row(p, c, "false", err);
    case CHANGE_POISON: break; /* not from a source */
    }
    return error_set(err, ERROR_FATAL, "an event has the unknown operation %d", (int)c->op);
}

bool records_of_batch(struct producer *p, const struct change_batch *batch, struct error *err)
{
    if (batch->table_count == 0) return true;
    learn_database(p);
    if (!p->position.copies.complete && !release_rows(p, batch, err)) return false;
    struct slice rest = buf_slice(&batch->tables[0].rows);
    while (rest.len) {
        struct change c;
        if (!event_decode(&rest, &c, err) || !take_event(p, &c, err)) return false;
    }
    return batch->partial || end_transaction(p, batch->end_lsn, err);
}

bool send_position(struct producer *p, struct error *err)
{
    buf_clear(&p->value);
    stream_position_encode(&p->position, &p->value);
    return send(p, p->position_topic, slice_of(p->position_key), buf_slice(&p->value), NULL,
                0, err);
}

bool send_heartbeat(struct producer *p, struct error *err)
{
    if (!make_topic(p, p->heartbeat_topic, &p->heartbeat_made, err)) return false;
    buf_clear(&p->key);
    buf_clear(&p->value);
    debezium_put_heartbeat_key(p->config->topic_prefix, p->options.key_schemas, &p->key);
    debezium_put_heartbeat(clock_wall_us() / 1000, p->options.value_schemas, &p->value);
    return send(p, p->heartbeat_topic, buf_slice(&p->key),
                buf_slice(&p->value), NULL, 0, err);
}
