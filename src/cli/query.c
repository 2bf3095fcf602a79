/* `query`: SQL over the lake and the warehouse. The process that holds the folder answers when there is
 * one; otherwise this one takes the folder, opens the engine, and answers itself. Reads only: what the
 * pipeline writes, nobody else may. */
#include "base/file.h"
#include "base/home.h"
#include "cli/commands.h"
#include "engine/engine.h"
#include "lake/views.h"
#include "net/http_client.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static bool print_piece(void *context, struct slice piece, struct error *err)
{
    (void)context;
    return cli_print(piece, err);
}

/* --- asking the process that holds the folder --- */

static char *address_of(const struct config *c, const struct home_info *info, const char *format)
{
    const char *host = c->listen;
    if (strcmp(host, "0.0.0.0") == 0) host = "127.0.0.1";
    if (strcmp(host, "::") == 0) host = "::1";
    bool six = strchr(host, ':') != NULL;
    struct buf url = {0};
    buf_printf(&url, "http://%s%s%s:%d/?default_format=", six ? "[" : "", host, six ? "]" : "",
               info->clickhouse_port);
    http_put_escaped(&url, format);
    return buf_take(&url);
}

static bool query_there(const struct config *c, const struct home_info *info, const char *sql,
                        const char *format, struct error *err)
{
    if (!info->clickhouse_port)
        return error_set(err, ERROR_RETRY, "process %ld holds %s and does not serve queries (yet)",
                         info->pid, c->home);
    char *url = address_of(c, info, format);
    struct buf refusal = {.max = 1 << 20};
    struct http_call call = {.url = url,
                             .user = "default",
                             .password = c->password,
                             .body = slice_of(sql),
                             .sink = print_piece,
                             .refusal = &refusal};
    long status = 0;
    bool ok = http_call(&call, &status, err);
    if (ok && status == 401)
        ok = error_set(err, ERROR_CONFIG, "process %ld wants its password", info->pid);
    else if (ok && status != 200) {
        struct slice text = buf_slice(&refusal);
        while (text.len && isspace((unsigned char)text.data[text.len - 1]))
            text.len--;
        ok = error_set(err, status == 503 || status == 429 ? ERROR_RETRY : ERROR_DATA, "%.*s",
                       (int)text.len, text.data);
    }
    buf_free(&refusal);
    mem_free(url);
    return ok;
}

/* --- answering ourselves --- */

/* A SELECT in a format without head and tail can be printed while it comes. */
static bool comes_in_pieces(const char *sql, const char *format)
{
    static const char *const names[] = {"TSV",         "TabSeparated", "TSVRaw", "CSV",
                                        "JSONEachRow", "RowBinary",    "Native"};
    while (isspace((unsigned char)*sql))
        sql++;
    if (strncasecmp(sql, "SELECT", 6) != 0 && strncasecmp(sql, "WITH", 4) != 0) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(format, names[i]) == 0) return true;
    return false;
}

static bool print_stream(struct engine_conn *conn, const char *sql, const char *format, struct error *err)
{
    struct engine_stream *stream;
    if (!engine_stream_open(conn, sql, format, NULL, 0, &stream, err)) return false;
    bool ok = true, done = false;
    while (ok && !done) {
        struct slice piece = {0};
        ok = engine_stream_next(stream, &piece, &done, err) && (piece.len == 0 || cli_print(piece, err));
    }
    engine_stream_close(stream);
    return ok;
}

static bool print_result(struct engine_conn *conn, const char *sql, const char *format, struct error *err)
{
    enum engine_class class;
    uint32_t statements;
    bool secrets;
    if (!engine_classify(conn, slice_of(sql), &class, &statements, &secrets, err)) return false;
    /* What does not parse goes on: the engine's own message is the better one. */
    if (class != ENGINE_READ && class != ENGINE_UNKNOWN)
        return error_set(err, ERROR_DATA, "only statements that read are answered");
    if (comes_in_pieces(sql, format)) return print_stream(conn, sql, format, err);
    struct engine_result result = {0};
    if (!engine_query(conn, sql, format, NULL, 0, &result, err)) return false;
    bool ok = cli_print(result.data, err);
    engine_result_free(&result);
    return ok;
}

/* A lake with one unreadable table still answers for the others. */
static void make_views(const char *home)
{
    struct error err;
    struct engine_conn *conn = NULL;
    char *lake = mem_format("%s/lake", home);
    bool ok = engine_connect(&conn, NULL, &err) && lake_views(conn, lake, &err);
    if (!ok) fprintf(stderr, "millrace: %s\n", err.text);
    if (conn) engine_disconnect(conn);
    mem_free(lake);
}

static bool query_here(const struct config *c, const char *sql, const char *format, struct error *err)
{
    struct home home;
    if (!home_open(&home, c->home, true, err)) return false;
    static const char *const settings[] = {"readonly=2", NULL};
    char *storage = mem_format("%s/warehouse", c->home);
    struct engine_conn *conn = NULL;
    bool opened = engine_open(c->library, c->home, storage, c->engine_memory_bytes, err), ok = opened;
    if (ok) make_views(c->home);
    ok = ok && engine_connect(&conn, settings, err);
    if (ok && !print_result(conn, sql, format, err)) {
        if (err->kind == ERROR_CONFIG) err->kind = ERROR_DATA; /* the statement is at fault, no setting */
        ok = false;
    }
    if (conn) engine_disconnect(conn);
    if (opened) engine_close();
    mem_free(storage);
    home_close(&home);
    return ok;
}

static bool query(const struct config *c, const char *sql, const char *format, struct error *err)
{
    struct home_info info;
    struct home beside;
    if (!home_open(&beside, c->home, false, err)) return false; /* a wrong --home must not be made */
    home_close(&beside);
    if (!home_peek(c->home, &info, err)) return false;
    return info.alive ? query_there(c, &info, sql, format, err) : query_here(c, sql, format, err);
}

static int run_query(struct cli *cli)
{
    const char *format = cli_option(cli, "format");
    if (!format) format = "TSV";
    if (!cli_arguments(cli, 1, 1)) return CLI_USAGE;
    for (const char *p = format; *p; p++)
        if (!isalnum((unsigned char)*p)) return cli_wrong(cli, "\"%s\" is no format", format);
    struct error err;
    struct buf typed = {0};
    const char *sql = cli->argv[1];
    bool ok = strcmp(sql, "-") != 0 || file_read("/dev/stdin", &typed, &err);
    if (ok && strcmp(sql, "-") == 0) sql = buf_text(&typed);
    ok = ok && query(&cli->config, sql, format, &err);
    buf_free(&typed);
    return ok ? CLI_OK : cli_fail(&err);
}

const struct command command_query = {
    .name = "query",
    .summary = "Run SQL over the lake (bronze, silver, gold) and the warehouse\n"
               "A running process answers it; without one, the folder is opened for the time of the query.",
    .usage = "query \"SQL\" [--format FORMAT]",
    .example = "millrace query \"SELECT count() FROM silver.orders\"\n"
               "millrace query --format PrettyCompact \"SHOW TABLES FROM gold\"\n"
               "millrace query - < report.sql",
    .options = {{"format", "FORMAT", "a ClickHouse output format [TSV]"}},
    .run = run_query,
};
