/* One source table: its name in silver, schemas, columns, record in the state, tables in the lake.
 *
 *   t/<table>\0               record: where the raw state stands, see struct table_record
 *   s/<table>\0<schema id>    schema record (JSON)
 *
 *  1. The record is written in the same state batch as the raw rows it speaks of.
 *  2. table_open takes the lake's columns as they are; only table_evolve changes them. */
#include "stages/refine/silver/silver_int.h"

#include <ctype.h>
#include <stdio.h>

struct table *table_new(const char *source)
{
    struct table *t = mem_alloc(sizeof *t);
    t->source = mem_text(source);
    t->name = silver_table_name(source);
    snprintf(t->record.source, sizeof t->record.source, "%s", source);
    return t;
}

void table_free(struct table *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->schema_count; i++) {
        schema_free(t->schemas[i]);
        mem_free(t->schemas[i]);
    }
    mem_free(t->schemas);
    if (t->current) keyed_close(t->current);
    if (t->history) delta_close(t->history);
    model_free(&t->model);
    columns_free(&t->columns);
    columns_free(&t->stored);
    mem_free(t->history_sources);
    mem_free(t->source);
    mem_free(t->name);
    mem_free(t);
}

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

/* A name is a folder and an identifier: what is neither letter, digit, '_', '-' nor UTF-8 becomes ~xx. */
static void put_safe(struct buf *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (isalnum(*at) || *at == '_' || *at == '-' || *at >= 0x80)
            buf_put_char(out, (char)*at);
        else
            buf_printf(out, "~%02x", *at);
    }
}

/* public.orders is "orders"; other schemas, and names that silver uses itself, get "<schema>__". */
char *silver_table_name(const char *source)
{
    const char *dot = strchr(source, '.');
    const char *name = dot ? dot + 1 : source;
    size_t schema_len = dot ? (size_t)(dot - source) : 0;
    bool public = schema_len == 0 || (schema_len == 6 && memcmp(source, "public", 6) == 0);
    struct buf out = {0};
    if (!public || strcmp(name, "quarantine") == 0 || ends_with(name, "_history")) {
        char *schema = schema_len ? mem_textn(source, schema_len) : mem_text("public");
        put_safe(&out, schema);
        buf_put_text(&out, "__");
        mem_free(schema);
    }
    put_safe(&out, name);
    return buf_take(&out);
}

/* ---- record */

enum { RECORD_VERSION = 1 };

static void record_encode(const struct table_record *r, struct buf *out)
{
    buf_put_u8(out, RECORD_VERSION);
    buf_put_u64(out, (uint64_t)r->position);
    buf_put_string(out, slice_of(r->source));
    buf_put_string(out, slice_of(r->schema));
    buf_put_u64(out, r->model_hash);
    buf_put_u64(out, r->copy);
    buf_put_u32(out, (uint32_t)r->epoch);
    buf_put_u64(out, r->lsn);
    buf_put_u64(out, r->ordinal);
    buf_put_u32(out, 0); /* once counted the columns of history entries in the state */
    buf_put_u8(out, r->behind);
}

static uint64_t field_u64(struct slice f)
{
    uint64_t v = 0;
    for (size_t i = f.len; i-- > 0;)
        v = v << 8 | (unsigned char)f.data[i];
    return v;
}

bool table_decode_record(struct slice value, struct table_record *r)
{
    static struct column items[] = {
        {.name = "version", .type = COLUMN_BYTE},   {.name = "position", .type = COLUMN_LONG},
        {.name = "source", .type = COLUMN_STRING},  {.name = "schema", .type = COLUMN_STRING},
        {.name = "model", .type = COLUMN_LONG},     {.name = "copy", .type = COLUMN_LONG},
        {.name = "epoch", .type = COLUMN_INTEGER},  {.name = "lsn", .type = COLUMN_LONG},
        {.name = "ordinal", .type = COLUMN_LONG},   {.name = "unused", .type = COLUMN_INTEGER},
        {.name = "behind", .type = COLUMN_BOOLEAN},
    };
    enum { COUNT = sizeof items / sizeof *items };
    static const struct columns columns = {.items = items, .count = COUNT};
    struct slice f[COUNT];
    if (!row_next(&columns, &value, f, NULL) || f[0].data[0] != RECORD_VERSION) return false;
    if (f[2].len >= sizeof r->source || f[3].len >= sizeof r->schema) return false;
    *r = (struct table_record){
        .position = (int64_t)field_u64(f[1]),
        .model_hash = field_u64(f[4]),
        .copy = field_u64(f[5]),
        .epoch = (int32_t)field_u64(f[6]),
        .lsn = field_u64(f[7]),
        .ordinal = field_u64(f[8]),
        .behind = f[10].data[0] != 0,
    };
    memcpy(r->source, f[2].data, f[2].len);
    memcpy(r->schema, f[3].data, f[3].len);
    return true;
}

void table_put_record(const struct table *t, struct state_batch *batch)
{
    struct buf key = {0}, value = {0};
    raw_put_key('t', t->name, (struct slice){0}, &key);
    record_encode(&t->record, &value);
    state_batch_put(batch, buf_slice(&key), buf_slice(&value));
    buf_free(&key);
    buf_free(&value);
}

bool table_load(struct table *t, struct state *state, const struct state_snapshot *at, bool *found,
                struct error *err)
{
    struct buf key = {0}, value = {0};
    raw_put_key('t', t->name, (struct slice){0}, &key);
    bool ok = state_get(state, at, buf_slice(&key), &value, found, err);
    if (ok && *found && !table_decode_record(buf_slice(&value), &t->record))
        ok = error_set(err, ERROR_FATAL, "state: the record of %s is damaged", t->name);
    buf_free(&key);
    buf_free(&value);
    if (!ok || !*found || !t->record.schema[0]) return ok;
    return table_schema(t, state, t->record.schema, &t->schema, err);
}

/* ---- schemas */

static const struct schema *keep_schema(struct table *t, struct schema *decoded)
{
    for (size_t i = 0; i < t->schema_count; i++)
        if (strcmp(t->schemas[i]->id, decoded->id) == 0) {
            schema_free(decoded);
            return t->schemas[i];
        }
    struct schema *kept = mem_alloc(sizeof *kept);
    *kept = *decoded;
    *decoded = (struct schema){0};
    MEM_GROW(t->schemas, t->schema_count, t->schema_cap);
    t->schemas[t->schema_count++] = kept;
    return kept;
}

bool table_schema(struct table *t, struct state *state, const char *id, const struct schema **out,
                  struct error *err)
{
    *out = NULL;
    for (size_t i = 0; i < t->schema_count; i++)
        if (strcmp(t->schemas[i]->id, id) == 0) {
            *out = t->schemas[i];
            return true;
        }
    struct buf key = {0}, value = {0};
    bool found = false;
    raw_put_key('s', t->name, slice_of(id), &key);
    struct schema decoded = {0};
    bool ok = state_get(state, NULL, buf_slice(&key), &value, &found, err) &&
              (!found || schema_decode(buf_slice(&value), &decoded, err));
    if (ok && found) *out = keep_schema(t, &decoded);
    buf_free(&key);
    buf_free(&value);
    return ok;
}

bool table_add_schema(struct table *t, struct slice json, struct state_batch *batch, struct error *err)
{
    struct schema decoded = {0};
    if (!json.data) return error_set(err, ERROR_DATA, "a schema record is empty");
    if (!schema_decode(json, &decoded, err)) return error_wrap(err, "schema record");
    struct buf key = {0};
    t->schema = keep_schema(t, &decoded);
    raw_put_key('s', t->name, slice_of(t->schema->id), &key);
    state_batch_put(batch, buf_slice(&key), json);
    buf_free(&key);
    snprintf(t->record.schema, sizeof t->record.schema, "%s", t->schema->id);
    return true;
}

/* ---- columns */

static enum table_kind kind_of(const struct schema *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->columns[i].key > 0) return TABLE_KEYED;
    return s->replica_identity == 'f' ? TABLE_HASHED : TABLE_HISTORY;
}

static void add_meta(struct columns *c)
{
    columns_add(c, "_key", COLUMN_STRING, 0, 0, false);
    columns_add(c, "_epoch", COLUMN_INTEGER, 0, 0, false);
    columns_add(c, "_lsn", COLUMN_LONG, 0, 0, false);
    columns_add(c, "_ordinal", COLUMN_LONG, 0, 0, false);
    columns_add(c, "_commit_at", COLUMN_TIMESTAMP, 0, 0, false);
}

bool table_plan(struct table *t, struct error *err)
{
    if (!t->model.select && !model_load(t->name, &t->model, err)) return false;
    t->kind = kind_of(t->schema);
    columns_free(&t->columns);
    columns_free(&t->stored);
    model_columns(&t->model, t->schema, &t->columns);
    columns_copy(&t->stored, &t->columns);
    add_meta(&t->stored);
    return true;
}

/* ---- the lake */

static struct delta_options lake_options(const struct config *config)
{
    return (struct delta_options){.checkpoint_commits = config->checkpoint_commits,
                                  .log_retention_s = config->log_retention_s,
                                  .tombstone_retention_s = config->tombstone_retention_s};
}

bool keyed_open_named(struct silver *s, const char *name, const struct columns *columns,
                      const char *const *key, size_t key_count, const char *const *indexes,
                      size_t index_count, struct keyed **out, bool *differ, struct error *err)
{
    int keys[8], index[64];
    size_t n = 0;
    for (size_t i = 0; i < key_count; i++)
        keys[i] = columns_find(columns, key[i]);
    for (size_t i = 0; i < index_count && n < 64; i++) {
        int at = columns_find(columns, indexes[i]);
        if (at >= 0) index[n++] = at;
    }
    const struct config *config = s->flow->config;
    struct keyed_spec spec = {
        .name = name,
        .columns = columns,
        .key_columns = keys,
        .key_column_count = key_count,
        .index_columns = index,
        .index_column_count = n,
        .app_id = SILVER_APP_ID,
        .live_files_max = config->live_files_max,
        .compact_rows_max = config->compact_rows_max,
        .options = lake_options(config),
    };
    return keyed_open(out, s->flow->lake, s->flow->state, s->conn, &spec, differ, err);
}

bool table_open_current(struct silver *s, struct table *t, const struct columns *columns, bool *differ,
                        struct error *err)
{
    static const char *const key[] = {"_key"};
    const char *indexes[64];
    size_t n = s->hooks.index_columns ? s->hooks.index_columns(s->hooks.arg, t->name, indexes, 64) : 0;
    char *name = mem_format("silver/%s", t->name);
    bool ok = keyed_open_named(s, name, columns, key, 1, indexes, n, &t->current, differ, err);
    mem_free(name);
    return ok;
}

/* The columns that the lake has, or those planned when the table is not there yet. */
static bool columns_in_lake(struct silver *s, const char *name, const struct columns *planned,
                            struct columns *out, struct error *err)
{
    struct delta_table *delta;
    if (!delta_exists(s->flow->lake, name)) {
        columns_copy(out, planned);
        return true;
    }
    if (!delta_open(&delta, s->flow->lake, name, err)) return false;
    columns_copy(out, delta_columns(delta));
    delta_close(delta);
    return true;
}

static bool open_current(struct silver *s, struct table *t, struct error *err)
{
    struct columns columns = {0};
    bool differ = false;
    char *name = mem_format("silver/%s", t->name);
    bool ok = columns_in_lake(s, name, &t->stored, &columns, err) &&
              table_open_current(s, t, &columns, &differ, err);
    mem_free(name);
    columns_free(&columns);
    return ok;
}

static bool open_history(struct silver *s, struct table *t, struct error *err)
{
    struct delta_options options = lake_options(s->flow->config);
    options.append_only = true;
    struct columns columns = {0};
    columns_copy(&columns, &t->stored);
    columns_add(&columns, "_op", COLUMN_STRING, 0, 0, false);
    columns_add(&columns, "_valid_from", COLUMN_TIMESTAMP, 0, 0, false);
    char *name = mem_format("silver/%s_history", t->name);
    bool ok = delta_open_or_create(&t->history, s->flow->lake, name, &columns, &options, err) &&
              delta_verify(t->history, err);
    mem_free(name);
    columns_free(&columns);
    return ok;
}

bool table_open(struct silver *s, struct table *t, struct error *err)
{
    if (t->kind != TABLE_HISTORY && !t->current && !open_current(s, t, err)) return false;
    return t->history || open_history(s, t, err);
}

int64_t table_lake_position(const struct table *t)
{
    if (t->current) return keyed_position(t->current);
    return t->history ? delta_txn(t->history, SILVER_APP_ID) : -1;
}
