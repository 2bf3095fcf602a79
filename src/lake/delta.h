/* One Delta table: its log read and written by our own C, its Parquet files by the engine.
 * Rules: Delta PROTOCOL.md. A table is named by its folder below the lake ("bronze/changes",
 * "silver/orders"). A handle belongs to one thread; several handles, threads and processes may
 * commit to one table: put-if-absent decides (a hard link; see delta_commit.c).
 *
 * Protocol: append-only tables (1,2), tables with deletion vectors (3,7). Every commit carries the
 * position of its input as a `txn` action, so a position and its data are durable together. */
#ifndef MILLRACE_LAKE_DELTA_H
#define MILLRACE_LAKE_DELTA_H

#include "engine/engine.h"
#include "format/row.h"

struct delta_table;
struct delta_commit;

struct delta_dv { /* a deletion vector descriptor; type 0: none */
    char type;    /* 'u', 'i' or 'p' */
    char *path_or_inline;
    int32_t offset; /* -1 when absent */
    int32_t size_bytes;
    int64_t cardinality;
};

struct delta_file {                            /* one live file; strings owned by the holder */
    char *path;                                /* as in the log: URI-encoded, relative to the table */
    char *partition;                           /* value of the partition column; NULL when none or null */
    char *stats;                               /* JSON text or NULL */
    char *tags;                                /* JSON object text or NULL */
    int64_t size_bytes, modification_ms, rows; /* rows: physical, -1 unknown */
    struct delta_dv dv;
    int64_t added_version; /* commit that brought this state of the file */
};

struct delta_options {
    const char *partition_column; /* NULL: unpartitioned; must be a string column */
    bool append_only;             /* delta.appendOnly, protocol (1,2) */
    bool deletion_vectors;        /* protocol (3,7) */
    int64_t checkpoint_commits, log_retention_s, tombstone_retention_s; /* 0: Delta's default */
};

void delta_file_free(struct delta_file *f);
void delta_file_copy(struct delta_file *to, const struct delta_file *from);

bool delta_exists(const char *lake, const char *name);
/* Opens, or creates as version 0 when absent. An existing table whose columns differ is opened as it
 * is: compare delta_columns and commit new ones with delta_commit_columns. */
bool delta_open_or_create(struct delta_table **out, const char *lake, const char *name,
                          const struct columns *columns, const struct delta_options *options,
                          struct error *err) MUST_CHECK;
bool delta_open(struct delta_table **out, const char *lake, const char *name, struct error *err) MUST_CHECK;
/* Opens the table as it was at a past version: does not move, refuses commits. DATA when the log no
 * longer reaches back so far. */
bool delta_open_at(struct delta_table **out, const char *lake, const char *name, int64_t version,
                   struct error *err) MUST_CHECK;
/* The position of an app id as of a past version; -1: none. */
bool delta_txn_at(const char *lake, const char *name, const char *app_id, int64_t version,
                  int64_t *position, struct error *err) MUST_CHECK;
void delta_close(struct delta_table *t);
/* Takes in commits that others have made. Pointers to files and columns of the handle live until the
 * next refresh or commit. */
bool delta_refresh(struct delta_table *t, struct error *err) MUST_CHECK;

/* Are all files of the handle's version there, as long as the log says? DATA, naming the first that is not
 * and what to do. One stat for each file. */
bool delta_verify(const struct delta_table *t, struct error *err) MUST_CHECK;

const char *delta_name(const struct delta_table *t);
const char *delta_folder(const struct delta_table *t); /* absolute */
int64_t delta_version(const struct delta_table *t);
const struct columns *delta_columns(const struct delta_table *t);
/* The columns without the partition column: what the Parquet files hold, in the same order. */
const struct columns *delta_file_columns(const struct delta_table *t);
int64_t delta_txn(const struct delta_table *t, const char *app_id); /* -1: none */
size_t delta_file_count(const struct delta_table *t);
const struct delta_file *delta_file_at(const struct delta_table *t, size_t i);
const struct delta_file *delta_file_find(const struct delta_table *t, const char *path);
int64_t delta_row_count(const struct delta_table *t); /* rows minus deletion vectors */
/* Absolute path of the file on disk (the log's path is URI-encoded): for SQL file('...'). */
void delta_put_file_path(const struct delta_table *t, const struct delta_file *f, struct buf *out);
/* Structure for reading data files by file(path, 'Parquet', structure): as columns_clickhouse, but
 * dates as Int32, whose RowBinary is the same and which has no range. Add
 * input_format_parquet_allow_missing_columns=1: older files lack newer columns. */
void delta_read_structure(const struct columns *columns, struct buf *out);

struct delta_txn {
    char *app_id;
    int64_t version;
};

/* One commit of the past: its time, operation, txns and the files it added with dataChange=true. */
struct delta_history_entry {
    int64_t version, timestamp_ms;
    char *operation, *user_metadata;
    char *commit_id; /* commitInfo.txnId, see delta_commit_id; NULL when it has none */
    struct delta_txn *txns;
    size_t txn_count;
    struct delta_file *added;
    size_t added_count;
};
/* Reads commit `version`; RETRY when it does not exist yet, DATA when it was cleaned up already. */
bool delta_history(const struct delta_table *t, int64_t version, struct delta_history_entry *out,
                   struct error *err) MUST_CHECK;
void delta_history_free(struct delta_history_entry *e);

/* Writes `count` rows (RowBinary of the table's columns, without the partition column) as a new
 * Parquet file, computes its statistics, does not sync it (the commit does). */
bool delta_write_file(struct delta_table *t, struct engine_conn *conn, struct slice rows, size_t count,
                      const char *partition, struct delta_file *out, struct error *err) MUST_CHECK;
/* Writes all vectors of a commit into one .bin file; the descriptors come back in the same order.
 * positions: ascending, unique, not empty. */
struct delta_positions {
    const uint32_t *rows;
    size_t count;
};
bool delta_write_vectors(struct delta_table *t, const struct delta_positions *vectors, size_t count,
                         struct delta_dv *out, struct error *err) MUST_CHECK;
bool delta_read_vector(const struct delta_table *t, const struct delta_dv *dv, uint32_t **rows,
                       size_t *count, struct error *err) MUST_CHECK;

/* Builds one commit. An add whose vector covers all rows is left out: its remove says it all. begin copies
 * nothing from outside; finish syncs the new files in parallel, publishes, refreshes the handle and frees
 * the builder whatever the outcome. On a conflict that makes the commit wrong (see delta_commit.c) it fails
 * with RETRY: plan again. */
struct delta_commit *delta_commit_begin(struct delta_table *t, const char *operation);
/* A fresh UUID that the commit will carry (commitInfo.txnId): tells later whether a version is ours. */
const char *delta_commit_id(const struct delta_commit *c);
/* The commit stands on all that the handle has seen: it is published as delta_version + 1 or fails
 * with RETRY. Without this, appends pass other commits by and take a later version. */
void delta_commit_read_all(struct delta_commit *c);
void delta_commit_add(struct delta_commit *c, const struct delta_file *f, bool data_change);
void delta_commit_remove(struct delta_commit *c, const struct delta_file *f, bool data_change);
void delta_commit_txn(struct delta_commit *c, const char *app_id, int64_t version);
void delta_commit_columns(struct delta_commit *c, const struct columns *columns);
void delta_commit_user_metadata(struct delta_commit *c, const char *text);
bool delta_commit_finish(struct delta_commit *c, int64_t *version, struct error *err) MUST_CHECK;
void delta_commit_cancel(struct delta_commit *c);

/* Upkeep, best effort, bounded: checkpoint when due, log cleanup, vacuum of files that nothing needs.
 * keep_version: the oldest version some reader still stands at; nothing it needs is removed. */
bool delta_upkeep(struct delta_table *t, struct engine_conn *conn, int64_t keep_version,
                  struct error *err) MUST_CHECK;
/* Appends only: when more than files_max files are live, merges small ones of each partition, up to
 * rows_max rows in one, in the order of their commits, with dataChange=false. *merged: files gone. */
bool delta_compact_append_only(struct delta_table *t, struct engine_conn *conn, size_t files_max,
                               int64_t rows_max, size_t *merged, struct error *err) MUST_CHECK;

/* SELECT source for a table: deltaLakeLocal('<folder>'), quoted. */
void delta_put_source(const struct delta_table *t, struct buf *sql);

#endif
