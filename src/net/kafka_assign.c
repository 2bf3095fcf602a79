/* What a consumer reads: its parts, how they come and go, and where they begin. A group's are told by
 * librdkafka; without a group all partitions of the topics that match are taken, and looked for again now
 * and then. Both ways a partition is read from where hooks->start says, never from what the broker
 * remembers.
 *
 * Each partition that was ever ours has a `kafka_part`. Invariants:
 *   1. next is the offset after the last message that each() accepted, or where reading was asked to begin;
 *   2. a message of a part that is not ours, or before next, is dropped: it was on its way meanwhile;
 *   3. a part is stuck from the broker's "offset out of range", or because the hook does not know yet where to begin,
 *      until kafka_settle() has begun it again. A seek does not wake it, librdkafka having stopped it: it must be
 *      taken out and put in again. Nothing of it is given meanwhile. */
#include "net/kafka_consumer_int.h"

#include "base/clock.h"

#include <stdio.h>

enum {
    SETTLE_US = 500000,  /* between tries to begin a stuck part again */
    SEARCH_US = 1000000, /* between searches for topics while there is none */
    QUESTION_MS = 2000,
};

/* --- parts --- */

struct kafka_part *kafka_part_of(struct kafka_consumer *c, const char *topic, int32_t partition)
{
    char key[300];
    size_t n = strnlen(topic, sizeof key - sizeof partition);
    memcpy(key, topic, n);
    memcpy(key + n, &partition, sizeof partition);
    void **at = map_put(&c->parts, (struct slice){key, n + sizeof partition});
    if (!*at) {
        struct kafka_part *made = mem_alloc(sizeof *made);
        made->topic = mem_text(topic);
        made->partition = partition;
        *at = made;
    }
    return *at;
}

void kafka_free_part(void *p)
{
    mem_free(((struct kafka_part *)p)->topic);
    mem_free(p);
}

static void unstick(struct kafka_consumer *c, struct kafka_part *part)
{
    c->stuck -= part->stuck;
    part->stuck = part->unknown = false;
}

/* The hook says where; from the end on, for nothing, when it does not know. */
static void ask_start(struct kafka_consumer *c, struct kafka_part *part)
{
    int64_t start = -1;
    unstick(c, part);
    if (!c->hooks.start(c->hooks.arg, part->topic, part->partition, &start)) {
        part->stuck = part->unknown = true;
        c->stuck++;
    }
    part->next = part->unknown ? RD_KAFKA_OFFSET_END : start < 0 ? RD_KAFKA_OFFSET_BEGINNING : start;
}

void kafka_drop_held(struct kafka_consumer *c, const struct kafka_part *part)
{
    if (!c->held) return;
    if (part && (c->held->partition != part->partition ||
                 strcmp(rd_kafka_topic_name(c->held->rkt), part->topic) != 0))
        return;
    rd_kafka_message_destroy(c->held);
    c->held = NULL;
}

/* Where they begin is put into the list, which is then assigned. */
static void take(struct kafka_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_t *p = &list->elems[i];
        struct kafka_part *part = kafka_part_of(c, p->topic, p->partition);
        ask_start(c, part);
        kafka_drop_held(c, part);
        c->ours += !part->ours;
        part->ours = true;
        part->end = 0;
        p->offset = part->next;
    }
    if (list->cnt) kafka_note_progress(&c->client);
}

static void lose(struct kafka_consumer *c, struct kafka_part *part)
{
    if (!part->ours) return;
    unstick(c, part);
    kafka_drop_held(c, part);
    part->ours = false;
    c->ours--;
    c->last = NULL; /* its handle may go, and the address be another's */
    if (c->hooks.lost && !c->closing) c->hooks.lost(c->hooks.arg, part->topic, part->partition);
}

/* All that is ours, at `next`. */
rd_kafka_topic_partition_list_t *kafka_list_ours(const struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->ours);
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(&c->parts, &at, &key, &value)) {
        const struct kafka_part *part = value;
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

void kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
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
            lose(c, kafka_part_of(c, list->elems[i].topic, list->elems[i].partition));
    } else {
        lose_all(c);
    }
    if (is_eager(c) || code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        rd_kafka_assign(rk, NULL);
    else
        note_refusal(c, rd_kafka_incremental_unassign(rk, list));
}

/* Begins a part again at `next`, in whatever state librdkafka has it. */
void kafka_begin_again(struct kafka_consumer *c, struct kafka_part *part)
{
    rd_kafka_topic_partition_list_t *list;
    unstick(c, part);
    c->last = NULL;
    if (is_eager(c)) {
        kafka_drop_held(c, NULL);
        list = kafka_list_ours(c);
    } else {
        kafka_drop_held(c, part);
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
            if (!kafka_part_of(c, t->topic, t->partitions[k].id)->ours)
                rd_kafka_topic_partition_list_add(list, t->topic, t->partitions[k].id);
    }
    rd_kafka_metadata_destroy(all);
    return true;
}

void kafka_search(struct kafka_consumer *c)
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

static void note_gap(struct kafka_consumer *c, const struct kafka_part *part, int64_t oldest, int64_t end)
{
    MEM_GROW(c->gaps, c->gap_count, c->gap_cap);
    struct kafka_gap *gap = &c->gaps[c->gap_count++];
    snprintf(gap->topic, sizeof gap->topic, "%s", part->topic);
    gap->partition = part->partition;
    gap->wanted = part->next;
    gap->oldest = oldest;
    gap->end = end;
}

static void settle_part(struct kafka_consumer *c, struct kafka_part *part)
{
    int64_t oldest, end;
    if (part->unknown) {
        ask_start(c, part);
        if (!part->unknown) kafka_begin_again(c, part);
        return;
    }
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(c->client.rk, part->topic, part->partition,
                                                                &oldest, &end, QUESTION_MS);
    if (code) {
        kafka_note_trouble(&c->client, code, NULL);
        return;
    }
    /* Within the bounds: a leader that was behind for a moment. */
    if (part->next < oldest || part->next > end) {
        if (part->next >= 0) note_gap(c, part, oldest, end);
        part->next = oldest;
        part->end = 0;
    }
    kafka_begin_again(c, part);
}

void kafka_settle(struct kafka_consumer *c)
{
    if (!c->stuck || c->gap_count || clock_mono_us() < c->settle_us) return;
    size_t at = 0;
    struct slice key;
    void *value;
    while (c->stuck && map_next(&c->parts, &at, &key, &value)) {
        struct kafka_part *part = value;
        if (part->ours && part->stuck) settle_part(c, part);
    }
    c->settle_us = clock_mono_us() + SETTLE_US;
}
