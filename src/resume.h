/* What the lake knows of earlier runs, read once at the start: for capture, and for the flow's numbers. */
#ifndef MILLRACE_RESUME_H
#define MILLRACE_RESUME_H

#include "stages/stage.h"

/* Reads bronze's copy records and its position, tells capture (capture_set_resume), sets
 * flow->copy_complete and flow->epoch. new_epoch: the user accepts another server, timeline or slot. */
bool resume_from_lake(struct flow *flow, bool new_epoch, struct error *err) MUST_CHECK;
/* The same from the position that the producer keeps beside the topics; it is open and has shut out older ones. */
bool resume_from_stream(struct flow *flow, bool new_epoch, struct error *err) MUST_CHECK;

#endif
