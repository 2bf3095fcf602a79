/* `inspect`: artefacts in a human's words: a Delta table's log, the newest events of a key, the slot. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "engine/engine.h"
#include "lake/delta.h"
#include "net/pg.h"

#include <stdio.h>
#include <stdlib.h>

static int inspect_table(struct cli *cli, const char *name)
{
    struct error err = {0};
    char *lake = mem_format("%s/lake", cli->config.home);
    struct delta_table *t = NULL;
    bool ok = delta_exists(lake, name) || error_set(&err, ERROR_CONFIG, "there is no table %s in %s", name, lake);
    ok = ok && delta_open(&t, lake, name, &err);
    mem_free(lake);
    if (!ok) return cli_fail(&err);
    printf("%s, version %lld: %lld rows in %zu files\n\ncolumns\n", name, (long long)delta_version(t),
           (long long)delta_row_count(t), delta_file_count(t));
    const struct columns *columns = delta_columns(t);
    for (size_t i = 0; i < columns->count; i++) {
        struct buf type = {0};
        column_type_delta(&columns->items[i], &type);
        printf("  %-34s %s%s\n", columns->items[i].name, buf_text(&type), columns->items[i].nullable ? "" : " not null");
        buf_free(&type);
    }
    puts("\nnewest commits");
    for (int64_t v = delta_version(t); v >= 0 && v > delta_version(t) - 20; v--) {
        struct delta_history_entry e;
        if (!delta_history(t, v, &e, &err)) break; /* older ones are cleaned up */
        char time[CLOCK_TEXT];
        clock_format_iso(e.timestamp_ms * 1000, time);
        printf("  %8lld  %.19s  %-18s +%zu file%s  %s\n", (long long)v, time, e.operation ? e.operation : "", e.added_count,
               e.added_count == 1 ? "" : "s", e.user_metadata ? e.user_metadata : "");
        delta_history_free(&e);
    }
    delta_close(t);
    return CLI_OK;
}

static bool query_events(struct cli *cli, const char *table, const char *key, bool *found, struct error *err)
{
    char *storage = mem_format("%s/warehouse", cli->config.home), *lake = mem_format("%s/lake", cli->config.home);
    struct engine_conn *conn = NULL;
    struct delta_table *t = NULL;
    struct buf sql = {0};
    struct engine_result result = {0};
    struct engine_param params[] = {{.name = "table", .value = slice_of(table)}, {.name = "key", .value = slice_of(key)}};
    bool ok = engine_open(cli->config.library, cli->config.home, storage, cli->config.engine_memory_bytes, err) &&
              engine_connect(&conn, NULL, err) && delta_open(&t, lake, "bronze/changes", err);
    if (ok) {
        buf_put_text(&sql, "SELECT op, hex(lsn) AS lsn, ordinal, commit_at, key, old_key, before, after, unchanged FROM ");
        delta_put_source(t, &sql);
        buf_put_text(&sql, " WHERE `table` IN ({table:String}, 'public.' || {table:String}) AND key LIKE '%' || {key:String} || '%'"
                           " ORDER BY epoch DESC, lsn DESC, ordinal DESC LIMIT 10");
        ok = engine_query(conn, buf_text(&sql), "Vertical", params, 2, &result, err) && cli_print(result.data, err);
    }
    *found = ok && result.data.len > 0;
    engine_result_free(&result);
    if (t) delta_close(t);
    if (conn) engine_disconnect(conn);
    engine_close();
    buf_free(&sql);
    mem_free(storage);
    mem_free(lake);
    return ok;
}

/* The engine's folder belongs to one process at a time. */
static int inspect_event(struct cli *cli, const char *table, const char *key)
{
    struct error err = {0};
    bool alive = false, found = false;
    bool ok = remote_alive(&cli->config, &alive, &err);
    if (ok && alive)
        ok = error_set(&err, ERROR_RETRY,
                       "%s is in use by a process; stop it first, or ask it: millrace query \"SELECT * FROM "
                       "bronze.changes WHERE key LIKE '%%%s%%'\"",
                       cli->config.home, key);
    ok = ok && query_events(cli, table, key, &found, &err);
    if (!ok) return cli_fail(&err);
    if (!found) printf("there is no event of %s %s\n", table, key);
    return found ? CLI_OK : CLI_FAILED;
}

static int inspect_slot(struct cli *cli)
{
    struct error err = {0};
    struct pg *pg = NULL;
    struct pg_rows rows = {0};
    const char *params[] = {cli->config.slot};
    bool ok = pg_connect(&pg, cli->config.source, PG_PLAIN, NULL, &err) &&
              pg_query(pg, &rows,
                       "SELECT slot_name, plugin, database, active, coalesce(active_pid::text, '-'), wal_status,"
                       " restart_lsn, confirmed_flush_lsn, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)"
                       " FROM pg_replication_slots WHERE slot_name = $1",
                       params, 1, &err);
    if (ok && rows.count == 0) printf("there is no slot %s\n", cli->config.slot);
    static const char *const names[] = {"slot", "plugin", "database", "active", "active pid", "WAL", "restart LSN",
                                        "confirmed LSN", "bytes kept"};
    for (int i = 0; ok && rows.count && i < (int)(sizeof names / sizeof *names); i++)
        printf("%-14s %s\n", names[i], pg_text(&rows, 0, i) ? pg_text(&rows, 0, i) : "-");
    int code = !ok ? cli_fail(&err) : rows.count ? CLI_OK : CLI_FAILED;
    pg_rows_free(&rows);
    pg_close(pg);
    return code;
}

static int run_inspect(struct cli *cli)
{
    if (!cli_arguments(cli, 1, 3)) return CLI_USAGE;
    const char *what = cli->argv[1];
    if (strcmp(what, "table") == 0 && cli->argc == 3) return inspect_table(cli, cli->argv[2]);
    if (strcmp(what, "slot") == 0 && cli->argc == 2) return inspect_slot(cli);
    if (strcmp(what, "event") == 0 && cli->argc == 4) return inspect_event(cli, cli->argv[2], cli->argv[3]);
    return cli_wrong(cli, "usage: millrace %s", cli->command->usage);
}

const struct command command_inspect = {
    .name = "inspect",
    .summary = "Show a Delta table's log, the newest events of a key, or the replication slot\n"
               "Reads the lake directly; events need the engine, so not while a process runs.",
    .usage = "inspect table LAYER/TABLE | event TABLE KEY | slot",
    .example = "millrace inspect table gold/fact_orders",
    .run = run_inspect,
};
