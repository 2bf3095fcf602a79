/* Gold: SQL models over silver, kept current incrementally.
 *
 * A row model's file sql/gold/<name>.sql begins with a header:
 *   -- model: fact_orders
 *   -- kind: row                       (or: whole)
 *   -- key: order_id, order_item_id
 *   -- group: order_id                 rows of one group are recomputed together
 *   -- input: order_items(order_id) = group
 *   -- input: orders(order_id) = group
 *   -- input: customers(customer_id) = orders.customer_id
 *   -- input: dim_products(product_id) = order_items.product_id
 *   -- sort: order_date, order_id, order_item_id      (the warehouse's ORDER BY)
 *   -- columns:
 *   --   order_id string not null
 *   --   price decimal(12,2)
 * then one SELECT whose unqualified table names are silver tables, <table>_history or gold models
 * that come earlier. Forwards, an input's rows are those whose column equals one of the parent's
 * values; backwards, a changed row leads through the same declarations to the groups it affects.
 *
 * A change of an input is found in the marks that silver's and gold's own merges leave in the state
 *   d/<input>\0<key> -> the row before the first change since gold last completed (empty: none)
 * so that a crash between any two commits only means that some groups are computed again. */
#ifndef MILLRACE_STAGES_GOLD_H
#define MILLRACE_STAGES_GOLD_H

#include "lake/keyed.h"
#include "stages/stage.h"

struct gold;

/* silver: finds a silver table ("orders") or NULL while it is not there yet. */
typedef struct keyed *gold_silver(void *arg, const char *table);
bool gold_open(struct gold **out, struct flow *flow, struct engine_conn *conn, gold_silver *silver,
               void *arg, struct error *err) MUST_CHECK;
void gold_close(struct gold *g);

/* A keyed_hook for silver's merges: leaves marks for the input `table` (arg is a struct gold_mark). */
struct gold_mark { struct state *state; const char *table; };
void gold_mark_hook(void *arg, const struct keyed_applied *applied, size_t count, int64_t version,
                    struct state_batch *also);
/* Names of silver tables whose history the models read (their versions are kept by key in the state:
 * h/<table>\0<key>\0<lsn be64><ordinal be64> -> history row). */
bool gold_reads_history(const struct gold *g, const char *table);
/* Index columns that the models need on a silver table; returns the count. */
size_t gold_index_columns(const struct gold *g, const char *table, const char **names, size_t max);

/* Brings all row models to `position` from the marks; then the marks are cleared by
 * gold_clear_marks, after the batch's row in `batches` is durable. */
bool gold_apply(struct gold *g, int64_t position, struct error *err) MUST_CHECK;
bool gold_clear_marks(struct gold *g, struct error *err) MUST_CHECK;
/* Recomputes everything and merges by difference: first run, changed model text, lost state. */
bool gold_rebuild(struct gold *g, int64_t position, struct error *err) MUST_CHECK;
bool gold_needs_rebuild(const struct gold *g);
/* {"dim_products":12,...}: each gold table's Delta version. */
void gold_versions(const struct gold *g, struct buf *json);
/* Whole models: recomputes those that are due within the CPU budget; *did tells. */
bool gold_whole_step(struct gold *g, int64_t position, bool *did, struct error *err) MUST_CHECK;
/* For check: full recomputation of one model over silver as of the pinned versions, compared with
 * the lake; see check/. */
size_t gold_model_count(const struct gold *g);
const char *gold_model_name(const struct gold *g, size_t i);
struct keyed *gold_model_table(struct gold *g, size_t i);
bool gold_upkeep(struct gold *g, struct error *err) MUST_CHECK;

#endif
