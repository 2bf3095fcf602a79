/* The contract of a stage, and the flow: everything that stages share.
 *
 * A stage is one bounded step at its own pace, on one thread: take what is ready in the input, up to a
 * bound; transform; commit the output with the new position. step returns true with progress or idle,
 * false with the verdict in err->kind; only the pipeline decides (retry with backoff, stop). */
#ifndef MILLRACE_STAGES_STAGE_H
#define MILLRACE_STAGES_STAGE_H

#include "base/config.h"
#include "base/queue.h"
#include "base/wake.h"
#include "stages/recent.h"
#include "state/state.h"

#include <pthread.h>
#include <stdatomic.h>

struct flow;

enum progress { PROGRESS_IDLE, PROGRESS_SOME };

struct stage_ops {
    const char *name;
    bool (*open)(struct flow *flow, void **self, struct error *err);
    /* Waits at most about a second when idle (on its wake), so that stop is noticed. */
    bool (*step)(void *self, enum progress *out, struct error *err);
    void (*close)(void *self);
};

/* Written by the stage, read by serve. Text under the lock, numbers atomic. */
struct stage_status {
    pthread_mutex_t lock;
    char state[64];             /* "copying orders 43 %", "streaming", "waiting for PostgreSQL" */
    char last_error[512];
    int64_t last_error_us;      /* wall time; 0: none since start */
    enum error_kind last_error_kind;
    bool failing;               /* nothing has succeeded since last_error */
    _Atomic int64_t rows, batches, busy_us, last_commit_us, restarts, lag_us;
};

void stage_state(struct stage_status *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void stage_failed(struct stage_status *s, const struct error *err);
void stage_recovered(struct stage_status *s);

enum { STAGE_CAPTURE, STAGE_PRODUCER, STAGE_CONSUMER, STAGE_BRONZE, STAGE_REFINE, STAGE_WAREHOUSE, STAGE_COUNT };

/* The Delta table of all changes, and the app id of its position (an LSN). */
#define BRONZE_TABLE "bronze/changes"
#define BRONZE_APP_ID "millrace.bronze"
/* Its position when the rows come through Kafka is the number of the newest arrival; this one tells that. */
#define BRONZE_STREAM_APP_ID "millrace.kafka"
/* The tag of its files that tells how many bytes their rows have outside of Parquet. */
#define BRONZE_BYTES_TAG "millrace.rowBytes"
/* The Delta table with one row for each range that refine has brought to gold. */
#define BATCHES_TABLE "gold/batches"

/* A position in bronze is version << 16 | slice and means "everything below is taken". A whole version
 * v is passed by POSITION_AFTER(v). A row of `batches`, and so gold and the warehouse, always ends a version: there
 * the slice counts the batches that followed it without anything of bronze (a replay of quarantine). */
#define POSITION_AFTER(version) (((int64_t)(version) + 1) << 16)
#define POSITION_VERSION(position) ((int64_t)(position) >> 16)
#define POSITION_WHOLE(position) ((int64_t)(position) >> 16 << 16) /* without what counts inside a version */

/* A consistent point that check asks for: bronze ends a commit exactly at cut_lsn, refine ends a range
 * at that commit and takes a snapshot of the state. Guarded by flow.check_lock. */
struct check_request {
    bool hold;                  /* bronze takes no commit while set (bounded by check) */
    bool held;                  /* bronze says so */
    uint64_t cut_lsn;           /* 0: none */
    int64_t cut_version;        /* bronze version that ends at cut_lsn; -1: not yet */
    struct state_snapshot *snapshot; /* state at that version; NULL: not yet */
    int64_t position;           /* refine's at that moment */
};

/* What refine does: nothing, for it is not in this process; a batch, so that a commit would lie and wait; or it
 * has, or soon has, nothing to do. */
enum refine_state { REFINE_ABSENT, REFINE_BUSY, REFINE_HUNGRY };

struct flow {
    const struct config *config;
    char *lake;                     /* <home>/lake */
    struct state *state;
    _Atomic bool stopping;
    struct stage_status status[STAGE_COUNT];

    bool kafka;                     /* config's stream: changes go through Kafka */
    struct queue changes;           /* struct change_batch *, capture or consumer -> bronze */
    struct queue events;            /* the same, capture -> producer */
    struct recent recent;           /* rows of bronze's newest files -> refine */
    struct wake bronze_wake;        /* something is in `changes` */
    struct wake producer_wake;      /* something is in `events` */
    struct wake refine_wake;        /* bronze: committed */
    struct wake warehouse_wake;     /* refine: a batch is complete */
    struct wake capture_wake;       /* durable_lsn moved */

    _Atomic uint64_t wanted_lsn;    /* check waits for this: capture asks the server for its position and
                                     * sends a heartbeat as soon as that is reached; 0: nobody waits */
    _Atomic uint64_t server_lsn;    /* PostgreSQL's write position as last heard */
    _Atomic uint64_t received_lsn;  /* end of the last transaction handed to bronze; through Kafka the arrival */
    _Atomic uint64_t durable_lsn;   /* bronze, or Kafka, holds everything below; capture may confirm it */
    _Atomic int64_t bronze_version; /* newest committed */
    _Atomic int refine_state;       /* enum refine_state: when bronze's next commit is wanted */
    _Atomic bool bronze_waiting;    /* bronze has gathered rows that it has not committed */
    _Atomic int64_t refined_position;   /* silver and gold complete below (POSITION_AFTER) */
    _Atomic int64_t needed_position;    /* what bronze holds from here on some table of silver still wants */
    _Atomic int64_t warehouse_position; /* the warehouse shows everything below */
    _Atomic uint64_t warehouse_lsn;     /* ... which is the source up to here */
    _Atomic int64_t warehouse_commit_us; /* newest source commit visible in the warehouse */
    _Atomic bool copy_complete;     /* the first copy is in bronze */
    _Atomic int32_t epoch;

    pthread_mutex_t check_lock;
    pthread_cond_t check_changed;
    struct check_request check;
    bool check_busy;                /* a check is between its hold and its snapshot; under check_lock */

    /* Held by the warehouse stage while it changes tables, by check while it reads one with its version.
     * Nothing else is taken while it is held. */
    pthread_mutex_t warehouse_lock;
    /* The refine stage while it is open (refine.h gives its parts); NULL otherwise. */
    void *_Atomic refine;
    int refine_readers;             /* how many hold it open; under check_lock, check_changed */

    /* resync and replay requests from the API: comma-free table names, taken by capture / refine. */
    struct queue resync_requests;   /* char *, "public.orders" */
    struct queue replay_requests;   /* char *, "<table>\x1f<key>" or "<table>" for all */
};

/* Where capture's batches go. */
static inline struct queue *flow_out(struct flow *f)
{
    return f->kafka ? &f->events : &f->changes;
}
static inline struct wake *flow_out_wake(struct flow *f)
{
    return f->kafka ? &f->producer_wake : &f->bronze_wake;
}

bool flow_init(struct flow *f, const struct config *config, struct error *err) MUST_CHECK;
/* For a process without a lake: no state store. */
bool flow_init_source(struct flow *f, const struct config *config, struct error *err) MUST_CHECK;
void flow_free(struct flow *f);
/* How old the newest number in the warehouse is when changes wait on the way; 0 when all is shown. */
int64_t flow_lag_us(const struct flow *f);
/* WAL that the server keeps for what bronze does not hold yet. */
int64_t flow_retained_bytes(const struct flow *f);

#endif
