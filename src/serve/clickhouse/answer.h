/* HTTP answers in ClickHouse's manner: headers, content types, and the one table from error codes to HTTP
 * statuses. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_ANSWER_H
#define MILLRACE_SERVE_CLICKHOUSE_ANSWER_H

#include "serve/clickhouse/request.h"
#include "stages/stage.h"

/* What every answer to a statement carries; taken before the statement runs, so that the answer is at
 * least as fresh as it says. */
struct answer {
    struct request *request;
    const char *version; /* of the engine */
    uint64_t lsn;
    int64_t commit_us;
    int64_t started_us;
    uint64_t read_rows, read_bytes, result_rows, result_bytes;
    bool cors;
};

struct answer answer_begin(struct request *r, struct flow *flow, const char *version, bool cors);
/* The headers of a statement's answer, on a response made by the caller. */
void answer_add_headers(const struct answer *a, struct MHD_Response *response, bool success);
/* Sends the whole result; data is copied or compressed. */
enum MHD_Result answer_send(struct answer *a, struct slice data);
/* "Code: N. DB::Exception: ..." with the status that N maps to. */
enum MHD_Result answer_error(struct answer *a, const struct error *err);
/* A plain text outside of statements (ping, no such page). */
enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *text, bool cors);

const char *content_type(const char *format);
/* Chunks of it can be put one after the other. */
bool format_streams(const char *format);
unsigned http_status(int code);

#endif
