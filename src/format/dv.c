/* Deletion vectors: see dv.h for the format and the invariants. */
#include "format/dv.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>
#include <zlib.h>

enum {
    BITMAP_MAGIC = 1681511377,
    COOKIE_PLAIN = 12346,
    COOKIE_RUNS = 12347,
    ARRAY_MAX = 4096,
    BITS_BYTES = 8192,
    OFFSETS_FROM = 4, /* with run containers, offsets are there only from so many containers on */
    FILE_VERSION = 1,
};

static const char z85_digits[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

void z85_encode(struct slice bytes, struct buf *text)
{
    for (size_t at = 0; at < bytes.len; at += 4) {
        uint32_t v = 0;
        for (size_t i = 0; i < 4; i++)
            v = v << 8 | (at + i < bytes.len ? (unsigned char)bytes.data[at + i] : 0);
        char group[5];
        for (int i = 4; i >= 0; i--, v /= 85)
            group[i] = z85_digits[v % 85];
        buf_put(text, group, sizeof group);
    }
}

bool z85_decode(struct slice text, struct buf *bytes)
{
    if (text.len % 5) return false;
    for (size_t at = 0; at < text.len; at += 5) {
        uint64_t v = 0;
        for (size_t i = 0; i < 5; i++) {
            const char *digit = memchr(z85_digits, text.data[at + i], sizeof z85_digits - 1);
            if (!digit) return false;
            v = v * 85 + (uint64_t)(digit - z85_digits);
        }
        if (v > UINT32_MAX) return false;
        for (unsigned shift = 24;; shift -= 8) {
            buf_put_u8(bytes, (uint8_t)(v >> shift));
            if (shift == 0) break;
        }
    }
    return true;
}

void uuid_make(unsigned char bytes[UUID_BYTES])
{
    /* Up to 256 bytes are given whole or not at all (getrandom(2)); without them no name is unique. */
    if (getrandom(bytes, UUID_BYTES, 0) != UUID_BYTES) abort();
    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80);
}

void uuid_format(const unsigned char bytes[UUID_BYTES], char text[UUID_TEXT + 1])
{
    static const char hex[] = "0123456789abcdef";
    char *at = text;
    for (int i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
        *at++ = hex[bytes[i] >> 4];
        *at++ = hex[bytes[i] & 15];
    }
    *at = '\0';
}

/* ---- writing ---- */

/* Rows from `from` on that share their bits 16..31. */
static size_t container_length(const uint32_t *rows, size_t from, size_t count)
{
    size_t to = from;
    while (to < count && rows[to] >> 16 == rows[from] >> 16)
        to++;
    return to - from;
}

static void put_container(const uint32_t *rows, size_t count, struct buf *out)
{
    if (count <= ARRAY_MAX) {
        for (size_t i = 0; i < count; i++)
            buf_put_u16(out, (uint16_t)rows[i]);
        return;
    }
    char *bits = buf_reserve(out, BITS_BYTES);
    if (!bits) return;
    memset(bits, 0, BITS_BYTES);
    for (size_t i = 0; i < count; i++) {
        size_t low = rows[i] & 0xFFFF;
        bits[low / 8] = (char)(bits[low / 8] | 1 << low % 8);
    }
    out->len += BITS_BYTES;
}

void dv_encode(const uint32_t *rows, size_t count, struct buf *out)
{
    assert(count > 0);
    buf_put_u32(out, BITMAP_MAGIC);
    buf_put_u64(out, 1);
    buf_put_u32(out, 0);
    uint32_t containers = 0;
    for (size_t at = 0; at < count; at += container_length(rows, at, count))
        containers++;
    buf_put_u32(out, COOKIE_PLAIN);
    buf_put_u32(out, containers);
    for (size_t at = 0, n; at < count; at += n) {
        n = container_length(rows, at, count);
        buf_put_u16(out, (uint16_t)(rows[at] >> 16));
        buf_put_u16(out, (uint16_t)(n - 1));
    }
    uint32_t offset = 8 + containers * 8;
    for (size_t at = 0, n; at < count; at += n) {
        n = container_length(rows, at, count);
        buf_put_u32(out, offset);
        offset += n <= ARRAY_MAX ? (uint32_t)n * 2 : BITS_BYTES;
    }
    for (size_t at = 0, n; at < count; at += n) {
        n = container_length(rows, at, count);
        put_container(rows + at, n, out);
    }
}

/* ---- reading ---- */

/* A sticky reader: past the end it gives zeroes and remembers. */
struct cursor {
    struct slice left;
    bool bad;
};

static const unsigned char *take(struct cursor *c, size_t n)
{
    if (c->bad || c->left.len < n) {
        c->bad = true;
        return NULL;
    }
    const unsigned char *at = (const unsigned char *)c->left.data;
    c->left.data += n;
    c->left.len -= n;
    return at;
}

static uint64_t little_endian(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; p && i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static uint64_t take_number(struct cursor *c, size_t bytes)
{
    return little_endian(take(c, bytes), bytes);
}

static uint32_t big_endian32(const char *data)
{
    const unsigned char *p = (const unsigned char *)data;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The head of one 32-bit roaring bitmap. */
struct roaring {
    const unsigned char *keys; /* containers x (le16 key, le16 cardinality-1) */
    const unsigned char *runs; /* one flag bit for each container; NULL without runs */
    size_t containers;
};

static size_t roaring_cardinality(const struct roaring *r, size_t i)
{
    return (size_t)little_endian(r->keys + i * 4 + 2, 2) + 1;
}

static uint32_t roaring_key(const struct roaring *r, size_t i)
{
    return (uint32_t)little_endian(r->keys + i * 4, 2);
}

static bool roaring_is_run(const struct roaring *r, size_t i)
{
    return r->runs && (r->runs[i / 8] >> i % 8 & 1);
}

static void take_roaring(struct cursor *c, struct roaring *r)
{
    uint32_t cookie = (uint32_t)take_number(c, 4);
    *r = (struct roaring){0};
    if (cookie == COOKIE_PLAIN) {
        r->containers = (size_t)take_number(c, 4);
    } else if ((cookie & 0xFFFF) == COOKIE_RUNS) {
        r->containers = (cookie >> 16) + 1;
        r->runs = take(c, (r->containers + 7) / 8);
    } else {
        c->bad = true;
    }
    if (r->containers > 65536) c->bad = true;
    if (c->bad) return;
    r->keys = take(c, r->containers * 4);
    if (!r->runs || r->containers >= OFFSETS_FROM) take(c, r->containers * 4);
    for (size_t i = 1; !c->bad && i < r->containers; i++)
        if (roaring_key(r, i) <= roaring_key(r, i - 1)) c->bad = true;
}

/* Each container reader writes at most `n` rows, n being the cardinality of the head, and marks the
 * cursor bad when the container holds another number. out == NULL: passes over. */
static void take_array(struct cursor *c, size_t n, uint64_t high, uint64_t *out)
{
    const unsigned char *p = take(c, n * 2);
    for (size_t i = 0; p && out && i < n; i++) {
        uint64_t low = little_endian(p + i * 2, 2);
        out[i] = high | low;
        if (i > 0 && out[i] <= out[i - 1]) c->bad = true;
    }
}

static void take_bits(struct cursor *c, size_t n, uint64_t high, uint64_t *out)
{
    const unsigned char *p = take(c, BITS_BYTES);
    size_t found = 0;
    for (size_t low = 0; p && out && low < 65536; low++) {
        if (!(p[low / 8] >> low % 8 & 1)) continue;
        if (found < n) out[found] = high | low;
        found++;
    }
    if (out && found != n) c->bad = true;
}

static void take_runs(struct cursor *c, size_t n, uint64_t high, uint64_t *out)
{
    size_t runs = (size_t)take_number(c, 2), found = 0, next = 0;
    const unsigned char *p = take(c, runs * 4);
    for (size_t i = 0; p && out && !c->bad && i < runs; i++) {
        size_t start = (size_t)little_endian(p + i * 4, 2);
        size_t len = (size_t)little_endian(p + i * 4 + 2, 2) + 1;
        if (start < next || start + len > 65536 || found + len > n) {
            c->bad = true;
            return;
        }
        for (size_t j = 0; j < len; j++)
            out[found++] = high | (start + j);
        next = start + len;
    }
    if (out && found != n) c->bad = true;
}

/* Walks the whole bitmap; with out == NULL only sums the cardinalities of the heads. */
static bool walk(struct slice bitmap, uint64_t *out, size_t *count)
{
    struct cursor c = {.left = bitmap};
    if (take_number(&c, 4) != BITMAP_MAGIC) return false;
    uint64_t buckets = take_number(&c, 8), last_key = 0;
    size_t total = 0;
    for (uint64_t b = 0; !c.bad && b < buckets; b++) {
        uint64_t key = take_number(&c, 4);
        if (key > INT32_MAX || (b > 0 && key <= last_key)) c.bad = true;
        last_key = key;
        struct roaring r;
        take_roaring(&c, &r);
        for (size_t i = 0; !c.bad && i < r.containers; i++) {
            size_t n = roaring_cardinality(&r, i);
            uint64_t high = key << 32 | (uint64_t)roaring_key(&r, i) << 16;
            uint64_t *to = out ? out + total : NULL;
            if (roaring_is_run(&r, i))
                take_runs(&c, n, high, to);
            else if (n <= ARRAY_MAX)
                take_array(&c, n, high, to);
            else
                take_bits(&c, n, high, to);
            total += n;
        }
    }
    *count = total;
    return !c.bad && c.left.len < 4; /* an inline vector may carry its padding */
}

bool dv_decode(struct slice bitmap, int64_t cardinality, uint64_t **rows, size_t *count, struct error *err)
{
    size_t n = 0;
    *rows = NULL;
    *count = 0;
    if (!walk(bitmap, NULL, &n)) return error_set(err, ERROR_DATA, "the deletion vector is damaged");
    if (cardinality >= 0 && (uint64_t)cardinality != n)
        return error_set(err, ERROR_DATA, "the deletion vector holds %zu rows, the log tells %lld", n,
                         (long long)cardinality);
    uint64_t *out = mem_resize(NULL, n ? n : 1, sizeof *out);
    if (!walk(bitmap, out, &n)) {
        mem_free(out);
        return error_set(err, ERROR_DATA, "the deletion vector is damaged");
    }
    *rows = out;
    *count = n;
    return true;
}

/* ---- files ---- */

static void put_big_endian32(struct buf *out, uint32_t v)
{
    const unsigned char bytes[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                    (unsigned char)(v >> 8), (unsigned char)v};
    buf_put(out, bytes, sizeof bytes);
}

void dv_file_put(struct buf *file, struct slice bitmap, int32_t *offset)
{
    if (file->len == 0) buf_put_u8(file, FILE_VERSION);
    *offset = (int32_t)file->len;
    put_big_endian32(file, (uint32_t)bitmap.len);
    buf_put_slice(file, bitmap);
    put_big_endian32(file, (uint32_t)crc32_z(0, (const unsigned char *)bitmap.data, bitmap.len));
}

bool dv_file_get(struct slice file, int32_t offset, int32_t size_bytes, struct slice *bitmap,
                 struct error *err)
{
    if (file.len < 1 || file.data[0] != FILE_VERSION)
        return error_set(err, ERROR_DATA, "the deletion vector file has an unknown version");
    if (offset < 1 || size_bytes < 0 || (size_t)offset + (size_t)size_bytes + 8 > file.len)
        return error_set(err, ERROR_DATA, "the deletion vector lies outside its file");
    const char *at = file.data + offset;
    if (big_endian32(at) != (uint32_t)size_bytes)
        return error_set(err, ERROR_DATA, "the deletion vector's size is not that of the log");
    struct slice found = {at + 4, (size_t)size_bytes};
    if (big_endian32(at + 4 + size_bytes) !=
        (uint32_t)crc32_z(0, (const unsigned char *)found.data, found.len))
        return error_set(err, ERROR_DATA, "the deletion vector's checksum does not match");
    *bitmap = found;
    return true;
}
