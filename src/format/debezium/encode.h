/* Rows of PostgreSQL as Debezium's connector prints them: PostgreSQL's text of a value in, JSON out, and the
 * Connect schemas that describe it. Pure: no catalogue, no I/O.
 *
 *   debezium_table_new(columns) --> put_row, put_key, put_missing ...       the payloads
 *                               --> key_schema, value_schema                with `schemas`
 *   debezium_put_value(event)   --> the whole value: envelope around the payloads
 *
 * A column whose type Debezium leaves out (composite, pg_lsn, ..) is in no payload and no schema, unless
 * include.unknown.datatypes. A table encoder is constant once made and may be used by several threads. */
#ifndef MILLRACE_FORMAT_DEBEZIUM_ENCODE_H
#define MILLRACE_FORMAT_DEBEZIUM_ENCODE_H

#include "format/change.h"
#include "format/debezium/debezium.h"
#include "format/pgoutput.h"

/* What must be known of a column; the catalogue gives it (capture's columns.h). Domains by their base type. */
struct debezium_column {
    char *name;
    char *type;          /* as format_type() prints it: "character varying(32)", "mood", "numeric(10,2)[]" */
    char *type_name;     /* pg_type.typname of the base type, of the element for arrays: "varchar", "hstore" */
    char type_kind;      /* pg_type.typtype of that: b e c r m p */
    bool array;
    uint32_t oid;        /* of the column's base type */
    int32_t typmod;
    int key;             /* 1-based place in the key, 0: none */
    bool not_null;
    char *labels;        /* enum: its labels, comma-separated in their order; else NULL */
    char *fallback;      /* a default that is a literal, as PostgreSQL's text of the value; else NULL */
    bool computed;       /* it has a default that is no literal, such as nextval() or now() */
    bool hashed;         /* hash_columns: a text now */
    int attnum;          /* pg_attribute.attnum, for the schema record; 0: not known */
};

struct debezium_table;

/* Copies what it is given. table: "public.orders". */
struct debezium_table *debezium_table_new(const char *table, const struct debezium_column *columns, size_t count,
                                          const struct debezium_options *options);
void debezium_table_free(struct debezium_table *t);

/* values: one for each column, in order. PGOUTPUT_UNCHANGED prints the placeholder. */
void debezium_put_row(const struct debezium_table *t, const struct pgoutput_value *values, struct buf *json);
/* The image of an old row of which only the columns with known[i] were sent (a 'K' tuple): the others print as
 * null, or, when they must not be null, as their default or their type's zero. */
void debezium_put_old_row(const struct debezium_table *t, const struct pgoutput_value *values, const bool *known,
                          struct buf *json);
/* {"a":1,"b":"x"}; appends nothing for a table without key. */
void debezium_put_key(const struct debezium_table *t, const struct pgoutput_value *values, struct buf *json);

/* The Connect schemas as JSON; the key's is NULL for a table without key. Owned by the table. */
const char *debezium_key_schema(const struct debezium_table *t);
const char *debezium_value_schema(const struct debezium_table *t);

/* One change as the whole value of a record. Images and key are payloads as put above; schema may be NULL:
 * payload only. */
struct debezium_event {
    const char *schema;      /* debezium_value_schema, or NULL */
    const char *version;     /* source.version */
    const char *prefix, *database;
    const char *snapshot;    /* "false", "first", "true", "last_in_data_collection", ...; NULL: null */
    struct slice table;      /* "public.orders" */
    char op;                 /* c u d r t m */
    struct slice before, after; /* data NULL: null */
    uint64_t lsn, previous_lsn; /* previous 0: null in `sequence` */
    uint32_t xid;            /* 0: null */
    int64_t commit_us;       /* source.ts_* */
    int64_t now_us;          /* ts_* */
    struct slice origin;     /* data NULL: null */
    uint64_t origin_lsn;
    uint64_t total_order, table_order; /* with provide.transaction.metadata; 0: "transaction":null */
    /* op m only */
    struct slice message_prefix, message_content; /* content: raw bytes */
};
void debezium_put_value(const struct debezium_event *e, enum debezium_binary binary, struct buf *out);

/* {"status":"BEGIN"|"END",..} with its key; counts are "table" -> n, in the order of first appearance. */
struct debezium_table_count {
    struct slice table;
    uint64_t count;
};
void debezium_put_transaction(bool end, uint32_t xid, uint64_t lsn, int64_t ts_ms, uint64_t count,
                              const struct debezium_table_count *tables, size_t table_count, bool schema,
                              struct buf *value);
void debezium_put_transaction_key(uint32_t xid, uint64_t lsn, bool schema, struct buf *key);
void debezium_put_heartbeat(int64_t ts_ms, bool schema, struct buf *value);
void debezium_put_heartbeat_key(const char *prefix, bool schema, struct buf *key);
void debezium_put_message_key(struct slice message_prefix, bool schema, struct buf *key);
/* {"schema":..,"payload":..} around a key; schema NULL: the payload alone. */
void debezium_put_wrapped(const char *schema, struct slice payload, struct buf *out);
/* Schema of the values of <prefix>.message, appended to out: its content is bytes or, by the mode, a string. */
void debezium_put_message_schema(enum debezium_binary binary, struct buf *out);

#endif
