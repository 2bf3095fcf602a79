/* Private to keyed*.c.
 *
 *   keyed.c          open, close, what a handle knows, the key of a row
 *   keyed_read.c     get and scans
 *   keyed_find.c     rows by the values of a column
 *   keyed_merge.c    a batch of changes becomes a plan: look-ups, unchanged rows dropped
 *   keyed_commit.c   a plan becomes files, vectors, intent, Delta commit, state: the protocol
 *   keyed_compact.c  moves rows of small and much deleted files by the same plan
 *   keyed_replace.c  new content and columns
 *   keyed_index.c    keys in the state store, recovery, rebuild
 *   keyed_files.c    live files, their vectors, reading their rows
 *
 * The handle is `in_step` when the store, the files in memory and the table's version agree. Every
 * failure after something durable was written clears it, and the next merge or upkeep recovers. */
#ifndef MILLRACE_LAKE_KEYED_INT_H
#define MILLRACE_LAKE_KEYED_INT_H

#include "lake/keyed.h"

/* A file ends at whichever comes first. Bounds the memory of writing it. */
#define KEYED_FILE_ROWS ((size_t)1000000)
#define KEYED_FILE_BYTES ((size_t)64 << 20)
/* A plan with more bytes is not kept as one intent. */
#define KEYED_INTENT_BYTES ((size_t)32 << 20)
#define KEYED_PIECE_BYTES ((size_t)8 << 20)

struct keyed_file {
    uint32_t number;       /* its short name in the store's places */
    char *path;            /* as in the log */
    int64_t rows;          /* physical */
    uint32_t *deleted;     /* ascending, unique; valid when loaded */
    size_t deleted_count;
    bool loaded;
};

struct keyed {
    char *name;
    struct state *state;
    struct delta_table *table;
    struct columns columns;
    int *key_columns, *index_columns;
    size_t key_column_count, index_column_count;
    char *app_id;
    int64_t live_files_max, compact_rows_max;
    struct keyed_file *files; /* ascending by number; exactly the table's live files */
    size_t file_count, file_cap;
    uint32_t next_number;
    struct slice *fields, *fields_before; /* scratch, one for each column */
    bool in_step, damaged, columns_differ;
};

/* One row that a plan changes, or moves (before and after are the same bytes). */
struct keyed_item {
    struct slice key, before, after; /* data NULL: not there */
    uint32_t old_file, old_row;      /* where before is */
    uint32_t new_file, new_row;      /* where after will be */
};

struct keyed_plan {
    struct keyed_item *items;
    size_t count;
    const char *operation;
    bool moves;                /* compaction: same content, dataChange=false */
    int64_t position;          /* -1: no txn action */
    struct state_batch *also;  /* may be NULL */
    keyed_hook *hook;
    void *hook_arg;
};

bool keyed_commit_plan(struct keyed *k, struct engine_conn *conn, const struct keyed_plan *plan,
                       struct error *err) MUST_CHECK;

/* Keys of the state store: `<kind>/<name>\0<tail>`. Appends. */
void keyed_put_state_key(const struct keyed *k, char kind, struct slice tail, struct buf *out);
/* `i/<name>\0<column>\0<value>\0`; bytes 0 and 1 of the value are escaped so that 0 ends it. */
void keyed_put_index_prefix(const struct keyed *k, int column, struct slice value, struct buf *out);
/* A place and a row as the value of r/. */
enum { KEYED_PLACE_BYTES = 8 };
void keyed_put_place(struct buf *out, uint32_t file, uint32_t row);
bool keyed_take_place(struct slice *value, uint32_t *file, uint32_t *row);
/* Puts what one item changes in r/ and i/ into the batch; both rows must be whole. */
void keyed_batch_item(struct keyed *k, struct state_batch *batch, const struct keyed_item *item, bool moves);
void keyed_batch_file(const struct keyed *k, struct state_batch *batch, uint32_t number, const char *path);
/* v/: the version, or -1 for "to be rebuilt", and what the index was built for. */
void keyed_batch_version(const struct keyed *k, struct state_batch *batch, int64_t version);
/* Splits a row of k->columns; false when its shape is wrong. */
bool keyed_split(const struct keyed *k, struct slice row, struct slice *fields);

enum { KEYED_ID_BYTES = 36 }; /* a UUID, see delta_commit_id */

struct keyed_intent {
    int64_t version;
    bool large;             /* the rows come after it in pieces */
    char id[KEYED_ID_BYTES + 1]; /* the commit's */
};
bool keyed_intent_store(struct keyed *k, const struct keyed_intent *intent, const struct state_batch *batch,
                        struct error *err) MUST_CHECK;
void keyed_batch_intent_done(const struct keyed *k, struct state_batch *batch);
/* Decides a stored intent by the log: applies or drops it. committed may be NULL. */
bool keyed_intent_settle(struct keyed *k, bool *committed, struct error *err) MUST_CHECK;
/* Brings the handle in step: settles, checks, rebuilds if needed. */
bool keyed_recover(struct keyed *k, struct engine_conn *conn, struct error *err) MUST_CHECK;
bool keyed_rebuild(struct keyed *k, struct engine_conn *conn, struct error *err) MUST_CHECK;
/* For callers that have no connection, and for a replace that is due. */
bool keyed_check_ready(const struct keyed *k, struct error *err) MUST_CHECK;
bool keyed_check_position(const struct keyed *k, int64_t position, struct error *err) MUST_CHECK;
/* The index contradicts itself or the table: rebuilt at the next merge. Returns false. */
bool keyed_damaged(struct keyed *k, const char *what, struct error *err);

void keyed_files_clear(struct keyed *k);
/* path is copied; rows as in the log. */
struct keyed_file *keyed_files_add(struct keyed *k, uint32_t number, const char *path, int64_t rows);
struct keyed_file *keyed_files_find(struct keyed *k, uint32_t number);
void keyed_files_drop(struct keyed *k, uint32_t number);
bool keyed_file_vector(struct keyed *k, struct keyed_file *f, struct error *err) MUST_CHECK;
bool keyed_file_is_deleted(const struct keyed_file *f, uint32_t row);

/* Calls each for every live row of the file with a number in [from, to); the row is valid during the
 * call only. */
typedef bool keyed_file_each(void *arg, uint32_t row_number, struct slice row, struct error *err);
/* The same for the first of several small files, read by one statement: how many is in *taken. */
typedef bool keyed_files_each(void *arg, const struct keyed_file *f, uint32_t row_number, struct slice row,
                              struct error *err);
bool keyed_files_read(struct keyed *k, struct engine_conn *conn, struct keyed_file *const *files, size_t count,
                      size_t *taken, keyed_files_each *each, void *arg, struct error *err) MUST_CHECK;
bool keyed_file_read(struct keyed *k, struct engine_conn *conn, struct keyed_file *f, uint32_t from,
                     uint32_t to, keyed_file_each *each, void *arg, struct error *err) MUST_CHECK;

#endif
