/* What a user's statement may not reach: files, the network, secrets, and the limits set on it.
 *
 * The engine's own parser shows the statement's tree (EXPLAIN AST, before any view is expanded):
 * 1. A table function must be one of the few that only make rows.
 * 2. No function anywhere in the tree may have the name of another table function, or be one of the few
 *    that read files or call services.
 * 3. A table's name must not be a file's: the engine's default database also shows files as tables.
 * 4. Of the database `system` only the tables that hold no secrets.
 * 5. SETTINGS must not lift a limit, hold an expression, a path or an address, or change what the rules
 *    above rest on. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_GUARD_H
#define MILLRACE_SERVE_CLICKHOUSE_GUARD_H

#include "base/map.h"
#include "engine/engine.h"

struct guard {
    struct map table_functions; /* lower-case names of all that the engine has */
    struct map texts;           /* names of settings that hold text: expressions, paths, addresses */
    int64_t seconds_max, memory_max, threads_max;
};

bool guard_init(struct guard *g, struct engine_conn *conn, struct error *err) MUST_CHECK;
void guard_free(struct guard *g);

/* Refuses with an error text in the engine's form ("Code: 497. DB::Exception: ..."), whose code
 * engine_error_code finds. params are the statement's own. */
bool guard_check(const struct guard *g, struct engine_conn *conn, struct slice sql, const char *database,
                 const struct engine_param *params, size_t param_count, struct error *err) MUST_CHECK;

enum setting_verdict { SETTING_PASS, SETTING_IGNORE, SETTING_REFUSE };
/* Whether a user may set it; a number above its limit is lowered in *value (owned text). */
enum setting_verdict guard_setting(const struct guard *g, const char *name, char **value);

#endif
