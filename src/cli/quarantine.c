/* `quarantine`: rows that did not pass silver's rules; the newest good version of their key is still shown. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "net/http_client.h"

#include <jansson.h>
#include <stdio.h>

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

static int list(struct cli *cli, const char *table, const char *key)
{
    struct error err = {0};
    struct buf body = {0};
    if (!remote_call(&cli->config, "/api/pipeline", false, &body, &err)) {
        buf_free(&body);
        return cli_fail(&err);
    }
    json_t *status = json_loads(buf_text(&body), 0, NULL);
    const json_t *rows = json_object_get(status, "quarantine");
    size_t shown = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (table && strcmp(table, text_of(row, "table")) != 0) continue;
        if (key && strcmp(key, text_of(row, "key")) != 0) continue;
        shown++;
        printf("%-24s %-50s %s\n", text_of(row, "table"), text_of(row, "key"), text_of(row, "reason"));
        if (key) printf("first seen %s, newest image of %s:\n%s\n", text_of(row, "first_seen"), text_of(row, "commit_at"), text_of(row, "image"));
    }
    if (shown == 0) puts(key ? "no such row is in quarantine" : "nothing is in quarantine");
    json_decref(status);
    buf_free(&body);
    return key && shown == 0 ? CLI_FAILED : CLI_OK;
}

static int replay(struct cli *cli, const char *table, const char *key)
{
    struct error err = {0};
    struct buf path = {0};
    buf_put_text(&path, "/api/replay?table=");
    http_put_escaped(&path, table ? table : "");
    buf_put_text(&path, "&key=");
    http_put_escaped(&path, key ? key : "");
    if (!remote_ask(&cli->config, &path, &err)) return cli_fail(&err);
    puts("asked; see `millrace quarantine list` and the log");
    return CLI_OK;
}

static int run_quarantine(struct cli *cli)
{
    if (!cli_arguments(cli, 1, 3)) return CLI_USAGE;
    const char *what = cli->argv[1], *table = cli->argc > 2 ? cli->argv[2] : NULL, *key = cli->argc > 3 ? cli->argv[3] : NULL;
    if (strcmp(what, "list") == 0 && !key) return list(cli, table, NULL);
    if (strcmp(what, "show") == 0 && key) return list(cli, table, key);
    if (strcmp(what, "replay") == 0) return replay(cli, table, key);
    return cli_wrong(cli, "usage: millrace %s", cli->command->usage);
}

const struct command command_quarantine = {
    .name = "quarantine",
    .summary = "List, show or replay rows that did not pass silver's rules\n"
               "Their keys keep the last good version until a good image, a delete or a replay.",
    .usage = "quarantine list [TABLE] | show TABLE KEY | replay [TABLE [KEY]]",
    .example = "millrace quarantine replay customers",
    .run = run_quarantine,
};
