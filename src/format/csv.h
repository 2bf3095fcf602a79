/* Comma-separated values as RFC 4180 has them, and as they are found: a UTF-8 byte-order mark, LF or
 * CRLF between records, line breaks and doubled quotes inside quotes, no final newline. Bytes inside
 * quotes are kept exactly. A push parser: feed it pieces of any size.
 *
 *   start --"--> quoted --"--> quote --"--> quoted        quote --,--> start    quote --LF--> record
 *   start --x--> plain --,--> start                       plain --LF--> record
 *
 * It does not know types or columns; that is load's. */
#ifndef MILLRACE_FORMAT_CSV_H
#define MILLRACE_FORMAT_CSV_H

#include "base/buf.h"
#include "base/error.h"

enum { CSV_FIELDS_MAX = 256, CSV_FIELD_BYTES_MAX = 16 << 20 };

struct csv_field {
    size_t start, len; /* in csv.text */
    bool quoted;       /* "" is an empty text, nothing at all is NULL */
};

struct csv_record {
    const struct csv_field *fields;
    const char *text;
    size_t count;
    int64_t line;      /* where the record begins, from 1 */
};

typedef bool csv_each(void *arg, const struct csv_record *record, struct error *err);

struct csv {
    int state;
    struct buf text;
    struct csv_field fields[CSV_FIELDS_MAX];
    size_t count;
    int64_t line, record_line;
    size_t bom;        /* bytes of a byte-order mark seen at the start */
    bool started;
};

void csv_init(struct csv *csv);
void csv_free(struct csv *csv);
/* Parses a piece; calls each for every whole record. DATA errors name the line. */
bool csv_feed(struct csv *csv, struct slice piece, csv_each *each, void *arg, struct error *err) MUST_CHECK;
/* The end of the input: the last record may lack its newline; an open quote is an error. */
bool csv_end(struct csv *csv, csv_each *each, void *arg, struct error *err) MUST_CHECK;

static inline struct slice csv_text(const struct csv_record *r, size_t i)
{
    return (struct slice){r->text + r->fields[i].start, r->fields[i].len};
}

#endif
