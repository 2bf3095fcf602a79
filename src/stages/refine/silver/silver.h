/* Silver: per source table the current rows (silver/<table>) and every version (silver/<table>_history).
 *
 * For a range of bronze, in this order for each table: fold the events over the raw row kept in the
 * state; clean by SQL (sql/silver/<table>.sql, or a generated model); commit quarantine, then history,
 * then the current table together with the raw state.
 *
 *   state   w/<table>\0<key JSON>  -> raw row: epoch, lsn, ordinal, schema id, flags, after JSON (raw.h)
 *           s/<table>\0<schema id> -> schema record
 *
 * <table> is silver's name: "orders" for public.orders, "sales__orders" for sales.orders.
 *
 * Columns of silver/<table>: those of the model, then _key string, _epoch integer, _lsn long,
 * _ordinal long, _commit_at timestamp. History: the same plus _op string, _valid_from timestamp. */
#ifndef MILLRACE_STAGES_SILVER_H
#define MILLRACE_STAGES_SILVER_H

#include "format/change.h"
#include "format/schema.h"
#include "lake/keyed.h"
#include "stages/stage.h"

struct silver;
struct gold;

/* Defines the SQL functions that models use (sql/dialect/clickhouse.sql). They are the engine's, not the
 * connection's. silver_open calls it. */
bool dialect_load(struct engine_conn *conn, struct error *err) MUST_CHECK;

/* What gold wants of silver's tables, asked when a table is opened. */
struct silver_hooks {
    size_t (*index_columns)(void *arg, const char *table, const char **names, size_t max);
    keyed_hook *applied; /* called for every merge of the current table; its arg is struct gold_mark */
    void *arg;
};

bool silver_open(struct silver **out, struct flow *flow, struct engine_conn *conn,
                 const struct silver_hooks *hooks, struct error *err) MUST_CHECK;
void silver_close(struct silver *s);

/* Applies the bronze rows of one range (RowBinary of change_columns, already in order), then commits
 * each touched table at `position`. Tables that stand at position already are passed over. */
bool silver_apply(struct silver *s, struct slice rows, int64_t position, struct error *err) MUST_CHECK;
struct keyed *silver_table(struct silver *s, const char *table);
/* Changes when a table appears or its columns change. */
uint64_t silver_shape(const struct silver *s);
/* Whether the copy of some table has begun and is not complete. */
bool silver_copying(const struct silver *s);
/* For recovery. most: the highest position of all tables, -1 when there are none. least: where the first
 * range must begin: below most when the state is older than the lake (then only the state is written) or
 * when a table was left behind by an error of its own; such tables take no range until it was asked.
 * Ranges that are done again must end at the last row of `batches` and at most, as the first time. */
int64_t silver_position_least(struct silver *s);
int64_t silver_position_most(const struct silver *s);
/* Where the driver stands, at the start: a table that fails waits here at the earliest, since all that came
 * before was taken. silver_apply moves it. */
void silver_begin_at(struct silver *s, int64_t position);
/* The lowest position at which a table waits that was left behind; -1: none. */
int64_t silver_position_waiting(const struct silver *s);
/* For a state that is made from a snapshot of bronze: drops what the state knows of tables that stand below
 * `position`; then, at the end, says of those that did not fail that they stand at `position`. */
bool silver_forget(struct silver *s, int64_t position, struct error *err) MUST_CHECK;
bool silver_stand_at(struct silver *s, int64_t position, struct error *err) MUST_CHECK;
/* The lowest position above `after` at which a table of the lake, current or history, stands; -1: none. A range
 * that is done again must not pass it: what the table holds below would be appended to its history twice. */
int64_t silver_position_next(const struct silver *s, int64_t after);
/* {"orders":12,"orders_history":9,...} */
void silver_versions(const struct silver *s, struct buf *json);
/* Cleans the newest raw image of quarantined keys again ("orders" and a key, or NULL for all). Tables stay at
 * their positions: the caller has gold follow and records the new versions. */
bool silver_replay(struct silver *s, const char *table, const char *key, size_t *repaired,
                   struct error *err) MUST_CHECK;
/* Compaction, checkpoints and old tombstones of one table, so that no call is long; the last part sets *done. */
bool silver_upkeep(struct silver *s, size_t part, bool *done, struct error *err) MUST_CHECK;

/* silver's name of a source table: "public.orders" -> "orders". From mem_*. */
char *silver_table_name(const char *source);
/* For check: the raw rows of a table as of a snapshot, cleaned again; each gets the key and a row of
 * `columns` (the caller frees them). For a key whose newest image is in quarantine or not whole, each gets
 * the row that the state says silver shows, if there is one. *has_current is false for a table that has
 * history only. Uses the caller's connection: any thread may call it that holds the snapshot. */
bool silver_clean_at(const struct silver *s, const char *table, struct engine_conn *conn,
                     const struct state_snapshot *at, struct columns *columns, bool *has_current,
                     keyed_each *each, void *arg, struct error *err) MUST_CHECK;

#endif
