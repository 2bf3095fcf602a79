/* The producer. A failed delivery is kept as the first failure and told by the next call that can fail;
 * within a transaction it stays until kafka_abort, since the transaction cannot be committed any more.
 *
 *   state      set by                                  left by
 *   WELL       open, begin, abort, commit              an error of a transaction or a delivery
 *   ABORTABLE  such an error                           kafka_abort
 *   PENDING    a commit or abort that ran out of time  the same call again
 *   DEAD       fenced, or librdkafka lost its sequence close, and open again */
#include "net/kafka_int.h"

#include "base/clock.h"
#include "base/map.h"

enum producer_state { WELL, ABORTABLE, PENDING, DEAD };

struct kafka_producer {
    struct kafka_client client; /* first: the opaque of all callbacks */
    struct map topics;          /* name: rd_kafka_topic_t */
    bool transactional, initialised, failed;
    enum producer_state state;
    struct error failure; /* the first failed delivery, when failed */
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    struct kafka_producer *p = opaque;
    switch (m->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE: /* by abort or close */
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return;
    default: break;
    }
    if (p->failed) return;
    rd_kafka_resp_err_t code = m->err;
    char reason[300] = "";
    if (code == RD_KAFKA_RESP_ERR__FATAL) code = rd_kafka_fatal_error(p->client.rk, reason, sizeof reason);
    kafka_fail(&p->client, &p->failure, code, reason,
               "a message of %zu bytes for topic %s, partition %d, was not written", m->len,
               rd_kafka_topic_name(m->rkt), (int)m->partition);
    p->failed = true;
}

bool kafka_producer_open(struct kafka_producer **out, const struct config *config,
                         const char *transactional_id, struct error *err)
{
    struct kafka_producer *p = mem_alloc(sizeof *p);
    rd_kafka_conf_t *conf = kafka_conf(&p->client, KAFKA_PRODUCER, config, transactional_id, err);
    if (conf) rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (!conf || !kafka_client_open(&p->client, KAFKA_PRODUCER, conf, err)) {
        kafka_client_free(&p->client);
        mem_free(p);
        return false;
    }
    p->transactional = transactional_id != NULL;
    *out = p;
    return true;
}

static void free_topic(void *topic)
{
    rd_kafka_topic_destroy(topic);
}

void kafka_producer_close(struct kafka_producer *p, int64_t timeout_us)
{
    if (!p) return;
    if (!p->transactional && timeout_us > 0) rd_kafka_flush(p->client.rk, kafka_ms(timeout_us));
    rd_kafka_purge(p->client.rk,
                   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    map_free(&p->topics, free_topic);
    rd_kafka_destroy(p->client.rk);
    kafka_client_free(&p->client);
    mem_free(p);
}

const char *kafka_producer_trouble(struct kafka_producer *p)
{
    return kafka_trouble_text(&p->client);
}

size_t kafka_in_flight(const struct kafka_producer *p)
{
    int n = rd_kafka_outq_len(p->client.rk);
    return n > 0 ? (size_t)n : 0;
}

bool kafka_abortable(const struct kafka_producer *p)
{
    return p->state == ABORTABLE;
}

/* Whatever the cause, such a client never works again: the error is for who opens another. */
static void note_death(struct kafka_producer *p, struct error *err)
{
    if (!rd_kafka_fatal_error(p->client.rk, NULL, 0)) return;
    p->state = DEAD;
    err->kind = ERROR_FATAL;
}

/* True when no delivery has failed. */
static bool check_deliveries(struct kafka_producer *p, struct error *err)
{
    if (!p->failed) return true;
    *err = p->failure;
    if (p->transactional)
        p->state = ABORTABLE;
    else
        p->failed = false;
    note_death(p, err);
    return false;
}

/* A failed delivery, death, or a trouble that lasts; true when there is none. */
static bool check(struct kafka_producer *p, struct error *err)
{
    if (!check_deliveries(p, err)) return false;
    if (kafka_due(&p->client, err)) return true;
    note_death(p, err);
    return false;
}

/* --- messages --- */

static rd_kafka_topic_t *topic_of(struct kafka_producer *p, const char *name)
{
    void **at = map_find(&p->topics, slice_of(name));
    if (at && *at) return *at;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(p->client.rk, name, NULL);
    if (topic) *map_put(&p->topics, slice_of(name)) = topic;
    return topic;
}

static rd_kafka_headers_t *headers_of(const struct kafka_header *headers, size_t count)
{
    rd_kafka_headers_t *list = rd_kafka_headers_new(count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_header_add(list, headers[i].name, -1, headers[i].value.data,
                            headers[i].value.data ? (ssize_t)headers[i].value.len : 0);
    return list;
}

static bool fail_produce(struct kafka_producer *p, rd_kafka_resp_err_t code, const char *topic, size_t size,
                         struct error *err)
{
    if (!check(p, err)) return false; /* the cause, when there is one */
    if (p->transactional) p->state = ABORTABLE;
    if (code == RD_KAFKA_RESP_ERR__STATE)
        return error_set(err, ERROR_RETRY, "Kafka: topic %s: the transaction must be aborted first", topic);
    return kafka_fail(&p->client, err, code, NULL, "a message of %zu bytes for topic %s was not taken",
                      size, topic);
}

bool kafka_produce(struct kafka_producer *p, const char *topic, int32_t partition, struct slice key,
                   struct slice value, const struct kafka_header *headers, size_t header_count,
                   enum kafka_sent *sent, struct error *err)
{
    rd_kafka_topic_t *handle = topic_of(p, topic);
    if (!handle) return fail_produce(p, rd_kafka_last_error(), topic, value.len, err);
    rd_kafka_vu_t parts[6];
    size_t n = 0;
    parts[n].vtype = RD_KAFKA_VTYPE_RKT;
    parts[n++].u.rkt = handle;
    parts[n].vtype = RD_KAFKA_VTYPE_PARTITION;
    parts[n++].u.i32 = partition;
    parts[n].vtype = RD_KAFKA_VTYPE_KEY;
    parts[n].u.mem.ptr = (void *)(uintptr_t)key.data;
    parts[n++].u.mem.size = key.data ? key.len : 0;
    parts[n].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[n].u.mem.ptr = (void *)(uintptr_t)value.data;
    parts[n++].u.mem.size = value.data ? value.len : 0;
    parts[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[n++].u.i = RD_KAFKA_MSG_F_COPY;
    rd_kafka_headers_t *list = header_count ? headers_of(headers, header_count) : NULL;
    if (list) {
        parts[n].vtype = RD_KAFKA_VTYPE_HEADERS;
        parts[n++].u.headers = list;
    }
    rd_kafka_error_t *refused = rd_kafka_produceva(p->client.rk, parts, n);
    if (!refused) {
        *sent = KAFKA_SENT;
        return true;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(refused);
    rd_kafka_error_destroy(refused);
    if (list) rd_kafka_headers_destroy(list);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        *sent = KAFKA_FULL;
        return true;
    }
    return fail_produce(p, code, topic, key.len + value.len, err);
}

bool kafka_poll(struct kafka_producer *p, int64_t timeout_us, struct error *err)
{
    rd_kafka_poll(p->client.rk, kafka_ms(timeout_us));
    return check(p, err);
}

bool kafka_flush(struct kafka_producer *p, int64_t timeout_us, struct error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_flush(p->client.rk, kafka_ms(timeout_us));
    if (!check_deliveries(p, err)) return false;
    if (!code) return true;
    if (!check(p, err)) return false;
    const char *trouble = kafka_producer_trouble(p);
    return error_set(err, ERROR_RETRY, "Kafka: %zu messages are not acknowledged yet%s%s",
                     kafka_in_flight(p), trouble ? "; " : "", trouble ? trouble : "");
}

/* --- transactions --- */

static bool fail_transaction(struct kafka_producer *p, rd_kafka_error_t *e, const char *what,
                             struct error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(e);
    char reason[300] = "";
    if (rd_kafka_error_is_fatal(e)) {
        rd_kafka_resp_err_t cause = rd_kafka_fatal_error(p->client.rk, reason, sizeof reason);
        if (cause) code = cause;
        p->state = DEAD;
    } else if (rd_kafka_error_txn_requires_abort(e)) {
        p->state = ABORTABLE;
    } else {
        p->state = PENDING;
    }
    kafka_fail(&p->client, err, code, reason[0] ? reason : rd_kafka_error_string(e), "%s", what);
    note_death(p, err);
    /* Not the transaction's own fault, but of what was to be written in it. */
    if (p->state == ABORTABLE && p->failed) *err = p->failure;
    rd_kafka_error_destroy(e);
    return false;
}

typedef rd_kafka_error_t *step(rd_kafka_t *rk, int timeout_ms);

/* One step, again while librdkafka calls its error retriable and there is time. */
static bool run(struct kafka_producer *p, step *call, const char *what, int64_t timeout_us,
                struct error *err)
{
    int64_t end = clock_mono_us() + timeout_us;
    for (;;) {
        int64_t left = end - clock_mono_us();
        rd_kafka_error_t *e = call(p->client.rk, kafka_ms(left > 1000 ? left : 1000));
        if (!e) {
            p->state = WELL;
            return true;
        }
        if (!rd_kafka_error_is_retriable(e) || clock_mono_us() >= end)
            return fail_transaction(p, e, what, err);
        rd_kafka_error_destroy(e);
        rd_kafka_poll(p->client.rk, 50);
    }
}

bool kafka_producer_init(struct kafka_producer *p, int64_t timeout_us, struct error *err)
{
    if (!p->initialised) p->initialised = run(p, rd_kafka_init_transactions, "preparing transactions", timeout_us, err);
    return p->initialised;
}

bool kafka_begin(struct kafka_producer *p, struct error *err)
{
    if (!check(p, err)) return false;
    rd_kafka_error_t *e = rd_kafka_begin_transaction(p->client.rk);
    return !e || fail_transaction(p, e, "beginning a transaction", err);
}

bool kafka_commit(struct kafka_producer *p, int64_t timeout_us, struct error *err)
{
    if (!check_deliveries(p, err)) return false;
    return run(p, rd_kafka_commit_transaction, "committing a transaction", timeout_us, err);
}

bool kafka_abort(struct kafka_producer *p, int64_t timeout_us, struct error *err)
{
    if (!run(p, rd_kafka_abort_transaction, "aborting a transaction", timeout_us, err)) return false;
    p->failed = false;
    return true;
}
