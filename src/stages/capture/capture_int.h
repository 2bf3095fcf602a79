/* What the files of capture share. */
#ifndef MILLRACE_STAGES_CAPTURE_INT_H
#define MILLRACE_STAGES_CAPTURE_INT_H

#include "base/map.h"
#include "format/debezium/encode.h"
#include "format/change.h"
#include "format/pgoutput.h"
#include "format/pgvalue.h"
#include "stages/capture/capture.h"

struct capture;

/* ---- events.c, window.c, signal.c: what goes to Kafka ---- */

/* Once, before anything is encoded: whether rows become Debezium's events, and their options. */
bool events_configure(const struct flow *flow, struct error *err) MUST_CHECK;
/* NULL: bronze is fed directly. */
const struct debezium_options *events_options(void);
struct change_batch *capture_batch_new(void);
/* Reads what Debezium's encoding needs to know of the columns, when rows become events. */
bool events_prepare(struct pg *pg, struct capture_table *t, bool copy, struct error *err) MUST_CHECK;
/* A copy beside the stream that goes to Kafka: a row that the stream has changed since the snapshot must not come
 * after that change. So the stream's keys are noted while the copy runs, and its rows of such keys left out. */
void window_open(struct capture *c);
void window_note(struct capture *c, const char *table, struct slice key, struct slice old_key);
void window_truncate(struct capture *c, const char *table);
void window_filter(struct capture *c, struct change_batch *batch, uint64_t snapshot_lsn);
void window_close(struct capture *c);
/* A row of the signal table asks for a copy, or for its end. after: Debezium's payload. */
void signal_take(struct capture *c, struct slice after);
/* The schema record of a table: schema_encode's, or Connect's schemas. Its texts live in json or the table. */
void table_put_schema(const struct capture_table *t, struct buf *json, struct change *record);

/* ---- encode.c: rows to JSON ---- */

struct capture_column {
    char *label; /* "name" in JSON, quotes included */
    size_t label_len;
    struct pgvalue_type type;
    bool hashed;
    bool identity; /* the replica identity holds it: a 'K' tuple has its value */
};

struct capture_table {
    struct schema schema; /* kept columns only */
    struct capture_column *columns;
    size_t *source;      /* kept column -> column of the tuple or COPY line */
    size_t source_count; /* columns of the tuple */
    size_t *key;         /* kept columns of the key, in key order */
    size_t key_count;
    const struct config *config;
    struct debezium_table *debezium; /* NULL: bronze's own images */
    bool *known;                     /* with it: the columns' identity marks */
    uint32_t oid;
    char kind;    /* relkind: 'r' or 'p' */
    char *filter; /* the publication's row filter or NULL */
    int64_t pages;
    double rows_estimate;
};

/* Builds columns, source and key from t->schema (key places set) and takes out what the settings
 * exclude; CONFIG when an excluded column is part of the key. */
bool table_prepare(struct capture_table *t, struct error *err) MUST_CHECK;
/* Values in the order of kept columns. An UNCHANGED value is left out and its name goes to unchanged. */
void table_put_image(const struct capture_table *t, const struct pgoutput_value *values, struct buf *json,
                     struct buf *unchanged);
void table_put_key(const struct capture_table *t, const struct pgoutput_value *values, struct buf *json);
/* A row of which only the replica identity's columns are known. */
void table_put_old_image(const struct capture_table *t, const struct pgoutput_value *values, struct buf *json);
/* True when `table` ("schema.table" or "schema.table.column") is in the comma list. */
bool list_holds(const char *list, const char *item);
/* The next item of a comma list without blanks around it, mem_*; NULL at the end. */
char *list_next(const char **list);

/* ---- catalog.c: what PostgreSQL knows ---- */

struct published { /* a table of the publication */
    char *table;
    uint32_t oid;
    char kind, replica_identity;
    bool has_key, readable;
    int64_t pages;
    double rows_estimate;
    char *columns; /* JSON array of names or NULL: all */
    char *filter;
    char *filenode, *shape; /* where its rows lie, and a hash of its columns' types */
};

struct published_list {
    struct published *items;
    size_t count, cap;
};

void published_free(struct published_list *list);
void published_item_free(struct published *p);
const struct published *published_find(const struct published_list *list, const char *table);
/* The publication's tables that the settings want, by name. */
bool catalog_published(struct pg *pg, const struct config *config, struct published_list *out,
                       struct error *err) MUST_CHECK;
/* Where the server's WAL stands: at or after the consistent point of every slot made so far, before that
 * of every slot to come. */
bool catalog_position(struct pg *pg, uint64_t *lsn, struct error *err) MUST_CHECK;
bool catalog_publication_exists(struct pg *pg, const struct config *config, bool *exists,
                                struct error *err) MUST_CHECK;
/* Makes the publication when it is not there, checks its tables, lists them. */
bool catalog_ensure_publication(struct pg *pg, const struct config *config, struct published_list *out,
                                struct error *err) MUST_CHECK;
/* Schema and encoder of a published table (as the connection's transaction sees them); generated: also of columns
 * that the stream does not have. */
bool catalog_table(struct pg *pg, const struct config *config, const struct published *p, bool generated,
                   struct capture_table **out, struct error *err) MUST_CHECK;
/* The same from a relation message, completed by the catalogue. */
bool catalog_relation(struct pg *pg, const struct config *config, const struct pgoutput_message *relation,
                      struct capture_table **out, struct error *err) MUST_CHECK;

/* ---- preflight.c ---- */

struct server {
    char system_id[32];
    int timeline;
    uint64_t lsn;
};

bool preflight_settings(struct pg *pg, struct error *err) MUST_CHECK;
bool preflight_identify(struct pg *replication, struct server *out, struct error *err) MUST_CHECK;
/* identity is NULL when the lake knows none. */
bool preflight_identity(const char *identity, const struct server *now, const struct config *config,
                        const char *database, struct error *err) MUST_CHECK;
struct slot_facts {
    bool exists, foreign; /* of another plugin or database */
    uint64_t confirmed_lsn;
    int64_t active_pid;
};
bool preflight_slot_facts(struct pg *pg, const char *slot, struct slot_facts *out,
                          struct error *err) MUST_CHECK;
/* Refuses a slot that is missing, lost, taken, of another database or ahead of the lake. */
bool preflight_slot(struct pg *pg, const char *slot, uint64_t durable_lsn, struct error *err) MUST_CHECK;
void identity_put(struct buf *json, const struct server *server, const struct config *config,
                  const char *database, int64_t copy_id, const struct published_list *tables);

/* ---- copy.c: rows of many tables under one snapshot ---- */

struct copy_plan {
    const struct config *config;
    struct stage_status *status;
    int32_t epoch;
    char slot[64];
    bool temporary; /* the slot; else it stays and the stream starts from it */
    bool drop_leftover;
    char **tables; /* owned by the copy from copy_start on */
    const struct map *conditions; /* table -> SQL text that its rows must meet; may be NULL */
    size_t table_count;
};

enum copy_state { COPY_RUNNING, COPY_DONE, COPY_FAILED };

struct copy;
bool copy_start(struct copy **out, const struct copy_plan *plan, struct error *err) MUST_CHECK;
/* The next batch, waiting up to timeout_us; NULL when there is none. */
struct change_batch *copy_take(struct copy *c, int64_t timeout_us);
/* DONE only when everything has been taken. FAILED fills err. */
enum copy_state copy_look(struct copy *c, struct error *err);
uint64_t copy_lsn(const struct copy *c);
void copy_show(struct copy *c); /* progress as the stage's state */
/* Stops what still runs and frees. */
void copy_close(struct copy *c);

/* ---- slot.c: creating slots ---- */

/* The connection holds the exported snapshot until its next command. shown may be NULL. */
bool slot_create(struct pg *replication, const struct config *config, const char *slot, bool temporary,
                 int64_t timeout_us, struct stage_status *shown, struct capture_snapshot *out,
                 struct error *err) MUST_CHECK;
bool slot_drop(struct pg *replication, const char *slot, struct error *err) MUST_CHECK;

/* ---- batch.c: changes to batches to the queue ---- */

/* What outlives a connection: all that was handed to the queue is durable or will be. */
struct capture_memory {
    bool set;
    int32_t epoch;
    bool copy_complete, begun, new_epoch;
    int64_t next_copy_id;
    uint64_t handed_lsn;    /* end of the last transaction in the queue */
    uint64_t previous_lsn;  /* end of the last transaction with changes there; 0: none yet */
    uint64_t partial_lsn;   /* commit LSN of a transaction of which a part is in the queue; 0: none */
    uint64_t partial_count; /* its changes there */
    char *identity;
    struct map copied; /* tables whose newest copy is complete -> the map; NULL: not any more */
    struct map wanted; /* tables to be copied beside the stream -> the map; resync.c */
    struct map shapes; /* table -> "filenode shape" as last seen */
    struct map conditions; /* table -> SQL text: only such rows are copied, once; signal.c */
};

extern struct capture_memory capture_memory;
void capture_memory_free(struct capture_memory *m);

struct outgoing {
    struct change_batch *batch;
    uint64_t changes; /* of its transaction up to its end, when it is partial */
};

struct outbox {
    struct flow *flow;
    struct change_batch *ready; /* whole transactions, not yet queued */
    struct change_batch *open;  /* the transaction that is arriving */
    bool open_partial;          /* a part of it has left (maybe over an earlier connection) */
    bool torn;                  /* the last batch was such a part: only what continues it may follow */
    uint64_t changes;           /* of the arriving transaction, counted so far */
    struct outgoing *items;     /* in order, waiting for room in the queue */
    size_t count, cap, head;
};

/* Goes on after what capture_memory says is in the queue. */
void outbox_init(struct outbox *o, struct flow *flow);
void outbox_free(struct outbox *o);
/* Adds a change of the arriving transaction; hands a part on when it grows beyond the budget. */
void outbox_add(struct outbox *o, const struct change *c);
/* The arriving transaction is whole. */
void outbox_commit(struct outbox *o, uint64_t commit_lsn, uint64_t end_lsn, int64_t commit_us);
/* A batch made elsewhere (copies, heartbeats), after everything before it; never while `torn`. */
void outbox_put(struct outbox *o, struct change_batch *batch);
/* Moves ready transactions behind the waiting batches. */
void outbox_flush(struct outbox *o);
/* Pushes what the queue takes, waiting up to timeout_us; true when nothing waits any more. */
bool outbox_push(struct outbox *o, int64_t timeout_us);
static inline bool outbox_waiting(const struct outbox *o)
{
    return o->head < o->count;
}

/* ---- stream.c ---- */

struct relation {
    struct capture_table *table; /* NULL: not wanted */
    bool announced;              /* its schema record has been handed on */
};

struct capture {
    struct flow *flow;
    const struct config *config;
    struct stage_status *status;
    struct pg *pg; /* catalogue queries */
    struct pg *replication;
    struct server server;
    int phase;
    struct outbox outbox;

    /* copies (snapshot.c, resync.c) */
    struct copy *copy;
    struct published_list copying;
    int64_t copy_id;
    uint64_t begin_lsn; /* of the copy's begin records */
    bool ending;        /* the copy's complete records wait for the queue */
    bool stopping_copy; /* a signal says so */
    struct map conditions; /* of the copy that runs, whose threads read them; else in capture_memory */
    struct map window;  /* "table\0key" -> commit LSN of its newest change since the copy began */
    bool window_open;
    int64_t next_look_us, next_copy_us;

    /* stream */
    struct map relations; /* oid (4 bytes) -> struct relation */
    struct pgoutput_message message;
    bool in_transaction;
    uint64_t commit_lsn, ordinal, skip;
    uint64_t event_lsn;    /* of the WAL record that is being decoded */
    uint64_t previous_lsn; /* end of the commit before */
    struct buf origin;     /* name of the transaction's replication origin; empty: none */
    uint64_t origin_lsn;
    uint32_t xid;
    int64_t commit_us, capture_us;
    uint64_t received_lsn; /* the server has sent everything below */
    uint64_t idle_lsn;     /* ... and there is nothing for us before this */
    uint64_t confirmed_lsn;
    bool reply_wanted; /* the server asked for a status */
    int64_t last_status_us, last_heartbeat_us, last_ask_us;
    struct pgoutput_value *values, *old_values; /* scratch, kept columns */
    size_t value_cap;
    struct buf key, old_key, before, after, unchanged;
};

/* Nothing is on its way: copies and heartbeats may go. A transaction that a cut connection left in parts
 * is on its way until PostgreSQL has sent it again. */
static inline bool capture_between(const struct capture *c)
{
    return !c->in_transaction && !c->outbox.torn && c->outbox.ready->count == 0 &&
           !outbox_waiting(&c->outbox);
}

bool stream_start(struct capture *c, struct error *err) MUST_CHECK;
bool stream_step(struct capture *c, enum progress *out, struct error *err) MUST_CHECK;
void stream_stop(struct capture *c);
/* row.c: one message of a transaction. */
bool stream_message(struct capture *c, struct slice bytes, struct error *err) MUST_CHECK;
void relation_free(void *relation);

/* ---- snapshot.c: the first copy; resync.c: copies beside the stream ---- */

/* A copy may begin: no slot of somebody else, publication and rights as they must be. Then begin. */
bool snapshot_prepare(struct capture *c, struct error *err) MUST_CHECK;
void snapshot_begin(struct capture *c);
bool snapshot_wait(struct capture *c, bool *durable, struct error *err) MUST_CHECK;
bool snapshot_step(struct capture *c, bool *done, struct error *err) MUST_CHECK;
/* Begin or complete records of all tables being copied, as one batch. */
struct change_batch *snapshot_brackets(struct capture *c, enum change_op op, uint64_t lsn,
                                       uint64_t end_lsn);
bool resync_step(struct capture *c, struct error *err) MUST_CHECK;
/* Has it copied if it is not and no copy of it runs. */
void resync_need(const char *table);
/* Of a copy that ends unfinished: they are asked for again with it. */
void resync_return_conditions(struct capture *c);

#endif
