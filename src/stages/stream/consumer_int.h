/* What the files of the consumer share. */
#ifndef MILLRACE_STAGES_STREAM_CONSUMER_INT_H
#define MILLRACE_STAGES_STREAM_CONSUMER_INT_H

#include "base/map.h"
#include "engine/engine.h"
#include "format/change.h"
#include "format/debezium/decode.h"
#include "lake/delta.h"
#include "net/kafka.h"
#include "net/pg.h"
#include "stages/stream/consumer.h"

/* One partition. What is behind `next` is in the queue or in bronze. */
struct part {
    char *topic;
    int32_t partition;
    int64_t next;                     /* -1: nothing yet, from the beginning */
    uint64_t previous_lsn, event_lsn; /* highest streamed event */
    int64_t copied_lsn;
    uint64_t copy_lsn;                /* of the copy whose rows are being read; not in bronze */
};

/* One source table: what silver has been told of it. */
struct told {
    char *table, *topic;
    char schema_id[17];
    uint64_t schema_lsn;  /* of the event that brought it */
    uint64_t copy_lsn;    /* the newest snapshot that was begun; 0: none */
    int64_t copy_us;      /* the source's time of its first row */
    uint64_t copy_begin;  /* arrival of its begin */
    bool copying;         /* begun, not complete */
    bool last_seen;       /* its last row has come */
    uint64_t described_lsn; /* of the newest event for which the catalogue was asked again */
    struct kafka_partitions ends; /* as of then */
};

/* What outlives the connection: all that was handed to the queue is in bronze or will be. */
struct consumer_memory {
    bool set;
    uint64_t arrival; /* of the newest row */
    uint64_t begun_lsn, last_lsn; /* the newest snapshot that began in this run; that whose very last row has come */
    struct map parts; /* "topic/partition" -> struct part * */
    struct map told;  /* table -> struct told * */
};
extern struct consumer_memory consumer_memory;

struct consumer {
    struct flow *flow;
    const struct config *config;
    struct stage_status *status;
    struct debezium_options options;
    struct debezium_decoder *decoder;
    struct kafka_consumer *kafka;
    struct kafka_admin *admin;
    struct delta_table *bronze; /* for the positions of partitions that others had */
    struct pg *source;          /* the catalogue, for records without a schema; NULL: not asked yet */
    char *topics;
    struct change_batch *batch; /* in the making, or waiting for room */
    bool paused;
    struct error failure;       /* of a message: kafka_consume has no way to tell */
    struct kafka_partitions first_ends; /* of the topics when it was opened, or when a copy's last row came */
    int64_t last_look_us, last_message_us;
    /* check's request */
    uint64_t cut_wanted;           /* the source's LSN; 0: none */
    bool cut_known;                /* everything up to it is in the topics, which end at cut_ends */
    bool cut_made;
    int64_t cut_asked_us, cut_look_us;
    struct kafka_partitions cut_ends;
};

/* ---- memory.c: what bronze holds, read at the first open */
bool consumer_remember(struct consumer *c, struct error *err) MUST_CHECK;
struct part *consumer_part(struct consumer *c, const char *topic, int32_t partition);
struct told *consumer_told(const char *table);
/* Reads the partition's positions from bronze's newest version. */
bool consumer_refresh(struct consumer *c, struct part *part, struct error *err) MUST_CHECK;

/* ---- message.c: one record */
bool consumer_message(struct consumer *c, const struct kafka_message *m, struct error *err) MUST_CHECK;
bool consumer_gap(struct consumer *c, const struct kafka_gap *gap, struct error *err) MUST_CHECK;
/* Completes copies whose ends have been reached. */
bool consumer_complete_copies(struct consumer *c, struct error *err) MUST_CHECK;
bool consumer_copying(void);
/* Everything before these ends has been taken. */
bool consumer_reached(struct consumer *c, const struct kafka_partitions *ends);

/* ---- cut.c: check's point */
bool consumer_cut(struct consumer *c, struct error *err) MUST_CHECK;

#endif
