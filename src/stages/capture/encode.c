/* Rows to canonical JSON: the one encoder of stream, copy and check.
 *
 * A hashed column becomes the hex of SHA-256(salt followed by the value's text); NULL stays null. An
 * excluded column does not exist for anything below. */
#include "stages/capture/capture_int.h"

#include <openssl/evp.h>

char *list_next(const char **list)
{
    const char *at = *list;
    while (at && (*at == ',' || *at == ' '))
        at++;
    if (!at || !*at) return NULL;
    size_t len = strcspn(at, ",");
    *list = at + len;
    while (len && at[len - 1] == ' ')
        len--;
    return mem_textn(at, len);
}

bool list_holds(const char *list, const char *item)
{
    bool found = false;
    char *each;
    while (!found && (each = list_next(&list))) {
        found = strcmp(each, item) == 0;
        mem_free(each);
    }
    return found;
}

static bool column_listed(const char *list, const struct schema *s, size_t i)
{
    char *name = mem_format("%s.%s", s->table, s->columns[i].name);
    bool held = list_holds(list, name);
    mem_free(name);
    return held;
}

static void column_drop(struct schema *s, size_t i)
{
    mem_free(s->columns[i].name);
    mem_free(s->columns[i].type);
    mem_free(s->columns[i].missing);
    memmove(&s->columns[i], &s->columns[i + 1], (s->count - i - 1) * sizeof *s->columns);
    s->count--;
}

/* A hash has lost the column's type: below it is a text. */
static void column_hash(struct schema_column *c)
{
    mem_free(c->type);
    mem_free(c->missing);
    c->type = mem_text("text");
    c->missing = NULL;
    c->oid = 25;
    c->typmod = -1;
}

static void prepare_column(struct capture_table *t, size_t i)
{
    struct schema_column *s = &t->schema.columns[i];
    struct capture_column *c = &t->columns[i];
    struct buf label = {0};
    buf_put_json(&label, slice_of(s->name));
    c->label_len = label.len;
    c->label = buf_take(&label);
    c->hashed = column_listed(t->config->hash_columns, &t->schema, i);
    if (c->hashed) column_hash(s);
    c->type = pgvalue_type_of(s->oid, s->type);
    if (s->key) t->key_count++;
}

bool table_prepare(struct capture_table *t, struct error *err)
{
    struct schema *s = &t->schema;
    size_t all = s->count;
    t->source_count = all;
    t->source = mem_alloc((all + 1) * sizeof *t->source);
    for (size_t from = 0, i = 0; from < all; from++) {
        if (!column_listed(t->config->exclude_columns, s, i)) {
            t->source[i++] = from;
            continue;
        }
        if (s->columns[i].key)
            return error_set(
                err, ERROR_CONFIG,
                "exclude_columns names %s.%s, which is part of the table's key; hash it instead", s->table,
                s->columns[i].name);
        column_drop(s, i);
    }
    t->columns = mem_alloc((s->count + 1) * sizeof *t->columns);
    for (size_t i = 0; i < s->count; i++)
        prepare_column(t, i);
    t->key = mem_alloc((t->key_count + 1) * sizeof *t->key);
    for (size_t i = 0; i < s->count; i++)
        if (s->columns[i].key) t->key[s->columns[i].key - 1] = i;
    schema_set_id(s);
    return true;
}

void capture_table_free(void *table)
{
    struct capture_table *t = table;
    if (!t) return;
    for (size_t i = 0; t->columns && i < t->schema.count; i++)
        mem_free(t->columns[i].label);
    schema_free(&t->schema);
    mem_free(t->columns);
    mem_free(t->source);
    mem_free(t->key);
    mem_free(t->filter);
    debezium_table_free(t->debezium);
    mem_free(t->known);
    mem_free(t);
}

const struct schema *capture_table_schema(const struct capture_table *t)
{
    return &t->schema;
}

static void put_hash(struct buf *out, const char *salt, struct slice text)
{
    static const char hex[] = "0123456789abcdef";
    struct buf salted = {0};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    buf_put_text(&salted, salt ? salt : "");
    buf_put_slice(&salted, text);
    EVP_Digest(salted.len ? salted.data : "", salted.len, digest, &len, EVP_sha256(), NULL);
    buf_free(&salted);
    for (unsigned i = 0; i < len; i++) {
        buf_put_char(out, hex[digest[i] >> 4]);
        buf_put_char(out, hex[digest[i] & 15]);
    }
}

/* For events: the values with hashes in the place of what is hashed. */
struct hashed {
    struct pgoutput_value *values; /* NULL: nothing is hashed */
    struct buf text;
};

static const struct pgoutput_value *hash_values(const struct capture_table *t, const struct pgoutput_value *values,
                                                struct hashed *h)
{
    enum { HEX = 64 };
    size_t n = 0, count = t->schema.count;
    *h = (struct hashed){0};
    for (size_t i = 0; i < count; i++) n += t->columns[i].hashed;
    if (n == 0) return values;
    h->values = mem_resize(NULL, count, sizeof *h->values);
    memcpy(h->values, values, count * sizeof *values);
    buf_reserve(&h->text, n * HEX);
    for (size_t i = 0; i < count; i++) {
        if (!t->columns[i].hashed || values[i].kind != PGOUTPUT_TEXT) continue;
        size_t at = h->text.len;
        put_hash(&h->text, t->config->hash_salt, values[i].text);
        h->values[i].text = (struct slice){h->text.data + at, h->text.len - at};
    }
    return h->values;
}

static void hashed_free(struct hashed *h)
{
    mem_free(h->values);
    buf_free(&h->text);
}

static void put_value(const struct capture_table *t, size_t i, const struct pgoutput_value *v,
                      struct buf *json)
{
    const struct capture_column *c = &t->columns[i];
    buf_put(json, c->label, c->label_len);
    buf_put_char(json, ':');
    struct slice text = v->kind == PGOUTPUT_TEXT ? v->text : (struct slice){0};
    if (c->hashed && text.data) {
        buf_put_char(json, '"');
        put_hash(json, t->config->hash_salt, text);
        buf_put_char(json, '"');
    } else {
        pgvalue_put_json(json, c->type, text);
    }
}

void table_put_image(const struct capture_table *t, const struct pgoutput_value *values, struct buf *json,
                     struct buf *unchanged)
{
    if (t->debezium) {
        struct hashed h;
        debezium_put_row(t->debezium, hash_values(t, values, &h), json);
        hashed_free(&h);
        return;
    }
    char before = '{';
    for (size_t i = 0; i < t->schema.count; i++) {
        if (values[i].kind == PGOUTPUT_UNCHANGED) {
            buf_put_char(unchanged, unchanged->len ? ',' : '[');
            buf_put(unchanged, t->columns[i].label, t->columns[i].label_len);
            continue;
        }
        buf_put_char(json, before);
        put_value(t, i, &values[i], json);
        before = ',';
    }
    if (before == '{') buf_put_char(json, '{');
    buf_put_char(json, '}');
    if (unchanged && unchanged->len) buf_put_char(unchanged, ']');
}

void table_put_old_image(const struct capture_table *t, const struct pgoutput_value *values, struct buf *json)
{
    struct hashed h;
    debezium_put_old_row(t->debezium, hash_values(t, values, &h), t->known, json);
    hashed_free(&h);
}

void table_put_key(const struct capture_table *t, const struct pgoutput_value *values, struct buf *json)
{
    if (t->debezium) {
        struct hashed h;
        debezium_put_key(t->debezium, hash_values(t, values, &h), json);
        hashed_free(&h);
        return;
    }
    for (size_t i = 0; i < t->key_count; i++) {
        buf_put_char(json, i ? ',' : '{');
        put_value(t, t->key[i], &values[t->key[i]], json);
    }
    if (t->key_count) buf_put_char(json, '}');
}

void capture_table_put_copy(const struct capture_table *t, const char *condition, struct buf *sql)
{
    buf_put_text(sql, "COPY (SELECT ");
    for (size_t i = 0; i < t->schema.count; i++) {
        if (i) buf_put_text(sql, ", ");
        pg_put_name(sql, slice_of(t->schema.columns[i].name));
    }
    /* a table's heirs are published under their own names, a root's partitions under the root's */
    buf_put_text(sql, t->kind == 'p' ? " FROM " : " FROM ONLY ");
    pg_put_table(sql, t->schema.table);
    if (t->filter) buf_printf(sql, " WHERE (%s)", t->filter);
    if (condition) buf_printf(sql, " %s %s", t->filter ? "AND" : "WHERE", condition);
    buf_put_text(sql, ") TO STDOUT");
}

/* COPY's text format: tabs between fields, \N for NULL, backslash escapes. */
static char unescape(char c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    default: return c;
    }
}

static struct pgoutput_value split_field(struct slice raw, char **scratch)
{
    if (raw.len == 2 && raw.data[0] == '\\' && raw.data[1] == 'N')
        return (struct pgoutput_value){.kind = PGOUTPUT_NULL};
    if (raw.len == 0) return (struct pgoutput_value){PGOUTPUT_TEXT, SLICE("")};
    if (!memchr(raw.data, '\\', raw.len)) return (struct pgoutput_value){PGOUTPUT_TEXT, raw};
    char *start = *scratch, *to = start;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] == '\\' && i + 1 < raw.len)
            *to++ = unescape(raw.data[++i]);
        else
            *to++ = raw.data[i];
    }
    *scratch = to;
    return (struct pgoutput_value){PGOUTPUT_TEXT, {start, (size_t)(to - start)}};
}

/* values has room for count; scratch for line.len bytes. False when the number of fields differs. */
static bool split_line(struct slice line, struct pgoutput_value *values, size_t count, char *scratch)
{
    if (line.len && line.data[line.len - 1] == '\n') line.len--;
    if (count == 0) return line.len == 0;
    for (size_t i = 0;; i++) {
        const char *tab = line.len ? memchr(line.data, '\t', line.len) : NULL;
        size_t len = tab ? (size_t)(tab - line.data) : line.len;
        values[i] = split_field((struct slice){line.data, len}, &scratch);
        if (!tab) return i + 1 == count;
        if (i + 1 == count) return false;
        line.data += len + 1;
        line.len -= len + 1;
    }
}

enum { VALUES_AT_HAND = 64 };

bool capture_encode_row(const struct capture_table *t, struct slice line, struct buf *key,
                        struct buf *after, struct error *err)
{
    struct pgoutput_value few[VALUES_AT_HAND];
    char short_line[2048];
    size_t count = t->schema.count;
    struct pgoutput_value *values = count <= VALUES_AT_HAND ? few : mem_resize(NULL, count, sizeof *values);
    char *scratch = line.len <= sizeof short_line ? short_line : mem_resize(NULL, line.len, 1);
    bool ok = split_line(line, values, count, scratch);
    if (ok) {
        table_put_key(t, values, key);
        table_put_image(t, values, after, NULL);
    } else {
        error_set(err, ERROR_DATA, "a line of COPY from %s does not have %zu fields", t->schema.table,
                  count);
    }
    if (values != few) mem_free(values);
    if (scratch != short_line) mem_free(scratch);
    return ok;
}
