/* `doctor`: looks at everything that a run needs and says what to do about the rest. Changes nothing. */
#include "cli/doctor.h"

#include "base/file.h"
#include "base/home.h"
#include "cli/commands.h"
#include "cli/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

void report_add(struct report *r, enum verdict verdict, const char *what, const char *advice,
                const char *fmt, ...)
{
    static const char *const words[] = {"ok", "warn", "bad"};
    char where[1200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(where, sizeof where, fmt, args);
    va_end(args);
    buf_printf(&r->text, "%-5s %-22s %s\n", words[verdict], what, where);
    if (advice) buf_printf(&r->text, "%-28s -> %s\n", "", advice);
    r->warnings += verdict == VERDICT_WARN;
    r->bad += verdict == VERDICT_BAD;
}

static void check_engine(struct report *r, const struct config *c)
{
    struct error err;
    char version[PROBE_TEXT];
    if (engine_probe(c->library, version, &err))
        report_add(r, VERDICT_OK, "SQL engine", NULL, "libchdb %s", version);
    else
        report_add(r, VERDICT_BAD, "SQL engine", "make deps, or name libchdb.so with --library", "%s",
                   err.text);
}

/* The path itself, or the nearest folder above it that exists. */
static char *existing(const char *path)
{
    char *at = mem_text(path);
    while (!file_exists(at)) {
        char *slash = strrchr(at, '/');
        if (!slash || slash == at) {
            mem_free(at);
            return mem_text("/");
        }
        *slash = '\0';
    }
    return at;
}

static void check_folder(struct report *r, const struct config *c, struct home_info *info)
{
    struct error err;
    struct home beside;
    char *at = existing(c->home);
    bool there = strcmp(at, c->home) == 0;
    if (access(at, W_OK | X_OK))
        report_add(r, VERDICT_BAD, "data folder",
                   "choose another with --home, or give this user the right to write",
                   "%s cannot be written", at);
    else if (!there)
        report_add(r, VERDICT_OK, "data folder", NULL, "%s will be made", c->home);
    else if (!home_peek(c->home, info, &err))
        report_add(r, VERDICT_BAD, "data folder", "look at the folder's rights", "%s", err.text);
    else if (info->alive)
        report_add(r, VERDICT_OK, "data folder", NULL, "%s, in use by process %ld", c->home, info->pid);
    else if (home_open(&beside, c->home, false, &err)) {
        report_add(r, VERDICT_OK, "data folder", NULL, "%s", c->home);
        home_close(&beside);
    } else
        report_add(r, VERDICT_WARN, "data folder",
                   "a run will make its folders in it; is it the right one?", "%s", err.text);
    mem_free(at);
}

static void check_disk(struct report *r, const struct config *c)
{
    struct statvfs fs;
    char *at = existing(c->home);
    if (statvfs(at, &fs)) {
        report_add(r, VERDICT_WARN, "disk", "look at the file system", "%s: %s", at, strerror(errno));
    } else {
        double free_gb = (double)fs.f_bavail * (double)fs.f_frsize / 1e9;
        enum verdict verdict = free_gb < 0.5 ? VERDICT_BAD : free_gb < 5 ? VERDICT_WARN : VERDICT_OK;
        report_add(r, verdict, "disk", verdict ? "make room, or choose another folder with --home" : NULL,
                   "%.1f GB free at %s", free_gb, at);
    }
    mem_free(at);
}

/* 0 when the port can be bound, else errno; -1 when the address is not an IP address. */
static int try_port(const char *address, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (strcmp(address, "localhost") == 0) address = "127.0.0.1";
    bool four = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!four && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) return -1;
    int fd = socket(four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    int on = 1; /* as a server would: connections that are ending do not count */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int failed =
        four ? bind(fd, (struct sockaddr *)&v4, sizeof v4) : bind(fd, (struct sockaddr *)&v6, sizeof v6);
    if (!failed) failed = listen(fd, 1);
    int code = failed ? errno : 0;
    close(fd);
    return code;
}

static void check_port(struct report *r, const char *address, const char *setting, int64_t port)
{
    if (port == 0) {
        report_add(r, VERDICT_OK, setting, NULL, "any free one");
        return;
    }
    int code = try_port(address, (int)port);
    if (code == 0)
        report_add(r, VERDICT_OK, setting, NULL, "%s:%lld is free", address, (long long)port);
    else
        report_add(r, VERDICT_BAD, setting, "stop what listens there, or choose another port",
                   "%s:%lld: %s", address, (long long)port,
                   code < 0 ? "not an IP address" : strerror(code));
}

static void check_ports(struct report *r, const struct config *c, const struct home_info *info)
{
    if (info->alive) {
        report_add(r, VERDICT_OK, "ports", NULL,
                   "process %ld serves pages on %d, ClickHouse's protocol on %d", info->pid,
                   info->http_port, info->clickhouse_port);
        return;
    }
    check_port(r, c->listen, "http_port", c->http_port);
    check_port(r, c->listen, "clickhouse_port", c->clickhouse_port);
}

static int run_doctor(struct cli *cli)
{
    const char *connect = cli_option(cli, "connect"), *connector = cli_option(cli, "connector");
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    if (connector && !connect) return cli_wrong(cli, "--connector needs --connect, Kafka Connect's address");
    struct report r = {0};
    struct home_info info = {0};
    check_engine(&r, &cli->config);
    check_folder(&r, &cli->config, &info);
    check_disk(&r, &cli->config);
    check_ports(&r, &cli->config, &info);
    doctor_source(&r, &cli->config, info.alive ? info.pid : 0);
    if (connect) doctor_debezium(&r, connect, connector);
    buf_printf(&r.text, "%d bad, %d to look at\n", r.bad, r.warnings);
    struct error err;
    bool ok = cli_print(buf_slice(&r.text), &err);
    buf_free(&r.text);
    if (!ok) return cli_fail(&err);
    return r.bad ? CLI_FAILED : CLI_OK;
}

const struct command command_doctor = {
    .name = "doctor",
    .summary = "Look at everything that a run needs, and say what to do\n"
               "Engine, folder, disk, ports; PostgreSQL's settings, role, publication, tables, slot. "
               "Changes nothing.",
    .usage = "doctor [--connect URL [--connector NAME]]",
    .example = "millrace doctor --source postgres://millrace@shop-db/shop\n"
               "millrace doctor --connect http://connect:8083 --connector shop",
    .options = {{"connect", "URL",
                 "Kafka Connect's address: whether Debezium's connectors run and lose nothing"},
                {"connector", "NAME", "only this connector (default: each of Debezium's for PostgreSQL)"}},
    .run = run_doctor,
};
