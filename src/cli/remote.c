#include "cli/remote.h"

#include "base/home.h"

#include <curl/curl.h>
#include <stdio.h>

bool remote_alive(const struct config *config, bool *alive, struct error *err)
{
    struct home_info info;
    if (!home_peek(config->home, &info, err)) return false;
    *alive = info.alive;
    return true;
}

static size_t take(char *data, size_t size, size_t count, void *arg)
{
    buf_put(arg, data, size * count);
    return size * count;
}

static bool perform(CURL *curl, const struct config *config, const char *url, bool post, struct buf *body,
                    struct error *err)
{
    struct curl_slist *headers = curl_slist_append(NULL, "X-Millrace: 1");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (post) curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, "");
    if (config->password && config->password[0]) {
        curl_easy_setopt(curl, CURLOPT_USERNAME, "default");
        curl_easy_setopt(curl, CURLOPT_PASSWORD, config->password);
    }
    long status = 0;
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) return error_set(err, ERROR_RETRY, "%s does not answer: %s", url, curl_easy_strerror(code));
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
    CURL *curl = curl_easy_init();
    bool ok = curl ? perform(curl, config, url, post, body, err) : error_set(err, ERROR_FATAL, "libcurl does not start");
    curl_easy_cleanup(curl);
    mem_free(url);
    return ok;
}
