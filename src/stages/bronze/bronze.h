/* Bronze: makes changes durable. One flush is one Delta commit of bronze/changes with one file for each
 * touched table and the end LSN as its position (invariants 1 and 2). */
#ifndef MILLRACE_STAGES_BRONZE_H
#define MILLRACE_STAGES_BRONZE_H

#include "stages/stage.h"

extern const struct stage_ops bronze_ops;

#endif
