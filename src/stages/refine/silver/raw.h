/* Raw rows: the newest image of each key as the source sent it, kept in the state.
 *
 *   w/<table>\0<key>   i32 epoch, u64 lsn, u64 ordinal, 16 bytes schema id, u8 flags, u64 copy,
 *                      i64 commit_us, i64 valid_from_us, when it moved u32 length and a key, then the image
 *                      (JSON); little-endian
 *   n/<table>\0<hash>  u64: how many equal rows a table without key holds (REPLICA IDENTITY FULL)
 *   q/<table>\0<n>     a bronze row that waits for the end of a copy (the same tables)
 *   z/<table>\0<position be64><key>  tombstones in the order in which they may be dropped
 *   t/<table>          where the table's raw state stands
 *
 * <table> is silver's name ("orders"), <key> the key's JSON. Numbers in keys are big-endian. The key of
 * a row without key is {"_row":"<32 hex digits: XXH3 of its image>","_n":<1..>}. */
#ifndef MILLRACE_STAGES_SILVER_RAW_H
#define MILLRACE_STAGES_SILVER_RAW_H

#include "base/buf.h"

enum {
    RAW_DELETED = 1,     /* a tombstone: keeps the position, has no image */
    RAW_QUARANTINED = 2, /* the image did not pass; silver shows the last good one */
    RAW_PARTIAL = 4,     /* unchanged TOAST columns are missing: the copy will bring them */
    RAW_MOVED = 8,       /* of a row that is not whole: its key changed before the copy brought it */
    RAW_COPIED = 16,     /* through Kafka: a copy brought it, its ordinal is the snapshot's LSN */
};

struct raw_row {
    int32_t epoch;
    uint64_t lsn, ordinal;
    char schema[17];
    uint8_t flags;
    uint64_t copy; /* hash of the id of the copy that has last seen it; 0: none */
    int64_t commit_us;
    int64_t valid_from_us; /* of its newest version */
    struct slice moved;    /* RAW_MOVED: the key under which the copy brings it; of a tombstone: its key now */
    struct slice after;    /* these two point into the value */
};

void raw_encode(const struct raw_row *row, struct buf *out);
/* False when the bytes are not a raw row. */
bool raw_decode(struct slice value, struct raw_row *out);
/* `<kind>/<table>\0<tail>` */
void raw_put_key(char kind, const char *table, struct slice tail, struct buf *out);
void raw_put_be64(struct buf *out, uint64_t v);
uint64_t raw_get_be64(const char *at);

#endif
