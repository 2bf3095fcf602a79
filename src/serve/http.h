/* What the pages' server shares: one request, its answer, and who may ask.
 *
 * One thread for each connection (libmicrohttpd), a bounded number. Without a password only this machine is
 * served, under its own names, so that a strange page cannot ask through a name of its own. Requests that
 * change something are POSTs with the header X-Millrace: 1, which no foreign page can send. */
#ifndef MILLRACE_SERVE_HTTP_H
#define MILLRACE_SERVE_HTTP_H

#include "engine/engine.h"
#include "stages/stage.h"

#include <microhttpd.h>

struct checks;
struct live;

enum { CACHED_MAX = 16 };

struct cached {
    char *key; /* position and question; NULL: empty */
    struct buf answer;
};

struct serve {
    struct flow *flow;
    struct MHD_Daemon *daemon;
    struct clickhouse_server *clickhouse;
    pthread_mutex_t lock;       /* protects conn, cache, cache_next */
    struct engine_conn *conn;   /* for the pages; one statement at a time */
    struct cached cache[CACHED_MAX]; /* the newest dashboard answers */
    size_t cache_next;
    struct live *live;
    struct checks *checks;
};

struct http_request {
    struct serve *serve;
    struct MHD_Connection *connection;
    const char *method, *path;
};

enum MHD_Result http_answer(struct http_request *r, unsigned status, const char *type, struct slice body);
/* Takes the buffer's bytes. */
enum MHD_Result http_answer_json(struct http_request *r, unsigned status, struct buf *json);
/* {"error":"..."} with a status that fits the kind. */
enum MHD_Result http_answer_error(struct http_request *r, const struct error *err);
/* A query parameter, "" when it is not there. */
const char *http_param(const struct http_request *r, const char *name);

enum MHD_Result dashboard_answer(struct http_request *r);
enum MHD_Result order_answer(struct http_request *r);
enum MHD_Result pipeline_answer(struct http_request *r);
enum MHD_Result health_answer(struct http_request *r);
enum MHD_Result metrics_answer(struct http_request *r);
enum MHD_Result asset_answer(struct http_request *r, const char *path);
enum MHD_Result topics_answer(struct http_request *r);  /* topics.c: GET /api/topics */
enum MHD_Result records_answer(struct http_request *r); /* GET /api/records */
enum MHD_Result request_answer(struct http_request *r); /* POST /api/resync, /api/replay */

/* Rows of a file sql/serve/<name>.sql as a JSON array; serve->lock is taken inside. */
bool serve_query(struct serve *s, const char *name, const struct engine_param *params, size_t count,
                 struct buf *json, struct error *err) MUST_CHECK;
void serve_put_as_of(const struct flow *flow, struct buf *json); /* "lsn":..,"commit_us":..,... members */

/* live.c: one producer, any number of listeners (server-sent events). */
struct live *live_start(struct serve *s);
void live_stop(struct live *l); /* ends the listeners too */
void live_free(struct live *l); /* when no connection is left */
enum MHD_Result live_answer(struct http_request *r);

/* latency.c: commit to visible, a point each LATENCY_POINT_US for an hour. */
void latency_tick(void);
void latency_put(struct buf *json);

/* checks.c: one check at a time, on a thread of its own; the newest result is kept. */
struct checks *checks_open(struct flow *flow);
void checks_close(struct checks *c);
enum MHD_Result checks_answer(struct http_request *r);
void checks_put_last(struct checks *c, struct buf *json);

#endif
