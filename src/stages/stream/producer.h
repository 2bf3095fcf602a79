/* The producer: capture's batches in, Debezium's topics out, position beside them.
 *
 *   events queue --> [begin] --> records of a batch --> position record --> [commit] --> durable_lsn
 *
 * Invariants: (1) durable_lsn moves only after the broker has acknowledged (or the Kafka transaction has committed)
 * everything up to it and the position record that says so; (2) with transactions a source transaction is whole in
 * one of Kafka's, which may hold several; (3) a batch that failed is sent again from its beginning: with
 * transactions after an abort, without them its records may stand twice. */
#ifndef MILLRACE_STAGES_STREAM_PRODUCER_H
#define MILLRACE_STAGES_STREAM_PRODUCER_H

#include "stages/stage.h"

extern const struct stage_ops producer_ops;

#endif
