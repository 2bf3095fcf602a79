/* One value of an event as canonical JSON (format/pgvalue.h), and the placeholder that stands for a value
 * which the connector did not have. JSON itself tells much: a decimal that is a number or has a point is no
 * base64. */
#include "format/debezium/decode_int.h"
#include "format/json_scan.h"

/* ---- texts */

bool string_of(struct slice raw, struct buf *scratch, struct slice *out)
{
    if (raw.len < 2 || raw.data[0] != '"' || raw.data[raw.len - 1] != '"') return false;
    *out = (struct slice){raw.data + 1, raw.len - 2};
    if (!memchr(out->data, '\\', out->len)) return true;
    buf_clear(scratch);
    if (!json_unescape(raw, scratch) || !buf_ok(scratch)) return false;
    *out = scratch->len ? buf_slice(scratch) : SLICE("");
    return true;
}

/* A number or a boolean where a text is expected: its own text. */
static bool put_text(struct values *v, struct slice raw, struct buf *out)
{
    struct slice text = raw;
    if (!string_of(raw, &v->text, &text) && strchr("\"{[", raw.data[0])) return false;
    buf_put_json(out, text);
    return true;
}

static bool put_any(struct values *v, struct slice raw, struct buf *out)
{
    struct slice text = raw;
    (void)string_of(raw, &v->text, &text);
    buf_put_json(out, text);
    return true;
}

static bool put_boolean(struct slice raw, bool bit, struct buf *out)
{
    bool yes = slice_equal(raw, SLICE("true"));
    if (!yes && !slice_equal(raw, SLICE("false"))) return false;
    buf_put_text(out, bit ? (yes ? "\"1\"" : "\"0\"") : yes ? "true" : "false");
    return true;
}

static bool put_integer(struct values *v, struct slice raw, struct buf *out)
{
    int64_t n;
    struct slice text = raw;
    if (!string_of(raw, &v->text, &text)) text = raw;
    if (!parse_i64(text, &n)) return false;
    buf_put_slice(out, n ? text : SLICE("0"));
    return true;
}

static bool put_floating(struct values *v, struct slice raw, bool single, struct buf *out)
{
    struct slice text;
    if (!string_of(raw, &v->text, &text)) return put_float(raw, single, out);
    if (!slice_equal(text, SLICE("NaN")) && !slice_equal(text, SLICE("Infinity")) &&
        !slice_equal(text, SLICE("-Infinity")))
        return put_float(text, single, out);
    buf_put_json(out, text);
    return true;
}

/* ---- bytes */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool hex_decode(struct slice text, struct buf *bytes)
{
    buf_clear(bytes);
    if (text.len % 2) return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0) return false;
        buf_put_char(bytes, (char)(high << 4 | low));
    }
    return true;
}

static bool put_bytes(struct values *v, const struct converter *as, struct slice raw, struct buf *out)
{
    struct slice text;
    bool hex = as->conv == CONV_HEX;
    if (!string_of(raw, &v->text, &text)) return false;
    if (!(hex ? hex_decode(text, &v->bytes) : base64_decode(text, &v->bytes))) return false;
    if (as->text_bytes) {
        buf_put_json(out, v->bytes.len ? buf_slice(&v->bytes) : SLICE(""));
        return true;
    }
    buf_put_char(out, '"');
    base64_encode(buf_slice(&v->bytes), false, out);
    buf_put_char(out, '"');
    return true;
}

static bool put_bits(struct values *v, struct slice raw, int32_t length, struct buf *out)
{
    struct slice text;
    if (raw.data[0] == 't' || raw.data[0] == 'f') return put_boolean(raw, true, out);
    if (!string_of(raw, &v->text, &text) || !base64_decode(text, &v->bytes)) return false;
    if (length > 0 && v->bytes.len > ((size_t)length + 7) / 8) return false;
    if (length > 0 && (size_t)length > v->bytes.len * 8 + 8192)
        return false; /* no such column: 1 KB of zeros */
    put_bit_string(buf_slice(&v->bytes), length, out);
    return true;
}

/* ---- decimals */

static bool put_struct_decimal(struct values *v, struct slice raw, struct buf *out)
{
    struct slice scale, value, text;
    int64_t n;
    return json_get(raw, SLICE("scale"), &scale) && json_get(raw, SLICE("value"), &value) &&
           parse_i64(scale, &n) && string_of(value, &v->text, &text) && base64_decode(text, &v->bytes) &&
           put_bytes_decimal(v, buf_slice(&v->bytes), n, out);
}

/* Digits, a sign, a point, an exponent; base64 of a number may look so only when it is digits alone. */
static bool surely_digits(struct slice text)
{
    return text.len && (text.data[0] == '-' || memchr(text.data, '.', text.len));
}

static bool surely_base64(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789.-+eE", text.data[i])) return true;
    return false;
}

static bool special_number(struct slice text)
{
    return slice_equal(text, SLICE("NAN")) || slice_equal(text, SLICE("NaN")) ||
           (text.len >= 8 && slice_equal((struct slice){text.data + text.len - 7, 7}, SLICE("nfinity"))) ||
           (text.len >= 8 && slice_equal((struct slice){text.data + text.len - 8, 8}, SLICE("INFINITY"))) ||
           slice_equal(text, SLICE("Infinity"));
}

static bool put_decimal(struct values *v, const struct converter *as, struct slice raw, struct buf *out)
{
    struct slice text;
    if (raw.data[0] == '{') return put_struct_decimal(v, raw, out);
    if (!string_of(raw, &v->text, &text)) return put_text_decimal(v, raw, as->scale, true, out);
    bool digits = as->conv == CONV_NUMBER || as->scale == SCALE_ANY;
    if (text.len != 3 && special_number(text)) digits = true; /* "NAN" is base64 too: by the mode */
    if (surely_digits(text))
        digits = true;
    else if (as->scale != SCALE_ANY && surely_base64(text) && !special_number(text))
        digits = false;
    /* decimal digits stand as the source printed them */
    if (digits)
        return put_text_decimal(v, text, as->conv == CONV_NUMBER ? SCALE_ANY : as->scale, false, out);
    return base64_decode(text, &v->bytes) && put_bytes_decimal(v, buf_slice(&v->bytes), as->scale, out);
}

/* ---- the whole */

static bool put_scalar(struct values *v, const struct converter *as, struct slice raw, struct buf *out)
{
    switch (as->conv) {
    case CONV_TEXT: return put_text(v, raw, out);
    case CONV_INTEGER: return put_integer(v, raw, out);
    case CONV_BOOLEAN: return put_boolean(raw, false, out);
    case CONV_FLOAT4: return put_floating(v, raw, true, out);
    case CONV_FLOAT8: return put_floating(v, raw, false, out);
    case CONV_BYTES:
    case CONV_HEX: return put_bytes(v, as, raw, out);
    case CONV_DECIMAL:
    case CONV_NUMBER: return put_decimal(v, as, raw, out);
    case CONV_DATE: return put_date(raw, &v->text, out);
    case CONV_TIME_MS: return put_time(raw, 1000, &v->text, out);
    case CONV_TIME_US: return put_time(raw, 1000000, &v->text, out);
    case CONV_TIME_NS: return put_time(raw, 1000000000, &v->text, out);
    case CONV_TIMESTAMP_MS: return put_timestamp(raw, 1000, false, &v->text, out);
    case CONV_TIMESTAMP_US: return put_timestamp(raw, 1000000, false, &v->text, out);
    case CONV_TIMESTAMP_NS: return put_timestamp(raw, 1000000000, false, &v->text, out);
    case CONV_TIMESTAMPTZ: return put_timestamp(raw, 1000000, true, &v->text, out);
    case CONV_TIMETZ: return put_timetz(raw, &v->text, out);
    case CONV_INTERVAL: return put_interval(raw, &v->text, out);
    case CONV_BITS: return put_bits(v, raw, as->scale, out);
    case CONV_GEOMETRY: return put_geometry(v, raw, out);
    case CONV_HSTORE: return put_hstore(v, raw, out);
    case CONV_VECTOR: return put_vector(raw, out);
    case CONV_ANY: return put_any(v, raw, out);
    }
    return false;
}

static bool put_array(struct values *v, const struct converter *as, struct slice raw, int depth,
                      struct buf *out)
{
    struct json_scan s = json_scan_array(raw);
    struct slice value;
    bool first = true;
    if (depth > DECODE_DEPTH_MAX) return false;
    buf_put_char(out, '[');
    for (; json_scan_next(&s, NULL, &value); first = false) {
        if (!first) buf_put_char(out, ',');
        if (is_null(value))
            buf_put_text(out, "null");
        else if (value.data[0] == '[' && as->conv != CONV_ANY && as->conv != CONV_VECTOR) {
            if (!put_array(v, as, value, depth + 1, out)) return false;
        } else if (!put_scalar(v, as, value, out))
            return false;
    }
    buf_put_char(out, ']');
    return json_scan_ok(&s);
}

bool value_put(struct values *v, const struct converter *as, struct slice raw, struct buf *out)
{
    size_t start = out->len;
    if (is_null(raw)) {
        buf_put_text(out, "null");
        return true;
    }
    if (as->array ? put_array(v, as, raw, 1, out) : put_scalar(v, as, raw, out)) return true;
    out->len = start;
    return false;
}

const char *converter_expects(const struct converter *as)
{
    static const char *const names[] = {
        [CONV_TEXT] = "a text",
        [CONV_INTEGER] = "an integer",
        [CONV_BOOLEAN] = "a boolean",
        [CONV_FLOAT4] = "a floating-point number",
        [CONV_FLOAT8] = "a floating-point number",
        [CONV_BYTES] = "bytes in base64",
        [CONV_HEX] = "bytes as hexadecimal digits",
        [CONV_DECIMAL] = "a decimal (decimal.handling.mode=precise)",
        [CONV_NUMBER] = "a decimal",
        [CONV_DATE] = "a date",
        [CONV_TIME_MS] = "a time of day in milliseconds",
        [CONV_TIME_US] = "a time of day in microseconds",
        [CONV_TIME_NS] = "a time of day in nanoseconds",
        [CONV_TIMESTAMP_MS] = "a timestamp in milliseconds",
        [CONV_TIMESTAMP_US] = "a timestamp in microseconds",
        [CONV_TIMESTAMP_NS] = "a timestamp in nanoseconds",
        [CONV_TIMESTAMPTZ] = "a timestamp with time zone",
        [CONV_TIMETZ] = "a time of day with time zone",
        [CONV_INTERVAL] = "an interval",
        [CONV_BITS] = "bits in base64",
        [CONV_GEOMETRY] = "a geometry",
        [CONV_HSTORE] = "an hstore",
        [CONV_VECTOR] = "a vector",
        [CONV_ANY] = "JSON",
    };
    return names[as->conv];
}

/* ---- what stands for values that are not known */

void values_open(struct values *v, const char *placeholder)
{
    struct placeholder *p = &v->placeholder;
    struct slice bytes = placeholder ? slice_of(placeholder) : SLICE("__debezium_unavailable_value");
    if (bytes.len >= 4 && memcmp(bytes.data, "hex:", 4) == 0 &&
        hex_decode((struct slice){bytes.data + 4, bytes.len - 4}, &v->bytes))
        bytes = v->bytes.len ? buf_slice(&v->bytes) : SLICE("");
    buf_put_json(&p->text, bytes);
    buf_put_char(&p->base64, '"');
    base64_encode(bytes, false, &p->base64);
    buf_put_char(&p->base64, '"');
    buf_put_char(&p->base64_url, '"');
    base64_encode(bytes, true, &p->base64_url);
    buf_put_char(&p->base64_url, '"');
    buf_put_char(&p->hex, '"');
    for (size_t i = 0; i < bytes.len; i++) {
        buf_printf(&p->hex, "%02x", (unsigned)(unsigned char)bytes.data[i]);
        buf_printf(&p->numbers, "%s%d", i ? "," : "", (signed char)bytes.data[i]);
    }
    buf_put_char(&p->hex, '"');
    debezium_put_name_uuid(bytes, &p->uuid);
    buf_printf(&p->hstore, "{%.*s:%.*s}", (int)p->text.len, p->text.data, (int)p->text.len, p->text.data);
    buf_put_json(&p->hstore_text, buf_slice(&p->hstore));
}

void values_close(struct values *v)
{
    struct placeholder *p = &v->placeholder;
    struct buf *all[] = {&p->text,   &p->base64, &p->base64_url, &p->hex,   &p->numbers,
                         &p->hstore, &p->hstore_text, &p->uuid, &v->text, &v->bytes, &v->digits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_free(all[i]);
}

static bool is(struct slice raw, const struct buf *b)
{
    return slice_equal(raw, buf_slice(b));
}

static bool scalar_unavailable(const struct placeholder *p, const struct converter *as, struct slice raw)
{
    switch (as->conv) {
    case CONV_TEXT: /* an hstore too, when its schema tells JSON alone */
    case CONV_ANY: return is(raw, &p->text) || is(raw, &p->hstore_text);
    case CONV_BYTES:
    case CONV_HEX:
        return is(raw, &p->text) || is(raw, &p->base64) || is(raw, &p->base64_url) || is(raw, &p->hex);
    case CONV_HSTORE: {
        if (raw.data[0] == '{') return is(raw, &p->hstore);
        if (is(raw, &p->text)) return true;
        struct buf text = {0};
        bool same = json_unescape(raw, &text) && is(buf_slice(&text), &p->hstore);
        buf_free(&text);
        return same;
    }
    default: return false;
    }
}

/* An array has the placeholder as its one element, or its bytes when its elements are numbers. An array of
 * uuids has the name-based one. */
bool value_unavailable(const struct values *v, const struct converter *as, struct slice raw)
{
    const struct placeholder *p = &v->placeholder;
    if (!as->array) {
        if (raw.data[0] != '"' && raw.data[0] != '{') return false;
        return scalar_unavailable(p, as, raw);
    }
    if (raw.len < 2 || raw.data[0] != '[') return is(raw, &p->text);
    struct slice inner = {raw.data + 1, raw.len - 2};
    if (inner.len == 0) return false;
    if (as->conv == CONV_INTEGER || as->conv == CONV_DATE) return is(inner, &p->numbers);
    /* by its schema an array of bytea that are sent as texts is one of texts */
    if (is(inner, &p->uuid) || is(inner, &p->base64)) return as->conv == CONV_TEXT || scalar_unavailable(p, as, inner);
    return scalar_unavailable(p, as, inner);
}

static bool zero_number(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("0.-\"", s.data[i])) return false;
    return true;
}

bool value_is_filler(const struct field *f, struct slice canonical)
{
    static const char *const zeros[] = {
        "null",
        "false",
        "\"\"",
        "\"{}\"",
        "[]",
        "\"1970-01-01\"",
        "\"00:00:00\"",
        "\"00:00:00+00\"",
        "\"1970-01-01 00:00:00\"",
        "\"1970-01-01 00:00:00+00\"",
        "\"(0,0)\"",
        "\"00000000-0000-0000-0000-000000000000\"",
    };
    if (f->fallback && slice_equal(canonical, slice_of(f->fallback))) return true;
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
        if (slice_equal(canonical, slice_of(zeros[i]))) return true;
    return zero_number(canonical);
}
