#include "format/schema.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <xxhash.h>

void schema_free(struct schema *s)
{
    for (size_t i = 0; i < s->count; i++) {
        mem_free(s->columns[i].name);
        mem_free(s->columns[i].type);
        mem_free(s->columns[i].missing);
    }
    mem_free(s->columns);
    mem_free(s->table);
    *s = (struct schema){0};
}

static void encode_column(const struct schema_column *c, struct buf *json)
{
    buf_put_text(json, "{\"name\":");
    buf_put_json(json, slice_of(c->name));
    buf_put_text(json, ",\"type\":");
    buf_put_json(json, slice_of(c->type));
    buf_printf(json, ",\"oid\":%" PRIu32 ",\"typmod\":%" PRId32 ",\"attnum\":%d,\"key\":%d", c->oid,
               c->typmod, c->attnum, c->key);
    buf_printf(json, ",\"not_null\":%s", c->not_null ? "true" : "false");
    buf_put_text(json, ",\"missing\":");
    if (c->missing)
        buf_put_json(json, slice_of(c->missing));
    else
        buf_put_text(json, "null");
    buf_put_char(json, '}');
}

/* What the id is the hash of: everything after it. */
static void encode_body(const struct schema *s, struct buf *json)
{
    buf_printf(json, "\"replica_identity\":\"%c\",\"columns\":[", s->replica_identity);
    for (size_t i = 0; i < s->count; i++) {
        if (i) buf_put_char(json, ',');
        encode_column(&s->columns[i], json);
    }
    buf_put_text(json, "]}");
}

static void put_id(const struct schema *s, struct slice body, char id[17])
{
    XXH64_hash_t seed = XXH3_64bits(s->table, strlen(s->table));
    snprintf(id, 17, "%016" PRIx64, (uint64_t)XXH3_64bits_withSeed(body.data, body.len, seed));
}

void schema_set_id(struct schema *s)
{
    struct buf body = {0};
    encode_body(s, &body);
    put_id(s, buf_slice(&body), s->id);
    buf_free(&body);
}

void schema_encode(const struct schema *s, struct buf *json)
{
    struct buf body = {0};
    char id[17];
    encode_body(s, &body);
    put_id(s, buf_slice(&body), id);
    buf_put_text(json, "{\"table\":");
    buf_put_json(json, slice_of(s->table));
    buf_printf(json, ",\"id\":\"%s\",", id);
    buf_put_slice(json, buf_slice(&body));
    buf_free(&body);
}

static char *text_member(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_string(v) ? mem_textn(json_string_value(v), json_string_length(v)) : NULL;
}

static bool number_member(const json_t *object, const char *name, int64_t least, int64_t most, int64_t *out)
{
    const json_t *v = json_object_get(object, name);
    *out = json_is_integer(v) ? json_integer_value(v) : INT64_MIN;
    return *out >= least && *out <= most;
}

static bool decode_column(const json_t *object, struct schema_column *c)
{
    int64_t oid, typmod, attnum, key;
    c->name = text_member(object, "name");
    c->type = text_member(object, "type");
    c->missing = text_member(object, "missing");
    c->not_null = json_is_true(json_object_get(object, "not_null"));
    if (!c->name || !c->type || !number_member(object, "oid", 0, UINT32_MAX, &oid) ||
        !number_member(object, "typmod", INT32_MIN, INT32_MAX, &typmod) ||
        !number_member(object, "attnum", 0, INT16_MAX, &attnum) ||
        !number_member(object, "key", 0, INT16_MAX, &key))
        return false;
    c->oid = (uint32_t)oid;
    c->typmod = (int32_t)typmod;
    c->attnum = (int)attnum;
    c->key = (int)key;
    return true;
}

static bool decode_columns(const json_t *array, struct schema *out)
{
    if (!json_is_array(array)) return false;
    size_t count = json_array_size(array);
    out->columns = mem_alloc((count ? count : 1) * sizeof *out->columns);
    for (out->count = 0; out->count < count;) {
        size_t i = out->count++; /* counted first, so that schema_free sees what was filled */
        if (!decode_column(json_array_get(array, i), &out->columns[i])) return false;
    }
    return true;
}

static bool decode_head(const json_t *root, struct schema *out)
{
    out->table = text_member(root, "table");
    const char *id = json_string_value(json_object_get(root, "id"));
    const char *identity = json_string_value(json_object_get(root, "replica_identity"));
    if (!out->table || !id || strlen(id) != 16 || !identity || strlen(identity) != 1) return false;
    memcpy(out->id, id, sizeof out->id);
    out->replica_identity = identity[0];
    return true;
}

bool schema_decode(struct slice json, struct schema *out, struct error *err)
{
    *out = (struct schema){0};
    json_error_t where;
    json_t *root = json_loadb(json.data ? json.data : "", json.len, 0, &where);
    if (!root) return error_set(err, ERROR_DATA, "schema record is not JSON: %s", where.text);
    bool ok = decode_head(root, out) && decode_columns(json_object_get(root, "columns"), out);
    json_decref(root);
    if (ok) return true;
    schema_free(out);
    return error_set(err, ERROR_DATA, "schema record lacks a member or has one of the wrong kind");
}

const struct schema_column *schema_find(const struct schema *s, struct slice name)
{
    for (size_t i = 0; i < s->count; i++)
        if (slice_equal(slice_of(s->columns[i].name), name)) return &s->columns[i];
    return NULL;
}
