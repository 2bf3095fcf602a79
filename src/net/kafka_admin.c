/* Questions to the cluster. The client is a consumer that never joins a group. Its isolation level makes the broker
 * answer with the last stable offset where the end of a partition is asked for (librdkafka sends the level with every
 * ListOffsets request; a function of its own for that came with 2.3). Where the end of all that is there is wanted,
 * a second client asks, made when it is first needed: what a transaction has written counts as soon as its commit is
 * promised, which is before it may be read. */
#include "net/kafka_int.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { AGAIN_US = 100000, CLOSE_MS = 100 };

struct kafka_admin {
    struct kafka_client client; /* first: the opaque of all callbacks */
    rd_kafka_t *uncommitted; /* NULL: not needed yet */
};

static bool open_uncommitted(struct kafka_admin *a, struct error *err)
{
    char reason[512];
    if (a->uncommitted) return true;
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(rd_kafka_conf(a->client.rk));
    rd_kafka_conf_set_error_cb(conf, NULL); /* nobody polls it: nothing may wait there */
    rd_kafka_conf_set_stats_cb(conf, NULL);
    if (rd_kafka_conf_set(conf, "statistics.interval.ms", "0", reason, sizeof reason) == RD_KAFKA_CONF_OK &&
        rd_kafka_conf_set(conf, "isolation.level", "read_uncommitted", reason, sizeof reason) == RD_KAFKA_CONF_OK)
        a->uncommitted = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (a->uncommitted) return true;
    rd_kafka_conf_destroy(conf);
    return error_set(err, ERROR_CONFIG, "Kafka: %s; check the settings `kafka.*`", reason);
}

bool kafka_admin_open(struct kafka_admin **out, const struct config *config, struct error *err)
{
    struct kafka_admin *a = mem_alloc(sizeof *a);
    rd_kafka_conf_t *conf = kafka_conf(&a->client, KAFKA_ADMIN, config, "millrace", err);
    if (!conf || !kafka_client_open(&a->client, KAFKA_ADMIN, conf, err)) {
        kafka_client_free(&a->client);
        mem_free(a);
        return false;
    }
    rd_kafka_poll_set_consumer(a->client.rk);
    *out = a;
    return true;
}

void kafka_admin_close(struct kafka_admin *a)
{
    if (!a) return;
    if (a->uncommitted) rd_kafka_destroy_flags(a->uncommitted, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    rd_kafka_destroy_flags(a->client.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    kafka_client_free(&a->client);
    mem_free(a);
}

void kafka_partitions_free(struct kafka_partitions *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->items[i].topic);
    mem_free(list->items);
    *list = (struct kafka_partitions){0};
}

/* Serves what librdkafka has to tell, so that a trouble is known and can explain a failure; waits a little.
 */
static void serve(struct kafka_admin *a, int64_t wait_us)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(a->client.rk, kafka_ms(wait_us));
    if (m) rd_kafka_message_destroy(m);
}

/* A question failed: by the trouble behind it when there is one. */
static bool fail(struct kafka_admin *a, rd_kafka_resp_err_t code, const char *what, struct error *err)
{
    serve(a, 0);
    const char *trouble = kafka_trouble_text(&a->client);
    if (kafka_verdict(code) != ERROR_RETRY || !trouble)
        return kafka_fail(&a->client, err, code, NULL, "%s", what);
    return error_set(err, a->client.connection.kind == ERROR_CONFIG ? ERROR_CONFIG : ERROR_RETRY, "%s",
                     trouble);
}

static int64_t left(int64_t end)
{
    int64_t us = end - clock_mono_us();
    return us > 1000 ? us : 1000;
}

/* All topics: asking for one by its name could create it. */
static bool ask_topics(struct kafka_admin *a, int64_t end, const struct rd_kafka_metadata **out,
                       struct error *err)
{
    rd_kafka_resp_err_t code;
    while ((code = rd_kafka_metadata(a->client.rk, 1, NULL, out, kafka_ms(left(end)))) != 0) {
        if (kafka_verdict(code) != ERROR_RETRY || clock_mono_us() >= end)
            return fail(a, code, "listing the topics", err);
        serve(a, AGAIN_US);
    }
    return true;
}

/* --- ends --- */

/* Sets each item's offset to what is known of the time in it: milliseconds, or RD_KAFKA_OFFSET_BEGINNING or _END.
 * rk: the client that asks. */
static bool ask_offsets(struct kafka_admin *a, rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int64_t end,
                        struct error *err)
{
    rd_kafka_topic_partition_list_t *question = rd_kafka_topic_partition_list_copy(list);
    bool well = false;
    for (;;) {
        rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, list, kafka_ms(left(end)));
        const char *topic = list->elems[0].topic;
        for (int i = 0; !code && i < list->cnt; i++) {
            code = list->elems[i].err;
            topic = list->elems[i].topic;
        }
        if (!code) {
            well = true;
            break;
        }
        if (kafka_verdict(code) != ERROR_RETRY || clock_mono_us() >= end) {
            char what[300];
            snprintf(what, sizeof what, "asking for the ends of topic %.200s", topic);
            fail(a, code, what, err);
            break;
        }
        serve(a, AGAIN_US);
        for (int i = 0; i < list->cnt; i++) {
            list->elems[i].offset = question->elems[i].offset;
            list->elems[i].err = RD_KAFKA_RESP_ERR_NO_ERROR;
        }
    }
    rd_kafka_topic_partition_list_destroy(question);
    return well;
}

static rd_kafka_topic_partition_list_t *list_of(const struct kafka_partitions *partitions, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)partitions->count);
    for (size_t i = 0; i < partitions->count; i++)
        rd_kafka_topic_partition_list_add(list, partitions->items[i].topic, partitions->items[i].partition)
            ->offset = offset;
    return list;
}

/* Answers may come in another order than they were asked for. */
static int64_t offset_in(rd_kafka_topic_partition_list_t *list, const struct kafka_partition *p)
{
    rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(list, p->topic, p->partition);
    return found ? found->offset : 0;
}

static bool ask_bounds(struct kafka_admin *a, struct kafka_partitions *out, int64_t end, struct error *err)
{
    if (!out->count) return true;
    if (!open_uncommitted(a, err)) return false;
    rd_kafka_topic_partition_list_t *oldest = list_of(out, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_topic_partition_list_t *ends = list_of(out, RD_KAFKA_OFFSET_END);
    bool well = ask_offsets(a, a->client.rk, oldest, end, err) && ask_offsets(a, a->uncommitted, ends, end, err);
    for (size_t i = 0; well && i < out->count; i++) {
        out->items[i].oldest = offset_in(oldest, &out->items[i]);
        out->items[i].end = offset_in(ends, &out->items[i]);
    }
    rd_kafka_topic_partition_list_destroy(oldest);
    rd_kafka_topic_partition_list_destroy(ends);
    return well;
}

static int compare(const void *x, const void *y)
{
    const struct kafka_partition *a = x, *b = y;
    int by_name = strcmp(a->topic, b->topic);
    return by_name ? by_name : (a->partition > b->partition) - (a->partition < b->partition);
}

bool kafka_list(struct kafka_admin *a, const char *topics, int64_t timeout_us, struct kafka_partitions *out,
                struct error *err)
{
    int64_t end = clock_mono_us() + timeout_us;
    *out = (struct kafka_partitions){0};
    const struct rd_kafka_metadata *all;
    if (!kafka_topics_check(topics, err) || !ask_topics(a, end, &all, err)) return false;
    for (int i = 0; i < all->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *t = &all->topics[i];
        if (!kafka_topics_hold(topics, t->topic)) continue;
        for (int k = 0; k < t->partition_cnt; k++) {
            MEM_GROW(out->items, out->count, out->cap);
            out->items[out->count++] =
                (struct kafka_partition){.topic = mem_text(t->topic), .partition = t->partitions[k].id};
        }
    }
    rd_kafka_metadata_destroy(all);
    if (out->count) qsort(out->items, out->count, sizeof *out->items, compare);
    if (ask_bounds(a, out, end, err)) return true;
    kafka_partitions_free(out);
    return false;
}

static bool offset_of(struct kafka_admin *a, const char *topic, int32_t partition, int64_t time,
                      int64_t end, int64_t *out, struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = time;
    bool well = ask_offsets(a, a->client.rk, list, end, err);
    *out = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return well;
}

bool kafka_offset_at(struct kafka_admin *a, const char *topic, int32_t partition, int64_t timestamp_us,
                     int64_t timeout_us, int64_t *out, struct error *err)
{
    int64_t end = clock_mono_us() + timeout_us;
    int64_t ms = timestamp_us <= 0 ? 0 : timestamp_us / 1000 + (timestamp_us % 1000 != 0);
    if (!offset_of(a, topic, partition, ms, end, out, err)) return false;
    return *out >= 0 || offset_of(a, topic, partition, RD_KAFKA_OFFSET_END, end, out, err);
}

/* --- topics --- */

static bool topic_exists(struct kafka_admin *a, const char *topic, int64_t end, bool *exists,
                         struct error *err)
{
    const struct rd_kafka_metadata *all;
    if (!ask_topics(a, end, &all, err)) return false;
    *exists = false;
    for (int i = 0; i < all->topic_cnt && !*exists; i++)
        *exists = strcmp(all->topics[i].topic, topic) == 0;
    rd_kafka_metadata_destroy(all);
    return true;
}

static rd_kafka_NewTopic_t *new_topic(const char *topic, const struct kafka_topic_settings *s,
                                      struct error *err)
{
    char reason[300];
    rd_kafka_NewTopic_t *made =
        rd_kafka_NewTopic_new(topic, s->partitions, s->replication, reason, sizeof reason);
    if (!made) {
        error_set(err, ERROR_CONFIG, "Kafka: creating topic %s: %s", topic, reason);
        return NULL;
    }
    if (s->cleanup_policy && *s->cleanup_policy)
        rd_kafka_NewTopic_set_config(made, "cleanup.policy", s->cleanup_policy);
    if (s->retention_ms != -2) {
        char text[24];
        snprintf(text, sizeof text, "%lld", (long long)s->retention_ms);
        rd_kafka_NewTopic_set_config(made, "retention.ms", text);
    }
    return made;
}

static bool take_created(struct kafka_admin *a, const char *topic, rd_kafka_event_t *event,
                         struct error *err)
{
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    const char *reason = event && code ? rd_kafka_event_error_string(event) : NULL;
    const rd_kafka_CreateTopics_result_t *result =
        event && !code ? rd_kafka_event_CreateTopics_result(event) : NULL;
    size_t n = 0;
    const rd_kafka_topic_result_t **topics =
        result ? rd_kafka_CreateTopics_result_topics(result, &n) : NULL;
    if (n) {
        code = rd_kafka_topic_result_error(topics[0]);
        reason = rd_kafka_topic_result_error_string(topics[0]);
    }
    if (!code || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return true;
    return kafka_fail(&a->client, err, code, reason, "creating topic %s", topic);
}

static bool create(struct kafka_admin *a, const char *topic, const struct kafka_topic_settings *settings,
                   int64_t end, struct error *err)
{
    rd_kafka_NewTopic_t *made = new_topic(topic, settings, err);
    if (!made) return false;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(a->client.rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(a->client.rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    char reason[200];
    int ms = kafka_ms(left(end));
    rd_kafka_AdminOptions_set_request_timeout(options, ms, reason, sizeof reason);
    rd_kafka_AdminOptions_set_operation_timeout(options, ms, reason, sizeof reason);
    rd_kafka_CreateTopics(a->client.rk, &made, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ms + CLOSE_MS);
    bool well = take_created(a, topic, event, err);
    if (event) rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(made);
    return well;
}

bool kafka_ensure_topic(struct kafka_admin *a, const char *topic,
                        const struct kafka_topic_settings *settings, int64_t timeout_us, struct error *err)
{
    int64_t end = clock_mono_us() + timeout_us;
    bool exists;
    if (!topic_exists(a, topic, end, &exists, err)) return false;
    return exists || create(a, topic, settings, end, err);
}

/* --- reading --- */

/* Until `most` messages, the partition's end, or each() has enough. */
static bool read_on(struct kafka_admin *a, const char *topic, int64_t stop, size_t most, int64_t end,
                    kafka_each *each, void *arg, struct error *err)
{
    for (size_t n = 0; n < most;) {
        if (clock_mono_us() >= end) return fail(a, RD_KAFKA_RESP_ERR__TIMED_OUT, topic, err);
        rd_kafka_message_t *m = rd_kafka_consumer_poll(a->client.rk, kafka_ms(left(end)));
        if (!m) continue;
        rd_kafka_resp_err_t code = m->err;
        bool more = m->offset < stop;
        if (!code && more) {
            struct kafka_message message;
            kafka_message_fill(&message, m);
            more = each(arg, &message);
            n++;
            more = more && m->offset + 1 < stop;
        }
        rd_kafka_message_destroy(m);
        if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF || (!code && !more)) return true;
        if (code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            return error_set(err, ERROR_DATA, "Kafka: topic %s no longer has the offset that was asked for",
                             topic);
        if (code && code != RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED &&
            kafka_verdict(code) != ERROR_RETRY)
            return kafka_fail(&a->client, err, code, NULL, "reading topic %s", topic);
    }
    return true;
}

bool kafka_read(struct kafka_admin *a, const char *topic, int32_t partition, int64_t offset, size_t most,
                int64_t timeout_us, kafka_each *each, void *arg, struct error *err)
{
    int64_t end = clock_mono_us() + timeout_us, stop;
    if (!offset_of(a, topic, partition, RD_KAFKA_OFFSET_END, end, &stop, err)) return false;
    if (offset >= stop || !most) return true;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset =
        offset < 0 ? RD_KAFKA_OFFSET_BEGINNING : offset;
    rd_kafka_resp_err_t code = rd_kafka_assign(a->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code) return kafka_fail(&a->client, err, code, NULL, "reading topic %s", topic);
    bool well = read_on(a, topic, stop, most, end, each, arg, err);
    rd_kafka_assign(a->client.rk, NULL);
    return well;
}
