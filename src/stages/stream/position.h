/* Where the producer stands, kept in Kafka itself: one record of a compacted topic, written in the same transaction
 * as the events up to it (or after their acknowledgement). So what was sent and the position cannot disagree.
 *
 *   topic __millrace-position.<topic_prefix>, one partition
 *   key   {"slot":"millrace"}
 *   value {"epoch":1,"lsn":24023128,"previous_lsn":24023000,"next_copy_id":2,"copy_complete":true,
 *          "identity":"{..}","copied":["public.orders",..]} */
#ifndef MILLRACE_STAGES_STREAM_POSITION_H
#define MILLRACE_STAGES_STREAM_POSITION_H

#include "base/config.h"
#include "stages/copies.h"

enum { STREAM_PRODUCERS = 3 };

struct stream_position {
    uint64_t lsn;          /* everything below is in the topics; while the first copy runs, its id */
    uint64_t previous_lsn; /* end of the last transaction with events; 0: none yet */
    struct copies copies;
};

/* As it is now: all zero, and *found false, when there is none. It stays true only for who has shut out the producers
 * of earlier runs (kafka_producer_init). */
struct kafka_admin;
bool stream_position_look(struct kafka_admin *admin, const struct config *config, bool *found,
                          struct stream_position *out, struct error *err) MUST_CHECK;
void stream_position_free(struct stream_position *p);
void stream_position_encode(const struct stream_position *p, struct buf *json);
bool stream_position_decode(struct slice json, struct stream_position *out, struct error *err) MUST_CHECK;
/* Name and key; from mem_*. */
char *stream_position_topic(const struct config *config);
char *stream_position_key(const struct config *config);
/* The same for all runs of a capture; from mem_*. NULL without transactions. number: below STREAM_PRODUCERS,
 * of the producers that take turns: Kafka writes the end of a transaction after it has promised it, and lets its
 * producer begin no other until then. */
char *stream_transactional_id(const struct config *config, int number);

#endif
