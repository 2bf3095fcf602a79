/* `status`: what the process on a home does. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <jansson.h>
#include <stdio.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static long long number_of(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_status(const json_t *s)
{
    printf("warehouse at %s, %.1f s behind; PostgreSQL at %s; slot %s keeps %.1f MB of WAL\n", text_of(s, "lsn"),
           (double)number_of(s, "lag_us") / 1e6, text_of(s, "server_lsn"), text_of(s, "slot"),
           (double)number_of(s, "retained_bytes") / 1e6);
    const json_t *latency = json_object_get(s, "latency");
    printf("commit to answer: p50 %lld ms, p99 %lld ms\n\n", number_of(latency, "p50_us") / 1000,
           number_of(latency, "p99_us") / 1000);
    const json_t *stages = json_object_get(s, "stages");
    for (size_t i = 0; i < json_array_size(stages); i++) {
        const json_t *stage = json_array_get(stages, i);
        const char *wrong = text_of(stage, "last_error");
        bool failing = json_is_true(json_object_get(stage, "failing"));
        printf("  %-10s %-40s %12lld rows%s%s\n", text_of(stage, "name"), text_of(stage, "state"),
               number_of(stage, "rows"), !*wrong ? "" : failing ? "  failing: " : "  last error, over: ", wrong);
    }
    size_t bad = json_array_size(json_object_get(s, "quarantine"));
    if (bad) printf("\n%zu row%s in quarantine: millrace quarantine list\n", bad, bad == 1 ? "" : "s");
}

static int run_status(struct cli *cli)
{
    bool as_json = cli_flag(cli, "json");
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    struct error err = {0};
    struct buf body = {0};
    if (!remote_call(&cli->config, "/api/pipeline", false, &body, &err)) {
        buf_free(&body);
        return cli_fail(&err);
    }
    int code = CLI_OK;
    if (as_json) {
        buf_put_char(&body, '\n');
        if (!cli_print(buf_slice(&body), &err)) code = cli_fail(&err);
    } else {
        json_t *status = json_loads(buf_text(&body), 0, NULL);
        print_status(status);
        json_decref(status);
    }
    buf_free(&body);
    return code;
}

const struct command command_status = {
    .name = "status",
    .summary = "Say where the pipeline stands: positions, lag, errors, quarantine\n"
               "Asks the process that runs on the home.",
    .usage = "status [--json]",
    .example = "millrace status --home /srv/shop",
    .options = {{"json", NULL, "all of it, as the pipeline page gets it"}},
    .run = run_status,
};
