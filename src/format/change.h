/* One change of one source row, as bronze keeps it, and a batch of them on its way from capture to
 * bronze. Images are canonical JSON objects in column order without blanks: numbers as JSON numbers
 * (integers, floats), decimals, times, bytea (base64) and all else as JSON strings, arrays as JSON
 * arrays, NULL as null. They are the same bytes whether the row came by COPY or by pgoutput. */
#ifndef MILLRACE_FORMAT_CHANGE_H
#define MILLRACE_FORMAT_CHANGE_H

#include "format/row.h"

enum change_op {
    CHANGE_CREATE = 'c',
    CHANGE_UPDATE = 'u',
    CHANGE_DELETE = 'd',
    CHANGE_READ = 'r',              /* a row of a copy */
    CHANGE_TRUNCATE = 't',
    CHANGE_SCHEMA = 'S',            /* after = the schema record, see format/schema.h */
    CHANGE_SNAPSHOT_BEGIN = 'B',    /* key = copy id; before the slot is made */
    CHANGE_SNAPSHOT_COMPLETE = 'E', /* key = copy id; lsn = the consistent point */
    CHANGE_POISON = 'X',            /* a record that cannot be read: key = where, before = why, after = its text */
    CHANGE_MESSAGE = 'm',           /* pg_logical_emit_message, to Kafka only: key = prefix, after = content */
};

struct change {
    enum change_op op;
    struct slice table;      /* "public.orders" */
    int32_t epoch;           /* grows when the source's timeline or slot changed (invariant 3) */
    uint64_t lsn;            /* of the transaction's commit record; of a copy its consistent point */
    uint64_t ordinal;        /* in the transaction, from 1; 0 for rows of a copy */
    uint32_t xid;
    int64_t commit_us, capture_us; /* Unix microseconds */
    struct slice key;        /* JSON object of the key columns; data NULL: table without key */
    struct slice old_key;    /* when the key changed */
    struct slice before, after;
    struct slice unchanged;  /* JSON array of the names of unchanged TOAST columns missing in after */

    /* through Kafka: where bronze took it from; topic.data NULL: straight from capture */
    struct slice topic;
    int32_t partition;
    int64_t offset;

    /* on the way to Kafka or from it, not in bronze */
    uint64_t event_lsn;      /* of the change's own WAL record */
    uint64_t previous_lsn;   /* end of the commit before; 0: not known */
    struct slice origin;     /* of a replicated change */
    uint64_t origin_lsn;
};

/* Bronze's columns, in order: table, op, epoch, lsn, ordinal, xid, commit_at, capture_at, key,
 * old_key, before, after, unchanged, topic, partition, offset. Constant; do not free. */
const struct columns *change_columns(void);
/* Appends one bronze row (RowBinary of change_columns). */
void change_encode(struct buf *out, const struct change *c);
/* The inverse; slices point into fields of the row. */
bool change_decode(struct slice *rest, struct change *out, struct error *err) MUST_CHECK;

/* A change on its way to Kafka: its images are Debezium's payloads (format/debezium/encode.h); of a schema record
 * key and after are the Connect schemas. With the members that bronze does not keep. */
void event_encode(struct buf *out, const struct change *c);
bool event_decode(struct slice *rest, struct change *out, struct error *err) MUST_CHECK;

/* The rows of one table in a batch: bronze writes one file for each. Its rows are those of
 * change_columns without `table`, which is the partition column and known here. */
struct change_table {
    char *table;
    struct buf rows;
    size_t count;
};

/* Whole transactions, except that one transaction larger than the budget comes in several batches
 * with `partial` set on all but the last. */
struct change_batch {
    struct change_table *tables;
    size_t table_count, table_cap;
    size_t count;               /* rows in all tables */
    size_t size_bytes;
    uint64_t end_lsn;           /* end LSN of the last transaction: what may be confirmed once durable */
    uint64_t first_lsn, last_lsn; /* commit LSNs of the first and last transaction */
    int64_t commit_us;          /* newest commit time */
    size_t transactions;
    bool partial;
    bool continues;             /* not the first batch of its transaction: follows a partial one */
    bool heartbeat;             /* no rows: only a position to make durable */
    uint64_t cut_lsn;           /* not 0: bronze must end a commit here (check's consistent point) */
    bool events;                /* for Kafka: one table "", rows by event_encode in the order of the source */
    struct change_offset *offsets; /* from Kafka: what the rows come from */
    size_t offset_count, offset_cap;
};

/* Of one partition, the records from..to-1 are in the batch (or hold nothing for bronze). */
struct change_offset {
    char *topic;
    int32_t partition;
    int64_t from, to;
    uint64_t previous_lsn, event_lsn; /* highest streamed event so far: what is below is a repeat */
    int64_t copied_lsn;               /* of the newest snapshot whose last row was seen; 0: none */
};

/* The app ids of a partition's positions in bronze; from mem_*. */
char *change_offset_app(const char *what, const char *topic, int32_t partition);
#define OFFSET_NEXT "next"
#define OFFSET_PREVIOUS_LSN "previous_lsn"
#define OFFSET_EVENT_LSN "event_lsn"
#define OFFSET_COPIED_LSN "copied_lsn"

struct change_batch *change_batch_new(void);
void change_batch_free(void *batch);
void change_batch_add(struct change_batch *batch, const struct change *c);
/* Moves the whole transactions of `from` behind those of `to`; `from` keeps its tables' buffers, for the next ones. */
void change_batch_append(struct change_batch *to, struct change_batch *from);

#endif
