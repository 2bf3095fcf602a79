/* The replication stream: frames in, statuses out.
 *
 * What is confirmed (invariant 1): flow->durable_lsn, never more than was received. It is told when it
 * moves, when the server asks, and at least every status_ms, also while the queue is full.
 *
 * Idle: a keepalive says how far the server has decoded. When nothing is in flight that position is
 * handed to bronze as a heartbeat, at most every idle_commit_ms, at once when the server asks for a
 * reply (a fast shutdown waits for it) or when somebody waits for it (flow->wanted_lsn). Only once
 * bronze has it is it confirmed: the slot never stands past the lake. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "stages/capture/capture_int.h"

enum {
    READ_US = 50000, /* at most this long before timers are looked at */
    IDLE_WAIT_US = 100000,
    PENDING_WAIT_US = 2000, /* a batch is ready, the queue is not empty */
    ASK_US = 20000,
    FINISH_US = 3000000,
};

static struct metric received_bytes =
    METRIC_COUNTER("millrace_capture_bytes_total", "Bytes received from PostgreSQL");
static struct metric captured_rows =
    METRIC_COUNTER("millrace_capture_transactions_total", "Transactions received from PostgreSQL");
static struct metric behind_bytes =
    METRIC_GAUGE("millrace_capture_unconfirmed_bytes", "WAL received but not yet confirmed to PostgreSQL");

bool stream_start(struct capture *c, struct error *err)
{
    uint64_t from = capture_memory.handed_lsn;
    if (!preflight_slot(c->pg, c->config->slot, from, err)) return false;
    struct buf sql = {0}, name = {0};
    buf_put_text(&sql, "START_REPLICATION SLOT ");
    pg_put_name(&sql, slice_of(c->config->slot));
    buf_printf(&sql, " LOGICAL " LSN_FORMAT " (proto_version '1', publication_names ", LSN_ARGS(from));
    pg_put_name(&name, slice_of(c->config->publication));
    pg_put_text(&sql, buf_slice(&name));
    if (events_options() && pg_server_version(c->pg) >= 140000) buf_put_text(&sql, ", messages 'true'");
    buf_put_char(&sql, ')');
    bool ok = pg_copy_begin(c->replication, buf_text(&sql), err);
    buf_free(&sql);
    buf_free(&name);
    if (!ok) return error_wrap(err, "starting replication from slot %s", c->config->slot);
    c->received_lsn = c->idle_lsn = c->confirmed_lsn = from;
    c->previous_lsn = capture_memory.previous_lsn;
    if (!c->flow->kafka) atomic_store(&c->flow->received_lsn, from);
    c->last_status_us = c->last_heartbeat_us = clock_mono_us();
    log_info("capture", "streaming", "slot=%s from=" LSN_FORMAT, c->config->slot, LSN_ARGS(from));
    stage_state(c->status, "streaming");
    return true;
}

static void raise(_Atomic uint64_t *to, uint64_t lsn)
{
    if (lsn > atomic_load(to)) atomic_store(to, lsn);
}

static bool send_status(struct capture *c, bool ask, struct error *err)
{
    uint64_t durable = atomic_load(&c->flow->durable_lsn);
    if (durable > c->received_lsn) durable = c->received_lsn;
    if (durable > c->confirmed_lsn) {
        failpoint("capture.confirm");
        c->confirmed_lsn = durable;
    }
    metric_set(&behind_bytes, (int64_t)(c->received_lsn - c->confirmed_lsn));
    char bytes[64];
    struct buf frame = {.data = bytes, .cap = sizeof bytes, .max = sizeof bytes};
    pgoutput_status_encode(&frame, c->received_lsn, c->confirmed_lsn, clock_wall_us(), ask);
    c->last_status_us = clock_mono_us();
    c->reply_wanted = false;
    return pg_copy_send(c->replication, buf_slice(&frame), err);
}

static void put_heartbeat(struct capture *c)
{
    struct change_batch *b = capture_batch_new();
    b->heartbeat = true;
    b->end_lsn = b->first_lsn = b->last_lsn = c->idle_lsn;
    outbox_put(&c->outbox, b);
    c->last_heartbeat_us = clock_mono_us();
}

static void consider_heartbeat(struct capture *c, bool asked)
{
    uint64_t handed = capture_memory.handed_lsn, wanted = atomic_load(&c->flow->wanted_lsn);
    if (!capture_between(c) || c->idle_lsn <= handed) return;
    bool awaited = wanted > handed && wanted <= c->idle_lsn;
    bool due = clock_mono_us() - c->last_heartbeat_us >= c->config->idle_commit_ms * 1000;
    if (asked || awaited || due) put_heartbeat(c);
}

static bool on_frame(struct capture *c, struct slice bytes, struct error *err)
{
    struct pgoutput_frame f;
    if (!pgoutput_frame_decode(bytes, &f, err)) return false;
    metric_add(&received_bytes, (int64_t)bytes.len);
    raise(&c->flow->server_lsn, f.end);
    if (f.type == 'w') {
        bool open = c->in_transaction;
        c->event_lsn = f.start;
        if (!stream_message(c, f.message, err)) return error_wrap(err, "at " LSN_FORMAT, LSN_ARGS(f.start));
        if (f.start > c->received_lsn) c->received_lsn = f.start;
        if (open && !c->in_transaction) {
            metric_add(&captured_rows, 1);
            if (c->message.end_lsn > c->received_lsn) c->received_lsn = c->message.end_lsn;
            atomic_store(&c->status->lag_us, clock_wall_us() - c->commit_us);
        }
        return true;
    }
    if (f.end > c->received_lsn) c->received_lsn = f.end;
    if (!c->in_transaction && f.end > c->idle_lsn) c->idle_lsn = f.end;
    c->reply_wanted |= f.reply;
    consider_heartbeat(c, f.reply);
    return true;
}

/* The server ended the stream: it shuts down, or our sender was stopped. */
static bool ended(struct error *err)
{
    return error_set(err, ERROR_RETRY, "PostgreSQL ended the stream (it is shutting down)");
}

static bool publication_gone(const struct capture *c, struct error *err)
{
    return error_set(
        err, ERROR_CONFIG,
        "publication %s is gone: PostgreSQL sends no rows without it, and those written meanwhile are lost "
        "to the stream; run `millrace resync --slot`, which makes it anew and copies all tables again",
        c->config->publication);
}

static bool fail_stream(const struct capture *c, struct error *err)
{
    if (strstr(err->text, "42704") && strstr(err->text, "publication")) return publication_gone(c, err);
    return false;
}

/* Reads what is there, unless something waits for the queue. *some: at least one frame. */
static bool read_frames(struct capture *c, bool *some, struct error *err)
{
    int64_t until_us = clock_mono_us() + READ_US;
    c->capture_us = clock_wall_us();
    for (unsigned n = 0; !outbox_waiting(&c->outbox); n++) {
        struct slice piece;
        enum pg_copy what;
        if (!pg_copy_next(c->replication, &piece, &what, err)) return fail_stream(c, err);
        if (what == PG_COPY_END) return ended(err);
        if (what == PG_COPY_NOTHING) break;
        *some = true;
        if (!on_frame(c, piece, err)) return false;
        if (n % 64 == 63 && clock_mono_us() > until_us) break;
    }
    if (pg_publication_skipped(c->replication)) return publication_gone(c, err);
    return true;
}

/* Status when it is due: the position moved, the server asked, or the timer ran out. */
static bool tell(struct capture *c, struct error *err)
{
    int64_t now_us = clock_mono_us();
    uint64_t durable = atomic_load(&c->flow->durable_lsn);
    uint64_t wanted = atomic_load(&c->flow->wanted_lsn);
    bool timer = now_us - c->last_status_us >= c->config->status_ms * 1000;
    bool moved = durable > c->confirmed_lsn && c->received_lsn > c->confirmed_lsn;
    bool ask = wanted > c->idle_lsn && capture_between(c) && now_us - c->last_ask_us >= ASK_US;
    if (ask) c->last_ask_us = now_us;
    if (c->reply_wanted || moved || timer || ask)
        return send_status(c, ask || (timer && capture_between(c)), err);
    return true;
}

static void note_state(struct capture *c)
{
    uint64_t durable = atomic_load(&c->flow->durable_lsn);
    if (capture_memory.copy_complete && durable >= capture_memory.handed_lsn)
        atomic_store(&c->flow->copy_complete, true);
    if (capture_between(c) && c->idle_lsn >= atomic_load(&c->flow->server_lsn))
        atomic_store(&c->status->lag_us, 0);
}

bool stream_step(struct capture *c, enum progress *out, struct error *err)
{
    bool some = false;
    size_t queued_before = c->outbox.count - c->outbox.head;
    if (!outbox_push(&c->outbox, queued_before ? IDLE_WAIT_US : 0)) return tell(c, err);
    if (!read_frames(c, &some, err) || !resync_step(c, err)) return false;
    /* bronze takes one batch at a time, the producer all that wait */
    if (c->outbox.ready->count && (c->flow->kafka || queue_count(flow_out(c->flow)) == 0)) outbox_flush(&c->outbox);
    consider_heartbeat(c, false);
    if (outbox_push(&c->outbox, 0) && queued_before) some = true;
    if (!tell(c, err)) return false;
    note_state(c);
    *out = some || !capture_between(c) ? PROGRESS_SOME : PROGRESS_IDLE;
    if (!some) {
        bool hurry = c->outbox.ready->count || outbox_waiting(&c->outbox);
        bool asked = atomic_load(&c->flow->wanted_lsn) > capture_memory.handed_lsn;
        pg_wait(c->replication, c->flow->capture_wake.fd,
                hurry   ? PENDING_WAIT_US
                : asked ? ASK_US
                        : IDLE_WAIT_US);
        wake_wait(&c->flow->capture_wake, 0);
    }
    return true;
}

/* Says what is durable, then that we are done, and waits for the server to end, for a short time. */
void stream_stop(struct capture *c)
{
    struct error err;
    if (!send_status(c, false, &err) || !pg_copy_finish(c->replication, &err)) return;
    int64_t until_us = clock_mono_us() + FINISH_US;
    while (clock_mono_us() < until_us) {
        struct slice piece;
        enum pg_copy what;
        if (!pg_copy_next(c->replication, &piece, &what, &err) || what == PG_COPY_END) return;
        if (what == PG_COPY_NOTHING) pg_wait(c->replication, -1, until_us - clock_mono_us());
    }
}
