/* One HTTP request, taken apart: the statement, its parameters, settings and transport options. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_REQUEST_H
#define MILLRACE_SERVE_CLICKHOUSE_REQUEST_H

#include "serve/clickhouse/codec.h"
#include "serve/clickhouse/pool.h"

#include <microhttpd.h>

enum { BODY_BYTES_MAX = 16 << 20, QUERY_ID_MAX = 200 };

struct field {
    char *name;
    struct buf value;
};

struct request {
    struct MHD_Connection *connection;
    struct MHD_PostProcessor *multipart; /* NULL: the body is the statement */
    struct field *fields;                /* of the URL, then of a multipart body */
    size_t field_count, field_cap;
    struct buf body;
    bool get, refused; /* refused: the body is passed over, access is not given */

    /* filled by request_decode, texts borrowed from the fields */
    struct buf sql;
    const char *database;      /* these three are never NULL */
    const char *wanted_format; /* of the request; a FORMAT in the text goes before it in the engine */
    const char *format;        /* what the answer will have: that of the text if it names one */
    char *format_of_text;
    char *query_id;
    const char *session_id; /* NULL: none */
    int64_t session_timeout_s;
    bool session_check, wait_end, close_session;
    enum codec_kind answer;
    struct setting *settings;
    size_t setting_count, setting_cap;
    struct engine_param *params;
    size_t param_count, param_cap;
};

struct request *request_new(struct MHD_Connection *connection, const char *method);
void request_free(struct request *r);
/* Takes a piece of the body; false when it does not fit. */
bool request_feed(struct request *r, const char *data, size_t len);
/* Reads fields, headers and body. Error text in the engine's form. */
bool request_decode(struct request *r, struct error *err) MUST_CHECK;
/* The value of a field of URL or multipart body, NULL when absent. */
const char *request_field(struct request *r, const char *name);
const char *request_header(const struct request *r, const char *name);
void request_add_setting(struct request *r, const char *name, const char *value);
/* The format that the text ends with (owned), NULL when it has none. */
char *statement_format(struct slice sql);

#endif
