#include "stages/refine/silver/silver_int.h"

enum { SCHEMA_ID = 16, RAW_HEAD = 4 + 8 + 8 + SCHEMA_ID + 1 + 8 + 8 + 8, ARENA_BLOCK = 1 << 20 };

static uint64_t get_le(const char *at, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

void raw_encode(const struct raw_row *row, struct buf *out)
{
    char schema[SCHEMA_ID] = {0};
    memcpy(schema, row->schema, strnlen(row->schema, sizeof schema));
    buf_put_u32(out, (uint32_t)row->epoch);
    buf_put_u64(out, row->lsn);
    buf_put_u64(out, row->ordinal);
    buf_put(out, schema, sizeof schema);
    buf_put_u8(out, row->flags);
    buf_put_u64(out, row->copy);
    buf_put_u64(out, (uint64_t)row->commit_us);
    buf_put_u64(out, (uint64_t)row->valid_from_us);
    if (row->flags & RAW_MOVED) {
        buf_put_u32(out, (uint32_t)row->moved.len);
        buf_put_slice(out, row->moved);
    }
    if (!(row->flags & RAW_DELETED)) buf_put_slice(out, row->after);
}

bool raw_decode(struct slice value, struct raw_row *out)
{
    if (value.len < RAW_HEAD) return false;
    const char *at = value.data;
    *out = (struct raw_row){
        .epoch = (int32_t)get_le(at, 4),
        .lsn = get_le(at + 4, 8),
        .ordinal = get_le(at + 12, 8),
        .flags = (uint8_t)at[36],
        .copy = get_le(at + 37, 8),
        .commit_us = (int64_t)get_le(at + 45, 8),
        .valid_from_us = (int64_t)get_le(at + 53, 8),
    };
    memcpy(out->schema, at + 20, SCHEMA_ID);
    struct slice rest = {at + RAW_HEAD, value.len - RAW_HEAD};
    if (out->flags & RAW_MOVED) {
        size_t len = rest.len < 4 ? SIZE_MAX : get_le(rest.data, 4);
        if (rest.len < 4 || rest.len - 4 < len) return false;
        out->moved = (struct slice){rest.data + 4, len};
        rest = (struct slice){rest.data + 4 + len, rest.len - 4 - len};
    }
    if (!(out->flags & RAW_DELETED)) out->after = rest;
    return true;
}

void raw_put_be64(struct buf *out, uint64_t v)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        buf_put_char(out, (char)(v >> shift));
}

uint64_t raw_get_be64(const char *at)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

void raw_put_key(char kind, const char *table, struct slice tail, struct buf *out)
{
    buf_put_char(out, kind);
    buf_put_char(out, '/');
    buf_put_text(out, table);
    buf_put_char(out, '\0');
    buf_put_slice(out, tail);
}

void *arena_take(struct arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (a->count == 0 || a->size - a->used < size) {
        MEM_GROW(a->blocks, a->count, a->cap);
        a->size = size > ARENA_BLOCK ? size : ARENA_BLOCK;
        a->used = 0;
        a->blocks[a->count++] = mem_alloc(a->size);
    }
    void *at = a->blocks[a->count - 1] + a->used;
    a->used += size;
    return at;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    if (!s.data) return s;
    char *at = arena_take(a, s.len + 1);
    if (s.len) memcpy(at, s.data, s.len);
    return (struct slice){at, s.len};
}

void arena_free(struct arena *a)
{
    for (size_t i = 0; i < a->count; i++)
        mem_free(a->blocks[i]);
    mem_free(a->blocks);
    *a = (struct arena){0};
}
