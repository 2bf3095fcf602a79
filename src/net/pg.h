/* PostgreSQL through libpq, behind a small struct. Every connection has the same fixed settings, because
 * the text of values follows them: TimeZone=UTC, DateStyle=ISO, IntervalStyle=postgres,
 * extra_float_digits=3, bytea_output=hex, lc_monetary=C, client_encoding=UTF8, no statement timeout.
 *
 * A connection belongs to one thread at a time. Waiting calls look at the stop flag about five times a
 * second; once it is set they cancel the statement and fail with RETRY "stopping".
 *
 * Errors: the SQLSTATE decides the kind (pg.c, table `states`); the text holds PostgreSQL's message and,
 * where it is known, what to do. Passwords never get into a text. */
#ifndef MILLRACE_NET_PG_H
#define MILLRACE_NET_PG_H

#include "base/buf.h"
#include "base/error.h"

#define LSN_FORMAT "%X/%X"
#define LSN_ARGS(lsn) (unsigned)((uint64_t)(lsn) >> 32), (unsigned)((uint64_t)(lsn)&0xFFFFFFFFu)
/* "16/B374D848"; false when it is not one. */
bool lsn_parse(const char *text, uint64_t *out);

struct pg;

enum pg_mode {
    PG_PLAIN,
    PG_REPLICATION, /* walsender: replication commands and simple queries, no parameters */
};

/* source: postgres:// address or key=value text. stop may be NULL. CONFIG when the address is malformed
 * or refused (password, role, database, pg_hba.conf), else RETRY. */
bool pg_connect(struct pg **out, const char *source, enum pg_mode mode, const _Atomic bool *stop,
                struct error *err) MUST_CHECK;
void pg_close(struct pg *pg);
/* One part of a source address under libpq's name for it: host, port, user, password, dbname. *out is from
 * mem_*, NULL when the address does not name it. CONFIG when the address is malformed. */
bool pg_source_part(const char *source, const char *part, char **out, struct error *err) MUST_CHECK;
int pg_server_version(const struct pg *pg); /* 150018 */
const char *pg_database(const struct pg *pg);
int pg_socket(const struct pg *pg);
/* True once the server has said (as a notice) that it skips a publication: PostgreSQL 18 goes on
 * without its rows instead of failing. */
bool pg_publication_skipped(const struct pg *pg);

/* Rows of one statement. Zero-initialised is valid; free after use. */
struct pg_rows {
    void *handle;
    int count;
};

void pg_rows_free(struct pg_rows *rows);
/* The value's text, NULL for NULL. Owned by rows. */
const char *pg_text(const struct pg_rows *rows, int row, int column);
struct slice pg_slice(const struct pg_rows *rows, int row, int column);
int64_t pg_int(const struct pg_rows *rows, int row, int column); /* 0 for NULL */
bool pg_bool(const struct pg_rows *rows, int row, int column);

/* Runs one statement; params are texts bound to $1.. (NULL is NULL). rows may be NULL. */
bool pg_query(struct pg *pg, struct pg_rows *rows, const char *sql, const char *const *params,
              int param_count, struct error *err) MUST_CHECK;
bool pg_run(struct pg *pg, const char *sql, struct error *err) MUST_CHECK;

/* A statement that may take long: send, then poll until *done. */
bool pg_send(struct pg *pg, const char *sql, struct error *err) MUST_CHECK;
bool pg_poll(struct pg *pg, int64_t timeout_us, bool *done, struct pg_rows *rows,
             struct error *err) MUST_CHECK;

/* COPY ... TO STDOUT and START_REPLICATION. */
bool pg_copy_begin(struct pg *pg, const char *sql, struct error *err) MUST_CHECK;
enum pg_copy { PG_COPY_DATA, PG_COPY_NOTHING, PG_COPY_END };
/* The next piece: a row of text with its newline, or a replication frame; valid until the next call.
 * NOTHING: none has arrived yet (never waits). END: the server is through, the connection is free. */
bool pg_copy_next(struct pg *pg, struct slice *piece, enum pg_copy *what, struct error *err) MUST_CHECK;
/* Replication only: sends one frame at once (waits for the socket when it is full). */
bool pg_copy_send(struct pg *pg, struct slice frame, struct error *err) MUST_CHECK;
/* Replication only: says that we are done; read on with pg_copy_next until END. */
bool pg_copy_finish(struct pg *pg, struct error *err) MUST_CHECK;

/* COPY ... FROM STDIN: begin, put any number of times, end (which waits for the server's verdict). */
bool pg_copy_in_begin(struct pg *pg, const char *sql, struct error *err) MUST_CHECK;
bool pg_copy_in_put(struct pg *pg, struct slice data, struct error *err) MUST_CHECK;
bool pg_copy_in_end(struct pg *pg, struct error *err) MUST_CHECK;

/* Waits until the connection or other_fd (-1: none) is readable, or timeout_us. */
void pg_wait(struct pg *pg, int other_fd, int64_t timeout_us);

/* Quoted for SQL: "Mixed" and 'it''s' (standard_conforming_strings). */
void pg_put_name(struct buf *sql, struct slice name);
void pg_put_text(struct buf *sql, struct slice text);
/* Splits "schema.table" at its first dot and appends "schema"."table". */
void pg_put_table(struct buf *sql, const char *table);

#endif
