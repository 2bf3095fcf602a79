/* Shapes: what a table's records look like, made once for each schema text and for each description.
 *
 * A Connect schema gives columns no attribute number (0): an event does not tell it, and a place in the row
 * would take one column for another once a column before it is dropped. Without numbers columns are told
 * apart by name. */
#include "format/debezium/decode_int.h"
#include "format/json_scan.h"
#include "format/pgvalue.h"

enum { COLUMNS_MAX = 1600 }; /* of a table of PostgreSQL */

static void fields_free(struct fields *f)
{
    for (size_t i = 0; i < f->count; i++) {
        mem_free(f->items[i].name);
        mem_free(f->items[i].label);
        mem_free(f->items[i].fallback);
    }
    mem_free(f->items);
    *f = (struct fields){0};
}

void shape_free(void *at)
{
    struct debezium_shape *shape = at;
    if (!shape) return;
    fields_free(&shape->row);
    fields_free(&shape->key);
    mem_free(shape);
}

const struct field *field_find(const struct fields *f, struct slice raw)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct field *at = &f->items[i];
        if (at->name_len == raw.len && memcmp(at->name, raw.data, raw.len) == 0) return at;
    }
    if (!raw.len || !memchr(raw.data, '\\', raw.len)) return NULL;
    for (size_t i = 0; i < f->count; i++)
        if (json_name_is(raw, slice_of(f->items[i].name))) return &f->items[i];
    return NULL;
}

static struct field *field_add(struct fields *f, const char *name)
{
    f->items = mem_resize(f->items, f->count + 1, sizeof *f->items);
    struct field *at = &f->items[f->count++];
    struct buf label = {0};
    buf_put_json(&label, slice_of(name));
    buf_put_char(&label, ':');
    *at = (struct field){.name = mem_text(name), .name_len = strlen(name), .label_len = label.len};
    at->label = buf_take(&label);
    return at;
}

static void copy_field(struct fields *to, const struct field *from)
{
    struct field *at = field_add(to, from->name);
    at->as = from->as;
    at->required = from->required;
}

/* ---- from Connect schemas */

static const json_t *struct_field(const json_t *node, const char *name)
{
    size_t i;
    const json_t *field;
    json_array_foreach(json_object_get(node, "fields"), i, field)
    {
        const char *own = json_string_value(json_object_get(field, "field"));
        if (own && strcmp(own, name) == 0) return field;
    }
    return NULL;
}

static char *default_of(struct values *v, const json_t *node, const struct converter *as)
{
    const json_t *value = json_object_get(node, "default");
    if (!value || json_is_null(value)) return NULL;
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    struct buf canonical = {0};
    char *out = text && value_put(v, as, slice_of(text), &canonical) ? buf_take(&canonical) : NULL;
    buf_free(&canonical);
    mem_free(text);
    return out;
}

/* schema NULL: of a key, whose columns are known. */
static bool take_fields(struct values *v, const json_t *node, struct fields *out, struct schema *schema,
                        struct error *err)
{
    const json_t *list = json_object_get(node, "fields"), *field;
    size_t i, count = json_array_size(list);
    if (!json_is_array(list)) return error_set(err, ERROR_DATA, "it is no struct with fields");
    if (count > COLUMNS_MAX) return error_set(err, ERROR_DATA, "it has %zu fields", count);
    if (schema) schema->columns = mem_alloc((count ? count : 1) * sizeof *schema->columns);
    json_array_foreach(list, i, field)
    {
        const char *name = json_string_value(json_object_get(field, "field"));
        if (!name) return error_set(err, ERROR_DATA, "field %zu of it has no name", i + 1);
        struct slice plain = slice_of(name);
        for (size_t j = 0; j < out->count; j++)
            if (slice_equal(plain, slice_of(out->items[j].name)))
                return error_set(err, ERROR_DATA, "it has two fields %.100s", name);
        struct field *at = field_add(out, name);
        struct schema_column column = {0};
        type_of_connect(field, &at->as, &column);
        at->required = json_is_false(json_object_get(field, "optional"));
        at->fallback = default_of(v, field, &at->as);
        column.name = mem_text(name);
        column.not_null = at->required;
        if (schema) {
            schema->columns[schema->count++] = column;
        } else {
            mem_free(column.name);
            mem_free(column.type);
        }
    }
    return true;
}

/* Places in the key: a key column that the rows lack (column.exclude.list) has none. */
static void mark_key(struct debezium_shape *shape, struct schema *schema)
{
    for (size_t i = 0; i < shape->key.count; i++) {
        for (size_t j = 0; j < shape->row.count; j++) {
            if (strcmp(shape->row.items[j].name, shape->key.items[i].name) != 0) continue;
            shape->row.items[j].key = true;
            schema->columns[j].key = (int)i + 1;
        }
    }
}

static bool key_by_names(struct slice key, struct debezium_shape *shape, struct error *err)
{
    struct json_scan s = json_scan_object(key);
    struct slice name, value;
    while (json_scan_next(&s, &name, &value)) {
        const struct field *f = field_find(&shape->row, name);
        if (!f)
            return error_set(err, ERROR_DATA, "key.%.*s is no column of the row, and the key has no schema",
                             (int)(name.len < 100 ? name.len : 100), name.data);
        if (!field_find(&shape->key, name)) copy_field(&shape->key, f);
    }
    return json_scan_ok(&s) || error_set(err, ERROR_DATA, "the key is not a JSON object");
}

static bool parse_schema(struct slice text, const char *what, json_t **out, struct error *err)
{
    json_error_t where;
    *out = json_loadb(text.data, text.len, 0, &where);
    return *out || error_set(err, ERROR_DATA, "the %s's schema is not JSON: %s", what, where.text);
}

static bool row_of_schema(struct values *v, struct slice text, struct debezium_shape *out,
                          struct schema *schema, struct error *err)
{
    json_t *root;
    if (!parse_schema(text, "value", &root, err)) return false;
    const json_t *row = struct_field(root, "after");
    if (!row) row = struct_field(root, "before");
    bool ok = row ? take_fields(v, row, &out->row, schema, err) || error_wrap(err, "value.schema, after")
                  : error_set(err, ERROR_DATA, "the value's schema has no field after");
    json_decref(root);
    return ok;
}

static bool key_of_schema(struct values *v, struct slice text, struct debezium_shape *out,
                          struct error *err)
{
    json_t *root;
    if (!parse_schema(text, "key", &root, err)) return false;
    bool ok = take_fields(v, root, &out->key, NULL, err) || error_wrap(err, "key.schema");
    json_decref(root);
    return ok;
}

bool shape_of_schema(struct values *v, struct slice value_schema, struct slice key_schema, struct slice key,
                     const char *table, char identity, struct debezium_shape *out, struct schema *schema,
                     struct error *err)
{
    *schema = (struct schema){.table = mem_text(table), .replica_identity = identity ? identity : 'd'};
    out->identity = identity;
    bool ok = row_of_schema(v, value_schema, out, schema, err) &&
              (!key_schema.data || key_of_schema(v, key_schema, out, err)) &&
              (key_schema.data || !key.data || key_by_names(key, out, err));
    if (!ok) {
        schema_free(schema);
        return false;
    }
    mark_key(out, schema);
    schema_set_id(schema);
    return true;
}

/* ---- from descriptions */

static void key_of_columns(const struct debezium_column *columns, size_t count,
                           struct debezium_shape *shape)
{
    for (int place = 1; place <= (int)count; place++)
        for (size_t i = 0; i < count; i++)
            if (columns[i].key == place) copy_field(&shape->key, &shape->row.items[i]);
}

void shape_of_columns(const char *table, char identity, const struct debezium_column *columns, size_t count,
                      const struct debezium_options *options, struct debezium_shape *out,
                      struct schema *schema)
{

    *schema = (struct schema){.table = mem_text(table), .replica_identity = identity ? identity : 'd'};
    schema->columns = mem_alloc((count ? count : 1) * sizeof *schema->columns);
    out->identity = identity;
    for (size_t i = 0; i < count; i++) {
        const struct debezium_column *c = &columns[i];
        struct field *at = field_add(&out->row, c->name);
        at->as = converter_of_column(c, options);
        at->key = c->key > 0;
        at->required = c->not_null;
        if (c->fallback) {
            struct buf canonical = {0};
            pgvalue_put_json(&canonical, pgvalue_type_of(c->oid, c->type), slice_of(c->fallback));
            at->fallback = buf_take(&canonical);
        }
        schema->columns[schema->count++] = (struct schema_column){.name = mem_text(c->name),
                                                                  .type = mem_text(c->type),
                                                                  .oid = c->oid,
                                                                  .typmod = c->typmod,
                                                                  .attnum = c->attnum,
                                                                  .key = c->key,
                                                                  .not_null = c->not_null};
    }
    key_of_columns(columns, count, out);
    schema_set_id(schema);
}
