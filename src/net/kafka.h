/* Kafka through librdkafka: one producer, one consumer, and questions to the cluster, behind small structs. All
 * errors carry a verdict: RETRY when the broker is away or busy, CONFIG when the user must change something
 * (authorisation, unknown property, message too large), FATAL when the producer was fenced by another.
 *
 * Properties: defaults of ours, then the user's `kafka.*` (config->kafka), which win, except those that would break
 * exactly-once (enable.auto.commit, enable.idempotence, transactional.id, isolation.level): CONFIG.
 * Source: librdkafka's CONFIGURATION.md and rdkafka.h. */
#ifndef MILLRACE_NET_KAFKA_H
#define MILLRACE_NET_KAFKA_H

#include "base/config.h"

enum { KAFKA_HEADERS_MAX = 16 }; /* of a message that is read; more are left out */
struct kafka_header {
    const char *name;
    struct slice value;
};

/* ---- producer: idempotent always, acks=all, murmur2_random as Java's */

struct kafka_producer;

/* transactional_id NULL: without transactions. Does not wait for the broker. */
bool kafka_producer_open(struct kafka_producer **out, const struct config *config, const char *transactional_id,
                         struct error *err) MUST_CHECK;
/* Waits up to timeout_us for what is in flight (without transactions), then frees. */
void kafka_producer_close(struct kafka_producer *p, int64_t timeout_us);
/* init_transactions: fences older producers of this id. RETRY on time out. Nothing to do the second time. */
bool kafka_producer_init(struct kafka_producer *p, int64_t timeout_us, struct error *err) MUST_CHECK;

enum kafka_sent { KAFKA_SENT, KAFKA_FULL /* the local queue: poll, then again */ };
/* Copies all of it. key.data NULL: no key; value.data NULL: a tombstone. partition -1: by key. */
bool kafka_produce(struct kafka_producer *p, const char *topic, int32_t partition, struct slice key,
                   struct slice value, const struct kafka_header *headers, size_t header_count,
                   enum kafka_sent *sent, struct error *err) MUST_CHECK;
/* Serves callbacks, waiting up to timeout_us for one. An error when a delivery has failed: without transactions it
 * is told once, and everything since the last flush must be sent again; in a transaction it stays until
 * kafka_abort. Also when a trouble has lasted ten seconds (again after each ten more); messages are kept then. */
bool kafka_poll(struct kafka_producer *p, int64_t timeout_us, struct error *err) MUST_CHECK;
/* Messages that are not acknowledged yet. */
size_t kafka_in_flight(const struct kafka_producer *p);
/* Waits for all of them, up to timeout_us: RETRY when some are left. */
bool kafka_flush(struct kafka_producer *p, int64_t timeout_us, struct error *err) MUST_CHECK;
bool kafka_begin(struct kafka_producer *p, struct error *err) MUST_CHECK;
bool kafka_commit(struct kafka_producer *p, int64_t timeout_us, struct error *err) MUST_CHECK;
bool kafka_abort(struct kafka_producer *p, int64_t timeout_us, struct error *err) MUST_CHECK;
/* After an error: whether aborting the transaction is enough to go on with this producer. If not and the verdict is
 * RETRY: kafka_commit and kafka_abort ran out of time, and the same call again goes on with it; or close and open
 * again, and find out by reading whether the transaction was committed. */
bool kafka_abortable(const struct kafka_producer *p);
/* What keeps it from working now (brokers away, refused password) for status lines, NULL when nothing does; known
 * at once, long before it is an error. Valid until the next such call; one thread may ask while another works. */
const char *kafka_producer_trouble(struct kafka_producer *p);

/* ---- consumer: read_committed, no commits to the broker */

struct kafka_consumer;

struct kafka_message {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_us;          /* Unix; -1: none */
    struct slice key, value;       /* data NULL: null */
    struct kafka_header headers[KAFKA_HEADERS_MAX];
    size_t header_count;
    void *handle;
};

/* Where to begin in a partition that this consumer has been given; next offset to read, -1: from the beginning.
 * False: not known yet; asked again after a while, nothing of the partition is read until then. */
typedef bool kafka_start(void *arg, const char *topic, int32_t partition, int64_t *next);
/* A partition was taken away: what is not committed of it must not be. */
typedef void kafka_lost(void *arg, const char *topic, int32_t partition);

struct kafka_consumer_hooks {
    kafka_start *start;
    kafka_lost *lost; /* may be NULL */
    void *arg;
};

/* Hooks are called from within kafka_consume, between two messages; not by kafka_consumer_close.
 * topics: comma list; an item that begins with '^' is a pattern. group NULL: no group, every partition of every
 * topic that matches is read, also of those made later. Does not wait for the broker. */
bool kafka_consumer_open(struct kafka_consumer **out, const struct config *config, const char *group,
                         const char *topics, const struct kafka_consumer_hooks *hooks, struct error *err) MUST_CHECK;
void kafka_consumer_close(struct kafka_consumer *c);
/* Calls each() for up to `most` messages, but for none while there are gaps to be taken, waiting up to timeout_us for the first. Messages are valid in each() only.
 * each() false: stops there, that message is given again by the next call. *count holds on an error too, which comes
 * when something must be changed, or when a trouble has lasted ten seconds; the next call goes on. */
typedef bool kafka_each(void *arg, const struct kafka_message *m);
/* The broker does not have the offset that was asked for. wanted < oldest: its records were deleted. wanted > end: the
 * topic was made anew, or has lost its newest records. Reading goes on at the oldest. */
struct kafka_gap {
    char topic[256];
    int32_t partition;
    int64_t wanted, oldest, end;
};
bool kafka_consume(struct kafka_consumer *c, size_t most, int64_t timeout_us, kafka_each *each, void *arg,
                   size_t *count, struct error *err) MUST_CHECK;
/* Whether everything of a partition of ours below `end` has been given. */
bool kafka_at_end(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t end);
/* The next gap that was met since the last call; false: none. */
bool kafka_next_gap(struct kafka_consumer *c, struct kafka_gap *out);
/* Pauses or resumes all partitions (backpressure). Go on calling kafka_consume, at least every five minutes: a group
 * leaves out who does not. */
void kafka_pause(struct kafka_consumer *c, bool paused);
/* Reads from there again. */
bool kafka_seek(struct kafka_consumer *c, const char *topic, int32_t partition, int64_t offset,
                struct error *err) MUST_CHECK;
/* As kafka_producer_trouble; also what is waited for, such as a topic. */
const char *kafka_consumer_trouble(struct kafka_consumer *c);

/* ---- questions */

struct kafka_admin;
struct kafka_partition {
    char *topic;
    int32_t partition;
    int64_t oldest, end; /* end: of all that is there, with what open transactions have written */
};
struct kafka_partitions {
    struct kafka_partition *items;
    size_t count, cap;
};
void kafka_partitions_free(struct kafka_partitions *list);

struct kafka_topic_settings {
    int partitions, replication; /* replication -1: the broker's default */
    const char *cleanup_policy;  /* NULL: the broker's */
    int64_t retention_ms;        /* -2: the broker's; -1: for ever */
};

bool kafka_admin_open(struct kafka_admin **out, const struct config *config, struct error *err) MUST_CHECK;
void kafka_admin_close(struct kafka_admin *a);
/* Partitions of the topics that match (as for the consumer), with their ends as of now. Sorted by name, number. */
bool kafka_list(struct kafka_admin *a, const char *topics, int64_t timeout_us, struct kafka_partitions *out,
                struct error *err) MUST_CHECK;
/* The offset of the first message at or after a time; the end when there is none. */
bool kafka_offset_at(struct kafka_admin *a, const char *topic, int32_t partition, int64_t timestamp_us,
                     int64_t timeout_us, int64_t *out, struct error *err) MUST_CHECK;
/* Makes the topic when it is not there; an existing one stays as it is. */
bool kafka_ensure_topic(struct kafka_admin *a, const char *topic, const struct kafka_topic_settings *settings,
                        int64_t timeout_us, struct error *err) MUST_CHECK;
/* Reads messages of one partition from an offset on, at most `most` and not past the end of what
 * is committed now. */
bool kafka_read(struct kafka_admin *a, const char *topic, int32_t partition, int64_t offset, size_t most,
                int64_t timeout_us, kafka_each *each, void *arg, struct error *err) MUST_CHECK;
/* Whether topics (a list as above) holds this name. */
bool kafka_topics_hold(const char *topics, const char *name);

#endif
