/* The pipeline: the stages in order. The only file that knows them all. */
#ifndef MILLRACE_PIPELINE_H
#define MILLRACE_PIPELINE_H

#include "base/home.h"
#include "stages/stage.h"

enum {
    PIPELINE_CAPTURE = 1 << STAGE_CAPTURE,
    PIPELINE_PRODUCER = 1 << STAGE_PRODUCER, /* with capture, and */
    PIPELINE_CONSUMER = 1 << STAGE_CONSUMER, /* with bronze, when the stream is Kafka */
    PIPELINE_BRONZE = 1 << STAGE_BRONZE,
    PIPELINE_REFINE = 1 << STAGE_REFINE,
    PIPELINE_WAREHOUSE = 1 << STAGE_WAREHOUSE,
    PIPELINE_SERVE = 1 << STAGE_COUNT,
    PIPELINE_ALL = (1 << (STAGE_COUNT + 1)) - 1,
};

struct pipeline;

/* Parses "capture,bronze,refine,warehouse,serve"; CONFIG with the nearest name on a wrong one. */
bool pipeline_parse_stages(const char *text, unsigned *stages, struct error *err) MUST_CHECK;

/* Locks the home, opens engine and state, starts one thread for each stage. Blocks SIGINT and SIGTERM in
 * all threads: pipeline_wait takes them. An error here leaves nothing running. */
bool pipeline_start(struct pipeline **out, const struct config *config, unsigned stages, struct error *err) MUST_CHECK;
struct flow *pipeline_flow(struct pipeline *p);

/* Waits up to timeout_us (negative: for ever) for SIGINT, SIGTERM or a fatal error of a stage.
 * *stop tells whether the pipeline should be stopped; false when a stage failed for good. */
bool pipeline_wait(struct pipeline *p, int64_t timeout_us, bool *stop, struct error *err) MUST_CHECK;
/* Waits until the warehouse shows everything that PostgreSQL had committed at `lsn`. */
bool pipeline_wait_lsn(struct pipeline *p, uint64_t lsn, int64_t timeout_us, struct error *err) MUST_CHECK;

/* The same for what PostgreSQL has committed now; *lsn tells which LSN that was. */
bool pipeline_catch_up(struct pipeline *p, int64_t timeout_us, uint64_t *lsn, struct error *err) MUST_CHECK;

/* Stops from the source down: capture first, then each stage once its input is empty (bounded), so that
 * what was received is durable and shown. Frees everything. */
void pipeline_stop(struct pipeline *p);

#endif
