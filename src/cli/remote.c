#include "cli/remote.h"

#include "base/home.h"
#include "net/http_client.h"

bool remote_alive(const struct config *config, bool *alive, struct error *err)
{
    struct home_info info;
    if (!home_peek(config->home, &info, err)) return false;
    *alive = info.alive;
    return true;
}

static bool take(void *context, struct slice piece, struct error *err)
{
    buf_put_slice(context, piece);
    return buf_ok(context) || error_set(err, ERROR_FATAL, "the answer is too large");
}

static bool perform(const struct config *config, const char *url, bool post, struct buf *body, struct error *err)
{
    struct http_call call = {.url = url, .user = "default", .password = config->password,
                             .body = post ? SLICE("") : (struct slice){0}, .sink = take, .context = body,
                             .refusal = body};
    long status = 0;
    if (!http_call(&call, &status, err)) return false;
    if (status == 200 || status == 202) return true;
    return error_set(err, status == 401 ? ERROR_CONFIG : ERROR_FATAL, "%s answered %ld: %.300s", url, status,
                     buf_text(body));
}

bool remote_call(const struct config *config, const char *path, bool post, struct buf *body, struct error *err)
{
    struct home_info info;
    if (!home_peek(config->home, &info, err)) return false;
    if (!info.alive) return error_set(err, ERROR_RETRY, "no process runs on %s", config->home);
    if (!info.http_port)
        return error_set(err, ERROR_RETRY, "process %ld on %s serves no pages (yet)", info.pid, config->home);
    bool any = strcmp(config->listen, "0.0.0.0") == 0;
    char *url = mem_format("http://%s:%d%s", any ? "127.0.0.1" : config->listen, info.http_port, path);
    bool ok = perform(config, url, post, body, err);
    mem_free(url);
    return ok;
}

bool remote_ask(const struct config *config, struct buf *path, struct error *err)
{
    struct buf body = {0};
    bool ok = remote_call(config, buf_text(path), true, &body, err);
    buf_free(&body);
    buf_free(path);
    return ok;
}
