#include "net/pg.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_US = 200000 };

struct pg {
    PGconn *conn;
    const _Atomic bool *stop;
    char *piece; /* the last one of pg_copy_next */
    bool publication_skipped;
};

static const char fixed_options[] =
    "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=3 -c "
    "bytea_output=hex "
    "-c lc_monetary=C -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 "
    "-c row_security=off";

/* What an SQLSTATE (or its class, two letters) means for us, and what to do about it. */
struct state {
    const char *code;
    enum error_kind kind;
    const char *advice;
};

static const struct state states[] = {
    {"08", ERROR_RETRY, NULL},
    {"57P", ERROR_RETRY, NULL}, /* shutdown, crash, cannot connect now */
    {"57014", ERROR_RETRY, NULL},
    {"55P03", ERROR_RETRY, NULL},
    {"55006", ERROR_RETRY, NULL},
    {"40", ERROR_RETRY, NULL},
    {"53300", ERROR_RETRY, "raise max_connections, or stop other clients"},
    {"53400", ERROR_CONFIG, "raise max_replication_slots or max_wal_senders and restart PostgreSQL"},
    {"53", ERROR_RETRY, NULL},
    {"58", ERROR_RETRY, NULL},
    {"28", ERROR_CONFIG, "check user and password in `source` and pg_hba.conf on the server"},
    {"3D", ERROR_CONFIG, "check the database in `source`"},
    {"42501", ERROR_CONFIG, "grant the role of `source` what the message names"},
    {"42", ERROR_CONFIG, NULL},
    {"22", ERROR_DATA, NULL},
    {"55000", ERROR_CONFIG, NULL},
    {"0A", ERROR_CONFIG, NULL},
};

#define LOGIN_ADVICE "check user and password in `source` and pg_hba.conf on the server"

/* Some refusals reach us only as text: libpq keeps no SQLSTATE of a failed connection. "%s" is the user. */
static const struct {
    const char *text, *advice;
} refusals[] = {
    {"authentication failed", LOGIN_ADVICE},
    {"pg_hba.conf", LOGIN_ADVICE},
    {"no password supplied", LOGIN_ADVICE},
    {"must be superuser or replication role", "a superuser must run: ALTER ROLE \"%s\" REPLICATION"},
    {"permission denied to start WAL sender", "a superuser must run: ALTER ROLE \"%s\" REPLICATION"},
    {"is not permitted to log in", "a superuser must run: ALTER ROLE \"%s\" LOGIN"},
    {"permission denied for database", "its owner must run: GRANT CONNECT ON DATABASE ... TO \"%s\""},
    {"does not exist", "check user and database in `source`"},
    {"invalid connection option", "check `source`"},
    {"invalid port number", "check the port in `source`"},
    {"certificate", "check sslmode and sslrootcert in `source`"},
    {"permission denied", ""},
};

bool lsn_parse(const char *text, uint64_t *out)
{
    unsigned high, low;
    int used = 0;
    if (!text || sscanf(text, "%8X/%8X%n", &high, &low, &used) != 2 || text[used]) return false;
    *out = (uint64_t)high << 32 | low;
    return true;
}

/* PostgreSQL's messages end with a newline, and may have several lines. */
static void put_message(char *to, size_t size, const char *message)
{
    snprintf(to, size, "%s", message ? message : "");
    size_t n = strlen(to);
    while (n && (to[n - 1] == '\n' || to[n - 1] == ' '))
        to[--n] = '\0';
    for (char *c = to; *c; c++)
        if (*c == '\n' || *c == '\t') *c = ' ';
}

static const struct state *state_find(const char *code)
{
    for (size_t i = 0; code && i < sizeof states / sizeof *states; i++)
        if (strncmp(code, states[i].code, strlen(states[i].code)) == 0) return &states[i];
    return NULL;
}

static bool fail_connection(const struct pg *pg, struct error *err)
{
    char text[600];
    put_message(text, sizeof text, pg->conn ? PQerrorMessage(pg->conn) : "out of memory");
    return error_set(err, ERROR_RETRY, "PostgreSQL: %s", text[0] ? text : "the connection was closed");
}

static bool fail_result(const struct pg *pg, const PGresult *r, struct error *err)
{
    const char *code = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (!code) return fail_connection(pg, err);
    char text[400], detail[300];
    put_message(text, sizeof text, PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
    put_message(detail, sizeof detail, PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL));
    const struct state *state = state_find(code);
    const char *advice = state && state->advice ? state->advice : "";
    return error_set(err, state ? state->kind : ERROR_CONFIG, "PostgreSQL %s: %s%s%s%s%s%s", code, text,
                     detail[0] ? " (" : "", detail, detail[0] ? ")" : "", advice[0] ? "; " : "", advice);
}

static void on_notice(void *arg, const PGresult *r)
{
    struct pg *pg = arg;
    char text[400];
    put_message(text, sizeof text, PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
    if (strstr(text, "skipped loading publication")) pg->publication_skipped = true;
    log_debug("postgres", "notice", "%s", text);
}

enum { OPTIONS_MAX = 96 };

/* The user's settings, then ours; of `options` both, ours last so that they hold. */
static PGconn *connect_with(const PQconninfoOption *given, enum pg_mode mode)
{
    const char *names[OPTIONS_MAX], *values[OPTIONS_MAX];
    size_t n = 0;
    const char *options = "", *application = NULL;
    for (; given->keyword; given++) {
        if (!given->val) continue;
        if (strcmp(given->keyword, "options") == 0)
            options = given->val;
        else if (strcmp(given->keyword, "application_name") == 0)
            application = given->val;
        else if (strcmp(given->keyword, "replication") != 0 && n < OPTIONS_MAX - 12) {
            names[n] = given->keyword;
            values[n++] = given->val;
        }
    }
    char *all_options = mem_format("%s%s%s", options, *options ? " " : "", fixed_options);
    const char *ours[][2] = {
        {"options", all_options},
        {"client_encoding", "UTF8"},
        {"application_name", application ? application : "millrace"},
        {"connect_timeout", "10"},
        {"keepalives", "1"},
        {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
        {"replication", mode == PG_REPLICATION ? "database" : "false"},
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        names[n] = ours[i][0];
        values[n++] = ours[i][1];
    }
    names[n] = values[n] = NULL;
    PGconn *conn = PQconnectdbParams(names, values, 0);
    mem_free(all_options);
    return conn;
}

/* A refusal that only the user can end: says what to do. */
static void explain_refusal(const char *user, struct error *err)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (!strstr(err->text, refusals[i].text)) continue;
        const char *advice = refusals[i].advice, *place = strstr(advice, "%s");
        if (!user) user = "...";
        char *whole = place ? mem_format("%.*s%s%s", (int)(place - advice), advice, user, place + 2)
                            : mem_text(advice);
        err->kind = ERROR_CONFIG;
        error_advise(err, whole);
        mem_free(whole);
        return;
    }
}

/* NULL with err set when it is none. */
static PQconninfoOption *parse_source(const char *source, struct error *err)
{
    char *wrong = NULL;
    PQconninfoOption *given = PQconninfoParse(source ? source : "", &wrong);
    if (given) return given;
    char text[400];
    put_message(text, sizeof text, wrong);
    PQfreemem(wrong);
    error_set(err, ERROR_CONFIG, "the setting `source` is not an address of PostgreSQL: %s", text);
    return NULL;
}

bool pg_source_part(const char *source, const char *part, char **out, struct error *err)
{
    *out = NULL;
    PQconninfoOption *given = parse_source(source, err);
    if (!given) return false;
    for (const PQconninfoOption *o = given; o->keyword; o++)
        if (strcmp(o->keyword, part) == 0) *out = mem_text(o->val);
    PQconninfoFree(given);
    return true;
}

bool pg_connect(struct pg **out, const char *source, enum pg_mode mode, const _Atomic bool *stop,
                struct error *err)
{
    *out = NULL;
    PQconninfoOption *given = parse_source(source, err);
    if (!given) return false;
    struct pg *pg = mem_alloc(sizeof *pg);
    pg->stop = stop;
    pg->conn = connect_with(given, mode);
    PQconninfoFree(given);
    if (!pg->conn || PQstatus(pg->conn) != CONNECTION_OK) {
        fail_connection(pg, err);
        explain_refusal(pg->conn ? PQuser(pg->conn) : NULL, err);
        pg_close(pg);
        return error_wrap(err, "cannot connect to the source");
    }
    PQsetNoticeReceiver(pg->conn, on_notice, pg);
    *out = pg;
    return true;
}

void pg_close(struct pg *pg)
{
    if (!pg) return;
    if (pg->piece) PQfreemem(pg->piece);
    PQfinish(pg->conn);
    mem_free(pg);
}

int pg_server_version(const struct pg *pg)
{
    return PQserverVersion(pg->conn);
}
const char *pg_database(const struct pg *pg)
{
    return PQdb(pg->conn);
}
int pg_socket(const struct pg *pg)
{
    return PQsocket(pg->conn);
}
bool pg_publication_skipped(const struct pg *pg)
{
    return pg->publication_skipped;
}

void pg_rows_free(struct pg_rows *rows)
{
    PQclear(rows->handle);
    *rows = (struct pg_rows){0};
}

const char *pg_text(const struct pg_rows *rows, int row, int column)
{
    return PQgetisnull(rows->handle, row, column) ? NULL : PQgetvalue(rows->handle, row, column);
}

struct slice pg_slice(const struct pg_rows *rows, int row, int column)
{
    if (PQgetisnull(rows->handle, row, column)) return (struct slice){0};
    return (struct slice){PQgetvalue(rows->handle, row, column),
                          (size_t)PQgetlength(rows->handle, row, column)};
}

int64_t pg_int(const struct pg_rows *rows, int row, int column)
{
    const char *text = pg_text(rows, row, column);
    return text ? strtoll(text, NULL, 10) : 0;
}

bool pg_bool(const struct pg_rows *rows, int row, int column)
{
    const char *text = pg_text(rows, row, column);
    return text && text[0] == 't';
}

static bool stopping(const struct pg *pg)
{
    return pg->stop && *pg->stop;
}

void pg_wait(struct pg *pg, int other_fd, int64_t timeout_us)
{
    struct pollfd fds[2] = {{.fd = PQsocket(pg->conn), .events = POLLIN},
                            {.fd = other_fd, .events = POLLIN}};
    poll(fds, other_fd >= 0 ? 2 : 1, (int)((timeout_us + 999) / 1000));
}

static void cancel(struct pg *pg)
{
    char text[256];
    PGcancel *c = PQgetCancel(pg->conn);
    if (c) PQcancel(c, text, sizeof text);
    PQfreeCancel(c);
}

/* Takes the statement's results: the first one into rows, an error whichever it is. */
static bool take_results(struct pg *pg, struct pg_rows *rows, struct error *err)
{
    bool ok = true;
    PGresult *r;
    while ((r = PQgetResult(pg->conn))) {
        ExecStatusType status = PQresultStatus(r);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            if (ok) ok = fail_result(pg, r, err);
            PQclear(r);
            if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) break;
        } else if (rows && !rows->handle && status == PGRES_TUPLES_OK) {
            *rows = (struct pg_rows){r, PQntuples(r)};
        } else {
            PQclear(r);
        }
    }
    if (ok && PQstatus(pg->conn) == CONNECTION_BAD) ok = fail_connection(pg, err);
    if (!ok && rows) pg_rows_free(rows);
    return ok;
}

bool pg_send(struct pg *pg, const char *sql, struct error *err)
{
    return PQsendQuery(pg->conn, sql) || fail_connection(pg, err);
}

bool pg_poll(struct pg *pg, int64_t timeout_us, bool *done, struct pg_rows *rows, struct error *err)
{
    *done = false;
    if (stopping(pg)) {
        cancel(pg);
        return error_set(err, ERROR_RETRY, "stopping");
    }
    if (!PQconsumeInput(pg->conn)) return fail_connection(pg, err);
    if (PQisBusy(pg->conn)) {
        pg_wait(pg, -1, timeout_us);
        if (!PQconsumeInput(pg->conn)) return fail_connection(pg, err);
        if (PQisBusy(pg->conn)) return true;
    }
    *done = true;
    return take_results(pg, rows, err);
}

static bool finish_query(struct pg *pg, struct pg_rows *rows, struct error *err)
{
    for (bool done = false; !done;)
        if (!pg_poll(pg, TICK_US, &done, rows, err)) return false;
    return true;
}

bool pg_query(struct pg *pg, struct pg_rows *rows, const char *sql, const char *const *params,
              int param_count, struct error *err)
{
    if (rows) *rows = (struct pg_rows){0};
    int sent = param_count ? PQsendQueryParams(pg->conn, sql, param_count, NULL,
                                               (const char *const *)params, NULL, NULL, 0)
                           : PQsendQuery(pg->conn, sql);
    if (!sent) return fail_connection(pg, err);
    return finish_query(pg, rows, err);
}

bool pg_run(struct pg *pg, const char *sql, struct error *err)
{
    return pg_query(pg, NULL, sql, NULL, 0, err);
}

bool pg_copy_begin(struct pg *pg, const char *sql, struct error *err)
{
    if (!PQsendQuery(pg->conn, sql)) return fail_connection(pg, err);
    while (PQisBusy(pg->conn)) {
        if (stopping(pg)) {
            cancel(pg);
            return error_set(err, ERROR_RETRY, "stopping");
        }
        pg_wait(pg, -1, TICK_US);
        if (!PQconsumeInput(pg->conn)) return fail_connection(pg, err);
    }
    PGresult *r = PQgetResult(pg->conn);
    ExecStatusType status = r ? PQresultStatus(r) : PGRES_FATAL_ERROR;
    bool ok = status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
    if (!ok) {
        if (r)
            fail_result(pg, r, err);
        else
            fail_connection(pg, err);
    }
    PQclear(r);
    struct error more;
    if (!ok && !take_results(pg, NULL, &more)) return false;
    return ok;
}

/* The copy is over. In replication the server may leave the copy open on our side: answered at once. */
static bool end_copy(struct pg *pg, struct error *err)
{
    PGresult *r = PQgetResult(pg->conn);
    ExecStatusType status = r ? PQresultStatus(r) : PGRES_FATAL_ERROR;
    bool ok = true;
    if (status == PGRES_COPY_IN) {
        PQputCopyEnd(pg->conn, NULL);
        PQflush(pg->conn);
    } else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        ok = r ? fail_result(pg, r, err) : fail_connection(pg, err);
    }
    PQclear(r);
    struct error more;
    if (!take_results(pg, NULL, ok ? err : &more)) ok = false;
    return ok;
}

bool pg_copy_next(struct pg *pg, struct slice *piece, enum pg_copy *what, struct error *err)
{
    if (pg->piece) PQfreemem(pg->piece);
    pg->piece = NULL;
    int n = PQgetCopyData(pg->conn, &pg->piece, 1);
    if (n == 0) {
        if (!PQconsumeInput(pg->conn)) return fail_connection(pg, err);
        n = PQgetCopyData(pg->conn, &pg->piece, 1);
    }
    if (n == -2) return fail_connection(pg, err);
    *what = n > 0 ? PG_COPY_DATA : n == 0 ? PG_COPY_NOTHING : PG_COPY_END;
    *piece = (struct slice){pg->piece, n > 0 ? (size_t)n : 0};
    return *what != PG_COPY_END || end_copy(pg, err);
}

bool pg_copy_send(struct pg *pg, struct slice frame, struct error *err)
{
    if (PQputCopyData(pg->conn, frame.data, (int)frame.len) != 1 || PQflush(pg->conn) < 0)
        return fail_connection(pg, err);
    return true;
}

bool pg_copy_finish(struct pg *pg, struct error *err)
{
    if (PQputCopyEnd(pg->conn, NULL) != 1 || PQflush(pg->conn) < 0) return fail_connection(pg, err);
    return true;
}

bool pg_copy_in_begin(struct pg *pg, const char *sql, struct error *err)
{
    PGresult *r = PQexec(pg->conn, sql);
    bool ok = PQresultStatus(r) == PGRES_COPY_IN || fail_result(pg, r, err);
    PQclear(r);
    return ok;
}

bool pg_copy_in_put(struct pg *pg, struct slice data, struct error *err)
{
    return PQputCopyData(pg->conn, data.data, (int)data.len) == 1 || fail_connection(pg, err);
}

bool pg_copy_in_end(struct pg *pg, struct error *err)
{
    if (PQputCopyEnd(pg->conn, NULL) != 1) return fail_connection(pg, err);
    return finish_query(pg, NULL, err);
}

static void put_quoted(struct buf *sql, struct slice s, char quote)
{
    buf_put_char(sql, quote);
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == quote) buf_put_char(sql, quote);
        buf_put_char(sql, s.data[i]);
    }
    buf_put_char(sql, quote);
}

void pg_put_name(struct buf *sql, struct slice name)
{
    put_quoted(sql, name, '"');
}
void pg_put_text(struct buf *sql, struct slice text)
{
    put_quoted(sql, text, '\'');
}

void pg_put_table(struct buf *sql, const char *table)
{
    const char *dot = strchr(table, '.');
    if (dot) {
        pg_put_name(sql, (struct slice){table, (size_t)(dot - table)});
        buf_put_char(sql, '.');
        table = dot + 1;
    }
    pg_put_name(sql, slice_of(table));
}
