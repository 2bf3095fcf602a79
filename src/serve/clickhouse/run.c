/* One statement, from the slot to the answer.
 *
 *   session -> slot (waits) -> database, settings -> guard -> run -> answer
 *
 * A result that fits HOLD_BYTES, or whose format or client wants it whole, is answered in one piece with
 * its true status. A longer one is sent as it comes: the slot stays taken until its end, and an error in
 * the middle is told by ClickHouse's exception frame and a cut connection. */
#include "serve/clickhouse/run.h"

#include "base/clock.h"
#include "serve/clickhouse/tokens.h"

#include <stdio.h>
#include <strings.h>
#include <sys/random.h>

enum { HOLD_BYTES = 1 << 20, BLOCK_BYTES = 128 << 10, TAG_LEN = 16 };

/* A long answer on its way; lives until MHD frees the response. */
struct flowing {
    struct service *service;
    struct running running;
    struct engine_stream *stream;
    struct codec *codec;
    struct buf ready; /* compressed, waiting to be sent from `sent` on */
    size_t sent;
    bool ended, failed;
    char tag[TAG_LEN + 1];
};

static int client_socket(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* --- settings of session and request --- */

static bool add_allowed(const struct guard *g, struct request *to, const char *name, const char *value,
                        struct error *err)
{
    char *own = mem_text(value);
    enum setting_verdict verdict = guard_setting(g, name, &own);
    if (verdict == SETTING_PASS) request_add_setting(to, name, own);
    mem_free(own);
    return verdict != SETTING_REFUSE ||
           error_set(err, ERROR_CONFIG,
                     "Code: 452. DB::Exception: Setting %.100s cannot be changed."
                     " (SETTING_CONSTRAINT_VIOLATION)",
                     name);
}

/* The session's settings, then the request's, each weighed; `to` holds nothing but them. */
static bool gather(const struct guard *g, const struct session *session, const struct request *r,
                   struct request *to, struct error *err)
{
    for (size_t i = 0; session && i < session->setting_count; i++)
        if (!add_allowed(g, to, session->settings[i].name, session->settings[i].value, err)) return false;
    for (size_t i = 0; i < r->setting_count; i++)
        if (!add_allowed(g, to, r->settings[i].name, r->settings[i].value, err)) return false;
    return true;
}

static bool prepare(struct service *s, const struct session *session, const struct request *r,
                    struct slot *slot, struct error *err)
{
    struct request all = {0};
    bool own = strcmp(r->database, "default") != 0;
    const char *database = !own && session && session->database ? session->database : r->database;
    bool ok = gather(&s->guard, session, r, &all, err) &&
              pool_prepare(&s->pool, slot, database, all.settings, all.setting_count, err);
    for (size_t i = 0; i < all.setting_count; i++) {
        mem_free(all.settings[i].name);
        mem_free(all.settings[i].value);
    }
    mem_free(all.settings);
    return ok;
}

/* --- statements about the session itself: SET, USE, KILL QUERY --- */

/* SET a = 1, b = 'x' : kept in the session (or only weighed, without one). */
static bool take_set(struct request *r, struct slice rest, struct session *session)
{
    struct token name, mark, value;
    do {
        if (!token_next(&rest, &name) || !token_next(&rest, &mark) || !token_is_mark(&mark, '='))
            return false;
        if (!token_next(&rest, &value) || value.kind == TOKEN_MARK) return false;
        char *n = mem_textn(name.text.data, name.text.len), *v = mem_textn(value.text.data, value.text.len);
        if (session)
            session_set(session, n, v);
        else
            request_add_setting(r, n, v);
        mem_free(n);
        mem_free(v);
    } while (token_next(&rest, &mark) && token_is_mark(&mark, ','));
    return true;
}

static bool take_use(struct request *r, struct slice rest, struct session *session)
{
    struct token t;
    if (!token_next(&rest, &t)) return false;
    if (token_is(&t, "DATABASE") && !token_next(&rest, &t)) return false;
    if (t.kind != TOKEN_NAME && t.kind != TOKEN_QUOTED) return false;
    char *name = mem_textn(t.text.data, t.text.len);
    struct buf *kept = NULL;
    if (session) {
        mem_free(session->database);
        session->database = name;
    } else {
        MEM_GROW(r->fields, r->field_count, r->field_cap);
        r->fields[r->field_count++] = (struct field){.name = mem_text("")};
        kept = &r->fields[r->field_count - 1].value;
        buf_put_text(kept, name);
        r->database = buf_text(kept);
        mem_free(name);
    }
    return true;
}

/* KILL QUERY WHERE query_id = '...' [SYNC|ASYNC]; other conditions are left to the guard's refusal. */
static char *killed_id(struct slice rest)
{
    static const char *const words[] = {"QUERY", "WHERE", "query_id"};
    struct token t;
    for (size_t i = 0; i < 3; i++)
        if (!token_next(&rest, &t) || !token_is(&t, words[i])) return NULL;
    if (!token_next(&rest, &t) || !token_is_mark(&t, '=')) return NULL;
    if (!token_next(&rest, &t) || t.kind != TOKEN_TEXT) return NULL;
    return mem_textn(t.text.data, t.text.len);
}

static enum MHD_Result answer_kill(struct service *s, struct answer *a, const char *id)
{
    struct buf line = {0};
    if (pool_kill(&s->pool, id)) buf_printf(&line, "waiting\t%.200s\tdefault\t\n", id);
    a->request->format = "TabSeparated";
    enum MHD_Result result = answer_send(a, buf_slice(&line));
    buf_free(&line);
    return result;
}

/* True when the statement was one of these; *sql is then empty of work. */
static bool about_session(struct request *r, struct session *session)
{
    struct slice rest = buf_slice(&r->sql);
    struct token first;
    if (!token_next(&rest, &first) || first.kind != TOKEN_NAME) return false;
    if (token_is(&first, "SET")) return take_set(r, rest, session);
    return token_is(&first, "USE") && take_use(r, rest, session);
}

/* --- long answers --- */

static void flowing_free(void *arg)
{
    struct flowing *f = arg;
    engine_stream_close(f->stream);
    if (f->running.query_id) pool_leave(&f->service->pool, &f->running);
    codec_free(f->codec);
    buf_free(&f->ready);
    mem_free(f);
}

/* Told in the body, because the status is long gone: the frame, its length, and the tag of the header. */
static void put_exception(struct flowing *f, const struct error *err)
{
    struct buf frame = {0};
    size_t len = strlen(err->text) + 1;
    buf_printf(&frame, "\r\n__exception__\r\n%s\r\n%s\n%zu %s\r\n__exception__\r\n", f->tag, err->text, len,
               f->tag);
    struct error ignored;
    if (!codec_put(f->codec, buf_slice(&frame), true, &f->ready, &ignored)) buf_clear(&f->ready);
    f->failed = true;
    buf_free(&frame);
}

static void refill(struct flowing *f)
{
    buf_clear(&f->ready);
    f->sent = 0;
    struct error err;
    struct slice chunk;
    bool done = false;
    bool ok = engine_stream_next(f->stream, &chunk, &done, &err) &&
              codec_put(f->codec, chunk, done, &f->ready, &err);
    if (!ok) put_exception(f, &err);
    f->ended = done || !ok;
}

static ssize_t give(void *arg, uint64_t position, char *out, size_t room)
{
    (void)position;
    struct flowing *f = arg;
    while (f->sent == f->ready.len && !f->ended)
        refill(f);
    size_t n = f->ready.len - f->sent;
    if (n == 0) return f->failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    if (n > room) n = room;
    memcpy(out, f->ready.data + f->sent, n);
    f->sent += n;
    return (ssize_t)n;
}

static void make_tag(char *tag)
{
    uint8_t random[TAG_LEN] = {0};
    if (getrandom(random, sizeof random, 0) < 0) memset(random, 7, sizeof random);
    for (size_t i = 0; i < TAG_LEN; i++)
        tag[i] = (char)('a' + random[i] % 26);
    tag[TAG_LEN] = '\0';
}

/* Takes over the running statement and the stream. */
static enum MHD_Result answer_flowing(struct answer *a, struct flowing *f)
{
    make_tag(f->tag);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, give, f, flowing_free);
    if (!response) {
        flowing_free(f);
        return MHD_NO;
    }
    answer_add_headers(a, response, true);
    MHD_add_response_header(response, "X-ClickHouse-Exception-Tag", f->tag);
    enum MHD_Result result = MHD_queue_response(a->request->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

/* Reads until the end or HOLD_BYTES; *done tells which. */
static bool hold(struct engine_stream *stream, struct buf *held, bool *done, struct error *err)
{
    *done = false;
    while (!*done && held->len < HOLD_BYTES) {
        struct slice chunk;
        if (!engine_stream_next(stream, &chunk, done, err)) return false;
        buf_put_slice(held, chunk);
    }
    return true;
}

static enum MHD_Result run_streaming(struct service *s, struct answer *a, struct running *running)
{
    struct request *r = a->request;
    struct error err;
    struct flowing *f = mem_alloc(sizeof *f);
    f->service = s;
    struct buf held = {0};
    bool done = false;
    bool ok = engine_stream_open(running->slot->conn, buf_text(&r->sql), r->wanted_format, r->params,
                                 r->param_count, &f->stream, &err) &&
              hold(f->stream, &held, &done, &err);
    enum MHD_Result result;
    if (ok && !done) {
        f->codec = codec_new(r->answer);
        ok = codec_put(f->codec, buf_slice(&held), false, &f->ready, &err);
    }
    if (ok && !done) {
        pool_move(&s->pool, running, &f->running);
        result = answer_flowing(a, f);
    } else {
        flowing_free(f); /* the stream is closed before another may have the slot */
        result = ok ? answer_send(a, buf_slice(&held)) : answer_error(a, &err);
    }
    buf_free(&held);
    return result;
}

static enum MHD_Result run_whole(struct answer *a, struct running *running)
{
    struct request *r = a->request;
    struct error err;
    struct engine_result result = {0};
    if (!engine_query(running->slot->conn, buf_text(&r->sql), r->wanted_format, r->params, r->param_count,
                      &result, &err))
        return answer_error(a, &err);
    a->read_rows = result.rows_read;
    a->read_bytes = result.bytes_read;
    a->result_rows = result.result_rows;
    enum MHD_Result sent = answer_send(a, result.data);
    engine_result_free(&result);
    return sent;
}

/* The engine streams nothing but SELECT. */
static bool selects(struct slice sql)
{
    struct token t;
    return token_next(&sql, &t) && (token_is(&t, "SELECT") || token_is(&t, "WITH") ||
                                    token_is(&t, "FROM") || token_is_mark(&t, '('));
}

static enum MHD_Result run_on_slot(struct service *s, struct answer *a, struct session *session,
                                   struct running *running)
{
    struct request *r = a->request;
    struct error err;
    bool session_only = about_session(r, session);
    bool ok = prepare(s, session, r, running->slot, &err);
    if (ok && session_only) return answer_send(a, (struct slice){NULL, 0});
    ok = ok && guard_check(&s->guard, running->slot->conn, buf_slice(&r->sql), running->slot->database,
                           r->params, r->param_count, &err);
    if (!ok) return answer_error(a, &err);
    bool whole = r->wait_end || !format_streams(r->format) || !selects(buf_slice(&r->sql));
    return whole ? run_whole(a, running) : run_streaming(s, a, running);
}

enum MHD_Result run_statement(struct service *s, struct request *r)
{
    struct answer a = answer_begin(r, s->flow, s->version, s->cors);
    struct error err;
    struct slice rest = buf_slice(&r->sql);
    struct token first;
    if (token_next(&rest, &first) && token_is(&first, "KILL")) {
        char *id = killed_id(rest);
        enum MHD_Result result = id ? answer_kill(s, &a, id) : MHD_NO;
        mem_free(id);
        if (result == MHD_YES) return result;
    }
    struct session *session;
    if (!session_enter(&s->sessions, r, &session, &err)) return answer_error(&a, &err);
    struct running running;
    enum MHD_Result result;
    if (pool_enter(&s->pool, &running, r->query_id, client_socket(r->connection), &err)) {
        result = run_on_slot(s, &a, session, &running);
        if (running.query_id) pool_leave(&s->pool, &running);
    } else {
        result = answer_error(&a, &err);
    }
    session_leave(&s->sessions, session, r->close_session);
    return result;
}
