/* The stage's own state, shared by warehouse.c (steps) and meet.c (where to begin). */
#ifndef MILLRACE_STAGES_WAREHOUSE_STAGE_INT_H
#define MILLRACE_STAGES_WAREHOUSE_STAGE_INT_H

#include "stages/stage.h"
#include "stages/warehouse/warehouse_int.h"

struct warehouse {
    struct flow *flow;
    struct stage_status *status;
    struct target target;
    struct warehouse_tables tables;
    struct load load;
    struct warehouse_position at; /* as recorded in ClickHouse */
    bool met;                     /* at and the outbox meet: steps take batches */
    bool must_reload;             /* a block was refused: all tables anew from gold */
};

/* Tells the flow what the warehouse shows. */
void warehouse_show(struct warehouse *w);
/* *ready: batches can be taken from w->at on. */
bool warehouse_meet(struct warehouse *w, bool *ready, struct error *err) MUST_CHECK;

#endif
