/* The nine files of the Olist data set and the types of their columns, and the check of one record. */
#ifndef MILLRACE_CLI_LOAD_FILES_H
#define MILLRACE_CLI_LOAD_FILES_H

#include "format/csv.h"

enum load_type { LOAD_TEXT, LOAD_INTEGER, LOAD_DECIMAL, LOAD_DOUBLE, LOAD_TIME };

struct load_column {
    const char *name;
    enum load_type type;
    bool nullable;
};

enum { LOAD_COLUMNS_MAX = 10 };

struct load_file {
    const char *table, *name;
    struct load_column columns[LOAD_COLUMNS_MAX];
    bool no_key; /* loaded only into an empty table */
};

/* In the order of the foreign keys; ends with a NULL table. */
extern const struct load_file load_files[];
size_t load_file_columns(const struct load_file *file);

/* The header must name the columns, in their order. DATA names what is wrong. */
bool load_check_header(const struct load_file *file, const struct csv_record *record,
                       struct error *err) MUST_CHECK;
/* Appends the record as one line of COPY text, times moved by shift_days. DATA names the column. */
bool load_put_record(const struct load_file *file, const struct csv_record *record, int64_t shift_days,
                     struct buf *copy, struct error *err) MUST_CHECK;
/* "2018-01-31 12:00:00" with optional fraction; microseconds are kept as text by the caller. */
bool load_parse_time(struct slice text, int64_t *days, const char **rest);

#endif
