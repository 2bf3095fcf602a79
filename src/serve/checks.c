/* /api/check: POST runs a check on its connection's own thread and answers when it is done (check itself
 * refuses a second one until the first has its point); GET gives the newest result.
 * {"at_us":..,"lines":[..],"equal":true,"error":null,"kind":"none"}, kind being the error's */
#include "serve/http.h"

#include "base/clock.h"
#include "check/check.h"

#include <stdio.h>
#include <stdlib.h>

struct checks {
    struct flow *flow;
    pthread_mutex_t lock; /* protects last */
    struct buf last;
};

struct checks *checks_open(struct flow *flow)
{
    struct checks *c = mem_alloc(sizeof *c);
    c->flow = flow;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void checks_close(struct checks *c)
{
    pthread_mutex_destroy(&c->lock);
    buf_free(&c->last);
    mem_free(c);
}

void checks_put_last(struct checks *c, struct buf *json)
{
    pthread_mutex_lock(&c->lock);
    if (c->last.len) buf_put_slice(json, buf_slice(&c->last));
    else buf_put_text(json, "null");
    pthread_mutex_unlock(&c->lock);
}

static bool take_line(void *arg, const struct check_line *line)
{
    struct buf *json = arg;
    if (json->data[json->len - 1] != '[') buf_put_char(json, ',');
    check_line_json(line, json);
    return true;
}

static void run(struct checks *c, const struct check_options *options, struct buf *json)
{
    struct error err = {0};
    bool equal = false;
    buf_printf(json, "{\"at_us\":%lld,\"lines\":[", (long long)clock_wall_us());
    bool ok = check_run(c->flow, options, take_line, json, &equal, &err);
    buf_printf(json, "],\"equal\":%s,\"error\":", ok && equal ? "true" : "false");
    if (ok) buf_put_text(json, "null");
    else buf_put_json(json, slice_of(err.text));
    buf_printf(json, ",\"kind\":\"%s\"", error_kind_name(err.kind));
    buf_put_char(json, '}');
}

enum MHD_Result checks_answer(struct http_request *r)
{
    struct checks *c = r->serve->checks;
    struct buf json = {0};
    if (strcmp(r->method, "GET") == 0) {
        checks_put_last(c, &json);
        return http_answer_json(r, 200, &json);
    }
    struct check_options options = {.tables = http_param(r, "tables"),
                                    .rows_per_second = strtoll(http_param(r, "rate"), NULL, 10)};
    run(c, &options, &json);
    if (!options.tables[0]) { /* a check of some tables does not speak for all */
        pthread_mutex_lock(&c->lock);
        buf_clear(&c->last);
        buf_put_slice(&c->last, buf_slice(&json));
        pthread_mutex_unlock(&c->lock);
    }
    return http_answer_json(r, 200, &json);
}
