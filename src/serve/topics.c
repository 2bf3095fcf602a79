/* The topic browser: GET /api/topics (partitions, ends, where bronze stands) and GET /api/records (messages of one
 * partition, by offset, by time or the newest, optionally only those whose key holds a text). Reads only; nothing is
 * committed to the broker. One question at a time: they are rare, and a slow broker must not take all threads. */
#include "serve/http.h"

#include "base/clock.h"
#include "format/change.h"
#include "lake/delta.h"
#include "net/kafka.h"

#include <inttypes.h>
#include <stdlib.h>

enum { WAIT_US = 5000000, LIMIT_MOST = 200, LIMIT = 20, SCAN_MOST = 20000, VALUE_MOST = 1 << 20 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held for one question */

static char *topics_pattern(const struct config *c)
{
    if (*c->topics) return mem_text(c->topics);
    return mem_format("^%s\\..+,^%s\\.%s$", c->topic_prefix, c->topic_heartbeat_prefix, c->topic_prefix);
}

/* ---- /api/topics */

/* When the next record that bronze has not was written: the age of what it lacks. */
static bool take_time(void *arg, const struct kafka_message *m)
{
    *(int64_t *)arg = m->timestamp_us;
    return false;
}

static int64_t behind_us(struct kafka_admin *admin, const struct kafka_partition *p, int64_t next)
{
    struct error ignored;
    int64_t written_us = 0;
    if (next >= p->end || !kafka_read(admin, p->topic, p->partition, next, 1, WAIT_US, take_time, &written_us, &ignored) ||
        written_us <= 0)
        return 0;
    return clock_wall_us() - written_us;
}

static void put_partition(struct kafka_admin *admin, const struct delta_table *bronze, const struct kafka_partition *p,
                          struct buf *json)
{
    char *app = change_offset_app(OFFSET_NEXT, p->topic, p->partition);
    int64_t next = bronze ? delta_txn(bronze, app) : -1;
    int64_t from = next < p->oldest ? p->oldest : next;
    mem_free(app);
    buf_printf(json, "{\"partition\":%d,\"oldest\":%" PRId64 ",\"end\":%" PRId64 ",\"next\":%" PRId64, (int)p->partition,
               p->oldest, p->end, next);
    if (next < 0) buf_put_text(json, ",\"lag\":null,\"behind_us\":null}");
    else
        buf_printf(json, ",\"lag\":%" PRId64 ",\"behind_us\":%" PRId64 "}", p->end > from ? p->end - from : 0,
                   behind_us(admin, p, from));
}

static void put_topics(struct kafka_admin *admin, const struct delta_table *bronze, const struct kafka_partitions *list,
                       struct buf *json)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct kafka_partition *p = &list->items[i];
        bool first = i == 0 || strcmp(list->items[i - 1].topic, p->topic) != 0;
        bool last = i + 1 == list->count || strcmp(list->items[i + 1].topic, p->topic) != 0;
        if (first) {
            if (i) buf_put_char(json, ',');
            buf_put_text(json, "{\"name\":");
            buf_put_json(json, slice_of(p->topic));
            buf_put_text(json, ",\"partitions\":[");
        } else {
            buf_put_char(json, ',');
        }
        put_partition(admin, bronze, p, json);
        if (last) buf_put_text(json, "]}");
    }
}

static bool answer_topics(struct flow *flow, struct buf *json, struct error *err)
{
    struct kafka_admin *admin = NULL;
    struct kafka_partitions list = {0};
    struct delta_table *bronze = NULL;
    char *pattern = topics_pattern(flow->config);
    bool ok = kafka_admin_open(&admin, flow->config, err) && kafka_list(admin, pattern, WAIT_US, &list, err);
    if (ok && delta_exists(flow->lake, BRONZE_TABLE)) ok = delta_open(&bronze, flow->lake, BRONZE_TABLE, err);
    if (ok) {
        buf_put_text(json, "{\"kafka\":true,\"bootstrap_servers\":");
        buf_put_json(json, slice_of(flow->config->bootstrap_servers));
        buf_printf(json, ",\"now_us\":%lld,\"topics\":[", (long long)clock_wall_us());
        put_topics(admin, bronze, &list, json);
        buf_put_text(json, "]}");
    }
    if (bronze) delta_close(bronze);
    kafka_partitions_free(&list);
    kafka_admin_close(admin);
    mem_free(pattern);
    return ok;
}

enum MHD_Result topics_answer(struct http_request *r)
{
    struct buf json = {0};
    struct error err;
    if (!r->serve->flow->kafka) return http_answer(r, 200, "application/json", SLICE("{\"kafka\":false,\"topics\":[]}"));
    pthread_mutex_lock(&lock);
    bool ok = answer_topics(r->serve->flow, &json, &err);
    pthread_mutex_unlock(&lock);
    if (ok) return http_answer_json(r, 200, &json);
    buf_free(&json);
    return http_answer_error(r, &err);
}

/* ---- /api/records */

struct asking {
    const char *topic, *key; /* key: "" or a text that the record's key must hold */
    int32_t partition;
    int64_t offset, limit;   /* offset -1: the newest */
};

struct listing {
    const struct asking *asking;
    struct buf *json;
    int64_t count;
};

static void put_text(struct buf *json, const char *name, struct slice text)
{
    buf_printf(json, ",\"%s\":", name);
    if (!text.data) {
        buf_put_text(json, "null");
        return;
    }
    if (text.len > VALUE_MOST) text.len = VALUE_MOST;
    buf_put_json(json, text);
}

static bool take_record(void *arg, const struct kafka_message *m)
{
    struct listing *l = arg;
    const char *wanted = l->asking->key;
    if (*wanted && !(m->key.data && memmem(m->key.data, m->key.len, wanted, strlen(wanted)))) return true;
    buf_printf(l->json, "%s{\"offset\":%" PRId64 ",\"timestamp_us\":%" PRId64, l->count ? "," : "", m->offset, m->timestamp_us);
    put_text(l->json, "key", m->key);
    put_text(l->json, "value", m->value);
    buf_put_text(l->json, ",\"headers\":{");
    for (size_t i = 0; i < m->header_count; i++) {
        if (i) buf_put_char(l->json, ',');
        buf_put_json(l->json, slice_of(m->headers[i].name));
        buf_put_char(l->json, ':');
        if (m->headers[i].value.data) buf_put_json(l->json, m->headers[i].value);
        else buf_put_text(l->json, "null");
    }
    buf_put_text(l->json, "}}");
    return ++l->count < l->asking->limit;
}

static const struct kafka_partition *find(const struct kafka_partitions *list, const struct asking *a)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].partition == a->partition && strcmp(list->items[i].topic, a->topic) == 0) return &list->items[i];
    return NULL;
}

/* The newest: `limit` before the end, or further back when only some keys are wanted. */
static int64_t first_offset(const struct asking *a, const struct kafka_partition *p)
{
    int64_t back = *a->key ? SCAN_MOST : a->limit;
    int64_t from = a->offset >= 0 ? a->offset : p->end - back;
    return from < p->oldest ? p->oldest : from;
}

static bool answer_records(struct flow *flow, struct asking *a, int64_t time_us, struct buf *json, struct error *err)
{
    struct kafka_admin *admin = NULL;
    struct kafka_partitions list = {0};
    char *pattern = topics_pattern(flow->config);
    bool ok = kafka_topics_hold(pattern, a->topic) ||
              error_set(err, ERROR_CONFIG, "topic %s is none of this pipeline's", a->topic);
    ok = ok && kafka_admin_open(&admin, flow->config, err) && kafka_list(admin, a->topic, WAIT_US, &list, err);
    const struct kafka_partition *p = ok ? find(&list, a) : NULL;
    if (ok && !p) ok = error_set(err, ERROR_CONFIG, "topic %s has no partition %d", a->topic, (int)a->partition);
    if (ok && time_us > 0) ok = kafka_offset_at(admin, a->topic, a->partition, time_us, WAIT_US, &a->offset, err);
    if (ok) {
        struct listing l = {.asking = a, .json = json};
        int64_t from = first_offset(a, p);
        buf_printf(json, "{\"oldest\":%" PRId64 ",\"end\":%" PRId64 ",\"from\":%" PRId64 ",\"records\":[", p->oldest, p->end, from);
        size_t most = *a->key ? SCAN_MOST : (size_t)a->limit;
        ok = from >= p->end || kafka_read(admin, a->topic, a->partition, from, most, WAIT_US, take_record, &l, err);
        buf_put_text(json, "]}");
    }
    kafka_partitions_free(&list);
    kafka_admin_close(admin);
    mem_free(pattern);
    return ok;
}

static int64_t number_of(const struct http_request *r, const char *name, int64_t fallback)
{
    const char *text = http_param(r, name);
    return *text ? strtoll(text, NULL, 10) : fallback;
}

enum MHD_Result records_answer(struct http_request *r)
{
    struct asking a = {.topic = http_param(r, "topic"),
                       .key = http_param(r, "key"),
                       .partition = (int32_t)number_of(r, "partition", 0),
                       .offset = number_of(r, "offset", -1),
                       .limit = number_of(r, "limit", LIMIT)};
    if (a.limit < 1 || a.limit > LIMIT_MOST) a.limit = LIMIT;
    if (!r->serve->flow->kafka || !*a.topic) return http_answer(r, 400, "text/plain", SLICE("The parameter topic is missing.\n"));
    struct buf json = {0};
    struct error err;
    pthread_mutex_lock(&lock);
    bool ok = answer_records(r->serve->flow, &a, number_of(r, "time_us", 0), &json, &err);
    pthread_mutex_unlock(&lock);
    if (ok) return http_answer_json(r, 200, &json);
    buf_free(&json);
    return http_answer_error(r, &err);
}
