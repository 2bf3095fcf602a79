/* One action <-> one line of JSON.
 *
 *  1. Lines are written by hand in one fixed order of members, strings through buf_put_json.
 *  2. Reading ignores unknown actions and members, and takes an action as absent when the member that
 *     tells it (path, id, appId, minReaderVersion) is null: rows of a checkpoint look like that.
 *  3. A remove of ours always carries deletionTimestamp, size, partitionValues and the vector that the
 *     file had, so that exactly one logical file ends. */
#include "lake/delta_int.h"

#include "base/clock.h"
#include "format/dv.h"

#include <assert.h>
#include <ctype.h>

int64_t delta_now_ms(void)
{
    return clock_wall_us() / 1000;
}

char *delta_uuid(void)
{
    unsigned char bytes[UUID_BYTES];
    char *text = mem_alloc(UUID_TEXT + 1);
    uuid_make(bytes);
    uuid_format(bytes, text);
    return text;
}

void delta_put_dv_id(struct buf *out, const struct delta_dv *dv)
{
    if (!dv->type) return;
    buf_put_char(out, dv->type);
    buf_put_text(out, dv->path_or_inline);
    if (dv->offset >= 0) buf_printf(out, "@%d", dv->offset);
}

bool delta_same_dv(const struct delta_dv *a, const struct delta_dv *b)
{
    if (a->type != b->type) return false;
    return !a->type || (a->offset == b->offset && strcmp(a->path_or_inline, b->path_or_inline) == 0);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void delta_put_decoded(struct buf *out, const char *uri)
{
    for (const char *p = uri; *p; p++) {
        int high = *p == '%' ? hex_value(p[1]) : -1;
        int low = high >= 0 ? hex_value(p[2]) : -1;
        if (low < 0) {
            buf_put_char(out, *p);
            continue;
        }
        buf_put_char(out, (char)(high << 4 | low));
        p += 2;
    }
}

void delta_file_free(struct delta_file *f)
{
    mem_free(f->path);
    mem_free(f->partition);
    mem_free(f->stats);
    mem_free(f->tags);
    mem_free(f->dv.path_or_inline);
    *f = (struct delta_file){0};
}

void delta_file_copy(struct delta_file *to, const struct delta_file *from)
{
    *to = *from;
    to->path = mem_text(from->path);
    to->partition = mem_text(from->partition);
    to->stats = mem_text(from->stats);
    to->tags = mem_text(from->tags);
    to->dv.path_or_inline = mem_text(from->dv.path_or_inline);
}

void delta_texts_add(struct delta_texts *l, const char *text)
{
    MEM_GROW(l->items, l->count, l->cap);
    l->items[l->count++] = mem_text(text);
}

void delta_texts_free(struct delta_texts *l)
{
    for (size_t i = 0; i < l->count; i++)
        mem_free(l->items[i]);
    mem_free(l->items);
    *l = (struct delta_texts){0};
}

bool delta_texts_have(const struct delta_texts *l, const char *text)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i], text) == 0) return true;
    return false;
}

void delta_protocol_free(struct delta_protocol *p)
{
    delta_texts_free(&p->reader_features);
    delta_texts_free(&p->writer_features);
    *p = (struct delta_protocol){0};
}

void delta_metadata_free(struct delta_metadata *m)
{
    mem_free(m->id);
    mem_free(m->name);
    mem_free(m->description);
    mem_free(m->schema);
    mem_free(m->partition_column);
    mem_free(m->configuration);
    *m = (struct delta_metadata){0};
}

void delta_action_free(struct delta_action *a)
{
    delta_protocol_free(&a->protocol);
    delta_metadata_free(&a->metadata);
    delta_file_free(&a->file);
    mem_free(a->app_id);
    mem_free(a->operation);
    mem_free(a->user_metadata);
    mem_free(a->commit_id);
    *a = (struct delta_action){0};
}

void delta_actions_free(struct delta_actions *a)
{
    for (size_t i = 0; i < a->count; i++)
        delta_action_free(&a->items[i]);
    mem_free(a->items);
    *a = (struct delta_actions){0};
}

/* ---- reading ---- */

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static int64_t number_of(const json_t *object, const char *name, int64_t absent)
{
    const json_t *v = json_object_get(object, name);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : absent;
}

/* An object's compact text, NULL when it is absent or empty. */
static char *object_text(const json_t *v)
{
    if (!json_is_object(v) || json_object_size(v) == 0) return NULL;
    char *dumped = json_dumps(v, JSON_COMPACT);
    char *copy = mem_text(dumped);
    free(dumped);
    return copy;
}

/* Our tables have one partition column at most; the metadata is refused otherwise. */
static char *partition_of(const json_t *values)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)values, key, v)
    {
        const char *text = json_string_value(v);
        if (text && *text) return mem_text(text); /* the empty string is null too */
    }
    return NULL;
}

static bool parse_dv(const json_t *v, struct delta_dv *out, struct error *err)
{
    const char *type = text_of(v, "storageType");
    *out = (struct delta_dv){0};
    if (!type) return true;
    const char *place = text_of(v, "pathOrInlineDv");
    int64_t offset = number_of(v, "offset", -1), size = number_of(v, "sizeInBytes", -1);
    int64_t cardinality = number_of(v, "cardinality", -1);
    if (strlen(type) != 1 || !strchr("uip", *type) || !place || offset < -1 || offset > INT32_MAX ||
        size < 0 || size > INT32_MAX || cardinality < 0)
        return error_set(err, ERROR_DATA, "a deletion vector's descriptor is not understood");
    *out = (struct delta_dv){.type = *type,
                             .path_or_inline = mem_text(place),
                             .offset = (int32_t)offset,
                             .size_bytes = (int32_t)size,
                             .cardinality = cardinality};
    return true;
}

/* Integers as doubles: decimals of 38 digits would not fit, and a row count is exact up to 2^53. */
static int64_t rows_of_stats(const char *stats)
{
    json_t *v = stats ? json_loads(stats, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL) : NULL;
    const json_t *rows = json_object_get(v, "numRecords");
    int64_t n = json_is_number(rows) ? (int64_t)json_number_value(rows) : -1;
    json_decref(v);
    return n;
}

static bool parse_file(const json_t *v, struct delta_action *out, struct error *err)
{
    struct delta_file *f = &out->file;
    f->path = mem_text(text_of(v, "path"));
    f->partition = partition_of(json_object_get(v, "partitionValues"));
    f->size_bytes = number_of(v, "size", 0);
    out->data_change = !json_is_false(json_object_get(v, "dataChange"));
    f->rows = -1;
    if (out->kind == DELTA_ADD) {
        f->modification_ms = number_of(v, "modificationTime", 0);
        f->stats = mem_text(text_of(v, "stats"));
        f->tags = object_text(json_object_get(v, "tags"));
        f->rows = rows_of_stats(f->stats);
    } else {
        out->deleted_ms = number_of(v, "deletionTimestamp", 0);
    }
    if (!parse_dv(json_object_get(v, "deletionVector"), &f->dv, err))
        return error_wrap(err, "%.200s", f->path);
    return true;
}

static void parse_texts(const json_t *array, struct delta_texts *out)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text) delta_texts_add(out, text);
    }
}

static bool parse_metadata(const json_t *v, struct delta_metadata *out, struct error *err)
{
    const json_t *partitions = json_object_get(v, "partitionColumns");
    const char *schema = text_of(v, "schemaString");
    const char *provider = text_of(json_object_get(v, "format"), "provider");
    if (!schema) return error_set(err, ERROR_DATA, "metaData without schemaString");
    if (provider && strcmp(provider, "parquet"))
        return error_set(err, ERROR_CONFIG, "the table's files are %.50s, not parquet", provider);
    if (json_array_size(partitions) > 1)
        return error_set(err, ERROR_CONFIG, "the table has more than one partition column");
    char *configuration = object_text(json_object_get(v, "configuration"));
    *out = (struct delta_metadata){
        .id = mem_text(text_of(v, "id")),
        .name = mem_text(text_of(v, "name")),
        .description = mem_text(text_of(v, "description")),
        .schema = mem_text(schema),
        .partition_column = mem_text(json_string_value(json_array_get(partitions, 0))),
        .configuration = configuration ? configuration : mem_text("{}"),
        .created_ms = number_of(v, "createdTime", -1),
    };
    return true;
}

static bool parse_known(const json_t *line, struct delta_action *out, struct error *err)
{
    const json_t *v;
    if (text_of(v = json_object_get(line, "add"), "path")) {
        out->kind = DELTA_ADD;
        return parse_file(v, out, err);
    }
    if (text_of(v = json_object_get(line, "remove"), "path")) {
        out->kind = DELTA_REMOVE;
        return parse_file(v, out, err);
    }
    if (text_of(v = json_object_get(line, "txn"), "appId")) {
        out->kind = DELTA_TXN;
        out->app_id = mem_text(text_of(v, "appId"));
        out->txn_version = number_of(v, "version", -1);
        out->txn_updated_ms = number_of(v, "lastUpdated", -1);
    } else if (text_of(v = json_object_get(line, "metaData"), "id")) {
        out->kind = DELTA_METADATA;
        return parse_metadata(v, &out->metadata, err);
    } else if (json_is_integer(
                   json_object_get(v = json_object_get(line, "protocol"), "minReaderVersion"))) {
        out->kind = DELTA_PROTOCOL;
        out->protocol.reader = (int)number_of(v, "minReaderVersion", 0);
        out->protocol.writer = (int)number_of(v, "minWriterVersion", 0);
        parse_texts(json_object_get(v, "readerFeatures"), &out->protocol.reader_features);
        parse_texts(json_object_get(v, "writerFeatures"), &out->protocol.writer_features);
    } else if (json_is_object(v = json_object_get(line, "commitInfo"))) {
        out->kind = DELTA_COMMIT_INFO;
        out->operation = mem_text(text_of(v, "operation"));
        out->user_metadata = mem_text(text_of(v, "userMetadata"));
        out->commit_id = mem_text(text_of(v, "txnId"));
        out->timestamp_ms = number_of(v, "timestamp", 0);
        out->blind_append = json_is_true(json_object_get(v, "isBlindAppend"));
    } else if (text_of(json_object_get(line, "domainMetadata"), "domain")) {
        out->kind = DELTA_DOMAIN;
    }
    return true;
}

bool delta_action_parse(struct slice line, struct delta_action *out, struct error *err)
{
    json_error_t why;
    json_t *root = json_loadb(line.data, line.len, JSON_ALLOW_NUL, &why);
    *out = (struct delta_action){0};
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(err, ERROR_DATA, "an action is not a JSON object: %s", root ? "" : why.text);
    }
    bool ok = parse_known(root, out, err);
    json_decref(root);
    if (!ok) delta_action_free(out);
    return ok;
}

bool delta_actions_parse(struct slice text, struct delta_actions *out, struct error *err)
{
    *out = (struct delta_actions){0};
    for (size_t line = 1; text.len; line++) {
        const char *end = memchr(text.data, '\n', text.len);
        struct slice one = {text.data, end ? (size_t)(end - text.data) : text.len};
        size_t used = one.len + (end ? 1 : 0);
        text.data += used;
        text.len -= used;
        while (one.len && isspace((unsigned char)one.data[one.len - 1]))
            one.len--;
        if (!one.len) continue;
        struct delta_action action;
        if (!delta_action_parse(one, &action, err)) {
            delta_actions_free(out);
            return error_wrap(err, "line %zu", line);
        }
        MEM_GROW(out->items, out->count, out->cap);
        out->items[out->count++] = action;
    }
    return true;
}

/* ---- writing ---- */

static void put_member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "\"%s\":", name);
    buf_put_json(out, slice_of(text));
}

static void put_texts(struct buf *out, const char *name, const struct delta_texts *l)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < l->count; i++) {
        if (i) buf_put_char(out, ',');
        buf_put_json(out, slice_of(l->items[i]));
    }
    buf_put_char(out, ']');
}

/* The lists are there exactly at the versions that know them: an empty list elsewhere is refused. */
void delta_put_protocol(struct buf *out, const struct delta_protocol *p)
{
    buf_printf(out, "{\"protocol\":{\"minReaderVersion\":%d,\"minWriterVersion\":%d", p->reader, p->writer);
    if (p->reader >= 3) put_texts(out, "readerFeatures", &p->reader_features);
    if (p->writer >= 7) put_texts(out, "writerFeatures", &p->writer_features);
    buf_put_text(out, "}}\n");
}

void delta_put_metadata(struct buf *out, const struct delta_metadata *m)
{
    buf_put_text(out, "{\"metaData\":{");
    put_member(out, "id", m->id);
    if (m->name) {
        buf_put_char(out, ',');
        put_member(out, "name", m->name);
    }
    if (m->description) {
        buf_put_char(out, ',');
        put_member(out, "description", m->description);
    }
    buf_put_text(out, ",\"format\":{\"provider\":\"parquet\",\"options\":{}},");
    put_member(out, "schemaString", m->schema);
    buf_put_text(out, ",\"partitionColumns\":[");
    if (m->partition_column) buf_put_json(out, slice_of(m->partition_column));
    buf_printf(out, "],\"configuration\":%s", m->configuration);
    if (m->created_ms >= 0) buf_printf(out, ",\"createdTime\":%lld", (long long)m->created_ms);
    buf_put_text(out, "}}\n");
}

void delta_put_txn(struct buf *out, const char *app_id, int64_t version, int64_t updated_ms)
{
    buf_put_text(out, "{\"txn\":{");
    put_member(out, "appId", app_id);
    buf_printf(out, ",\"version\":%lld", (long long)version);
    if (updated_ms >= 0) buf_printf(out, ",\"lastUpdated\":%lld", (long long)updated_ms);
    buf_put_text(out, "}}\n");
}

static void put_partition_values(struct buf *out, const char *column, const char *value)
{
    buf_put_text(out, ",\"partitionValues\":{");
    if (column) {
        buf_put_json(out, slice_of(column));
        buf_put_char(out, ':');
        if (value)
            buf_put_json(out, slice_of(value));
        else
            buf_put_text(out, "null");
    }
    buf_put_char(out, '}');
}

static void put_dv(struct buf *out, const struct delta_dv *dv)
{
    if (!dv->type) return;
    buf_printf(out, ",\"deletionVector\":{\"storageType\":\"%c\",", dv->type);
    put_member(out, "pathOrInlineDv", dv->path_or_inline);
    if (dv->offset >= 0) buf_printf(out, ",\"offset\":%d", dv->offset);
    buf_printf(out, ",\"sizeInBytes\":%d,\"cardinality\":%lld}", dv->size_bytes,
               (long long)dv->cardinality);
}

/* With a vector the bounds are no longer tight, and the physical row count must be told. A raw
 * "tightBounds" with plain quotes cannot stand inside a JSON string. */
static void put_stats_with_vector(struct buf *out, const struct delta_file *f)
{
    static const char member[] = "\"tightBounds\"";
    const char *stats = f->stats ? f->stats : "";
    const char *at = strstr(stats, member), *value = at ? at + sizeof member - 1 : NULL;
    while (value && (isspace((unsigned char)*value) || *value == ':'))
        value++;
    if (value && strncmp(value, "true", 4) == 0) {
        buf_put(out, stats, (size_t)(value - stats));
        buf_put_text(out, "false");
        buf_put_text(out, value + 4);
        return;
    }
    const char *end = strrchr(stats, '}');
    if (at || (!end && f->rows < 0)) {
        buf_put_text(out, stats);
    } else if (end) {
        buf_put(out, stats, (size_t)(end - stats));
        buf_put_text(out, ",\"tightBounds\":false}");
    } else {
        buf_printf(out, "{\"numRecords\":%lld,\"tightBounds\":false}", (long long)f->rows);
    }
}

void delta_put_add(struct buf *out, const struct delta_file *f, const char *partition_column,
                   bool data_change)
{
    buf_put_text(out, "{\"add\":{");
    put_member(out, "path", f->path);
    put_partition_values(out, partition_column, f->partition);
    buf_printf(out, ",\"size\":%lld,\"modificationTime\":%lld,\"dataChange\":%s", (long long)f->size_bytes,
               (long long)f->modification_ms, data_change ? "true" : "false");
    struct buf stats = {0};
    if (f->dv.type)
        put_stats_with_vector(&stats, f);
    else if (f->stats)
        buf_put_text(&stats, f->stats);
    if (stats.len) {
        buf_put_char(out, ',');
        put_member(out, "stats", buf_text(&stats));
    }
    buf_free(&stats);
    if (f->tags) buf_printf(out, ",\"tags\":%s", f->tags);
    put_dv(out, &f->dv);
    buf_put_text(out, "}}\n");
}

void delta_put_remove(struct buf *out, const struct delta_file *f, const char *partition_column,
                      int64_t deleted_ms, bool data_change)
{
    buf_put_text(out, "{\"remove\":{");
    put_member(out, "path", f->path);
    buf_printf(out, ",\"deletionTimestamp\":%lld,\"dataChange\":%s,\"extendedFileMetadata\":true",
               (long long)deleted_ms, data_change ? "true" : "false");
    put_partition_values(out, partition_column, f->partition);
    buf_printf(out, ",\"size\":%lld", (long long)f->size_bytes);
    put_dv(out, &f->dv);
    buf_put_text(out, "}}\n");
}
