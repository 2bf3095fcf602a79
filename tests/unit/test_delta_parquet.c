/* Delta tables with their Parquet files, over the real libchdb. needs: engine
 * What the log says and what deltaLakeLocal reads must agree. */
#include "engine_lab.h"

#include "base/clock.h"
#include "lake/delta_int.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *home, *lake;
static struct engine_conn *conn;
static struct error err;
static int next_table;
static char started_in[4096], *program;

static int set_up(void **state)
{
    (void)state;
    home = unit_folder();
    lake = mem_format("%s/lake", home);
    unit_ok(file_make_dirs(lake, &err));
    conn = engine_lab_open(home);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mem_free(lake);
    engine_lab_close(conn, home);
    return 0;
}

/* ---- tables (id long not null, name string, table string): each test has one of its own ---- */

static char *new_name(void)
{
    return mem_format("silver/t%d", next_table++);
}

static struct delta_table *open_named(const char *name, struct delta_options options)
{
    struct columns columns = {0};
    struct delta_table *t;
    columns_add(&columns, "id", COLUMN_LONG, 0, 0, false);
    columns_add(&columns, "name", COLUMN_STRING, 0, 0, true);
    if (options.partition_column) columns_add(&columns, "table", COLUMN_STRING, 0, 0, true);
    unit_ok(delta_open_or_create(&t, lake, name, &columns, &options, &err));
    columns_free(&columns);
    return t;
}

static struct delta_table *open_new(struct delta_options options)
{
    char *name = new_name();
    struct delta_table *t = open_named(name, options);
    mem_free(name);
    return t;
}

/* Rows from..to-1; every tenth name is NULL. */
static struct delta_file write_rows(struct delta_table *t, int64_t from, int64_t to, const char *partition)
{
    struct buf rows = {0};
    struct delta_file f;
    for (int64_t id = from; id < to; id++) {
        char *name = mem_format("name %lld", (long long)id);
        buf_put_u64(&rows, (uint64_t)id);
        buf_put_nullable(&rows, id % 10 ? slice_of(name) : (struct slice){0});
        mem_free(name);
    }
    unit_ok(delta_write_file(t, conn, buf_slice(&rows), (size_t)(to - from), partition, &f, &err));
    buf_free(&rows);
    return f;
}

static void append(struct delta_table *t, int64_t from, int64_t to, const char *partition)
{
    struct delta_file f = write_rows(t, from, to, partition);
    struct delta_commit *c = delta_commit_begin(t, "WRITE");
    delta_commit_add(c, &f, true);
    delta_commit_txn(c, "test", to);
    unit_ok(delta_commit_finish(c, NULL, &err));
    delta_file_free(&f);
}

static char *PRINTF_LIKE(1, 2) answer(const char *format, ...)
{
    struct engine_result r;
    va_list args;
    char sql[2000];
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    unit_ok(engine_query(conn, sql, "TSV", NULL, 0, &r, &err));
    char *text = mem_textn(r.data.data, r.data.len);
    engine_result_free(&r);
    return text;
}

static void assert_select(struct delta_table *t, const char *select, const char *where,
                          const char *expected)
{
    struct buf source = {0};
    delta_put_source(t, &source);
    char *got = answer("SELECT %s FROM %s %s", select, buf_text(&source), where);
    assert_string_equal(got, expected);
    mem_free(got);
    buf_free(&source);
}

/* Gives a file the age that an hour ago gives. */
static void make_old(struct delta_table *t, const char *name)
{
    char *path = store_path(t->store, name);
    struct timespec times[2];
    int64_t then = clock_wall_us() / 1000000 - 3600;
    times[0] = times[1] = (struct timespec){.tv_sec = then};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    mem_free(path);
}

static void make_all_old(struct delta_table *t, const char *folder)
{
    struct store_listing names;
    unit_ok(store_list(t->store, folder, *folder == '\0', &names, &err));
    for (size_t i = 0; i < names.count; i++)
        make_old(t, names.items[i].name);
    store_listing_free(&names);
}

static bool exists(struct delta_table *t, const char *name)
{
    bool found;
    unit_ok(store_exists(t->store, name, &found, &err));
    return found;
}

/* ---- data files ---- */

static void test_write_and_read(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){.append_only = true});
    append(t, 0, 1000, NULL);
    append(t, 1000, 1003, NULL);
    assert_int_equal(delta_row_count(t), 1003);
    assert_select(t, "count(), sum(id), countIf(name IS NULL), max(name)", "",
                  "1003\t502503\t101\tname 999\n");
    assert_select(t, "name", "WHERE id = 1002", "name 1002\n");
    const struct delta_file *f = NULL;
    for (size_t i = 0; i < 2; i++)
        if (delta_file_at(t, i)->rows == 3) f = delta_file_at(t, i);
    assert_string_equal(f->stats, "{\"numRecords\":3,\"minValues\":{\"id\":1000,\"name\":\"name 1001\"},"
                                  "\"maxValues\":{\"id\":1002,\"name\":\"name 1002\"},"
                                  "\"nullCount\":{\"id\":0,\"name\":1}}");
    struct buf path = {0};
    delta_put_file_path(t, f, &path);
    char *order = answer("SELECT groupArray(id) FROM file('%s', 'Parquet')", buf_text(&path));
    assert_string_equal(order, "[1000,1001,1002]\n");
    mem_free(order);
    buf_free(&path);
    delta_close(t);
}

static void test_rows_of_wrong_shape(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){0});
    struct delta_file f;
    struct store_listing names;
    assert_false(delta_write_file(t, conn, SLICE("\1\2\3"), 1, NULL, &f, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_false(delta_write_file(t, conn, SLICE("\1\0\0\0\0\0\0\0\1"), 2, NULL, &f, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    unit_ok(store_list(t->store, "", true, &names, &err));
    assert_int_equal(names.count, 0);
    store_listing_free(&names);
    delta_close(t);
}

static void test_partitions(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){.partition_column = "table"});
    append(t, 0, 5, "public.orders");
    append(t, 5, 7, "đơn hàng/1 %?#");
    append(t, 7, 8, NULL);
    assert_select(t, "`table`, count()", "GROUP BY 1 ORDER BY 2 DESC",
                  "public.orders\t5\nđơn hàng/1 %?#\t2\n\\N\t1\n");
    assert_select(t, "groupArray(id)", "WHERE `table` = 'public.orders'", "[0,1,2,3,4]\n");
    const struct delta_file *f = NULL;
    for (size_t i = 0; i < 3; i++)
        if (delta_file_at(t, i)->rows == 5) f = delta_file_at(t, i);
    assert_int_equal(strncmp(f->path, "public.orders/part-", 19), 0);
    struct buf path = {0};
    delta_put_file_path(t, f, &path);
    char *first = answer("SELECT * FROM file('%s', 'Parquet') LIMIT 1", buf_text(&path));
    assert_string_equal(first, "0\t\\N\n"); /* two columns: the partition is in the log only */
    mem_free(first);
    buf_free(&path);
    delta_close(t);
}

/* A predicate at the exact bounds finds its row: microseconds above the told millisecond, strings
 * beyond 32 characters, dates that ClickHouse itself would clamp. */
static void test_bounds_keep_rows(void **state)
{
    (void)state;
    struct columns columns = {0};
    struct delta_table *t;
    struct buf rows = {0};
    struct delta_file f;
    char *name = new_name();
    columns_add(&columns, "at", COLUMN_TIMESTAMP, 0, 0, true);
    columns_add(&columns, "text", COLUMN_STRING, 0, 0, false);
    columns_add(&columns, "amount", COLUMN_DECIMAL, 20, 4, false);
    columns_add(&columns, "day", COLUMN_DATE, 0, 0, false);
    unit_ok(delta_open_or_create(&t, lake, name, &columns, &(struct delta_options){0}, &err));
    static const int32_t days[] = {-719162, -25568, 120530, 2932896};
    for (int i = 0; i < 4; i++) {
        char *text = mem_format("%032d\xEF\xBF\xBF%d", i, i);
        buf_put_u8(&rows, 0);
        buf_put_u64(&rows, (uint64_t)(INT64_C(1767225600999996) + i));
        buf_put_string(&rows, slice_of(text));
        buf_put_u64(&rows, (uint64_t)(INT64_C(-12345678) + i));
        buf_put_u64(&rows, UINT64_MAX);
        buf_put_u32(&rows, (uint32_t)days[i]);
        mem_free(text);
    }
    unit_ok(delta_write_file(t, conn, buf_slice(&rows), 4, NULL, &f, &err));
    struct delta_commit *c = delta_commit_begin(t, "WRITE");
    delta_commit_add(c, &f, true);
    unit_ok(delta_commit_finish(c, NULL, &err));
    assert_select(t, "count()", "WHERE at >= toDateTime64('2026-01-01 00:00:00.999999', 6, 'UTC')", "1\n");
    assert_select(t, "count()", "WHERE at <= toDateTime64('2026-01-01 00:00:00.999996', 6, 'UTC')", "1\n");
    assert_select(t, "count()",
                  "WHERE text >= '00000000000000000000000000000003\xEF\xBF\xBF"
                  "3'",
                  "1\n");
    assert_select(t, "count()", "WHERE amount <= toDecimal128('-1234.5678', 4)", "1\n");
    struct buf path = {0}, structure = {0}, quoted = {0};
    delta_put_file_path(t, &f, &path);
    delta_read_structure(delta_columns(t), &structure);
    buf_put_sql_text(&quoted, buf_slice(&structure));
    char *raw =
        answer("SELECT groupArray(day) FROM file('%s', 'Parquet', %s)", buf_text(&path), buf_text(&quoted));
    assert_string_equal(raw, "[-719162,-25568,120530,2932896]\n");
    mem_free(raw);
    buf_free(&path);
    buf_free(&structure);
    buf_free(&quoted);
    delta_file_free(&f);
    buf_free(&rows);
    columns_free(&columns);
    mem_free(name);
    delta_close(t);
}

/* ---- deletion vectors ---- */

static void delete_rows(struct delta_table *t, const char *path, const uint32_t *rows, size_t count)
{
    struct delta_file after;
    delta_file_copy(&after, delta_file_find(t, path));
    mem_free(after.dv.path_or_inline);
    unit_ok(delta_write_vectors(t, &(struct delta_positions){rows, count}, 1, &after.dv, &err));
    struct delta_commit *c = delta_commit_begin(t, "MERGE");
    delta_commit_remove(c, delta_file_find(t, path), true);
    delta_commit_add(c, &after, true);
    unit_ok(delta_commit_finish(c, NULL, &err));
    delta_file_free(&after);
}

static void test_vectors(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){.deletion_vectors = true});
    append(t, 0, 10, NULL);
    char *path = mem_text(delta_file_at(t, 0)->path);
    static const uint32_t rows[] = {2, 5, 9};
    for (size_t n = 1; n <= 3; n++)
        delete_rows(t, path, rows, n);
    assert_int_equal(delta_row_count(t), 7);
    assert_select(t, "count(), groupArray(id)", "", "7\t[0,1,3,4,6,7,8]\n");
    assert_select(t, "count()", "", "7\n");

    append(t, 100, 80100, NULL);
    uint32_t *many = mem_resize(NULL, 30000, sizeof *many);
    for (uint32_t i = 0; i < 30000; i++)
        many[i] = i < 9000 ? i : 9000 + (i - 9000) * 3;
    for (size_t i = 0; i < delta_file_count(t); i++)
        if (delta_file_at(t, i)->rows == 80000) {
            mem_free(path);
            path = mem_text(delta_file_at(t, i)->path);
        }
    delete_rows(t, path, many, 30000);
    assert_select(t, "count(), min(id)", "WHERE id >= 100", "50000\t9101\n");
    mem_free(many);
    mem_free(path);
    delta_close(t);
}

/* ---- checkpoints ---- */

static void remove_commits_below(struct delta_table *t, int64_t version)
{
    for (int64_t v = 0; v < version; v++) {
        char name[64];
        delta_commit_name(v, name);
        unit_ok(store_remove(t->store, name, &err));
    }
}

static void check_checkpoint(struct delta_options options, const char *partition)
{
    struct delta_table *t = open_new(options), *again;
    append(t, 0, 10, partition);
    append(t, 10, 20, NULL);
    if (options.deletion_vectors) {
        char *path = mem_text(delta_file_at(t, 0)->path);
        delete_rows(t, path, (const uint32_t[]){1, 3}, 2);
        mem_free(path);
    }
    int64_t version = delta_version(t), rows = delta_row_count(t);
    unit_ok(delta_checkpoint_write(t, conn, &err));
    struct buf hint = {0};
    bool found;
    unit_ok(store_get(t->store, DELTA_LAST_CHECKPOINT, &hint, &found, &err));
    assert_true(found);
    buf_free(&hint);
    remove_commits_below(t, version + 1);

    unit_ok(delta_open(&again, lake, delta_name(t), &err));
    assert_int_equal(delta_version(again), version);
    assert_int_equal(delta_row_count(again), rows);
    assert_int_equal(delta_txn(again, "test"), 20);
    assert_true(columns_equal(delta_columns(again), delta_columns(t)));
    assert_int_equal(again->now.append_only, t->now.append_only);
    assert_int_equal(again->now.deletion_vectors, t->now.deletion_vectors);
    assert_int_equal(again->now.tombstones.count, t->now.tombstones.count);
    assert_string_equal(again->now.metadata.id, t->now.metadata.id);
    for (size_t i = 0; i < delta_file_count(t); i++) {
        const struct delta_file *a = delta_file_at(t, i), *b = delta_file_find(again, a->path);
        assert_non_null(b);
        assert_int_equal(a->size_bytes, b->size_bytes);
        assert_int_equal(a->rows, b->rows);
        assert_true(delta_same_dv(&a->dv, &b->dv));
        assert_int_equal(!a->partition, !b->partition);
        if (a->partition) assert_string_equal(a->partition, b->partition);
        if (!a->dv.type) assert_string_equal(a->stats, b->stats);
    }
    char *expected = mem_format("%lld\n", (long long)rows);
    assert_select(again, "count()", "", expected);
    mem_free(expected);
    append(again, 20, 30, NULL); /* and goes on from there */
    assert_int_equal(delta_version(again), version + 1);
    expected = mem_format("%lld\n", (long long)rows + 10);
    assert_select(again, "count()", "", expected);
    mem_free(expected);
    delta_close(again);
    delta_close(t);
}

static void test_checkpoint_plain(void **state)
{
    (void)state;
    check_checkpoint((struct delta_options){.append_only = true, .partition_column = "table"}, "orders");
}

static void test_checkpoint_with_vectors(void **state)
{
    (void)state;
    check_checkpoint((struct delta_options){.deletion_vectors = true}, NULL);
}

/* Structs are optional, exactly one is there in each row; no feature lists at (1,2). */
static void test_checkpoint_shape(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){0});
    append(t, 0, 10, NULL);
    unit_ok(delta_checkpoint_write(t, conn, &err));
    char name[64];
    delta_checkpoint_name(1, name);
    char *path = store_path(t->store, name);
    char *columns =
        answer("SELECT tupleElement(c, 'name') FROM (SELECT arrayJoin(columns) AS c FROM "
               "file('%s', 'ParquetMetadata')) WHERE tupleElement(c, 'path') LIKE '%%eatures%%'",
               path);
    assert_string_equal(columns, "");
    mem_free(columns);
    char *kinds = answer("SELECT count(), countIf((add.path IS NOT NULL) + (txn.appId IS NOT NULL) + "
                         "(metaData.id IS NOT NULL) + (protocol.minReaderVersion IS NOT NULL) + "
                         "(remove.path IS NOT NULL) = 1) FROM file('%s', 'Parquet', 'add Tuple(path "
                         "Nullable(String)), remove Tuple(path Nullable(String)), txn Tuple(appId "
                         "Nullable(String)), metaData Tuple(id Nullable(String)), protocol "
                         "Tuple(minReaderVersion Nullable(Int32))')",
                         path);
    assert_string_equal(kinds, "4\t4\n");
    mem_free(kinds);
    mem_free(path);
    delta_close(t);
}

/* A damaged hint, or one that lies ahead, is nothing to us; it is never written back. */
static void test_last_checkpoint(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){0}), *again;
    struct buf hint = {0};
    bool found;
    append(t, 0, 10, NULL);
    append(t, 10, 20, NULL);
    unit_ok(store_put(t->store, DELTA_LAST_CHECKPOINT, SLICE("{\"vers"), &err));
    unit_ok(delta_open(&again, lake, delta_name(t), &err));
    unit_ok(delta_checkpoint_write(t, conn, &err));
    unit_ok(store_get(t->store, DELTA_LAST_CHECKPOINT, &hint, &found, &err));
    assert_int_equal(strncmp(buf_text(&hint), "{\"version\":2,", 13), 0);
    again->now.version = 1; /* a slower process checkpoints what it has */
    unit_ok(delta_checkpoint_write(again, conn, &err));
    buf_clear(&hint);
    unit_ok(store_get(t->store, DELTA_LAST_CHECKPOINT, &hint, &found, &err));
    assert_int_equal(strncmp(buf_text(&hint), "{\"version\":2,", 13), 0);
    buf_free(&hint);
    delta_close(again);
    delta_close(t);
}

/* The program itself, called with a table, checkpoints it and dies on the way (see main). */
static int checkpoint_elsewhere(const char *other_home, const char *folder, const char *name)
{
    struct delta_table *t;
    char *storage = mem_format("%s/warehouse2", other_home);
    if (!engine_open("", other_home, storage, INT64_C(1) << 30, &err) ||
        !engine_connect(&conn, NULL, &err) || !delta_open(&t, folder, name, &err) ||
        !delta_checkpoint_write(t, conn, &err))
        fprintf(stderr, "%s\n", err.text);
    return 1;
}

/* Killed between checkpoint and hint: the checkpoint counts, the old hint does no harm. */
static void test_kill_at_checkpoint(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){0}), *again;
    append(t, 0, 10, NULL);
    unit_ok(delta_checkpoint_write(t, conn, &err));
    append(t, 10, 20, NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv("MILLRACE_FAIL", "delta.checkpoint:1", 1);
        if (chdir(started_in)) _exit(4); /* where the engine is looked for */
        execl(program, program, home, lake, delta_name(t), (char *)NULL);
        _exit(3);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    char name[64];
    delta_checkpoint_name(2, name);
    assert_true(exists(t, name));
    assert_select(t, "count()", "", "20\n");
    unit_ok(delta_open(&again, lake, delta_name(t), &err));
    assert_int_equal(again->now.checkpoint_version, 2);
    assert_int_equal(delta_row_count(again), 20);
    append(again, 20, 30, NULL);
    assert_select(t, "count()", "", "30\n");
    delta_close(again);
    delta_close(t);
}

/* A handle that others have left behind, its versions cleaned away, finds the present. */
static void test_passed_by(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){0}), *slow, *past;
    struct delta_history_entry e;
    append(t, 0, 10, NULL);
    unit_ok(delta_open(&slow, lake, delta_name(t), &err));
    append(t, 10, 20, NULL);
    append(t, 20, 30, NULL);
    append(t, 30, 40, NULL);
    unit_ok(delta_checkpoint_write(t, conn, &err));
    remove_commits_below(t, 4);
    struct delta_file f = write_rows(slow, 40, 50, NULL);
    struct delta_commit *c = delta_commit_begin(slow, "WRITE");
    delta_commit_add(c, &f, true);
    assert_false(delta_commit_finish(c, NULL, &err)); /* version 2 is free again, and must stay so */
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(delta_version(slow), 4);
    assert_int_equal(delta_row_count(slow), 40);
    assert_false(delta_open_at(&past, lake, delta_name(t), 3, &err)); /* before all that is left */
    assert_int_equal(err.kind, ERROR_DATA);
    unit_ok(delta_open_at(&past, lake, delta_name(t), 4, &err));
    assert_int_equal(delta_row_count(past), 40);
    delta_close(past);
    assert_false(delta_history(slow, 2, &e, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    delta_file_free(&f);
    delta_close(slow);
    delta_close(t);
}

/* ---- upkeep ---- */

static void test_upkeep(void **state)
{
    (void)state;
    struct delta_options options = {.deletion_vectors = true,
                                    .checkpoint_commits = 2,
                                    .log_retention_s = 600,
                                    .tombstone_retention_s = 600};
    struct delta_table *t = open_new(options), *again;
    append(t, 0, 10, NULL);
    append(t, 10, 20, NULL);
    char *gone = mem_text(delta_file_at(t, 0)->path), *kept = mem_text(delta_file_at(t, 1)->path);
    delete_rows(t, kept, (const uint32_t[]){1}, 1);
    char *old_vector = delta_vector_name(&delta_file_find(t, kept)->dv);
    delete_rows(t, kept, (const uint32_t[]){1, 2}, 2);
    char *vector = delta_vector_name(&delta_file_find(t, kept)->dv);
    struct delta_commit *c = delta_commit_begin(t, "DELETE");
    delta_commit_remove(c, delta_file_find(t, gone), true);
    unit_ok(delta_commit_finish(c, NULL, &err));
    struct delta_table *died;
    unit_ok(delta_open(&died, lake, delta_name(t), &err));
    struct delta_file young = write_rows(died, 20, 30, NULL), orphan = write_rows(died, 30, 40, NULL);
    delta_close(died);
    struct delta_file spilled = write_rows(t, 40, 50, NULL); /* of a transaction that goes on for long */
    struct delta_file live;
    delta_file_copy(&live, delta_file_find(t, kept));

    make_all_old(t, "");
    make_all_old(t, DELTA_LOG_FOLDER);
    char *young_path = store_path(t->store, young.path);
    assert_int_equal(utimensat(AT_FDCWD, young_path, NULL, 0), 0);
    mem_free(young_path);
    /* Young tombstones keep their files; only the old orphan goes. */
    unit_ok(delta_upkeep(t, conn, INT64_MAX, &err));
    assert_int_equal(t->now.checkpoint_version, 5);
    assert_true(exists(t, gone) && exists(t, kept) && exists(t, vector) && exists(t, old_vector));
    assert_true(exists(t, young.path) && exists(t, spilled.path));
    assert_false(exists(t, orphan.path));
    assert_int_equal(t->now.tombstones.count, 3);
    char first[64];
    delta_commit_name(0, first);
    assert_true(exists(t, first)); /* the checkpoint itself is too young to stand on */

    for (size_t i = 0; i < t->now.tombstones.count; i++)
        ((struct delta_tombstone *)t->now.tombstones.items[i])->deleted_ms -= 3600000;
    make_all_old(t, DELTA_LOG_FOLDER);
    t->vacuumed_ms = 0;
    /* A reader stands at version 3, so nothing it needs goes: what was removed later, and the log. */
    unit_ok(delta_upkeep(t, conn, 3, &err));
    assert_true(exists(t, gone) && exists(t, vector) && exists(t, old_vector));
    assert_true(exists(t, first));
    t->vacuumed_ms = 0;
    unit_ok(delta_upkeep(t, conn, 5, &err));
    assert_false(exists(t, gone));
    assert_false(exists(t, old_vector));
    assert_true(exists(t, kept) && exists(t, vector) && exists(t, young.path) && exists(t, spilled.path));
    assert_int_equal(t->now.tombstones.count, 0);
    assert_false(exists(t, first));
    char last[64];
    delta_commit_name(5, last);
    assert_true(exists(t, last));
    unit_ok(delta_open(&again, lake, delta_name(t), &err));
    assert_int_equal(delta_row_count(again), 8);
    assert_int_equal(t->in_flight.count, 1);
    assert_select(again, "groupArray(id)", "",
                  strstr(live.stats, "\"id\":10") ? "[10,13,14,15,16,17,18,19]\n" : "[0,3,4,5,6,7,8,9]\n");
    mem_free(gone);
    mem_free(kept);
    mem_free(vector);
    mem_free(old_vector);
    delta_file_free(&young);
    delta_file_free(&orphan);
    delta_file_free(&spilled);
    delta_file_free(&live);
    delta_close(again);
    delta_close(t);
}

/* Left-overs of killed writers go by age. */
static void test_temporary_files(void **state)
{
    (void)state;
    struct delta_table *t = open_new((struct delta_options){.tombstone_retention_s = 600});
    unit_ok(store_write(t->store, DELTA_LOG_FOLDER "/.00000000000000000001.json.x.tmp", SLICE("{"), &err));
    unit_ok(store_write(t->store, DELTA_LOG_FOLDER "/.00000000000000000002.json.x.tmp", SLICE("{"), &err));
    make_old(t, DELTA_LOG_FOLDER "/.00000000000000000001.json.x.tmp");
    unit_ok(delta_upkeep(t, conn, INT64_MAX, &err));
    assert_false(exists(t, DELTA_LOG_FOLDER "/.00000000000000000001.json.x.tmp"));
    assert_true(exists(t, DELTA_LOG_FOLDER "/.00000000000000000002.json.x.tmp"));
    delta_close(t);
}

/* ---- compaction ---- */

static void test_compaction(void **state)
{
    (void)state;
    struct delta_table *t =
        open_new((struct delta_options){.append_only = true, .partition_column = "table"});
    for (int i = 0; i < 6; i++) {
        append(t, i * 10, i * 10 + 5, "a");
        append(t, i * 10 + 5, i * 10 + 10, "b");
    }
    append(t, 1000, 1100, "a"); /* large already */
    size_t merged;
    unit_ok(delta_compact_append_only(t, conn, 13, 100, &merged, &err));
    assert_int_equal(merged, 0);
    unit_ok(delta_compact_append_only(t, conn, 4, 100, &merged, &err));
    assert_int_equal(merged, 12);
    assert_int_equal(delta_file_count(t), 3);
    assert_int_equal(delta_row_count(t), 160);
    assert_select(t, "`table`, count(), sum(id), uniqExact(id)", "GROUP BY 1 ORDER BY 1",
                  "a\t130\t105760\t130\nb\t30\t960\t30\n");
    for (size_t i = 0; i < 3; i++) {
        const struct delta_file *f = delta_file_at(t, i);
        if (!f->partition || strcmp(f->partition, "b")) continue;
        struct buf path = {0};
        delta_put_file_path(t, f, &path);
        char *order = answer("SELECT arraySort(groupArray(id)) = groupArray(id) FROM file('%s', 'Parquet')",
                             buf_text(&path));
        assert_string_equal(order, "1\n");
        mem_free(order);
        buf_free(&path);
        assert_non_null(strstr(f->stats, "\"minValues\":{\"id\":5,"));
    }
    struct delta_history_entry e;
    unit_ok(delta_history(t, delta_version(t), &e, &err));
    assert_int_equal(e.added_count, 0); /* nothing new for readers of the history */
    assert_string_equal(e.operation, "OPTIMIZE");
    delta_history_free(&e);
    delta_close(t);
}

/* Another process appends all the while: no row is lost or doubled. */
static void test_compaction_races_appends(void **state)
{
    (void)state;
    enum { COMMITS = 60 };
    struct delta_table *t = open_new((struct delta_options){.append_only = true});
    append(t, 0, 10, NULL);
    struct delta_file again;
    delta_file_copy(&again, delta_file_at(t, 0));
    char *source = store_path(t->store, again.path);
    pid_t child = fork();
    if (child == 0) { /* no engine here: copies of one file under new names */
        struct delta_table *other;
        struct buf bytes = {0};
        if (!delta_open(&other, lake, delta_name(t), &err) || !file_read(source, &bytes, &err)) _exit(1);
        for (int i = 1; i < COMMITS; i++) {
            mem_free(again.path);
            again.path = delta_new_file_name(NULL, DELTA_SMALL);
            struct delta_commit *c = delta_commit_begin(other, "WRITE");
            delta_commit_add(c, &again, true);
            if (!store_write(other->store, again.path, buf_slice(&bytes), &err) ||
                !delta_commit_finish(c, NULL, &err))
                _exit(2);
        }
        _exit(0);
    }
    int status = 0;
    size_t merged, all = 0;
    pid_t ended = 0;
    while (ended == 0) {
        ended = waitpid(child, &status, WNOHANG);
        unit_ok(delta_compact_append_only(t, conn, 2, 1000000, &merged, &err));
        all += merged;
    }
    assert_int_equal(ended, child);
    assert_int_equal(status, 0);
    assert_true(all >= COMMITS - 2);
    assert_int_equal(delta_row_count(t), COMMITS * 10);
    assert_true(delta_file_count(t) <= 3);
    assert_select(t, "count(), sum(id)", "", "600\t2700\n");
    delta_file_free(&again);
    mem_free(source);
    delta_close(t);
}

/* Many small flushes, merged all along: the files stay few, and each row is rewritten a few times only. */
static void test_compaction_is_frugal(void **state)
{
    (void)state;
    enum { FLUSHES = 120, ROWS = 10, FILES = 6 };
    struct delta_table *t = open_new((struct delta_options){.append_only = true});
    int64_t rewritten = 0;
    for (int i = 0; i < FLUSHES; i++) {
        append(t, i * ROWS, (i + 1) * ROWS, NULL);
        size_t merged;
        int64_t before = delta_version(t);
        unit_ok(delta_compact_append_only(t, conn, FILES, 1000000, &merged, &err));
        assert_true(delta_file_count(t) <= FILES);
        for (size_t f = 0; f < delta_file_count(t); f++)
            if (delta_file_at(t, f)->added_version > before) rewritten += delta_file_at(t, f)->rows;
    }
    assert_int_equal(delta_row_count(t), FLUSHES * ROWS);
    assert_true(rewritten > 0 && rewritten < FLUSHES * ROWS * 6);
    assert_select(t, "count(), sum(id)", "", "1200\t719400\n");
    delta_close(t);
}

int main(int argc, char **argv)
{
    if (!getcwd(started_in, sizeof started_in)) return 1;
    if (argc == 4) return checkpoint_elsewhere(argv[1], argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_rows_of_wrong_shape),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_bounds_keep_rows),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_checkpoint_plain),
        cmocka_unit_test(test_checkpoint_with_vectors),
        cmocka_unit_test(test_checkpoint_shape),
        cmocka_unit_test(test_last_checkpoint),
        cmocka_unit_test(test_passed_by),
        cmocka_unit_test(test_kill_at_checkpoint),
        cmocka_unit_test(test_compaction_is_frugal),
        cmocka_unit_test(test_upkeep),
        cmocka_unit_test(test_temporary_files),
        cmocka_unit_test(test_compaction),
        cmocka_unit_test(test_compaction_races_appends),
    };
    program = unit_program(argv[0]);
    if (!program) return 1;
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    free(program);
    return failed;
}
