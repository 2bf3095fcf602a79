/* Answers in one piece. Long ones, sent as they come, are made in run.c with the same headers. */
#include "serve/clickhouse/answer.h"

#include "base/clock.h"

#include <stdio.h>
#include <strings.h>

static const struct {
    int code;
    unsigned status;
} statuses[] = {
    {194, 401},                                     /* REQUIRED_PASSWORD */
    {192, 403}, {193, 403}, {497, 403}, {516, 403}, /* users, passwords, access */
    {6, 400},   {25, 400},  {26, 400},  {27, 400},  {36, 400},  {38, 400},  {41, 400},  {43, 400},
    {53, 400},  {62, 400},  {69, 400},  {70, 400},  {72, 400},  {117, 400}, {161, 400}, {167, 400},
    {168, 400}, {183, 400}, {184, 400}, {190, 400}, {215, 400}, {271, 400}, {321, 400}, {376, 400},
    {386, 400}, {427, 400}, {441, 400}, {457, 400}, {467, 400}, {675, 400}, {676, 400}, /* the text or its
                                                                                           values */
    {46, 404},  {47, 404},  {50, 404},  {56, 404},  {60, 404},  {63, 404},  {73, 404},  {81, 404},
    {115, 404}, {336, 404}, {372, 404}, {511, 404}, /* unknown functions, names, types, tables, formats,
                                                       settings */
    {159, 408}, {381, 411}, {165, 413}, {229, 413}, {48, 501},  {202, 503}, {209, 503}, {439, 503},
};

unsigned http_status(int code)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].code == code) return statuses[i].status;
    return 500;
}

/* The first prefix that fits decides. */
static const struct {
    const char *prefix, *type;
    bool streams;
} formats[] = {
    {"TabSeparatedRaw", "text/tab-separated-values; charset=UTF-8", true},
    {"TSVRaw", "text/tab-separated-values; charset=UTF-8", true},
    {"TabSeparated", "text/tab-separated-values; charset=UTF-8", true},
    {"TSKV", "text/tab-separated-values; charset=UTF-8", true},
    {"TSV", "text/tab-separated-values; charset=UTF-8", true},
    {"CSVWith", "text/csv; charset=UTF-8; header=present", true},
    {"CSV", "text/csv; charset=UTF-8; header=absent", true},
    {"JSONEachRow", "application/x-ndjson; charset=UTF-8", true},
    {"JSONLines", "application/x-ndjson; charset=UTF-8", true},
    {"NDJSON", "application/x-ndjson; charset=UTF-8", true},
    {"JSONCompactEachRow", "application/x-ndjson; charset=UTF-8", true},
    {"JSONCompactStringsEachRow", "application/x-ndjson; charset=UTF-8", false},
    {"JSONStringsEachRow", "application/x-ndjson; charset=UTF-8", false},
    {"JSON", "application/json; charset=UTF-8", false},
    {"XML", "application/xml; charset=UTF-8", false},
    {"RowBinary", "application/octet-stream", true},
    {"Native", "application/octet-stream", true},
    {"Parquet", "application/octet-stream", false},
    {"Arrow", "application/octet-stream", false},
    {"ORC", "application/octet-stream", false},
    {"Avro", "application/octet-stream", false},
    {"MsgPack", "application/octet-stream", false},
    {"Protobuf", "application/octet-stream", false},
    {"BSON", "application/octet-stream", false},
    {"Npy", "application/octet-stream", false},
    {"CapnProto", "application/octet-stream", false},
    {"Markdown", "text/markdown; charset=UTF-8", false},
    {"Prometheus", "text/plain; version=0.0.4; charset=UTF-8", false},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static size_t format_find(const char *format)
{
    size_t i = 0;
    while (i < FORMATS && strncasecmp(format, formats[i].prefix, strlen(formats[i].prefix)) != 0)
        i++;
    return i;
}

const char *content_type(const char *format)
{
    size_t i = format_find(format);
    return i < FORMATS ? formats[i].type : "text/plain; charset=UTF-8";
}

/* With names or totals every chunk would begin with a header of its own. */
bool format_streams(const char *format)
{
    size_t i = format_find(format);
    return i < FORMATS && formats[i].streams && !strcasestr(format, "With");
}

struct answer answer_begin(struct request *r, struct flow *flow, const char *version, bool cors)
{
    return (struct answer){
        .request = r,
        .version = version,
        .lsn = flow->warehouse_lsn,
        .commit_us = flow->warehouse_commit_us,
        .started_us = clock_mono_us(),
        .cors = cors,
    };
}

static void add_cors(struct MHD_Response *response, struct MHD_Connection *c)
{
    if (!MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin")) return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
    MHD_add_response_header(response, "Access-Control-Allow-Headers",
                            "origin, x-requested-with, content-type, accept, authorization,"
                            " x-clickhouse-user, x-clickhouse-key, x-clickhouse-database,"
                            " x-clickhouse-format");
    MHD_add_response_header(response, "Access-Control-Allow-Methods", "POST, GET, OPTIONS");
    MHD_add_response_header(response, "Access-Control-Max-Age", "86400");
}

static void add_freshness(const struct answer *a, struct MHD_Response *response)
{
    char text[64];
    snprintf(text, sizeof text, "%X/%X", (unsigned)(a->lsn >> 32), (unsigned)(a->lsn & 0xffffffff));
    MHD_add_response_header(response, "X-Millrace-LSN", text);
    if (a->commit_us <= 0) return;
    clock_format_iso(a->commit_us, text);
    MHD_add_response_header(response, "X-Millrace-Commit-Time", text);
}

void answer_add_headers(const struct answer *a, struct MHD_Response *response, bool success)
{
    const struct request *r = a->request;
    MHD_add_response_header(response, "X-ClickHouse-Server-Display-Name", "millrace");
    if (r->query_id) MHD_add_response_header(response, "X-ClickHouse-Query-Id", r->query_id);
    MHD_add_response_header(response, "X-ClickHouse-Timezone", "UTC");
    if (a->cors) add_cors(response, r->connection);
    add_freshness(a, response);
    if (!success) return;
    MHD_add_response_header(response, "Content-Type", content_type(r->format));
    MHD_add_response_header(response, "X-ClickHouse-Format", r->format);
    if (codec_name(r->answer)) {
        MHD_add_response_header(response, "Content-Encoding", codec_name(r->answer));
        MHD_add_response_header(response, "Vary", "Accept-Encoding");
    }
    char summary[400];
    snprintf(
        summary, sizeof summary,
        "{\"read_rows\":\"%llu\",\"read_bytes\":\"%llu\",\"written_rows\":\"0\",\"written_bytes\":\"0\","
        "\"total_rows_to_read\":\"%llu\",\"result_rows\":\"%llu\",\"result_bytes\":\"%llu\","
        "\"elapsed_ns\":\"%lld\"}",
        (unsigned long long)a->read_rows, (unsigned long long)a->read_bytes,
        (unsigned long long)a->read_rows, (unsigned long long)a->result_rows,
        (unsigned long long)a->result_bytes, (long long)(clock_mono_us() - a->started_us) * 1000);
    MHD_add_response_header(response, "X-ClickHouse-Summary", summary);
}

static enum MHD_Result queue(struct MHD_Connection *c, unsigned status, struct MHD_Response *response)
{
    enum MHD_Result result = MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result answer_send(struct answer *a, struct slice data)
{
    struct request *r = a->request;
    a->result_bytes = data.len;
    struct buf packed = {0};
    if (r->answer != CODEC_NONE) {
        struct error err;
        struct codec *c = codec_new(r->answer);
        bool ok = codec_put(c, data, true, &packed, &err);
        codec_free(c);
        if (!ok) {
            buf_free(&packed);
            return answer_error(a, &err);
        }
        data = buf_slice(&packed);
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        data.len, (void *)(uintptr_t)(data.len ? data.data : ""), MHD_RESPMEM_MUST_COPY);
    buf_free(&packed);
    if (!response) return MHD_NO;
    answer_add_headers(a, response, true);
    return queue(r->connection, MHD_HTTP_OK, response);
}

enum MHD_Result answer_error(struct answer *a, const struct error *err)
{
    int code = engine_error_code(err);
    const char *text = strstr(err->text, "Code: ");
    struct buf body = {0};
    if (code && text)
        buf_put_text(&body, text);
    else
        buf_printf(&body, "Code: %d. DB::Exception: %s. (UNKNOWN_EXCEPTION)", code = 1002, err->text);
    buf_printf(&body, " (version %s)\n", a->version);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, body.data, MHD_RESPMEM_MUST_COPY);
    buf_free(&body);
    if (!response) return MHD_NO;
    answer_add_headers(a, response, false);
    char number[16];
    snprintf(number, sizeof number, "%d", code);
    MHD_add_response_header(response, "X-ClickHouse-Exception-Code", number);
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=UTF-8");
    unsigned status = http_status(code);
    if (status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, "WWW-Authenticate", "Basic realm=\"Millrace\"");
    return queue(a->request->connection, status, response);
}

enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *text, bool cors)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/html; charset=UTF-8");
    if (cors) add_cors(response, c);
    return queue(c, status, response);
}
