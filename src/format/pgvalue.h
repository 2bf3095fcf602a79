/* The text of a PostgreSQL value (ISO settings, see net/pg.h) as canonical JSON. The same bytes come
 * out whether the text was read by COPY, by pgoutput or from a catalogue.
 *
 *   boolean                          true, false
 *   smallint integer bigint oid      number, as printed
 *   real double precision            number, as printed; "NaN", "Infinity", "-Infinity" as strings
 *   bytea ("\x6162")                 "YWI=" (base64, padded)
 *   arrays                           [..], nested for more dimensions; NULL elements are null; the
 *                                    lower bounds of "[2:3]={..}" are dropped
 *   json, jsonb and all else         a string with PostgreSQL's text
 *
 * A text that does not have the form of its type becomes a string: nothing is lost, nothing refused. */
#ifndef MILLRACE_FORMAT_PGVALUE_H
#define MILLRACE_FORMAT_PGVALUE_H

#include "base/buf.h"

enum pgvalue_kind { PGVALUE_TEXT, PGVALUE_BOOL, PGVALUE_INTEGER, PGVALUE_FLOAT, PGVALUE_BYTEA };

struct pgvalue_type {
    enum pgvalue_kind kind; /* of the element, for arrays */
    char delimiter;         /* 0: not an array */
};

/* oid of a built-in type; for others the name as format_type() prints it decides ("mood[]" is an array
 * of texts). Domains must be given by their base type. name may be NULL. */
struct pgvalue_type pgvalue_type_of(uint32_t oid, const char *name);

/* Appends the value; text.data NULL is null. */
void pgvalue_put_json(struct buf *out, struct pgvalue_type type, struct slice text);

#endif
