/* Refine: one stage on one thread that takes a range of bronze versions, brings silver to its end, then
 * gold, then writes the row in `batches` that names the consistent cut. See README.md. */
#ifndef MILLRACE_STAGES_REFINE_H
#define MILLRACE_STAGES_REFINE_H

#include "stages/stage.h"

extern const struct stage_ops refine_ops;

#define REFINE_APP_ID "millrace.refine"

/* The columns of `batches`: position long, bronze_version long, end_lsn long, commit_at timestamp,
 * completed_at timestamp, versions string (JSON). Constant; do not free. */
const struct columns *batches_columns(void);

struct gold;
struct silver;
/* The parts of the open stage, for check's reading functions (those that gold.h and silver.h allow on any
 * thread); they stay until the release, with which the stage waits to close. False when it is not open. Who
 * holds them looks at flow->stopping and flow->refine, and lets go soon after one says that it wants to. */
bool refine_hold(struct flow *flow, struct silver **silver, struct gold **gold) MUST_CHECK;
void refine_release(struct flow *flow);
/* Whether the stage had nothing left to do when it last looked: ranges and whole models. */
bool refine_settled(const struct flow *flow);

#endif
