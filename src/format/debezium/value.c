/* One value: PostgreSQL's text to JSON. Arrays, bits, bytes, hstore are taken apart here. */
#include "format/debezium/encode_int.h"

#include <openssl/evp.h>
#include <stdio.h>

/* ---- bytes */

void debezium_put_base64(const unsigned char *bytes, size_t len, bool url_safe, struct buf *json)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *letters = url_safe ? safe : plain;
    char *to = buf_reserve(json, (len + 2) / 3 * 4 + 2);
    if (!to) return;
    size_t n = 0;
    to[n++] = '"';
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)bytes[i] << 16 | (i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0) | (i + 2 < len ? bytes[i + 2] : 0);
        to[n++] = letters[v >> 18];
        to[n++] = letters[v >> 12 & 63];
        to[n++] = i + 1 < len ? letters[v >> 6 & 63] : '=';
        to[n++] = i + 2 < len ? letters[v & 63] : '=';
    }
    to[n++] = '"';
    json->len += n;
}

void debezium_put_binary(enum debezium_binary mode, const unsigned char *bytes, size_t len, struct buf *json)
{
    static const char hex[] = "0123456789abcdef";
    if (mode != DEBEZIUM_BINARY_HEX) {
        debezium_put_base64(bytes, len, mode == DEBEZIUM_BINARY_BASE64_URL_SAFE, json);
        return;
    }
    buf_put_char(json, '"');
    for (size_t i = 0; i < len; i++) {
        buf_put_char(json, hex[bytes[i] >> 4]);
        buf_put_char(json, hex[bytes[i] & 15]);
    }
    buf_put_char(json, '"');
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "\x00ff" */
static bool put_bytea(enum debezium_binary mode, struct slice text, struct buf *json)
{
    if (text.len < 2 || text.len % 2 || text.data[0] != '\\' || text.data[1] != 'x') return false;
    size_t n = text.len / 2 - 1;
    unsigned char few[256], *bytes = n <= sizeof few ? few : mem_alloc(n);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        int high = hex_digit(text.data[2 + 2 * i]), low = hex_digit(text.data[3 + 2 * i]);
        ok = high >= 0 && low >= 0;
        if (ok) bytes[i] = (unsigned char)(high << 4 | low);
    }
    if (ok) debezium_put_binary(mode, bytes, n, json);
    if (bytes != few) mem_free(bytes);
    return ok;
}

/* "10110": the last bit is the lowest of the first byte; zero bytes at the end are left out. */
static bool put_bits(struct slice text, struct buf *json)
{
    size_t n = (text.len + 7) / 8;
    unsigned char few[64] = {0}, *bytes = n <= sizeof few ? few : mem_alloc(n);
    bool ok = true;
    for (size_t i = 0; ok && i < text.len; i++) {
        size_t bit = text.len - 1 - i;
        ok = text.data[i] == '0' || text.data[i] == '1';
        if (text.data[i] == '1') bytes[bit / 8] |= (unsigned char)(1u << bit % 8);
    }
    while (n && bytes[n - 1] == 0) n--;
    if (ok) debezium_put_base64(bytes, n, false, json);
    if (bytes != few) mem_free(bytes);
    return ok;
}

/* ---- hstore: "a"=>"1", "b"=>NULL */

static bool take_hstore_text(struct slice text, size_t *at, struct buf *word)
{
    buf_clear(word);
    if (*at >= text.len || text.data[*at] != '"') return false;
    for (++*at; *at < text.len && text.data[*at] != '"'; ++*at) {
        if (text.data[*at] == '\\' && ++*at == text.len) return false;
        buf_put_char(word, text.data[*at]);
    }
    return (*at)++ < text.len;
}

typedef void put_text(struct slice s, struct buf *json);

static bool put_pairs(struct slice text, put_text *put, struct buf *json)
{
    struct buf word = {0};
    bool ok = true;
    buf_put_char(json, '{');
    for (size_t at = 0; ok && at < text.len;) {
        if (json->data[json->len - 1] != '{') buf_put_char(json, ',');
        ok = take_hstore_text(text, &at, &word);
        if (!ok) break;
        put(word.len ? buf_slice(&word) : SLICE(""), json);
        buf_put_char(json, ':');
        ok = text.len - at >= 2 && memcmp(text.data + at, "=>", 2) == 0;
        if (!ok) break;
        at += 2;
        if (text.len - at >= 4 && memcmp(text.data + at, "NULL", 4) == 0) {
            at += 4;
            buf_put_text(json, "null");
        } else {
            ok = take_hstore_text(text, &at, &word);
            if (ok) put(word.len ? buf_slice(&word) : SLICE(""), json);
        }
        while (ok && at < text.len && (text.data[at] == ',' || text.data[at] == ' ')) at++;
    }
    buf_put_char(json, '}');
    buf_free(&word);
    return ok;
}

static bool put_hstore(const struct debezium_options *o, struct slice text, struct buf *json)
{
    if (o->hstore == DEBEZIUM_HSTORE_MAP) return put_pairs(text, debezium_put_string, json);
    struct buf inner = {0};
    bool ok = put_pairs(text, debezium_put_inner_string, &inner);
    if (ok) debezium_put_string(buf_slice(&inner), json);
    buf_free(&inner);
    return ok;
}

/* ---- scalars */

static bool is_integer(struct slice s)
{
    size_t at = s.len && s.data[0] == '-';
    if (at == s.len || s.len > 20 || (s.data[at] == '0' && s.len > at + 1)) return false;
    for (; at < s.len; at++)
        if (s.data[at] < '0' || s.data[at] > '9') return false;
    return true;
}

static bool put_one(const struct debezium_options *o, const struct debezium_kind_of *k, struct slice text, struct buf *json)
{
    switch (k->value) {
    case VALUE_TEXT: debezium_put_string(text, json); return true;
    case VALUE_INT16:
    case VALUE_INT32:
    case VALUE_INT64:
        if (!is_integer(text)) return false;
        buf_put_slice(json, text);
        return true;
    case VALUE_BOOL:
    case VALUE_BIT:
        if (text.len != 1 || !strchr("tf10", text.data[0])) return false;
        buf_put_text(json, text.data[0] == 't' || text.data[0] == '1' ? "true" : "false");
        return true;
    case VALUE_FLOAT:
    case VALUE_DOUBLE: return debezium_put_float(text, json);
    case VALUE_DECIMAL: return debezium_put_decimal(o, text, k->scale, json);
    case VALUE_FREE_DECIMAL: return debezium_put_free_decimal(o, text, json);
    case VALUE_MONEY: return debezium_put_money(o, text, json);
    case VALUE_DATE: return debezium_put_date(o, text, json);
    case VALUE_TIME: return debezium_put_time(o, text, k->precision, json);
    case VALUE_TIMESTAMP: return debezium_put_timestamp(o, text, k->precision, json);
    case VALUE_ZONED_TIMESTAMP: return debezium_put_zoned_timestamp(text, k->precision, json);
    case VALUE_ZONED_TIME: return debezium_put_zoned_time(text, json);
    case VALUE_INTERVAL: return debezium_put_interval(o, text, json);
    case VALUE_BYTES: return put_bytea(o->binary, text, json);
    case VALUE_BITS: return put_bits(text, json);
    case VALUE_POINT: return debezium_put_point(text, json);
    case VALUE_BOX: return debezium_put_box(text, json);
    case VALUE_HSTORE: return put_hstore(o, text, json);
    case VALUE_OTHER: debezium_put_binary(o->binary, (const unsigned char *)text.data, text.len, json); return true;
    case VALUE_DROP: break;
    }
    return false;
}

static void put_or_null(const struct debezium_options *o, const struct debezium_kind_of *k, struct slice text,
                        struct buf *json)
{
    size_t start = json->len;
    if (put_one(o, k, text, json)) return;
    json->len = start;
    buf_put_text(json, "null");
}

/* ---- arrays: {1,NULL,"a \"quoted\" one",{..}} */

struct array {
    const struct debezium_options *options;
    const struct debezium_kind_of *kind;
    struct slice text;
    size_t at;
    struct buf word;
};

static bool looking_at(const struct array *a, char c)
{
    return a->at < a->text.len && a->text.data[a->at] == c;
}

static bool put_element(struct array *a, struct buf *json)
{
    bool quoted = looking_at(a, '"');
    buf_clear(&a->word);
    for (a->at += quoted; a->at < a->text.len; a->at++) {
        char c = a->text.data[a->at];
        if (quoted ? c == '"' : c == ',' || c == '}') break;
        if (c == '\\' && ++a->at == a->text.len) return false;
        buf_put_char(&a->word, a->text.data[a->at]);
    }
    if (a->at == a->text.len || (!quoted && !a->word.len)) return false;
    a->at += quoted;
    if (!quoted && slice_equal(buf_slice(&a->word), SLICE("NULL"))) buf_put_text(json, "null");
    else put_or_null(a->options, a->kind, a->word.len ? buf_slice(&a->word) : SLICE(""), json);
    return true;
}

static bool put_level(struct array *a, int depth, struct buf *json)
{
    if (depth > 6 || !looking_at(a, '{')) return false;
    a->at++;
    buf_put_char(json, '[');
    for (bool first = true; !looking_at(a, '}'); first = false) {
        if (!first) {
            if (!looking_at(a, ',')) return false;
            a->at++;
            buf_put_char(json, ',');
        }
        if (looking_at(a, '{') ? !put_level(a, depth + 1, json) : !put_element(a, json)) return false;
    }
    a->at++;
    buf_put_char(json, ']');
    return true;
}

static bool put_array(const struct debezium_options *o, const struct debezium_kind_of *k, struct slice text, struct buf *json)
{
    struct debezium_kind_of element = *k;
    element.array = false;
    struct array a = {.options = o, .kind = &element, .text = text};
    const char *equals = looking_at(&a, '[') ? memchr(text.data, '=', text.len) : NULL; /* "[2:3]={..}" */
    if (equals) a.at = (size_t)(equals - text.data) + 1;
    bool ok = put_level(&a, 1, json) && a.at == text.len;
    buf_free(&a.word);
    return ok;
}

void debezium_put_scalar(const struct debezium_options *o, const struct debezium_kind_of *k, struct slice text,
                         struct buf *json)
{
    if (!text.data) {
        buf_put_text(json, "null");
        return;
    }
    if (!k->array) {
        put_or_null(o, k, text, json);
        return;
    }
    size_t start = json->len;
    if (put_array(o, k, text, json)) return;
    json->len = start;
    buf_put_text(json, "null");
}

/* ---- what is not known */

/* The value that stands for one that must not be null and was not sent. */
void debezium_put_zero(const struct debezium_options *o, const struct debezium_kind_of *k, struct buf *json)
{
    static const char *const zeros[] = {
        [VALUE_BOOL] = "f",      [VALUE_INT16] = "0",  [VALUE_INT32] = "0",  [VALUE_INT64] = "0",
        [VALUE_FLOAT] = "0",     [VALUE_DOUBLE] = "0", [VALUE_TEXT] = "",    [VALUE_DECIMAL] = "0",
        [VALUE_FREE_DECIMAL] = "0", [VALUE_MONEY] = "0", [VALUE_DATE] = "1970-01-01", [VALUE_TIME] = "00:00:00",
        [VALUE_TIMESTAMP] = "1970-01-01 00:00:00", [VALUE_ZONED_TIMESTAMP] = "1970-01-01 00:00:00+00",
        [VALUE_ZONED_TIME] = "00:00:00+00", [VALUE_INTERVAL] = "00:00:00", [VALUE_BYTES] = "\\x", [VALUE_BIT] = "0",
        [VALUE_BITS] = "",       [VALUE_HSTORE] = "",  [VALUE_OTHER] = "",
    };
    const char *zero = k->value < sizeof zeros / sizeof *zeros ? zeros[k->value] : NULL;
    char decimal[64];
    if (k->value == VALUE_DECIMAL && k->scale > 0 && k->scale < 60) {
        snprintf(decimal, sizeof decimal, "0.%0*d", k->scale, 0);
        zero = decimal;
    }
    if (k->array) buf_put_text(json, "[]");
    else if (!zero) buf_put_text(json, "null");
    else put_or_null(o, k, *zero ? slice_of(zero) : SLICE(""), json);
}

/* MD5 with the marks of version 3. */
void debezium_put_name_uuid(struct slice name, struct buf *json)
{
    unsigned char b[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_Digest(name.data, name.len, b, &len, EVP_md5(), NULL);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x30);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    buf_put_char(json, '"');
    for (int i = 0; i < 16; i++) buf_printf(json, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    buf_put_char(json, '"');
}

static void put_placeholder_array(const struct debezium_options *o, const struct debezium_kind_of *k, struct buf *json)
{
    const char *p = o->placeholder;
    buf_put_char(json, '[');
    if (k->value == VALUE_INT32 || k->value == VALUE_INT64 || k->value == VALUE_DATE || k->value == VALUE_INT16) {
        for (const char *at = p; *at; at++) buf_printf(json, "%s%d", at > p ? "," : "", (int)(signed char)*at);
    } else if (k->name && strcmp(k->name, "io.debezium.data.Uuid") == 0) {
        debezium_put_name_uuid(slice_of(p), json);
    } else if (k->value == VALUE_BYTES) {
        debezium_put_base64((const unsigned char *)p, strlen(p), false, json);
    } else {
        debezium_put_string(slice_of(p), json);
    }
    buf_put_char(json, ']');
}

void debezium_put_placeholder(const struct debezium_options *o, const struct debezium_kind_of *k, struct buf *json)
{
    const char *p = o->placeholder;
    if (k->array) {
        put_placeholder_array(o, k, json);
    } else if (k->value == VALUE_BYTES && o->binary == DEBEZIUM_BINARY_BYTES) {
        debezium_put_base64((const unsigned char *)p, strlen(p), false, json);
    } else if (k->value == VALUE_HSTORE) {
        struct buf inner = {0};
        put_text *put = o->hstore == DEBEZIUM_HSTORE_MAP ? debezium_put_string : debezium_put_inner_string;
        buf_put_char(&inner, '{');
        put(slice_of(p), &inner);
        buf_put_char(&inner, ':');
        put(slice_of(p), &inner);
        buf_put_char(&inner, '}');
        if (o->hstore == DEBEZIUM_HSTORE_MAP) buf_put_slice(json, buf_slice(&inner));
        else debezium_put_string(buf_slice(&inner), json);
        buf_free(&inner);
    } else if (k->value == VALUE_TEXT || k->value == VALUE_BYTES) {
        debezium_put_string(slice_of(p), json);
    } else {
        buf_put_text(json, "null");
    }
}
