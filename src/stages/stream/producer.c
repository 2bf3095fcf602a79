/* The stage: batches, transactions, time-outs. What a record is: records.c. */
#include "stages/stream/producer.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "stages/stream/producer_int.h"

#include <openssl/rand.h>
#include <stdio.h>

enum { TOGETHER_BYTES = 1 << 20 };
enum { WAIT_US = 100000, INIT_US = 10000000, COMMIT_US = 60000000, ABORT_US = 30000000, CLOSE_US = 2000000 };

static struct metric records_total = METRIC_COUNTER("millrace_kafka_produced_total", "Records acknowledged by Kafka");
static struct metric commits_total =
    METRIC_COUNTER("millrace_kafka_commits_total", "Batches acknowledged by Kafka, with transactions committed");
static struct histogram send_time = HISTOGRAM("millrace_kafka_send_seconds", "Time to send and commit one batch");

static void producer_close(void *self);

/* RFC 9562 version 4: tells the runs of a producer apart, as Debezium's header does. */
static void make_run_id(char *out, size_t size)
{
    unsigned char b[16];
    if (RAND_bytes(b, sizeof b) != 1) memset(b, 0, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static bool shut_out(const struct producer *p, struct kafka_producer *kafka, struct error *err)
{
    if (kafka_producer_init(kafka, INIT_US, err)) return true;
    if (err->kind != ERROR_RETRY || !kafka_poll(kafka, 0, err)) return false; /* a refused password, perhaps */
    const char *trouble = kafka_producer_trouble(kafka);
    if (trouble) return error_set(err, ERROR_RETRY, "%s", trouble);
    return error_set(err, ERROR_RETRY,
                     "Kafka at %s does not answer; check that the brokers run and that `bootstrap_servers` names them",
                     p->config->bootstrap_servers);
}

/* Two captures of one name would write over each other: the older one is shut out, by the very clients that write from
 * now on, before the position is read. */
static bool open_kafka(struct producer *p, struct error *err)
{
    bool ok = true;
    for (int i = 0; ok && (i == 0 || (p->transactional && i < STREAM_PRODUCERS)); i++) {
        char *id = stream_transactional_id(p->config, i);
        p->transactional = id != NULL;
        ok = kafka_producer_open(&p->turns[i], p->config, id, err) && (!id || shut_out(p, p->turns[i], err));
        mem_free(id);
    }
    bool found;
    p->kafka = p->turns[0];
    return ok && kafka_admin_open(&p->admin, p->config, err) &&
           stream_position_look(p->admin, p->config, &found, &p->position, err);
}

static bool producer_open(struct flow *flow, void **self, struct error *err)
{
    struct producer *p = mem_alloc(sizeof *p);
    p->flow = flow;
    p->config = flow->config;
    p->status = &flow->status[STAGE_PRODUCER];
    p->position_topic = stream_position_topic(p->config);
    p->position_key = stream_position_key(p->config);
    p->transaction_topic = mem_format("%s.transaction", p->config->topic_prefix);
    p->message_topic = mem_format("%s.message", p->config->topic_prefix);
    p->heartbeat_topic = mem_format("%s.%s", p->config->topic_heartbeat_prefix, p->config->topic_prefix);
    make_run_id(p->run_id, sizeof p->run_id);
    if (!debezium_options_read(p->config, &p->options, err) || !open_kafka(p, err)) {
        producer_close(p);
        return error_wrap(err, "producer");
    }
    stage_state(p->status, "ready");
    *self = p;
    return true;
}

static void producer_close(void *self)
{
    struct producer *p = self;
    if (p->in_transaction) {
        struct error ignored;
        if (!kafka_abort(p->kafka, CLOSE_US, &ignored)) log_debug("producer", "open transaction left", "%s", ignored.text);
    }
    for (int i = 0; i < STREAM_PRODUCERS; i++) kafka_producer_close(p->turns[i], CLOSE_US);
    kafka_admin_close(p->admin);
    change_batch_free(p->batch);
    undo_forget(p);
    mem_free(p->undo.items);
    map_free(&p->topics, topic_free);
    stream_position_free(&p->position);
    mem_free(p->open.order);
    buf_free(&p->key);
    buf_free(&p->value);
    buf_free(&p->boundary_key);
    buf_free(&p->boundary);
    mem_free(p->position_topic);
    mem_free(p->position_key);
    mem_free(p->transaction_topic);
    mem_free(p->message_topic);
    mem_free(p->heartbeat_topic);
    mem_free(p->database);
    mem_free(p);
}

static bool get_ready(struct producer *p, struct error *err)
{
    if (p->ready) return true;
    stage_state(p->status, "connecting to Kafka at %.40s", p->config->bootstrap_servers);
    const struct kafka_topic_settings settings = {.partitions = 1,
                                                  .replication = (int)p->config->topic_creation_default_replication_factor,
                                                  .cleanup_policy = "compact",
                                                  .retention_ms = -1};
    if (!kafka_ensure_topic(p->admin, p->position_topic, &settings, INIT_US, err)) return false;
    p->ready = true;
    stage_state(p->status, "streaming");
    return true;
}

static bool begin(struct producer *p, struct error *err)
{
    if (!p->transactional || p->in_transaction) return true;
    if (!kafka_begin(p->kafka, err)) return false;
    p->in_transaction = true;
    return true;
}

/* The outcome of a commit that ran out of time is not known: it is asked for again until it is. Only then does the
 * next producer begin: what it writes comes after in every partition, and is seen after. */
static bool commit(struct producer *p, struct error *err)
{
    p->committing = true;
    if (!kafka_commit(p->kafka, COMMIT_US, err)) {
        if (kafka_abortable(p->kafka)) p->committing = false;
        return false;
    }
    p->committing = p->in_transaction = false;
    p->turn = (p->turn + 1) % STREAM_PRODUCERS;
    p->kafka = p->turns[p->turn];
    return true;
}

/* With transactions the position goes with the records; without them after their acknowledgement. */
static bool finish(struct producer *p, struct error *err)
{
    if (p->transactional) {
        if (!send_position(p, err)) return false;
        failpoint("producer.sent");
        if (!commit(p, err)) return false;
    } else {
        if (!kafka_flush(p->kafka, COMMIT_US, err)) return false;
        failpoint("producer.sent");
        if (!send_position(p, err) || !kafka_flush(p->kafka, COMMIT_US, err)) return false;
    }
    failpoint("producer.committed");
    return true;
}

static bool send_batch(struct producer *p, struct change_batch *batch, struct error *err)
{
    if (!begin(p, err) || !records_of_batch(p, batch, err)) return false;
    p->halfway = batch->partial && p->transactional;
    if (p->halfway) return true;
    if (batch->partial) return kafka_flush(p->kafka, COMMIT_US, err); /* it is let go of */
    p->position.lsn = batch->end_lsn;
    if (batch->transactions) p->position.previous_lsn = batch->end_lsn;
    return finish(p, err);
}

static void acknowledged(struct producer *p, int64_t start_us)
{
    struct change_batch *batch = p->batch;
    int64_t took_us = clock_mono_us() - start_us;
    if (!batch->partial) {
        atomic_store(&p->flow->durable_lsn, batch->end_lsn);
        wake_signal(&p->flow->capture_wake);
    }
    histogram_record(&send_time, took_us);
    metric_add(&records_total, p->records);
    metric_add(&commits_total, 1);
    atomic_fetch_add(&p->status->rows, p->records);
    atomic_fetch_add(&p->status->batches, 1);
    atomic_fetch_add(&p->status->busy_us, took_us);
    atomic_store(&p->status->last_commit_us, clock_wall_us());
    if (batch->commit_us) atomic_store(&p->status->lag_us, clock_wall_us() - batch->commit_us);
    log_debug("producer", "committed", "records=%lld lsn=%llu us=%lld", (long long)p->records,
              (unsigned long long)batch->end_lsn, (long long)took_us);
    p->records = 0;
    undo_forget(p);
    change_batch_free(batch);
    p->batch = NULL;
}

static bool abort_transaction(struct producer *p, struct error *err)
{
    p->aborting = true;
    if (!kafka_abort(p->kafka, ABORT_US, err)) return false;
    p->aborting = p->in_transaction = false;
    return true;
}

/* The batch stays and is sent again. Of a source transaction that came in several only the last part is still here:
 * the next start takes it anew from PostgreSQL. */
static bool failed(struct producer *p, struct error *err)
{
    struct error abort_error;
    if (p->committing) return error_wrap(err, "producer");
    bool halfway = p->transactional && (p->halfway || p->batch->continues);
    if (p->in_transaction && err->kind != ERROR_FATAL && !abort_transaction(p, &abort_error))
        log_error("producer", "abort", &abort_error);
    undo_all(p);
    topics_forget(p);
    p->records = 0;
    if (halfway && err->kind != ERROR_FATAL) {
        err->kind = ERROR_FATAL;
        error_wrap(err, "a transaction larger than flush_bytes was cut off on its way to Kafka; nothing is lost, start again");
    }
    return error_wrap(err, "producer");
}

static bool heartbeat(struct producer *p, struct error *err)
{
    int64_t now_us = clock_mono_us(), every_us = p->config->heartbeat_interval_ms * 1000;
    if (every_us == 0 || now_us - p->last_heartbeat_us < every_us || p->halfway || p->position.lsn == 0) return true;
    p->last_heartbeat_us = now_us;
    if (!begin(p, err) || !send_heartbeat(p, err)) return false;
    return p->transactional ? commit(p, err) : kafka_flush(p->kafka, COMMIT_US, err);
}

/* What an earlier step left open. */
static bool resolve(struct producer *p, struct error *err)
{
    if (p->aborting && !abort_transaction(p, err)) return false;
    if (!p->committing) return true;
    if (!commit(p, err)) return p->batch ? failed(p, err) : error_wrap(err, "producer");
    if (p->batch) acknowledged(p, clock_mono_us());
    return true;
}

static void note_trouble(struct producer *p)
{
    const char *trouble = kafka_producer_trouble(p->kafka);
    if (trouble) stage_state(p->status, "%.60s", trouble);
    else stage_state(p->status, p->position.copies.complete ? "streaming" : "copying");
}

static bool whole(const struct change_batch *batch)
{
    return batch && batch->transactions && !batch->partial && !batch->continues;
}

/* The transactions that wait, up to a size that is worth a commit: the next one carries them together. */
static struct change_batch *take_batch(struct producer *p)
{
    struct queue *events = &p->flow->events;
    struct change_batch *batch = queue_pop(events, WAIT_US);
    while (whole(batch) && batch->size_bytes < TOGETHER_BYTES && whole(queue_peek(events))) {
        struct change_batch *more = queue_pop(events, 0);
        change_batch_append(batch, more);
        change_batch_free(more);
    }
    return batch;
}

static bool producer_step(void *self, enum progress *out, struct error *err)
{
    struct producer *p = self;
    *out = PROGRESS_IDLE;
    if (!get_ready(p, err)) return error_wrap(err, "producer");
    if (!resolve(p, err)) return false;
    note_trouble(p);
    if (!p->batch) p->batch = take_batch(p);
    if (!p->batch) {
        p->records = 0;
        for (int i = 0; i < STREAM_PRODUCERS; i++)
            if (p->turns[i] && !kafka_poll(p->turns[i], 0, err)) return error_wrap(err, "producer");
        return heartbeat(p, err) || error_wrap(err, "producer");
    }
    *out = PROGRESS_SOME;
    int64_t start_us = clock_mono_us();
    undo_begin(p);
    if (!send_batch(p, p->batch, err)) return failed(p, err);
    acknowledged(p, start_us);
    return true;
}

const struct stage_ops producer_ops = {"producer", producer_open, producer_step, producer_close};
