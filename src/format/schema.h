/* The schema record: what capture knows of a source table's shape, kept in bronze as a change with op
 * 'S' so that everything below can be rebuilt from the lake alone.
 *
 *   {"table":"public.orders","id":"<16 hex: hash of all below>","replica_identity":"d",
 *    "columns":[{"name":"order_id","type":"character varying(32)","oid":1043,"typmod":36,
 *                "attnum":1,"key":1,"not_null":true,"missing":"text of attmissingval or null"},...]}
 *
 * key is the 1-based place in the key, 0 when the column is not part of it. */
#ifndef MILLRACE_FORMAT_SCHEMA_H
#define MILLRACE_FORMAT_SCHEMA_H

#include "base/buf.h"
#include "base/error.h"

struct schema_column {
    char *name, *type; /* type as format_type() prints it */
    uint32_t oid;
    int32_t typmod;
    int attnum, key;
    bool not_null;
    char *missing; /* value that rows older than the column have; NULL when none */
};

struct schema {
    char *table; /* "public.orders" */
    char id[17];
    char replica_identity; /* d n f i */
    struct schema_column *columns;
    size_t count;
};

void schema_free(struct schema *s);
void schema_encode(const struct schema *s, struct buf *json); /* computes and prints the id too */
void schema_set_id(struct schema *s);
bool schema_decode(struct slice json, struct schema *out, struct error *err) MUST_CHECK;
const struct schema_column *schema_find(const struct schema *s, struct slice name);

#endif
