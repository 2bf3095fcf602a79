/* `check`: through the process that runs, or with a pipeline of its own. */
#include "cli/check.h"

#include "cli/commands.h"
#include "cli/remote.h"
#include "net/http_client.h"
#include "pipeline.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAUGHT_UP_US = 600000000 };

static int64_t number(const json_t *line, const char *name)
{
    return json_integer_value(json_object_get(line, name));
}

static void print_json_line(const json_t *json)
{
    struct check_line line = {.layer = json_string_value(json_object_get(json, "layer")),
                              .table = json_string_value(json_object_get(json, "table")),
                              .note = json_string_value(json_object_get(json, "note")),
                              .rows = number(json, "rows"),
                              .missing = number(json, "missing"),
                              .surplus = number(json, "surplus"),
                              .differing = number(json, "differing")};
    const json_t *keys = json_object_get(json, "keys");
    for (size_t i = 0; i < json_array_size(keys) && i < CHECK_KEYS_MAX; i++)
        line.keys[line.key_count++] = (char *)(uintptr_t)json_string_value(json_array_get(keys, i));
    check_print_line(NULL, &line);
}

static enum error_kind kind_of(const char *name)
{
    static const enum error_kind kinds[] = {ERROR_RETRY, ERROR_DATA, ERROR_CONFIG};
    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, error_kind_name(kinds[i])) == 0) return kinds[i];
    return ERROR_FATAL;
}

static int check_remote(struct cli *cli, const char *tables, const char *rate)
{
    struct error err = {0};
    struct buf body = {0}, path = {0};
    buf_put_text(&path, "/api/check?tables=");
    http_put_escaped(&path, tables ? tables : "");
    buf_put_text(&path, "&rate=");
    http_put_escaped(&path, rate ? rate : "0");
    bool ok = remote_call(&cli->config, buf_text(&path), true, &body, &err);
    json_t *answer = ok ? json_loads(buf_text(&body), 0, NULL) : NULL;
    buf_free(&body);
    buf_free(&path);
    if (!ok) return cli_fail(&err);
    const json_t *lines = json_object_get(answer, "lines");
    for (size_t i = 0; i < json_array_size(lines); i++) print_json_line(json_array_get(lines, i));
    const char *failure = json_string_value(json_object_get(answer, "error"));
    bool equal = json_is_true(json_object_get(answer, "equal"));
    int code = equal ? CLI_OK : CLI_FAILED;
    if (failure) {
        error_set(&err, kind_of(json_string_value(json_object_get(answer, "kind"))), "%s", failure);
        code = cli_fail(&err);
    }
    json_decref(answer);
    return code;
}

bool check_print_line(void *arg, const struct check_line *line)
{
    (void)arg;
    struct buf text = {0};
    check_line_print(line, &text);
    struct error ignored;
    bool ok = cli_print(buf_slice(&text), &ignored);
    buf_free(&text);
    return ok;
}

static int check_alone(struct cli *cli, const struct check_options *options)
{
    struct error err = {0};
    struct pipeline *p;
    bool equal = false;
    if (!cli->config.source[0]) return cli_wrong(cli, "no source is named; give --source postgres://user@host/database");
    if (!pipeline_start(&p, &cli->config, PIPELINE_ALL & ~(unsigned)PIPELINE_SERVE, &err)) return cli_fail(&err);
    uint64_t lsn;
    bool ok = pipeline_catch_up(p, CAUGHT_UP_US, &lsn, &err) &&
              check_run(pipeline_flow(p), options, check_print_line, NULL, &equal, &err);
    pipeline_stop(p);
    if (!ok) return cli_fail(&err);
    return equal ? CLI_OK : CLI_FAILED;
}

static int run_check(struct cli *cli)
{
    const char *tables = cli_option(cli, "tables"), *rate = cli_option(cli, "rate");
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    struct check_options options = {.tables = tables, .rows_per_second = rate ? strtoll(rate, NULL, 10) : 0};
    if (rate && options.rows_per_second <= 0) return cli_wrong(cli, "--rate takes a number of rows per second");
    struct error err = {0};
    bool alive;
    if (!remote_alive(&cli->config, &alive, &err)) return cli_fail(&err);
    return alive ? check_remote(cli, tables, rate) : check_alone(cli, &options);
}

const struct command command_check = {
    .name = "check",
    .summary = "Prove that the end equals the beginning: source, silver, gold, warehouse at one exact point\n"
               "One line for each table and layer; exit 1 and the keys when anything differs.",
    .usage = "check [--tables LIST] [--rate ROWS]",
    .example = "millrace check --home /srv/shop",
    .options = {{"tables", "LIST", "only these tables and models: orders,fact_orders"},
                {"rate", "ROWS", "read at most so many rows of the source in a second"}},
    .run = run_check,
};
