/* The pipeline page's numbers, health and metrics: what each hop says of itself, the lake's tables, what
 * waits in quarantine, the newest lines of the log. */
#include "serve/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "lake/delta.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLES_US = 5000000, STALL_US = 60000000 };

static const char *const stage_names[STAGE_COUNT] = {"capture",  "producer", "consumer",
                                                    "bronze", "refine",   "warehouse"};

/* --- the lake's tables, read at most every TABLES_US --- */

static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER; /* protects the three below */
static struct buf tables_json;
static int64_t tables_us;
static char *tables_lake;

static void put_table(const char *lake, const char *name, struct buf *json)
{
    struct delta_table *t;
    struct error ignored;
    if (!delta_exists(lake, name) || !delta_open(&t, lake, name, &ignored)) return;
    int64_t rows = delta_row_count(t), physical = 0;
    for (size_t i = 0; i < delta_file_count(t); i++) physical += delta_file_at(t, i)->rows;
    struct delta_history_entry last = {0};
    bool known = delta_history(t, delta_version(t), &last, &ignored);
    if (json->data[json->len - 1] != '[') buf_put_char(json, ',');
    buf_put_text(json, "{\"name\":");
    buf_put_json(json, slice_of(name));
    buf_printf(json, ",\"version\":%lld,\"rows\":%lld,\"files\":%zu,\"deleted\":%lld,\"commit_ms\":%lld,\"operation\":",
               (long long)delta_version(t), (long long)rows, delta_file_count(t), (long long)(physical - rows),
               (long long)(known ? last.timestamp_ms : 0));
    buf_put_json(json, slice_of(known && last.operation ? last.operation : ""));
    buf_put_char(json, '}');
    if (known) delta_history_free(&last);
    delta_close(t);
}

static void put_layer(const char *lake, const char *layer, struct buf *json)
{
    char *folder = mem_format("%s/%s", lake, layer);
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            char *name = mem_format("%s/%s", layer, entries[i]->d_name);
            put_table(lake, name, json);
            mem_free(name);
        }
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    mem_free(folder);
}

static void put_tables(const struct flow *flow, struct buf *json)
{
    pthread_mutex_lock(&tables_lock);
    bool other = !tables_lake || strcmp(tables_lake, flow->lake) != 0;
    if (other || clock_mono_us() - tables_us > TABLES_US) {
        mem_free(tables_lake);
        tables_lake = mem_text(flow->lake);
        buf_clear(&tables_json);
        buf_put_char(&tables_json, '[');
        put_layer(flow->lake, "bronze", &tables_json);
        put_layer(flow->lake, "silver", &tables_json);
        put_layer(flow->lake, "gold", &tables_json);
        buf_put_char(&tables_json, ']');
        tables_us = clock_mono_us();
    }
    buf_put_slice(json, buf_slice(&tables_json));
    pthread_mutex_unlock(&tables_lock);
}

/* --- the hops --- */

static void put_stage(struct flow *flow, int i, struct buf *json)
{
    struct stage_status *s = &flow->status[i];
    pthread_mutex_lock(&s->lock);
    buf_printf(json, "%s{\"name\":\"%s\",\"state\":", i ? "," : "", stage_names[i]);
    buf_put_json(json, slice_of(s->state));
    buf_put_text(json, ",\"last_error\":");
    buf_put_json(json, slice_of(s->last_error));
    buf_printf(json, ",\"last_error_us\":%lld,\"failing\":%s", (long long)s->last_error_us,
               s->failing ? "true" : "false");
    pthread_mutex_unlock(&s->lock);
    buf_printf(json, ",\"rows\":%lld,\"batches\":%lld,\"busy_us\":%lld,\"last_commit_us\":%lld,\"restarts\":%lld,\"lag_us\":%lld}",
               (long long)atomic_load(&s->rows), (long long)atomic_load(&s->batches), (long long)atomic_load(&s->busy_us),
               (long long)atomic_load(&s->last_commit_us), (long long)atomic_load(&s->restarts),
               (long long)atomic_load(&s->lag_us));
}

static void put_lsn(struct buf *json, const char *name, uint64_t lsn)
{
    buf_printf(json, ",\"%s\":\"%X/%X\"", name, (unsigned)(lsn >> 32), (unsigned)lsn);
}

static void put_positions(struct flow *f, struct buf *json)
{
    put_lsn(json, "server_lsn", atomic_load(&f->server_lsn));
    put_lsn(json, "received_lsn", atomic_load(&f->received_lsn));
    put_lsn(json, "durable_lsn", atomic_load(&f->durable_lsn));
    buf_printf(json, ",\"retained_bytes\":%lld", (long long)flow_retained_bytes(f));
    buf_printf(json, ",\"bronze_version\":%lld,\"refined_version\":%lld,\"warehouse_version\":%lld",
               (long long)atomic_load(&f->bronze_version),
               (long long)POSITION_VERSION(atomic_load(&f->refined_position)) - 1,
               (long long)POSITION_VERSION(atomic_load(&f->warehouse_position)) - 1);
    buf_printf(json, ",\"queue_bytes\":%zu,\"epoch\":%d,\"copy_complete\":%s", queue_size_bytes(&f->changes),
               (int)atomic_load(&f->epoch), atomic_load(&f->copy_complete) ? "true" : "false");
    buf_put_text(json, ",\"slot\":");
    buf_put_json(json, slice_of(f->config->slot));
}

static void put_quarantine(struct serve *s, struct buf *json)
{
    struct error err;
    size_t start = json->len;
    if (delta_exists(s->flow->lake, "silver/quarantine") && serve_query(s, "quarantine", NULL, 0, json, &err)) return;
    json->len = start;
    buf_put_text(json, "[]");
}

enum MHD_Result pipeline_answer(struct http_request *r)
{
    struct flow *flow = r->serve->flow;
    struct buf json = {0};
    buf_put_char(&json, '{');
    serve_put_as_of(flow, &json);
    put_positions(flow, &json);
    buf_put_text(&json, ",\"stages\":[");
    for (int i = 0; i < STAGE_COUNT; i++) put_stage(flow, i, &json);
    buf_put_text(&json, "],\"latency\":");
    latency_put(&json);
    buf_put_text(&json, ",\"quarantine\":");
    put_quarantine(r->serve, &json);
    buf_put_text(&json, ",\"tables\":");
    put_tables(flow, &json);
    buf_put_text(&json, ",\"check\":");
    checks_put_last(r->serve->checks, &json);
    buf_put_text(&json, ",\"log\":");
    log_recent(&json);
    buf_put_char(&json, '}');
    return http_answer_json(r, 200, &json);
}

enum MHD_Result metrics_answer(struct http_request *r)
{
    struct buf text = {0};
    const struct flow *f = r->serve->flow;
    buf_printf(&text, "# HELP millrace_lag_seconds Age of the newest number while changes wait on the way\n"
                      "# TYPE millrace_lag_seconds gauge\nmillrace_lag_seconds %.3f\n"
                      "# HELP millrace_slot_retained_bytes WAL that the slot keeps for us\n"
                      "# TYPE millrace_slot_retained_bytes gauge\nmillrace_slot_retained_bytes %lld\n",
               (double)flow_lag_us(f) / 1e6,
               (long long)flow_retained_bytes(f));
    metrics_print(&text);
    enum MHD_Result result = http_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&text));
    buf_free(&text);
    return result;
}

/* 200 while every hop works; 503 with what does not. */
enum MHD_Result health_answer(struct http_request *r)
{
    struct flow *flow = r->serve->flow;
    struct buf text = {0};
    int64_t now_us = clock_wall_us();
    for (int i = 0; i < STAGE_COUNT; i++) {
        struct stage_status *s = &flow->status[i];
        pthread_mutex_lock(&s->lock);
        bool failing = s->last_error_us && now_us - s->last_error_us < 15000000 &&
                       s->last_error_us > atomic_load(&s->last_commit_us);
        if (failing) buf_printf(&text, "%s: %s\n", stage_names[i], s->last_error);
        pthread_mutex_unlock(&s->lock);
    }
    if (flow_lag_us(flow) > STALL_US)
        buf_printf(&text, "the warehouse is %lld s behind\n", (long long)(flow_lag_us(flow) / 1000000));
    unsigned status = text.len ? 503 : 200;
    if (!text.len) buf_put_text(&text, "ok\n");
    enum MHD_Result result = http_answer(r, status, "text/plain; charset=utf-8", buf_slice(&text));
    buf_free(&text);
    return result;
}

/* POST /api/resync?table=public.orders, /api/replay?table=orders&key=... */
enum MHD_Result request_answer(struct http_request *r)
{
    const char *table = http_param(r, "table"), *key = http_param(r, "key");
    if (!table[0] && strcmp(r->path, "/api/resync") == 0)
        return http_answer(r, 400, "text/plain", SLICE("The parameter table is missing.\n"));
    bool resync = strcmp(r->path, "/api/resync") == 0;
    char *item = key[0] && !resync ? mem_format("%s\x1f%s", table, key) : mem_text(table);
    struct queue *queue = resync ? &r->serve->flow->resync_requests : &r->serve->flow->replay_requests;
    bool ok = queue_push(queue, item, strlen(item) + 1, 1000000);
    if (!ok) mem_free(item);
    wake_signal(resync ? &r->serve->flow->capture_wake : &r->serve->flow->refine_wake);
    return ok ? http_answer(r, 202, "text/plain", SLICE("Taken.\n"))
              : http_answer(r, 503, "text/plain", SLICE("Too many requests wait; try again.\n"));
}
