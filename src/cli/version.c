/* `version`: what this program is made of. */
#include "base/assets.h"
#include "base/failpoint.h"
#include "base/home.h"
#include "cli/commands.h"
#include "cli/probe.h"

#include <curl/curl.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <microhttpd.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#ifndef ROCKSDB_VERSION /* its C interface does not say; the build asks pkg-config */
#define ROCKSDB_VERSION "unknown"
#endif

#ifdef __clang__
#define COMPILER "clang"
#else
#define COMPILER "gcc"
#endif

#if defined __SANITIZE_ADDRESS__
#define BUILD_MODE ", address sanitizer"
#elif defined __SANITIZE_THREAD__
#define BUILD_MODE ", thread sanitizer"
#else
#define BUILD_MODE ""
#endif

static void put_libraries(struct buf *out)
{
    int pq = PQlibVersion();
    unsigned xxh = XXH_versionNumber();
    buf_printf(out, "libpq          %d.%d\n", pq / 10000, pq % 10000);
    buf_printf(out, "rocksdb        %s\n", ROCKSDB_VERSION);
    buf_printf(out, "librdkafka     %s\n", rd_kafka_version_str());
    buf_printf(out, "libmicrohttpd  %s\n", MHD_get_version());
    buf_printf(out, "libcurl        %s\n", curl_version_info(CURLVERSION_NOW)->version);
    buf_printf(out, "jansson        %s\n", jansson_version_str());
    buf_printf(out, "xxhash         %u.%u.%u\n", xxh / 10000, xxh / 100 % 100, xxh % 100);
    buf_printf(out, "zlib           %s\n", zlibVersion());
    buf_printf(out, "zstd           %s\n", ZSTD_versionString());
}

static void put_version(const char *library, struct buf *out)
{
    struct error err;
    char engine[PROBE_TEXT];
    buf_printf(out, "millrace       %s\n", MILLRACE_VERSION);
    buf_printf(out, "compiler       " COMPILER " %s%s\n", __VERSION__, BUILD_MODE);
    buf_printf(out, "folder layout  %d\n", HOME_FORMAT);
    buf_printf(out, "assets         %zu files\n", asset_count);
    buf_put_text(out, "sources        PostgreSQL 13 to 18\ncommands      ");
    for (size_t i = 0; i < cli_command_count; i++)
        buf_printf(out, " %s", cli_commands[i]->name);
    buf_put_char(out, '\n');
    if (engine_probe(library, engine, &err))
        buf_printf(out, "libchdb        %s\n", engine);
    else
        buf_printf(out, "libchdb        none: %s\n", err.text);
    put_libraries(out);
}

static int run_version(struct cli *cli)
{
    bool failpoints = cli_flag(cli, "failpoints");
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    struct buf text = {0};
    if (!failpoints) put_version("", &text);
    for (const char *const *name = failpoint_names; failpoints && *name; name++)
        buf_printf(&text, "%s\n", *name);
    struct error err;
    bool ok = cli_print(buf_slice(&text), &err);
    buf_free(&text);
    return ok ? CLI_OK : cli_fail(&err);
}

const struct command command_version = {
    .name = "version",
    .summary = "Print the version of the program and of its libraries\n"
               "The SQL engine is loaded for it, so this also tells whether that works.",
    .usage = "version [--failpoints]",
    .example = "millrace version",
    .options = {{"failpoints", NULL, "print the names at which tests can kill the process"}},
    .no_settings = true,
    .run = run_version,
};
