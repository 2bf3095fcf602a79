/* Capture: PostgreSQL in, change batches out.
 *
 *   open: preflight, identity
 *     |            no complete copy                                          complete copy
 *     v                                                                           |
 *   BEGIN --begin records durable--> COPY --rows, complete records--> START <-----+
 *                                                                       |
 *                                                                     STREAM --CopyDone--> closed
 *
 * Invariants kept here: (1) only flow->durable_lsn is confirmed to PostgreSQL, never more than was
 * received; (2) a batch ends at a transaction's end, or is `partial`; (3) rows carry (epoch, commit LSN,
 * ordinal), rows of a copy (epoch, consistent point, 0); (4) ordinals count all changes of a
 * transaction, so a transaction that is sent again gets the same ones.
 *
 * See README.md in this folder for the records and the order in which they go. */
#ifndef MILLRACE_STAGES_CAPTURE_H
#define MILLRACE_STAGES_CAPTURE_H

#include "format/debezium/decode.h"
#include "format/schema.h"
#include "net/pg.h"
#include "stages/stage.h"

extern const struct stage_ops capture_ops;

/* What the lake holds, told once before the stage is first opened. What happens afterwards capture
 * remembers by itself, over all closings and openings in this process. */
struct capture_resume {
    int32_t epoch;             /* the newest in bronze; 0: bronze is empty */
    uint64_t durable_lsn;      /* bronze's position, or the stream's */
    uint64_t previous_lsn;     /* end of the last transaction with changes; 0: not known */
    const char *identity;      /* `after` of the newest epoch's first begin record ('B'); NULL: none */
    bool copy_complete;        /* that copy has its complete records ('E') */
    bool new_epoch;            /* the user accepts another server, timeline or slot: copy all again */
    int64_t next_copy_id;      /* above all copy ids in bronze; 0: none yet */
    const char *const *copied; /* tables with a complete copy in this epoch */
    size_t copied_count;
};

/* Copies what it is given. */
void capture_set_resume(const struct capture_resume *resume);

/* One source table, ready to be read by COPY and encoded exactly as the stream is. */
struct capture_table;

/* Reads the table's schema as the connection's transaction sees it. CONFIG when the publication does
 * not hold the table. */
bool capture_table_read(struct capture_table **out, struct pg *pg, const struct config *config,
                        const char *table, struct error *err) MUST_CHECK;
void capture_table_free(void *table);
/* From now on the table's rows are encoded as Debezium's payloads; its columns are described to the decoder, which
 * may be NULL. options must outlive the table. */
bool capture_table_events(struct capture_table *t, struct pg *pg, const struct debezium_options *options,
                          struct debezium_decoder *decoder, struct error *err) MUST_CHECK;
const struct schema *capture_table_schema(const struct capture_table *t);
/* COPY (SELECT ..) TO STDOUT with the publication's columns and row filter; condition may be NULL. */
void capture_table_put_copy(const struct capture_table *t, const char *condition, struct buf *sql);
/* One line of that COPY -> key and after as bronze holds them (appended; key only if the table has one:
 * see schema). DATA when the line does not have the table's columns. */
bool capture_encode_row(const struct capture_table *t, struct slice line, struct buf *key,
                        struct buf *after, struct error *err) MUST_CHECK;

/* A temporary slot's snapshot, for readers that want the rows of exactly one LSN. Import `name` with SET
 * TRANSACTION SNAPSHOT, then close: the slot goes with it, the readers keep the snapshot. */
struct capture_snapshot {
    struct pg *pg;
    uint64_t lsn; /* transactions whose commit LSN is below are in it, all others are not */
    char name[64];
};

/* Waits for the transactions that are open now, up to timeout_us; then RETRY naming their pids. */
bool capture_snapshot_open(struct capture_snapshot *s, const struct config *config, int64_t timeout_us,
                           const _Atomic bool *stop, struct error *err) MUST_CHECK;
void capture_snapshot_close(struct capture_snapshot *s);

#endif
