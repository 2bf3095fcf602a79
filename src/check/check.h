/* check: proves that the end equals the beginning, at one exact point of the source.
 *
 *   source     rows of PostgreSQL under a snapshot at LSN L  =  raw rows in the state at L
 *   silver     raw rows at L, cleaned again                  =  the lake's silver tables at that batch
 *   gold       every model recomputed over silver and gold   =  the lake's gold tables at that batch
 *   warehouse  gold at the warehouse's position              =  the warehouse's tables
 *
 * L is a temporary slot's consistent point. Bronze holds its next commit while the slot is made (a bounded
 * time) and then ends a commit exactly at L; refine ends a range there and keeps a snapshot of the state.
 * Nothing else stops: comparing runs beside the flow, on connections of its own. */
#ifndef MILLRACE_CHECK_CHECK_H
#define MILLRACE_CHECK_CHECK_H

#include "stages/stage.h"

enum { CHECK_KEYS_MAX = 10 };

struct check_options {
    const char *tables;  /* comma list of source tables and models; NULL: all */
    int64_t rows_per_second; /* of the scan of the source; 0: no limit */
};

struct check_line {
    const char *layer; /* "source", "silver", "gold", "warehouse" */
    const char *table;
    int64_t rows;      /* compared on the right side */
    int64_t missing, surplus, differing;
    char *keys[CHECK_KEYS_MAX]; /* of the first rows that are missing, surplus or differ */
    size_t key_count;
    const char *note;  /* why a table was passed over; NULL */
    uint64_t lsn;
};

/* Called for each table and layer as it is done; false stops the check. */
typedef bool check_each(void *arg, const struct check_line *line);

/* Needs the whole pipeline running on `flow`. RETRY when the point could not be had in time. */
bool check_run(struct flow *flow, const struct check_options *options, check_each *each, void *arg,
               bool *equal, struct error *err) MUST_CHECK;
/* "gold       fact_orders            9,123 rows  equal" and, when not, the keys. */
void check_line_print(const struct check_line *line, struct buf *out);
void check_line_json(const struct check_line *line, struct buf *out);

#endif
