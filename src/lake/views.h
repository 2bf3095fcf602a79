/* The lake's tables for people's SQL: a database for each layer (bronze, silver, gold) in the embedded
 * ClickHouse, with a view for each Delta table in it. */
#ifndef MILLRACE_LAKE_VIEWS_H
#define MILLRACE_LAKE_VIEWS_H

#include "engine/engine.h"

/* Makes the views of all tables <lake>/<layer>/<table> that have none or whose columns have changed;
 * lake is absolute. Cheap when nothing has (5 ms a table). A table that cannot be read does not keep
 * the others from theirs: the first such error is returned at the end. A table or a view of the same
 * name that is not ours is left alone. */
bool lake_views(struct engine_conn *conn, const char *lake, struct error *err) MUST_CHECK;

#endif
