/* What the files of the Delta table share. The duties:
 *
 *   delta_action.c      one action <-> one JSON line
 *   delta_snapshot.c    the state that the actions add up to: files, tombstones, txns, metadata
 *   delta_log.c         finding and replaying the log: load, refresh, history
 *   delta_table.c       the handle: create, open, accessors
 *   delta_commit.c      building and publishing a commit, conflict rules
 *   delta_stats.c       statistics of a file from its RowBinary rows
 *   delta_file.c        data files and deletion vectors
 *   delta_verify.c      are the files there, as long as the log says
 *   delta_checkpoint.c  the snapshot as Parquet and back, through the engine
 *   delta_upkeep.c      checkpoint when due, log cleanup, vacuum
 *   delta_compact.c     merging small files of append-only tables */
#ifndef MILLRACE_LAKE_DELTA_INT_H
#define MILLRACE_LAKE_DELTA_INT_H

#include "base/map.h"
#include "lake/delta.h"
#include "lake/store.h"

#include <jansson.h>

#define DELTA_LOG_FOLDER "_delta_log"
#define DELTA_LAST_CHECKPOINT DELTA_LOG_FOLDER "/_last_checkpoint"

struct delta_texts {
    char **items;
    size_t count, cap;
};

struct delta_protocol {
    int reader, writer; /* 0: none yet */
    struct delta_texts reader_features, writer_features;
};

struct delta_metadata {
    char *id, *name, *description, *schema, *partition_column; /* id NULL: none yet */
    char *configuration;                                       /* JSON object text, compact */
    int64_t created_ms;                                        /* -1: absent */
};

/* A file that was removed: kept until nobody can need it. */
struct delta_tombstone {
    struct delta_file file; /* without stats and tags */
    int64_t deleted_ms, removed_version;
    bool data_change;
};

/* One parsed action. Only the members of its kind are set. */
enum delta_action_kind {
    DELTA_OTHER,
    DELTA_COMMIT_INFO,
    DELTA_PROTOCOL,
    DELTA_METADATA,
    DELTA_TXN,
    DELTA_ADD,
    DELTA_REMOVE,
    DELTA_DOMAIN,
};

struct delta_action {
    enum delta_action_kind kind;
    struct delta_protocol protocol;
    struct delta_metadata metadata;
    struct delta_file file; /* add and remove */
    bool data_change;
    int64_t deleted_ms;
    char *app_id;
    int64_t txn_version, txn_updated_ms;
    /* commitInfo */
    char *operation, *user_metadata, *commit_id;
    int64_t timestamp_ms;
    bool blind_append;
};

struct delta_actions {
    struct delta_action *items;
    size_t count, cap;
};

struct delta_txn_state {
    int64_t version, updated_ms;
};

/* Files or tombstones by key, dense, in no order. */
struct delta_set {
    void **items;
    size_t count, cap;
    struct map index; /* key -> place + 1; NULL: dropped */
};

struct delta_snapshot {
    int64_t version; /* -1: nothing */
    struct delta_protocol protocol;
    struct delta_metadata metadata;
    struct columns columns, file_columns;
    char *unwritable; /* why this program must not write the table; NULL: it may */
    bool append_only, deletion_vectors;
    int64_t checkpoint_commits, log_retention_ms, tombstone_retention_ms;
    struct delta_set files;      /* struct delta_file by path */
    struct delta_set tombstones; /* struct delta_tombstone by path and vector */
    struct map txns;             /* app id -> struct delta_txn_state */
    int64_t checkpoint_version;  /* the newest checkpoint seen; -1 */
};

struct delta_table {
    char *name, *folder;
    struct store *store;
    struct delta_snapshot now;
    bool pinned;         /* opened at a past version */
    bool stale;          /* a commit could be taken in by halves only: load anew */
    int64_t vacuumed_ms; /* monotonic time of the last vacuum; 0: none by this handle */
    bool vacuum_unfinished;
    struct delta_texts in_flight; /* names of files written by this handle and not yet committed */
};

/* ---- actions ---- */

int64_t delta_now_ms(void);
char *delta_uuid(void);
/* "uABCD...@1": what tells two states of one file apart; "" without a vector. */
void delta_put_dv_id(struct buf *out, const struct delta_dv *dv);
bool delta_same_dv(const struct delta_dv *a, const struct delta_dv *b);
/* Decodes %XX. */
void delta_put_decoded(struct buf *out, const char *uri);

bool delta_action_parse(struct slice line, struct delta_action *out, struct error *err) MUST_CHECK;
void delta_action_free(struct delta_action *a);
bool delta_actions_parse(struct slice text, struct delta_actions *out, struct error *err) MUST_CHECK;
void delta_actions_free(struct delta_actions *a);

void delta_texts_add(struct delta_texts *l, const char *text);
void delta_texts_free(struct delta_texts *l);
bool delta_texts_have(const struct delta_texts *l, const char *text);
void delta_protocol_free(struct delta_protocol *p);
void delta_metadata_free(struct delta_metadata *m);

/* Each appends one line with its newline. */
void delta_put_protocol(struct buf *out, const struct delta_protocol *p);
void delta_put_metadata(struct buf *out, const struct delta_metadata *m);
void delta_put_txn(struct buf *out, const char *app_id, int64_t version, int64_t updated_ms);
void delta_put_add(struct buf *out, const struct delta_file *f, const char *partition_column,
                   bool data_change);
void delta_put_remove(struct buf *out, const struct delta_file *f, const char *partition_column,
                      int64_t deleted_ms, bool data_change);

/* ---- snapshot ---- */

void delta_snapshot_init(struct delta_snapshot *s);
void delta_snapshot_free(struct delta_snapshot *s);
/* Takes in all actions of one version, whatever their order; empties them. On an error the snapshot
 * may hold a part of them. */
bool delta_snapshot_apply(struct delta_snapshot *s, struct delta_actions *actions, int64_t version,
                          struct error *err) MUST_CHECK;
/* To be called once protocol and metadata stand: decides whether the table may be read and written. */
bool delta_snapshot_check(struct delta_snapshot *s, struct error *err) MUST_CHECK;
struct delta_file *delta_snapshot_find(const struct delta_snapshot *s, struct slice path);
/* Forgets tombstones deleted before cutoff_ms by a version up to version_max. */
void delta_snapshot_expire(struct delta_snapshot *s, int64_t cutoff_ms, int64_t version_max);

/* ---- log ---- */

void delta_commit_name(int64_t version, char name[64]);
void delta_checkpoint_name(int64_t version, char name[64]);
/* Version of a name in the log's folder ("00000000000000000007.json"), -1 when it is not one. */
int64_t delta_commit_version(const char *name);
struct delta_checkpoint_part {
    int64_t version;
    int part, parts;
};
bool delta_checkpoint_parse(const char *name, struct delta_checkpoint_part *out);
bool delta_load(struct delta_table *t, struct error *err) MUST_CHECK;
/* Loads a past version and pins the handle to it. */
bool delta_load_at(struct delta_table *t, int64_t version, struct error *err) MUST_CHECK;
/* Reads one commit; *found false when there is none. */
bool delta_read_commit(struct delta_table *t, int64_t version, struct delta_actions *out, bool *found,
                       struct error *err) MUST_CHECK;
/* Takes in one commit that follows the handle's version. */
bool delta_take_in(struct delta_table *t, struct delta_actions *actions, struct error *err) MUST_CHECK;

/* ---- statistics ---- */

struct delta_stats;
struct delta_stats *delta_stats_new(const struct columns *columns);
/* DATA when the bytes are not whole rows of these columns or a NOT NULL column is NULL. */
bool delta_stats_rows(struct delta_stats *s, struct slice rows, struct error *err) MUST_CHECK;
int64_t delta_stats_count(const struct delta_stats *s);
/* The add's stats text. tight: with tightBounds, for tables with deletion vectors. */
void delta_stats_put(const struct delta_stats *s, bool tight, struct buf *out);
void delta_stats_free(struct delta_stats *s);

/* ---- files ---- */

/* How a file's pages are packed. Small ones, of which every batch writes a dozen and which are soon compacted, cheaply:
 * the state that zstd sets up for each column costs more than all the rest of writing 60 rows. */
enum delta_packing { DELTA_SMALL, DELTA_LARGE };
/* A new unique name below the table for a data file of this partition. */
char *delta_new_file_name(const char *partition, enum delta_packing packing);
/* "INSERT INTO FUNCTION file(...) SETTINGS ..." for rows in order. */
void delta_put_insert(const struct delta_table *t, const char *name, enum delta_packing packing, struct buf *sql);
/* Completes a file whose bytes the engine has written. */
bool delta_finish_file(struct delta_table *t, const char *name, const char *partition,
                       const struct delta_stats *stats, struct delta_file *out,
                       struct error *err) MUST_CHECK;
/* Whether the engine has written a Parquet file to its end: it keeps silent when its last write fails. */
bool delta_check_whole(struct delta_table *t, const char *name, int64_t size_bytes, struct error *err) MUST_CHECK;
/* Notes a file as written and not yet committed: vacuum spares it however old it grows. */
void delta_note_in_flight(struct delta_table *t, const char *name);
/* Name below the table of the .bin that a vector of type u lies in; NULL for other types. */
char *delta_vector_name(const struct delta_dv *dv);

/* ---- checkpoints ---- */

/* Feeds the actions of one checkpoint file into s. */
bool delta_checkpoint_read(struct delta_table *t, const char *name, int64_t version,
                           struct delta_snapshot *s, struct error *err) MUST_CHECK;
bool delta_checkpoint_write(struct delta_table *t, struct engine_conn *conn, struct error *err) MUST_CHECK;

#endif
