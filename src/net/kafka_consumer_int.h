/* What kafka_consumer.c and kafka_assign.c share. */
#ifndef MILLRACE_NET_KAFKA_CONSUMER_INT_H
#define MILLRACE_NET_KAFKA_CONSUMER_INT_H

#include "base/map.h"
#include "net/kafka_int.h"

struct kafka_part {
    char *topic;
    int32_t partition;
    bool ours, stuck;
    bool unknown; /* where to begin; stuck too */
    int64_t next; /* may be RD_KAFKA_OFFSET_BEGINNING */
    int64_t end;  /* where the newest end was met */
};

struct kafka_consumer {
    struct kafka_client client; /* first: the opaque of all callbacks */
    struct kafka_consumer_hooks hooks;
    char *topics;
    bool group, paused, closing;
    struct map parts; /* topic and number: struct kafka_part */
    size_t ours, stuck;
    struct kafka_part *last; /* that a message was for */
    rd_kafka_topic_t *last_topic;
    rd_kafka_message_t *held; /* that each() did not accept */
    int64_t search_us, refresh_us, settle_us;
    struct kafka_gap *gaps;
    size_t gap_count, gap_cap;
};

struct kafka_part *kafka_part_of(struct kafka_consumer *c, const char *topic, int32_t partition);
void kafka_free_part(void *part);
/* Forgets the message that each() did not accept; of one part, or (NULL) of any. */
void kafka_drop_held(struct kafka_consumer *c, const struct kafka_part *part);
/* All that is ours, at `next`; the caller's to destroy. */
rd_kafka_topic_partition_list_t *kafka_list_ours(const struct kafka_consumer *c);
void kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
                        void *opaque);
/* Begins a part again at `next`, in whatever state librdkafka has it. */
void kafka_begin_again(struct kafka_consumer *c, struct kafka_part *part);
/* Without a group: takes partitions that are not ours yet, when it is time to look. */
void kafka_search(struct kafka_consumer *c);
/* Begins stuck parts again, with a gap when the broker has lost what was wanted. */
void kafka_settle(struct kafka_consumer *c);

#endif
