/* Debezium's change events into changes as bronze keeps them (format/change.h), whoever made them: key, value and
 * headers of a Kafka record in, one change out, its images in the canonical JSON that capture makes itself.
 *
 *   key, value --split schema, payload--> table, op, source --> images, column by column --> struct change
 *                       |                                            ^
 *                       `-- by hash of its text: struct debezium_shape (converters, struct schema)
 *
 * Types come from the record's own schema, else from a shape that the caller made from the source's catalogue
 * (debezium_decoder_describe). Order and repeats are not decided here.
 *
 * What it does not do: keep a position, know of topics. */
#ifndef MILLRACE_FORMAT_DEBEZIUM_DECODE_H
#define MILLRACE_FORMAT_DEBEZIUM_DECODE_H

#include "format/change.h"
#include "format/debezium/debezium.h"
#include "format/debezium/encode.h"
#include "format/schema.h"

struct debezium_decoder;

/* options: for records without a schema, what the connector was set to. */
struct debezium_decoder *debezium_decoder_new(const struct debezium_options *options);
void debezium_decoder_free(struct debezium_decoder *d);
/* Tells the columns of a table, for records that carry no schema; of those that do only the replica identity is
 * taken from here. Replaces what was known of it. */
void debezium_decoder_describe(struct debezium_decoder *d, const char *table, char replica_identity,
                               const struct debezium_column *columns, size_t count);

enum debezium_kind {
    DEBEZIUM_CHANGE,      /* out->change is one: c u d r t */
    DEBEZIUM_TOMBSTONE,   /* value null after a delete: nothing to do */
    DEBEZIUM_MESSAGE,     /* op m: nothing to do */
    DEBEZIUM_OTHER,       /* heartbeat, transaction metadata: nothing to do */
    DEBEZIUM_UNDESCRIBED, /* no schema in the record, and the table is not described: out->change.table says which */
};

struct debezium_record {
    enum debezium_kind kind;
    /* table, op, xid, commit_us, capture_us (the connector's clock), key, old_key (from the header __debezium.oldkey), before, after, unchanged
     * (placeholder columns left out of after and named here), event_lsn, previous_lsn, origin. `before` only
     * when it is the whole old row (REPLICA IDENTITY FULL), not when it repeats the key alone. lsn = previous_lsn
     * and ordinal = event_lsn for c u d t; lsn = event_lsn and ordinal = 0 for r. Slices live in the decoder until
     * the next call. */
    struct change change;
    const struct schema *schema; /* of the images, NULL for t; owned by the decoder, stays until it is freed. Columns
                                  * have attnum 0 unless described: events do not tell it */
    /* A member of an image that the description lacks, and that the images do not hold therefore; data NULL: none.
     * The table has changed (describe it again, decode again), or the event is older than the description. */
    struct slice undescribed;
    char snapshot[40];           /* source.snapshot; "" when streaming */
    bool sequenced;              /* previous_lsn is known: source.sequence is there (older connectors have none) */
    struct slice prefix;         /* source.name: the connector's topic.prefix; data NULL: missing */
};

/* old_key: the header "__debezium.oldkey", data NULL when absent; one that cannot be read is left out. DATA says what is wrong and at
 * which member: not JSON, flattened by ExtractNewRecordState (and what to do about it), another connector, a value
 * that does not have the form of its type. */
bool debezium_decode(struct debezium_decoder *d, struct slice key, struct slice value, struct slice old_key,
                     struct debezium_record *out, struct error *err) MUST_CHECK;

#endif
