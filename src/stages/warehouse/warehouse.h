/* The warehouse stage: gold's changes, taken from the outbox, into the star schema in ClickHouse
 * (clickhouse_init/), and the position row that says how far it shows the lake.
 *
 *   outbox batches, merged up to a size --> dimension rows --> other rows --> dimension deletes
 *                                                                    --> position row --> outbox entries go
 *
 * One insert for each table, so one part, so a reader sees all of it or nothing; dimensions before the
 * facts that name them, and gone only after. A reader never sees a row twice or a moved row in both
 * places: the block that brings the new row deletes the old one, and the views read FINAL.
 *
 * The stage starts from its position row. When that does not meet the outbox (the warehouse was deleted,
 * the state was lost, clickhouse_init has changed), all tables are copied from gold as of the last row of
 * `batches` and exchanged in. */
#ifndef MILLRACE_STAGES_WAREHOUSE_H
#define MILLRACE_STAGES_WAREHOUSE_H

#include "stages/stage.h"

extern const struct stage_ops warehouse_ops;

#endif
