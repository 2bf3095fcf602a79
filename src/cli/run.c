/* `run`: the pipeline until SIGINT or SIGTERM. */
#include "base/log.h"
#include "cli/commands.h"
#include "pipeline.h"

#include <stdio.h>

static int run_until_stopped(struct cli *cli, unsigned stages)
{
    struct error err = {0};
    struct pipeline *p;
    if (!pipeline_start(&p, &cli->config, stages, &err)) return cli_fail(&err);
    log_info("pipeline", "running", "home=%s pages=http://%s:%lld/ clickhouse=http://%s:%lld/", cli->config.home,
             cli->config.listen, (long long)cli->config.http_port, cli->config.listen,
             (long long)cli->config.clickhouse_port);
    bool stop = false;
    bool ok = true;
    while (ok && !stop) ok = pipeline_wait(p, -1, &stop, &err);
    if (ok) log_info("pipeline", "stopping", "finishing what was received");
    pipeline_stop(p);
    if (ok) log_info("pipeline", "stopped", "home=%s", cli->config.home);
    return ok ? CLI_OK : cli_fail(&err);
}

static int run_run(struct cli *cli)
{
    const char *names = cli_option(cli, "stages");
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    struct error err = {0};
    unsigned stages = PIPELINE_ALL;
    if (names && !pipeline_parse_stages(names, &stages, &err)) return cli_wrong(cli, "%s", err.text);
    if (stages & PIPELINE_CAPTURE && !cli->config.source[0])
        return cli_wrong(cli, "no source is named; give --source postgres://user@host/database or MILLRACE_SOURCE");
    return run_until_stopped(cli, stages);
}

const struct command command_run = {
    .name = "run",
    .summary = "Run the pipeline: PostgreSQL to lake, warehouse and dashboards\n"
               "The first run copies the tables; Ctrl-C finishes the batch and stops. Run it again to go on.",
    .usage = "run [--stages LIST]",
    .example = "millrace run --home /srv/shop --source postgres://millrace@db.example/shop",
    .options = {{"stages", "LIST", "only these: capture,bronze,refine,warehouse,serve"}},
    .run = run_run,
};
