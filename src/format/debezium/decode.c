/* A record into a change. One scan finds the parts, one more each image's members; a value is printed as it
 * is read.
 *
 * Whether `before` is the whole old row the record does not say. The rule:
 *
 *   u             it is: the connector gives it only under REPLICA IDENTITY FULL (a change of the key comes
 * as d, c) d, no key     it is: such a row can be deleted only under REPLICA IDENTITY FULL d, FULL       it
 * is, when the table was described so d otherwise   it is, when a column outside the key has a value that
 * the connector does not make up itself: it prints null or, for columns that must not be null, their
 * default or zero where it has no value USING INDEX   it is not, for either (described so): it holds the
 * index's columns alone */
#include "base/map.h"
#include "format/debezium/decode_int.h"
#include "format/json_scan.h"

#include <stdio.h>
#include <xxhash.h>

enum { SHAPES_MAX = 20000 };

struct shape_key {
    XXH128_hash_t value, key;
    XXH64_hash_t table;
    uint64_t identity;
};

struct debezium_decoder {
    struct debezium_options options;
    struct values values;
    struct map described; /* table -> shape */
    struct map shapes;    /* struct shape_key -> shape */
    struct map schemas;   /* table and id -> schema */

    struct buf last_text; /* the value's schema of the record before, */
    XXH128_hash_t last_hash;
    struct shape_key last_key; /* .. and its shape */
    struct debezium_shape *last;

    struct slice *raw; /* an image's values, by column */
    size_t raw_cap;
    struct buf table, key, old_key, before, after, unchanged, origin, undescribed, scratch;
};

struct debezium_decoder *debezium_decoder_new(const struct debezium_options *options)
{
    struct debezium_decoder *d = mem_alloc(sizeof *d);
    d->options = *options;
    values_open(&d->values, options->placeholder);
    return d;
}

static void free_schema(void *at)
{
    if (!at) return;
    schema_free(at);
    mem_free(at);
}

void debezium_decoder_free(struct debezium_decoder *d)
{
    if (!d) return;
    map_free(&d->described, shape_free);
    map_free(&d->shapes, shape_free);
    map_free(&d->schemas, free_schema);
    values_close(&d->values);
    struct buf *all[] = {&d->last_text, &d->table,     &d->key,         &d->old_key, &d->before,
                         &d->after,     &d->unchanged, &d->undescribed, &d->origin,  &d->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_free(all[i]);
    mem_free(d->raw);
    mem_free(d);
}

/* One pointer for equal schemas; takes what is in s. */
static const struct schema *intern(struct debezium_decoder *d, struct schema *s)
{
    buf_clear(&d->scratch);
    buf_put_text(&d->scratch, s->id);
    buf_put_text(&d->scratch, s->table);
    void **at = map_put(&d->schemas, buf_slice(&d->scratch));
    if (*at) {
        schema_free(s);
    } else {
        struct schema *kept = mem_alloc(sizeof *kept);
        *kept = *s;
        *at = kept;
    }
    return *at;
}

void debezium_decoder_describe(struct debezium_decoder *d, const char *table, char replica_identity,
                               const struct debezium_column *columns, size_t count)
{
    struct debezium_shape *shape = mem_alloc(sizeof *shape);
    struct schema schema;
    shape_of_columns(table, replica_identity, columns, count, &d->options, shape, &schema);
    shape->schema = intern(d, &schema);
    void **at = map_put(&d->described, slice_of(table));
    shape_free(*at);
    *at = shape;
}

/* ---- the parts of a record */

/* The value's schema is the one of the record before: no need to look for its end. */
static bool same_wrapper(struct debezium_decoder *d, struct slice value, struct parts *p)
{
    static const char head[] = "{\"schema\":", middle[] = ",\"payload\":";
    size_t n = d->last_text.len, h = sizeof head - 1, m = sizeof middle - 1;
    if (!n || value.len < h + n + m + 2 || memcmp(value.data, head, h) != 0 ||
        memcmp(value.data + h, d->last_text.data, n) != 0 || memcmp(value.data + h + n, middle, m) != 0 ||
        value.data[value.len - 1] != '}')
        return false;
    p->value_schema = (struct slice){value.data + h, n};
    p->value = (struct slice){value.data + h + n + m, value.len - h - n - m - 1};
    return !is_null(p->value);
}

static bool split(struct debezium_decoder *d, struct slice key, struct slice value, struct parts *p,
                  bool *same, struct error *err)
{
    *same = same_wrapper(d, value, p);
    if (!*same && !split_wrapper(value, &p->value_schema, &p->value))
        return error_set(err, ERROR_DATA, "the value is not a JSON object");
    if (key.data && !split_wrapper(key, &p->key_schema, &p->key))
        return error_set(err, ERROR_DATA, "the key is not a JSON object");
    if (is_null(p->key)) p->key = (struct slice){0};
    return true;
}

static bool put_string(struct slice raw, const char *member, struct buf *out, struct error *err)
{
    if (raw.len >= 2 && raw.data[0] == '"' && json_unescape(raw, out)) return true;
    return error_set(err, ERROR_DATA, "source.%s is not a text", member);
}

/* A number or a text of one; absent is 0. */
static bool take_number(struct slice raw, const char *member, int64_t *out, struct error *err)
{
    *out = 0;
    if (!raw.data) return true;
    struct slice text = raw;
    if (raw.len >= 2 && raw.data[0] == '"') text = (struct slice){raw.data + 1, raw.len - 2};
    return parse_i64(text, out) || error_set(err, ERROR_DATA, "%s is not an integer: %.*s", member,
                                             (int)(raw.len < 60 ? raw.len : 60), raw.data);
}

/* "[\"24023119\",\"24023128\"]": the end of the commit before, or null, and the change's own LSN. */
static bool take_sequence(struct debezium_decoder *d, struct slice raw, int64_t sequence[2],
                          struct error *err)
{
    struct slice text, value;
    sequence[0] = sequence[1] = 0;
    if (!raw.data) return true;
    bool ok = string_of(raw, &d->scratch, &text);
    struct json_scan s = json_scan_array(ok ? text : (struct slice){0});
    for (size_t i = 0; ok && json_scan_next(&s, NULL, &value); i++)
        ok = i < 2 && (is_null(value) || take_number(value, "source.sequence", &sequence[i], err));
    return (ok && json_scan_ok(&s)) ||
           error_set(err, ERROR_DATA, "source.sequence is not a list of two numbers: %.*s",
                     (int)(raw.len < 60 ? raw.len : 60), raw.data);
}

static bool take_times(const struct parts *p, struct change *c, struct error *err)
{
    int64_t ms, us, ns;
    if (!take_number(p->source_ts_us, "source.ts_us", &us, err) ||
        !take_number(p->source_ts_ns, "source.ts_ns", &ns, err) ||
        !take_number(p->source_ts_ms, "source.ts_ms", &ms, err))
        return false;
    c->commit_us = us                                               ? us
                   : ns                                             ? ns / 1000
                   : ms > INT64_MAX / 1000 || ms < INT64_MIN / 1000 ? 0
                                                                    : ms * 1000;
    if (!take_number(p->ts_us, "ts_us", &us, err) || !take_number(p->ts_ms, "ts_ms", &ms, err))
        return false;
    c->capture_us = us ? us : ms > INT64_MAX / 1000 || ms < INT64_MIN / 1000 ? 0 : ms * 1000;
    return true;
}

static bool take_position(struct debezium_decoder *d, const struct parts *p, struct change *c,
                          struct error *err)
{
    int64_t sequence[2], lsn, xid, origin_lsn;
    if (!take_sequence(d, p->sequence, sequence, err) || !take_number(p->lsn, "source.lsn", &lsn, err) ||
        !take_number(p->xid, "source.txId", &xid, err) ||
        !take_number(p->origin_lsn, "source.origin_lsn", &origin_lsn, err))
        return false;
    if (!lsn) lsn = sequence[1];
    if (!lsn && c->op != CHANGE_READ)
        return error_set(err, ERROR_DATA, "source.lsn is missing: the change has no position");
    if (lsn < 0 || sequence[0] < 0)
        return error_set(err, ERROR_DATA, "source.lsn or source.sequence is negative: that is no position");
    c->event_lsn = (uint64_t)lsn;
    c->previous_lsn = (uint64_t)sequence[0];
    c->lsn = c->op == CHANGE_READ ? c->event_lsn : c->previous_lsn;
    c->ordinal = c->op == CHANGE_READ ? 0 : c->event_lsn;
    c->xid = (uint32_t)xid;
    c->origin_lsn = (uint64_t)origin_lsn;
    return true;
}

static bool take_source(struct debezium_decoder *d, const struct parts *p, struct debezium_record *out,
                        struct error *err)
{
    struct change *c = &out->change;
    c->op = (enum change_op)p->op.data[1];
    buf_clear(&d->table);
    if (!put_string(p->schema, "schema", &d->table, err)) return false;
    buf_put_char(&d->table, '.');
    if (!put_string(p->table, "table", &d->table, err)) return false;
    (void)buf_text(&d->table);
    c->table = buf_slice(&d->table);
    if (memchr(c->table.data, '\0', c->table.len))
        return error_set(err, ERROR_DATA, "source.table holds a NUL");
    if (p->origin.data) {
        buf_clear(&d->origin);
        if (!put_string(p->origin, "origin", &d->origin, err)) return false;
        c->origin = d->origin.len ? buf_slice(&d->origin) : SLICE("");
    }
    struct slice snapshot = p->snapshot, text;
    if (snapshot.data && string_of(snapshot, &d->scratch, &text)) snapshot = text;
    if (snapshot.data && !slice_equal(snapshot, SLICE("false")))
        snprintf(out->snapshot, sizeof out->snapshot, "%.*s", (int)(snapshot.len < 40 ? snapshot.len : 40),
                 snapshot.data);
    out->sequenced = p->sequence.data != NULL;
    if (p->name.len >= 2) out->prefix = (struct slice){p->name.data + 1, p->name.len - 2};
    return take_times(p, c, err) && take_position(d, p, c, err);
}

/* ---- shapes */

/* Of a key without a schema: the names of its members. */
static XXH128_hash_t key_names_hash(struct debezium_decoder *d, struct slice key)
{
    struct json_scan s = json_scan_object(key);
    struct slice name, value;
    buf_clear(&d->scratch);
    while (json_scan_next(&s, &name, &value)) {
        buf_put_slice(&d->scratch, name);
        buf_put_char(&d->scratch, '"');
    }
    return XXH3_128bits(d->scratch.data ? d->scratch.data : "", d->scratch.len);
}

static bool make_shape(struct debezium_decoder *d, const struct parts *p, char identity,
                       const struct shape_key *key, struct debezium_shape **out, struct error *err)
{
    if (d->shapes.count >= SHAPES_MAX)
        return error_set(err, ERROR_DATA, "there are more than %d different schemas", SHAPES_MAX);
    struct debezium_shape *shape = mem_alloc(sizeof *shape);
    struct schema schema;
    if (!shape_of_schema(&d->values, p->value_schema, p->key_schema, p->key, buf_text(&d->table), identity,
                         shape, &schema, err)) {
        shape_free(shape);
        return false;
    }
    shape->schema = intern(d, &schema);
    *map_put(&d->shapes, (struct slice){(const char *)key, sizeof *key}) = shape;
    *out = shape;
    return true;
}

static bool shape_by_schema(struct debezium_decoder *d, const struct parts *p, bool same,
                            const struct debezium_shape *described, struct debezium_shape **out,
                            struct error *err)
{
    char identity = '\0';
    if (described) identity = described->identity;
    struct shape_key key;
    memset(&key, 0, sizeof key);
    if (!same) {
        d->last_hash = XXH3_128bits(p->value_schema.data, p->value_schema.len);
        buf_clear(&d->last_text);
        buf_put_slice(&d->last_text, p->value_schema);
        d->last = NULL;
    }
    key.value = d->last_hash;
    if (p->key_schema.data)
        key.key = XXH3_128bits(p->key_schema.data, p->key_schema.len);
    else if (p->key.data)
        key.key = key_names_hash(d, p->key);
    key.table = XXH3_64bits(d->table.data, d->table.len);
    key.identity = (unsigned char)identity;
    if (d->last && memcmp(&key, &d->last_key, sizeof key) == 0) {
        *out = d->last;
        return true;
    }
    *out = map_get(&d->shapes, (struct slice){(const char *)&key, sizeof key});
    if (!*out && !make_shape(d, p, identity, &key, out, err)) return false;
    d->last = *out;
    d->last_key = key;
    return true;
}

/* ---- images */

static bool bad_value(const char *image, const struct field *f, struct slice raw, struct error *err)
{
    return error_set(err, ERROR_DATA, "%s.%s is not %s%s: %.*s%s", image, f->name,
                     f->as.array ? "an array, each " : "", converter_expects(&f->as),
                     (int)(raw.len < 80 ? raw.len : 80), raw.data, raw.len > 80 ? ".." : "");
}

static void note_undescribed(struct debezium_decoder *d, struct slice name, struct debezium_record *out)
{
    if (out->undescribed.data) return;
    buf_clear(&d->undescribed);
    (void)!json_unescape(name, &d->undescribed);
    out->undescribed = d->undescribed.len ? buf_slice(&d->undescribed) : SLICE("");
}

/* Finds the image's values by column: d->raw. They mostly come in the columns' order. */
static bool scan_image(struct debezium_decoder *d, const struct fields *f, struct slice object,
                       const char *image, struct debezium_record *out, struct error *err)
{
    struct json_scan s = json_scan_object(object);
    struct slice name, value;
    size_t next = 0;
    if (f->count > d->raw_cap) {
        d->raw = mem_resize(d->raw, f->count, sizeof *d->raw);
        d->raw_cap = f->count;
    }
    if (f->count) memset(d->raw, 0, f->count * sizeof *d->raw);
    while (json_scan_next(&s, &name, &value)) {
        const struct field *at = next < f->count ? &f->items[next] : NULL;
        if (!at || at->name_len != name.len || memcmp(at->name, name.data, name.len) != 0) {
            at = field_find(f, name);
            if (!at) {
                note_undescribed(d, name, out);
                continue;
            }
            next = (size_t)(at - f->items);
        }
        d->raw[next++] = value;
    }
    return json_scan_ok(&s) || error_set(err, ERROR_DATA, "%s is not a JSON object", image);
}

/* unchanged: where placeholders are named, NULL when there are none. whole: whether a column outside the
 * key has a value that the connector does not make up. */
static bool put_image(struct debezium_decoder *d, const struct fields *f, struct slice object,
                      const char *image, struct buf *to, struct buf *unchanged, bool *whole,
                      struct debezium_record *out, struct error *err)
{
    buf_clear(to);
    if (!scan_image(d, f, object, image, out, err)) return false;
    char separator = '{';
    for (size_t i = 0; i < f->count; i++) {
        const struct field *at = &f->items[i];
        struct slice raw = d->raw[i];
        if (!raw.data) continue;
        if (unchanged && value_unavailable(&d->values, &at->as, raw)) {
            buf_put_char(unchanged, unchanged->len ? ',' : '[');
            buf_put(unchanged, at->label, at->label_len - 1);
            continue;
        }
        buf_put_char(to, separator);
        separator = ',';
        buf_put(to, at->label, at->label_len);
        size_t start = to->len;
        if (!value_put(&d->values, &at->as, raw, to)) return bad_value(image, at, raw, err);
        if (whole && !*whole && !at->key && buf_ok(to))
            *whole = !value_is_filler(at, (struct slice){to->data + start, to->len - start});
    }
    buf_put_text(to, separator == '{' ? "{}" : "}");
    return buf_ok(to) || error_set(err, ERROR_DATA, "%s is too large", image);
}

static bool put_key(struct debezium_decoder *d, const struct fields *f, struct slice object, struct buf *to,
                    struct debezium_record *out, struct error *err)
{
    if (!put_image(d, f, object, "key", to, NULL, NULL, out, err)) return false;
    for (size_t i = 0; i < f->count; i++)
        if (!d->raw[i].data) return error_set(err, ERROR_DATA, "key.%s is missing", f->items[i].name);
    return true;
}

/* The old key is told for convenience (the old row's delete is an event of its own): one that does not fit
 * is left out. */
static void take_old_key(struct debezium_decoder *d, const struct debezium_shape *shape,
                         struct slice header, struct debezium_record *out)
{
    struct slice schema, payload;
    struct error ignored = {0};
    struct debezium_record scratch = {0};
    if (!header.data || !shape->key.count || !split_wrapper(header, &schema, &payload) || is_null(payload))
        return;
    if (put_key(d, &shape->key, payload, &d->old_key, &scratch, &ignored) && !scratch.undescribed.data)
        out->change.old_key = buf_slice(&d->old_key);
}

static bool take_key(struct debezium_decoder *d, const struct parts *p, const struct debezium_shape *shape,
                     struct slice old_key, struct debezium_record *out, struct error *err)
{
    if (!p->key.data) return true;
    if (!put_key(d, &shape->key, p->key, &d->key, out, err)) return false;
    if (out->undescribed.data)
        return error_set(err, ERROR_DATA, "key.%.*s is not in the table's key as it is described",
                         (int)(out->undescribed.len < 100 ? out->undescribed.len : 100),
                         out->undescribed.data);
    out->change.key = buf_slice(&d->key);
    take_old_key(d, shape, old_key, out);
    return true;
}

static bool take_after(struct debezium_decoder *d, const struct parts *p,
                       const struct debezium_shape *shape, struct debezium_record *out, struct error *err)
{
    struct change *c = &out->change;
    if (c->op == CHANGE_DELETE) return true;
    if (!p->after.data) return error_set(err, ERROR_DATA, "after is missing");
    buf_clear(&d->unchanged);
    struct buf *unchanged = c->op == CHANGE_READ ? NULL : &d->unchanged;
    if (!put_image(d, &shape->row, p->after, "after", &d->after, unchanged, NULL, out, err)) return false;
    c->after = buf_slice(&d->after);
    if (d->unchanged.len) {
        buf_put_char(&d->unchanged, ']');
        c->unchanged = buf_slice(&d->unchanged);
    }
    return true;
}

static bool take_before(struct debezium_decoder *d, const struct parts *p,
                        const struct debezium_shape *shape, struct debezium_record *out, struct error *err)
{
    struct change *c = &out->change;
    if (c->op != CHANGE_UPDATE && c->op != CHANGE_DELETE) return true;
    if (!p->before.data)
        return c->op == CHANGE_UPDATE || c->key.data ||
               error_set(err, ERROR_DATA,
                         "before is missing, and the record has no key: which row is deleted is not known");
    bool whole = c->op == CHANGE_UPDATE || !c->key.data || shape->identity == 'f';
    if (!put_image(d, &shape->row, p->before, "before", &d->before, NULL, &whole, out, err)) return false;
    if (whole && (shape->identity != 'i' || !c->key.data)) c->before = buf_slice(&d->before);
    return true;
}

static bool decode(struct debezium_decoder *d, struct slice key, struct slice value, struct slice old_key,
                   struct debezium_record *out, struct error *err)
{
    struct parts p = {0};
    bool same;
    if (!split(d, key, value, &p, &same, err)) return false;
    out->kind = DEBEZIUM_TOMBSTONE;
    if (is_null(p.value)) return true;
    if (!split_value(&p, &out->kind, err)) return false;
    if (out->kind != DEBEZIUM_CHANGE) return true;
    if (!take_source(d, &p, out, err)) return false;
    if (out->change.op == CHANGE_TRUNCATE) return true;
    struct debezium_shape *described = map_get(&d->described, out->change.table), *shape = described;
    if (p.value_schema.data) {
        if (!shape_by_schema(d, &p, same, described, &shape, err)) return false;
    } else if (!described) {
        out->kind = DEBEZIUM_UNDESCRIBED;
        return true;
    }
    out->schema = shape->schema;
    return take_key(d, &p, shape, old_key, out, err) && take_after(d, &p, shape, out, err) &&
           take_before(d, &p, shape, out, err);
}

bool debezium_decode(struct debezium_decoder *d, struct slice key, struct slice value, struct slice old_key,
                     struct debezium_record *out, struct error *err)
{
    *out = (struct debezium_record){.kind = DEBEZIUM_TOMBSTONE};
    if (!value.data || is_null(value)) return true;
    if (decode(d, key, value, old_key, out, err)) return true;
    struct slice table = out->change.table;
    if (table.data)
        return error_wrap(err, "event of %.*s", (int)(table.len < 200 ? table.len : 200), table.data);
    return error_wrap(err, "event");
}
