/* The snapshot as one Parquet file and back, by the engine: a row for each action, one column for
 * each kind, exactly one of them not null.
 *
 *   write   lines of JSON -> engine -> ._delta_log temporary name -> fsync -> rename -> _last_checkpoint
 *   read    engine -> lines of JSON -> the parser that reads commits
 *
 *  1. Written structs are Nullable(Tuple): a plain Tuple makes REQUIRED groups, which readers refuse.
 *     Read structs are plain Tuples: the engine does not read the others from Parquet.
 *  2. An Array cannot be Nullable, and an empty feature list counts as present: the list's members are
 *     in the structure exactly at the protocol versions that know them.
 *  3. _last_checkpoint names only a checkpoint that is durable, and never goes back. */
#include "lake/delta_int.h"

#include "base/failpoint.h"

#include <stdlib.h>

#define VECTOR_MEMBERS                                                                                     \
    "storageType Nullable(String), pathOrInlineDv Nullable(String), offset Nullable(Int32), "              \
    "sizeInBytes Nullable(Int32), cardinality Nullable(Int64)"
#define FILE_MEMBERS                                                                                       \
    "path Nullable(String), partitionValues Map(String, Nullable(String)), size Nullable(Int64), "

/* One column: `name open members close`. wrap: Nullable(Tuple(...)) for writing. */
static void put_struct(struct buf *out, bool writing, const char *name, const char *members)
{
    buf_printf(out, writing ? "%s Nullable(Tuple(%s))" : "%s Tuple(%s)", name, members);
}

static void put_file_structs(struct buf *out, bool writing, bool vectors)
{
    struct buf vector = {0}, members = {0};
    if (vectors) {
        buf_put_text(&vector, ", ");
        put_struct(&vector, writing, "deletionVector", VECTOR_MEMBERS);
    }
    buf_put_text(&members, FILE_MEMBERS "modificationTime Nullable(Int64), dataChange Nullable(Bool), "
                                        "stats Nullable(String), tags Map(String, Nullable(String))");
    buf_put_slice(&members, buf_slice(&vector));
    put_struct(out, writing, "add", buf_text(&members));
    buf_clear(&members);
    buf_put_text(&members, FILE_MEMBERS "deletionTimestamp Nullable(Int64), dataChange Nullable(Bool), "
                                        "extendedFileMetadata Nullable(Bool)");
    buf_put_slice(&members, buf_slice(&vector));
    buf_put_text(out, ", ");
    put_struct(out, writing, "remove", buf_text(&members));
    buf_free(&vector);
    buf_free(&members);
}

/* reader, writer: protocol versions, which tell what lists the protocol has. */
static void put_structure(struct buf *out, bool writing, int reader, int writer)
{
    struct buf protocol = {0};
    buf_put_text(&protocol, "minReaderVersion Nullable(Int32), minWriterVersion Nullable(Int32)");
    if (reader >= 3) buf_put_text(&protocol, ", readerFeatures Array(Nullable(String))");
    if (writer >= 7) buf_put_text(&protocol, ", writerFeatures Array(Nullable(String))");
    put_struct(out, writing, "protocol", buf_text(&protocol));
    buf_put_text(out, ", ");
    put_struct(out, writing, "metaData",
               "id Nullable(String), name Nullable(String), description Nullable(String), "
               "format Tuple(provider Nullable(String), options Map(String, Nullable(String))), "
               "schemaString Nullable(String), partitionColumns Array(Nullable(String)), "
               "configuration Map(String, Nullable(String)), createdTime Nullable(Int64)");
    buf_put_text(out, ", ");
    put_struct(out, writing, "txn",
               "appId Nullable(String), version Nullable(Int64), lastUpdated Nullable(Int64)");
    buf_put_text(out, ", ");
    put_file_structs(out, writing, !writing || reader >= 3);
    buf_free(&protocol);
}

/* ---- reading ---- */

/* Lines that end in this chunk are taken; what is left stays in `text`. A checkpoint holds every
 * action once, so its rows may be applied in any pieces. */
static bool take_lines(struct buf *text, int64_t version, struct delta_snapshot *s, struct error *err)
{
    size_t whole = text->len;
    while (whole && text->data[whole - 1] != '\n')
        whole--;
    if (!whole) return true;
    struct delta_actions actions;
    if (!delta_actions_parse((struct slice){text->data, whole}, &actions, err) ||
        !delta_snapshot_apply(s, &actions, version, err))
        return false;
    memmove(text->data, text->data + whole, text->len - whole);
    text->len -= whole;
    return true;
}

static bool read_rows(struct engine_conn *conn, const char *sql, int64_t version, struct delta_snapshot *s,
                      struct error *err)
{
    struct engine_stream *rows;
    struct buf text = {0};
    bool done = false;
    if (!engine_stream_open(conn, sql, "JSONEachRow", NULL, 0, &rows, err)) return false;
    bool ok = true;
    while (ok && !done) {
        struct slice chunk;
        ok = engine_stream_next(rows, &chunk, &done, err);
        if (!ok || done) break;
        buf_put_slice(&text, chunk);
        ok = (buf_ok(&text) || error_set(err, ERROR_DATA, "a row is too large")) &&
             take_lines(&text, version, s, err);
    }
    engine_stream_close(rows);
    if (ok && text.len) {
        buf_put_char(&text, '\n');
        ok = take_lines(&text, version, s, err);
    }
    buf_free(&text);
    return ok;
}

/* file('<path>', 'Parquet', '<structure>') */
static void put_file(const struct delta_table *t, const char *name, struct slice structure, struct buf *sql)
{
    char *path = store_path(t->store, name);
    buf_put_text(sql, "file(");
    buf_put_sql_text(sql, slice_of(path));
    buf_put_text(sql, ", 'Parquet', ");
    buf_put_sql_text(sql, structure);
    buf_put_char(sql, ')');
    mem_free(path);
}

bool delta_checkpoint_read(struct delta_table *t, const char *name, int64_t version,
                           struct delta_snapshot *s, struct error *err)
{
    struct engine_conn *conn;
    struct buf sql = {0}, structure = {0};
    put_structure(&structure, false, 3, 7);
    buf_put_text(&sql, "SELECT * FROM ");
    put_file(t, name, buf_slice(&structure), &sql);
    buf_put_text(&sql, " SETTINGS max_threads=1, input_format_parquet_allow_missing_columns=1, "
                       "output_format_json_quote_64bit_integers=0, "
                       "output_format_json_named_tuples_as_objects=1, "
                       "output_format_json_skip_null_value_in_named_tuples=1");
    bool ok = engine_connect(&conn, NULL, err);
    if (ok) {
        ok = read_rows(conn, buf_text(&sql), version, s, err);
        engine_disconnect(conn);
    }
    buf_free(&sql);
    buf_free(&structure);
    return ok;
}

/* ---- writing ---- */

static size_t put_rows(const struct delta_snapshot *s, struct buf *out)
{
    const char *partition_column = s->metadata.partition_column;
    struct slice app_id;
    void *value;
    size_t rows = 2;
    delta_put_protocol(out, &s->protocol);
    delta_put_metadata(out, &s->metadata);
    for (size_t at = 0; map_next(&s->txns, &at, &app_id, &value); rows++) {
        const struct delta_txn_state *txn = value;
        char *id = mem_textn(app_id.data, app_id.len);
        delta_put_txn(out, id, txn->version, txn->updated_ms);
        mem_free(id);
    }
    for (size_t i = 0; i < s->tombstones.count; i++, rows++) {
        const struct delta_tombstone *t = s->tombstones.items[i];
        delta_put_remove(out, &t->file, partition_column, t->deleted_ms, false);
    }
    for (size_t i = 0; i < s->files.count; i++, rows++)
        delta_put_add(out, s->files.items[i], partition_column, false);
    return rows;
}

static bool write_parquet(struct delta_table *t, struct engine_conn *conn, const char *name,
                          struct slice lines, size_t rows, struct error *err)
{
    struct buf sql = {0}, structure = {0};
    uint64_t written = 0;
    put_structure(&structure, true, t->now.protocol.reader, t->now.protocol.writer);
    buf_put_text(&sql, "INSERT INTO FUNCTION ");
    put_file(t, name, buf_slice(&structure), &sql);
    buf_put_text(&sql, " SETTINGS max_threads=1, max_insert_threads=1, input_format_parallel_parsing=0, "
                       "allow_experimental_nullable_tuple_type=1, engine_file_truncate_on_insert=1, "
                       "input_format_skip_unknown_fields=1, input_format_null_as_default=0, "
                       "output_format_parquet_compression_method='snappy', "
                       "output_format_parquet_write_bloom_filter=0");
    bool ok = engine_insert(conn, buf_text(&sql), "JSONEachRow", lines, &written, err);
    if (ok && written != rows)
        ok = error_set(err, ERROR_FATAL, "the checkpoint has %zu actions, %llu were written", rows,
                       (unsigned long long)written);
    buf_free(&sql);
    buf_free(&structure);
    return ok;
}

static int64_t hinted_version(struct delta_table *t)
{
    struct buf text = {0};
    struct error ignored;
    bool found;
    int64_t version = -1;
    if (store_get(t->store, DELTA_LAST_CHECKPOINT, &text, &found, &ignored) && found) {
        json_t *hint = json_loadb(text.data, text.len, 0, NULL);
        const json_t *v = json_object_get(hint, "version");
        if (json_is_integer(v)) version = (int64_t)json_integer_value(v);
        json_decref(hint);
    }
    buf_free(&text);
    return version;
}

static bool write_hint(struct delta_table *t, size_t rows, int64_t size_bytes, struct error *err)
{
    if (hinted_version(t) >= t->now.version) return true;
    char *text = mem_format("{\"version\":%lld,\"size\":%zu,\"sizeInBytes\":%lld,\"numOfAddFiles\":%zu}",
                            (long long)t->now.version, rows, (long long)size_bytes, t->now.files.count);
    bool ok = store_put(t->store, DELTA_LAST_CHECKPOINT, slice_of(text), err);
    mem_free(text);
    return ok;
}

bool delta_checkpoint_write(struct delta_table *t, struct engine_conn *conn, struct error *err)
{
    struct buf lines = {0};
    struct store_entry info;
    char name[64], *uuid = delta_uuid();
    char *temp =
        mem_format(DELTA_LOG_FOLDER "/.%020lld.checkpoint.%s.tmp", (long long)t->now.version, uuid);
    delta_checkpoint_name(t->now.version, name);
    size_t rows = put_rows(&t->now, &lines);
    bool ok = (buf_ok(&lines) || error_set(err, ERROR_DATA, "the checkpoint is too large")) &&
              write_parquet(t, conn, temp, buf_slice(&lines), rows, err) &&
              store_stat(t->store, temp, &info, err) &&
              delta_check_whole(t, temp, info.size_bytes, err) && store_rename(t->store, temp, name, err);
    if (ok) {
        failpoint("delta.checkpoint");
        t->now.checkpoint_version = t->now.version;
        ok = write_hint(t, rows, info.size_bytes, err);
    } else {
        struct error ignored;
        if (!store_remove(t->store, temp, &ignored)) error_wrap(err, "(%s)", ignored.text);
    }
    if (!ok) error_wrap(err, "%s: checkpoint of version %lld", t->name, (long long)t->now.version);
    buf_free(&lines);
    mem_free(temp);
    mem_free(uuid);
    return ok;
}
