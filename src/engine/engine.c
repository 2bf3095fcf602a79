/* The life of the engine, its connections, and statements run whole (streams: engine_stream.c).
 *
 *   engine_open --> root connection (boots the engine, holds its server settings, classifies nothing)
 *   engine_connect --> a connection each, with the settings of the models
 *   engine_close --> root closed, engine threads joined; the process cannot open it again
 *
 * 1. The root connection lives from open to close: libchdb stops when its last connection closes.
 * 2. Connecting and closing happen under one lock; statements do not take it.
 * 3. Memory is bounded by the server settings below. Caches are small: a cached file is also in the
 *    system's page cache, and the warehouse of a shop is read from there fast enough. */
#include "engine/engine_int.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects the three below; taken alone */
static struct chdb_conn **root;
static char *storage_argument;
static bool ended;

/* Read by the engine only when the first connection boots it. */
static const char *const server_settings[] = {
    "mark_cache_size=16777216",
    "index_mark_cache_size=4194304",
    "index_uncompressed_cache_size=0",
    "uncompressed_cache_size=0",
    "page_cache_max_size=0",
    "mmap_cache_size=64",
    "query_condition_cache_size=4194304",
    "compiled_expression_cache_size=8388608",
    "compiled_expression_cache_elements_size=500",
    "parquet_metadata_cache_size=8388608",
    "iceberg_metadata_files_cache_size=1048576",
    "primary_index_cache_size=16777216",
    "max_thread_pool_size=200",
    "max_thread_pool_free_size=8",
    "max_io_thread_pool_size=16",
    "max_io_thread_pool_free_size=0",
    "background_pool_size=2",
    "background_schedule_pool_size=4",
    "background_common_pool_size=1",
    "background_move_pool_size=1",
    "background_fetches_pool_size=1",
    "background_buffer_flush_schedule_pool_size=1",
    "background_message_broker_schedule_pool_size=1",
    "background_distributed_schedule_pool_size=1",
    "tables_loader_foreground_pool_size=2",
    "tables_loader_background_pool_size=2",
    "os_threads_nice_value_merge_mutate=10",
};

/* The settings that the models need, on every connection. */
static const char *const connection_settings[] = {
    "session_timezone=UTC",
    "join_use_nulls=1",
    "aggregate_functions_null_for_empty=1",
    "optimize_trivial_count_query=0", /* count() is wrong over deletion vectors otherwise */
    "implicit_select=0", "max_query_size=67108864",
    "output_format_decimal_trailing_zeros=1",
    "log_queries=0",
    "max_threads=2",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct arguments {
    char **items;
    size_t count, cap;
};

static void arguments_add(struct arguments *a, char *owned)
{
    MEM_GROW(a->items, a->count, a->cap);
    a->items[a->count++] = owned;
}

static void arguments_add_settings(struct arguments *a, const char *const *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) arguments_add(a, mem_format("--%s", settings[i]));
}

static void arguments_free(struct arguments *a)
{
    for (size_t i = 0; i < a->count; i++) mem_free(a->items[i]);
    mem_free(a->items);
}

/* Fails when another process has the folder open. The engine locks the file `status` in it and says so
 * only on stderr, so the lock is tried first. */
static bool storage_free(const char *storage, struct error *err)
{
    char *path = mem_format("%s/status", storage);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    char text[64] = "";
    if (busy) {
        ssize_t n = read(fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        for (char *c = text; *c; c++)
            if (*c == 'P' || *c == 'I' || *c == 'D') *c = (char)(*c | 0x20);
    }
    if (fd >= 0) close(fd);
    mem_free(path);
    return !busy ||
           error_set(err, ERROR_CONFIG, "the warehouse folder %s is in use by another process (%s)",
                     storage, *text ? text : "pid unknown");
}

static bool boot(int64_t memory_bytes_max, struct error *err)
{
    struct arguments a = {0};
    arguments_add(&a, mem_text("millrace"));
    arguments_add(&a, mem_text(storage_argument));
    arguments_add_settings(&a, server_settings, COUNT(server_settings));
    if (memory_bytes_max > 0)
        arguments_add(&a, mem_format("--max_server_memory_usage=%lld", (long long)memory_bytes_max));
    arguments_add_settings(&a, connection_settings, COUNT(connection_settings));
    chdb.set_signal_handlers_enabled(0);
    root = chdb.connect((int)a.count, a.items);
    arguments_free(&a);
    return root || error_set(err, ERROR_DATA, "the SQL engine does not start on %s; its reason stands above",
                             storage_argument + strlen("--path="));
}

static bool open_locked(const char *library, const char *home, const char *storage,
                        int64_t memory_bytes_max, struct error *err)
{
    if (root || ended) return error_set(err, ERROR_FATAL, "the SQL engine is opened once in a process");
    if (!chdb_load(library, err)) return false;
    if (!file_make_dirs(storage, err)) return false;
    char *absolute = realpath(storage, NULL);
    if (!absolute) return error_errno(err, "%s", storage);
    bool ok = storage_free(absolute, err);
    if (ok && chdir(home) != 0) ok = error_errno(err, "%s", home);
    if (ok) {
        mem_free(storage_argument);
        storage_argument = mem_format("--path=%s", absolute);
        ok = boot(memory_bytes_max, err);
    }
    free(absolute);
    return ok;
}

bool engine_open(const char *library, const char *home, const char *storage, int64_t memory_bytes_max,
                 struct error *err)
{
    pthread_mutex_lock(&lock);
    bool ok = open_locked(library, home, storage, memory_bytes_max, err);
    pthread_mutex_unlock(&lock);
    return ok;
}

void engine_close(void)
{
    pthread_mutex_lock(&lock);
    if (root) {
        chdb.close_conn(root);
        root = NULL;
        chdb.shutdown();
        ended = true;
    }
    mem_free(storage_argument);
    storage_argument = NULL;
    pthread_mutex_unlock(&lock);
}

void engine_trim(void)
{
    static const char purge[] = "SYSTEM JEMALLOC PURGE";
    pthread_mutex_lock(&lock);
    if (root) {
        struct chdb_result *r = chdb.query_n(*root, purge, sizeof purge - 1, "TSV", 3);
        if (r) chdb.destroy_query_result(r);
        engine_drop_pages();
    }
    pthread_mutex_unlock(&lock);
}

bool engine_connect(struct engine_conn **out, const char *const *settings, struct error *err)
{
    pthread_mutex_lock(&lock);
    struct chdb_conn **handle = NULL;
    bool opened = root != NULL;
    if (opened) {
        struct arguments a = {0};
        arguments_add(&a, mem_text("millrace"));
        arguments_add(&a, mem_text(storage_argument));
        arguments_add_settings(&a, connection_settings, COUNT(connection_settings));
        for (; settings && *settings; settings++) arguments_add(&a, mem_format("--%s", *settings));
        handle = chdb.connect((int)a.count, a.items);
        arguments_free(&a);
    }
    pthread_mutex_unlock(&lock);
    if (!opened) return error_set(err, ERROR_FATAL, "the SQL engine is not open");
    if (!handle)
        return error_set(err, ERROR_CONFIG, "the SQL engine refuses a connection with these settings");
    *out = mem_alloc(sizeof **out);
    (*out)->handle = handle;
    return true;
}

void engine_disconnect(struct engine_conn *conn)
{
    if (!conn) return;
    pthread_mutex_lock(&lock);
    chdb.close_conn(conn->handle);
    pthread_mutex_unlock(&lock);
    mem_free(conn);
}

/* The engine reads a parameter's value in the escaping of TSV: a String with a tab or a backslash must
 * be escaped to arrive as it is. */
static void put_escaped(struct buf *out, struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        const char *escape = c == '\\' ? "\\\\" : c == '\t' ? "\\t" : c == '\n' ? "\\n"
                             : c == '\r' ? "\\r" : c == '\0' ? "\\0" : NULL;
        if (escape) buf_put_text(out, escape);
        else buf_put_char(out, c);
    }
}

void bound_init(struct bound *b, const struct engine_param *params, size_t count)
{
    *b = (struct bound){.count = count};
    if (count == 0) return;
    b->names = mem_alloc(count * sizeof *b->names);
    b->values = mem_alloc(count * sizeof *b->values);
    b->name_lens = mem_alloc(count * sizeof *b->name_lens);
    b->value_lens = mem_alloc(count * sizeof *b->value_lens);
    for (size_t i = 0; i < count; i++) {
        size_t before = b->escaped.len;
        if (!params[i].value.data) buf_put_text(&b->escaped, "\\N");
        else if (params[i].raw) buf_put_slice(&b->escaped, params[i].value);
        else put_escaped(&b->escaped, params[i].value);
        b->names[i] = params[i].name;
        b->name_lens[i] = strlen(params[i].name);
        b->value_lens[i] = b->escaped.len - before;
    }
    const char *at = buf_text(&b->escaped);
    for (size_t i = 0; i < count; i++) {
        b->values[i] = at;
        at += b->value_lens[i];
    }
}

void bound_free(struct bound *b)
{
    mem_free(b->names);
    mem_free(b->values);
    mem_free(b->name_lens);
    mem_free(b->value_lens);
    buf_free(&b->escaped);
}

void engine_settle(struct engine_conn *conn)
{
    static const char nothing[] = "SELECT 1";
    struct chdb_result *r = chdb.query_n(*conn->handle, nothing, sizeof nothing - 1, "TSV", 3);
    if (r) chdb.destroy_query_result(r);
}

bool engine_query(struct engine_conn *conn, const char *sql, const char *format,
                  const struct engine_param *params, size_t param_count, struct engine_result *out,
                  struct error *err)
{
    if (!format) format = "TSV";
    struct bound b;
    bound_init(&b, params, param_count);
    struct chdb_result *r =
        param_count == 0
            ? chdb.query_n(*conn->handle, sql, strlen(sql), format, strlen(format))
            : chdb.query_with_params_n(*conn->handle, sql, strlen(sql), format, strlen(format), b.names,
                                       b.name_lens, b.values, b.value_lens, b.count);
    bound_free(&b);
    if (!r) return error_set(err, ERROR_FATAL, "the SQL engine gave no answer");
    const char *message = chdb.result_error(r);
    if (message) {
        engine_failed(err, message, false);
        chdb.destroy_query_result(r);
        engine_settle(conn);
        return false;
    }
    *out = (struct engine_result){
        .data = {chdb.result_buffer(r), chdb.result_length(r)},
        .rows_read = chdb.result_storage_rows_read(r),
        .bytes_read = chdb.result_storage_bytes_read(r),
        .rows_written = chdb.result_rows_written(r),
        .result_rows = chdb.result_rows_read(r),
        .handle = r,
    };
    return true;
}

void engine_result_free(struct engine_result *r)
{
    if (r->handle) chdb.destroy_query_result(r->handle);
    *r = (struct engine_result){0};
}

bool engine_run(struct engine_conn *conn, const char *sql, struct error *err)
{
    struct engine_result r = {0};
    if (!engine_query(conn, sql, "TSV", NULL, 0, &r, err)) return false;
    engine_result_free(&r);
    return true;
}

bool engine_number(struct engine_conn *conn, const char *sql, int64_t *out, struct error *err)
{
    struct engine_result r = {0};
    if (!engine_query(conn, sql, "TSV", NULL, 0, &r, err)) return false;
    char text[32];
    size_t n = r.data.len < sizeof text - 1 ? r.data.len : sizeof text - 1;
    if (n) memcpy(text, r.data.data, n);
    text[n] = '\0';
    *out = strtoll(text, NULL, 10);
    engine_result_free(&r);
    return true;
}

bool engine_classify(struct engine_conn *conn, struct slice sql, enum engine_class *out,
                     uint32_t *statements, bool *has_secrets, struct error *err)
{
    static const enum engine_class classes[] = {ENGINE_READ, ENGINE_WRITE, ENGINE_WRITE_GLOBAL,
                                                ENGINE_CONTROL, ENGINE_UNKNOWN};
    struct chdb_analysis a = {.struct_size = sizeof a};
    if (chdb.classify_query_n(*conn->handle, sql.data ? sql.data : "", sql.len, NULL, 0, &a) != CHDB_OK)
        return error_set(err, ERROR_FATAL, "the SQL engine cannot classify a statement");
    *out = a.query_class < COUNT(classes) ? classes[a.query_class] : ENGINE_UNKNOWN;
    *statements = a.statement_count;
    *has_secrets = (a.flags & CHDB_FLAG_SECRETS) != 0;
    return true;
}
