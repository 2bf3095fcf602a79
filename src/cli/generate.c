/* `generate`: orders as they come in, on the wall clock, until it is told to stop.
 *
 *   play (what happens when) --> lanes (connections) --> PostgreSQL
 *
 * When PostgreSQL is slower than the rate, it goes on as fast as it can: what waits is bounded, and the
 * play falls behind the clock instead. */
#include "base/clock.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/generate/lanes.h"
#include "cli/generate/play.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { TICK_US = 200000 };

static _Atomic bool stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = true;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

struct generating {
    struct play play;
    struct lanes lanes;
    uint64_t done[PLAY_KINDS];
    uint64_t seed;
    double rate, speed;
};

/* The shop's clock now, and the shop. */
static bool open_shop(struct generating *g, const struct config *c, struct error *err)
{
    struct pg *pg = NULL;
    struct pg_rows rows = {0};
    const char *params[] = {c->timezone};
    int64_t start_us = 0;
    bool ok = pg_connect(&pg, c->source, PG_PLAIN, &stopped, err) &&
              pg_query(pg, &rows, "SELECT (extract(epoch FROM now() AT TIME ZONE $1) * 1000000)::bigint",
                       params, 1, err);
    if (ok) start_us = pg_int(&rows, 0, 0);
    pg_rows_free(&rows);
    ok = ok && shop_read(&g->play.shop, pg, err);
    pg_close(pg);
    if (!ok) return false;
    play_init(&g->play, g->seed, g->rate, g->speed, start_us);
    play_open(&g->play);
    return true;
}

/* Hands over what was played. */
static bool hand_over(struct generating *g, struct error *err)
{
    struct play *p = &g->play;
    bool ok = true;
    for (size_t i = 0; i < p->out_count; i++) {
        struct played *out = &p->out[i];
        if (ok && out->alone) ok = lanes_drain(&g->lanes, err);
        lanes_put(&g->lanes, out->key,
                  (struct transaction){.sql = out->sql, .kind = out->kind, .may_fail = out->may_fail});
        if (ok && out->alone) ok = lanes_drain(&g->lanes, err);
    }
    p->out_count = 0;
    return ok;
}

static bool generate(struct generating *g, struct error *err)
{
    int64_t start_us = clock_mono_us();
    if (!hand_over(g, err)) return false;
    while (!stopped && !play_over(&g->play)) {
        int64_t now_us = clock_mono_us() - start_us;
        while (play_next_us(&g->play) <= now_us && g->lanes.pending < LANES_PENDING_MAX &&
               !play_over(&g->play)) {
            play_step(&g->play);
            if (!hand_over(g, err)) return false;
        }
        int64_t wait_us = play_next_us(&g->play) - now_us;
        if (wait_us > TICK_US || g->lanes.pending >= LANES_PENDING_MAX) wait_us = TICK_US;
        if (!lanes_turn(&g->lanes, wait_us, err)) return false;
    }
    return lanes_drain(&g->lanes, err);
}

static void print_totals(const struct generating *g)
{
    uint64_t total = 0;
    for (size_t i = 0; i < PLAY_KINDS; i++)
        total += g->done[i];
    printf("%llu orders, %llu transactions (seed %llu)\n", (unsigned long long)g->done[STEP_PLACED],
           (unsigned long long)total, (unsigned long long)g->seed);
    for (size_t i = 0; i < PLAY_KINDS; i++)
        if (g->done[i]) printf("  %-26s %10llu\n", play_kind_names[i], (unsigned long long)g->done[i]);
    if (g->lanes.refused)
        printf("  %-26s %10llu\n", "refused, as meant", (unsigned long long)g->lanes.refused);
    if (g->lanes.reconnects)
        printf("  %-26s %10llu\n", "lost connections", (unsigned long long)g->lanes.reconnects);
}

/* --- the command --- */

static bool read_number(struct cli *cli, const char *name, double least, double most, double *value)
{
    const char *text = cli_option(cli, name);
    if (!text) return true;
    char *end;
    *value = strtod(text, &end);
    if (end != text && !*end && *value >= least && *value <= most) return true;
    cli_wrong(cli, "--%s takes a number from %g to %g, not '%s'", name, least, most, text);
    return false;
}

static bool read_seed(struct cli *cli, uint64_t *seed)
{
    const char *text = cli_option(cli, "seed");
    if (!text) {
        if (getrandom(seed, sizeof *seed, 0) != sizeof *seed) *seed = (uint64_t)clock_wall_us();
        *seed >>= 32; /* short enough to be typed again */
        return true;
    }
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    if (end != text && !*end && !errno && text[0] != '-') return true;
    cli_wrong(cli, "--seed takes a whole number, not '%s'", text);
    return false;
}

static int run_until_stopped(struct generating *g, const struct config *c, double orders, bool faults)
{
    struct error err = {0};
    catch_signals();
    lanes_init(&g->lanes, c->source, g->done, &stopped);
    bool ok = open_shop(g, c, &err);
    if (ok) {
        g->play.faults = faults;
        g->play.orders_max = (uint64_t)orders;
        log_info("generate", "started", "seed=%llu rate=%g speed=%g", (unsigned long long)g->seed, g->rate,
                 g->speed);
        ok = generate(g, &err);
        print_totals(g);
    }
    lanes_free(&g->lanes);
    play_free(&g->play);
    return ok ? CLI_OK : cli_fail(&err);
}

static int run_generate(struct cli *cli)
{
    struct generating g = {.rate = 2, .speed = 1440};
    double orders = 0; /* no end */
    bool faults = cli_flag(cli, "faults");
    if (!read_number(cli, "rate", 0.001, 100000, &g.rate) ||
        !read_number(cli, "speed", 0.001, 1e9, &g.speed) || !read_number(cli, "orders", 1, 1e12, &orders) ||
        !read_seed(cli, &g.seed) || !cli_arguments(cli, 0, 0))
        return CLI_USAGE;
    if (!cli->config.source[0])
        return cli_wrong(cli, "no source is named; give --source postgres://user@host/database");
    return run_until_stopped(&g, &cli->config, orders, faults);
}

const struct command command_generate = {
    .name = "generate",
    .summary =
        "Play a live shop: purchases now, and what follows from them, until Ctrl-C\n"
        "The same seed and database give the same orders. An empty shop gets a catalogue first.\n"
        "With --speed 1440 a day passes in a minute: a parcel of ten days arrives after ten minutes.",
    .usage = "generate [--rate N] [--speed X] [--orders N] [--seed S] [--faults]",
    .example = "millrace generate --rate 5 --speed 1440 --source postgres://shop@localhost/shop",
    .options = {{"rate", "N", "orders per second, fractions allowed (default 2)"},
                {"speed", "X", "what follows comes X times sooner than the times it writes (default 1440)"},
                {"orders", "N", "stop after so many orders"},
                {"seed", "S", "number that the orders are drawn from (default: a new one, printed)"},
                {"faults", NULL, "also duplicates, changed keys, storms, wrong values, rollbacks"}},
    .run = run_generate,
};
