/* Runs the statement of a request and answers it. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_RUN_H
#define MILLRACE_SERVE_CLICKHOUSE_RUN_H

#include "serve/clickhouse/answer.h"
#include "serve/clickhouse/guard.h"
#include "serve/clickhouse/session.h"

/* What the requests share. */
struct service {
    struct flow *flow;
    struct pool pool;
    struct guard guard;
    struct sessions sessions;
    char *version;
    bool cors;
};

/* The request is decoded; the answer is queued. */
enum MHD_Result run_statement(struct service *s, struct request *r);

#endif
