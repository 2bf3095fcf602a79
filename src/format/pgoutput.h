/* The messages of PostgreSQL's pgoutput plugin, protocol version 1 in text mode, and the frames of the
 * replication stream around them. Pure: bytes in, values out, every length checked, no I/O.
 *
 *   CopyData 'w'  i64 start, i64 wal end, i64 time, then one message      frame, server to client
 *   CopyData 'k'  i64 wal end, i64 time, u8 reply requested               frame, server to client
 *   CopyData 'r'  i64 write, i64 flush, i64 apply, i64 time, u8 reply     frame, client to server
 *
 *   B begin  C commit  O origin  R relation  Y type  I insert  U update  D delete  T truncate  M message
 *
 * Integers are big-endian, strings end with NUL. Layouts: PostgreSQL manual, "Logical Replication
 * Message Formats". Streaming of transactions in progress and two-phase commit (protocol 2 and up)
 * are not requested and refused. */
#ifndef MILLRACE_FORMAT_PGOUTPUT_H
#define MILLRACE_FORMAT_PGOUTPUT_H

#include "base/buf.h"
#include "base/error.h"

struct pgoutput_frame {
    char type;            /* 'w' or 'k' */
    uint64_t start, end;  /* LSNs; 'k' has only end */
    int64_t sent_us;      /* Unix microseconds */
    bool reply;           /* 'k': the server wants a status at once */
    struct slice message; /* 'w' */
};

bool pgoutput_frame_decode(struct slice bytes, struct pgoutput_frame *out, struct error *err) MUST_CHECK;
/* A status update 'r'; the LSNs are "last byte + 1". now_us is Unix time. */
void pgoutput_status_encode(struct buf *out, uint64_t written, uint64_t flushed, int64_t now_us,
                            bool reply);

struct pgoutput_column {
    bool key; /* part of the replica identity */
    struct slice name;
    uint32_t oid;
    int32_t typmod;
};

enum pgoutput_kind {
    PGOUTPUT_NULL = 'n',
    PGOUTPUT_UNCHANGED = 'u', /* a TOAST value that the update did not touch */
    PGOUTPUT_TEXT = 't',
};

struct pgoutput_value {
    enum pgoutput_kind kind;
    struct slice text;
};

struct pgoutput_tuple {
    struct pgoutput_value *values;
    size_t count, cap;
};

/* One decoded message. Zero-initialise once and decode into it again and again: the arrays are kept.
 * Slices point into the decoded bytes. */
struct pgoutput_message {
    char type;
    uint64_t commit_lsn;             /* B C: of the commit record; O: at the origin */
    uint64_t end_lsn;                /* C: after the transaction */
    int64_t commit_us;               /* B C: Unix microseconds */
    uint32_t xid;                    /* B */
    uint32_t oid;                    /* R I U D: the relation; Y: the type */
    struct slice schema, name;       /* R Y: "" is pg_catalog; O: name; M: prefix */
    char replica_identity;           /* R: d n f i */
    struct pgoutput_column *columns; /* R */
    size_t column_count, column_cap;
    char old_kind; /* U D: 'K' key columns only, 'O' whole old row, 0 none */
    struct pgoutput_tuple old_row, new_row;
    uint32_t *relations; /* T */
    size_t relation_count, relation_cap;
    bool cascade, restart_identity;
    bool transactional;              /* M */
    uint64_t message_lsn;            /* M */
    struct slice content;            /* M; name is its prefix */
};

/* DATA when the bytes are cut short, too long, or of another protocol. */
bool pgoutput_decode(struct slice bytes, struct pgoutput_message *out, struct error *err) MUST_CHECK;
void pgoutput_message_free(struct pgoutput_message *m);

#endif
