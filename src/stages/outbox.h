/* What gold has changed and the warehouse has not yet shown, in the state store (written in the same
 * atomic batch as the merge that made it, so it cannot be lost or invented):
 *
 *   o/<position be64>/<gold table>\0<Delta version be64>
 *                      -> the insert block: for each changed row the row (RowBinary of the model's
 *                         columns), version u64, deleted u8. Empty: changes were lost with the state;
 *                         the table must be loaded anew from gold
 *   b/<position be64>  -> end LSN u64, commit_us i64, versions JSON: written when the batch is whole
 *                         (its row in `batches` is committed)
 *   or                 -> the position up to which batches were removed
 *
 * The position is refine's after the batch. A batch may hold several blocks of one table: large merges
 * are cut, and a batch that was half done before a crash is completed under the same position. Blocks
 * under OUTBOX_PENDING (whole models, computed between batches) join the next batch that completes.
 * The warehouse loads whole batches only, in order, and then removes them. A warehouse whose recorded
 * versions do not meet the oldest entry reloads its tables from gold. */
#ifndef MILLRACE_STAGES_OUTBOX_H
#define MILLRACE_STAGES_OUTBOX_H

#include "lake/keyed.h"

#define OUTBOX_PENDING INT64_C(0)

/* What a keyed_hook needs to append one gold table's changes. */
struct outbox_writer {
    const char *table; /* "fact_orders" */
    int64_t position;
    const struct columns *columns;
    const int *sort_columns; /* of the warehouse table: a change there also deletes the old row */
    size_t sort_column_count;
};
void outbox_append(const struct outbox_writer *w, const struct keyed_applied *applied, size_t count,
                   int64_t version, struct state_batch *also);

/* Says that the table must be loaded anew from gold: an empty block. */
void outbox_append_reload(const char *table, int64_t position, int64_t version, struct state_batch *also);

struct outbox_batch {
    int64_t position;
    uint64_t end_lsn;
    int64_t commit_us;
    char *versions; /* {"fact_orders":12,...} of all gold tables */
};
/* Marks the batch whole and takes the pending blocks into it. A batch that is whole already, or that was
 * removed, is left as it is, so the call may be repeated after a restart. */
bool outbox_complete(struct state *s, const struct outbox_batch *batch, struct error *err) MUST_CHECK;
/* The oldest whole batch after `position`; *found false when none. The caller frees *out. */
bool outbox_next(struct state *s, int64_t position, struct outbox_batch *out, bool *found,
                 struct error *err) MUST_CHECK;
/* Blocks of one batch, those of one table one after the other in the order of their versions:
 * each(arg, table, version, block). table and block are valid during the call. */
typedef bool outbox_each(void *arg, const char *table, int64_t version, struct slice block,
                         struct error *err);
bool outbox_blocks(struct state *s, int64_t position, outbox_each *each, void *arg,
                   struct error *err) MUST_CHECK;
/* The highest position of a block; 0: none but pending ones. Past the last batch it is that of one cut off. */
bool outbox_newest(struct state *s, int64_t *position, struct error *err) MUST_CHECK;
/* Removes all entries up to and including position (pending blocks stay). */
bool outbox_remove(struct state *s, int64_t position, struct error *err) MUST_CHECK;
void outbox_batch_free(struct outbox_batch *b);

#endif
