/* `demo`: the whole way on one machine, on real data, with nothing installed but PostgreSQL's server.
 *
 *   private PostgreSQL --> sample loaded --> pipeline --> [--once] check, two queries, stop
 *                             live orders (a child process) --^  [else] runs until Ctrl-C
 *
 * The two queries are the ones that the platform was asked for, word for word. */
#include "base/clock.h"
#include "base/log.h"
#include "cli/check.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/postgres.h"
#include "engine/engine.h"
#include "net/pg.h"
#include "pipeline.h"
#include "stages/refine/refine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATABASE "shop"
enum { CAUGHT_UP_US = 600000000 };

static const char revenue_by_month[] =
    "SELECT \n    toStartOfMonth(order_date) as thang,\n    sum(total_amount) as doanh_thu,\n"
    "    count(DISTINCT order_id) as so_don_hang\nFROM fact_orders\nGROUP BY thang\nORDER BY thang";
static const char top_categories[] =
    "SELECT \n    p.category as danh_muc,\n    sum(f.total_amount) as doanh_thu,\n    count(*) as so_don\n"
    "FROM fact_orders f\nJOIN dim_products p ON f.product_key = p.product_key\nGROUP BY danh_muc\n"
    "ORDER BY doanh_thu DESC\nLIMIT 10";

struct demo {
    struct cli *cli;
    bool once, shift;
    const char *rate, *speed, *data;
    struct private_postgres postgres;
    struct pipeline *pipeline;
    pid_t generator;
};

static bool say(const char *text, struct error *err)
{
    return cli_print(slice_of(text), err);
}

static bool make_database(struct demo *d, struct error *err)
{
    char *admin = private_postgres_address(&d->postgres, "postgres");
    struct pg *pg = NULL;
    struct pg_rows rows = {0};
    bool ok = pg_connect(&pg, admin, PG_PLAIN, NULL, err) &&
              pg_query(pg, &rows, "SELECT 1 FROM pg_database WHERE datname = '" DATABASE "'", NULL, 0, err);
    if (ok && rows.count == 0) ok = pg_run(pg, "CREATE DATABASE " DATABASE, err);
    pg_rows_free(&rows);
    pg_close(pg);
    mem_free(admin);
    return ok;
}

static bool prepare_shop(struct demo *d, struct error *err)
{
    if (!say("Starting a private PostgreSQL ...\n", err)) return false;
    if (!private_postgres_start(&d->postgres, d->cli->config.home, err) || !make_database(d, err)) return false;
    mem_free(d->cli->config.source);
    d->cli->config.source = private_postgres_address(&d->postgres, DATABASE);
    struct load_options options = {.create = true, .end_yesterday = d->shift, .timezone = d->cli->config.timezone};
    return say("Loading the sample shop ...\n", err) &&
           load_directory(d->cli->config.source, d->data, &options, err);
}

static bool catch_up(struct demo *d, struct error *err)
{
    uint64_t lsn = 0;
    int64_t start_us = clock_mono_us();
    if (!pipeline_catch_up(d->pipeline, CAUGHT_UP_US, &lsn, err)) return false;
    printf("The warehouse stands at " LSN_FORMAT ", where PostgreSQL stands (%.1f s).\n", LSN_ARGS(lsn),
           (double)(clock_mono_us() - start_us) / 1e6);
    return true;
}

/* The aggregates are computed in the background; what is printed once should have them. Their rows reach
 * the warehouse with the next batch. */
static bool await_aggregates(struct demo *d, struct error *err)
{
    bool stop = false;
    int64_t until_us = clock_mono_us() + CAUGHT_UP_US;
    while (!refine_settled(pipeline_flow(d->pipeline)) && !stop && clock_mono_us() < until_us)
        if (!pipeline_wait(d->pipeline, 20000, &stop, err)) return false;
    if (stop) return error_set(err, ERROR_RETRY, "stopped while the aggregates were computed");
    struct pg *pg = NULL;
    uint64_t lsn = 0;
    bool ok = pg_connect(&pg, d->cli->config.source, PG_PLAIN, NULL, err) &&
              pg_run(pg, "SELECT pg_switch_wal()", err) &&
              pipeline_catch_up(d->pipeline, CAUGHT_UP_US, &lsn, err);
    pg_close(pg);
    return ok;
}

static bool print_query(const char *sql, struct error *err)
{
    static const char *const settings[] = {"output_format_pretty_color=0", NULL};
    struct engine_conn *conn;
    struct engine_result result;
    if (!engine_connect(&conn, settings, err)) return false;
    bool ok = engine_query(conn, sql, "PrettyCompactMonoBlock", NULL, 0, &result, err);
    if (ok) {
        printf("\n%s;\n\n", sql);
        ok = cli_print(result.data, err);
        engine_result_free(&result);
    }
    engine_disconnect(conn);
    return ok;
}

/* Everything is shown, proven and printed once. */
static bool show_once(struct demo *d, bool *equal, struct error *err)
{
    struct check_options options = {0};
    return catch_up(d, err) && await_aggregates(d, err) && say("\nDoes the end equal the beginning?\n", err) &&
           check_run(pipeline_flow(d->pipeline), &options, check_print_line, NULL, equal, err) &&
           print_query(revenue_by_month, err) && print_query(top_categories, err);
}

/* Live orders come from a process of their own, as they would from a shop. */
static bool start_generator(struct demo *d, struct error *err)
{
    pid_t parent = getpid();
    d->generator = fork();
    if (d->generator < 0) return error_errno(err, "cannot start the live orders");
    if (d->generator > 0) return true;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getppid() != parent) _exit(0);
    setpgid(0, 0); /* Ctrl-C goes to us; we end it */
    execl("/proc/self/exe", "millrace", "generate", "--source", d->cli->config.source, "--rate", d->rate, "--speed",
          d->speed, "--log-level", "warn", (char *)NULL);
    _exit(127);
}

static void stop_generator(struct demo *d)
{
    if (d->generator <= 0) return;
    kill(d->generator, SIGTERM);
    while (waitpid(d->generator, NULL, 0) < 0 && errno == EINTR) {
    }
    d->generator = 0;
}

static bool run_live(struct demo *d, struct error *err)
{
    if (!catch_up(d, err) || !start_generator(d, err)) return false;
    const struct config *c = &d->cli->config;
    printf("\n  Dashboard    http://%s:%lld/\n  Pipeline     http://%s:%lld/pipeline\n"
           "  ClickHouse   http://%s:%lld/   (user default, for Superset, DBeaver, curl)\n"
           "  PostgreSQL   %s\n\nOrders come in at %s per second. Ctrl-C stops everything.\n",
           c->listen, (long long)c->http_port, c->listen, (long long)c->http_port, c->listen,
           (long long)c->clickhouse_port, c->source, d->rate);
    fflush(stdout);
    bool stop = false, ok = true;
    while (ok && !stop) ok = pipeline_wait(d->pipeline, -1, &stop, err);
    if (ok) puts("\nStopping ...");
    return ok;
}

/* Asked before anything is touched: the private PostgreSQL belongs to whoever holds the home. */
static bool home_is_free(struct demo *d, struct error *err)
{
    struct home_info info;
    if (!home_peek(d->cli->config.home, &info, err)) return false;
    return !info.alive || error_set(err, ERROR_RETRY, "%s is in use by process %ld; stop it first or name another --home",
                                    d->cli->config.home, info.pid);
}

static int run_all(struct demo *d)
{
    struct error err = {0};
    bool equal = true;
    unsigned stages = d->once ? PIPELINE_ALL & ~(unsigned)PIPELINE_SERVE : PIPELINE_ALL;
    bool ok = home_is_free(d, &err) && prepare_shop(d, &err) && say("Starting the pipeline ...\n", &err) &&
              pipeline_start(&d->pipeline, &d->cli->config, stages, &err) &&
              (d->once ? show_once(d, &equal, &err) : run_live(d, &err));
    stop_generator(d);
    if (d->pipeline) pipeline_stop(d->pipeline);
    private_postgres_stop(&d->postgres);
    if (!ok) return cli_fail(&err);
    printf("\nThe data stays in %s. Ask it again:\n  %s query --home %s \"SELECT count() FROM fact_orders\"\n",
           d->cli->config.home, program_invocation_name, d->cli->config.home);
    return equal ? CLI_OK : CLI_FAILED;
}

static int run_demo(struct cli *cli)
{
    if (strcmp(cli->config.log_level, "info") == 0) log_setup(LOG_WARN, cli->config.log_json); /* a show, not a log */
    struct demo d = {.cli = cli};
    d.once = cli_flag(cli, "once");
    d.shift = !cli_flag(cli, "no-shift") && !d.once;
    d.rate = cli_option(cli, "rate");
    d.speed = cli_option(cli, "speed");
    d.data = cli_option(cli, "data");
    if (!d.rate) d.rate = "2";
    if (!d.speed) d.speed = "1440";
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    return run_all(&d);
}

const struct command command_demo = {
    .name = "demo",
    .summary = "Show the whole way on real data: a private PostgreSQL, the sample shop, dashboards\n"
               "With --once it loads, proves and prints, then ends; otherwise live orders come in until Ctrl-C.",
    .usage = "demo [--once] [--no-shift] [--rate N] [--speed X] [--data DIR]",
    .example = "millrace demo --once --home /tmp/shop",
    .options = {{"once", NULL, "run to the end once, check, print two queries, exit"},
                {"no-shift", NULL, "keep the sample's dates (2016 to 2018), as --once does, instead of ending it yesterday"},
                {"rate", "N", "live orders per second (default 2)"},
                {"speed", "X", "how much faster than real the orders' lives run (default 1440: a day a minute)"},
                {"data", "DIR", "folder of the Olist CSV files (default: the sample)"}},
    .run = run_demo,
};
