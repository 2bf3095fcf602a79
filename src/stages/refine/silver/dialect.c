/* The SQL functions of sql/dialect/clickhouse.sql, one CREATE FUNCTION a line. They are the engine's, not
 * a connection's; defining them again is harmless. */
#include "base/assets.h"
#include "stages/refine/silver/silver.h"

bool dialect_load(struct engine_conn *conn, struct error *err)
{
    const struct asset *asset = asset_find("sql/dialect/clickhouse.sql");
    if (!asset)
        return error_set(err, ERROR_FATAL, "sql/dialect/clickhouse.sql is not part of this program");
    struct buf line = {0};
    bool ok = true;
    for (const char *at = asset->data; ok && *at;) {
        size_t n = strcspn(at, "\n");
        size_t len = n;
        while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == ';'))
            len--;
        if (len > 0 && strncmp(at, "--", 2) != 0) {
            buf_clear(&line);
            buf_put(&line, at, len);
            ok = engine_run(conn, buf_text(&line), err) ||
                 error_wrap(err, "dialect: %.60s", buf_text(&line));
        }
        at += at[n] ? n + 1 : n;
    }
    buf_free(&line);
    return ok;
}
