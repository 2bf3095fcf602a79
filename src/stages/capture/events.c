/* Rows on their way to Kafka: the same tables, encoded as Debezium's connector does (format/debezium/encode.h).
 *
 * What a column is for Debezium (enum labels, defaults, the kind of its type) is not in the stream: the catalogue
 * is asked when a table is described, and may be ahead of the stream by then, as Debezium's is.
 *
 * A column that is hashed is a text for Debezium too; its hash is made before it is encoded (encode.c). */
#include "stages/capture/capture_int.h"
#include "stages/source_columns.h"

static struct debezium_options options, copy_options; /* of the stream's rows; of a copy's */
static bool events;

bool events_configure(const struct flow *flow, struct error *err)
{
    events = flow->kafka;
    if (events && !debezium_options_read(flow->config, &options, err)) return false;
    copy_options = options;
    copy_options.snapshot = true;
    return true;
}

const struct debezium_options *events_options(void)
{
    return events ? &options : NULL;
}

struct change_batch *capture_batch_new(void)
{
    struct change_batch *batch = change_batch_new();
    batch->events = events;
    return batch;
}

bool events_prepare(struct pg *pg, struct capture_table *t, bool copy, struct error *err)
{
    return !events || capture_table_events(t, pg, copy ? &copy_options : &options, NULL, err);
}

bool capture_table_events(struct capture_table *t, struct pg *pg, const struct debezium_options *wanted,
                          struct debezium_decoder *decoder, struct error *err)
{
    struct source_columns columns;
    if (!source_columns_complete(pg, t->oid, &t->schema, &columns, err)) return false;
    for (size_t i = 0; i < columns.count; i++) columns.items[i].hashed = t->columns[i].hashed;
    t->debezium = debezium_table_new(t->schema.table, columns.items, columns.count, wanted);
    if (decoder)
        debezium_decoder_describe(decoder, t->schema.table, t->schema.replica_identity, columns.items, columns.count);
    t->known = mem_alloc((columns.count + 1) * sizeof *t->known);
    for (size_t i = 0; i < columns.count; i++) t->known[i] = t->columns[i].identity;
    source_columns_free(&columns);
    return true;
}

void table_put_schema(const struct capture_table *t, struct buf *json, struct change *record)
{
    if (t->debezium) {
        const char *key = debezium_key_schema(t->debezium);
        record->key = key ? slice_of(key) : (struct slice){0};
        record->after = slice_of(debezium_value_schema(t->debezium));
        return;
    }
    schema_encode(&t->schema, json);
    record->after = buf_slice(json);
}
