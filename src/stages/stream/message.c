/* One Kafka record into changes for bronze.
 *
 *   tombstone, m, metadata, heartbeat      the offset moves on
 *   another connector's topic              the offset moves on; the pattern of a prefix matches longer ones too
 *   below the partition's highest event    a repeat: the offset moves on
 *   row of an older snapshot               so does it: a copy that was cut short is not mixed into the next
 *   snapshot of a new LSN                  begin record first
 *   schema that is new for the table       schema record first; never back to an older one, for a slow partition
 *                                          still brings its rows when others have gone on
 *   d with __debezium.newkey               passed over: the c with __debezium.oldkey does both, as an update
 *   anything unreadable                    CHANGE_POISON */
#include "stages/stream/consumer_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "format/json_scan.h"
#include "stages/source_columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENDS_US = 10000000 };

static struct metric consumed_total = METRIC_COUNTER("millrace_kafka_consumed_total", "Records read from Kafka");
static struct metric repeats_total =
    METRIC_COUNTER("millrace_kafka_repeats_total", "Records that repeat what the producer had sent before");
static struct metric poison_total = METRIC_COUNTER("millrace_kafka_poison_total", "Records that could not be read");
static struct metric gaps_total =
    METRIC_COUNTER("millrace_kafka_gaps_total", "Times that records were deleted before they were read");

/* ---- rows */

static struct change_offset *offset_of(struct change_batch *batch, const struct part *part)
{
    for (size_t i = batch->offset_count; i-- > 0;) {
        struct change_offset *o = &batch->offsets[i];
        if (o->partition == part->partition && strcmp(o->topic, part->topic) == 0) return o;
    }
    MEM_GROW(batch->offsets, batch->offset_count, batch->offset_cap);
    struct change_offset *o = &batch->offsets[batch->offset_count++];
    *o = (struct change_offset){.topic = mem_text(part->topic), .partition = part->partition, .from = part->next};
    return o;
}

static void add(struct consumer *c, struct change *change, const struct kafka_message *m)
{
    change->lsn = ++consumer_memory.arrival;
    change->epoch = 1;
    change->topic = slice_of(m->topic);
    change->partition = m->partition;
    change->offset = m->offset;
    if (!change->capture_us) change->capture_us = m->timestamp_us > 0 ? m->timestamp_us : clock_wall_us();
    if (!change->commit_us) change->commit_us = change->capture_us;
    change_batch_add(c->batch, change);
    if (change->commit_us > c->batch->commit_us) c->batch->commit_us = change->commit_us;
    c->batch->end_lsn = c->batch->last_lsn = change->lsn;
    if (!c->batch->first_lsn) c->batch->first_lsn = change->lsn;
}

/* The record is dealt with: its offset goes with the batch. */
static void pass(struct consumer *c, struct part *part, const struct kafka_message *m)
{
    struct change_offset *o = offset_of(c->batch, part);
    part->next = m->offset + 1;
    o->to = part->next;
    o->previous_lsn = part->previous_lsn;
    o->event_lsn = part->event_lsn;
    o->copied_lsn = part->copied_lsn;
    c->batch->heartbeat = c->batch->count == 0;
}

/* ---- poison */

/* The source's table by the topic's name: what follows the prefix. */
static char *table_of_topic(const struct consumer *c, const char *topic)
{
    size_t n = strlen(c->config->topic_prefix);
    bool ours = strncmp(topic, c->config->topic_prefix, n) == 0 && topic[n] == '.';
    return mem_text(ours ? topic + n + 1 : topic);
}

static void put_quoted(struct buf *json, struct slice text)
{
    if (text.data)
        buf_put_json(json, text);
    else
        buf_put_text(json, "null");
}

static void poison(struct consumer *c, const struct kafka_message *m, int64_t end, const char *why)
{
    struct buf where = {0}, text = {0};
    char *table = table_of_topic(c, m->topic);
    buf_put_text(&where, "{\"topic\":");
    buf_put_json(&where, slice_of(m->topic));
    buf_printf(&where, ",\"partition\":%d,\"offset\":%" PRId64, (int)m->partition, m->offset);
    if (end > m->offset) buf_printf(&where, ",\"end\":%" PRId64, end);
    buf_put_char(&where, '}');
    buf_put_text(&text, "{\"key\":");
    put_quoted(&text, m->key);
    buf_put_text(&text, ",\"value\":");
    put_quoted(&text, m->value);
    buf_put_char(&text, '}');
    struct change change = {
        .op = CHANGE_POISON,
        .table = slice_of(table),
        .key = buf_slice(&where),
        .before = slice_of(why),
        .after = buf_slice(&text),
    };
    add(c, &change, m);
    buf_free(&where);
    buf_free(&text);
    mem_free(table);
}

bool consumer_gap(struct consumer *c, const struct kafka_gap *gap, struct error *err)
{
    (void)err;
    struct part *part = consumer_part(c, gap->topic, gap->partition);
    struct kafka_message at = {.topic = gap->topic, .partition = gap->partition, .offset = gap->wanted, .timestamp_us = -1};
    char why[300];
    bool deleted = gap->wanted < gap->oldest;
    if (deleted)
        snprintf(why, sizeof why,
                 "records %" PRId64 " to %" PRId64 " were deleted from the topic before they were read: copy the table "
                 "again (`millrace resync --slot`, or a blocking snapshot of the connector)",
                 gap->wanted, gap->oldest - 1);
    else
        snprintf(why, sizeof why,
                 "the topic ends at %" PRId64 ", before %" PRId64 " which was to be read next: it was made anew, or a "
                 "broker has lost its newest records; it is read again from %" PRId64 "; run `millrace check`",
                 gap->end, gap->wanted, gap->oldest);
    log_warn("consumer", "records are lost", "topic=%s partition=%d: %s", gap->topic, (int)gap->partition, why);
    metric_add(&gaps_total, 1);
    poison(c, &at, deleted ? gap->oldest : 0, why);
    at.offset = gap->oldest - 1;
    pass(c, part, &at);
    return true;
}

/* ---- schemas */

static void announce(struct consumer *c, struct told *t, const struct debezium_record *r, const struct kafka_message *m)
{
    if (!r->schema || strcmp(t->schema_id, r->schema->id) == 0) return;
    if (t->schema_id[0] && r->change.event_lsn <= t->schema_lsn) return;
    struct buf json = {0};
    schema_encode(r->schema, &json);
    struct change change = {.op = CHANGE_SCHEMA,
                            .table = slice_of(t->table),
                            .ordinal = r->change.event_lsn,
                            .commit_us = r->change.commit_us,
                            .after = buf_slice(&json)};
    add(c, &change, m);
    buf_free(&json);
    snprintf(t->schema_id, sizeof t->schema_id, "%s", r->schema->id);
    t->schema_lsn = r->change.event_lsn;
}

/* For records without schema: the source's catalogue says what their columns are. */
static bool reach_source(struct consumer *c, const char *table, struct error *err)
{
    if (!*c->config->source)
        return error_set(err, ERROR_CONFIG,
                         "the records of table %s carry no schema: set value.converter.schemas.enable=true at the "
                         "connector, or name the `source`, whose catalogue tells the types",
                         table);
    return c->source || pg_connect(&c->source, c->config->source, PG_PLAIN, &c->flow->stopping, err);
}

static bool describe(struct consumer *c, const char *table, struct error *err)
{
    struct source_columns columns;
    if (!source_columns_read(c->source, table, &columns, err)) {
        pg_close(c->source);
        c->source = NULL;
        return false;
    }
    debezium_decoder_describe(c->decoder, table, columns.replica_identity, columns.items, columns.count);
    source_columns_free(&columns);
    return true;
}

/* ---- copies */

static bool is_copy(const struct debezium_record *r)
{
    return r->change.op == CHANGE_READ && r->snapshot[0] && strcmp(r->snapshot, "incremental") != 0;
}

static void bracket(struct consumer *c, struct told *t, enum change_op op, const struct kafka_message *m)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, t->copy_lsn);
    struct change change = {.op = op,
                            .table = slice_of(t->table),
                            .commit_us = op == CHANGE_SNAPSHOT_BEGIN ? t->copy_us : 0,
                            .ordinal = op == CHANGE_SNAPSHOT_BEGIN ? consumer_memory.arrival + 1 : t->copy_begin,
                            .key = slice_of(id)};
    add(c, &change, m);
    if (op == CHANGE_SNAPSHOT_BEGIN) t->copy_begin = change.ordinal;
    t->copying = op == CHANGE_SNAPSHOT_BEGIN;
}

static bool note_last(struct consumer *c, struct told *t, struct error *err)
{
    kafka_partitions_free(&t->ends);
    if (!kafka_list(c->admin, t->topic, ENDS_US, &t->ends, err)) return false;
    t->last_seen = true;
    return true;
}

/* Topics that are read later may still hold rows of the copy: up to the ends that they have now. */
static bool note_very_last(struct consumer *c, const struct told *t, struct error *err)
{
    consumer_memory.last_lsn = t->copy_lsn;
    kafka_partitions_free(&c->first_ends);
    return kafka_list(c->admin, c->topics, ENDS_US, &c->first_ends, err);
}

/* The row is taken already: a broker that does not answer now is asked again (consumer_complete_copies). */
static void note_end_of_copy(struct consumer *c, struct told *t, bool very_last)
{
    struct error ignored;
    if (note_last(c, t, &ignored) && (!very_last || note_very_last(c, t, &ignored))) return;
    t->last_seen = false;
    log_warn("consumer", "the topics' ends are not known yet", "%s", ignored.text);
}

/* The source's positions have gone back: what is in the lake is from another server, or from before a restore. */
static bool gone_back(const struct told *t, const struct debezium_record *r, struct error *err)
{
    return error_set(err, ERROR_CONFIG,
                     "table %s: a new copy stands at LSN %" PRIu64 ", below the copy before it (%" PRIu64 "): the source was "
                     "restored, or is another server; give its topics another `topic_prefix`, and begin a new lake",
                     t->table, r->change.event_lsn, t->copy_lsn);
}

/* Before the row of a copy: its begin, when the snapshot is new to the table. */
static void begin_copy(struct consumer *c, struct told *t, const struct debezium_record *r, struct part *part,
                       const struct kafka_message *m)
{
    if (r->change.event_lsn > t->copy_lsn) {
        log_info("consumer", "copy begins", "table=%s lsn=%" PRIu64, t->table, r->change.event_lsn);
        t->copy_lsn = r->change.event_lsn;
        t->copy_us = r->change.commit_us;
        t->last_seen = false;
        if (t->copy_lsn > consumer_memory.begun_lsn) consumer_memory.begun_lsn = t->copy_lsn;
        bracket(c, t, CHANGE_SNAPSHOT_BEGIN, m);
    }
    if (part->copy_lsn == t->copy_lsn) return;
    part->copy_lsn = t->copy_lsn;
    part->previous_lsn = part->event_lsn = 0; /* what comes behind the copy may name an older commit before it */
}

bool consumer_reached(struct consumer *c, const struct kafka_partitions *ends)
{
    for (size_t i = 0; i < ends->count; i++) {
        const struct kafka_partition *p = &ends->items[i];
        const struct part *part = consumer_part(c, p->topic, p->partition);
        bool read = part->next >= p->end || p->oldest == p->end;
        if (!read && !kafka_at_end(c->kafka, p->topic, p->partition, p->end)) return false;
    }
    return true;
}

bool consumer_complete_copies(struct consumer *c, struct error *err)
{
    void *value;
    for (size_t at = 0; map_next(&consumer_memory.told, &at, NULL, &value);) {
        struct told *t = value;
        if (!t->copying) continue;
        if (!t->last_seen) { /* before a restart, perhaps */
            bool seen = false;
            void *each;
            for (size_t i = 0; map_next(&consumer_memory.parts, &i, NULL, &each);) {
                const struct part *p = each;
                seen |= t->topic && strcmp(p->topic, t->topic) == 0 && p->copied_lsn == (int64_t)t->copy_lsn;
            }
            if (!seen) continue;
            if (!note_last(c, t, err)) return false;
        }
        if (!consumer_reached(c, &t->ends)) continue;
        const struct kafka_message here = {.topic = t->topic, .partition = -1, .offset = -1, .timestamp_us = -1};
        bracket(c, t, CHANGE_SNAPSHOT_COMPLETE, &here);
        c->batch->heartbeat = false;
        log_info("consumer", "copy complete", "table=%s lsn=%" PRIu64, t->table, t->copy_lsn);
        kafka_partitions_free(&t->ends);
        t->last_seen = false;
    }
    return true;
}

bool consumer_copying(void)
{
    void *value;
    for (size_t at = 0; map_next(&consumer_memory.told, &at, NULL, &value);)
        if (((struct told *)value)->copying) return true;
    return false;
}

/* ---- a record */

static struct slice header(const struct kafka_message *m, const char *name)
{
    for (size_t i = 0; i < m->header_count; i++)
        if (strcmp(m->headers[i].name, name) == 0) return m->headers[i].value;
    return (struct slice){0};
}

/* By commit, then by LSN: transactions overlap. The first transaction of a slot names none before it. What older
 * connectors send without a sequence is told apart by key and LSN in silver. */
static bool is_repeat(const struct part *part, const struct debezium_record *r)
{
    const struct change *change = &r->change;
    if (!r->sequenced) return false;
    if (change->previous_lsn && change->previous_lsn != part->previous_lsn) return change->previous_lsn < part->previous_lsn;
    return change->event_lsn < part->event_lsn;
}

static bool take_change(struct consumer *c, struct part *part, struct debezium_record *r, const struct kafka_message *m,
                        struct error *err)
{
    struct change *change = &r->change;
    char *table = mem_textn(change->table.data, change->table.len);
    struct told *t = consumer_told(table);
    mem_free(table);
    if (!t->topic) t->topic = mem_text(m->topic);
    if (is_copy(r) && change->event_lsn < t->copy_lsn) {
        if (change->commit_us > t->copy_us) return gone_back(t, r, err);
        metric_add(&repeats_total, 1);
        return true;
    }
    if (is_copy(r)) {
        begin_copy(c, t, r, part, m);
    } else if (change->op != CHANGE_READ) {
        if (is_repeat(part, r)) {
            metric_add(&repeats_total, 1);
            return true;
        }
        if (r->sequenced) {
            part->previous_lsn = change->previous_lsn;
            part->event_lsn = change->event_lsn;
        }
    }
    if (change->op == CHANGE_DELETE && header(m, "__debezium.newkey").data) return true;
    announce(c, t, r, m);
    if (change->old_key.data && change->op == CHANGE_CREATE) change->op = CHANGE_UPDATE;
    change->ordinal = change->event_lsn;
    add(c, change, m);
    bool last = strncmp(r->snapshot, "last", 4) == 0;
    if (!last || !is_copy(r)) return true;
    part->copied_lsn = (int64_t)t->copy_lsn;
    note_end_of_copy(c, t, strcmp(r->snapshot, "last") == 0);
    return true;
}

/* The table as the catalogue has it: of a table that is met for the first time, or has changed since, perhaps. */
static bool describe_again(struct consumer *c, const struct kafka_message *m, struct debezium_record *r, bool *ok,
                           struct error *bad, struct error *err)
{
    char *table = mem_textn(r->change.table.data, r->change.table.len);
    struct told *t = consumer_told(table);
    uint64_t lsn = r->change.event_lsn;
    mem_free(table);
    if (r->kind == DEBEZIUM_CHANGE && lsn <= t->described_lsn) return true;
    if (!reach_source(c, t->table, err)) return false;
    if (!describe(c, t->table, err)) {
        if (err->kind == ERROR_RETRY) return false;
        *bad = *err; /* the table is gone: its records wait in quarantine */
        *ok = false;
        return true;
    }
    t->described_lsn = lsn;
    *ok = debezium_decode(c->decoder, m->key, m->value, header(m, "__debezium.oldkey"), r, bad);
    return true;
}

/* Without `topics` they are told by the prefix: shop.eu.public.orders is not of `shop`. */
static bool of_another(const struct consumer *c, const struct debezium_record *r)
{
    return !*c->config->topics && r->prefix.data && !slice_equal(r->prefix, slice_of(c->config->topic_prefix));
}

bool consumer_message(struct consumer *c, const struct kafka_message *m, struct error *err)
{
    struct part *part = consumer_part(c, m->topic, m->partition);
    struct debezium_record r;
    struct error bad = {0};
    if (m->offset < part->next) return true; /* given again */
    bool ok = debezium_decode(c->decoder, m->key, m->value, header(m, "__debezium.oldkey"), &r, &bad);
    bool other = ok && of_another(c, &r);
    bool unknown = r.kind == DEBEZIUM_UNDESCRIBED || (r.kind == DEBEZIUM_CHANGE && r.undescribed.data);
    if (ok && !other && unknown && !describe_again(c, m, &r, &ok, &bad, err)) return false;
    if (!ok) {
        log_warn("consumer", "record cannot be read", "topic=%s partition=%d offset=%" PRId64 ": %s", m->topic,
                 (int)m->partition, m->offset, bad.text);
        metric_add(&poison_total, 1);
        poison(c, m, 0, bad.text);
    } else if (r.kind == DEBEZIUM_CHANGE && !other && !take_change(c, part, &r, m, err)) {
        return false;
    }
    metric_add(&consumed_total, 1);
    pass(c, part, m);
    return true;
}
