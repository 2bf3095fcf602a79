/* Deletion vectors of Delta tables: which rows of a Parquet file are gone. Bytes only, no I/O.
 *
 *   file      u8 version=1, then per vector: be32 size | bitmap[size] | be32 crc32(bitmap)
 *   bitmap    le32 1681511377 | le64 buckets | per bucket, ascending: le32 key (high half) | roaring
 *   roaring   le32 12346 | le32 containers | containers x (le16 key, le16 cardinality-1)
 *             | containers x le32 offset from the cookie | containers: sorted le16 array (<= 4096
 *             values) or 8192 bytes of bits
 *   read too  cookie 12347 (low half; high half containers-1), run flags, offsets only from 4 containers
 *             on; a run container is le16 runs, runs x (le16 start, le16 length-1)
 *
 *  1. Decoding trusts nothing: every length is checked before it is used, keys and values ascend, and
 *     nothing is allocated before the headers' sum equals the cardinality that the log tells.
 *  2. dv_decode(dv_encode(rows)) == rows.
 *
 * Rules: Delta PROTOCOL.md, "Deletion Vector Format"; RoaringFormatSpec. */
#ifndef MILLRACE_FORMAT_DV_H
#define MILLRACE_FORMAT_DV_H

#include "base/buf.h"
#include "base/error.h"

/* Z85: 4 bytes, big-endian, are 5 characters. The bytes are padded with zeroes to a multiple of 4. */
void z85_encode(struct slice bytes, struct buf *text);
/* False when the text is not Z85. */
bool z85_decode(struct slice text, struct buf *bytes);

enum { UUID_BYTES = 16, UUID_TEXT = 36 };
/* A random UUID (version 4) in network order. */
void uuid_make(unsigned char bytes[UUID_BYTES]);
/* Lowercase canonical text; text has room for UUID_TEXT + 1. */
void uuid_format(const unsigned char bytes[UUID_BYTES], char text[UUID_TEXT + 1]);

/* Appends the bitmap of rows (ascending, unique, at least one). */
void dv_encode(const uint32_t *rows, size_t count, struct buf *out);
/* *rows is the caller's (mem_free). cardinality: what the log tells, -1 when it does not. */
bool dv_decode(struct slice bitmap, int64_t cardinality, uint64_t **rows, size_t *count,
               struct error *err) MUST_CHECK;

/* Appends a bitmap to the bytes of a vector file (empty at first); gives its place. */
void dv_file_put(struct buf *file, struct slice bitmap, int32_t *offset);
/* Finds and verifies the bitmap at a place; it points into file. */
bool dv_file_get(struct slice file, int32_t offset, int32_t size_bytes, struct slice *bitmap,
                 struct error *err) MUST_CHECK;

#endif
