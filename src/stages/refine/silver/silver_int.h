/* Private to the files of this folder.
 *
 *   silver.c    open, close, tables, positions
 *   apply.c     a range of bronze: its tables, begun together, two at once committed
 *   table.c     one source table: schemas, columns, opening, its record in the state
 *   model.c     a model file or a generated model becomes one SELECT
 *   clean.c     raw images in, typed rows or reasons out, by the engine
 *   fold.c      events over raw rows give versions
 *   copy.c      brackets of a copy, ghosts, TRUNCATE, tables without key
 *   settle.c    cleaned versions become history rows, current rows, quarantine and raw rows
 *   commit.c    the commits of one table, in their order
 *   walk.c      raw rows of a whole table, cleaned again
 *   rebuild.c   new columns or a new model over rows that are there already
 *   history.c   the history table's columns
 *   replay.c    quarantined keys again; cleaning for check
 *   forget.c    the state of tables that is made from a snapshot of bronze
 *   upkeep.c    compaction, checkpoints, old tombstones
 *   raw.c       bytes of raw rows and keys of the state
 *   dialect.c   SQL functions for models
 *
 * Life times: *table* while silver is open; *range* (struct range_work, its arena and engine results)
 * during one silver_apply of one table. */
#ifndef MILLRACE_STAGES_SILVER_INT_H
#define MILLRACE_STAGES_SILVER_INT_H

#include "base/crew.h"
#include "base/map.h"
#include "base/metrics.h"
#include "stages/refine/silver/raw.h"
#include "stages/refine/silver/silver.h"

#define SILVER_APP_ID "millrace.refine"
#define QUARANTINE_TABLE "silver/quarantine"

/* Bytes that live until the whole range of a table is done; addresses are stable. */
struct arena {
    char **blocks;
    size_t count, cap;
    size_t used, size; /* of the last block */
};
void *arena_take(struct arena *a, size_t size);           /* zeroed, aligned for any type */
struct slice arena_copy(struct arena *a, struct slice s); /* data NULL stays NULL */
void arena_free(struct arena *a);

/* ---- model.c */

/* What sql/silver/<table>.sql declares. A table without a file has an empty `source`, no columns of its
 * own and a SELECT that passes all on: then every source column is "extra". */
struct model {
    char **source; /* members of the image that the model reads */
    size_t source_count;
    struct columns columns; /* what it gives */
    char *select;
    uint64_t hash; /* of the file's text; 0: generated */
};

bool model_load(const char *table, struct model *out, struct error *err) MUST_CHECK;
bool model_parse(const char *name, struct slice text, struct model *out, struct error *err) MUST_CHECK;
void model_free(struct model *m);
/* Appends the model's columns, then each source column that the model does not read, with the type that
 * the schema gives. */
void model_columns(const struct model *m, const struct schema *schema, struct columns *out);
/* The SELECT that cleans `input` (seq, after): seq, _error, then model_columns. Images have the shape of
 * `from`, the result that of `to`; a column that `from` lacks takes `missing`. */
void model_put_sql(const struct model *m, const struct schema *from, const struct schema *to,
                   const char *input, struct buf *sql);

/* ---- clean.c */

struct cleaner {
    struct engine_conn *conn; /* set before cleaner_open: borrowed; else its own */
    bool borrowed;
    char *input; /* scratch table, its own for each cleaner */
};
bool cleaner_open(struct cleaner *c, struct error *err) MUST_CHECK;
void cleaner_close(struct cleaner *c);

struct clean_item {
    struct slice after;
    const struct schema *schema; /* of the image */
    struct slice row;            /* out: bytes of model_columns; data NULL when bad */
    struct slice reason;         /* out: why it is bad */
};
/* The engine's answers, which the items point into. */
struct clean_results {
    struct engine_result *items;
    size_t count, cap;
};
void clean_results_free(struct clean_results *r);

/* ---- table.c */

/* `t/<table>`: where the raw state of a table stands. */
struct table_record {
    int64_t position;
    char source[256];
    char schema[17];
    uint64_t model_hash;
    uint64_t copy; /* hash of the open copy's id; 0: none */
    int32_t epoch; /* last event of a table without key */
    uint64_t lsn, ordinal;
    bool behind; /* a range failed: the table waits at `position` */
};

enum table_kind {
    TABLE_KEYED,
    TABLE_HASHED,  /* no key, REPLICA IDENTITY FULL: key = hash of the image and a running number */
    TABLE_HISTORY, /* no key: history only */
};

struct table {
    char *source, *name;
    enum table_kind kind;
    struct table_record record;
    struct schema **schemas;
    size_t schema_count, schema_cap;
    const struct schema *schema; /* the newest */
    struct model model;
    struct columns columns; /* model_columns of the newest schema */
    struct columns stored;  /* those and the meta columns: silver/<name> */
    struct keyed *current;  /* NULL: TABLE_HISTORY, or not opened yet */
    struct delta_table *history;
    int *history_sources; /* for each history column, where put_history_row takes it from */
    bool history_plain;   /* history is silver/<table> and its own two columns: the usual case */
    bool opened;          /* the handles are open and the record is read */
    bool failed;          /* left behind by an error of its own until it is opened again */
};

enum { META_COUNT = 5, HISTORY_META_COUNT = 2 };

struct table *table_new(const char *source);
void table_free(struct table *t);
bool table_decode_record(struct slice value, struct table_record *r);
void table_put_record(const struct table *t, struct state_batch *batch);
/* Reads `t/` and the schema that it names; *found false when there is none. */
bool table_load(struct table *t, struct state *state, const struct state_snapshot *at, bool *found,
                struct error *err) MUST_CHECK;
/* The schema of that id, from memory or the state; NULL and no error when nobody knows it. */
bool table_schema(struct table *t, struct state *state, const char *id, const struct schema **out,
                  struct error *err) MUST_CHECK;
/* Takes in a schema record; the bytes go into the state with `batch`. */
bool table_add_schema(struct table *t, struct slice json, struct state_batch *batch,
                      struct error *err) MUST_CHECK;
/* Plans model, kind and columns for t->schema. */
bool table_plan(struct table *t, struct error *err) MUST_CHECK;
/* Opens current and history as they are in the lake, or makes them. */
bool table_open(struct silver *s, struct table *t, struct error *err) MUST_CHECK;
/* Opens silver/<table> with these columns; *differ as keyed_open says. */
bool table_open_current(struct silver *s, struct table *t, const struct columns *columns, bool *differ,
                        struct error *err) MUST_CHECK;
/* Opens a keyed table whose key and index columns are given by name. */
bool keyed_open_named(struct silver *s, const char *name, const struct columns *columns,
                      const char *const *key, size_t key_count, const char *const *indexes,
                      size_t index_count, struct keyed **out, bool *differ, struct error *err) MUST_CHECK;
/* Where the lake stands: the txn of current, or of history. */
int64_t table_lake_position(const struct table *t);

/* ---- a range */

struct entry { /* one key in a range */
    struct slice key;
    struct raw_row raw; /* as folded so far; after points into the arena or the range's rows */
    bool exists;        /* there is a raw row, living or a tombstone */
    bool dirty;
    bool was_live; /* raw lived before the range */
    bool was_quarantined;
    /* settling */
    struct slice good;    /* model part of the newest good row */
    struct slice current; /* row to put; data NULL with `changed`: delete */
    bool changed;
    bool judged;         /* its newest version was settled */
    struct slice reason; /* newest image is bad */
};

struct version {
    struct entry *entry;
    char op;
    bool removes; /* d, t */
    int32_t epoch;
    uint64_t lsn, ordinal;
    int64_t commit_us, valid_from_us;
    size_t clean;        /* index into items; unused when it removes */
    struct slice reason; /* decided before cleaning */
};

struct range_work {
    struct silver *silver;
    struct table *table;
    struct arena arena;
    struct map entries; /* key -> struct entry * */
    struct version *versions;
    size_t version_count, version_cap;
    struct clean_item *items;
    size_t item_count, item_cap;
    struct clean_results results;
    struct state_batch *also;
    bool state_only;    /* the lake stands at the position: only the state is written */
    struct map counts;  /* TABLE_HASHED: hash -> struct row_count * */
    struct change *poison; /* records of Kafka that could not be read */
    size_t poison_count, poison_cap;
    struct slice *held; /* TABLE_HASHED: bronze rows that wait for the end of a copy */
    size_t held_count, held_cap;
    bool counts_reset; /* the state's counts are void */
    size_t repeats;
};

struct silver {
    struct flow *flow;
    struct engine_conn *conn;
    struct cleaner cleaner, helper_cleaner; /* lanes of the crew */
    struct crew *crew;
    struct silver_hooks hooks;
    struct map tables; /* source name -> struct table * */
    struct keyed *quarantine;
    uint64_t open_copy;  /* of a bracket that names no table; 0: none */
    int64_t lake_most;   /* highest position in the lake when it was opened */
    int64_t *lost_positions; /* of the tables that the state did not know then */
    size_t lost_count, lost_cap;
    bool state_lost;     /* the lake holds tables that the state does not know */
    int64_t from;        /* all before was taken, but by tables left behind */
    bool position_asked; /* the driver knows where tables that are behind want to begin */
};

/* Opens a table's handles; a state that is behind the lake gets h/ again from the lake. */
bool silver_load_table(struct silver *s, struct table *t, struct error *err) MUST_CHECK;
void silver_unload_table(struct table *t);
struct table *silver_add_table(struct silver *s, const char *source);
/* By silver's name; NULL when there is none. */
struct table *silver_find(const struct silver *s, const char *name);

/* ---- fold.c, copy.c */

/* The key's entry, read from the state when it is not in the range yet. */
bool range_entry(struct range_work *w, struct slice key, struct entry **out, struct error *err) MUST_CHECK;
/* Reads the raw rows of all these keys at once. */
bool range_prefetch(struct range_work *w, const struct slice *keys, size_t count,
                    struct error *err) MUST_CHECK;
bool fold_change(struct range_work *w, const struct change *c, struct error *err) MUST_CHECK;
/* Ends the entry's life as of c, if it lives and c is newer. */
void fold_remove(struct range_work *w, struct entry *e, const struct change *c, char op);
/* Puts c's image as the entry's newest. */
void fold_put(struct range_work *w, struct entry *e, const struct change *c, struct slice after);
/* One version with the entry's newest image at the entry's position; held back while it is partial. */
void fold_publish(struct range_work *w, struct entry *e, char op);
/* The event's whole image: unchanged columns from `from` (may be NULL), then from its before image. */
bool fold_image(struct range_work *w, const struct change *c, const struct entry *from, struct slice *out,
                struct error *err) MUST_CHECK;
int position_compare(const struct raw_row *raw, const struct change *c);

bool bracket_begin(struct range_work *w, const struct change *c, struct error *err) MUST_CHECK;
bool bracket_complete(struct range_work *w, const struct change *c, struct error *err) MUST_CHECK;
bool fold_truncate(struct range_work *w, const struct change *c, struct error *err) MUST_CHECK;
uint64_t copy_hash(struct slice id);
bool hashed_change(struct range_work *w, const struct change *c, struct error *err) MUST_CHECK;
void hashed_flush(struct range_work *w);

/* ---- clean.c */
bool clean_items(struct cleaner *cleaner, const struct model *model, const struct schema *to,
                 const struct columns *columns, struct clean_item *items, size_t count,
                 struct clean_results *results, struct error *err) MUST_CHECK;

/* ---- settle.c, commit.c */

struct settled {
    struct buf *history; /* rows of the history table, in pieces that fit a file */
    size_t *history_rows;
    size_t history_count, history_cap;
    struct keyed_change *changes;
    size_t change_count, change_cap;
    struct keyed_change *quarantine;
    size_t quarantine_count, quarantine_cap;
};
bool settle(struct range_work *w, struct settled *out, int64_t position, struct error *err) MUST_CHECK;
void settled_free(struct settled *s);
const struct columns *quarantine_columns(void);
/* Key of a quarantine row, as its keyed table makes it. */
void quarantine_put_key(const char *table, struct slice key, struct buf *out);
/* Appends model part and meta columns: a row of silver/<table>. */
void put_current_row(struct buf *out, struct slice model_part, const struct version *v);
/* A row of the history table, in the order of its columns. */
bool put_history_row(const struct table *t, struct slice current_row, char op, int64_t valid_from_us,
                     struct buf *out, struct error *err) MUST_CHECK;

/* A history column for a value whose type changed, and the inverse: -1 when silver/<table> lacks it. */
char *history_name(const struct column *c);
int history_source(const struct columns *stored, const struct column *h);
/* Sets t->history_sources for the columns as they are now. */
void history_map(struct table *t);

/* The quarantine is one table for all: its part is silver's thread's, and comes first. */
bool commit_quarantine(struct range_work *w, struct settled *settled, int64_t position, struct error *err) MUST_CHECK;
/* The rest, on any thread: beside the commits of other tables. */
bool commit_table(struct range_work *w, struct engine_conn *conn, struct settled *settled, int64_t position,
                  struct error *err) MUST_CHECK;
bool commit_history(struct table *t, struct engine_conn *conn, const struct buf *pieces, const size_t *rows,
                    size_t count, int64_t position, struct error *err) MUST_CHECK;

/* ---- walk.c */

enum { RAW_WALK_ROWS = 10000 };

struct raw_walk {
    struct table *table;
    struct state *state;
    struct cleaner *cleaner;
    struct state_iter *it;
    size_t prefix_len;
    struct arena arena;
    struct entry *entries; /* key and raw only */
    struct clean_item *items;
    size_t count, cap, item_cap, at;
    struct clean_results results;
    struct map *partial; /* NULL, or gets the keys of rows that are not whole */
};
void raw_walk_open(struct raw_walk *w, struct table *t, struct state *state, struct cleaner *cleaner,
                   const struct state_snapshot *at);
/* Keeps err as it is when ok is false. */
bool raw_walk_close(struct raw_walk *w, bool ok, struct error *err) MUST_CHECK;
/* The next chunk of whole, living rows, cleaned; count 0 at the end. */
bool raw_walk_fill(struct raw_walk *w, struct error *err) MUST_CHECK;
/* The next row; NULL at the end. Both are valid until the next call. */
bool raw_walk_next(struct raw_walk *w, struct entry **entry, struct clean_item **item,
                   struct error *err) MUST_CHECK;
/* The version that a raw row is. */
struct version raw_version(struct entry *e);
void raw_put_row(const struct table *t, const struct entry *e, struct state_batch *batch);

/* ---- rebuild.c, history.c */

/* Brings the history table to the columns of t->stored. */
bool history_evolve(struct table *t, struct error *err) MUST_CHECK;

/* Brings current and history to the planned columns and model when they differ. */
bool table_evolve(struct silver *s, struct table *t, struct error *err) MUST_CHECK;

#endif
