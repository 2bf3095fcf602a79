/* The ClickHouse HTTP protocol on clickhouse_port: what Superset, DBeaver, Grafana and every other client
 * of ClickHouse speak, answered by the engine in this process.
 *
 * Read-only. A statement passes when the engine classifies it as reading and guard.h finds nothing in it
 * that reaches files, the network or secrets; views of the warehouse may do so, the user's own text may
 * not. Time, memory, threads, connections and the number of queries at once are bounded by the settings
 * query_* so that a query never starves the flow. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_CLICKHOUSE_H
#define MILLRACE_SERVE_CLICKHOUSE_CLICKHOUSE_H

#include "stages/stage.h"

struct clickhouse_server;

/* Binds config.listen : clickhouse_port and answers on threads of its own. The engine must be open, and
 * stay open until stop. CONFIG when the port is taken, or when the address is not this machine's own and
 * there is no password. */
bool clickhouse_start(struct clickhouse_server **out, struct flow *flow, struct error *err) MUST_CHECK;
/* The port in use: the one chosen by the system when clickhouse_port is 0. */
int clickhouse_port(const struct clickhouse_server *s);
/* Cancels what runs, closes the connections, joins the threads. NULL is fine. */
void clickhouse_stop(struct clickhouse_server *s);

#endif
