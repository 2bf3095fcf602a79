/* Compression of bodies: HTTP's Content-Encoding (gzip, deflate, zstd, lz4) and ClickHouse's own frames
 * (compress=1: CityHash128 of the rest, 0x82, sizes, an LZ4 block). */
#ifndef MILLRACE_SERVE_CLICKHOUSE_CODEC_H
#define MILLRACE_SERVE_CLICKHOUSE_CODEC_H

#include "base/buf.h"
#include "base/error.h"

enum codec_kind {
    CODEC_NONE,
    CODEC_GZIP,
    CODEC_DEFLATE,
    CODEC_ZSTD,
    CODEC_LZ4,
    CODEC_FRAMES,
    CODEC_UNKNOWN
};

/* The best of an Accept-Encoding list that we can write; CODEC_NONE when there is none. */
enum codec_kind codec_choose(const char *accept_encoding);
/* A Content-Encoding's; CODEC_UNKNOWN when we cannot read it. */
enum codec_kind codec_named(const char *content_encoding);
const char *codec_name(enum codec_kind kind); /* NULL for none and frames */

struct codec;
struct codec *codec_new(enum codec_kind kind);
/* Appends the compressed form of data; what is appended can be sent at once. `last` ends the stream. */
bool codec_put(struct codec *c, struct slice data, bool last, struct buf *out,
               struct error *err) MUST_CHECK;
void codec_free(struct codec *c);

/* A whole body; DATA when it is damaged or larger than out->max. */
bool codec_unpack(enum codec_kind kind, struct slice body, struct buf *out, struct error *err) MUST_CHECK;

/* CityHash 1.0.2, 128 bits: low half first. */
void city_hash128(struct slice data, uint64_t out[2]);

#endif
