/* The HTTP side: the daemon, who may ask, and which page is asked for.
 *
 * One thread for each connection (libmicrohttpd), at most CONNECTIONS_MAX; statements wait for one of a
 * few slots (pool.h). Without a password only this machine is served, and only under its own names, so
 * that a web page cannot ask through a name of its own that leads here. */
#include "serve/clickhouse/clickhouse.h"

#include "serve/access.h"
#include "serve/clickhouse/run.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { CONNECTIONS_MAX = 128, IDLE_SECONDS = 60, HEAD_BYTES_MAX = 256 << 10 };

struct clickhouse_server {
    struct service service;
    struct MHD_Daemon *daemon;
    const char *password; /* of the config */
    int port;
};

/* --- who may ask --- */

struct credentials {
    const char *user, *password;
    char *basic_user, *basic_password; /* libmicrohttpd's */
    unsigned ways;
};

static struct credentials find_credentials(struct request *r)
{
    struct credentials c = {0};
    c.basic_user = MHD_basic_auth_get_username_password(r->connection, &c.basic_password);
    const char *header_user = request_header(r, "X-ClickHouse-User");
    const char *header_key = request_header(r, "X-ClickHouse-Key");
    const char *field_user = request_field(r, "user"), *field_password = request_field(r, "password");
    bool basic = c.basic_user != NULL, header = header_user || header_key,
         field = field_user || field_password;
    c.ways = (unsigned)basic + (unsigned)header + (unsigned)field;
    c.user = basic ? c.basic_user : header ? header_user : field_user;
    c.password = basic ? c.basic_password : header ? header_key : field_password;
    if (!c.user || !*c.user) c.user = "default";
    if (!c.password) c.password = "";
    return c;
}

static bool admit(const struct clickhouse_server *s, struct request *r, struct error *err)
{
    if (!*s->password && !access_own_name(request_header(r, "Host")))
        return error_set(err, ERROR_CONFIG,
                         "Code: 516. DB::Exception: Without a password this server answers only to its own"
                         " address. (AUTHENTICATION_FAILED)");
    struct credentials c = find_credentials(r);
    bool right = strcmp(c.user, "default") == 0 && access_same_secret(c.password, s->password) && c.ways <= 1 &&
                 (c.basic_user || !request_header(r, "Authorization"));
    bool none = c.ways == 0 && *s->password && !request_header(r, "Authorization");
    if (none)
        error_set(err, ERROR_CONFIG,
                  "Code: 194. DB::Exception: default: A password is required. (REQUIRED_PASSWORD)");
    else if (!right)
        error_set(
            err, ERROR_CONFIG,
            "Code: 516. DB::Exception: %.64s: Authentication failed: password is incorrect, or there is"
            " no user with such name. (AUTHENTICATION_FAILED)",
            c.user);
    if (c.basic_user) MHD_free(c.basic_user);
    if (c.basic_password) MHD_free(c.basic_password);
    return right;
}

/* --- pages --- */

static enum MHD_Result answer_refused(struct clickhouse_server *s, struct request *r,
                                      const struct error *err)
{
    struct answer a = answer_begin(r, s->service.flow, s->service.version, s->service.cors);
    return answer_error(&a, err);
}

static enum MHD_Result answer_statement(struct clickhouse_server *s, struct request *r)
{
    struct error err;
    if (!buf_ok(&r->body)) {
        error_set(&err, ERROR_DATA,
                  "Code: 229. DB::Exception: The request's body is longer than %d bytes."
                  " (QUERY_IS_TOO_LARGE)",
                  BODY_BYTES_MAX);
        return answer_refused(s, r, &err);
    }
    if (!admit(s, r, &err) || !request_decode(r, &err)) return answer_refused(s, r, &err);
    return run_statement(&s->service, r);
}

static enum MHD_Result route(struct clickhouse_server *s, struct request *r, const char *url,
                             const char *method)
{
    bool cors = s->service.cors, post = strcmp(method, "POST") == 0;
    if (strcmp(method, "OPTIONS") == 0) return answer_text(r->connection, MHD_HTTP_NO_CONTENT, "", cors);
    if (!r->get && !post)
        return answer_text(r->connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and POST are answered.\n",
                           cors);
    bool root = strcmp(url, "/") == 0;
    bool ping = strcmp(url, "/ping") == 0 || strcmp(url, "/replicas_status") == 0;
    if (ping || (root && r->get && !request_field(r, "query")))
        return answer_text(r->connection, MHD_HTTP_OK, "Ok.\n", cors);
    if (!root && strcmp(url, "/query") != 0)
        return answer_text(r->connection, MHD_HTTP_NOT_FOUND, "There is no such page here.\n", cors);
    if (post && !request_header(r, "Content-Length") && !request_header(r, "Transfer-Encoding")) {
        struct error err;
        error_set(&err, ERROR_DATA,
                  "Code: 381. DB::Exception: A POST needs Content-Length or Transfer-Encoding: chunked."
                  " (HTTP_LENGTH_REQUIRED)");
        return answer_refused(s, r, &err);
    }
    return answer_statement(s, r);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data, size_t *len,
                              void **state)
{
    (void)version;
    struct clickhouse_server *s = arg;
    struct request *r = *state;
    if (!r) {
        *state = r = request_new(connection, method);
        struct error ignored;
        r->refused = !admit(s, r, &ignored); /* no memory for the bodies of strangers */
        return MHD_YES;
    }
    if (*len) {
        bool fits = request_feed(r, data, *len);
        (void)fits; /* a body that does not fit is passed over and refused at its end */
        *len = 0;
        return MHD_YES;
    }
    return route(s, r, url, method);
}

static void completed(void *arg, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode why)
{
    (void)arg;
    (void)connection;
    (void)why;
    request_free(*state);
    *state = NULL;
}

static void connected(void *arg, struct MHD_Connection *connection, void **state,
                      enum MHD_ConnectionNotificationCode what)
{
    (void)arg;
    (void)state;
    if (what != MHD_CONNECTION_NOTIFY_STARTED) return;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int on = 1;
    if (info) setsockopt(info->connect_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* --- start and stop --- */

static bool find_address(const struct config *c, struct addrinfo **out, struct error *err)
{
    char port[16];
    snprintf(port, sizeof port, "%lld", (long long)c->clickhouse_port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int code = getaddrinfo(c->listen, port, &hints, out);
    return code == 0 || error_set(err, ERROR_CONFIG, "listen: the address %s is not known: %s", c->listen,
                                  gai_strerror(code));
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24) == 127;
    return a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static bool bind_port(struct clickhouse_server *s, const struct config *c, struct error *err)
{
    struct addrinfo *address;
    if (!find_address(c, &address, err)) return false;
    bool ok = *c->password || is_loopback(address->ai_addr) ||
              error_set(err, ERROR_CONFIG, "listen=%s needs a password: set `password`", c->listen);
    if (ok) {
        unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
        if (address->ai_family == AF_INET6) flags |= MHD_USE_IPv6;
        s->daemon = MHD_start_daemon(
            flags, 0, NULL, NULL, handle, s, MHD_OPTION_SOCK_ADDR, address->ai_addr,
            MHD_OPTION_NOTIFY_COMPLETED, completed, s, MHD_OPTION_NOTIFY_CONNECTION, connected, s,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES_MAX,
            MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
        if (!s->daemon)
            ok = error_errno(err, "port %lld on %s cannot be used (set clickhouse_port)",
                             (long long)c->clickhouse_port, c->listen);
        if (!ok && err->kind == ERROR_FATAL) err->kind = ERROR_CONFIG;
    }
    freeaddrinfo(address);
    if (!ok) return false;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    s->port = info ? info->port : (int)c->clickhouse_port;
    return true;
}

static bool open_service(struct service *s, const struct config *c, struct error *err)
{
    s->guard.seconds_max = s->pool.seconds_max = c->query_seconds_max;
    s->guard.memory_max = s->pool.memory_max = c->query_memory_bytes;
    s->guard.threads_max = s->pool.threads_max = c->query_threads_max;
    s->cors = *c->password != '\0';
    sessions_init(&s->sessions);
    /* three quarters of the engine's memory for users, the rest stays the flow's */
    int64_t slots =
        c->engine_memory_bytes * 3 / 4 / (c->query_memory_bytes > 0 ? c->query_memory_bytes : 1);
    if (!pool_open(&s->pool, slots < 1 ? 1 : (size_t)slots, err)) return false;
    struct engine_result r = {0};
    if (!guard_init(&s->guard, s->pool.killer, err)) return false;
    if (!engine_query(s->pool.killer, "SELECT version()", "TSVRaw", NULL, 0, &r, err)) return false;
    s->version = mem_textn(r.data.data, r.data.len ? r.data.len - 1 : 0);
    engine_result_free(&r);
    return true;
}

bool clickhouse_start(struct clickhouse_server **out, struct flow *flow, struct error *err)
{
    struct clickhouse_server *s = mem_alloc(sizeof *s);
    s->service.flow = flow;
    s->service.pool.wake = -1;
    s->password = flow->config->password;
    if (!open_service(&s->service, flow->config, err) || !bind_port(s, flow->config, err)) {
        clickhouse_stop(s);
        return false;
    }
    *out = s;
    return true;
}

int clickhouse_port(const struct clickhouse_server *s)
{
    return s->port;
}

void clickhouse_stop(struct clickhouse_server *s)
{
    if (!s) return;
    if (s->service.pool.watching) pool_stop(&s->service.pool);
    if (s->daemon) MHD_stop_daemon(s->daemon);
    if (s->service.pool.watching) pool_close(&s->service.pool);
    guard_free(&s->service.guard);
    sessions_free(&s->service.sessions);
    mem_free(s->service.version);
    mem_free(s);
}
