/* Serve: the pages, their JSON API, live updates, metrics and health on http_port, and the ClickHouse HTTP
 * protocol on clickhouse_port. Runs beside the stages on threads of its own; reads the flow's numbers and
 * asks the engine over connections with limits, so that a query never starves the flow. */
#ifndef MILLRACE_SERVE_SERVE_H
#define MILLRACE_SERVE_SERVE_H

#include "stages/stage.h"

struct serve;

/* Binds both ports (CONFIG with what to do when one is taken) and starts answering. */
bool serve_start(struct serve **out, struct flow *flow, struct error *err) MUST_CHECK;
void serve_stop(struct serve *s);

#endif
