#include "cli/shadow.h"

#include <stdio.h>

static json_t *parse(struct slice text)
{
    if (!text.data) return json_null();
    json_t *root = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, NULL);
    return root ? root : json_stringn_nocheck(text.data, text.len);
}

static bool is_wrapped(const json_t *root)
{
    return json_is_object(root) && json_object_size(root) == 2 && json_object_get(root, "schema") &&
           json_object_get(root, "payload");
}

bool shadow_has_schema(const struct kafka_message *m)
{
    json_t *root = parse(m->value);
    bool wrapped = is_wrapped(root);
    json_decref(root);
    return wrapped;
}

/* Names of schemas begin with the prefix: "shop.public.orders.Value". */
static void unprefix(json_t *node, const char *prefix)
{
    size_t n = strlen(prefix), i;
    const char *key;
    json_t *value;
    if (json_is_array(node)) {
        json_array_foreach(node, i, value) unprefix(value, prefix);
        return;
    }
    json_object_foreach(node, key, value)
    {
        const char *text = json_string_value(value);
        if (text && strcmp(key, "name") == 0 && strncmp(text, prefix, n) == 0 && text[n] == '.')
            json_string_set(value, text + n + 1);
        else
            unprefix(value, prefix);
    }
}

static void mask(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    if (value && !json_is_null(value)) json_object_set_new(object, name, json_string("*"));
}

/* The commit before the first event is not known to a connector that has just begun. */
static void mask_sequence(json_t *source)
{
    const char *text = json_string_value(json_object_get(source, "sequence"));
    const char *comma = text ? strchr(text, ',') : NULL;
    if (!comma) return;
    char *after = mem_text(comma);
    char *masked = mem_format("[*%s", after);
    json_object_set_new(source, "sequence", json_string(masked));
    mem_free(after);
    mem_free(masked);
}

static bool mask_source(json_t *payload)
{
    static const char *const own[] = {"version", "name", "xmin"};
    /* of rows that were copied: each connector has its own snapshot */
    static const char *const of_snapshot[] = {"ts_ms", "ts_us", "ts_ns", "txId", "lsn", "sequence"};
    json_t *source = json_object_get(payload, "source");
    const char *op = json_string_value(json_object_get(payload, "op"));
    const char *snapshot = json_string_value(json_object_get(source, "snapshot"));
    if (!source) return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) mask(source, own[i]);
    bool read = op && strcmp(op, "r") == 0, copied = read && !(snapshot && strcmp(snapshot, "incremental") == 0);
    for (size_t i = 0; read && i < sizeof of_snapshot / sizeof *of_snapshot; i++) mask(source, of_snapshot[i]);
    if (copied) json_object_set_new(source, "snapshot", json_string("copied"));
    if (!read) mask_sequence(source);
    return copied;
}

static char *print(json_t *root)
{
    char *text = json_dumps(root, JSON_ENCODE_ANY | JSON_COMPACT);
    char *own = mem_text(text ? text : "");
    free(text);
    return own;
}

/* The connector names logical messages by a Java object in its counts. */
static void mask_collections(json_t *payload)
{
    size_t i;
    json_t *each;
    json_array_foreach(json_object_get(payload, "data_collections"), i, each)
    {
        const char *name = json_string_value(json_object_get(each, "data_collection"));
        if (name && strstr(name, "LogicalDecodingMessageId@")) json_object_set_new(each, "data_collection", json_string("message"));
    }
}

static json_t *take_payload(json_t *root, bool bare)
{
    if (!bare || !is_wrapped(root)) return root;
    json_t *payload = json_incref(json_object_get(root, "payload"));
    json_decref(root);
    return payload;
}

static char *print_headers(const struct kafka_message *m, const char *prefix)
{
    (void)prefix;
    json_t *list = json_array();
    for (size_t i = 0; i < m->header_count; i++) {
        const char *name = m->headers[i].name;
        struct slice value = m->headers[i].value;
        bool own = strstr(name, ".connectorLogicalName") || strstr(name, ".runId");
        json_t *text = own || !value.data ? json_string("*") : json_stringn_nocheck(value.data, value.len);
        json_array_append_new(list, json_pack("[so]", name, text));
    }
    char *text = print(list);
    json_decref(list);
    return text;
}

void shadow_normalise(const struct kafka_message *m, const char *prefix, bool bare, struct shadow_event *out)
{
    json_t *key = take_payload(parse(m->key), bare), *value = take_payload(parse(m->value), bare);
    unprefix(key, prefix);
    unprefix(value, prefix);
    json_t *payload = is_wrapped(value) ? json_object_get(value, "payload") : value;
    *out = (struct shadow_event){0};
    if (json_is_object(payload)) {
        out->copied = mask_source(payload);
        mask_collections(payload);
        mask(payload, "ts_ms");
        mask(payload, "ts_us");
        mask(payload, "ts_ns");
    }
    out->key = print(key);
    out->value = print(value);
    out->headers = print_headers(m, prefix);
    json_decref(key);
    json_decref(value);
}

void shadow_event_free(struct shadow_event *e)
{
    mem_free(e->key);
    mem_free(e->value);
    mem_free(e->headers);
    *e = (struct shadow_event){0};
}

/* ---- differences */

static void put_short(const json_t *value, struct buf *out)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0;
    buf_printf(out, "%.*s%s", (int)(n < 120 ? n : 120), text ? text : "(absent)", n > 120 ? ".." : "");
    free(text);
}

static bool differ(const json_t *a, const json_t *b, struct buf *path, struct buf *out);

static bool differ_member(const json_t *a, const json_t *b, const char *name, struct buf *path, struct buf *out)
{
    size_t at = path->len;
    buf_printf(path, "%s%s", at ? "." : "", name);
    bool found = differ(a, b, path, out);
    path->len = at;
    return found;
}

static bool differ_objects(const json_t *a, const json_t *b, struct buf *path, struct buf *out)
{
    void *x = json_object_iter((json_t *)(uintptr_t)a), *y = json_object_iter((json_t *)(uintptr_t)b);
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, name, value)
        if (differ_member(value, json_object_get(b, name), name, path, out)) return true;
    json_object_foreach((json_t *)(uintptr_t)b, name, value)
        if (differ_member(json_object_get(a, name), value, name, path, out)) return true;
    for (; x && y; x = json_object_iter_next((json_t *)(uintptr_t)a, x), y = json_object_iter_next((json_t *)(uintptr_t)b, y))
        if (strcmp(json_object_iter_key(x), json_object_iter_key(y)) != 0) {
            buf_printf(out, "%s: order of members: %s <> %s", path->len ? buf_text(path) : "(record)",
                       json_object_iter_key(x), json_object_iter_key(y));
            return true;
        }
    return false;
}

static bool differ(const json_t *a, const json_t *b, struct buf *path, struct buf *out)
{
    if (json_is_object(a) && json_is_object(b)) return differ_objects(a, b, path, out);
    if (json_is_array(a) && json_is_array(b)) {
        for (size_t i = 0; i < json_array_size(a) || i < json_array_size(b); i++) {
            char name[24];
            snprintf(name, sizeof name, "%zu", i);
            if (differ_member(json_array_get(a, i), json_array_get(b, i), name, path, out)) return true;
        }
        return false;
    }
    if (a && b && json_equal(a, b)) return false;
    buf_printf(out, "%s: ", path->len ? buf_text(path) : "(record)");
    put_short(a, out);
    buf_put_text(out, " <> ");
    put_short(b, out);
    return true;
}

void shadow_put_difference(const char *a, const char *b, struct buf *out)
{
    json_t *x = json_loads(a, JSON_DECODE_ANY, NULL), *y = json_loads(b, JSON_DECODE_ANY, NULL);
    struct buf path = {0};
    if (!differ(x, y, &path, out)) buf_put_text(out, "equal");
    buf_free(&path);
    json_decref(x);
    json_decref(y);
}
