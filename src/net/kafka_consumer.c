/* The consumer. A group is subscribed to, and librdkafka says what is ours; without one, all partitions of
 * the topics that match are taken, and looked for again now and then. Both ways a partition is read from
 * where hooks->start says, never from what the broker remembers.
 *
 * Each partition that was ever ours has a `part`. Invariants:
 *   1. next is the offset after the last message that each() accepted, or where reading was asked to begin;
 *   2. a message of a part that is not ours, or before next, is dropped: it was on its way when that
 * changed;
 *   3. a part is stuck from the broker's "offset out of range" until settle() has begun it again.
 * librdkafka has stopped fetching it then, and no seek wakes it: it must be taken out and put in again. One
 * message at a time is fetched from librdkafka's queue, not an array of them: rebalances are served between
 * two messages, and an array would hold what was lost meanwhile. */
#include "net/kafka_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SLICE_US = 200000,   /* between looks at what else is to do */
    SETTLE_US = 500000,  /* between tries to begin a stuck part again */
    SEARCH_US = 1000000, /* between searches for topics while there is none */
    QUESTION_MS = 2000,
    CLOSE_US = 3000000,
};

struct part {
    char *topic;
    int32_t partition;
    bool ours, stuck;
    int64_t next; /* may be RD_KAFKA_OFFSET_BEGINNING */
};

struct kafka_consumer {
    struct kafka_client client; /* first: the opaque of all callbacks */
    struct kafka_consumer_hooks hooks;
    char *topics;
    bool group, paused, closing;
    struct map parts; /* topic and number: struct part */
    size_t ours, stuck;
    struct part *last; /* that a message was for */
    rd_kafka_topic_t *last_topic;
    rd_kafka_message_t *held; /* that each() did not accept */
    int64_t search_us, refresh_us, settle_us;
    struct kafka_gap *gaps;
    size_t gap_count, gap_cap;
};

/* --- parts --- */

static struct part *part_of(struct kafka_consumer *c, const char *topic, int32_t partition)
{
    char key[300];
    size_t n = strnlen(topic, sizeof key - sizeof partition);
    memcpy(key, topic, n);
    memcpy(key + n, &partition, sizeof partition);
    void **at = map_put(&c->parts, (struct slice){key, n + sizeof partition});
    if (!*at) {
        struct part *made = mem_alloc(sizeof *made);
        made->topic = mem_text(topic);
        made->partition = partition;
        *at = made;
    }
    return *at;
}

static void free_part(void *p)
{
    mem_free(((struct part *)p)->topic);
    mem_free(p);
}

static void unstick(struct kafka_consumer *c, struct part *part)
{
    c->stuck -= part->stuck;
    part->stuck = false;
}

static void drop_held(struct kafka_consumer *c, const struct part *part)
{
    if (!c->held) return;
    if (part && (c->held->partition != part->partition ||
                 strcmp(rd_kafka_topic_name(c->held->rkt), part->topic) != 0))
        return;
    rd_kafka_message_destroy(c->held);
    c->held = NULL;
}

/* The hook says where; put into the list, which is then assigned. */
static void take(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *p = &list->elems[i];
        struct part *part = part_of(c, p->topic, p->partition);
        int64_t start = c->hooks.start(c->hooks.arg, p->topic, p->partition);
        unstick(c, part);
        drop_held(c, part);
        c->ours += !part->ours;
        part->ours = true;
        part->next = start < 0 ? RD_KAFKA_OFFSET_BEGINNING : start;
        p->offset = part->next;
    }
    if (list->cnt) kafka_note_progress(&c->client);
}

static void lose(struct kafka_consumer *c, struct part *part)
{
    if (!part->ours) return;
    unstick(c, part);
    drop_held(c, part);
    part->ours = false;
    c->ours--;
    if (c->hooks.lost && !c->closing) c->hooks.lost(c->hooks.arg, part->topic, part->partition);
}

/* All that is ours, at `next`. */
static rd_kafka_topic_partition_list_t *list_ours(const struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->ours);
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(&c->parts, &at, &key, &value)) {
        const struct part *part = value;
        if (part->ours)
            rd_kafka_topic_partition_list_add(list, part->topic, part->partition)->offset = part->next;
    }
    return list;
}

/* --- assignment --- */

static bool is_eager(const struct kafka_consumer *c)
{
    const char *protocol = rd_kafka_rebalance_protocol(c->client.rk);
    return protocol && strcmp(protocol, "EAGER") == 0;
}

static void note_refusal(struct kafka_consumer *c, rd_kafka_error_t *e)
{
    if (!e) return;
    kafka_note_trouble(&c->client, rd_kafka_error_code(e), rd_kafka_error_string(e));
    rd_kafka_error_destroy(e);
}

static void assign(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    if (is_eager(c)) {
        rd_kafka_resp_err_t code = rd_kafka_assign(c->client.rk, list);
        if (code) kafka_note_trouble(&c->client, code, NULL);
    } else if (list) {
        note_refusal(c, rd_kafka_incremental_assign(c->client.rk, list));
    }
    if (c->paused && list) {
        rd_kafka_topic_partition_list_t *copy = rd_kafka_topic_partition_list_copy(list);
        rd_kafka_pause_partitions(c->client.rk, copy);
        rd_kafka_topic_partition_list_destroy(copy);
    }
}

static void lose_all(struct kafka_consumer *c)
{
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(&c->parts, &at, &key, &value))
        lose(c, value);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
                         void *opaque)
{
    struct kafka_consumer *c = opaque;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !c->closing) {
        take(c, list);
        assign(c, list);
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        for (int i = 0; i < list->cnt; i++)
            lose(c, part_of(c, list->elems[i].topic, list->elems[i].partition));
    } else {
        lose_all(c);
    }
    if (is_eager(c) || code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        rd_kafka_assign(rk, NULL);
    else
        note_refusal(c, rd_kafka_incremental_unassign(rk, list));
}

/* Begins a part again at `next`, in whatever state librdkafka has it. */
static void begin_again(struct kafka_consumer *c, struct part *part)
{
    rd_kafka_topic_partition_list_t *list;
    unstick(c, part);
    if (is_eager(c)) {
        drop_held(c, NULL);
        list = list_ours(c);
    } else {
        drop_held(c, part);
        list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(list, part->topic, part->partition)->offset = part->next;
        note_refusal(c, rd_kafka_incremental_unassign(c->client.rk, list));
    }
    assign(c, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* --- without a group --- */

/* Adds what matches and is not ours yet. False: could not be asked. */
static bool find_partitions(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    const struct rd_kafka_metadata *all;
    rd_kafka_resp_err_t code = rd_kafka_metadata(c->client.rk, 1, NULL, &all, QUESTION_MS);
    if (code) {
        kafka_note_trouble(&c->client, code, NULL);
        return false;
    }
    for (int i = 0; i < all->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *t = &all->topics[i];
        if (t->err || !kafka_topics_hold(c->topics, t->topic)) continue;
        for (int k = 0; k < t->partition_cnt; k++)
            if (!part_of(c, t->topic, t->partitions[k].id)->ours)
                rd_kafka_topic_partition_list_add(list, t->topic, t->partitions[k].id);
    }
    rd_kafka_metadata_destroy(all);
    return true;
}

static void search(struct kafka_consumer *c)
{
    int64_t now = clock_mono_us();
    if (c->group || now < c->search_us) return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    bool asked = find_partitions(c, list);
    if (list->cnt) {
        take(c, list);
        assign(c, list);
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (asked && !c->ours) {
        char text[400];
        snprintf(text, sizeof text, "no topic matches `topics` = %.300s yet", c->topics);
        kafka_note_wait(&c->client, text);
    }
    c->search_us = clock_mono_us() + (asked && c->ours ? c->refresh_us : SEARCH_US);
}

/* --- gaps --- */

static void note_gap(struct kafka_consumer *c, const struct part *part, int64_t oldest)
{
    MEM_GROW(c->gaps, c->gap_count, c->gap_cap);
    struct kafka_gap *gap = &c->gaps[c->gap_count++];
    snprintf(gap->topic, sizeof gap->topic, "%s", part->topic);
    gap->partition = part->partition;
    gap->wanted = part->next;
    gap->oldest = oldest;
}

static void settle_part(struct kafka_consumer *c, struct part *part)
{
    int64_t oldest, end;
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(c->client.rk, part->topic, part->partition,
                                                                &oldest, &end, QUESTION_MS);
    if (code) {
        kafka_note_trouble(&c->client, code, NULL);
        return;
    }
    /* Within the bounds: a leader that was behind for a moment. */
    if (part->next < oldest || part->next > end) {
        if (part->next >= 0) note_gap(c, part, oldest);
        part->next = oldest;
    }
    begin_again(c, part);
}

static void settle(struct kafka_consumer *c)
{
    if (!c->stuck || clock_mono_us() < c->settle_us) return;
    size_t at = 0;
    struct slice key;
    void *value;
    while (c->stuck && map_next(&c->parts, &at, &key, &value)) {
        struct part *part = value;
        if (part->ours && part->stuck) settle_part(c, part);
    }
    c->settle_us = clock_mono_us() + SETTLE_US;
}

bool kafka_next_gap(struct kafka_consumer *c, struct kafka_gap *out)
{
    if (!c->gap_count) return false;
    *out = c->gaps[0];
    c->gap_count--;
    memmove(c->gaps, c->gaps + 1, c->gap_count * sizeof *c->gaps);
    return true;
}

/* --- messages --- */

static struct part *part_for(struct kafka_consumer *c, const rd_kafka_message_t *m)
{
    if (!c->last || c->last_topic != m->rkt || c->last->partition != m->partition) {
        c->last = part_of(c, rd_kafka_topic_name(m->rkt), m->partition);
        c->last_topic = m->rkt;
    }
    return c->last;
}

/* What librdkafka tells between messages; false: an error for the caller. */
static bool take_event(struct kafka_consumer *c, const rd_kafka_message_t *m, struct error *err)
{
    const char *topic = m->rkt ? rd_kafka_topic_name(m->rkt) : "";
    const char *reason = rd_kafka_message_errstr(m);
    switch (m->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: return true;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: {
        struct part *part = m->rkt ? part_for(c, m) : NULL;
        if (part && part->ours && !part->stuck) {
            part->stuck = true;
            c->stuck++;
        }
        return true;
    }
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: kafka_note_wait(&c->client, reason); return true;
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED: /* what follows is a rebalance */
        log_warn("kafka", "out of the group", "%s", reason);
        return true;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        if (!c->group) return true; /* we do without */
        break;
    case RD_KAFKA_RESP_ERR__FATAL: return kafka_due(&c->client, err);
    default: break;
    }
    if (kafka_verdict(m->err) != ERROR_RETRY)
        return kafka_fail(&c->client, err, m->err, reason, "reading %s", *topic ? topic : c->topics);
    kafka_note_trouble(&c->client, m->err, reason);
    return true;
}

static rd_kafka_message_t *next_message(struct kafka_consumer *c, int64_t timeout_us)
{
    if (c->held && !c->paused) {
        rd_kafka_message_t *m = c->held;
        c->held = NULL;
        return m;
    }
    return rd_kafka_consumer_poll(c->client.rk, kafka_ms(timeout_us < SLICE_US ? timeout_us : SLICE_US));
}

enum given { GIVEN, DROPPED, REFUSED };

/* Takes the message. */
static enum given give(struct kafka_consumer *c, rd_kafka_message_t *m, kafka_each *each, void *arg)
{
    struct part *part = part_for(c, m);
    if (!part->ours || m->offset < part->next) {
        rd_kafka_message_destroy(m);
        return DROPPED;
    }
    if (c->paused) { /* it was on its way; to be fetched again, after the pause */
        rd_kafka_message_destroy(m);
        begin_again(c, part);
        return DROPPED;
    }
    struct kafka_message message;
    kafka_message_fill(&message, m);
    if (!each(arg, &message)) {
        c->held = m;
        return REFUSED;
    }
    part->next = m->offset + 1;
    rd_kafka_message_destroy(m);
    return GIVEN;
}

bool kafka_consume(struct kafka_consumer *c, size_t most, int64_t timeout_us, kafka_each *each, void *arg,
                   size_t *count, struct error *err)
{
    int64_t end = clock_mono_us() + timeout_us, left = timeout_us;
    *count = 0;
    while (*count < most) {
        if (*count == 0) {
            search(c);
            settle(c);
            left = end - clock_mono_us();
        }
        rd_kafka_message_t *m = next_message(c, *count ? 0 : left);
        if (!m) {
            if (*count || left <= SLICE_US) break;
            if (!kafka_due(&c->client, err)) return false;
            continue;
        }
        if (m->err) {
            bool well = take_event(c, m, err);
            rd_kafka_message_destroy(m);
            if (!well) return false;
            continue;
        }
        enum given given = give(c, m, each, arg);
        if (given == REFUSED) break;
        *count += given == GIVEN;
    }
    if (*count) {
        kafka_note_progress(&c->client);
        return true;
    }
    return kafka_due(&c->client, err);
}

void kafka_pause(struct kafka_consumer *c, bool paused)
{
    if (c->paused == paused) return;
    c->paused = paused;
    rd_kafka_topic_partition_list_t *list = list_ours(c);
    if (paused)
        rd_kafka_pause_partitions(c->client.rk, list);
    else
        rd_kafka_resume_partitions(c->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

bool kafka_seek(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t offset,
                struct error *err)
{
    struct part *part = part_of(c, topic, partition);
    if (!part->ours)
        return error_set(err, ERROR_RETRY,
                         "Kafka: topic %s, partition %d, is not read by this consumer now", topic,
                         (int)partition);
    part->next = offset < 0 ? RD_KAFKA_OFFSET_BEGINNING : offset;
    begin_again(c, part);
    return true;
}

/* --- open and close --- */

static bool subscribe(struct kafka_consumer *c, struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    const char *at = c->topics;
    struct slice item;
    while (kafka_topics_next(&at, &item)) {
        char *name = mem_textn(item.data, item.len);
        rd_kafka_topic_partition_list_add(list, name, RD_KAFKA_PARTITION_UA);
        mem_free(name);
    }
    rd_kafka_resp_err_t code = rd_kafka_subscribe(c->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return !code || kafka_fail(&c->client, err, code, NULL, "subscribing to %s", c->topics);
}

static bool open_client(struct kafka_consumer *c, const struct config *config, const char *group,
                        struct error *err)
{
    /* librdkafka wants a name in any case; without a subscription nothing comes of it. */
    rd_kafka_conf_t *conf = kafka_conf(&c->client, KAFKA_CONSUMER, config, group ? group : "millrace", err);
    if (!conf) return false;
    char refresh[32];
    size_t size = sizeof refresh;
    if (rd_kafka_conf_get(conf, "topic.metadata.refresh.interval.ms", refresh, &size) == RD_KAFKA_CONF_OK)
        c->refresh_us = strtoll(refresh, NULL, 10) * 1000;
    if (c->refresh_us <= 0) c->refresh_us = INT64_MAX / 2;
    if (group) rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    if (!kafka_client_open(&c->client, KAFKA_CONSUMER, conf, err)) return false;
    rd_kafka_poll_set_consumer(c->client.rk);
    return true;
}

bool kafka_consumer_open(struct kafka_consumer **out, const struct config *config, const char *group,
                         const char *topics, const struct kafka_consumer_hooks *hooks, struct error *err)
{
    if (!kafka_topics_check(topics, err)) return false;
    struct kafka_consumer *c = mem_alloc(sizeof *c);
    c->hooks = *hooks;
    c->topics = mem_text(topics);
    c->group = group != NULL;
    if (!open_client(c, config, group, err) || (group && !subscribe(c, err))) {
        kafka_consumer_close(c);
        return false;
    }
    *out = c;
    return true;
}

/* Leaves the group, so that others need not wait for the session to run out; in vain when no broker
 * answers. */
static bool leave(struct kafka_consumer *c)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(c->client.rk);
    rd_kafka_error_t *e = rd_kafka_consumer_close_queue(c->client.rk, queue);
    int64_t end = clock_mono_us() + CLOSE_US;
    while (!e && !rd_kafka_consumer_closed(c->client.rk) && clock_mono_us() < end &&
           !kafka_trouble_text(&c->client)) {
        rd_kafka_message_t *m = rd_kafka_consume_queue(queue, 20);
        if (m) rd_kafka_message_destroy(m);
    }
    if (e) rd_kafka_error_destroy(e);
    rd_kafka_queue_destroy(queue);
    return rd_kafka_consumer_closed(c->client.rk);
}

void kafka_consumer_close(struct kafka_consumer *c)
{
    if (!c) return;
    c->closing = true;
    drop_held(c, NULL);
    if (c->client.rk) {
        bool left = c->group && leave(c);
        rd_kafka_destroy_flags(c->client.rk, left ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
    kafka_client_free(&c->client);
    map_free(&c->parts, free_part);
    mem_free(c->gaps);
    mem_free(c->topics);
    mem_free(c);
}

const char *kafka_consumer_trouble(struct kafka_consumer *c)
{
    return kafka_trouble_text(&c->client);
}
