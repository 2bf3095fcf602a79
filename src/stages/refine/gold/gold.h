/* Gold: SQL models over silver, kept current incrementally.
 *
 * A model's file sql/gold/<name>.sql begins with a header:
 *   -- model: fact_orders
 *   -- kind: row                       (or: whole)
 *   -- key: order_id, order_item_id
 *   -- group: order_id                 rows of one group are recomputed together; a column of the model
 *   -- input: order_items(order_id) = group
 *   -- input: orders(order_id) = group
 *   -- input: customers(customer_id) = orders.customer_id
 *   -- input: dim_products(product_id) = order_items.product_id
 *   -- sort: order_date, order_id, order_item_id      (the warehouse's ORDER BY; default: the key)
 *   -- columns:
 *   --   order_id string not null
 *   --   price decimal(12,2)
 * then one SELECT whose unqualified table names are silver tables, <table>_history or gold models
 * (any order of files; cycles are refused). Any other comment line in the header must not look like
 * "-- word: ...".
 *
 * Inputs. Forwards, an input's rows are those whose column equals one of the values of the parent's
 * column, over the parent's rows that earlier lines brought in; backwards, a changed row leads through
 * the same lines to the groups it affects. Hence:
 *   - every table in the SELECT must be declared, a parent in a line before its child;
 *   - a table may be declared several times (orders by group, then orders by customers.customer_id:
 *     all orders of the customer); its rows are the union. Result rows of groups that are not being
 *     recomputed are dropped, so the surplus rows do no harm;
 *   - both columns of a line have the same type; NULL finds nothing;
 *   - "-- input: t" without "(...)": all rows of t; any change of t recomputes the whole model, so only
 *     for tables that are small and hardly ever change. A whole model's inputs are all of this form.
 *   - "-- input: t(c) = group required": a group without rows of t has no result rows. An optimisation:
 *     the SELECT is not run for groups that all lack them.
 *   - "-- input: dims(id) = items.id since valid_from, valid_to <= orders.bought_at": a changed row of
 *     dims affects only groups in which a row of `orders` stands at or after the first instant at which
 *     the row's meaning changed: valid_from, or for an update that alters nothing but the columns
 *     valid_to and is_current the earlier valid_to. An optimisation; declare it only when the SELECT
 *     takes from dims the version valid at that time and neither valid_to nor is_current.
 * A row model reads silver, history and row models; a whole model any model but itself.
 *
 * State (with the marks that silver's and gold's own merges leave, so that a crash between any two
 * commits only means that some groups are computed again):
 *   d/<input>\0<version be64><key>    -> the row before that version (empty: none)
 *   dm/<input>                        -> newest version whose marks are in the store
 *   dc/<input>                        -> newest version whose marks are done with
 *   hi/<table>\0<column>\0<value>\0<version be64><row be64> -> row of <table>_history
 *   hv/<table>                        -> version of <table>_history that hi/ holds, and its shape
 *   gm/<model>                        -> hash of the text and input columns it was last rebuilt with
 *
 * Invariants
 *   1. Incremental equals full: after gold_apply a row model's table holds, byte for byte, what its
 *      SELECT gives over the whole of its inputs.
 *   2. Marks are cleared only when the batch is durable, and a gap in them (a store that is older than
 *      the lake) is noticed by dm/ and answered by recomputing what depends on the input.
 *   3. gold follows <table>_history by its Delta log, so silver need not keep it in the state. */
#ifndef MILLRACE_STAGES_GOLD_H
#define MILLRACE_STAGES_GOLD_H

#include "lake/keyed.h"
#include "stages/stage.h"

struct gold;

/* silver: finds a silver table ("orders") or NULL while it is not there yet. */
typedef struct keyed *gold_silver(void *arg, const char *table);
/* conn serves the merges; gold opens connections of its own for its scratch databases, and a thread that
 * helps with the SELECTs. The functions of sql/dialect must be defined in the engine before. */
bool gold_open(struct gold **out, struct flow *flow, struct engine_conn *conn, gold_silver *silver,
               void *arg, struct error *err) MUST_CHECK;
void gold_close(struct gold *g);

/* A keyed_hook for silver's merges: leaves marks for the input `table` (arg is a struct gold_mark). */
struct gold_mark {
    struct state *state;
    const char *table;
};
void gold_mark_hook(void *arg, const struct keyed_applied *applied, size_t count, int64_t version,
                    struct state_batch *also);
/* Columns of a silver table by which models look up its rows (silver declares them as index columns;
 * the first key column may be among them and needs no index); returns the count. */
size_t gold_index_columns(const struct gold *g, const char *table, const char **names, size_t max);

/* Brings all row models to `position` from the marks; models that need it (first run, changed text or
 * input columns, gap in the marks) are recomputed and merged by difference. Models whose inputs are
 * not all there yet are passed over; one whose SELECT fails keeps its last rows, is told in the log and
 * the stage's status, and is recomputed when it can. Then the marks are cleared by gold_clear_marks, after
 * the batch's row in `batches` is durable. */
bool gold_apply(struct gold *g, int64_t position, struct error *err) MUST_CHECK;
bool gold_clear_marks(struct gold *g, struct error *err) MUST_CHECK;
/* Whether silver's tables have marks that are not cleared: they have changed since the last batch. */
bool gold_marks_left(struct gold *g, bool *left, struct error *err) MUST_CHECK;
/* gold_apply with every row model recomputed. */
bool gold_rebuild(struct gold *g, int64_t position, struct error *err) MUST_CHECK;
/* Nothing is built yet (first run, lost state): the next gold_apply recomputes every model. */
bool gold_needs_rebuild(const struct gold *g);
/* {"dim_products":12,...}: each gold table's Delta version. */
void gold_versions(const struct gold *g, struct buf *json);
/* Whole models: begins one that is due (its inputs have changed, and the share of time spent stays within
 * whole_model_cpu_percent), or goes on with the one that is being computed beside the batches; *did tells
 * whether it did either. wait: until the next piece is there; else it comes with the flow's refine_wake.
 * position is what the inputs stand at. May be called at any moment between batches: what changed goes to
 * the warehouse with the next whole batch (outbox.h, OUTBOX_PENDING). */
bool gold_whole_step(struct gold *g, int64_t position, bool wait, bool *did, struct error *err) MUST_CHECK;
bool gold_whole_running(const struct gold *g);

size_t gold_model_count(const struct gold *g);
const char *gold_model_name(const struct gold *g, size_t i);
bool gold_model_is_whole(const struct gold *g, size_t i);
struct keyed *gold_model_table(struct gold *g, size_t i);
/* Compaction and checkpoint of one table; *done: there is no such part. */
bool gold_upkeep(struct gold *g, size_t part, bool *done, struct error *err) MUST_CHECK;

/* For check: the rows (key, row) that a full recomputation of model i gives over the lake; CONFIG when an
 * input is missing. conn is the caller's (its database is changed); version_of gives the Delta version to read
 * each input table at ("silver/orders"; -1, or no function: newest). It touches nothing of gold but the models'
 * texts, so it may run on any thread while gold is open. */
typedef int64_t gold_version_of(void *arg, const char *table);
bool gold_recompute_at(const struct gold *g, size_t model, struct engine_conn *conn,
                       gold_version_of *version_of, void *version_arg, keyed_each *each, void *arg,
                       struct error *err) MUST_CHECK;

#endif
