/* The stage: connection, batches, backpressure. What a record becomes: message.c. */
#include "base/clock.h"
#include "base/log.h"
#include "stages/stream/consumer_int.h"

enum { WAIT_US = 100000, TAKE = 2000, BATCH_BYTES = 4 << 20, LOOK_US = 200000, QUIET_US = 1000000, ENDS_US = 10000000 };

static void consumer_close(void *self);

static bool start_at(void *arg, const char *topic, int32_t partition, int64_t *next)
{
    struct consumer *c = arg;
    struct error err;
    struct part *part = consumer_part(c, topic, partition);
    if (!consumer_refresh(c, part, &err)) {
        log_error("consumer", "the position of a partition cannot be read", &err);
        return false;
    }
    *next = part->next;
    log_info("consumer", "reading", "topic=%s partition=%d from=%lld", topic, (int)partition, (long long)part->next);
    return true;
}

/* All data topics of the connector: <prefix>.<schema>.<table>. A longer prefix matches too; message.c tells. */
static char *topics_of(const struct config *config)
{
    if (*config->topics) return mem_text(config->topics);
    struct buf pattern = {0};
    buf_put_char(&pattern, '^');
    for (const char *p = config->topic_prefix; *p; p++) {
        if (strchr(".[]()*+?{}|^$\\", *p)) buf_put_char(&pattern, '\\');
        buf_put_char(&pattern, *p);
    }
    buf_put_text(&pattern, "\\.[^.]+\\..+");
    return buf_take(&pattern);
}

static bool consumer_open(struct flow *flow, void **self, struct error *err)
{
    struct consumer *c = mem_alloc(sizeof *c);
    c->flow = flow;
    c->config = flow->config;
    c->status = &flow->status[STAGE_CONSUMER];
    c->topics = topics_of(c->config);
    c->batch = change_batch_new();
    const struct kafka_consumer_hooks hooks = {.start = start_at, .arg = c};
    stage_state(c->status, "connecting to Kafka at %.40s", c->config->bootstrap_servers);
    if (!debezium_options_read(c->config, &c->options, err) || !consumer_remember(c, err) ||
        !kafka_admin_open(&c->admin, c->config, err) || !kafka_list(c->admin, c->topics, ENDS_US, &c->first_ends, err) ||
        !kafka_consumer_open(&c->kafka, c->config, *c->config->group_id ? c->config->group_id : NULL, c->topics, &hooks, err)) {
        consumer_close(c);
        return error_wrap(err, "consumer");
    }
    c->decoder = debezium_decoder_new(&c->options);
    c->last_message_us = clock_mono_us();
    *self = c;
    return true;
}

static void consumer_close(void *self)
{
    struct consumer *c = self;
    kafka_consumer_close(c->kafka);
    kafka_admin_close(c->admin);
    debezium_decoder_free(c->decoder);
    if (c->bronze) delta_close(c->bronze);
    pg_close(c->source);
    change_batch_free(c->batch);
    mem_free(c->topics);
    kafka_partitions_free(&c->cut_ends);
    kafka_partitions_free(&c->first_ends);
    mem_free(c);
}

static bool full(const struct consumer *c)
{
    return c->batch->size_bytes >= BATCH_BYTES;
}

static bool each_message(void *arg, const struct kafka_message *m)
{
    struct consumer *c = arg;
    return !c->paused && !full(c) && consumer_message(c, m, &c->failure);
}

/* Hands the batch on; while bronze has no room nothing more is read, but the group still hears from us. */
static bool hand_on(struct consumer *c, struct error *err)
{
    if (c->batch->offset_count == 0 && c->batch->count == 0) return true;
    c->batch->transactions = c->batch->count > 0;
    c->batch->end_lsn = consumer_memory.arrival;
    size_t rows = c->batch->count;
    int64_t commit_us = c->batch->commit_us;
    if (!queue_push(&c->flow->changes, c->batch, c->batch->size_bytes + 256, WAIT_US)) {
        size_t none;
        if (!c->paused) kafka_pause(c->kafka, true);
        c->paused = true;
        return kafka_consume(c->kafka, 1, 0, each_message, c, &none, err);
    }
    c->batch = change_batch_new();
    atomic_fetch_add(&c->status->rows, (int64_t)rows);
    atomic_fetch_add(&c->status->batches, 1);
    atomic_store(&c->status->last_commit_us, clock_wall_us());
    if (commit_us) atomic_store(&c->status->lag_us, clock_wall_us() - commit_us);
    atomic_store(&c->flow->received_lsn, consumer_memory.arrival);
    wake_signal(&c->flow->bronze_wake);
    if (c->paused) kafka_pause(c->kafka, false);
    c->paused = false;
    return true;
}

static bool take_gaps(struct consumer *c, struct error *err)
{
    struct kafka_gap gap;
    while (kafka_next_gap(c->kafka, &gap))
        if (!consumer_gap(c, &gap, err)) return false;
    return true;
}

/* Gold may start once there is no copy to wait for: when the one that began is complete in all its tables, or when
 * the ends that the topics had at the start were reached without any. */
static void note_state(struct consumer *c)
{
    int64_t now_us = clock_mono_us();
    const char *trouble = kafka_consumer_trouble(c->kafka);
    if (now_us - c->last_look_us < LOOK_US) return;
    c->last_look_us = now_us;
    bool quiet = now_us - c->last_message_us > QUIET_US;
    if (quiet) atomic_store(&c->status->lag_us, 0);
    if (trouble) stage_state(c->status, "%.60s", trouble);
    else stage_state(c->status, consumer_copying() ? "reading a copy" : "reading");
    if (atomic_load(&c->flow->copy_complete) || consumer_copying() || consumer_memory.arrival == 0) return;
    if (consumer_memory.begun_lsn > consumer_memory.last_lsn) return;
    if (consumer_reached(c, &c->first_ends)) atomic_store(&c->flow->copy_complete, true);
}

static bool step(struct consumer *c, enum progress *out, struct error *err)
{
    size_t count = 0;
    if (full(c) || c->paused) {
        *out = PROGRESS_SOME;
        return hand_on(c, err);
    }
    c->failure = (struct error){0};
    if (!take_gaps(c, err)) return false;
    if (!kafka_consume(c->kafka, TAKE, WAIT_US, each_message, c, &count, err)) return false;
    if (c->failure.kind != ERROR_NONE) {
        *err = c->failure;
        return false;
    }
    if (!take_gaps(c, err) || !consumer_complete_copies(c, err)) return false;
    if (count) c->last_message_us = clock_mono_us();
    *out = count ? PROGRESS_SOME : PROGRESS_IDLE;
    note_state(c);
    return hand_on(c, err) && (c->paused || consumer_cut(c, err));
}

static bool consumer_step(void *self, enum progress *out, struct error *err)
{
    *out = PROGRESS_IDLE;
    return step(self, out, err) || error_wrap(err, "consumer");
}

const struct stage_ops consumer_ops = {"consumer", consumer_open, consumer_step, consumer_close};
