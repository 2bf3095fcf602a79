/* The SQL engine: ClickHouse in this process (libchdb), loaded by dlopen when first needed. This is
 * the only module that knows libchdb. One engine and one storage path per process; many connections,
 * each used by one thread at a time and running one statement at a time.
 *
 * Every connection starts with the settings that the models need (connection_settings in engine.c); those of
 * engine_connect come on top. The process's working directory becomes
 * `home`, so that file('lake/...') and deltaLakeLocal find the tables. */
#ifndef MILLRACE_ENGINE_ENGINE_H
#define MILLRACE_ENGINE_ENGINE_H

#include "base/buf.h"
#include "base/error.h"

struct engine_conn;

struct engine_param { /* bound to {name:Type} in the text */
    const char *name;
    struct slice value; /* NULL data: SQL NULL */
    bool raw;           /* the value is in the engine's own text form (arrays, what a client escaped);
                           false: a plain text, number or time, bound as it is */
};

struct engine_result {
    struct slice data;
    uint64_t rows_read, bytes_read; /* from storage */
    uint64_t rows_written, result_rows;
    void *handle;
};

/* library may be empty: MILLRACE_LIBCHDB, beside the program, ./node_modules and the system's paths
 * are tried. storage is the folder of the embedded warehouse. DATA when the engine does not start on what is in
 * it: then it may be opened again. */
bool engine_open(const char *library, const char *home, const char *storage, int64_t memory_bytes_max,
                 struct error *err) MUST_CHECK;
/* Closes what is left and joins all engine threads; no engine_open afterwards in this process. */
void engine_close(void);
/* Gives back memory that nobody uses at the moment; some milliseconds. */
void engine_trim(void);

/* settings: NULL-terminated "name=value" texts, or NULL. */
bool engine_connect(struct engine_conn **out, const char *const *settings, struct error *err) MUST_CHECK;
void engine_disconnect(struct engine_conn *conn);

/* The ClickHouse code in an error's text; 0 when there is none. */
int engine_error_code(const struct error *err);

/* Runs one statement; format NULL is TSV. The error's text holds the engine's message with its code
 * ("Code: 60. ..."), kind RETRY for memory limits and the like, DATA for faulty data, else CONFIG. */
bool engine_query(struct engine_conn *conn, const char *sql, const char *format,
                  const struct engine_param *params, size_t param_count, struct engine_result *out,
                  struct error *err) MUST_CHECK;
void engine_result_free(struct engine_result *r);
/* The same without parameters and result. */
bool engine_run(struct engine_conn *conn, const char *sql, struct error *err) MUST_CHECK;
/* One number (the first field of the first row); 0 when there is no row. */
bool engine_number(struct engine_conn *conn, const char *sql, int64_t *out,
                   struct error *err) MUST_CHECK;

/* INSERT without FORMAT clause, data in `format`; rows_written may be NULL. */
bool engine_insert(struct engine_conn *conn, const char *sql, const char *format, struct slice data,
                   uint64_t *rows_written, struct error *err) MUST_CHECK;

/* The same in pieces: after begin, append any number of times, then end. If begin fails nothing is
 * open; end always closes, with cancel == true without committing. */
struct engine_insert_stream;
bool engine_insert_begin(struct engine_conn *conn, const char *sql, const char *format,
                         struct engine_insert_stream **out, struct error *err) MUST_CHECK;
bool engine_insert_append(struct engine_insert_stream *s, struct slice data, struct error *err) MUST_CHECK;
bool engine_insert_end(struct engine_insert_stream *s, bool cancel, uint64_t *rows_written,
                       struct error *err) MUST_CHECK;

/* Result in chunks; the chunk is valid until the next call; *done at the end. Formats without header
 * and footer only (RowBinary, TSV, CSV, JSONEachRow, Native). Always close. */
struct engine_stream;
bool engine_stream_open(struct engine_conn *conn, const char *sql, const char *format,
                        const struct engine_param *params, size_t param_count,
                        struct engine_stream **out, struct error *err) MUST_CHECK;
bool engine_stream_next(struct engine_stream *s, struct slice *chunk, bool *done,
                        struct error *err) MUST_CHECK;
void engine_stream_close(struct engine_stream *s);

enum engine_class { ENGINE_READ, ENGINE_WRITE, ENGINE_WRITE_GLOBAL, ENGINE_CONTROL, ENGINE_UNKNOWN };
/* What a text would do, without running it; *statements is how many it holds. */
bool engine_classify(struct engine_conn *conn, struct slice sql, enum engine_class *out,
                     uint32_t *statements, bool *has_secrets, struct error *err) MUST_CHECK;

#endif
