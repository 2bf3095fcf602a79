/* Values that Connect carries as structs or maps, as PostgreSQL's text: points and the other shapes
 * (Debezium gives them as well-known binary, with the name of the shape), hstore, vectors. */
#include "format/debezium/decode_int.h"
#include "format/json_scan.h"

#include <stdlib.h>

/* ---- geometry */

static bool put_member(struct slice object, const char *name, struct buf *out)
{
    struct slice raw;
    return json_get(object, slice_of(name), &raw) && put_float(raw, false, out);
}

static bool put_pair(struct slice object, struct buf *out)
{
    buf_put_char(out, '(');
    if (!put_member(object, "x", out)) return false;
    buf_put_char(out, ',');
    if (!put_member(object, "y", out)) return false;
    buf_put_char(out, ')');
    return true;
}

static bool put_circle(struct slice raw, struct slice center, struct buf *out)
{
    buf_put_text(out, "\"<");
    if (!put_pair(center, out)) return false;
    buf_put_char(out, ',');
    if (!put_member(raw, "radius", out)) return false;
    buf_put_text(out, ">\"");
    return true;
}

static bool put_line(struct slice raw, struct buf *out)
{
    buf_put_text(out, "\"{");
    if (!put_member(raw, "a", out)) return false;
    buf_put_char(out, ',');
    if (!put_member(raw, "b", out)) return false;
    buf_put_char(out, ',');
    if (!put_member(raw, "c", out)) return false;
    buf_put_text(out, "}\"");
    return true;
}

static uint32_t u32_at(struct slice bytes, size_t at, bool little)
{
    uint32_t n = 0;
    for (size_t i = 0; i < 4; i++)
        n |= (uint32_t)(unsigned char)bytes.data[at + i] << (little ? 8 * i : 24 - 8 * i);
    return n;
}

static double double_at(struct slice bytes, size_t at, bool little)
{
    uint64_t low = u32_at(bytes, at + (little ? 0 : 4), little),
             high = u32_at(bytes, at + (little ? 4 : 0), little);
    uint64_t bits = high << 32 | low;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The points of a line string or of a polygon's one ring. */
struct ring {
    struct slice bytes;
    size_t at, count;
    bool little;
};

static bool ring_open(struct slice bytes, struct ring *r)
{
    if (bytes.len < 9) return false;
    r->bytes = bytes;
    r->little = bytes.data[0] == 1;
    uint32_t type = u32_at(bytes, 1, r->little), n = u32_at(bytes, 5, r->little);
    r->at = 9;
    if (type == 3) {
        if (n != 1 || bytes.len < 13) return false;
        n = u32_at(bytes, 9, r->little);
        r->at = 13;
    } else if (type != 2) {
        return false;
    }
    r->count = n;
    return (bytes.len - r->at) / 16 == n && (bytes.len - r->at) % 16 == 0;
}

static void put_point(const struct ring *r, size_t i, struct buf *out)
{
    buf_put_char(out, '(');
    put_double(double_at(r->bytes, r->at + i * 16, r->little), false, out);
    buf_put_char(out, ',');
    put_double(double_at(r->bytes, r->at + i * 16 + 8, r->little), false, out);
    buf_put_char(out, ')');
}

static void put_points(const struct ring *r, size_t count, const char *open, const char *close,
                       struct buf *out)
{
    buf_put_text(out, open);
    for (size_t i = 0; i < count; i++) {
        if (i) buf_put_char(out, ',');
        put_point(r, i, out);
    }
    buf_put_text(out, close);
}

static bool put_shape(struct slice bytes, struct slice type, struct buf *out)
{
    struct ring r = {0};
    if (!ring_open(bytes, &r) || r.count == 0) return false;
    if (slice_equal(type, SLICE("\"box\""))) { /* corners: high, .., low, .. */
        if (r.count < 3) return false;
        buf_put_char(out, '"');
        put_point(&r, 0, out);
        buf_put_char(out, ',');
        put_point(&r, 2, out);
        buf_put_char(out, '"');
    } else if (slice_equal(type, SLICE("\"lseg\"")))
        put_points(&r, r.count, "\"[", "]\"", out);
    else if (slice_equal(type, SLICE("\"polygon\""))) /* the first point comes again as the last */
        put_points(&r, r.count > 1 ? r.count - 1 : 1, "\"(", ")\"", out);
    else if (slice_equal(type, SLICE("\"path\"")))
        put_points(&r, r.count, "\"[", "]\"", out);
    else
        return false;
    return true;
}

/* PostGIS prints extended well-known binary as upper-case hexadecimal digits. */
static void put_ewkb(struct slice bytes, int64_t srid, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char head[9] = {0};
    size_t skip = 0, len = 0;
    if (srid > 0 && bytes.len >= 5 && !(u32_at(bytes, 1, bytes.data[0] == 1) & 0x20000000)) {
        bool little = bytes.data[0] == 1;
        uint32_t parts[] = {u32_at(bytes, 1, little) | 0x20000000, (uint32_t)srid};
        head[0] = (unsigned char)bytes.data[0];
        for (size_t i = 0; i < 8; i++)
            head[1 + i] = (unsigned char)(parts[i / 4] >> (little ? 8 * (i % 4) : 24 - 8 * (i % 4)));
        skip = 5;
        len = sizeof head;
    }
    buf_put_char(out, '"');
    for (size_t i = 0; i < len + bytes.len - skip; i++) {
        unsigned char c = i < len ? head[i] : (unsigned char)bytes.data[i - len + skip];
        buf_put_char(out, hex[c >> 4]);
        buf_put_char(out, hex[c & 15]);
    }
    buf_put_char(out, '"');
}

bool put_geometry(struct values *v, struct slice raw, struct buf *out)
{
    struct slice wkb, srid, text, extensions, type = {0}, value;
    int64_t id = 0;
    if (raw.data[0] != '{') return string_of(raw, &v->text, &text) && (buf_put_json(out, text), true);
    if (json_get(raw, SLICE("center"), &value)) return put_circle(raw, value, out);
    if (json_get(raw, SLICE("radius"), &value) || json_get(raw, SLICE("a"), &value))
        return put_line(raw, out);
    if (json_get(raw, SLICE("x"), &value)) {
        buf_put_char(out, '"');
        if (!put_pair(raw, out)) return false;
        buf_put_char(out, '"');
        return true;
    }
    if (!json_get(raw, SLICE("wkb"), &wkb) || !string_of(wkb, &v->text, &text) ||
        !base64_decode(text, &v->bytes))
        return false;
    if (json_get(raw, SLICE("extensions"), &extensions)) (void)json_get(extensions, SLICE("type"), &type);
    if (type.data && !is_null(type) && put_shape(buf_slice(&v->bytes), type, out)) return true;
    if (json_get(raw, SLICE("srid"), &srid) && !is_null(srid) && (!parse_i64(srid, &id) || id > INT32_MAX))
        return false;
    put_ewkb(buf_slice(&v->bytes), id, out);
    return true;
}

/* ---- hstore */

struct pair {
    size_t at, key_len, value_len; /* in one buffer, one after the other */
    bool null;
    const char *base;
};

/* hstore keeps its pairs by length, then by bytes. */
static int by_key(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->key_len != y->key_len) return x->key_len < y->key_len ? -1 : 1;
    return x->key_len ? memcmp(x->base + x->at, y->base + y->at, x->key_len) : 0;
}

static void put_hstore_text(struct slice s, struct buf *out)
{
    buf_put_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"' || s.data[i] == '\\') buf_put_char(out, '\\');
        buf_put_char(out, s.data[i]);
    }
    buf_put_char(out, '"');
}

static bool take_pairs(struct slice object, struct buf *texts, struct pair **pairs, size_t *count)
{
    struct json_scan s = json_scan_object(object);
    struct slice name, value;
    size_t cap = 0;
    while (json_scan_next(&s, &name, &value)) {
        MEM_GROW(*pairs, *count, cap);
        struct pair *p = &(*pairs)[(*count)++];
        *p = (struct pair){.at = texts->len, .null = is_null(value)};
        if (!json_unescape(name, texts)) return false;
        p->key_len = texts->len - p->at;
        if (p->null) continue;
        if (value.data[0] != '"' || !json_unescape(value, texts)) return false;
        p->value_len = texts->len - p->at - p->key_len;
    }
    return json_scan_ok(&s);
}

bool put_hstore(struct values *v, struct slice raw, struct buf *out)
{
    struct slice object = raw, text;
    struct buf texts = {0}, result = {0};
    struct pair *pairs = NULL;
    size_t count = 0;
    if (string_of(raw, &v->text, &text)) object = text;
    bool ok = take_pairs(object, &texts, &pairs, &count);
    for (size_t i = 0; ok && i < count; i++)
        pairs[i].base = texts.data ? texts.data : "";
    if (ok && count > 1) qsort(pairs, count, sizeof *pairs, by_key);
    for (size_t i = 0; ok && i < count; i++) {
        const struct pair *p = &pairs[i];
        if (i) buf_put_text(&result, ", ");
        put_hstore_text((struct slice){p->base + p->at, p->key_len}, &result);
        buf_put_text(&result, "=>");
        if (p->null)
            buf_put_text(&result, "NULL");
        else
            put_hstore_text((struct slice){p->base + p->at + p->key_len, p->value_len}, &result);
    }
    if (ok) buf_put_json(out, result.len ? buf_slice(&result) : SLICE(""));
    buf_free(&texts);
    buf_free(&result);
    mem_free(pairs);
    return ok;
}

/* ---- vectors of pgvector */

static bool put_sparse(struct slice raw, struct buf *out)
{
    struct slice dimensions, map, name, value;
    int64_t n;
    if (!json_get(raw, SLICE("dimensions"), &dimensions) || !parse_i64(dimensions, &n) || n < 0 ||
        !json_get(raw, SLICE("vector"), &map))
        return false;
    struct json_scan s = json_scan_object(map);
    buf_put_text(out, "\"{");
    for (bool first = true; json_scan_next(&s, &name, &value); first = false) {
        int64_t index;
        if (!parse_i64(name, &index)) return false;
        buf_printf(out, "%s%lld:", first ? "" : ",", (long long)index);
        if (!put_float(value, true, out)) return false;
    }
    buf_printf(out, "}/%lld\"", (long long)n);
    return json_scan_ok(&s);
}

bool put_vector(struct slice raw, struct buf *out)
{
    if (raw.data[0] == '{') return put_sparse(raw, out);
    struct json_scan s = json_scan_array(raw);
    struct slice value;
    buf_put_text(out, "\"[");
    for (bool first = true; json_scan_next(&s, NULL, &value); first = false) {
        if (!first) buf_put_char(out, ',');
        if (!put_float(value, true, out)) return false;
    }
    buf_put_text(out, "]\"");
    return json_scan_ok(&s);
}
