/* Where the parts of a request may stand: URL, headers, a multipart or a plain body, packed or not. */
#include "serve/clickhouse/request.h"

#include "serve/clickhouse/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

/* Parameters that are not settings. */
static const char *const reserved[] = {"query",
                                       "database",
                                       "default_format",
                                       "user",
                                       "password",
                                       "quota_key",
                                       "query_id",
                                       "session_id",
                                       "session_timeout",
                                       "session_check",
                                       "close_session",
                                       "compress",
                                       "decompress",
                                       "buffer_size",
                                       "wait_end_of_query",
                                       "stacktrace",
                                       "role",
                                       "client_protocol_version",
                                       "enable_http_compression",
                                       "http_zlib_compression_level",
                                       "send_progress_in_http_headers",
                                       "http_headers_progress_interval_ms",
                                       "cancel_http_readonly_queries_on_client_close",
                                       "http_response_buffer_size",
                                       "add_http_cors_header",
                                       "http_write_exception_in_output_format",
                                       "http_wait_end_of_query",
                                       "network_compression_method",
                                       "_",
                                       NULL};

static struct buf *add_field(struct request *r, const char *name)
{
    MEM_GROW(r->fields, r->field_count, r->field_cap);
    struct field *f = &r->fields[r->field_count++];
    *f = (struct field){.name = mem_text(name), .value = {.max = BODY_BYTES_MAX}};
    return &f->value;
}

static enum MHD_Result take_argument(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                     const char *value, size_t value_len)
{
    (void)kind;
    (void)name_len;
    buf_put(add_field(arg, name), value, value ? value_len : 0);
    return MHD_YES;
}

static enum MHD_Result take_part(void *arg, enum MHD_ValueKind kind, const char *name, const char *filename,
                                 const char *type, const char *encoding, const char *data, uint64_t offset,
                                 size_t len)
{
    (void)kind;
    (void)filename;
    (void)type;
    (void)encoding;
    struct request *r = arg;
    bool more = offset > 0 && r->field_count > 0;
    buf_put(more ? &r->fields[r->field_count - 1].value : add_field(r, name ? name : ""), data, len);
    return MHD_YES;
}

const char *request_header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

struct request *request_new(struct MHD_Connection *connection, const char *method)
{
    struct request *r = mem_alloc(sizeof *r);
    r->connection = connection;
    r->get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    r->body.max = r->sql.max = BODY_BYTES_MAX;
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, take_argument, r);
    const char *type = request_header(r, "Content-Type");
    if (type && strncasecmp(type, "multipart/form-data", 19) == 0)
        r->multipart = MHD_create_post_processor(connection, 16 << 10, take_part, r);
    return r;
}

void request_free(struct request *r)
{
    if (!r) return;
    if (r->multipart) MHD_destroy_post_processor(r->multipart);
    for (size_t i = 0; i < r->field_count; i++) {
        mem_free(r->fields[i].name);
        buf_free(&r->fields[i].value);
    }
    for (size_t i = 0; i < r->setting_count; i++) {
        mem_free(r->settings[i].name);
        mem_free(r->settings[i].value);
    }
    mem_free(r->fields);
    mem_free(r->settings);
    mem_free(r->params);
    mem_free(r->query_id);
    mem_free(r->format_of_text);
    buf_free(&r->body);
    buf_free(&r->sql);
    mem_free(r);
}

bool request_feed(struct request *r, const char *data, size_t len)
{
    if (r->refused) return true;
    if (r->multipart) return MHD_post_process(r->multipart, data, len) == MHD_YES;
    buf_put(&r->body, data, len);
    return buf_ok(&r->body);
}

const char *request_field(struct request *r, const char *name)
{
    for (size_t i = 0; i < r->field_count; i++)
        if (strcmp(r->fields[i].name, name) == 0) return buf_text(&r->fields[i].value);
    return NULL;
}

static bool flag(struct request *r, const char *name)
{
    const char *text = request_field(r, name);
    return text && (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0);
}

/* "SELECT 1 FORMAT JSON SETTINGS ..." : FORMAT and a name outside of brackets, after which nothing but
 * settings comes. */
char *statement_format(struct slice sql)
{
    struct token t, before = {0};
    struct slice found = {0};
    int depth = 0;
    while (token_next(&sql, &t)) {
        if (found.data && t.kind == TOKEN_NAME && slice_is_nocase(t.text, "SETTINGS")) break;
        if (token_is_mark(&t, '(') || token_is_mark(&t, '[')) depth++;
        if (token_is_mark(&t, ')') || token_is_mark(&t, ']')) depth--;
        bool names = depth == 0 && t.kind == TOKEN_NAME && before.kind == TOKEN_NAME && before.text.data &&
                     slice_is_nocase(before.text, "FORMAT");
        if (names)
            found = t.text;
        else if (!token_is_mark(&t, ';'))
            found = (struct slice){0};
        before = t;
    }
    return found.data ? mem_textn(found.data, found.len) : NULL;
}

/* "SELECT 1; FORMAT Native" : drivers put FORMAT after what the user wrote, semicolon included. The last
 * semicolon is blanked when only FORMAT and a name follow it. */
static void blank_semicolon(struct buf *sql)
{
    struct slice rest = buf_slice(sql), after = {0};
    struct token t;
    while (token_next(&rest, &t))
        if (token_is_mark(&t, ';')) after = rest;
    struct slice last = after;
    if (!after.data || !token_next(&after, &t) || !token_is(&t, "FORMAT")) return;
    if (!token_next(&after, &t) || t.kind != TOKEN_NAME || token_next(&after, &t)) return;
    sql->data[sql->len - last.len - 1] = ' ';
}

static char *new_id(void)
{
    uint8_t b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b) memset(b, 0x5a, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    return mem_format("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                      b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
                      b[15]);
}

/* An id goes back in a header: what does not belong there is replaced. */
static char *clean_id(const char *given)
{
    if (!given || !*given) return new_id();
    char *id = mem_textn(given, strnlen(given, QUERY_ID_MAX));
    for (char *c = id; *c; c++)
        if ((unsigned char)*c < 0x21 || *c == 0x7f) *c = '_';
    return id;
}

void request_add_setting(struct request *r, const char *name, const char *value)
{
    MEM_GROW(r->settings, r->setting_count, r->setting_cap);
    r->settings[r->setting_count++] = (struct setting){mem_text(name), mem_text(value)};
}

static bool is_reserved(const char *name)
{
    for (size_t i = 0; reserved[i]; i++)
        if (strcmp(name, reserved[i]) == 0) return true;
    return false;
}

static void sort_fields(struct request *r)
{
    for (size_t i = 0; i < r->field_count; i++) {
        struct field *f = &r->fields[i];
        if (strncmp(f->name, "param_", 6) == 0) {
            MEM_GROW(r->params, r->param_count, r->param_cap);
            const char *value = buf_text(&f->value);
            r->params[r->param_count++] =
                (struct engine_param){.name = f->name + 6, .value = {value, f->value.len}, .raw = true};
        } else if (*f->name && !is_reserved(f->name)) {
            request_add_setting(r, f->name, buf_text(&f->value));
        }
    }
}

static bool decode_body(struct request *r, struct error *err)
{
    const char *query = request_field(r, "query");
    if (query) buf_put_text(&r->sql, query);
    enum codec_kind kind = codec_named(request_header(r, "Content-Encoding"));
    struct buf plain = {.max = BODY_BYTES_MAX};
    bool ok = codec_unpack(kind, buf_slice(&r->body), &plain, err);
    if (ok && plain.len) {
        if (r->sql.len) buf_put_char(&r->sql, '\n');
        ok = codec_unpack(flag(r, "decompress") ? CODEC_FRAMES : CODEC_NONE, buf_slice(&plain), &r->sql,
                          err);
    }
    buf_free(&plain);
    if (ok) return true;
    return error_wrap(err, "Code: 271. DB::Exception");
}

static const char *first_of(const char *a, const char *b, const char *fallback)
{
    return a && *a ? a : b && *b ? b : fallback;
}

static enum codec_kind answer_codec(struct request *r)
{
    if (flag(r, "compress")) return CODEC_FRAMES;
    return flag(r, "enable_http_compression") ? codec_choose(request_header(r, "Accept-Encoding"))
                                              : CODEC_NONE;
}

bool request_decode(struct request *r, struct error *err)
{
    if (r->multipart) {
        MHD_destroy_post_processor(r->multipart); /* delivers the last part */
        r->multipart = NULL;
    }
    if (!decode_body(r, err)) return false;
    blank_semicolon(&r->sql);
    sort_fields(r);
    r->database =
        first_of(request_header(r, "X-ClickHouse-Database"), request_field(r, "database"), "default");
    r->format_of_text = statement_format(buf_slice(&r->sql));
    r->wanted_format = first_of(request_header(r, "X-ClickHouse-Format"),
                                request_field(r, "default_format"), "TabSeparated");
    r->format = r->format_of_text ? r->format_of_text : r->wanted_format;
    r->query_id =
        clean_id(first_of(request_field(r, "query_id"), request_header(r, "X-ClickHouse-Query-Id"), NULL));
    const char *session = request_field(r, "session_id");
    r->session_id = session && *session ? session : NULL;
    const char *timeout = request_field(r, "session_timeout");
    r->session_timeout_s = timeout ? strtoll(timeout, NULL, 10) : 60;
    r->session_check = flag(r, "session_check");
    r->close_session = flag(r, "close_session");
    r->wait_end = flag(r, "wait_end_of_query");
    r->answer = answer_codec(r);
    return true;
}
