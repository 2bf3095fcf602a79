/* Finds libchdb.so and takes its functions. The library is loaded on first need and never unloaded:
 * its threads and thread-local objects would outlive the mapping. */
#include "engine/chdb.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct chdb chdb;

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define FUNCTION(f) {"chdb_" #f, offsetof(struct chdb, f)}
    FUNCTION(set_signal_handlers_enabled),
    FUNCTION(shutdown),
    FUNCTION(connect),
    FUNCTION(close_conn),
    FUNCTION(query_n),
    FUNCTION(query_with_params_n),
    FUNCTION(stream_query_with_params_n),
    FUNCTION(stream_query_n),
    FUNCTION(stream_fetch_result),
    FUNCTION(stream_cancel_query),
    FUNCTION(result_buffer),
    FUNCTION(result_length),
    FUNCTION(result_error),
    FUNCTION(result_rows_read),
    FUNCTION(result_storage_rows_read),
    FUNCTION(result_storage_bytes_read),
    FUNCTION(result_rows_written),
    FUNCTION(destroy_query_result),
    FUNCTION(stream_insert_n),
    FUNCTION(stream_append),
    FUNCTION(stream_done),
    FUNCTION(stream_cancel_insert),
    FUNCTION(stream_insert_error),
    FUNCTION(destroy_insert_stream),
    FUNCTION(classify_query_n),
#undef FUNCTION
};

#define PACKAGE "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"

/* Where the library is looked for, relative to the folder of the program ('@') or the current one. */
static const char *const places[] = {
    "@/libchdb.so", "@/../lib/libchdb.so", "@/../lib/millrace/libchdb.so",
    "@/" PACKAGE, "@/../" PACKAGE, "@/../../" PACKAGE, "@/../../../" PACKAGE, PACKAGE,
    "/usr/local/lib/libchdb.so", "/usr/lib/libchdb.so", "/opt/millrace/libchdb.so",
};

static bool program_folder(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0) return false;
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (!slash) return false;
    *slash = '\0';
    return true;
}

/* The first place that holds a readable file; "libchdb.so", for the loader's own search, otherwise. */
static char *find(const char *library)
{
    if (library && *library) return mem_text(library);
    const char *set = getenv("MILLRACE_LIBCHDB");
    if (set && *set) return mem_text(set);
    char folder[PATH_MAX];
    bool known = program_folder(folder, sizeof folder);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool beside = places[i][0] == '@';
        if (beside && !known) continue;
        char *path = beside ? mem_format("%s%s", folder, places[i] + 1) : mem_text(places[i]);
        if (access(path, R_OK) == 0) return path;
        mem_free(path);
    }
    return mem_text("libchdb.so");
}

static bool take_functions(void *handle, const char *path, struct error *err)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *at = dlsym(handle, functions[i].name);
        if (!at)
            return error_set(err, ERROR_CONFIG, "%s has no function %s; version 26.7 is needed", path,
                             functions[i].name);
        memcpy((char *)&chdb + functions[i].offset, &at, sizeof at);
    }
    return true;
}

bool chdb_load(const char *library, struct error *err)
{
    if (chdb.connect) return true;
    char *path = find(library);
    setenv("JE_MALLOC_CONF", "dirty_decay_ms:1000", 0); /* its allocator keeps what is freed for five seconds */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    bool ok = handle ? take_functions(handle, path, err)
                     : error_set(err, ERROR_CONFIG,
                                 "the SQL engine cannot be loaded: %s; run `npm install`, or name the file"
                                 " libchdb.so with `library` or MILLRACE_LIBCHDB", dlerror());
    if (!ok) chdb = (struct chdb){0};
    mem_free(path);
    return ok;
}
