/* `resync`: copy a table again beside the stream, or accept another slot, server or timeline. */
#include "base/file.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "net/http_client.h"

#include <stdio.h>

static int ask_for_table(struct cli *cli, const char *table)
{
    struct error err = {0};
    struct buf path = {0};
    buf_put_text(&path, "/api/resync?table=");
    if (!strchr(table, '.')) buf_put_text(&path, "public.");
    http_put_escaped(&path, table);
    if (!remote_ask(&cli->config, &path, &err)) return cli_fail(&err);
    puts("asked; see `millrace status`");
    return CLI_OK;
}

/* The next run takes the marker (pipeline.c) and removes it once the new copy is whole. */
static int accept_new_slot(struct cli *cli)
{
    struct error err = {0};
    bool alive;
    if (!remote_alive(&cli->config, &alive, &err)) return cli_fail(&err);
    if (alive) {
        error_set(&err, ERROR_RETRY, "a process runs on %s; stop it first", cli->config.home);
        return cli_fail(&err);
    }
    char *marker = mem_format("%s/run/new-epoch", cli->config.home);
    bool ok = file_write_atomic(marker, SLICE("accepted\n"), &err);
    mem_free(marker);
    if (!ok) return cli_fail(&err);
    puts("the next run makes a new slot and copies all tables again; what is in the lake stays as history");
    return CLI_OK;
}

static int run_resync(struct cli *cli)
{
    bool slot = cli_flag(cli, "slot");
    if (!cli_arguments(cli, slot ? 0 : 1, slot ? 0 : 1)) return CLI_USAGE;
    return slot ? accept_new_slot(cli) : ask_for_table(cli, cli->argv[1]);
}

const struct command command_resync = {
    .name = "resync",
    .summary = "Copy a table again beside the stream; rows that are gone from the source go too\n"
               "With --slot: accept that slot, server or timeline is another one; the next run copies all.",
    .usage = "resync TABLE | --slot",
    .example = "millrace resync public.orders",
    .options = {{"slot", NULL, "make a new slot at the next run and copy all tables"}},
    .run = run_resync,
};
