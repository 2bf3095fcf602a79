#include "net/http_client.h"

#include <curl/curl.h>

struct transfer {
    const struct http_call *call;
    CURL *curl;
    struct error *err;
    struct curl_slist *headers;
    bool stopped; /* by the sink, which has set err */
};

static size_t take_piece(char *data, size_t each, size_t count, void *context)
{
    struct transfer *t = context;
    struct slice piece = {data, each * count};
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        if (t->call->refusal) buf_put_slice(t->call->refusal, piece);
        return piece.len;
    }
    if (t->call->sink && !t->call->sink(t->call->context, piece, t->err)) {
        t->stopped = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return piece.len;
}

static void set_options(struct transfer *t, char *message)
{
    const struct http_call *call = t->call;
    curl_easy_setopt(t->curl, CURLOPT_URL, call->url);
    curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->curl, CURLOPT_NOPROXY, "*"); /* it is a process of ours */
    curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(t->curl, CURLOPT_TIMEOUT, call->seconds_max);
    curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, take_piece);
    curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
    /* what a page of another site cannot send: the pages' server asks for it before it changes anything */
    t->headers = curl_slist_append(NULL, "X-Millrace: 1");
    curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
    if (call->password && *call->password) {
        curl_easy_setopt(t->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(t->curl, CURLOPT_USERNAME, call->user ? call->user : "");
        curl_easy_setopt(t->curl, CURLOPT_PASSWORD, call->password);
    }
    if (call->body.data) {
        curl_easy_setopt(t->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, call->body.data);
        curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    }
}

bool http_call(const struct http_call *call, long *status, struct error *err)
{
    char message[CURL_ERROR_SIZE] = "";
    struct transfer t = {.call = call, .curl = curl_easy_init(), .err = err};
    if (!t.curl) return error_set(err, ERROR_FATAL, "libcurl does not start");
    set_options(&t, message);
    CURLcode code = curl_easy_perform(t.curl);
    curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(t.curl);
    curl_slist_free_all(t.headers);
    if (code == CURLE_OK) return true;
    if (t.stopped) return false;
    return error_set(err, ERROR_RETRY, "%s: %s", call->url, *message ? message : curl_easy_strerror(code));
}

void http_put_escaped(struct buf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    for (; *text; text++)
        if (strchr(plain, *text))
            buf_put_char(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
}
