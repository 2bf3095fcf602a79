/* The handle of a Delta table: creating, opening, and what it knows.
 *
 *  1. Version 0 is put if absent, like every other: of several creators one wins, the others open.
 *  2. Column names of one table differ also when case is ignored: readers of Delta ignore it. */
#include "lake/delta_int.h"

#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#ifndef MILLRACE_VERSION
#define MILLRACE_VERSION "unknown"
#endif

static char *absolute_path(const char *path)
{
    char *real = realpath(path, NULL);
    char *copy = real ? mem_text(real) : NULL;
    free(real);
    return copy;
}

/* The engine compares paths with its working directory, links resolved: so is the lake's here. */
static bool new_handle(struct delta_table **out, const char *lake, const char *name, struct error *err)
{
    char *base = absolute_path(lake);
    if (!base) return error_errno(err, "there is no lake in %s", lake);
    struct delta_table *t = mem_alloc(sizeof *t);
    t->name = mem_text(name);
    t->folder = mem_format("%s/%s", base, name);
    store_open(&t->store, t->folder);
    delta_snapshot_init(&t->now);
    mem_free(base);
    *out = t;
    return true;
}

void delta_close(struct delta_table *t)
{
    if (!t) return;
    delta_snapshot_free(&t->now);
    delta_texts_free(&t->in_flight);
    store_close(t->store);
    mem_free(t->name);
    mem_free(t->folder);
    mem_free(t);
}

static bool has_log(struct delta_table *t, bool *found, struct error *err)
{
    struct store_listing names;
    struct delta_checkpoint_part part;
    *found = false;
    if (!store_list(t->store, DELTA_LOG_FOLDER, false, &names, err)) return false;
    for (size_t i = 0; i < names.count && !*found; i++)
        *found = delta_commit_version(names.items[i].name) >= 0 ||
                 delta_checkpoint_parse(names.items[i].name, &part);
    store_listing_free(&names);
    return true;
}

bool delta_exists(const char *lake, const char *name)
{
    struct delta_table *t;
    struct error ignored;
    bool found = false;
    if (!new_handle(&t, lake, name, &ignored)) return false;
    if (!has_log(t, &found, &ignored)) found = false;
    delta_close(t);
    return found;
}

bool delta_open(struct delta_table **out, const char *lake, const char *name, struct error *err)
{
    struct delta_table *t;
    *out = NULL;
    if (!new_handle(&t, lake, name, err)) return false;
    if (!delta_load(t, err)) {
        delta_close(t);
        return false;
    }
    *out = t;
    return true;
}

bool delta_open_at(struct delta_table **out, const char *lake, const char *name, int64_t version,
                   struct error *err)
{
    struct delta_table *t;
    *out = NULL;
    if (!new_handle(&t, lake, name, err)) return false;
    if (!delta_load_at(t, version, err)) {
        delta_close(t);
        return false;
    }
    *out = t;
    return true;
}

bool delta_txn_at(const char *lake, const char *name, const char *app_id, int64_t version,
                  int64_t *position, struct error *err)
{
    struct delta_table *t;
    if (!delta_open_at(&t, lake, name, version, err)) return false;
    *position = delta_txn(t, app_id);
    delta_close(t);
    return true;
}

/* ---- creating ---- */

static bool check_columns(const struct columns *columns, const struct delta_options *o, struct error *err)
{
    for (size_t i = 0; i < columns->count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcasecmp(columns->items[i].name, columns->items[j].name) == 0)
                return error_set(err, ERROR_CONFIG, "the columns %.100s and %.100s differ in case only",
                                 columns->items[j].name, columns->items[i].name);
    if (!o->partition_column) return true;
    int at = columns_find(columns, o->partition_column);
    if (at < 0 || columns->items[at].type != COLUMN_STRING)
        return error_set(err, ERROR_CONFIG, "the partition column %.100s is not a string column",
                         o->partition_column);
    return true;
}

static void put_property(struct buf *out, const char *name, const char *value)
{
    if (out->len > 1) buf_put_char(out, ',');
    buf_put_json(out, slice_of(name));
    buf_put_char(out, ':');
    buf_put_json(out, slice_of(value));
}

static void put_number_property(struct buf *out, const char *name, const char *format_start, int64_t value,
                                const char *format_end)
{
    if (value <= 0) return;
    char *text = mem_format("%s%lld%s", format_start, (long long)value, format_end);
    put_property(out, name, text);
    mem_free(text);
}

static char *configuration(const struct delta_options *o)
{
    struct buf out = {0};
    buf_put_char(&out, '{');
    if (o->append_only) put_property(&out, "delta.appendOnly", "true");
    if (o->deletion_vectors) put_property(&out, "delta.enableDeletionVectors", "true");
    put_number_property(&out, "delta.checkpointInterval", "", o->checkpoint_commits, "");
    put_number_property(&out, "delta.logRetentionDuration", "interval ", o->log_retention_s, " seconds");
    put_number_property(&out, "delta.deletedFileRetentionDuration", "interval ", o->tombstone_retention_s,
                        " seconds");
    buf_put_char(&out, '}');
    return buf_take(&out);
}

static void put_commit_info(struct buf *out, const char *partition_column, const char *properties)
{
    char *id = delta_uuid();
    struct buf partitions = {0};
    buf_put_char(&partitions, '[');
    if (partition_column) buf_put_json(&partitions, slice_of(partition_column));
    buf_put_char(&partitions, ']');
    buf_printf(out,
               "{\"commitInfo\":{\"timestamp\":%lld,\"operation\":\"CREATE TABLE\","
               "\"operationParameters\":{\"partitionBy\":",
               (long long)delta_now_ms());
    buf_put_json(out, buf_slice(&partitions));
    buf_put_text(out, ",\"properties\":");
    buf_put_json(out, slice_of(properties));
    buf_printf(out,
               "},\"isolationLevel\":\"Serializable\",\"isBlindAppend\":true,"
               "\"engineInfo\":\"Millrace/%s\",\"txnId\":\"%s\"}}\n",
               MILLRACE_VERSION, id);
    buf_free(&partitions);
    mem_free(id);
}

static void put_first_version(struct buf *out, const struct columns *columns, const struct delta_options *o)
{
    struct buf schema = {0};
    columns_delta_schema(columns, &schema);
    struct delta_metadata m = {
        .id = delta_uuid(),
        .schema = buf_take(&schema),
        .partition_column = mem_text(o->partition_column),
        .configuration = configuration(o),
        .created_ms = delta_now_ms(),
    };
    struct delta_protocol p = {.reader = 1, .writer = 2};
    if (o->deletion_vectors) {
        p.reader = 3;
        p.writer = 7;
        delta_texts_add(&p.reader_features, "deletionVectors");
        delta_texts_add(&p.writer_features, "deletionVectors");
        delta_texts_add(&p.writer_features, "appendOnly");
        delta_texts_add(&p.writer_features, "invariants");
    }
    put_commit_info(out, o->partition_column, m.configuration);
    delta_put_protocol(out, &p);
    delta_put_metadata(out, &m);
    delta_metadata_free(&m);
    delta_protocol_free(&p);
}

static bool create(struct delta_table *t, const struct columns *columns, const struct delta_options *o,
                   struct error *err)
{
    if (!check_columns(columns, o, err)) return error_wrap(err, "%s", t->name);
    struct buf text = {0};
    char name[64];
    bool taken;
    put_first_version(&text, columns, o);
    delta_commit_name(0, name);
    const char *const made[] = {name};
    bool ok =
        store_put_new(t->store, name, buf_slice(&text), &taken, err) && store_sync(t->store, made, 1, err);
    buf_free(&text);
    /* The names of the table's folder and of those above it, up to the lake, which stands already. */
    char *above = mem_text(t->folder);
    for (const char *p = t->name; ok && p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL) {
        *strrchr(above, '/') = '\0';
        ok = file_sync(above, err);
    }
    mem_free(above);
    return ok;
}

bool delta_open_or_create(struct delta_table **out, const char *lake, const char *name,
                          const struct columns *columns, const struct delta_options *options,
                          struct error *err)
{
    struct delta_table *t;
    bool found;
    *out = NULL;
    if (!file_make_dirs(lake, err) || !new_handle(&t, lake, name, err)) return false;
    if (!has_log(t, &found, err) || (!found && !create(t, columns, options, err)) || !delta_load(t, err)) {
        delta_close(t);
        return false;
    }
    *out = t;
    return true;
}

/* ---- what the handle knows ---- */

const char *delta_name(const struct delta_table *t)
{
    return t->name;
}

const char *delta_folder(const struct delta_table *t)
{
    return t->folder;
}

int64_t delta_version(const struct delta_table *t)
{
    return t->now.version;
}

const struct columns *delta_columns(const struct delta_table *t)
{
    return &t->now.columns;
}

const struct columns *delta_file_columns(const struct delta_table *t)
{
    return &t->now.file_columns;
}

int64_t delta_txn(const struct delta_table *t, const char *app_id)
{
    const struct delta_txn_state *state = map_get(&t->now.txns, slice_of(app_id));
    return state ? state->version : -1;
}

size_t delta_file_count(const struct delta_table *t)
{
    return t->now.files.count;
}

const struct delta_file *delta_file_at(const struct delta_table *t, size_t i)
{
    return t->now.files.items[i];
}

const struct delta_file *delta_file_find(const struct delta_table *t, const char *path)
{
    return delta_snapshot_find(&t->now, slice_of(path));
}

int64_t delta_row_count(const struct delta_table *t)
{
    int64_t rows = 0;
    for (size_t i = 0; i < t->now.files.count; i++) {
        const struct delta_file *f = t->now.files.items[i];
        if (f->rows >= 0) rows += f->rows - (f->dv.type ? f->dv.cardinality : 0);
    }
    return rows;
}

void delta_put_file_path(const struct delta_table *t, const struct delta_file *f, struct buf *out)
{
    bool absolute = strncmp(f->path, "file:", 5) == 0 || f->path[0] == '/';
    if (!absolute) buf_printf(out, "%s/", t->folder);
    const char *path = f->path;
    if (strncmp(path, "file:", 5) == 0) {
        path += 5;
        while (path[0] == '/' && path[1] == '/')
            path++;
    }
    delta_put_decoded(out, path);
}

void delta_put_source(const struct delta_table *t, struct buf *sql)
{
    buf_put_text(sql, "deltaLakeLocal(");
    buf_put_sql_text(sql, slice_of(t->folder));
    buf_put_char(sql, ')');
}
