/* Streams of zlib, zstd and lz4 behind one call, and ClickHouse's frames:
 *
 *   16 bytes CityHash128 of the rest | 0x82 | u32 size from 0x82 on | u32 size unpacked | LZ4 block
 */
#include "serve/clickhouse/codec.h"

#include <lz4.h>
#include <lz4frame.h>
#include <stdio.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1, GZIP_LEVEL = 1, FRAME_BYTES = 1 << 20, FRAME_HEAD = 9, HASH_BYTES = 16 };

struct codec {
    enum codec_kind kind;
    z_stream zlib;
    ZSTD_CCtx *zstd;
    LZ4F_cctx *lz4;
    bool begun;
};

static const struct {
    const char *name;
    enum codec_kind kind;
} names[] = {{"zstd", CODEC_ZSTD}, {"lz4", CODEC_LZ4}, {"gzip", CODEC_GZIP}, {"deflate", CODEC_DEFLATE}};
enum { NAMES = sizeof names / sizeof *names };

enum codec_kind codec_named(const char *content_encoding)
{
    if (!content_encoding || !*content_encoding || strcasecmp(content_encoding, "identity") == 0)
        return CODEC_NONE;
    for (size_t i = 0; i < NAMES; i++)
        if (strcasecmp(content_encoding, names[i].name) == 0) return names[i].kind;
    return CODEC_UNKNOWN;
}

const char *codec_name(enum codec_kind kind)
{
    for (size_t i = 0; i < NAMES; i++)
        if (names[i].kind == kind) return names[i].name;
    return NULL;
}

/* The first of our order that the client names; weights are rare enough to be passed over, q=0 too. */
enum codec_kind codec_choose(const char *accept_encoding)
{
    if (!accept_encoding) return CODEC_NONE;
    for (size_t i = 0; i < NAMES; i++)
        if (strcasestr(accept_encoding, names[i].name)) return names[i].kind;
    return CODEC_NONE;
}

struct codec *codec_new(enum codec_kind kind)
{
    struct codec *c = mem_alloc(sizeof *c);
    c->kind = kind;
    if (kind == CODEC_GZIP) deflateInit2(&c->zlib, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    if (kind == CODEC_DEFLATE) deflateInit(&c->zlib, GZIP_LEVEL);
    if (kind == CODEC_ZSTD) {
        c->zstd = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    }
    if (kind == CODEC_LZ4) LZ4F_createCompressionContext(&c->lz4, LZ4F_VERSION);
    return c;
}

void codec_free(struct codec *c)
{
    if (!c) return;
    if (c->kind == CODEC_GZIP || c->kind == CODEC_DEFLATE) deflateEnd(&c->zlib);
    ZSTD_freeCCtx(c->zstd);
    LZ4F_freeCompressionContext(c->lz4);
    mem_free(c);
}

static bool full(struct error *err)
{
    return error_set(err, ERROR_DATA, "the answer is too large to be compressed");
}

static bool put_zlib(struct codec *c, struct slice data, bool last, struct buf *out, struct error *err)
{
    c->zlib.next_in = (Bytef *)(uintptr_t)data.data;
    c->zlib.avail_in = (uInt)data.len;
    int code;
    do {
        size_t room = 64 << 10;
        char *at = buf_reserve(out, room);
        if (!at) return full(err);
        c->zlib.next_out = (Bytef *)at;
        c->zlib.avail_out = (uInt)room;
        code = deflate(&c->zlib, last ? Z_FINISH : Z_SYNC_FLUSH);
        out->len += room - c->zlib.avail_out;
    } while (c->zlib.avail_out == 0 || (last && code == Z_OK));
    return true;
}

static bool put_zstd(struct codec *c, struct slice data, bool last, struct buf *out, struct error *err)
{
    ZSTD_inBuffer in = {data.data, data.len, 0};
    size_t left;
    do {
        size_t room = ZSTD_CStreamOutSize();
        char *at = buf_reserve(out, room);
        if (!at) return full(err);
        ZSTD_outBuffer o = {at, room, 0};
        left = ZSTD_compressStream2(c->zstd, &o, &in, last ? ZSTD_e_end : ZSTD_e_flush);
        if (ZSTD_isError(left)) return error_set(err, ERROR_DATA, "zstd: %s", ZSTD_getErrorName(left));
        out->len += o.pos;
    } while (left > 0 || in.pos < in.size);
    return true;
}

static bool lz4_step(size_t written, struct buf *out, struct error *err)
{
    if (LZ4F_isError(written)) return error_set(err, ERROR_DATA, "lz4: %s", LZ4F_getErrorName(written));
    out->len += written;
    return true;
}

static bool put_lz4(struct codec *c, struct slice data, bool last, struct buf *out, struct error *err)
{
    size_t room = LZ4F_compressBound(data.len, NULL) + LZ4F_HEADER_SIZE_MAX;
    char *at;
    if (!c->begun) {
        if (!(at = buf_reserve(out, room))) return full(err);
        c->begun = true;
        if (!lz4_step(LZ4F_compressBegin(c->lz4, at, room, NULL), out, err)) return false;
    }
    if (!(at = buf_reserve(out, room))) return full(err);
    if (!lz4_step(LZ4F_compressUpdate(c->lz4, at, room, data.data, data.len, NULL), out, err)) return false;
    if (!(at = buf_reserve(out, room))) return full(err);
    size_t end = last ? LZ4F_compressEnd(c->lz4, at, room, NULL) : LZ4F_flush(c->lz4, at, room, NULL);
    return lz4_step(end, out, err);
}

static bool put_frame(struct slice part, struct buf *out, struct error *err)
{
    int bound = LZ4_compressBound((int)part.len);
    char *at = buf_reserve(out, HASH_BYTES + FRAME_HEAD + (size_t)bound);
    if (!at) return full(err);
    char *head = at + HASH_BYTES;
    int n = LZ4_compress_default(part.data, head + FRAME_HEAD, (int)part.len, bound);
    if (n <= 0) return error_set(err, ERROR_DATA, "lz4: a block cannot be compressed");
    uint32_t sizes[2] = {(uint32_t)n + FRAME_HEAD, (uint32_t)part.len};
    head[0] = (char)0x82;
    memcpy(head + 1, sizes, sizeof sizes);
    uint64_t hash[2];
    city_hash128((struct slice){head, (size_t)n + FRAME_HEAD}, hash);
    memcpy(at, hash, sizeof hash);
    out->len += HASH_BYTES + FRAME_HEAD + (size_t)n;
    return true;
}

bool codec_put(struct codec *c, struct slice data, bool last, struct buf *out, struct error *err)
{
    switch (c->kind) {
    case CODEC_GZIP:
    case CODEC_DEFLATE: return put_zlib(c, data, last, out, err);
    case CODEC_ZSTD: return put_zstd(c, data, last, out, err);
    case CODEC_LZ4: return put_lz4(c, data, last, out, err);
    case CODEC_FRAMES:
        while (data.len) {
            size_t n = data.len < FRAME_BYTES ? data.len : FRAME_BYTES;
            if (!put_frame((struct slice){data.data, n}, out, err)) return false;
            data = (struct slice){data.data + n, data.len - n};
        }
        return true;
    case CODEC_NONE:
    case CODEC_UNKNOWN: break;
    }
    buf_put_slice(out, data);
    return buf_ok(out) || full(err);
}

/* --- unpacking --- */

static bool damaged(struct error *err, const char *what)
{
    return error_set(err, ERROR_DATA, "the request's body is not valid %s, or too large", what);
}

static bool unpack_zlib(struct slice body, struct buf *out, struct error *err)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)body.data, .avail_in = (uInt)body.len};
    if (inflateInit2(&z, 15 + 32) != Z_OK) return damaged(err, "gzip");
    int code = Z_OK;
    while (code == Z_OK) {
        char *at = buf_reserve(out, 16 << 10);
        if (!at) break;
        z.next_out = (Bytef *)at;
        z.avail_out = 16 << 10;
        code = inflate(&z, Z_NO_FLUSH);
        out->len += (size_t)(16 << 10) - z.avail_out;
    }
    inflateEnd(&z);
    return code == Z_STREAM_END || damaged(err, "gzip");
}

static bool unpack_zstd(struct slice body, struct buf *out, struct error *err)
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    ZSTD_inBuffer in = {body.data, body.len, 0};
    size_t left = 1;
    bool ok = true;
    while (ok && left && in.pos < in.size) {
        char *at = buf_reserve(out, 64 << 10);
        ZSTD_outBuffer o = {at, at ? 64 << 10 : 0, 0};
        left = at ? ZSTD_decompressStream(d, &o, &in) : 1;
        ok = at && !ZSTD_isError(left);
        out->len += o.pos;
    }
    ZSTD_freeDCtx(d);
    return (ok && left == 0) || damaged(err, "zstd");
}

static bool unpack_lz4(struct slice body, struct buf *out, struct error *err)
{
    LZ4F_dctx *d;
    LZ4F_createDecompressionContext(&d, LZ4F_VERSION);
    size_t left = 1, used = 0;
    bool ok = true;
    while (ok && left && used < body.len) {
        char *at = buf_reserve(out, 64 << 10);
        size_t room = at ? 64 << 10 : 0, in = body.len - used;
        left = at ? LZ4F_decompress(d, at, &room, body.data + used, &in, NULL) : 1;
        ok = at && !LZ4F_isError(left);
        used += in;
        out->len += room;
    }
    LZ4F_freeDecompressionContext(d);
    return (ok && left == 0) || damaged(err, "lz4");
}

static bool unpack_frames(struct slice body, struct buf *out, struct error *err)
{
    while (body.len) {
        if (body.len < HASH_BYTES + FRAME_HEAD) return damaged(err, "ClickHouse frames");
        const char *head = body.data + HASH_BYTES;
        uint32_t sizes[2];
        memcpy(sizes, head + 1, sizeof sizes);
        if (head[0] != (char)0x82 || sizes[0] < FRAME_HEAD || sizes[0] > body.len - HASH_BYTES ||
            sizes[1] > INT32_MAX)
            return damaged(err, "ClickHouse frames");
        uint64_t hash[2];
        city_hash128((struct slice){head, sizes[0]}, hash);
        char *at = memcmp(hash, body.data, sizeof hash) == 0 ? buf_reserve(out, sizes[1]) : NULL;
        if (!at || LZ4_decompress_safe(head + FRAME_HEAD, at, (int)(sizes[0] - FRAME_HEAD),
                                       (int)sizes[1]) != (int)sizes[1])
            return damaged(err, "ClickHouse frames");
        out->len += sizes[1];
        size_t passed = HASH_BYTES + sizes[0];
        body = (struct slice){body.data + passed, body.len - passed};
    }
    return true;
}

bool codec_unpack(enum codec_kind kind, struct slice body, struct buf *out, struct error *err)
{
    switch (kind) {
    case CODEC_GZIP:
    case CODEC_DEFLATE: return unpack_zlib(body, out, err);
    case CODEC_ZSTD: return unpack_zstd(body, out, err);
    case CODEC_LZ4: return unpack_lz4(body, out, err);
    case CODEC_FRAMES: return unpack_frames(body, out, err);
    case CODEC_UNKNOWN: return damaged(err, "gzip, deflate, zstd or lz4");
    case CODEC_NONE: break;
    }
    buf_put_slice(out, body);
    return buf_ok(out) || damaged(err, "text");
}
