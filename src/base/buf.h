/* A growing byte buffer with a sticky failure state: once an append would pass `max`, the buffer is
 * marked full, further appends do nothing, and one `buf_ok` at the end answers for all of them.
 * Zero-initialised is valid (max 0 means BUF_MAX_DEFAULT). buf_free twice is harmless. */
#ifndef MILLRACE_BASE_BUF_H
#define MILLRACE_BASE_BUF_H

#include "base/mem.h"

#define BUF_MAX_DEFAULT ((size_t)1 << 31)

struct buf {
    char *data; /* not NUL-terminated unless buf_text was called */
    size_t len, cap, max;
    bool full;
};

void buf_free(struct buf *b);
static inline void buf_clear(struct buf *b) { b->len = 0; b->full = false; }
static inline bool buf_ok(const struct buf *b) { return !b->full; }
static inline struct slice buf_slice(const struct buf *b) { return (struct slice){b->data, b->len}; }

/* Room for n more bytes at data + len, which the caller then adds to len; NULL when full. */
char *buf_reserve(struct buf *b, size_t n);

void buf_put(struct buf *b, const void *data, size_t len);
void buf_put_slice(struct buf *b, struct slice s);
void buf_put_text(struct buf *b, const char *text);
void buf_put_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Little-endian, as ClickHouse RowBinary and Delta's deletion vectors want them. */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* LEB128, then the bytes: a RowBinary String. */
void buf_put_varint(struct buf *b, uint64_t v);
void buf_put_string(struct buf *b, struct slice s);
/* RowBinary Nullable(String): 1 when data is NULL, else 0 and the string. */
void buf_put_nullable(struct buf *b, struct slice s);

/* A JSON string with quotes; bytes that are not valid UTF-8 become U+FFFD. */
void buf_put_json(struct buf *b, struct slice s);
/* SQL text literal in single quotes and an identifier in backquotes, escaped for ClickHouse. */
void buf_put_sql_text(struct buf *b, struct slice s);
void buf_put_sql_name(struct buf *b, const char *name);

/* NUL-terminates without counting the NUL; valid until the next append. "" when empty. */
const char *buf_text(struct buf *b);
/* Gives the bytes away (NUL-terminated, from mem_*); the buffer is empty afterwards. */
char *buf_take(struct buf *b);

#endif
