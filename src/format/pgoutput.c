#include "format/pgoutput.h"

#include "base/clock.h"

/* A reader that remembers that it ran out; reads after that give zeros. */
struct cursor {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static const unsigned char *take(struct cursor *c, size_t n)
{
    if (c->bad || c->left < n) {
        c->bad = true;
        return NULL;
    }
    const unsigned char *at = c->at;
    c->at += n;
    c->left -= n;
    return at;
}

static uint64_t take_int(struct cursor *c, size_t bytes)
{
    const unsigned char *p = take(c, bytes);
    uint64_t v = 0;
    for (size_t i = 0; p && i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static uint8_t take_u8(struct cursor *c)
{
    return (uint8_t)take_int(c, 1);
}
static uint16_t take_u16(struct cursor *c)
{
    return (uint16_t)take_int(c, 2);
}
static uint32_t take_u32(struct cursor *c)
{
    return (uint32_t)take_int(c, 4);
}
static uint64_t take_u64(struct cursor *c)
{
    return take_int(c, 8);
}

static int64_t take_time(struct cursor *c)
{
    uint64_t v = take_u64(c);
    return (int64_t)(v + (uint64_t)CLOCK_PG_EPOCH_US); /* unsigned: wild values must not overflow */
}

static struct slice take_text(struct cursor *c)
{
    const unsigned char *end = c->bad || c->left == 0 ? NULL : memchr(c->at, '\0', c->left);
    if (!end) {
        c->bad = true;
        return (struct slice){"", 0};
    }
    size_t len = (size_t)(end - c->at);
    const unsigned char *at = take(c, len + 1);
    return (struct slice){(const char *)at, len};
}

static void take_tuple(struct cursor *c, struct pgoutput_tuple *t)
{
    size_t count = take_u16(c);
    t->count = 0;
    for (size_t i = 0; i < count && !c->bad; i++) {
        MEM_GROW(t->values, t->count, t->cap);
        struct pgoutput_value *v = &t->values[t->count++];
        uint8_t kind = take_u8(c);
        *v = (struct pgoutput_value){.kind = (enum pgoutput_kind)kind};
        if (kind == PGOUTPUT_TEXT) {
            size_t len = take_u32(c);
            v->text = (struct slice){(const char *)take(c, len), len};
        } else if (kind != PGOUTPUT_NULL && kind != PGOUTPUT_UNCHANGED) {
            c->bad = true; /* 'b' is never requested */
        }
    }
}

static void take_relation(struct cursor *c, struct pgoutput_message *m)
{
    m->oid = take_u32(c);
    m->schema = take_text(c);
    m->name = take_text(c);
    m->replica_identity = (char)take_u8(c);
    size_t count = take_u16(c);
    for (size_t i = 0; i < count && !c->bad; i++) {
        MEM_GROW(m->columns, m->column_count, m->column_cap);
        struct pgoutput_column *column = &m->columns[m->column_count++];
        column->key = take_u8(c) & 1;
        column->name = take_text(c);
        column->oid = take_u32(c);
        column->typmod = (int32_t)take_u32(c);
    }
}

/* Insert, update and delete: relation, then tuples, each with its letter before it. */
static void take_row(struct cursor *c, struct pgoutput_message *m)
{
    m->oid = take_u32(c);
    char letter = (char)take_u8(c);
    if (m->type != 'I' && (letter == 'K' || letter == 'O')) {
        m->old_kind = letter;
        take_tuple(c, &m->old_row);
        if (m->type == 'D') return;
        letter = (char)take_u8(c);
    }
    if (m->type == 'D' || letter != 'N')
        c->bad = true;
    else
        take_tuple(c, &m->new_row);
}

static void take_truncate(struct cursor *c, struct pgoutput_message *m)
{
    size_t count = take_u32(c);
    uint8_t bits = take_u8(c);
    m->cascade = bits & 1;
    m->restart_identity = bits & 2;
    for (size_t i = 0; i < count && !c->bad; i++) {
        uint32_t oid = take_u32(c);
        if (c->bad) break;
        MEM_GROW(m->relations, m->relation_count, m->relation_cap);
        m->relations[m->relation_count++] = oid;
    }
}

static void take_commit(struct cursor *c, struct pgoutput_message *m)
{
    take_u8(c);
    m->commit_lsn = take_u64(c);
    m->end_lsn = take_u64(c);
    m->commit_us = take_time(c);
}

static void take_begin(struct cursor *c, struct pgoutput_message *m)
{
    m->commit_lsn = take_u64(c);
    m->commit_us = take_time(c);
    m->xid = take_u32(c);
}

static void take_type(struct cursor *c, struct pgoutput_message *m)
{
    m->oid = take_u32(c);
    m->schema = take_text(c);
    m->name = take_text(c);
}

static void take_logical_message(struct cursor *c, struct pgoutput_message *m)
{
    m->transactional = take_u8(c) & 1;
    m->message_lsn = take_u64(c);
    m->name = take_text(c);
    size_t len = take_u32(c);
    m->content = (struct slice){(const char *)take(c, len), len};
}

bool pgoutput_decode(struct slice bytes, struct pgoutput_message *out, struct error *err)
{
    struct cursor c = {(const unsigned char *)bytes.data, bytes.len, false};
    out->type = (char)take_u8(&c);
    out->old_kind = '\0';
    out->old_row.count = out->new_row.count = out->column_count = out->relation_count = 0;
    switch (out->type) {
    case 'B': take_begin(&c, out); break;
    case 'C': take_commit(&c, out); break;
    case 'O':
        out->commit_lsn = take_u64(&c);
        out->name = take_text(&c);
        break;
    case 'R': take_relation(&c, out); break;
    case 'Y': take_type(&c, out); break;
    case 'I':
    case 'U':
    case 'D': take_row(&c, out); break;
    case 'T': take_truncate(&c, out); break;
    case 'M': take_logical_message(&c, out); break;
    default:
        return error_set(err, ERROR_DATA, "pgoutput message of unknown type 0x%02x",
                         (unsigned)out->type & 255);
    }
    if (c.bad)
        return error_set(err, ERROR_DATA, "pgoutput message '%c' of %zu bytes is malformed", out->type,
                         bytes.len);
    if (c.left)
        return error_set(err, ERROR_DATA, "pgoutput message '%c' has %zu bytes too many", out->type,
                         c.left);
    return true;
}

void pgoutput_message_free(struct pgoutput_message *m)
{
    mem_free(m->columns);
    mem_free(m->old_row.values);
    mem_free(m->new_row.values);
    mem_free(m->relations);
    *m = (struct pgoutput_message){0};
}

bool pgoutput_frame_decode(struct slice bytes, struct pgoutput_frame *out, struct error *err)
{
    struct cursor c = {(const unsigned char *)bytes.data, bytes.len, false};
    *out = (struct pgoutput_frame){.type = (char)take_u8(&c)};
    if (out->type == 'w') {
        out->start = take_u64(&c);
        out->end = take_u64(&c);
        out->sent_us = take_time(&c);
        out->message = (struct slice){(const char *)c.at, c.left};
    } else if (out->type == 'k') {
        out->end = take_u64(&c);
        out->sent_us = take_time(&c);
        out->reply = take_u8(&c) != 0;
    } else {
        return error_set(err, ERROR_DATA, "replication frame of unknown type 0x%02x",
                         (unsigned)out->type & 255);
    }
    if (c.bad)
        return error_set(err, ERROR_DATA, "replication frame '%c' of %zu bytes is cut short", out->type,
                         bytes.len);
    return true;
}

static void put_int(struct buf *out, uint64_t v)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        buf_put_char(out, (char)(v >> shift));
}

void pgoutput_status_encode(struct buf *out, uint64_t written, uint64_t flushed, int64_t now_us, bool reply)
{
    buf_put_char(out, 'r');
    put_int(out, written);
    put_int(out, flushed);
    put_int(out, flushed);
    put_int(out, (uint64_t)(now_us - CLOCK_PG_EPOCH_US));
    buf_put_char(out, reply);
}
