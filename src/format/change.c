#include "format/change.h"

#define TEXT(name_)                                                                                        \
    {                                                                                                      \
        .name = (char[]){name_}, .type = COLUMN_STRING                                                     \
    }
#define OPTIONAL(name_)                                                                                    \
    {                                                                                                      \
        .name = (char[]){name_}, .type = COLUMN_STRING, .nullable = true                                   \
    }
#define NUMBER(name_, type_)                                                                               \
    {                                                                                                      \
        .name = (char[]){name_}, .type = (type_)                                                           \
    }

static struct column column_items[] = {
    TEXT("table"),
    TEXT("op"),
    NUMBER("epoch", COLUMN_INTEGER),
    NUMBER("lsn", COLUMN_LONG),
    NUMBER("ordinal", COLUMN_LONG),
    NUMBER("xid", COLUMN_LONG),
    NUMBER("commit_at", COLUMN_TIMESTAMP),
    NUMBER("capture_at", COLUMN_TIMESTAMP),
    OPTIONAL("key"),
    OPTIONAL("old_key"),
    OPTIONAL("before"),
    OPTIONAL("after"),
    OPTIONAL("unchanged"),
    OPTIONAL("topic"),
    {.name = (char[]){"partition"}, .type = COLUMN_INTEGER, .nullable = true},
    {.name = (char[]){"offset"}, .type = COLUMN_LONG, .nullable = true},
};

const struct columns *change_columns(void)
{
    enum { COUNT = sizeof column_items / sizeof *column_items };
    static const struct columns columns = {column_items, COUNT, COUNT};
    return &columns;
}

/* All columns after `table`. */
static void encode_rest(struct buf *out, const struct change *c)
{
    char op = (char)c->op;
    buf_put_string(out, (struct slice){&op, 1});
    buf_put_u32(out, (uint32_t)c->epoch);
    buf_put_u64(out, c->lsn);
    buf_put_u64(out, c->ordinal);
    buf_put_u64(out, c->xid);
    buf_put_u64(out, (uint64_t)c->commit_us);
    buf_put_u64(out, (uint64_t)c->capture_us);
    buf_put_nullable(out, c->key);
    buf_put_nullable(out, c->old_key);
    buf_put_nullable(out, c->before);
    buf_put_nullable(out, c->after);
    buf_put_nullable(out, c->unchanged);
    buf_put_nullable(out, c->topic);
    if (!c->topic.data) {
        buf_put(out, "\1\1", 2); /* partition, offset */
        return;
    }
    buf_put_u8(out, 0);
    buf_put_u32(out, (uint32_t)c->partition);
    buf_put_u8(out, 0);
    buf_put_u64(out, (uint64_t)c->offset);
}

void change_encode(struct buf *out, const struct change *c)
{
    buf_put_string(out, c->table);
    encode_rest(out, c);
}

static uint64_t take_int(const unsigned char **at, size_t *left, size_t bytes, bool *bad)
{
    uint64_t v = 0;
    if (*bad || *left < bytes) {
        *bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)(*at)[i] << (8 * i);
    *at += bytes;
    *left -= bytes;
    return v;
}

static struct slice take_string(const unsigned char **at, size_t *left, bool *bad)
{
    uint64_t len = 0;
    for (int shift = 0;; shift += 7) {
        uint64_t byte = take_int(at, left, 1, bad);
        if (shift > 56) *bad = true;
        if (*bad) return (struct slice){0};
        len |= (byte & 127) << shift;
        if (byte < 128) break;
    }
    if (len > *left) {
        *bad = true;
        return (struct slice){0};
    }
    struct slice s = {(const char *)*at, (size_t)len};
    *at += len;
    *left -= (size_t)len;
    return s;
}

static struct slice take_nullable(const unsigned char **at, size_t *left, bool *bad)
{
    if (take_int(at, left, 1, bad) || *bad) return (struct slice){0};
    return take_string(at, left, bad);
}

static bool known_op(struct slice op)
{
    return op.len == 1 && op.data[0] && strchr("cudrtSBEXm", op.data[0]);
}

bool change_decode(struct slice *rest, struct change *out, struct error *err)
{
    const unsigned char *at = (const unsigned char *)rest->data;
    size_t left = rest->len;
    bool bad = false;
    *out = (struct change){0};
    out->table = take_string(&at, &left, &bad);
    struct slice op = take_string(&at, &left, &bad);
    out->epoch = (int32_t)take_int(&at, &left, 4, &bad);
    out->lsn = take_int(&at, &left, 8, &bad);
    out->ordinal = take_int(&at, &left, 8, &bad);
    out->xid = (uint32_t)take_int(&at, &left, 8, &bad);
    out->commit_us = (int64_t)take_int(&at, &left, 8, &bad);
    out->capture_us = (int64_t)take_int(&at, &left, 8, &bad);
    out->key = take_nullable(&at, &left, &bad);
    out->old_key = take_nullable(&at, &left, &bad);
    out->before = take_nullable(&at, &left, &bad);
    out->after = take_nullable(&at, &left, &bad);
    out->unchanged = take_nullable(&at, &left, &bad);
    out->topic = take_nullable(&at, &left, &bad);
    if (take_int(&at, &left, 1, &bad) == 0) out->partition = (int32_t)take_int(&at, &left, 4, &bad);
    if (take_int(&at, &left, 1, &bad) == 0) out->offset = (int64_t)take_int(&at, &left, 8, &bad);
    if (bad || !known_op(op))
        return error_set(err, ERROR_DATA, "bronze row of %zu bytes is malformed", rest->len);
    out->op = (enum change_op)op.data[0];
    *rest = (struct slice){(const char *)at, left};
    return true;
}

void event_encode(struct buf *out, const struct change *c)
{
    change_encode(out, c);
    buf_put_u64(out, c->event_lsn);
    buf_put_u64(out, c->previous_lsn);
    buf_put_nullable(out, c->origin);
    buf_put_u64(out, c->origin_lsn);
}

bool event_decode(struct slice *rest, struct change *out, struct error *err)
{
    struct slice after = *rest;
    if (!change_decode(&after, out, err)) return false;
    const unsigned char *at = (const unsigned char *)after.data;
    size_t left = after.len;
    bool bad = false;
    out->event_lsn = take_int(&at, &left, 8, &bad);
    out->previous_lsn = take_int(&at, &left, 8, &bad);
    out->origin = take_nullable(&at, &left, &bad);
    out->origin_lsn = take_int(&at, &left, 8, &bad);
    if (bad) return error_set(err, ERROR_FATAL, "an event of %zu bytes is malformed", rest->len);
    *rest = (struct slice){(const char *)at, left};
    return true;
}

char *change_offset_app(const char *what, const char *topic, int32_t partition)
{
    return mem_format("millrace.kafka.%s/%s/%d", what, topic, (int)partition);
}

struct change_batch *change_batch_new(void)
{
    return mem_alloc(sizeof(struct change_batch));
}

void change_batch_free(void *batch)
{
    struct change_batch *b = batch;
    if (!b) return;
    for (size_t i = 0; i < b->table_count; i++) {
        mem_free(b->tables[i].table);
        buf_free(&b->tables[i].rows);
    }
    for (size_t i = 0; i < b->offset_count; i++)
        mem_free(b->offsets[i].topic);
    mem_free(b->offsets);
    mem_free(b->tables);
    mem_free(b);
}

static struct change_table *table_for(struct change_batch *b, struct slice name)
{
    for (size_t i = b->table_count; i-- > 0;) /* the newest first: changes of one table come together */
        if (slice_equal(slice_of(b->tables[i].table), name)) return &b->tables[i];
    MEM_GROW(b->tables, b->table_count, b->table_cap);
    struct change_table *t = &b->tables[b->table_count++];
    *t = (struct change_table){.table = mem_textn(name.data, name.len)};
    return t;
}

void change_batch_add(struct change_batch *batch, const struct change *c)
{
    struct change_table *t = table_for(batch, batch->events ? SLICE("") : c->table);
    size_t before = t->rows.len;
    if (batch->events)
        event_encode(&t->rows, c);
    else
        encode_rest(&t->rows, c);
    t->count++;
    batch->count++;
    batch->size_bytes += t->rows.len - before;
}

static void append_rows(struct change_table *to, struct change_table *from)
{
    buf_put_slice(&to->rows, buf_slice(&from->rows));
    to->count += from->count;
    buf_clear(&from->rows);
    from->count = 0;
}

void change_batch_append(struct change_batch *to, struct change_batch *from)
{
    if (to->count == 0) to->first_lsn = from->first_lsn;
    for (size_t i = 0; i < from->table_count; i++)
        if (from->tables[i].count) append_rows(table_for(to, slice_of(from->tables[i].table)), &from->tables[i]);
    to->count += from->count;
    to->size_bytes += from->size_bytes;
    to->last_lsn = from->last_lsn;
    to->end_lsn = from->end_lsn;
    to->commit_us = from->commit_us;
    to->transactions += from->transactions;
    from->count = from->size_bytes = from->transactions = 0;
}
