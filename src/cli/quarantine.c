/* `quarantine`: rows that did not pass silver's rules; the newest good version of their key is still shown. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "net/http_client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

enum { SHOWN_MAX = 100 }; /* the process gives the newest ones (sql/serve/quarantine.sql) */

/* A key is written as in the list, {"order_id":"a","order_item_id":"1"}, or as its bare values: a,1. */
static bool same_key(const char *listed, const char *given)
{
    if (strcmp(listed, given) == 0) return true;
    json_t *key = json_loads(listed, 0, NULL);
    struct buf bare = {0};
    const char *name;
    json_t *value;
    json_object_foreach(key, name, value)
    {
        char *number = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        if (bare.len) buf_put_char(&bare, ',');
        buf_put_text(&bare, number ? number : json_string_value(value));
        free(number);
    }
    bool same = bare.len && strcmp(buf_text(&bare), given) == 0;
    buf_free(&bare);
    json_decref(key);
    return same;
}

/* The process's list; NULL when it cannot be asked, which has been said. */
static json_t *ask(struct cli *cli, int *code)
{
    struct error err = {0};
    struct buf body = {0};
    bool ok = remote_call(&cli->config, "/api/pipeline", false, &body, &err);
    json_t *status = ok ? json_loads(buf_text(&body), 0, NULL) : NULL;
    buf_free(&body);
    if (!ok) *code = cli_fail(&err);
    return status;
}

static int list(struct cli *cli, const char *table, const char *key)
{
    int code = CLI_FAILED;
    json_t *status = ask(cli, &code);
    if (!status) return code;
    const json_t *rows = json_object_get(status, "quarantine");
    size_t shown = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (table && strcmp(table, text_of(row, "table")) != 0) continue;
        if (key && !same_key(text_of(row, "key"), key)) continue;
        shown++;
        printf("%-24s %-50s %s\n", text_of(row, "table"), text_of(row, "key"), text_of(row, "reason"));
        if (key) printf("first seen %s, newest image of %s:\n%s\n", text_of(row, "first_seen"), text_of(row, "commit_at"), text_of(row, "image"));
    }
    if (shown == 0) puts(key ? "no such row is in quarantine" : "nothing is in quarantine");
    if (!key && json_array_size(rows) == SHOWN_MAX)
        puts("the newest 100; all: millrace query \"SELECT * FROM silver.quarantine\"");
    json_decref(status);
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

/* The key as the process knows it, from mem_*; NULL: not in its list. */
static char *find_key(const json_t *status, const char *table, const char *given)
{
    const json_t *rows = json_object_get(status, "quarantine");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(table, text_of(row, "table")) == 0 && same_key(text_of(row, "key"), given))
            return mem_text(text_of(row, "key"));
    }
    return *given == '{' ? mem_text(given) : NULL; /* older than those listed */
}

static int replay_key(struct cli *cli, const char *table, const char *given)
{
    int code = CLI_FAILED;
    json_t *status = ask(cli, &code);
    if (!status) return code;
    char *key = find_key(status, table, given);
    json_decref(status);
    if (key) code = replay(cli, table, key);
    else puts("no such row is in quarantine");
    mem_free(key);
    return code;
}

static int run_quarantine(struct cli *cli)
{
    if (!cli_arguments(cli, 1, 3)) return CLI_USAGE;
    const char *what = cli->argv[1], *table = cli->argc > 2 ? cli->argv[2] : NULL, *key = cli->argc > 3 ? cli->argv[3] : NULL;
    if (strcmp(what, "list") == 0 && !key) return list(cli, table, NULL);
    if (strcmp(what, "show") == 0 && key) return list(cli, table, key);
    if (strcmp(what, "replay") == 0) return key ? replay_key(cli, table, key) : replay(cli, table, NULL);
    return cli_wrong(cli, "usage: millrace %s", cli->command->usage);
}

const struct command command_quarantine = {
    .name = "quarantine",
    .summary = "List, show or replay rows that did not pass silver's rules\n"
               "Their keys keep the last good version until a good image, a delete or a replay.\n"
               "KEY as it is listed, or its bare values: 42, or 42,1 for a key of two columns.",
    .usage = "quarantine list [TABLE] | show TABLE KEY | replay [TABLE [KEY]]",
    .example = "millrace quarantine replay customers",
    .run = run_quarantine,
};
