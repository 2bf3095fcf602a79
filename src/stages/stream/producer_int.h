/* What the files of the producer share. */
#ifndef MILLRACE_STAGES_STREAM_PRODUCER_INT_H
#define MILLRACE_STAGES_STREAM_PRODUCER_INT_H

#include "base/map.h"
#include "format/change.h"
#include "format/debezium/encode.h"
#include "net/kafka.h"
#include "stages/stream/position.h"
#include "stages/stream/producer.h"

/* A source table and its topic. */
struct topic {
    char *table, *name;
    char *key_schema, *value_schema; /* as last announced; NULL: not yet, or no key */
    bool made;                       /* it is known to exist */
    /* a row of the first copy that waits until it is known whether it is the table's last */
    bool held, any; /* any: a row of this copy has been sent or is held */
    struct buf held_event;
    /* of the open source transaction */
    uint64_t count;
    uint64_t noted; /* number of the batch in which it was last noted for undo */
};

/* What a batch changed in memory, so that a batch that failed can be sent again as if for the first time. */
struct undo_topic {
    struct topic *topic;
    bool schemas; /* key_schema and value_schema are what it had; else the rest is */
    char *key_schema, *value_schema;
    bool held, any;
    uint64_t count;
    struct buf held_event;
};

/* The source transaction whose records are being sent; metadata counts them. */
struct open_transaction {
    bool open;
    uint64_t commit_lsn, count;
    uint32_t xid;
    int64_t commit_us;
    struct topic **order; /* topics in the order of first appearance */
    size_t order_count, order_cap;
};

struct undo {
    struct undo_topic *items;
    size_t count, cap;
    struct stream_position position;
    struct open_transaction open;
    bool any_row;
    uint64_t number; /* of the batch */
};

struct producer {
    struct flow *flow;
    const struct config *config;
    struct stage_status *status;
    struct debezium_options options;
    struct kafka_producer *kafka; /* the one whose turn it is */
    struct kafka_producer *turns[STREAM_PRODUCERS]; /* of transactions; without them only the first is there */
    size_t turn;
    struct kafka_admin *admin;
    struct map topics; /* table -> struct topic * */
    struct buf key, value, boundary_key, boundary; /* the latter: between a record's key and its value */
    char *position_topic, *position_key;
    bool transactional;
    char *transaction_topic, *message_topic, *heartbeat_topic; /* made when first needed */
    bool transaction_made, message_made, heartbeat_made;
    char *database;
    char run_id[40];
    bool ready;              /* init done */
    bool in_transaction;     /* Kafka's */
    bool halfway;            /* a part of a large source transaction is in it */
    bool committing;         /* the commit of the batch ran out of time: only the same call tells how it ends */
    bool aborting;           /* so did an abort */
    struct change_batch *batch; /* taken, not yet acknowledged */
    struct stream_position position;
    struct open_transaction open;
    bool any_row;            /* a row of the first copy was seen */
    struct undo undo;
    int64_t last_heartbeat_us, records;
};

/* ---- undo.c */

void undo_begin(struct producer *p);
void undo_note(struct producer *p, struct topic *t);    /* before anything but its schemas changes */
void undo_schemas(struct producer *p, struct topic *t); /* takes the schemas away, to be replaced */
void undo_all(struct producer *p);
void undo_forget(struct producer *p); /* the batch is done */

/* ---- records.c: events to records */

bool records_of_batch(struct producer *p, const struct change_batch *batch, struct error *err) MUST_CHECK;
bool send_position(struct producer *p, struct error *err) MUST_CHECK;
bool send_heartbeat(struct producer *p, struct error *err) MUST_CHECK;
void topic_free(void *topic);
/* They are made again if need be: one that is deleted fails what is sent to it. */
void topics_forget(struct producer *p);

#endif
