/* The executive page's numbers: a few statements for a page, not one for a tile, kept until the warehouse
 * shows a newer position, so that many viewers cost what one costs. */
#include "serve/http.h"

#include "base/clock.h"

#include <stdio.h>

struct part {
    const char *member, *query;
};

/* The page sums the days up itself: tiles, months and their comparison need no statements of their own. */
static const struct part all_parts[] = {{"days", "days"},
                                        {"categories", "categories"},
                                        {"states", "states"},
                                        {"bounds", "bounds"},
                                        {"recent", "recent"}};
/* of the period that is compared with, only what is drawn beside the other */
static const struct part compared_parts[] = {{"days", "days"}};
static const struct part bounds_parts[] = {{"bounds", "bounds"}}; /* for the first question, which days there are */
static const struct part order_parts[] = {{"orders", "orders"}};

struct parts {
    const char *name;
    const struct part *items;
    size_t count;
    bool kept; /* in the cache: what every viewer asks */
};

static const struct parts pages[] = {{"", all_parts, sizeof all_parts / sizeof *all_parts, true},
                                     {"compare", compared_parts, 1, true},
                                     {"bounds", bounds_parts, 1, false},
                                     {"orders", order_parts, 1, false}};

enum { PARAMS = 5 };

static bool is_date(const char *text)
{
    int y, m, d, used = 0;
    return sscanf(text, "%4d-%2d-%2d%n", &y, &m, &d, &used) == 3 && used == 10 && !text[used];
}

static bool read_params(const struct http_request *r, struct engine_param *params, struct error *err)
{
    static const char *const names[PARAMS] = {"from", "to", "state", "category", "status"};
    for (size_t i = 0; i < PARAMS; i++) {
        const char *value = http_param(r, names[i]);
        if (i < 2 && !value[0]) value = i ? "2149-06-05" : "1970-01-01";
        if (i < 2 && !is_date(value)) return error_set(err, ERROR_DATA, "%s is not a date (YYYY-MM-DD)", names[i]);
        params[i] = (struct engine_param){.name = names[i], .value = slice_of(value)};
    }
    return true;
}

static bool put_parts(struct serve *s, const struct part *parts, size_t count, const struct engine_param *params,
                      struct buf *json, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        buf_printf(json, ",\"%s\":", parts[i].member);
        if (!serve_query(s, parts[i].query, params, PARAMS, json, err)) return false;
    }
    return true;
}

static char *make_key(const struct http_request *r, const struct engine_param *params)
{
    struct buf key = {0};
    buf_printf(&key, "%lld", (long long)atomic_load(&r->serve->flow->warehouse_position));
    for (size_t i = 0; i < PARAMS; i++) {
        buf_put_char(&key, 0x1F);
        buf_put_slice(&key, params[i].value);
    }
    buf_put_text(&key, http_param(r, "part"));
    return buf_take(&key);
}

static bool from_cache(struct serve *s, const char *key, struct buf *json)
{
    pthread_mutex_lock(&s->lock);
    bool hit = false;
    for (size_t i = 0; i < CACHED_MAX && !hit; i++) {
        struct cached *c = &s->cache[i];
        hit = c->key && strcmp(c->key, key) == 0;
        if (hit) buf_put_slice(json, buf_slice(&c->answer));
    }
    pthread_mutex_unlock(&s->lock);
    return hit;
}

static void into_cache(struct serve *s, char *key, const struct buf *json)
{
    pthread_mutex_lock(&s->lock);
    struct cached *c = &s->cache[s->cache_next++ % CACHED_MAX];
    mem_free(c->key);
    c->key = key;
    buf_clear(&c->answer);
    buf_put_slice(&c->answer, buf_slice(json));
    pthread_mutex_unlock(&s->lock);
}

static const struct parts *find_parts(const char *name)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (strcmp(pages[i].name, name) == 0) return &pages[i];
    return NULL;
}

enum MHD_Result dashboard_answer(struct http_request *r)
{
    struct engine_param params[PARAMS];
    struct error err = {0};
    struct buf json = {0};
    if (!read_params(r, params, &err)) return http_answer_error(r, &err);
    char *key = make_key(r, params);
    if (from_cache(r->serve, key, &json)) {
        mem_free(key);
        return http_answer_json(r, 200, &json);
    }
    const struct parts *page = find_parts(http_param(r, "part"));
    bool ok = page || error_set(&err, ERROR_DATA, "there is no part '%s'", http_param(r, "part"));
    buf_put_char(&json, '{');
    serve_put_as_of(r->serve->flow, &json);
    ok = ok && put_parts(r->serve, page->items, page->count, params, &json, &err);
    buf_put_char(&json, '}');
    if (!ok) {
        mem_free(key);
        buf_free(&json);
        return http_answer_error(r, &err);
    }
    if (page->kept) into_cache(r->serve, key, &json);
    else mem_free(key);
    return http_answer_json(r, 200, &json);
}

enum MHD_Result order_answer(struct http_request *r)
{
    struct engine_param id = {.name = "order", .value = slice_of(http_param(r, "id"))};
    struct error err = {0};
    struct buf json = {0};
    if (!serve_query(r->serve, "order", &id, 1, &json, &err)) {
        buf_free(&json);
        return http_answer_error(r, &err);
    }
    return http_answer_json(r, 200, &json);
}
