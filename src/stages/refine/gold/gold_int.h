/* Private to gold*.c.
 *
 *   gold_model.c     model files: header, inputs, order
 *   gold_input.c     inputs as tables: finding them, their rows by a column's value
 *   gold_history.c   follows <table>_history into the state (hi/)
 *   gold_marks.c     changed keys: the hook that leaves marks, reading, gaps, clearing
 *   gold_groups.c    from changed rows backwards to the groups they affect
 *   gold_slice.c     some groups: inputs forwards into the scratch database, SELECT, difference
 *   gold_follow.c    the row models of a batch, level by level, their SELECTs side by side
 *   gold_changes.c   what a model's run has found to change, until it is merged
 *   gold_full.c      the SELECT over the whole of its inputs, merged by difference or handed out
 *   gold_whole.c     whole models, computed beside the batches
 *   gold.c           open, close, apply
 *
 * One thread uses a struct gold. Its crew's helper runs SELECTs of slices and reads passes, on connections and
 * scratch tables of its own, the background crew's reads whole models; gold_recompute_at reads only what is
 * constant after gold_open. */
#ifndef MILLRACE_STAGES_GOLD_INT_H
#define MILLRACE_STAGES_GOLD_INT_H

#include "base/assets.h"
#include "base/crew.h"
#include "base/map.h"
#include "stages/refine/gold/gold.h"

enum { LINE_GROUP = -1, LINE_ALL = -2 };

/* One "-- input:" line. Tables are indexes into the model's tables. */
struct gold_line {
    size_t table;
    int parent; /* a table, or LINE_GROUP, LINE_ALL */
    char *column, *parent_column;
    int since_table;                            /* -1: none */
    char *since_from, *since_to, *since_column; /* since_to may be NULL */
    bool required;                              /* no row of it in the group: no row of the result */
    int column_at, parent_at;                   /* bound: indexes into the inputs' columns */
};

enum gold_kind { GOLD_SILVER, GOLD_HISTORY, GOLD_MODEL };

/* A table of a scratch database; each lane of the crew has one for each input. */
struct gold_scratch {
    bool dirty;
    uint64_t content;       /* hash of the rows in it; 0: not known */
    struct columns columns; /* count 0: it is not there */
};

/* A table that models read, shared by all of them. */
struct gold_input {
    char *name; /* as in SQL: "orders", "products_history", "dim_products" */
    enum gold_kind kind;
    char *base;   /* the silver table of a history, else the name */
    char *table;  /* in the lake: "silver/orders" */
    size_t model; /* of a GOLD_MODEL */
    /* at work */
    struct keyed *keyed; /* NULL: not there yet; of a history: its silver table */
    struct delta_table *history;
    const struct columns *columns;
    int64_t checked_version; /* marks are known to be without gap up to here */
    struct gold_scratch scratch[CREW_LANES];
};

struct gold_model {
    char *name, *table; /* "fact_orders", "gold/fact_orders" */
    char *file;
    bool whole;
    struct columns columns;
    int *keys, *sort;
    size_t key_count, sort_count;
    int group;                              /* column; -1 for whole models */
    size_t *tables, table_count, table_cap; /* indexes into the set's inputs */
    struct gold_line *lines;
    size_t line_count, line_cap;
    char *select;
    uint64_t text_hash;
    size_t level; /* row models of one level do not read each other */
    /* at work */
    struct keyed *keyed;
    bool columns_differ;     /* the table in the lake has other columns: replace it */
    uint64_t built_hash;     /* gm/; 0: not built */
    int64_t rest_us;         /* it failed: not before then; 0: it did not */
    bool full;               /* to be recomputed in this apply */
    int64_t safe_version;    /* version at the last completed batch */
    int64_t checked_version; /* its own marks are known to be without gap up to here */
    bool gap;
};

struct gold_models {
    struct gold_model *items; /* in the order of their dependencies */
    size_t count, cap;
    struct gold_input *inputs;
    size_t input_count, input_cap;
};

bool gold_models_load(struct gold_models *set, const struct asset *files, size_t count,
                      struct error *err) MUST_CHECK;
void gold_models_free(struct gold_models *set);
bool gold_model_reads(const struct gold_model *m, size_t input);

struct gold {
    struct flow *flow;
    struct engine_conn *conn; /* the caller's: merges */
    struct engine_conn *scratch[CREW_LANES], *full[CREW_LANES], *whole;
    struct crew *crew;
    struct crew *background; /* reads whole models */
    struct whole_run *running;
    gold_silver *silver;
    void *silver_arg;
    struct gold_models models;
    struct slice *fields; /* room for the widest row */
    size_t field_cap;
    bool applied;          /* marks have been followed since they were last cleared */
    int64_t whole_next_us; /* whole models rest until then */
    size_t whole_turn;
};

/* gold_open over other models than the embedded ones. */
bool gold_open_with(struct gold **out, const struct asset *files, size_t file_count, struct flow *flow,
                    struct engine_conn *conn, gold_silver *silver, void *arg, struct error *err) MUST_CHECK;

/* ---- inputs ---- */

/* Looks all inputs up anew and brings histories into the state. */
bool gold_inputs_bind(struct gold *g, struct error *err) MUST_CHECK;
/* The part of it that concerns gold's own tables. */
void gold_inputs_bind_models(struct gold *g);
/* Whether all inputs of the model are there. */
bool gold_model_ready(const struct gold *g, const struct gold_model *m);
/* Resolves the columns of the model's lines; CONFIG when they do not fit. */
bool gold_model_bind(struct gold *g, struct gold_model *m, struct error *err) MUST_CHECK;
/* Hash of the model's text and of its inputs' columns. */
uint64_t gold_model_hash(const struct gold *g, const struct gold_model *m);
/* Rows of an input whose column has one of the values, in no particular order; each is told which. The key
 * tells rows of one input apart. */
bool gold_input_find(struct gold *g, const struct gold_input *in, int column, const struct slice *values,
                     size_t count, keyed_each_of *each, void *arg, struct error *err) MUST_CHECK;
/* Splits a row into g->fields. */
bool gold_split(struct gold *g, const struct columns *columns, struct slice row,
                struct error *err) MUST_CHECK;
void gold_fields_reserve(struct gold *g, size_t count);

bool gold_history_follow(struct gold *g, size_t input, struct error *err) MUST_CHECK;
void gold_history_prefix(const char *table, const char *column, struct slice value, struct buf *out);
/* hi/ keys end in a version and a row number. */
enum { GOLD_HISTORY_TAIL = 16 };

/* ---- state keys and values ---- */

void gold_put_be64(struct buf *out, uint64_t v);
uint64_t gold_get_be64(const char *at);
/* `<kind>/<name>`, or `<kind>/<name>\0` when closed. */
void gold_put_key(struct buf *out, const char *kind, const char *name, bool closed);
bool gold_get_number(struct gold *g, const char *kind, const char *name, int64_t *out,
                     struct error *err) MUST_CHECK;
void gold_batch_number(struct state_batch *b, const char *kind, const char *name, int64_t v);
/* Takes it that all models reading the input have never been built; durable with the batch. */
void gold_forget_readers(struct gold *g, size_t input, struct state_batch *also);

/* ---- marks ---- */

void gold_mark_put(struct state_batch *also, const char *input, struct slice key, int64_t version,
                   struct slice before);
/* Forgets the readers of inputs whose marks have a gap; gold's own tables with one are to be loaded anew
 * by the warehouse, which the outbox is told under position. */
bool gold_marks_check(struct gold *g, int64_t position, struct error *err) MUST_CHECK;
bool gold_marks_any(struct gold *g, const struct gold_input *in, bool *any, struct error *err) MUST_CHECK;
/* Calls each for every change of a key with its row before and its row now (data NULL: none). */
typedef bool gold_mark_each(void *arg, struct slice before, struct slice after, struct error *err);
/* Ends early once *enough is set. */
bool gold_marks_each(struct gold *g, const struct gold_input *in, const bool *enough, gold_mark_each *each,
                     void *arg, struct error *err) MUST_CHECK;
bool gold_marks_clear(struct gold *g, struct error *err) MUST_CHECK;

/* ---- groups ---- */

enum { GOLD_VALUES_MAX = 200000, GOLD_SLICE_GROUPS = 5000 };

/* The groups that the marks affect, as keys of the map. *overflow: more than groups_max of them or more
 * than GOLD_VALUES_MAX values were met on the way, or a line without column changed; the groups are then
 * incomplete. */
bool gold_groups_collect(struct gold *g, struct gold_model *m, size_t groups_max, struct map *groups,
                         bool *overflow, struct error *err) MUST_CHECK;

/* ---- changes ---- */

struct gold_change {
    size_t key_at, key_len, row_at, row_len;
    bool gone;
};

struct gold_changes {
    struct gold *g;
    struct gold_model *m;
    int64_t position, outbox_position;
    struct buf bytes;
    struct gold_change *items;
    size_t count, cap;
    struct map by_key;       /* key -> index + 1 */
    size_t written, deleted; /* by all merges */
    bool merged;
};

void gold_changes_upsert(struct gold_changes *c, struct slice key, struct slice row);
/* An upsert of the same key wins, whichever came first: the row has moved to another group. */
void gold_changes_delete(struct gold_changes *c, struct slice key);
bool gold_changes_large(const struct gold_changes *c);
/* Merges what is there at the table's present position; end merges the rest at the final one. */
bool gold_changes_flush(struct gold_changes *c, struct error *err) MUST_CHECK;
bool gold_changes_end(struct gold_changes *c, struct error *err) MUST_CHECK;
void gold_changes_free(struct gold_changes *c);

/* ---- runs ---- */

/* `SELECT CAST(...) ... FROM (<the model>) SETTINGS ...`. */
void gold_put_select(const struct gold_model *m, struct buf *sql);
/* Some groups, recomputed. begin loads the inputs of a set that fits one slice and gives its SELECT to the
 * crew; end takes the result into the changes, and does larger sets whole. The groups, whose map must not
 * change, and the changes stay the caller's; *out is freed by gold_groups_end, or by gold_groups_cancel. */
struct gold_groups;
bool gold_groups_begin(struct gold *g, struct gold_model *m, const struct map *groups, struct gold_changes *c,
                       struct gold_groups **out, struct error *err) MUST_CHECK;
bool gold_groups_end(struct gold_groups *run, struct error *err) MUST_CHECK;
void gold_groups_cancel(struct gold_groups *run);
/* Waits for a whole model that is being read and drops it. */
void gold_whole_cancel(struct gold *g);
/* Follows all row models but those that fail by themselves, which keep their rows. */
bool gold_follow(struct gold *g, int64_t position, struct error *err) MUST_CHECK;
/* A model that cannot run keeps its last rows and does not stop the others: it is told once, forgotten,
 * and recomputed when its rest is over. False when the failure is not the model's own. */
bool gold_set_aside(struct gold *g, struct gold_model *m, struct error *err) MUST_CHECK;
/* It ran: shown as recovered when no other one rests. */
void gold_set_well(struct gold *g, struct gold_model *m);
bool gold_set_built(struct gold *g, struct gold_model *m, uint64_t hash, struct error *err) MUST_CHECK;
/* A model over the whole of its inputs, as they are or (pinned) at the versions of this moment. read may
 * be called on any thread, but not beside another call for the same run; it stops after about a megabyte
 * of rows. take merges what was read, at the position given, until *done. */
struct gold_full;
struct gold_full *gold_full_open(struct gold *g, struct gold_model *m, struct engine_conn *conn,
                                 const char *database, bool pinned, int64_t outbox_position);
void gold_full_read(struct gold_full *r);
bool gold_full_take(struct gold_full *r, int64_t position, bool *done, struct error *err) MUST_CHECK;
void gold_full_close(struct gold_full *r);

#endif
