/* Rows in ClickHouse's RowBinary, the one encoding in which rows move inside Millrace: from the
 * engine's answers, in the state store, into Parquet and into the warehouse, without conversion.
 *
 *   nullable column   u8 1            NULL
 *                     u8 0, value
 *   string            LEB128 length, bytes          long/integer/short/byte   little-endian
 *   boolean           u8 0 or 1                     double/float              IEEE, little-endian
 *   date              i32 days since 1970-01-01     (ClickHouse Date32)
 *   timestamp         i64 microseconds since 1970   (ClickHouse DateTime64(6,'UTC'))
 *   decimal(p,s)      i32 (p<=9), i64 (p<=18), i128 unscaled
 *
 * Types carry Delta's names (PROTOCOL.md, "Schema Serialization Format"). */
#ifndef MILLRACE_FORMAT_ROW_H
#define MILLRACE_FORMAT_ROW_H

#include "base/buf.h"
#include "base/error.h"

enum column_type {
    COLUMN_STRING, COLUMN_LONG, COLUMN_INTEGER, COLUMN_SHORT, COLUMN_BYTE, COLUMN_BOOLEAN,
    COLUMN_DOUBLE, COLUMN_FLOAT, COLUMN_DATE, COLUMN_TIMESTAMP, COLUMN_DECIMAL,
};

struct column {
    char *name;
    enum column_type type;
    uint8_t precision, scale; /* decimal only */
    bool nullable;
};

struct columns {
    struct column *items;
    size_t count, cap;
};

void columns_free(struct columns *c);
void columns_add(struct columns *c, const char *name, enum column_type type, int precision, int scale,
                 bool nullable);
void columns_copy(struct columns *to, const struct columns *from);
bool columns_equal(const struct columns *a, const struct columns *b);
/* Index by exact name, -1 when absent. */
int columns_find(const struct columns *c, const char *name);
/* "string", "decimal(12,2)", "timestamp", each with an optional trailing " not null". */
bool column_type_parse(const char *text, struct column *out, struct error *err) MUST_CHECK;
void column_type_delta(const struct column *c, struct buf *out);      /* long, decimal(12,2) */
void column_type_clickhouse(const struct column *c, struct buf *out); /* Nullable(Int64) */
/* "`a` Nullable(String), `b` Int64": the structure for file(), CREATE TABLE and format(). */
void columns_clickhouse(const struct columns *c, struct buf *out);
/* Delta's schemaString (JSON text, unescaped), and its parser. */
void columns_delta_schema(const struct columns *c, struct buf *out);
bool columns_from_delta_schema(const char *json, struct columns *out, struct error *err) MUST_CHECK;

/* Splits the next row off `*rest`: fields[i] is the value's bytes without the null flag (strings
 * without their length); data == NULL for NULL. row, when given, is the whole row's bytes. False when
 * the bytes are cut short or not of this shape (the rest is left as it was). */
bool row_next(const struct columns *c, struct slice *rest, struct slice *fields, struct slice *row);
/* Appends field i, given as row_next gives it, with its null flag and length. */
void row_put_field(struct buf *out, const struct column *c, struct slice field);
/* The value as text: numbers, decimals with all their digits, ISO dates and times; NULL appends
 * nothing and returns false. */
bool field_text(const struct column *c, struct slice field, struct buf *out);
/* Orders two non-NULL values as Delta statistics want (strings by bytes). */
int field_compare(const struct column *c, struct slice a, struct slice b);

#endif
