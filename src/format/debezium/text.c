/* Strings as Connect's JsonConverter prints them (Jackson's UTF8JsonGenerator): as everybody does, but for \b and \f,
 * capitals in \u001F, and characters beyond U+FFFF as a pair of escapes. Keys are compared, and spread over partitions,
 * by their bytes. */
#include "format/debezium/encode_int.h"

static bool control(unsigned char c)
{
    return c < 0x20 && c != '\n' && c != '\r' && c != '\t';
}

static bool plain(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    bool special = false;
    for (size_t i = 0; i < s.len; i++)
        special |= p[i] >= 0xF0 || control(p[i]);
    return !special;
}

static void put_unit(unsigned unit, struct buf *json)
{
    static const char hex[] = "0123456789ABCDEF";
    const char text[6] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    buf_put(json, text, sizeof text);
}

/* A control character, or a sequence of four bytes; how many bytes it took. */
static size_t put_special(const unsigned char *p, struct buf *json)
{
    if (p[0] < 0x20) {
        if (p[0] == '\b') buf_put_text(json, "\\b");
        else if (p[0] == '\f') buf_put_text(json, "\\f");
        else put_unit(p[0], json);
        return 1;
    }
    unsigned beyond = ((p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u)) - 0x10000;
    put_unit(0xD800 + (beyond >> 10), json);
    put_unit(0xDC00 + (beyond & 0x3FF), json);
    return 4;
}

/* Without the quotes around it. */
static void put_run(struct slice s, struct buf *json)
{
    size_t start = json->len;
    if (!s.len) return;
    buf_put_json(json, s);
    memmove(json->data + start, json->data + start + 1, json->len - start - 2);
    json->len -= 2;
}

static void put(struct slice s, bool pairs, struct buf *json)
{
    const unsigned char *p = (const unsigned char *)s.data;
    size_t from = 0;
    buf_put_char(json, '"');
    for (size_t i = 0; i < s.len;) {
        bool beyond = pairs && p[i] >= 0xF0 && s.len - i >= 4; /* PostgreSQL's texts are valid UTF-8 */
        if (!beyond && !control(p[i])) {
            i++;
            continue;
        }
        put_run((struct slice){s.data + from, i - from}, json);
        i += put_special(p + i, json);
        from = i;
    }
    put_run((struct slice){s.data + from, s.len - from}, json);
    buf_put_char(json, '"');
}

void debezium_put_string(struct slice s, struct buf *json)
{
    if (plain(s)) buf_put_json(json, s);
    else put(s, true, json);
}

void debezium_put_inner_string(struct slice s, struct buf *json)
{
    if (plain(s)) buf_put_json(json, s);
    else put(s, false, json);
}
