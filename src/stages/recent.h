/* Rows of bronze's newest files, handed to refine in memory so that it need not read back what was
 * written a moment ago. An optimisation only: the files are durable before their rows are put here, what
 * is not here is read from them, and nothing is here after a restart.
 *
 * Bounded: while refine lags, what does not fit is not kept. One producer (bronze), one consumer
 * (refine); what the consumer has found stays until it drops it. */
#ifndef MILLRACE_STAGES_RECENT_H
#define MILLRACE_STAGES_RECENT_H

#include "base/buf.h"

#include <pthread.h>

struct recent_file {
    int64_t version; /* of the commit that added it */
    char *path;      /* in the table's folder */
    struct buf rows; /* RowBinary of change_columns without `table`, in the order of the file */
};

struct recent {
    pthread_mutex_t lock; /* protects all below; nothing else is taken while it is held */
    struct recent_file *items;
    size_t count, cap;
    size_t size_bytes, size_bytes_max;
};

void recent_init(struct recent *r, size_t size_bytes_max);
void recent_free(struct recent *r);
/* Whether so many bytes would be kept: asked before the rows are set aside. */
bool recent_has_room(struct recent *r, size_t size_bytes);
/* Takes the rows (the buffer is empty afterwards), or drops them when there is no room. */
void recent_put(struct recent *r, int64_t version, const char *path, struct buf *rows);
/* The file's rows; data NULL when they are not here. Valid until recent_drop of their version. */
struct slice recent_find(struct recent *r, const char *path);
/* Drops what was added up to this version. */
void recent_drop(struct recent *r, int64_t version);

#endif
