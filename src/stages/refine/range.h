/* A range of bronze: the files that commits added between two positions, and their rows. */
#ifndef MILLRACE_STAGES_REFINE_RANGE_H
#define MILLRACE_STAGES_REFINE_RANGE_H

#include "lake/delta.h"
#include "stages/recent.h"

struct range {
    int64_t from, to;          /* positions; to ends a version unless `sliced` */
    bool sliced;               /* ends inside a version, or before where it must end: batches and gold wait */
    bool deferred;             /* ends a version, and much follows: batches and gold wait for that */
    int64_t version;           /* the last version that is touched */
    uint64_t end_lsn;          /* of the last whole version in the range */
    int64_t commit_us;         /* newest commit time in it */
    int64_t rows;
    struct delta_file *files;
    size_t file_count, file_cap;
};

struct range_limits {
    int64_t size_bytes, rows;  /* of rows as they are read; stop before a version (or file) would pass these; one always fits */
    int64_t last_version;      /* do not go past this version */
    int64_t end;               /* do not pass this position; 0: none */
};

/* Plans the range after `from`; range->from == range->to when there is nothing. */
bool range_plan(const struct delta_table *bronze, int64_t from, const struct range_limits *limits,
                struct range *range, struct error *err) MUST_CHECK;
/* Rows of a range: in memory of its own, or the engine's answer. */
struct range_rows {
    struct slice data; /* RowBinary of change_columns */
    struct buf own;
    struct engine_result answer;
};

/* The range's rows, in order (epoch, lsn, ordinal) within each table: from `recent` when all of its files
 * are there, else from the files. Its files are in order of tables afterwards. */
bool range_read(const struct delta_table *bronze, struct recent *recent, struct engine_conn *conn,
                struct range *range, struct range_rows *rows, struct error *err) MUST_CHECK;
/* All files of the version that the handle stands at, in order of tables; returns the bytes of their rows. */
int64_t range_of_snapshot(const struct delta_table *bronze, struct range *range);
/* The SELECT of the rows of a range whose files are in order of tables, and the order they are wanted in:
 * rows of a copy share lsn and ordinal; its brackets and its schema go around them. */
#define RANGE_BRACKETS_FIRST "transform(op, ['B', 'S', 'E'], [0, 1, 3], 2)"
#define RANGE_ORDER " ORDER BY `table`, epoch, lsn, ordinal, " RANGE_BRACKETS_FIRST " SETTINGS max_threads=2"
void range_put_rows(const struct delta_table *bronze, const struct range *range, struct buf *sql);
void range_rows_free(struct range_rows *rows);
void range_free(struct range *range);

#endif
