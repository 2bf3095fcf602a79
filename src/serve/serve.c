/* Starts and stops what answers: pages and API on http_port, the ClickHouse protocol on clickhouse_port. */
#include "serve/serve.h"

#include "base/assets.h"
#include "base/clock.h"
#include "serve/access.h"
#include "serve/clickhouse/clickhouse.h"
#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <xxhash.h>

enum { CONNECTIONS_MAX = 100, IDLE_SECONDS = 30 };

/* --- answers --- */

static void put_headers(struct MHD_Response *response, const char *type)
{
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Content-Security-Policy",
                            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
                            "frame-ancestors 'self'; base-uri 'none'; form-action 'none'");
}

enum MHD_Result http_answer(struct http_request *r, unsigned status, const char *type, struct slice body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    put_headers(response, type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    enum MHD_Result result = MHD_queue_response(r->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_answer_json(struct http_request *r, unsigned status, struct buf *json)
{
    enum MHD_Result result = http_answer(r, status, "application/json; charset=utf-8", buf_slice(json));
    buf_free(json);
    return result;
}

enum MHD_Result http_answer_error(struct http_request *r, const struct error *err)
{
    struct buf json = {0};
    buf_put_text(&json, "{\"error\":");
    buf_put_json(&json, slice_of(err->text));
    buf_put_char(&json, '}');
    unsigned status = err->kind == ERROR_RETRY ? 503 : err->kind == ERROR_DATA ? 400 : 500;
    return http_answer_json(r, status, &json);
}

const char *http_param(const struct http_request *r, const char *name)
{
    const char *value = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
    return value ? value : "";
}

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".json", "application/json; charset=utf-8"},
                                           {".svg", "image/svg+xml"},
                                           {".woff2", "font/woff2"}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcmp(dot, types[i][0]) == 0) return types[i][1];
    return "application/octet-stream";
}

/* Does If-None-Match name the tag? A list of tags, weak ones too, or "*". */
static bool has_tag(struct http_request *r, const char *tag)
{
    const char *given = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "If-None-Match");
    return given && (strcmp(given, "*") == 0 || strstr(given, tag)); /* a tag's quotes stand in no other */
}

/* A browser keeps a file and asks whether it is still the same; the tag is that of the bytes. */
enum MHD_Result asset_answer(struct http_request *r, const char *path)
{
    char name[200];
    snprintf(name, sizeof name, "web%s", path);
    const struct asset *asset = strstr(path, "..") ? NULL : asset_find(name);
    if (!asset) return http_answer(r, 404, "text/plain; charset=utf-8", SLICE("There is no such page.\n"));
    char tag[24];
    snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)XXH3_64bits(asset->data, asset->len));
    bool known = has_tag(r, tag);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        known ? 0 : asset->len, (void *)(uintptr_t)asset->data, MHD_RESPMEM_PERSISTENT);
    put_headers(response, type_of(path));
    /* what comes from npm changes only with its version; our own files with the program */
    bool fixed = strncmp(path, "/lib/", 5) == 0;
    MHD_add_response_header(response, "Cache-Control", fixed ? "public, max-age=86400" : "no-cache");
    MHD_add_response_header(response, "ETag", tag);
    enum MHD_Result result = MHD_queue_response(r->connection, known ? 304 : 200, response);
    MHD_destroy_response(response);
    return result;
}

/* --- who may ask --- */

static bool may_ask(struct http_request *r)
{
    const char *password = r->serve->flow->config->password;
    if (!password || !password[0])
        return access_own_name(MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Host"));
    char *given = NULL;
    char *user = MHD_basic_auth_get_username_password(r->connection, &given);
    bool ok = given && access_same_secret(given, password);
    if (user) MHD_free(user);
    if (given) MHD_free(given);
    return ok;
}

static enum MHD_Result refuse(struct http_request *r)
{
    static const char text[] = "A password is needed (any user name; setting: password).\n";
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof text - 1, (void *)(uintptr_t)text,
                                                                    MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_basic_auth_fail_response(r->connection, "Millrace", response);
    MHD_destroy_response(response);
    return result;
}

/* --- which page --- */

struct route {
    const char *method, *path;
    enum MHD_Result (*answer)(struct http_request *r);
};

static const struct route routes[] = {
    {"GET", "/api/dashboard", dashboard_answer}, {"GET", "/api/order", order_answer},
    {"GET", "/api/pipeline", pipeline_answer},   {"GET", "/api/live", live_answer},
    {"GET", "/api/check", checks_answer},        {"POST", "/api/check", checks_answer},
    {"POST", "/api/resync", request_answer},     {"POST", "/api/replay", request_answer},
    {"GET", "/api/topics", topics_answer},       {"GET", "/api/records", records_answer},
    {"GET", "/metrics", metrics_answer},         {"GET", "/health", health_answer},
};

static enum MHD_Result dispatch(struct http_request *r)
{
    bool known = false;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, r->path) != 0) continue;
        known = true;
        if (strcmp(routes[i].method, r->method) != 0) continue;
        bool changes = strcmp(r->method, "POST") == 0;
        if (changes && !MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "X-Millrace"))
            return http_answer(r, 403, "text/plain", SLICE("The header X-Millrace is missing.\n"));
        return routes[i].answer(r);
    }
    if (known || strcmp(r->method, "GET") != 0) return http_answer(r, 405, "text/plain", SLICE("Not with this method.\n"));
    if (strcmp(r->path, "/") == 0) return asset_answer(r, "/index.html");
    if (strcmp(r->path, "/pipeline") == 0) return asset_answer(r, "/pipeline.html");
    return asset_answer(r, r->path);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *data, size_t *size, void **state)
{
    (void)version;
    (void)data;
    struct http_request *r = *state;
    if (!r) {
        *state = r = mem_alloc(sizeof *r);
        *r = (struct http_request){.serve = arg, .connection = connection};
        r->method = strcmp(method, "HEAD") == 0 ? "GET" : strcmp(method, "POST") == 0 ? "POST" : strcmp(method, "GET") == 0 ? "GET" : "?";
        return MHD_YES;
    }
    if (*size) {
        *size = 0; /* nothing that is asked here has a body */
        return MHD_YES;
    }
    r->path = path;
    if (!may_ask(r)) return refuse(r);
    return dispatch(r);
}

static void on_end(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode why)
{
    (void)arg;
    (void)connection;
    (void)why;
    struct http_request *r = *state;
    if (!r) return;
    mem_free(r);
    *state = NULL;
}

/* --- queries of the pages --- */

bool serve_query(struct serve *s, const char *name, const struct engine_param *params, size_t count, struct buf *json,
                 struct error *err)
{
    char path[80];
    snprintf(path, sizeof path, "sql/serve/%s.sql", name);
    const struct asset *sql = asset_find(path), *base = asset_find("sql/serve/base.sql");
    struct buf text = {0};
    if (strstr(sql->data, "FROM base")) {
        buf_put_text(&text, "WITH base AS (");
        buf_put(&text, base->data, base->len);
        buf_put_text(&text, ") ");
    }
    buf_put(&text, sql->data, sql->len);
    struct engine_result result;
    pthread_mutex_lock(&s->lock);
    bool ok = engine_query(s->conn, buf_text(&text), "JSONEachRow", params, count, &result, err);
    pthread_mutex_unlock(&s->lock);
    buf_free(&text);
    if (!ok) return error_wrap(err, "%s", name);
    if (result.data.len) buf_put_slice(json, result.data);
    else buf_put_text(json, "[]");
    engine_result_free(&result);
    return true;
}

void serve_put_as_of(const struct flow *flow, struct buf *json)
{
    uint64_t lsn = atomic_load(&flow->warehouse_lsn);
    buf_printf(json, "\"position\":%lld,\"lsn\":\"%X/%X\",\"warehouse_lsn\":%llu,\"commit_us\":%lld,\"now_us\":%lld,"
                     "\"lag_us\":%lld",
               (long long)atomic_load(&flow->warehouse_position), (unsigned)(lsn >> 32), (unsigned)lsn,
               (unsigned long long)lsn, (long long)atomic_load(&flow->warehouse_commit_us),
               (long long)clock_wall_us(), (long long)flow_lag_us(flow));
}

/* --- start and stop --- */

static bool address_of(const struct config *config, struct sockaddr_in *out, struct error *err)
{
    const char *listen = strcmp(config->listen, "localhost") == 0 ? "127.0.0.1" : config->listen;
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)config->http_port)};
    return inet_pton(AF_INET, listen, &out->sin_addr) == 1 ||
           error_set(err, ERROR_CONFIG, "listen takes an IPv4 address, not '%s'", config->listen);
}

static bool start_daemon(struct serve *s, struct error *err)
{
    struct sockaddr_in address;
    if (!address_of(s->flow->config, &address, err)) return false;
    s->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL,
                                 NULL, on_request, s, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                                 MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                                 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED,
                                 on_end, NULL, MHD_OPTION_END);
    return s->daemon || error_set(err, ERROR_CONFIG,
                                  "cannot listen on %s:%lld (%s); stop what holds the port or set http_port",
                                  s->flow->config->listen, (long long)s->flow->config->http_port, strerror(errno));
}

static bool connect_engine(struct serve *s, struct error *err)
{
    char threads[40], memory[60], seconds[40];
    const struct config *c = s->flow->config;
    snprintf(threads, sizeof threads, "max_threads=%lld", (long long)c->query_threads_max);
    snprintf(memory, sizeof memory, "max_memory_usage=%lld", (long long)c->query_memory_bytes);
    snprintf(seconds, sizeof seconds, "max_execution_time=%lld", (long long)c->query_seconds_max);
    const char *settings[] = {threads, memory, seconds, "output_format_json_array_of_rows=1",
                              "output_format_json_quote_64bit_integers=0", "readonly=2", NULL};
    return engine_connect(&s->conn, settings, err);
}

bool serve_start(struct serve **out, struct flow *flow, struct error *err)
{
    struct serve *s = mem_alloc(sizeof *s);
    s->flow = flow;
    pthread_mutex_init(&s->lock, NULL);
    bool ok = connect_engine(s, err);
    if (ok) {
        s->checks = checks_open(flow);
        s->live = live_start(s);
        ok = start_daemon(s, err) && clickhouse_start(&s->clickhouse, flow, err);
    }
    if (!ok) {
        serve_stop(s);
        return false;
    }
    *out = s;
    return true;
}

void serve_stop(struct serve *s)
{
    if (s->live) live_stop(s->live);
    if (s->daemon) MHD_stop_daemon(s->daemon);
    if (s->live) live_free(s->live);
    if (s->checks) checks_close(s->checks);
    clickhouse_stop(s->clickhouse);
    if (s->conn) engine_disconnect(s->conn);
    for (size_t i = 0; i < CACHED_MAX; i++) {
        mem_free(s->cache[i].key);
        buf_free(&s->cache[i].answer);
    }
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}
