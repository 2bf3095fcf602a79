#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void buf_free(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max = b->max};
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t max = b->max ? b->max : BUF_MAX_DEFAULT;
    if (b->full || n > max || b->len > max - n) {
        b->full = true;
        return NULL;
    }
    if (b->cap - b->len < n) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap - b->len < n) cap *= 2;
        b->data = mem_resize(b->data, cap, 1);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
    if (len == 0) return;
    char *at = buf_reserve(b, len);
    if (!at) return;
    memcpy(at, data, len);
    b->len += len;
}

void buf_put_slice(struct buf *b, struct slice s)
{
    buf_put(b, s.data, s.len);
}

void buf_put_text(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_put_char(struct buf *b, char c)
{
    char *at = buf_reserve(b, 1);
    if (!at) return;
    *at = c;
    b->len++;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *at = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
    if (at) {
        vsnprintf(at, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    buf_put_char(b, (char)v);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    unsigned char bytes[2] = {(unsigned char)v, (unsigned char)(v >> 8)};
    buf_put(b, bytes, sizeof bytes);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    buf_put_u16(b, (uint16_t)v);
    buf_put_u16(b, (uint16_t)(v >> 16));
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(v >> (8 * i));
    buf_put(b, bytes, sizeof bytes);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    while (v >= 0x80) {
        buf_put_char(b, (char)(v | 0x80));
        v >>= 7;
    }
    buf_put_char(b, (char)v);
}

void buf_put_string(struct buf *b, struct slice s)
{
    buf_put_varint(b, s.len);
    buf_put(b, s.data, s.len);
}

void buf_put_nullable(struct buf *b, struct slice s)
{
    buf_put_char(b, s.data ? 0 : 1);
    if (s.data) buf_put_string(b, s);
}

/* Length of the valid UTF-8 sequence at p (RFC 3629), 0 when there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
    size_t n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (left < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
    if (p[0] == 0xED && p[1] > 0x9F) return 0;
    if (p[0] == 0xF0 && p[1] < 0x90) return 0;
    if (p[0] == 0xF4 && p[1] > 0x8F) return 0;
    return n;
}

void buf_put_json(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    buf_put_char(b, '"');
    const unsigned char *p = (const unsigned char *)s.data;
    size_t plain = 0; /* start of the run that needs no escaping */
    for (size_t i = 0; i < s.len;) {
        unsigned char c = p[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t n = c >= 0x80 ? utf8_sequence(p + i, s.len - i) : 0;
        if (n) {
            i += n;
            continue;
        }
        buf_put(b, p + plain, i - plain);
        switch (c) {
        case '"': buf_put(b, "\\\"", 2); break;
        case '\\': buf_put(b, "\\\\", 2); break;
        case '\n': buf_put(b, "\\n", 2); break;
        case '\r': buf_put(b, "\\r", 2); break;
        case '\t': buf_put(b, "\\t", 2); break;
        default:
            if (c >= 0x80) {
                buf_put(b, "\xEF\xBF\xBD", 3);
            } else {
                char u[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
                buf_put(b, u, sizeof u);
            }
        }
        plain = ++i;
    }
    buf_put(b, p + plain, s.len - plain);
    buf_put_char(b, '"');
}

static void put_quoted(struct buf *b, struct slice s, char quote)
{
    buf_put_char(b, quote);
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == quote || s.data[i] == '\\') buf_put_char(b, '\\');
        if (s.data[i] == '\0') buf_put_text(b, "\\0");
        else buf_put_char(b, s.data[i]);
    }
    buf_put_char(b, quote);
}

void buf_put_sql_text(struct buf *b, struct slice s)
{
    put_quoted(b, s, '\'');
}

void buf_put_sql_name(struct buf *b, const char *name)
{
    put_quoted(b, slice_of(name), '`');
}

const char *buf_text(struct buf *b)
{
    char *at = buf_reserve(b, 1);
    if (!at) return "";
    *at = '\0';
    return b->data;
}

char *buf_take(struct buf *b)
{
    buf_text(b);
    char *data = b->data ? b->data : mem_textn("", 0);
    *b = (struct buf){.max = b->max};
    return data;
}
