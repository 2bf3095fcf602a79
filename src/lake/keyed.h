/* A Delta table with a key: merge a batch of upserts and deletes by key (merge on read). The one
 * abstraction under silver and gold. Cost depends on the number of changes, not on the table.
 *
 *   state store   r/<name>\0<key>             -> file number, row number, the row (RowBinary)
 *                 i/<name>\0<column>\0<value>\0<key> -> nothing        (declared index columns)
 *                 f/<name>\0<file number>     -> path
 *                 v/<name>                    -> Delta version that the store has applied
 *                 p/<name>                    -> intent: version, txnId, batch
 *
 * A merge: (1) look up old places, drop unchanged rows; (2) write the new rows as one file, the
 * vectors of touched files as one .bin; (3) put the intent into the store; (4) commit to Delta with
 * the position; (5) apply the intent. After a crash the intent is applied when the log holds its
 * commit, dropped otherwise; a store that stands elsewhere is rebuilt from the table. A merge too
 * large for an intent marks the store for rebuild before (4) and applies in pieces after it. */
#ifndef MILLRACE_LAKE_KEYED_H
#define MILLRACE_LAKE_KEYED_H

#include "lake/delta.h"
#include "state/state.h"

struct keyed;

struct keyed_spec {
    const char *name;               /* "silver/orders" */
    const struct columns *columns;
    const int *key_columns;         /* the key is their texts joined by 0x1F */
    size_t key_column_count;
    const int *index_columns;       /* secondary indexes, one column each; NULL values are not in */
    size_t index_column_count;
    const char *app_id;             /* of the txn action, "millrace.refine" */
    int64_t live_files_max, compact_rows_max;
    struct delta_options options;
};

struct keyed_change {
    struct slice key, row;          /* row.data NULL: delete */
};

/* What a merge really changed. before.data NULL: new key; after.data NULL: deleted. */
struct keyed_applied {
    struct slice key, before, after;
};

/* Called once before the intent is stored, so that what it adds to `also` is atomic with the merge.
 * version is the Delta version the commit will have. */
typedef void keyed_hook(void *arg, const struct keyed_applied *applied, size_t count, int64_t version,
                        struct state_batch *also);

struct keyed_counts { size_t inserted, updated, deleted, unchanged; };

/* conn is used for rebuilding when needed. If the existing table's columns differ from the spec's,
 * *columns_differ is set and the caller must keyed_replace before anything else. */
bool keyed_open(struct keyed **out, const char *lake, struct state *state, struct engine_conn *conn,
                const struct keyed_spec *spec, bool *columns_differ, struct error *err) MUST_CHECK;
void keyed_close(struct keyed *k);

struct delta_table *keyed_table(struct keyed *k);
int64_t keyed_version(const struct keyed *k);
int64_t keyed_position(const struct keyed *k);  /* the txn value; -1: none yet */
const struct columns *keyed_columns(const struct keyed *k);
int64_t keyed_row_count(const struct keyed *k);

/* Keys must be unique in the batch. also (may be NULL) is taken into the same atomic state write and
 * emptied by the caller. Commits even when nothing changed if the position moved. */
bool keyed_merge(struct keyed *k, struct engine_conn *conn, const struct keyed_change *changes,
                 size_t count, int64_t position, struct state_batch *also, keyed_hook *hook, void *arg,
                 struct keyed_counts *counts, struct error *err) MUST_CHECK;

/* Replaces the whole content and the columns in one commit. next gives rows until *done. */
typedef bool keyed_source(void *arg, struct slice *key, struct slice *row, bool *done, struct error *err);
bool keyed_replace(struct keyed *k, struct engine_conn *conn, const struct columns *columns,
                   keyed_source *next, void *arg, int64_t position, struct error *err) MUST_CHECK;

bool keyed_get(struct keyed *k, struct slice key, struct buf *row, bool *found, struct error *err) MUST_CHECK;
/* Rows of many keys; each is called for those found. */
typedef bool keyed_each(void *arg, struct slice key, struct slice row, struct error *err);
bool keyed_get_many(struct keyed *k, const struct slice *keys, size_t count, keyed_each *each, void *arg,
                    struct error *err) MUST_CHECK;
/* Rows whose index column has one of the values (texts), in no particular order; each is told which one
 * found the row. column is the index in spec.columns. When it is the first key column no index is needed:
 * its prefix of the key is used. */
typedef bool keyed_each_of(void *arg, size_t value, struct slice key, struct slice row, struct error *err);
bool keyed_find_many(struct keyed *k, int column, const struct slice *values, size_t count,
                     keyed_each_of *each, void *arg, struct error *err) MUST_CHECK;
bool keyed_scan(struct keyed *k, const struct state_snapshot *at, keyed_each *each, void *arg,
                struct error *err) MUST_CHECK;
/* The key of a row (texts of the key columns joined by 0x1F). */
void keyed_row_key(const struct keyed *k, struct slice row, struct buf *key);

/* Compaction, checkpoint, cleanup, each when due; call between merges. */
bool keyed_upkeep(struct keyed *k, struct engine_conn *conn, int64_t keep_version, struct error *err) MUST_CHECK;

#endif
