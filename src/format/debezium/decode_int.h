/* What the files of the decoder share. See decode.h.
 *
 *   decode.c           a record into a change
 *   decode_split.c     wrapper, envelope, source: one scan each, slices into the record
 *   decode_shape.c     shapes from Connect schemas and from descriptions
 *   decode_types.c     which converter and which PostgreSQL type a column has
 *   decode_value.c     one value: integers, texts, bytes, arrays; the placeholder
 *   decode_number.c    decimals, floats, bits, base64
 *   decode_time.c      dates, times, intervals
 *   decode_struct.c    points and other geometry, hstore, vectors */
#ifndef MILLRACE_FORMAT_DEBEZIUM_DECODE_INT_H
#define MILLRACE_FORMAT_DEBEZIUM_DECODE_INT_H

#include "format/debezium/decode.h"

#include <jansson.h>

/* What a value of the event is; what JSON itself tells (number or string) decides the rest. */
enum conv {
    CONV_TEXT,
    CONV_INTEGER,
    CONV_BOOLEAN,
    CONV_FLOAT4,
    CONV_FLOAT8,
    CONV_BYTES,   /* base64, of either alphabet */
    CONV_HEX,     /* bytes as hexadecimal digits */
    CONV_DECIMAL, /* strings are base64, scale is known */
    CONV_NUMBER,  /* strings are decimal digits; scale, or SCALE_ANY */
    CONV_DATE,    /* days, or ISO */
    CONV_TIME_MS,
    CONV_TIME_US,
    CONV_TIME_NS,
    CONV_TIMESTAMP_MS,
    CONV_TIMESTAMP_US,
    CONV_TIMESTAMP_NS,
    CONV_TIMESTAMPTZ,
    CONV_TIMETZ,
    CONV_INTERVAL, /* microseconds, or ISO */
    CONV_BITS,     /* scale: length to pad to, 0: none */
    CONV_GEOMETRY, /* also points, circles, lines */
    CONV_HSTORE,
    CONV_VECTOR,
    CONV_ANY, /* JSON as it stands, as a text */
};

enum { SCALE_ANY = INT32_MIN, DECODE_DEPTH_MAX = 6 };

struct converter {
    enum conv conv;
    int32_t scale;
    bool array;
    bool text_bytes; /* CONV_BYTES, CONV_HEX: the bytes are PostgreSQL's text (include.unknown.datatypes) */
};

struct field {
    char *name;
    char *label; /* "name": as it is printed */
    size_t name_len, label_len;
    struct converter as;
    bool key; /* of a row: a column of the key */
    bool required;
    char *fallback; /* the canonical value that stands for one that is not known; NULL: its type's zero */
};

struct fields {
    struct field *items;
    size_t count;
};

/* Of the records of one table with one schema, or of one description. */
struct debezium_shape {
    struct fields row, key;
    const struct schema *schema;
    char identity; /* described replica identity; 0: not known */
};

/* The parts of a record, as they stand in it. data NULL: absent or null. */
struct parts {
    struct slice key_schema, key;
    struct slice value_schema, value;
    struct slice before, after, source, op, ts_ms, ts_us;
    struct slice connector, name, schema, table, snapshot, sequence;
    struct slice source_ts_ms, source_ts_us, source_ts_ns, xid, lsn, origin, origin_lsn;
};

/* ---- decode_split.c */

/* {"schema":..,"payload":..} and nothing else, else the text itself. False when it is no JSON. */
bool split_wrapper(struct slice text, struct slice *schema, struct slice *payload);
/* Fills what lies in p->value. */
bool split_value(struct parts *p, enum debezium_kind *kind, struct error *err) MUST_CHECK;
bool is_null(struct slice raw);
bool parse_i64(struct slice raw, int64_t *out);

/* ---- decode_value.c */

struct placeholder {
    struct buf text, base64, base64_url, hex, numbers, hstore, hstore_text, uuid; /* texts with their quotes */
};

struct values {
    struct placeholder placeholder;
    struct buf text, bytes, digits; /* of one value */
};

void values_open(struct values *v, const char *placeholder);
void values_close(struct values *v);
/* Appends the canonical JSON; false when raw does not have the form. */
bool value_put(struct values *v, const struct converter *as, struct slice raw, struct buf *out) MUST_CHECK;
bool value_unavailable(const struct values *v, const struct converter *as, struct slice raw);
/* Whether a canonical value is what Debezium puts where a column that must not be null is not known. */
bool value_is_filler(const struct field *f, struct slice canonical);
const char *converter_expects(const struct converter *as);
/* The text of a JSON string; false when it is none. */
bool string_of(struct slice raw, struct buf *scratch, struct slice *out);

/* ---- decode_number.c */

bool base64_decode(struct slice text, struct buf *bytes);
void base64_encode(struct slice bytes, bool url_safe, struct buf *out);
bool put_bytes_decimal(struct values *v, struct slice bytes, int64_t scale, struct buf *out);
/* Digits, with an exponent also, as a decimal of at least that scale; SCALE_ANY: of their own, trimmed:
 * without trailing zeros after the point. */
bool put_text_decimal(struct values *v, struct slice text, int32_t scale, bool trimmed, struct buf *out);
/* As PostgreSQL prints it, without quotes; NaN and infinities too. */
bool put_float(struct slice number, bool single, struct buf *out);
void put_double(double value, bool single, struct buf *out);
void put_bit_string(struct slice bytes, int32_t length, struct buf *out);

/* ---- decode_time.c; all put a JSON string */

bool put_date(struct slice raw, struct buf *scratch, struct buf *out);
bool put_time(struct slice raw, int64_t per_second, struct buf *scratch, struct buf *out);
bool put_timestamp(struct slice raw, int64_t per_second, bool zoned, struct buf *scratch, struct buf *out);
bool put_timetz(struct slice raw, struct buf *scratch, struct buf *out);
bool put_interval(struct slice raw, struct buf *scratch, struct buf *out);

/* ---- decode_struct.c */

bool put_geometry(struct values *v, struct slice raw, struct buf *out);
bool put_hstore(struct values *v, struct slice raw, struct buf *out);
bool put_vector(struct slice raw, struct buf *out);

/* ---- decode_types.c */

/* type: from mem_*. node: a field, or the items of an array. */
void type_of_connect(const json_t *node, struct converter *as, struct schema_column *column);
struct converter converter_of_column(const struct debezium_column *c,
                                     const struct debezium_options *options);

/* ---- decode_shape.c */

void shape_free(void *shape);
/* Fills row, key and `schema` (which the caller owns and may replace by an equal one). */
bool shape_of_schema(struct values *v, struct slice value_schema, struct slice key_schema, struct slice key,
                     const char *table, char identity, struct debezium_shape *out, struct schema *schema,
                     struct error *err) MUST_CHECK;
void shape_of_columns(const char *table, char identity, const struct debezium_column *columns, size_t count,
                      const struct debezium_options *options, struct debezium_shape *out,
                      struct schema *schema);
const struct field *field_find(const struct fields *f, struct slice raw_name);

#endif
