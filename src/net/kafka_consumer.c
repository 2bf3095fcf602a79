/* The consumer: messages to the caller; open and close. What it reads is decided in kafka_assign.c.
 * One message at a time is fetched from librdkafka's queue, not an array of them: rebalances are served
 * between two messages, and an array would hold what was lost meanwhile. */
#include "net/kafka_consumer_int.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum {
    SLICE_US = 200000, /* between looks at what else is to do */
    CLOSE_US = 3000000,
};

bool kafka_next_gap(struct kafka_consumer *c, struct kafka_gap *out)
{
    if (!c->gap_count) return false;
    *out = c->gaps[0];
    c->gap_count--;
    memmove(c->gaps, c->gaps + 1, c->gap_count * sizeof *c->gaps);
    return true;
}

/* Records of transactions stand behind the last message: their end is told by librdkafka alone. */
bool kafka_at_end(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t end)
{
    const struct kafka_part *part = kafka_part_of(c, topic, partition);
    return part->ours && (part->next >= end || part->end >= end);
}

/* --- messages --- */

static struct kafka_part *part_for(struct kafka_consumer *c, const rd_kafka_message_t *m)
{
    if (!c->last || c->last_topic != m->rkt || c->last->partition != m->partition) {
        c->last = kafka_part_of(c, rd_kafka_topic_name(m->rkt), m->partition);
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
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        if (m->rkt) part_for(c, m)->end = m->offset;
        return true;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: {
        struct kafka_part *part = m->rkt ? part_for(c, m) : NULL;
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
    struct kafka_part *part = part_for(c, m);
    if (!part->ours || part->stuck || m->offset < part->next) {
        rd_kafka_message_destroy(m);
        return DROPPED;
    }
    if (c->paused) { /* it was on its way; to be fetched again, after the pause */
        rd_kafka_message_destroy(m);
        kafka_begin_again(c, part);
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
            kafka_search(c);
            kafka_settle(c);
            if (c->gap_count) return true;
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
    rd_kafka_topic_partition_list_t *list = kafka_list_ours(c);
    if (paused)
        rd_kafka_pause_partitions(c->client.rk, list);
    else
        rd_kafka_resume_partitions(c->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

bool kafka_seek(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t offset,
                struct error *err)
{
    struct kafka_part *part = kafka_part_of(c, topic, partition);
    if (!part->ours)
        return error_set(err, ERROR_RETRY,
                         "Kafka: topic %s, partition %d, is not read by this consumer now", topic,
                         (int)partition);
    part->next = offset < 0 ? RD_KAFKA_OFFSET_BEGINNING : offset;
    kafka_begin_again(c, part);
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
    if (group) rd_kafka_conf_set_rebalance_cb(conf, kafka_on_rebalance);
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
    kafka_drop_held(c, NULL);
    if (c->client.rk) {
        bool left = c->group && leave(c);
        rd_kafka_destroy_flags(c->client.rk, left ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
    kafka_client_free(&c->client);
    map_free(&c->parts, kafka_free_part);
    mem_free(c->gaps);
    mem_free(c->topics);
    mem_free(c);
}

const char *kafka_consumer_trouble(struct kafka_consumer *c)
{
    return kafka_trouble_text(&c->client);
}
