/* A table's encoder: made once from its columns, then rows. */
#include "format/debezium/encode_int.h"

static void make_field(const struct debezium_table *t, const struct debezium_column *c, struct debezium_field *f)
{
    struct buf label = {0};
    debezium_put_string(slice_of(c->name), &label);
    buf_put_char(&label, ':');
    f->label_len = label.len;
    f->label = buf_take(&label);
    f->name = mem_text(c->name);
    f->kind = debezium_kind_of_column(c, &t->options);
    if (f->kind.labels) f->kind.labels = mem_text(f->kind.labels);
    f->key = c->key;
    f->not_null = c->not_null || c->key;
    if (c->fallback && !c->hashed) debezium_put_scalar(&t->options, &f->kind, slice_of(c->fallback), &f->fallback);
    else if (c->computed && f->not_null) debezium_put_zero(&t->options, &f->kind, &f->fallback);
    if (slice_equal(buf_slice(&f->fallback), SLICE("null"))) buf_clear(&f->fallback);
    if (f->fallback.len && (f->not_null || t->options.null_to_default)) buf_put_slice(&f->absent, buf_slice(&f->fallback));
    else if (f->not_null) debezium_put_zero(&t->options, &f->kind, &f->absent);
    else buf_put_text(&f->absent, "null");
}

struct debezium_table *debezium_table_new(const char *table, const struct debezium_column *columns, size_t count,
                                          const struct debezium_options *options)
{
    struct debezium_table *t = mem_alloc(sizeof *t);
    t->name = mem_text(table);
    t->options = *options;
    t->fields = mem_alloc((count + 1) * sizeof *t->fields);
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        make_field(t, &columns[i], &t->fields[i]);
        if (columns[i].key > 0) t->key_count++;
    }
    t->key = mem_alloc((t->key_count + 1) * sizeof *t->key);
    for (size_t i = 0; i < count; i++)
        if (columns[i].key > 0 && (size_t)columns[i].key <= t->key_count) t->key[columns[i].key - 1] = i;
    debezium_make_schemas(t);
    return t;
}

void debezium_table_free(struct debezium_table *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->count; i++) {
        struct debezium_field *f = &t->fields[i];
        mem_free(f->label);
        mem_free(f->name);
        mem_free((char *)(uintptr_t)f->kind.labels);
        buf_free(&f->fallback);
        buf_free(&f->absent);
    }
    mem_free(t->fields);
    mem_free(t->key);
    mem_free(t->name);
    mem_free(t->key_schema);
    mem_free(t->value_schema);
    mem_free(t);
}

const char *debezium_key_schema(const struct debezium_table *t)
{
    return t->key_schema;
}

const char *debezium_value_schema(const struct debezium_table *t)
{
    return t->value_schema;
}

static void put_value(const struct debezium_table *t, const struct debezium_field *f, const struct pgoutput_value *v,
                      struct buf *json)
{
    if (v->kind == PGOUTPUT_UNCHANGED)
        debezium_put_placeholder(&t->options, &f->kind, json);
    else if (v->kind == PGOUTPUT_NULL && t->options.null_to_default && f->fallback.len)
        buf_put_slice(json, buf_slice(&f->fallback));
    else
        debezium_put_scalar(&t->options, &f->kind, v->kind == PGOUTPUT_TEXT ? v->text : (struct slice){0}, json);
}

void debezium_put_row(const struct debezium_table *t, const struct pgoutput_value *values, struct buf *json)
{
    char before = '{';
    for (size_t i = 0; i < t->count; i++) {
        const struct debezium_field *f = &t->fields[i];
        if (f->kind.value == VALUE_DROP) continue;
        buf_put_char(json, before);
        buf_put(json, f->label, f->label_len);
        put_value(t, f, &values[i], json);
        before = ',';
    }
    if (before == '{') buf_put_char(json, '{');
    buf_put_char(json, '}');
}

void debezium_put_old_row(const struct debezium_table *t, const struct pgoutput_value *values, const bool *known,
                          struct buf *json)
{
    char before = '{';
    for (size_t i = 0; i < t->count; i++) {
        const struct debezium_field *f = &t->fields[i];
        if (f->kind.value == VALUE_DROP) continue;
        buf_put_char(json, before);
        buf_put(json, f->label, f->label_len);
        if (known[i]) put_value(t, f, &values[i], json);
        else buf_put_slice(json, buf_slice(&f->absent));
        before = ',';
    }
    if (before == '{') buf_put_char(json, '{');
    buf_put_char(json, '}');
}

void debezium_put_key(const struct debezium_table *t, const struct pgoutput_value *values, struct buf *json)
{
    for (size_t i = 0; i < t->key_count; i++) {
        const struct debezium_field *f = &t->fields[t->key[i]];
        buf_put_char(json, i ? ',' : '{');
        buf_put(json, f->label, f->label_len);
        put_value(t, f, &values[t->key[i]], json);
    }
    if (t->key_count) buf_put_char(json, '}');
}
