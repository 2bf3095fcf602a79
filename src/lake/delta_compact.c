/* Merging the small files of an append-only table.
 *
 *  1. Files of one partition are merged in the order of their commits, and rows keep their order.
 *  2. A row is rewritten only when its file grows by half at least: the work for n rows is n log n. Only
 *     when too many files would be left are larger ones taken too.
 *  3. A call copies about rows_max rows and FILES_MAX files at most; the rest follows at the next.
 *  4. The commit is all dataChange=false and carries nothing else: readers of the history do not see
 *     it, and appends of other writers pass it by.
 *  5. Memory is bounded by one small file, or a batch of very small ones (a statement for each would cost
 *     more than its rows), and by one new file (MERGED_BYTES of Parquet at most): rows stream from file to
 *     file, but the engine takes them faster than it encodes. The statistics are computed on the way. */
#include "lake/delta_int.h"

#include <stdlib.h>

enum { GROWTH = 2, FILES_MAX = 128, BATCH_BYTES = 1 << 20, MERGED_BYTES = 16 << 20 };

typedef const struct delta_file *file_ref;

struct group {
    file_ref *files;
    size_t count;
    int64_t rows;
};

static int by_age(const void *a, const void *b)
{
    file_ref x = *(const file_ref *)a, y = *(const file_ref *)b;
    if (x->added_version != y->added_version) return x->added_version < y->added_version ? -1 : 1;
    if (x->modification_ms != y->modification_ms) return x->modification_ms < y->modification_ms ? -1 : 1;
    return strcmp(x->path, y->path);
}

static int by_partition_and_rows(const void *a, const void *b)
{
    file_ref x = *(const file_ref *)a, y = *(const file_ref *)b;
    int order = strcmp(x->partition ? x->partition : "", y->partition ? y->partition : "");
    if (order) return order;
    if (x->rows != y->rows) return x->rows < y->rows ? -1 : 1;
    return by_age(a, b);
}

static bool same_partition(file_ref a, file_ref b)
{
    if (!a->partition || !b->partition) return a->partition == b->partition;
    return strcmp(a->partition, b->partition) == 0;
}

/* Files that may be merged, sorted; the caller frees the array. */
static file_ref *small_files(const struct delta_table *t, int64_t rows_max, size_t *count)
{
    file_ref *files = mem_alloc((t->now.files.count + 1) * sizeof *files);
    *count = 0;
    for (size_t i = 0; i < t->now.files.count; i++) {
        file_ref f = t->now.files.items[i];
        if (!f->dv.type && f->rows >= 0 && f->rows < rows_max) files[(*count)++] = f;
    }
    if (*count) qsort(files, *count, sizeof *files, by_partition_and_rows);
    return files;
}

/* The next run of at least two files of one partition with at most rows_max rows, from *at on. Unless
 * eager, a file much larger than all smaller ones together stays out (2). */
static bool next_group(file_ref *files, size_t count, int64_t rows_max, bool eager, size_t *at,
                       struct group *out)
{
    while (*at < count) {
        size_t from = *at;
        int64_t rows = files[*at]->rows, size_bytes = files[*at]->size_bytes;
        (*at)++;
        while (*at < count && *at - from < FILES_MAX && same_partition(files[from], files[*at])) {
            int64_t more = files[*at]->rows;
            if (size_bytes + files[*at]->size_bytes > MERGED_BYTES) break;
            if (rows + more > rows_max || (!eager && more > GROWTH * (rows + 1))) break;
            rows += more;
            size_bytes += files[*at]->size_bytes;
            (*at)++;
        }
        *out = (struct group){files + from, *at - from, rows};
        if (out->count >= 2) return true;
    }
    return false;
}

/* Whether the frugal choice leaves too many files. */
static bool must_be_eager(const struct delta_table *t, file_ref *files, size_t count, size_t files_max,
                          int64_t rows_max)
{
    struct group g;
    size_t left = t->now.files.count;
    for (size_t at = 0; next_group(files, count, rows_max, false, &at, &g);)
        left -= g.count - 1;
    return left > files_max;
}

struct copy {
    struct delta_table *table;
    struct engine_conn *reader;
    struct engine_insert_stream *writer;
    struct delta_stats *stats;
};

/* Appends the file's path in the table's folder; false when it lies elsewhere or a list of paths could not
 * hold it. */
static bool put_listed(const struct delta_table *t, file_ref f, struct buf *list)
{
    struct buf path = {0};
    delta_put_file_path(t, f, &path);
    const char *text = buf_text(&path);
    size_t folder = strlen(t->folder);
    bool fits = strncmp(text, t->folder, folder) == 0 && text[folder] == '/' && !strpbrk(text, "{},*?");
    if (fits) buf_printf(list, "%s%s", list->len ? "," : "", text + folder + 1);
    buf_free(&path);
    return fits;
}

/* How many of the files are read at once, and the path that names them. */
static size_t put_batch(const struct delta_table *t, file_ref *files, size_t count, struct buf *path)
{
    struct buf list = {0};
    int64_t bytes = 0;
    size_t n = 0;
    for (; n < count && (n == 0 || bytes + files[n]->size_bytes <= BATCH_BYTES); n++) {
        if (!put_listed(t, files[n], &list)) break;
        bytes += files[n]->size_bytes;
    }
    if (n < 2)
        delta_put_file_path(t, files[0], path);
    else
        buf_printf(path, "%s/{%s}", t->folder, buf_text(&list));
    buf_free(&list);
    return n < 2 ? 1 : n;
}

/* Copies the first of the files; *taken tells how many. One thread reads a list in its order. */
static bool copy_files(struct copy *c, file_ref *files, size_t count, size_t *taken, struct error *err)
{
    struct buf sql = {0}, path = {0}, structure = {0};
    struct engine_result rows;
    int64_t before = delta_stats_count(c->stats), told = 0;
    *taken = put_batch(c->table, files, count, &path);
    for (size_t i = 0; i < *taken; i++)
        told += files[i]->rows;
    delta_read_structure(&c->table->now.file_columns, &structure);
    buf_put_text(&sql, "SELECT * FROM file(");
    buf_put_sql_text(&sql, buf_slice(&path));
    buf_put_text(&sql, ", 'Parquet', ");
    buf_put_sql_text(&sql, buf_slice(&structure));
    buf_put_text(&sql, ") SETTINGS max_threads=1, input_format_parquet_allow_missing_columns=1, "
                       "input_format_parquet_preserve_order=1, use_hive_partitioning=0");
    bool ok = engine_query(c->reader, buf_text(&sql), "RowBinary", NULL, 0, &rows, err);
    if (ok) {
        ok = delta_stats_rows(c->stats, rows.data, err) && engine_insert_append(c->writer, rows.data, err);
        if (ok && delta_stats_count(c->stats) - before != told)
            ok = error_set(err, ERROR_DATA, "%.300s%s holds %lld rows, the log tells %lld", files[0]->path,
                           *taken > 1 ? " and those after it" : "",
                           (long long)(delta_stats_count(c->stats) - before), (long long)told);
        engine_result_free(&rows);
    }
    buf_free(&sql);
    buf_free(&path);
    buf_free(&structure);
    return ok;
}

static bool copy_group(struct copy *c, struct engine_conn *conn, const struct group *g, const char *name,
                       struct error *err)
{
    struct buf sql = {0};
    uint64_t written = 0;
    delta_put_insert(c->table, name, DELTA_LARGE, &sql);
    bool ok = store_make_folder(c->table->store, name, err) &&
              engine_insert_begin(conn, buf_text(&sql), "RowBinary", &c->writer, err);
    buf_free(&sql);
    if (!ok) return false;
    for (size_t i = 0, taken = 0; ok && i < g->count; i += taken)
        ok = copy_files(c, g->files + i, g->count - i, &taken, err);
    struct error closing;
    bool closed = engine_insert_end(c->writer, !ok, &written, ok ? err : &closing);
    if (ok && closed && (int64_t)written != delta_stats_count(c->stats))
        return error_set(err, ERROR_FATAL, "%lld rows were given and %llu written",
                         (long long)delta_stats_count(c->stats), (unsigned long long)written);
    return ok && closed;
}

static bool merge_group(struct delta_table *t, struct engine_conn *conn, struct engine_conn *reader,
                        const struct group *g, struct delta_commit *commit, struct error *err)
{
    struct copy c = {.table = t, .reader = reader, .stats = delta_stats_new(&t->now.file_columns)};
    const char *partition = g->files[0]->partition;
    char *name = delta_new_file_name(partition, DELTA_LARGE);
    struct delta_file merged = {0};
    bool ok =
        copy_group(&c, conn, g, name, err) && delta_finish_file(t, name, partition, c.stats, &merged, err);
    if (ok) {
        delta_commit_add(commit, &merged, false);
        for (size_t i = 0; i < g->count; i++)
            delta_commit_remove(commit, g->files[i], false);
    } else {
        struct error ignored;
        if (!store_remove(t->store, name, &ignored)) error_wrap(err, "(%s)", ignored.text);
    }
    delta_file_free(&merged);
    delta_stats_free(c.stats);
    mem_free(name);
    return ok;
}

bool delta_compact_append_only(struct delta_table *t, struct engine_conn *conn, size_t files_max,
                               int64_t rows_max, size_t *merged, struct error *err)
{
    *merged = 0;
    if (!delta_refresh(t, err)) return false;
    if (t->now.unwritable || t->now.files.count <= files_max) return true;
    size_t count, at = 0, gone = 0;
    int64_t rows = 0;
    file_ref *files = small_files(t, rows_max, &count);
    bool eager = must_be_eager(t, files, count, files_max, rows_max);
    struct group g;
    struct engine_conn *reader = NULL;
    struct delta_commit *commit = delta_commit_begin(t, "OPTIMIZE");
    bool ok = engine_connect(&reader, NULL, err);
    while (ok && rows < rows_max && gone < FILES_MAX &&
           next_group(files, count, rows_max, eager, &at, &g)) {
        qsort(g.files, g.count, sizeof *g.files, by_age);
        ok = merge_group(t, conn, reader, &g, commit, err);
        gone += g.count;
        rows += g.rows;
    }
    if (reader) engine_disconnect(reader);
    mem_free(files);
    if (!ok || !gone) {
        delta_commit_cancel(commit);
        return ok || error_wrap(err, "%s: compaction", t->name);
    }
    if (!delta_commit_finish(commit, NULL, err)) return false;
    *merged = gone;
    return true;
}
