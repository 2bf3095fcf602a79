#include "format/json_scan.h"

static void skip_blanks(struct slice *s)
{
    while (s->len &&
           (s->data[0] == ' ' || s->data[0] == '\t' || s->data[0] == '\n' || s->data[0] == '\r')) {
        s->data++;
        s->len--;
    }
}

static bool take(struct slice *s, char c)
{
    skip_blanks(s);
    if (!s->len || s->data[0] != c) return false;
    s->data++;
    s->len--;
    return true;
}

/* Length of the string literal at the start, quotes included; 0 when it does not end. */
static size_t string_length(struct slice s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Length of an object or array, by the depth of its brackets. */
static size_t nested_length(struct slice s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '"') {
            size_t n = string_length((struct slice){s.data + i, s.len - i});
            if (!n) return 0;
            i += n - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static size_t value_length(struct slice s)
{
    if (!s.len) return 0;
    if (s.data[0] == '"') return string_length(s);
    if (s.data[0] == '{' || s.data[0] == '[') return nested_length(s);
    size_t n = 0;
    while (n < s.len && s.data[n] > ' ' && !strchr(",]}\":[{", s.data[n]))
        n++;
    return n;
}

static bool take_value(struct slice *s, struct slice *value)
{
    skip_blanks(s);
    size_t n = value_length(*s);
    *value = (struct slice){s->data, n};
    s->data += n;
    s->len -= n;
    return n > 0;
}

static struct json_scan scan_open(struct slice text, bool array)
{
    struct json_scan s = {.rest = text, .array = array};
    s.failed = !take(&s.rest, array ? '[' : '{');
    return s;
}

struct json_scan json_scan_object(struct slice text)
{
    return scan_open(text, false);
}

struct json_scan json_scan_array(struct slice text)
{
    return scan_open(text, true);
}

static bool take_member(struct json_scan *s, struct slice *name, struct slice *value)
{
    if (!s->array) {
        struct slice quoted;
        skip_blanks(&s->rest);
        if (!s->rest.len || s->rest.data[0] != '"' || !take_value(&s->rest, &quoted) ||
            !take(&s->rest, ':'))
            return false;
        *name = (struct slice){quoted.data + 1, quoted.len - 2};
    }
    return take_value(&s->rest, value);
}

bool json_scan_next(struct json_scan *s, struct slice *name, struct slice *value)
{
    if (s->failed || s->done) return false;
    if (take(&s->rest, s->array ? ']' : '}')) {
        skip_blanks(&s->rest);
        s->done = s->rest.len == 0;
        s->failed = !s->done;
        return false;
    }
    s->failed = (s->started && !take(&s->rest, ',')) || !take_member(s, name, value);
    s->started = true;
    return !s->failed;
}

bool json_scan_ok(const struct json_scan *s)
{
    return s->done && !s->failed;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool hex4(struct slice s, size_t at, uint32_t *out)
{
    if (s.len < at + 4) return false;
    *out = 0;
    for (size_t i = at; i < at + 4; i++) {
        int d = hex_digit(s.data[i]);
        if (d < 0) return false;
        *out = *out << 4 | (uint32_t)d;
    }
    return true;
}

static void put_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_put_u8(out, (uint8_t)c);
    } else if (c < 0x800) {
        buf_put_u8(out, (uint8_t)(0xC0 | c >> 6));
        buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
    } else if (c < 0x10000) {
        buf_put_u8(out, (uint8_t)(0xE0 | c >> 12));
        buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
        buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
    } else {
        buf_put_u8(out, (uint8_t)(0xF0 | c >> 18));
        buf_put_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3F)));
        buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
        buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3F)));
    }
}

/* \uXXXX at i (on the 'u'); a pair of surrogates is one character, half a pair is U+FFFD. */
static bool take_unicode(struct slice s, size_t *i, struct buf *out)
{
    uint32_t c, low;
    if (!hex4(s, *i + 1, &c)) return false;
    *i += 4;
    if (c >= 0xD800 && c < 0xDC00 && s.len > *i + 2 && s.data[*i + 1] == '\\' && s.data[*i + 2] == 'u' &&
        hex4(s, *i + 3, &low) && low >= 0xDC00 && low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        *i += 6;
    }
    put_utf8(out, c >= 0xD800 && c < 0xE000 ? 0xFFFD : c);
    return true;
}

bool json_unescape(struct slice s, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"') {
        s.data++;
        s.len -= 2;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] != '\\') {
            buf_put_char(out, s.data[i]);
            continue;
        }
        if (++i == s.len) return false;
        const char *at = s.data[i] ? strchr(from, s.data[i]) : NULL;
        if (at)
            buf_put_char(out, to[at - from]);
        else if (s.data[i] != 'u' || !take_unicode(s, &i, out))
            return false;
    }
    return true;
}

bool json_name_is(struct slice raw, struct slice plain)
{
    if (!raw.len || !memchr(raw.data, '\\', raw.len)) return slice_equal(raw, plain);
    struct buf text = {0};
    bool same = json_unescape(raw, &text) && slice_equal(buf_slice(&text), plain);
    buf_free(&text);
    return same;
}

bool json_get(struct slice object, struct slice name, struct slice *value)
{
    struct json_scan s = json_scan_object(object);
    struct slice at;
    while (json_scan_next(&s, &at, value))
        if (json_name_is(at, name)) return true;
    return false;
}
