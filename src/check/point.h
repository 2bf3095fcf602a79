/* The consistent point of a check: a snapshot of the source at LSN L, and the state of the pipeline when
 * it had taken exactly what is before L. */
#ifndef MILLRACE_CHECK_POINT_H
#define MILLRACE_CHECK_POINT_H

#include "net/pg.h"
#include "stages/stage.h"

struct point {
    struct flow *flow;
    struct pg *reader;      /* in a transaction under the snapshot */
    uint64_t lsn;
    struct state_snapshot *snapshot;
    int64_t position;       /* of refine at the point */
};

/* One check at a time: a second is RETRY. */
bool point_take(struct flow *flow, struct point *out, struct error *err) MUST_CHECK;
void point_free(struct point *p);

#endif
