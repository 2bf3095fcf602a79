/* Columns and their types: Delta's names, ClickHouse's names, and Delta's schema text.
 *
 *   {"type":"struct","fields":[{"name":"id","type":"long","nullable":false,"metadata":{}}, ...]}
 *
 * Does not do: nested types, column mapping, generated columns; a schema that has them is refused. */
#include "format/row.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>

static const struct {
    const char *delta, *clickhouse;
} type_names[] = {
    [COLUMN_STRING] = {"string", "String"},
    [COLUMN_LONG] = {"long", "Int64"},
    [COLUMN_INTEGER] = {"integer", "Int32"},
    [COLUMN_SHORT] = {"short", "Int16"},
    [COLUMN_BYTE] = {"byte", "Int8"},
    [COLUMN_BOOLEAN] = {"boolean", "Bool"},
    [COLUMN_DOUBLE] = {"double", "Float64"},
    [COLUMN_FLOAT] = {"float", "Float32"},
    [COLUMN_DATE] = {"date", "Date32"},
    [COLUMN_TIMESTAMP] = {"timestamp", "DateTime64(6, 'UTC')"},
    [COLUMN_DECIMAL] = {"decimal", "Decimal"},
};

enum { TYPE_COUNT = sizeof type_names / sizeof type_names[0], PRECISION_MAX = 38 };

void columns_free(struct columns *c)
{
    for (size_t i = 0; i < c->count; i++) mem_free(c->items[i].name);
    mem_free(c->items);
    *c = (struct columns){0};
}

void columns_add(struct columns *c, const char *name, enum column_type type, int precision, int scale,
                 bool nullable)
{
    assert(type != COLUMN_DECIMAL ||
           (precision >= 1 && precision <= PRECISION_MAX && scale >= 0 && scale <= precision));
    if (type != COLUMN_DECIMAL) precision = scale = 0;
    MEM_GROW(c->items, c->count, c->cap);
    c->items[c->count++] = (struct column){
        .name = mem_text(name), .type = type, .precision = (uint8_t)precision,
        .scale = (uint8_t)scale, .nullable = nullable,
    };
}

void columns_copy(struct columns *to, const struct columns *from)
{
    *to = (struct columns){0};
    for (size_t i = 0; i < from->count; i++) {
        const struct column *c = &from->items[i];
        columns_add(to, c->name, c->type, c->precision, c->scale, c->nullable);
    }
}

bool columns_equal(const struct columns *a, const struct columns *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct column *x = &a->items[i], *y = &b->items[i];
        if (strcmp(x->name, y->name) != 0 || x->type != y->type || x->nullable != y->nullable ||
            x->precision != y->precision || x->scale != y->scale)
            return false;
    }
    return true;
}

int columns_find(const struct columns *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->items[i].name, name) == 0) return (int)i;
    return -1;
}

static bool parse_decimal(struct slice text, struct column *out)
{
    char copy[32];
    int precision, scale, end = 0;
    if (text.len >= sizeof copy) return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (sscanf(copy, "decimal(%2d,%n", &precision, &end) != 1 || end == 0) return false;
    int more = 0;
    if (sscanf(copy + end, " %2d)%n", &scale, &more) != 1 || more == 0) return false;
    if ((size_t)(end + more) != text.len) return false;
    if (precision < 1 || precision > PRECISION_MAX || scale < 0 || scale > precision) return false;
    out->type = COLUMN_DECIMAL;
    out->precision = (uint8_t)precision;
    out->scale = (uint8_t)scale;
    return true;
}

bool column_type_parse(const char *text, struct column *out, struct error *err)
{
    static const char suffix[] = " not null";
    struct slice type = slice_of(text);
    bool nullable = true;
    if (type.len >= sizeof suffix - 1 &&
        strcmp(text + type.len - (sizeof suffix - 1), suffix) == 0) {
        nullable = false;
        type.len -= sizeof suffix - 1;
    }
    out->nullable = nullable;
    out->precision = out->scale = 0;
    for (int i = 0; i < TYPE_COUNT; i++) {
        if (i == COLUMN_DECIMAL || !slice_equal(type, slice_of(type_names[i].delta))) continue;
        out->type = (enum column_type)i;
        return true;
    }
    if (parse_decimal(type, out)) return true;
    return error_set(err, ERROR_DATA, "type \"%.100s\" is not one that Millrace keeps", text);
}

void column_type_delta(const struct column *c, struct buf *out)
{
    buf_put_text(out, type_names[c->type].delta);
    if (c->type == COLUMN_DECIMAL) buf_printf(out, "(%d,%d)", c->precision, c->scale);
}

void column_type_clickhouse(const struct column *c, struct buf *out)
{
    if (c->nullable) buf_put_text(out, "Nullable(");
    buf_put_text(out, type_names[c->type].clickhouse);
    if (c->type == COLUMN_DECIMAL) buf_printf(out, "(%d, %d)", c->precision, c->scale);
    if (c->nullable) buf_put_char(out, ')');
}

void columns_clickhouse(const struct columns *c, struct buf *out)
{
    for (size_t i = 0; i < c->count; i++) {
        if (i) buf_put_text(out, ", ");
        buf_put_sql_name(out, c->items[i].name);
        buf_put_char(out, ' ');
        column_type_clickhouse(&c->items[i], out);
    }
}

void columns_delta_schema(const struct columns *c, struct buf *out)
{
    buf_put_text(out, "{\"type\":\"struct\",\"fields\":[");
    for (size_t i = 0; i < c->count; i++) {
        buf_put_text(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json(out, slice_of(c->items[i].name));
        buf_put_text(out, ",\"type\":\"");
        column_type_delta(&c->items[i], out);
        buf_printf(out, "\",\"nullable\":%s,\"metadata\":{}}", c->items[i].nullable ? "true" : "false");
    }
    buf_put_text(out, "]}");
}

static bool add_delta_field(json_t *field, struct columns *out, struct error *err)
{
    const char *name = json_string_value(json_object_get(field, "name"));
    const char *type = json_string_value(json_object_get(field, "type"));
    const json_t *nullable = json_object_get(field, "nullable");
    if (!name || !*name) return error_set(err, ERROR_DATA, "schema: a field has no name");
    if (!type) return error_set(err, ERROR_DATA, "schema: column %.100s has a nested type", name);
    if (columns_find(out, name) >= 0)
        return error_set(err, ERROR_DATA, "schema: column %.100s occurs twice", name);
    struct column c = {0};
    if (!column_type_parse(type, &c, err)) return error_wrap(err, "schema: column %.100s", name);
    columns_add(out, name, c.type, c.precision, c.scale, c.nullable && !json_is_false(nullable));
    return true;
}

bool columns_from_delta_schema(const char *json, struct columns *out, struct error *err)
{
    json_error_t why;
    json_t *root = json_loads(json, 0, &why);
    *out = (struct columns){0};
    if (!root) return error_set(err, ERROR_DATA, "schema: not JSON: %s", why.text);
    json_t *fields = json_object_get(root, "fields");
    bool ok = json_is_array(fields);
    if (!ok) error_set(err, ERROR_DATA, "schema: no array \"fields\"");
    for (size_t i = 0; ok && i < json_array_size(fields); i++)
        ok = add_delta_field(json_array_get(fields, i), out, err);
    if (!ok) columns_free(out);
    json_decref(root);
    return ok;
}
