/* Where bronze's log no longer reaches back to its beginning: silver's state is made from a snapshot of bronze.
 *
 *   base_open: the oldest version V that can still be read --> base_next: its rows, in bounded slices
 *
 *  1. Bronze is append-only and compaction keeps all rows: the live files at V hold the rows of all versions
 *     up to V. Bronze keeps its log, and what it speaks of, from before the position that refine needs; so
 *     at V every table of the lake has all that it was to get, and what is taken up to V is its state only.
 *  2. Slices follow each other in the order of all rows and are numbered from 1; the number is a position
 *     below that of any commit, and so below where any table of the lake stands.
 *  3. A base that was cut short begins anew (silver_forget): nothing of it depends on the cut. */
#ifndef MILLRACE_STAGES_REFINE_BASE_H
#define MILLRACE_STAGES_REFINE_BASE_H

#include "lake/delta.h"

struct base;

/* Whether position 0 cannot be read from the log of bronze any more. */
bool base_needed(const struct delta_table *bronze, bool *needed, struct error *err) MUST_CHECK;
/* size_bytes, rows: about so much in one slice. */
bool base_open(struct base **out, const char *lake, int64_t last_version, struct engine_conn *conn,
               int64_t size_bytes, int64_t rows, struct error *err) MUST_CHECK;
/* The next slice, in order (epoch, lsn, ordinal) within each table; *slice 0 at the end. */
bool base_next(struct base *b, struct engine_result *rows, int64_t *slice, struct error *err) MUST_CHECK;
int64_t base_version(const struct base *b);
uint64_t base_end_lsn(const struct base *b);
void base_close(struct base *b);

#endif
