/* Rounds of upkeep over refine's tables: silver's, gold's, `batches`. A round is done in pieces between ranges, one
 * table after the other, so that no range waits long for it. */
#ifndef MILLRACE_STAGES_REFINE_UPKEEP_H
#define MILLRACE_STAGES_REFINE_UPKEEP_H

#include "stages/refine/gold/gold.h"
#include "stages/refine/silver/silver.h"

enum upkeep_layer { UPKEEP_SILVER, UPKEEP_GOLD, UPKEEP_BATCHES };

struct upkeep {
    enum upkeep_layer layer;
    size_t part;      /* next in the layer */
    int64_t ended_us; /* the last round */
};

bool upkeep_is_due(const struct upkeep *u);
/* Nothing of a round is done yet. */
bool upkeep_begins(const struct upkeep *u);
/* Some tables of the round; one that fails is passed over, its next turn comes. */
bool upkeep_step(struct upkeep *u, struct silver *silver, struct gold *gold, struct delta_table *batches,
                 struct engine_conn *conn, struct error *err) MUST_CHECK;

#endif
