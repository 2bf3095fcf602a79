/* What Debezium's form needs to know of a table's columns, and the stream does not tell: kinds of types, labels of
 * enums, defaults. From the catalogue, as it is when it is asked. */
#ifndef MILLRACE_STAGES_SOURCE_COLUMNS_H
#define MILLRACE_STAGES_SOURCE_COLUMNS_H

#include "format/debezium/encode.h"
#include "format/schema.h"
#include "net/pg.h"

struct source_columns {
    char replica_identity; /* d n f i; only by source_columns_read */
    struct debezium_column *items;
    size_t count;
};

/* For the columns of a schema, in its order; key, name and types are the schema's. */
bool source_columns_complete(struct pg *pg, uint32_t oid, const struct schema *schema, struct source_columns *out,
                             struct error *err) MUST_CHECK;
/* All columns of "public.orders" as Debezium sees them: key of the primary key. CONFIG when there is no such table. */
bool source_columns_read(struct pg *pg, const char *table, struct source_columns *out, struct error *err) MUST_CHECK;
void source_columns_free(struct source_columns *c);

#endif
