/* The consumer: Debezium's topics in, change batches for bronze out.
 *
 *   Kafka --read_committed--> decode --> [repeat? copy? new schema?] --> change batch, offsets --> `changes`
 *
 * Rows get the number of their arrival as `lsn` and the LSN of their own WAL record as `ordinal`: what bronze holds
 * is in the order of arrival, and below it nothing knows of Kafka but where two partitions of one topic must agree
 * (a moved key, TRUNCATE: they compare the ordinal).
 *
 * Invariants: (1) offsets are bronze's, one `txn` for each partition in the commit that holds the rows: Kafka is
 * never told; (2) a streamed event below the highest (previous commit, LSN) of its partition is a repeat of the
 * producer's and goes no further; a copy starts that anew; (3) copies are bracketed for silver: `begin` before the
 * first row of a snapshot in a topic, `complete` when its last row was seen and all partitions are read up to the
 * ends that they had then; (4) a record that cannot be read goes into quarantine with topic, partition and offset,
 * and so does the news of records that were deleted before they were read. */
#ifndef MILLRACE_STAGES_STREAM_CONSUMER_H
#define MILLRACE_STAGES_STREAM_CONSUMER_H

#include "stages/stage.h"

extern const struct stage_ops consumer_ops;

#endif
