/* Data files and deletion vectors.
 *
 *  1. Names are unique and never used again; on disk only [A-Za-z0-9=._/-], so that the path in the
 *     log is the name.
 *  2. Rows keep the order in which they are given: a vector's positions are the indexes of the rows.
 *  3. Nothing here is synced; what fails half-way is removed. The engine says nothing when its last write to a
 *     file fails, so each file is looked at before it is named in a commit.
 *  4. What is written and not yet committed is noted in the handle: a long transaction's files may be
 *     older than vacuum's retention before they are committed. */
#include "lake/delta_int.h"

#include "base/file.h"
#include "format/dv.h"

#include <stdlib.h>

enum { SMALL_BYTES = 256 << 10 };

/* A folder of the partition's name keeps tables apart for people; readers take the value from the log.
 * Not "column=value": engines that guess partitions from paths would add a column. */
static bool good_folder(const char *partition)
{
    return partition && *partition && *partition != '.' && *partition != '_' && strlen(partition) < 200 &&
           partition[strspn(partition,
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static const char *codec(enum delta_packing packing)
{
    return packing == DELTA_SMALL ? "snappy" : "zstd";
}

char *delta_new_file_name(const char *partition, enum delta_packing packing)
{
    char *uuid = delta_uuid();
    bool folder = good_folder(partition);
    char *name = mem_format("%s%spart-%s.%s.parquet", folder ? partition : "", folder ? "/" : "", uuid,
                            codec(packing));
    mem_free(uuid);
    return name;
}

void delta_read_structure(const struct columns *columns, struct buf *out)
{
    for (size_t i = 0; i < columns->count; i++) {
        struct column c = columns->items[i];
        if (c.type == COLUMN_DATE) c.type = COLUMN_INTEGER;
        if (i) buf_put_text(out, ", ");
        buf_put_sql_name(out, c.name);
        buf_put_char(out, ' ');
        column_type_clickhouse(&c, out);
    }
}

/* Parallel encoding keeps the order of rows; parallel parsing and inserting would not. The engine's own blocks and
 * row groups are of hundreds of megabytes: what is written here at once would stand in memory twice. */
void delta_put_insert(const struct delta_table *t, const char *name, enum delta_packing packing, struct buf *sql)
{
    struct buf structure = {0};
    char *path = store_path(t->store, name);
    columns_clickhouse(&t->now.file_columns, &structure);
    buf_put_text(sql, "INSERT INTO FUNCTION file(");
    buf_put_sql_text(sql, slice_of(path));
    buf_put_text(sql, ", 'Parquet', ");
    buf_put_sql_text(sql, buf_slice(&structure));
    buf_printf(sql, ") SETTINGS output_format_parquet_parallel_encoding=%d, output_format_parquet_compression_method='%s', ",
               packing == DELTA_LARGE, codec(packing));
    buf_put_text(sql, "max_threads=1, max_insert_threads=1, input_format_parallel_parsing=0, "
                      "engine_file_truncate_on_insert=1, "
                      "output_format_parquet_write_bloom_filter=0, "
                      "max_insert_block_size=16384, min_insert_block_size_rows=16384, "
                      "min_insert_block_size_bytes=8388608, "
                      "output_format_parquet_row_group_size_bytes=33554432");
    buf_free(&structure);
    mem_free(path);
}

void delta_note_in_flight(struct delta_table *t, const char *name)
{
    delta_texts_add(&t->in_flight, name);
}

/* magic, row groups, footer, u32 length of the footer, magic */
bool delta_check_whole(struct delta_table *t, const char *name, int64_t size_bytes, struct error *err)
{
    static const char magic[] = "PAR1";
    enum { MAGIC = 4, TAIL = 8 };
    char head[MAGIC], tail[TAIL];
    bool whole = false;
    if (size_bytes >= MAGIC + TAIL) {
        if (!store_read(t->store, name, 0, head, MAGIC, err) ||
            !store_read(t->store, name, size_bytes - TAIL, tail, TAIL, err))
            return false;
        uint32_t footer;
        memcpy(&footer, tail, sizeof footer);
        whole = memcmp(head, magic, MAGIC) == 0 && memcmp(tail + TAIL - MAGIC, magic, MAGIC) == 0 &&
                footer <= size_bytes - MAGIC - TAIL;
    }
    return whole || error_set(err, ERROR_RETRY, "%s was not written whole (%lld bytes): is the disk well?", name,
                              (long long)size_bytes);
}

bool delta_finish_file(struct delta_table *t, const char *name, const char *partition,
                       const struct delta_stats *stats, struct delta_file *out, struct error *err)
{
    struct store_entry info;
    struct buf text = {0};
    if (!store_stat(t->store, name, &info, err) || !delta_check_whole(t, name, info.size_bytes, err)) return false;
    delta_stats_put(stats, t->now.deletion_vectors, &text);
    *out = (struct delta_file){
        .path = mem_text(name),
        .partition = mem_text(partition && *partition ? partition : NULL),
        .stats = buf_take(&text),
        .size_bytes = info.size_bytes,
        .modification_ms = info.modified_ms,
        .rows = delta_stats_count(stats),
        .added_version = -1,
    };
    delta_note_in_flight(t, name);
    return true;
}

static bool insert_rows(struct delta_table *t, struct engine_conn *conn, const char *name,
                        enum delta_packing packing, struct slice rows, size_t count, struct error *err)
{
    struct buf sql = {0};
    uint64_t written = 0;
    delta_put_insert(t, name, packing, &sql);
    bool ok = engine_insert(conn, buf_text(&sql), "RowBinary", rows, &written, err);
    if (ok && written != count)
        ok = error_set(err, ERROR_FATAL, "%zu rows were given and %llu written", count,
                       (unsigned long long)written);
    buf_free(&sql);
    return ok;
}

bool delta_write_file(struct delta_table *t, struct engine_conn *conn, struct slice rows, size_t count,
                      const char *partition, struct delta_file *out, struct error *err)
{
    struct delta_stats *stats = delta_stats_new(&t->now.file_columns);
    enum delta_packing packing = rows.len < SMALL_BYTES ? DELTA_SMALL : DELTA_LARGE;
    char *name = delta_new_file_name(partition, packing);
    bool ok = (count > 0 || error_set(err, ERROR_FATAL, "a file without rows")) &&
              delta_stats_rows(stats, rows, err);
    if (ok && delta_stats_count(stats) != (int64_t)count)
        ok = error_set(err, ERROR_DATA, "%zu rows were announced and %lld given", count,
                       (long long)delta_stats_count(stats));
    ok = ok && store_make_folder(t->store, name, err);
    if (ok) {
        ok = insert_rows(t, conn, name, packing, rows, count, err) &&
             delta_finish_file(t, name, partition, stats, out, err);
        struct error ignored;
        if (!ok && !store_remove(t->store, name, &ignored)) (void)ignored; /* vacuum will */
    }
    if (!ok) error_wrap(err, "%s: %s", t->name, name);
    mem_free(name);
    delta_stats_free(stats);
    return ok;
}

/* ---- deletion vectors ---- */

enum { UUID_Z85 = 20 };

char *delta_vector_name(const struct delta_dv *dv)
{
    if (dv->type != 'u') return NULL;
    size_t len = strlen(dv->path_or_inline);
    struct buf bytes = {0};
    char *name = NULL;
    if (len >= UUID_Z85 &&
        z85_decode((struct slice){dv->path_or_inline + len - UUID_Z85, UUID_Z85}, &bytes)) {
        char uuid[UUID_TEXT + 1];
        uuid_format((const unsigned char *)bytes.data, uuid);
        name = mem_format("%.*s%sdeletion_vector_%s.bin", (int)(len - UUID_Z85), dv->path_or_inline,
                          len > UUID_Z85 ? "/" : "", uuid);
    }
    buf_free(&bytes);
    return name;
}

bool delta_write_vectors(struct delta_table *t, const struct delta_positions *vectors, size_t count,
                         struct delta_dv *out, struct error *err)
{
    unsigned char uuid[UUID_BYTES];
    struct buf file = {0}, bitmap = {0}, place = {0};
    uuid_make(uuid);
    z85_encode((struct slice){(const char *)uuid, sizeof uuid}, &place);
    for (size_t i = 0; i < count; i++) {
        buf_clear(&bitmap);
        dv_encode(vectors[i].rows, vectors[i].count, &bitmap);
        out[i] = (struct delta_dv){.type = 'u',
                                   .path_or_inline = mem_text(buf_text(&place)),
                                   .size_bytes = (int32_t)bitmap.len,
                                   .cardinality = (int64_t)vectors[i].count};
        dv_file_put(&file, buf_slice(&bitmap), &out[i].offset);
    }
    char *name = count ? delta_vector_name(&out[0]) : NULL;
    bool ok = buf_ok(&file) || error_set(err, ERROR_DATA, "the deletion vectors are too large");
    if (ok && name) ok = store_write(t->store, name, buf_slice(&file), err);
    if (ok && name) delta_note_in_flight(t, name);
    for (size_t i = 0; !ok && i < count; i++) {
        mem_free(out[i].path_or_inline);
        out[i] = (struct delta_dv){0};
    }
    if (!ok) error_wrap(err, "%s", t->name);
    mem_free(name);
    buf_free(&file);
    buf_free(&bitmap);
    buf_free(&place);
    return ok;
}

static bool read_vector_file(const struct delta_table *t, const struct delta_dv *dv, struct buf *file,
                             struct error *err)
{
    bool found = false;
    char *name = delta_vector_name(dv);
    if (dv->type == 'p') {
        struct delta_file absolute = {.path = dv->path_or_inline};
        struct buf path = {0};
        delta_put_file_path(t, &absolute, &path);
        found = file_read(buf_text(&path), file, err);
        buf_free(&path);
        return found;
    }
    bool ok = name ? store_get(t->store, name, file, &found, err)
                   : error_set(err, ERROR_DATA, "the deletion vector's name is not understood");
    if (ok && !found) ok = error_set(err, ERROR_DATA, "the deletion vector %s is missing", name);
    mem_free(name);
    return ok;
}

static bool narrow(uint64_t *wide, size_t count, uint32_t **rows, struct error *err)
{
    if (count && wide[count - 1] > UINT32_MAX)
        return error_set(err, ERROR_DATA, "the deletion vector holds row %llu",
                         (unsigned long long)wide[count - 1]);
    *rows = mem_resize(NULL, count ? count : 1, sizeof **rows);
    for (size_t i = 0; i < count; i++)
        (*rows)[i] = (uint32_t)wide[i];
    return true;
}

bool delta_read_vector(const struct delta_table *t, const struct delta_dv *dv, uint32_t **rows,
                       size_t *count, struct error *err)
{
    struct buf bytes = {0};
    struct slice bitmap = {0};
    uint64_t *wide = NULL;
    bool ok;
    *rows = NULL;
    *count = 0;
    if (dv->type == 'i') {
        ok = (z85_decode(slice_of(dv->path_or_inline), &bytes) && (size_t)dv->size_bytes <= bytes.len) ||
             error_set(err, ERROR_DATA, "the inline deletion vector is damaged");
        bitmap = (struct slice){bytes.data, (size_t)dv->size_bytes};
    } else {
        ok = read_vector_file(t, dv, &bytes, err) &&
             dv_file_get(buf_slice(&bytes), dv->offset < 0 ? 1 : dv->offset, dv->size_bytes, &bitmap, err);
    }
    ok = ok && dv_decode(bitmap, dv->cardinality, &wide, count, err) && narrow(wide, *count, rows, err);
    if (!ok) error_wrap(err, "%s", t->name);
    mem_free(wide);
    buf_free(&bytes);
    return ok;
}
