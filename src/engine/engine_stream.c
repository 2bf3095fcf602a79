/* Inserts and results in pieces. A connection runs nothing else while one of its streams is open. */
#include "engine/engine_int.h"

struct engine_insert_stream {
    struct chdb_insert *handle;
};

struct engine_stream {
    struct engine_conn *conn;
    struct chdb_result *handle, *chunk;
    bool ahead; /* chunk is fetched and not yet given out */
    bool done, failed;
};

bool engine_insert_begin(struct engine_conn *conn, const char *sql, const char *format,
                         struct engine_insert_stream **out, struct error *err)
{
    struct chdb_insert *h = chdb.stream_insert_n(*conn->handle, sql, strlen(sql), format, strlen(format));
    if (!h) return error_set(err, ERROR_FATAL, "the SQL engine gave no answer");
    const char *message = chdb.stream_insert_error(h);
    if (message) {
        engine_failed(err, message, true);
        chdb.destroy_insert_stream(h);
        return false;
    }
    *out = mem_alloc(sizeof **out);
    (*out)->handle = h;
    return true;
}

bool engine_insert_append(struct engine_insert_stream *s, struct slice data, struct error *err)
{
    if (data.len == 0 || chdb.stream_append(s->handle, data.data, data.len) == CHDB_OK) return true;
    const char *message = chdb.stream_insert_error(s->handle);
    return engine_failed(err, message ? message : "the insert was ended by the engine", true);
}

/* Cancels what is not finished. */
static void release(struct engine_insert_stream *s)
{
    chdb.destroy_insert_stream(s->handle);
    mem_free(s);
}

static bool finish(struct engine_insert_stream *s, uint64_t *rows_written, struct error *err)
{
    struct chdb_result *r = chdb.stream_done(s->handle);
    if (!r) return error_set(err, ERROR_FATAL, "the SQL engine gave no answer");
    const char *message = chdb.result_error(r);
    if (message) engine_failed(err, message, true);
    else if (rows_written) *rows_written = chdb.result_rows_written(r);
    chdb.destroy_query_result(r);
    return !message;
}

bool engine_insert_end(struct engine_insert_stream *s, bool cancel, uint64_t *rows_written,
                       struct error *err)
{
    if (rows_written) *rows_written = 0;
    bool ok = cancel || finish(s, rows_written, err);
    if (cancel) chdb.stream_cancel_insert(s->handle);
    release(s);
    return ok;
}

bool engine_insert(struct engine_conn *conn, const char *sql, const char *format, struct slice data,
                   uint64_t *rows_written, struct error *err)
{
    struct engine_insert_stream *s;
    if (!engine_insert_begin(conn, sql, format, &s, err)) return false;
    bool ok = engine_insert_append(s, data, err) && finish(s, rows_written, err);
    release(s);
    return ok;
}

static void drop_chunk(struct engine_stream *s)
{
    if (s->chunk) chdb.destroy_query_result(s->chunk);
    s->chunk = NULL;
}

/* The next chunk, an empty one being the end. */
static bool fetch(struct engine_stream *s, struct error *err)
{
    drop_chunk(s);
    s->chunk = chdb.stream_fetch_result(*s->conn->handle, s->handle);
    const char *message = s->chunk ? chdb.result_error(s->chunk) : "the SQL engine gave no answer";
    if (message) {
        s->done = s->failed = true;
        return engine_failed(err, message, false);
    }
    s->done = chdb.result_length(s->chunk) == 0;
    return true;
}

bool engine_stream_open(struct engine_conn *conn, const char *sql, const char *format,
                        const struct engine_param *params, size_t param_count,
                        struct engine_stream **out, struct error *err)
{
    struct bound b;
    bound_init(&b, params, param_count);
    struct chdb_result *h =
        param_count == 0
            ? chdb.stream_query_n(*conn->handle, sql, strlen(sql), format, strlen(format))
            : chdb.stream_query_with_params_n(*conn->handle, sql, strlen(sql), format, strlen(format),
                                              b.names, b.name_lens, b.values, b.value_lens, b.count);
    bound_free(&b);
    if (!h) return error_set(err, ERROR_FATAL, "the SQL engine gave no answer");
    const char *message = chdb.result_error(h);
    if (message) {
        engine_failed(err, message, false);
        chdb.destroy_query_result(h);
        return false;
    }
    struct engine_stream *s = mem_alloc(sizeof *s);
    *s = (struct engine_stream){.conn = conn, .handle = h};
    /* libchdb reports most faults of a statement with the first chunk */
    if (!fetch(s, err)) {
        engine_stream_close(s);
        return false;
    }
    s->ahead = true;
    *out = s;
    return true;
}

bool engine_stream_next(struct engine_stream *s, struct slice *chunk, bool *done, struct error *err)
{
    *chunk = (struct slice){NULL, 0};
    if (!s->ahead && !s->done && !fetch(s, err)) return false;
    s->ahead = false;
    *done = s->done;
    if (!s->done) *chunk = (struct slice){chdb.result_buffer(s->chunk), chdb.result_length(s->chunk)};
    return true;
}

void engine_stream_close(struct engine_stream *s)
{
    if (!s) return;
    drop_chunk(s);
    if (!s->done) chdb.stream_cancel_query(*s->conn->handle, s->handle);
    chdb.destroy_query_result(s->handle);
    if (s->failed) engine_settle(s->conn);
    mem_free(s);
}
