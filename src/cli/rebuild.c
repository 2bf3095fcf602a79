/* `rebuild`: throw derived data away; the next run makes it again from what is below it. */
#include "base/file.h"
#include "base/home.h"
#include "cli/commands.h"

#include <stdio.h>

struct layer {
    const char *name, *what;
    const char *folders[4]; /* below the home */
};

/* Silver's raw rows are in the state, gold's marks and outbox too: the state goes with each of them. */
static const struct layer layers[] = {
    {"warehouse", "the embedded warehouse, from gold", {"warehouse", NULL}},
    {"state", "the state store, from the lake", {"state", NULL}},
    {"gold", "gold, from silver", {"lake/gold", "state", "warehouse", NULL}},
    {"silver", "silver and gold, from bronze", {"lake/silver", "lake/gold", "state", "warehouse"}},
};

static bool remove_folders(const char *home, const struct layer *layer, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < 4 && layer->folders[i]; i++) {
        char *path = mem_format("%s/%s", home, layer->folders[i]);
        ok = file_remove_tree(path, err);
        mem_free(path);
    }
    return ok;
}

static int run_rebuild(struct cli *cli)
{
    if (!cli_arguments(cli, 1, 1)) return CLI_USAGE;
    const struct layer *layer = NULL;
    const char *names[sizeof layers / sizeof *layers];
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        names[i] = layers[i].name;
        if (strcmp(cli->argv[1], layers[i].name) == 0) layer = &layers[i];
    }
    if (!layer) {
        const char *near = config_nearest(cli->argv[1], names, sizeof names / sizeof *names);
        return cli_wrong(cli, "'%s' cannot be rebuilt%s%s", cli->argv[1], near ? "; did you mean " : "", near ? near : "");
    }
    struct error err = {0};
    struct home home = {0};
    bool ok = home_open(&home, cli->config.home, true, &err) && remove_folders(cli->config.home, layer, &err);
    home_close(&home);
    if (!ok) return cli_fail(&err);
    printf("removed; the next run makes %s\n", layer->what);
    return CLI_OK;
}

const struct command command_rebuild = {
    .name = "rebuild",
    .summary = "Remove derived data, so that the next run makes it again: warehouse, state, gold or silver\n"
               "PostgreSQL and bronze are the truth and are never touched. Refused while a process runs.",
    .usage = "rebuild warehouse|state|gold|silver",
    .example = "millrace rebuild warehouse --home /srv/shop",
    .run = run_rebuild,
};
