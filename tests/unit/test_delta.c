/* The Delta log without the engine: creating, committing, racing, dying, conflicts, statistics. Data
 * files are stand-ins: the log does not look inside. What needs Parquet is in test_delta_parquet.c. */
#include "unit.h"

#include "lake/delta_int.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char *lake;
static struct error err;

static int set_up(void **state)
{
    (void)state;
    lake = unit_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unit_folder_remove(lake);
    return 0;
}

static struct delta_table *open_table(struct delta_options options)
{
    struct columns columns = {0};
    struct delta_table *t;
    columns_add(&columns, "id", COLUMN_LONG, 0, 0, false);
    columns_add(&columns, "table", COLUMN_STRING, 0, 0, true);
    unit_ok(delta_open_or_create(&t, lake, "bronze/changes", &columns, &options, &err));
    columns_free(&columns);
    return t;
}

static struct delta_table *open_plain(void)
{
    return open_table((struct delta_options){0});
}

static struct delta_table *open_vectors(void)
{
    return open_table((struct delta_options){.deletion_vectors = true});
}

/* A stand-in for a Parquet file of n rows, on disk. */
static struct delta_file make_file(struct delta_table *t, int64_t rows)
{
    char *name = delta_new_file_name(NULL, DELTA_SMALL);
    struct delta_file f = {.path = name,
                           .rows = rows,
                           .size_bytes = 4,
                           .modification_ms = delta_now_ms(),
                           .stats =
                               mem_format("{\"numRecords\":%lld,\"tightBounds\":true}", (long long)rows)};
    unit_ok(store_write(t->store, name, SLICE("PAR1"), &err));
    return f;
}

static bool append(struct delta_table *t, const char *app_id, int64_t position, int64_t *version)
{
    struct delta_file f = make_file(t, 10);
    struct delta_commit *c = delta_commit_begin(t, "STREAMING UPDATE");
    delta_commit_add(c, &f, true);
    if (app_id) delta_commit_txn(c, app_id, position);
    bool ok = delta_commit_finish(c, version, &err);
    delta_file_free(&f);
    return ok;
}

static char *read_log(int64_t version)
{
    struct buf text = {0};
    char *path = mem_format("%s/bronze/changes/_delta_log/%020lld.json", lake, (long long)version);
    unit_ok(file_read(path, &text, &err));
    mem_free(path);
    return buf_take(&text);
}

static void write_log(int64_t version, const char *text)
{
    char *path = mem_format("%s/bronze/changes/_delta_log/%020lld.json", lake, (long long)version);
    unit_ok(file_write_new(path, slice_of(text), &err));
    mem_free(path);
}

static void assert_log_has(int64_t version, const char *part)
{
    char *text = read_log(version);
    if (!strstr(text, part)) fail_msg("no %s in %s", part, text);
    mem_free(text);
}

static void assert_log_lacks(int64_t version, const char *part)
{
    char *text = read_log(version);
    if (strstr(text, part)) fail_msg("%s in %s", part, text);
    mem_free(text);
}

/* ---- creating ---- */

static void test_create(void **state)
{
    (void)state;
    assert_false(delta_exists(lake, "bronze/changes"));
    struct delta_table *t = open_table((struct delta_options){.partition_column = "table",
                                                              .append_only = true,
                                                              .checkpoint_commits = 100,
                                                              .log_retention_s = 3600,
                                                              .tombstone_retention_s = 7200});
    assert_true(delta_exists(lake, "bronze/changes"));
    assert_int_equal(delta_version(t), 0);
    assert_int_equal(delta_columns(t)->count, 2);
    assert_int_equal(delta_file_columns(t)->count, 1);
    assert_int_equal(t->now.checkpoint_commits, 100);
    assert_int_equal(t->now.log_retention_ms, 3600000);
    assert_int_equal(t->now.tombstone_retention_ms, 7200000);
    assert_true(t->now.append_only);
    assert_log_has(0, "\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}");
    assert_log_has(0, "\"format\":{\"provider\":\"parquet\",\"options\":{}}");
    assert_log_has(0, "\"partitionColumns\":[\"table\"]");
    assert_log_has(0, "\"delta.logRetentionDuration\":\"interval 3600 seconds\"");
    assert_log_has(0, "\\\"type\\\":\\\"long\\\",\\\"nullable\\\":false,\\\"metadata\\\":{}");
    delta_close(t);

    t = open_plain(); /* is there already: opened as it is */
    assert_true(t->now.append_only);
    assert_int_equal(delta_version(t), 0);
    delta_close(t);
}

static void test_create_with_vectors(void **state)
{
    (void)state;
    struct delta_table *t = open_vectors();
    assert_true(t->now.deletion_vectors);
    assert_log_has(
        0, "{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[\"deletionVectors\"],"
           "\"writerFeatures\":[\"deletionVectors\",\"appendOnly\",\"invariants\"]}");
    delta_close(t);
}

static void test_names_differing_in_case_refused(void **state)
{
    (void)state;
    struct columns columns = {0};
    struct delta_table *t;
    columns_add(&columns, "id", COLUMN_LONG, 0, 0, true);
    columns_add(&columns, "ID", COLUMN_LONG, 0, 0, true);
    assert_false(delta_open_or_create(&t, lake, "x", &columns, &(struct delta_options){0}, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    columns_free(&columns);
}

/* ---- committing ---- */

static void test_append_and_history(void **state)
{
    (void)state;
    struct delta_table *t = open_plain(), *other;
    int64_t version;
    struct delta_file f = make_file(t, 10);
    struct delta_commit *c = delta_commit_begin(t, "STREAMING UPDATE");
    char *id = mem_text(delta_commit_id(c));
    delta_commit_add(c, &f, true);
    delta_commit_txn(c, "millrace.bronze", INT64_C(9007199254740993)); /* no double holds this */
    delta_commit_user_metadata(c, "{\"end_lsn\":\"0/16B3748\"}");
    unit_ok(delta_commit_finish(c, &version, &err));
    assert_int_equal(version, 1);
    assert_int_equal(delta_version(t), 1);
    assert_int_equal(delta_file_count(t), 1);
    assert_int_equal(delta_row_count(t), 10);
    assert_log_has(1, "\"isBlindAppend\":true");
    assert_log_has(1, "\"partitionValues\":{}");

    unit_ok(delta_open(&other, lake, "bronze/changes", &err));
    assert_int_equal(delta_txn(other, "millrace.bronze"), INT64_C(9007199254740993));
    assert_int_equal(delta_txn(other, "millrace.other"), -1);
    const struct delta_file *found = delta_file_find(other, f.path);
    assert_non_null(found);
    assert_int_equal(found->rows, 10);
    assert_int_equal(found->added_version, 1);
    assert_string_equal(found->stats, f.stats);

    struct delta_history_entry e;
    unit_ok(delta_history(t, 1, &e, &err));
    assert_string_equal(e.operation, "STREAMING UPDATE");
    assert_string_equal(e.user_metadata, "{\"end_lsn\":\"0/16B3748\"}");
    assert_string_equal(e.commit_id, id);
    assert_int_equal(e.added_count, 1);
    assert_string_equal(e.added[0].path, f.path);
    assert_int_equal(e.txn_count, 1);
    assert_int_equal(e.txns[0].version, INT64_C(9007199254740993));
    assert_true(e.timestamp_ms > INT64_C(1600000000000));
    delta_history_free(&e);
    delta_history_free(&e);
    assert_false(delta_history(t, 2, &e, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    mem_free(id);
    delta_file_free(&f);
    delta_close(other);
    delta_close(t);
}

static void test_past_versions(void **state)
{
    (void)state;
    struct delta_table *t = open_plain(), *past;
    int64_t position;
    for (int i = 1; i <= 3; i++)
        unit_ok(append(t, "app", i * 10, NULL));
    unit_ok(delta_open_at(&past, lake, "bronze/changes", 2, &err));
    assert_int_equal(delta_version(past), 2);
    assert_int_equal(delta_file_count(past), 2);
    unit_ok(delta_refresh(past, &err));
    assert_int_equal(delta_version(past), 2);
    assert_false(append(past, NULL, 0, NULL));
    assert_int_equal(err.kind, ERROR_CONFIG);
    delta_close(past);
    unit_ok(delta_txn_at(lake, "bronze/changes", "app", 1, &position, &err));
    assert_int_equal(position, 10);
    unit_ok(delta_txn_at(lake, "bronze/changes", "app", 0, &position, &err));
    assert_int_equal(position, -1);
    assert_false(delta_txn_at(lake, "bronze/changes", "app", 4, &position, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    delta_close(t);
}

static void test_partition_values(void **state)
{
    (void)state;
    struct delta_table *t = open_table((struct delta_options){.partition_column = "table"});
    struct delta_file a = make_file(t, 1), b = make_file(t, 2);
    a.partition = mem_text("public.orders");
    struct delta_commit *c = delta_commit_begin(t, "WRITE");
    delta_commit_add(c, &a, true);
    delta_commit_add(c, &b, true);
    unit_ok(delta_commit_finish(c, NULL, &err));
    assert_log_has(1, "\"partitionValues\":{\"table\":\"public.orders\"}");
    assert_log_has(1, "\"partitionValues\":{\"table\":null}");
    unit_ok(delta_load(t, &err));
    assert_string_equal(delta_file_find(t, a.path)->partition, "public.orders");
    assert_null(delta_file_find(t, b.path)->partition);
    delta_file_free(&a);
    delta_file_free(&b);
    delta_close(t);
}

/* A vector on a file: one logical file lives on, three times; the last delete leaves a remove only. */
static void test_vectors_of_one_file(void **state)
{
    (void)state;
    struct delta_table *t = open_vectors();
    int64_t version;
    unit_ok(append(t, NULL, 0, &version));
    char *path = mem_text(delta_file_at(t, 0)->path);
    uint32_t rows[10] = {0};
    for (uint32_t n = 1; n <= 3; n++) {
        rows[n - 1] = n * 2;
        struct delta_file after;
        delta_file_copy(&after, delta_file_find(t, path));
        struct delta_dv before = after.dv;
        unit_ok(delta_write_vectors(t, &(struct delta_positions){rows, n}, 1, &after.dv, &err));
        struct delta_commit *c = delta_commit_begin(t, "MERGE");
        delta_commit_remove(c, delta_file_find(t, path), true);
        delta_commit_add(c, &after, true);
        unit_ok(delta_commit_finish(c, &version, &err));
        if (before.type) {
            char *line = read_log(version);
            char *remove = strstr(line, "{\"remove\"");
            *strchr(remove, '\n') = '\0';
            assert_non_null(strstr(remove, before.path_or_inline));
            mem_free(line);
        }
        mem_free(before.path_or_inline);
        delta_file_free(&after);
        assert_log_has(version, "\\\"numRecords\\\":10,\\\"tightBounds\\\":false");
        assert_int_equal(delta_file_count(t), 1);
        assert_int_equal(delta_row_count(t), 10 - (int64_t)n);
    }
    uint32_t *got;
    size_t count;
    unit_ok(delta_load(t, &err));
    unit_ok(delta_read_vector(t, &delta_file_find(t, path)->dv, &got, &count, &err));
    assert_int_equal(count, 3);
    assert_int_equal(got[0], 2);
    assert_int_equal(got[2], 6);
    mem_free(got);

    struct delta_file after;
    for (uint32_t i = 0; i < 10; i++)
        rows[i] = i;
    delta_file_copy(&after, delta_file_find(t, path));
    mem_free(after.dv.path_or_inline);
    unit_ok(delta_write_vectors(t, &(struct delta_positions){rows, 10}, 1, &after.dv, &err));
    struct delta_commit *c = delta_commit_begin(t, "MERGE");
    delta_commit_remove(c, delta_file_find(t, path), true);
    delta_commit_add(c, &after, true);
    unit_ok(delta_commit_finish(c, &version, &err));
    assert_log_lacks(version, "{\"add\"");
    assert_int_equal(delta_file_count(t), 0);
    delta_file_free(&after);
    mem_free(path);
    delta_close(t);
}

/* Several vectors of one commit share a file; each is found again. */
static void test_vectors_share_a_file(void **state)
{
    (void)state;
    struct delta_table *t = open_vectors();
    static const uint32_t a[] = {1, 5}, b[] = {0, 70000, 70001};
    struct delta_dv dv[2];
    uint32_t *got;
    size_t count;
    unit_ok(delta_write_vectors(t, (struct delta_positions[]){{a, 2}, {b, 3}}, 2, dv, &err));
    assert_string_equal(dv[0].path_or_inline, dv[1].path_or_inline);
    assert_int_equal(dv[0].offset, 1);
    assert_int_equal(dv[1].offset, 1 + 4 + dv[0].size_bytes + 4);
    unit_ok(delta_read_vector(t, &dv[1], &got, &count, &err));
    assert_int_equal(count, 3);
    assert_int_equal(got[2], 70001);
    mem_free(got);
    dv[1].cardinality = 4;
    assert_false(delta_read_vector(t, &dv[1], &got, &count, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    mem_free(dv[0].path_or_inline);
    mem_free(dv[1].path_or_inline);
    struct delta_dv inline_dv = {.type = 'i',
                                 .offset = -1,
                                 .size_bytes = 44,
                                 .cardinality = 6,
                                 .path_or_inline =
                                     "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L"};
    unit_ok(delta_read_vector(t, &inline_dv, &got, &count, &err));
    assert_int_equal(count, 6);
    assert_int_equal(got[5], 29);
    mem_free(got);
    delta_close(t);
}

static void test_append_only_refuses_removes(void **state)
{
    (void)state;
    struct delta_table *t = open_table((struct delta_options){.append_only = true});
    unit_ok(append(t, NULL, 0, NULL));
    struct delta_commit *c = delta_commit_begin(t, "DELETE");
    delta_commit_remove(c, delta_file_at(t, 0), true);
    assert_false(delta_commit_finish(c, NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    delta_close(t);
}

/* A file cannot be added with a vector while its old state lives, nor a missing state be removed. */
static void test_second_life_refused(void **state)
{
    (void)state;
    struct delta_table *t = open_vectors();
    static const uint32_t rows[] = {1};
    unit_ok(append(t, NULL, 0, NULL));
    struct delta_file f;
    delta_file_copy(&f, delta_file_at(t, 0));
    unit_ok(delta_write_vectors(t, &(struct delta_positions){rows, 1}, 1, &f.dv, &err));
    struct delta_commit *c = delta_commit_begin(t, "MERGE");
    delta_commit_add(c, &f, true);
    assert_false(delta_commit_finish(c, NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    c = delta_commit_begin(t, "MERGE");
    delta_commit_remove(c, &f, true);
    assert_false(delta_commit_finish(c, NULL, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(delta_version(t), 1);
    delta_file_free(&f);
    delta_close(t);
}

static void test_new_columns(void **state)
{
    (void)state;
    struct delta_table *t = open_plain(), *other;
    struct columns columns = {0};
    char *id = mem_text(t->now.metadata.id);
    columns_copy(&columns, delta_columns(t));
    columns_add(&columns, "amount", COLUMN_DECIMAL, 12, 2, true);
    struct delta_commit *c = delta_commit_begin(t, "ADD COLUMNS");
    delta_commit_columns(c, &columns);
    unit_ok(delta_commit_finish(c, NULL, &err));
    assert_true(columns_equal(delta_columns(t), &columns));
    unit_ok(delta_open(&other, lake, "bronze/changes", &err));
    assert_true(columns_equal(delta_columns(other), &columns));
    assert_string_equal(other->now.metadata.id, id);
    mem_free(id);
    columns_free(&columns);
    delta_close(other);
    delta_close(t);
}

/* ---- conflicts ---- */

static void test_appends_pass_each_other(void **state)
{
    (void)state;
    struct delta_table *a = open_plain(), *b = open_plain();
    int64_t version;
    unit_ok(append(a, "a", 1, &version));
    unit_ok(append(b, "b", 1, &version));
    assert_int_equal(version, 2);
    assert_int_equal(delta_version(b), 2);
    assert_int_equal(delta_file_count(b), 2);
    unit_ok(delta_refresh(a, &err));
    assert_int_equal(delta_txn(a, "b"), 1);
    delta_close(a);
    delta_close(b);
}

/* The same batch from two writers, or again after a lost answer: its rows are there once. */
static void test_same_input_conflicts(void **state)
{
    (void)state;
    struct delta_table *a = open_plain(), *b = open_plain();
    unit_ok(append(a, "millrace.bronze", 7, NULL));
    assert_false(append(b, "millrace.bronze", 7, NULL));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(delta_txn(b, "millrace.bronze"), 7); /* the handle is fresh: skip */
    assert_int_equal(delta_file_count(b), 1);
    delta_close(a);
    delta_close(b);
}

static bool overwrite(struct delta_table *t)
{
    struct delta_file f = make_file(t, 1);
    struct delta_commit *c = delta_commit_begin(t, "WRITE");
    for (size_t i = 0; i < delta_file_count(t); i++)
        delta_commit_remove(c, delta_file_at(t, i), true);
    delta_commit_add(c, &f, true);
    bool ok = delta_commit_finish(c, NULL, &err);
    delta_file_free(&f);
    return ok;
}

static void test_removes_conflict_with_adds(void **state)
{
    (void)state;
    struct delta_table *a = open_plain(), *b = open_plain();
    unit_ok(append(a, NULL, 0, NULL));
    unit_ok(delta_refresh(b, &err));
    unit_ok(append(a, NULL, 0, NULL));
    assert_false(overwrite(b));
    assert_int_equal(err.kind, ERROR_RETRY);
    unit_ok(overwrite(b)); /* planned again */
    assert_int_equal(delta_file_count(b), 1);
    unit_ok(append(a, NULL, 0, NULL)); /* a pure append passes removes */
    assert_int_equal(delta_file_count(a), 2);
    delta_close(a);
    delta_close(b);
}

/* The files of a large transaction are taken slice by slice, in the order of the log. */
static void test_adds_keep_their_order(void **state)
{
    enum { FILES = 40 };
    (void)state;
    struct delta_table *t = open_plain();
    struct delta_commit *c = delta_commit_begin(t, "WRITE");
    char *paths[FILES];
    for (int i = 0; i < FILES; i++) {
        struct delta_file f = make_file(t, 1);
        paths[i] = mem_text(f.path);
        delta_commit_add(c, &f, true);
        delta_file_free(&f);
    }
    int64_t version;
    struct delta_history_entry entry;
    unit_ok(delta_commit_finish(c, &version, &err));
    unit_ok(delta_history(t, version, &entry, &err));
    assert_int_equal(entry.added_count, FILES);
    for (int i = 0; i < FILES; i++) {
        assert_string_equal(entry.added[i].path, paths[i]);
        mem_free(paths[i]);
    }
    delta_history_free(&entry);
    delta_close(t);
}

static void test_compaction_passes_appends_only(void **state)
{
    (void)state;
    struct delta_table *a = open_plain(), *b = open_plain();
    unit_ok(append(a, NULL, 0, NULL));
    unit_ok(append(a, NULL, 0, NULL));
    unit_ok(delta_refresh(b, &err));
    for (int removed_too = 0; removed_too < 2; removed_too++) {
        struct delta_file merged = make_file(b, 20);
        struct delta_commit *c = delta_commit_begin(b, "OPTIMIZE");
        for (size_t i = 0; i < delta_file_count(b); i++)
            delta_commit_remove(c, delta_file_at(b, i), false);
        delta_commit_add(c, &merged, false);
        if (removed_too)
            unit_ok(overwrite(a));
        else
            unit_ok(append(a, NULL, 0, NULL));
        assert_int_equal(delta_commit_finish(c, NULL, &err), !removed_too);
        delta_file_free(&merged);
        unit_ok(delta_refresh(a, &err));
        assert_int_equal(delta_file_count(a), removed_too ? 1 : 2);
        assert_int_equal(delta_file_count(b), removed_too ? 1 : 2);
    }
    delta_close(a);
    delta_close(b);
}

static void test_read_all_is_exact(void **state)
{
    (void)state;
    struct delta_table *a = open_plain(), *b = open_plain();
    struct delta_commit *c = delta_commit_begin(b, "MERGE");
    delta_commit_read_all(c);
    delta_commit_txn(c, "silver", 3);
    unit_ok(append(a, NULL, 0, NULL));
    assert_false(delta_commit_finish(c, NULL, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    c = delta_commit_begin(b, "MERGE");
    delta_commit_read_all(c);
    delta_commit_txn(c, "silver", 3);
    int64_t version;
    unit_ok(delta_commit_finish(c, &version, &err));
    assert_int_equal(version, 2);
    assert_log_has(2, "\"isBlindAppend\":false");
    delta_close(a);
    delta_close(b);
}

static void test_new_columns_elsewhere_conflict(void **state)
{
    (void)state;
    struct delta_table *a = open_plain(), *b = open_plain();
    struct columns columns = {0};
    columns_copy(&columns, delta_columns(a));
    columns_add(&columns, "more", COLUMN_STRING, 0, 0, true);
    struct delta_commit *c = delta_commit_begin(a, "ADD COLUMNS");
    delta_commit_columns(c, &columns);
    unit_ok(delta_commit_finish(c, NULL, &err));
    assert_false(append(b, NULL, 0, NULL));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(delta_columns(b)->count, 3);
    columns_free(&columns);
    delta_close(a);
    delta_close(b);
}

/* ---- processes ---- */

static void race(int writer, int commits)
{
    struct delta_table *t = open_plain();
    char *app_id = mem_format("writer%d", writer);
    for (int i = 1; i <= commits; i++)
        if (!append(t, app_id, i, NULL)) _exit(1);
    mem_free(app_id);
    delta_close(t);
    _exit(0);
}

/* Each commit of each process takes a version of its own and none is lost. */
static void test_processes_race(void **state)
{
    (void)state;
    enum { WRITERS = 3, COMMITS = 100 };
    delta_close(open_plain());
    pid_t children[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        children[w] = fork();
        if (children[w] == 0) race(w, COMMITS);
    }
    for (int w = 0; w < WRITERS; w++) {
        int status;
        assert_int_equal(waitpid(children[w], &status, 0), children[w]);
        assert_int_equal(status, 0);
    }
    struct delta_table *t = open_plain();
    assert_int_equal(delta_version(t), WRITERS * COMMITS);
    assert_int_equal(delta_file_count(t), WRITERS * COMMITS);
    assert_int_equal(delta_row_count(t), WRITERS * COMMITS * 10);
    assert_int_equal(delta_txn(t, "writer2"), COMMITS);
    delta_close(t);
}

/* Creators race too: one table comes out of it. */
static void test_creators_race(void **state)
{
    (void)state;
    pid_t children[4];
    for (int w = 0; w < 4; w++) {
        children[w] = fork();
        if (children[w] == 0) race(w, 1);
    }
    for (int w = 0; w < 4; w++) {
        int status;
        assert_int_equal(waitpid(children[w], &status, 0), children[w]);
        assert_int_equal(status, 0);
    }
    struct delta_table *t = open_plain();
    assert_int_equal(delta_version(t), 4);
    delta_close(t);
}

static void die_committing(const char *point)
{
    pid_t child = fork();
    if (child == 0) {
        struct delta_table *t;
        if (!delta_open(&t, lake, "bronze/changes", &err)) _exit(1);
        setenv("MILLRACE_FAIL", point, 1);
        append(t, "millrace.bronze", 5, NULL);
        _exit(2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Killed before the link nothing is there, after it everything; the version is free or taken whole. */
static void test_kill_around_link(void **state)
{
    (void)state;
    struct delta_table *t = open_plain();
    die_committing("delta.before_link:1");
    unit_ok(delta_refresh(t, &err));
    assert_int_equal(delta_version(t), 0);
    assert_int_equal(delta_txn(t, "millrace.bronze"), -1);
    die_committing("delta.after_link:1");
    unit_ok(delta_refresh(t, &err));
    assert_int_equal(delta_version(t), 1);
    assert_int_equal(delta_txn(t, "millrace.bronze"), 5);
    unit_ok(append(t, NULL, 0, NULL));
    unit_ok(delta_load(t, &err));
    assert_int_equal(delta_version(t), 2);
    delta_close(t);
}

/* ---- reading what others write ---- */

static const char first_version[] =
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
    "{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\",\"options\":{}},\"schemaString\":"
    "\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"long\\\","
    "\\\"nullable\\\":true,\\\"metadata\\\":{\\\"comment\\\":\\\"kept\\\"}}]}\",\"partitionColumns\":[],"
    "\"configuration\":{}}}\n";

static void make_log(const char *version0)
{
    char *folder = mem_format("%s/bronze/changes/_delta_log", lake);
    unit_ok(file_make_dirs(folder, &err));
    mem_free(folder);
    write_log(0, version0);
}

/* CRLF, blank lines, unknown actions, no final newline, add before its remove in one commit. */
static void test_other_writers(void **state)
{
    (void)state;
    struct delta_table *t;
    make_log(first_version);
    write_log(
        1, "{\"add\":{\"path\":\"a%20b.parquet\",\"partitionValues\":{},\"size\":1,\"modificationTime\":2,"
           "\"dataChange\":true,\"tags\":{\"k\":\"v\"},\"new\":{\"x\":1}}}\r\n\r\n{\"strange\":{}}");
    write_log(
        2, "{\"add\":{\"path\":\"a%20b.parquet\",\"partitionValues\":{},\"size\":1,\"modificationTime\":2,"
           "\"dataChange\":true,\"deletionVector\":{\"storageType\":\"u\",\"pathOrInlineDv\":"
           "\"^-aqEH.-t@S}K{vb[*k^\",\"offset\":1,\"sizeInBytes\":34,\"cardinality\":1}}}\n"
           "{\"remove\":{\"path\":\"a%20b.parquet\",\"deletionTimestamp\":1,\"dataChange\":true}}\n");
    unit_ok(delta_open(&t, lake, "bronze/changes", &err));
    assert_int_equal(delta_version(t), 2);
    assert_int_equal(delta_file_count(t), 1);
    const struct delta_file *f = delta_file_at(t, 0);
    assert_int_equal(f->dv.type, 'u');
    assert_int_equal(f->rows, -1);
    assert_int_equal(t->now.tombstones.count, 1);
    struct buf path = {0};
    delta_put_file_path(t, f, &path);
    assert_non_null(strstr(buf_text(&path), "/bronze/changes/a b.parquet"));
    buf_free(&path);
    char *vector = delta_vector_name(&f->dv);
    assert_string_equal(vector, "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin");
    mem_free(vector);
    delta_close(t);
}

static void test_column_metadata_is_carried(void **state)
{
    (void)state;
    struct delta_table *t;
    struct columns columns = {0};
    make_log(first_version);
    unit_ok(delta_open(&t, lake, "bronze/changes", &err));
    columns_copy(&columns, delta_columns(t));
    columns_add(&columns, "b", COLUMN_DATE, 0, 0, true);
    struct delta_commit *c = delta_commit_begin(t, "ADD COLUMNS");
    delta_commit_columns(c, &columns);
    unit_ok(delta_commit_finish(c, NULL, &err));
    assert_log_has(1, "\\\"comment\\\":\\\"kept\\\"");
    columns_free(&columns);
    delta_close(t);
}

static void assert_refused(const char *version0, enum error_kind kind, const char *text)
{
    struct delta_table *t;
    make_log(version0);
    assert_false(delta_open(&t, lake, "bronze/changes", &err));
    assert_int_equal(err.kind, kind);
    if (!strstr(err.text, text)) fail_msg("%s", err.text);
    char *folder = mem_format("%s/bronze", lake);
    unit_ok(file_remove_tree(folder, &err));
    mem_free(folder);
}

static char *with_protocol(const char *protocol)
{
    return mem_format("%s%s", protocol, strchr(first_version, '\n'));
}

static void test_unknown_features(void **state)
{
    (void)state;
    struct delta_table *t;
    char *text =
        with_protocol("{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"
                      "\"readerFeatures\":[\"typeWidening\"],\"writerFeatures\":[\"typeWidening\"]}}");
    assert_refused(text, ERROR_CONFIG, "typeWidening");
    mem_free(text);
    text = with_protocol("{\"protocol\":{\"minReaderVersion\":4,\"minWriterVersion\":8}}");
    assert_refused(text, ERROR_CONFIG, "reader version 4");
    mem_free(text);
    /* An unknown writer feature stops the writer, not the reader. */
    text = with_protocol("{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,"
                         "\"writerFeatures\":[\"changeDataFeed\"]}}");
    make_log(text);
    mem_free(text);
    unit_ok(delta_open(&t, lake, "bronze/changes", &err));
    assert_false(append(t, NULL, 0, NULL));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "changeDataFeed"));
    delta_close(t);
}

static void test_damaged_logs(void **state)
{
    (void)state;
    struct delta_table *t;
    assert_refused("{\"protocol\":{\"minReaderV", ERROR_DATA, "line 1");
    assert_refused("", ERROR_DATA, "no protocol");
    make_log(first_version);
    write_log(2, "{\"commitInfo\":{}}\n"); /* version 1 is missing */
    assert_false(delta_open(&t, lake, "bronze/changes", &err));
    assert_non_null(strstr(err.text, "version 1 is missing"));
    write_log(1, "{\"commitInfo\":{}}\n");
    unit_ok(delta_open(&t, lake, "bronze/changes", &err));
    assert_int_equal(delta_version(t), 2);
    write_log(3, "{\"add\":"); /* no writer that keeps the rules leaves this */
    assert_false(delta_refresh(t, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    delta_close(t);
}

/* ---- statistics ---- */

static void assert_stats(const struct columns *columns, struct slice rows, const char *expected)
{
    struct delta_stats *s = delta_stats_new(columns);
    struct buf out = {0};
    unit_ok(delta_stats_rows(s, rows, &err));
    delta_stats_put(s, true, &out);
    assert_string_equal(buf_text(&out), expected);
    json_t *parsed = json_loads(buf_text(&out), JSON_ALLOW_NUL, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    buf_free(&out);
    delta_stats_free(s);
}

static void assert_string_bounds(const char *value, const char *min, const char *max)
{
    struct columns columns = {0};
    struct buf rows = {0};
    columns_add(&columns, "s", COLUMN_STRING, 0, 0, false);
    buf_put_string(&rows, slice_of(value));
    char *low = min ? mem_format("\"s\":%s", min) : mem_text("");
    char *high = max ? mem_format("\"s\":%s", max) : mem_text("");
    char *expected = mem_format("{\"numRecords\":1,\"minValues\":{%s},\"maxValues\":{%s},"
                                "\"nullCount\":{\"s\":0},\"tightBounds\":true}",
                                low, high);
    assert_stats(&columns, buf_slice(&rows), expected);
    mem_free(low);
    mem_free(high);
    mem_free(expected);
    buf_free(&rows);
    columns_free(&columns);
}

#define A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TOP "\xF4\x8F\xBF\xBF" /* U+10FFFF */
#define TOP32                                                                                              \
    TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP    \
        TOP TOP TOP TOP TOP TOP TOP

static void test_string_statistics(void **state)
{
    (void)state;
    assert_string_bounds("", "\"\"", "\"\"");
    assert_string_bounds(A32, "\"" A32 "\"", "\"" A32 "\"");
    assert_string_bounds(A32 "b", "\"" A32 "\"", "\"" A32 "\x7F\"");
    assert_string_bounds(A32 "\x7F", "\"" A32 "\"", "\"" A32 TOP "\"");
    assert_string_bounds(A32 "\xC3\xA9", "\"" A32 "\"", "\"" A32 TOP "\"");
    assert_string_bounds(A32 "\xEF\xBF\xBF", "\"" A32 "\"", "\"" A32 TOP "\"");
    assert_string_bounds(A32 TOP "x", "\"" A32 "\"", "\"" A32 TOP "\x7F\"");
    assert_string_bounds(A32 TOP, "\"" A32 "\"", "\"" A32 TOP "\"");
    assert_string_bounds(TOP32 TOP32 "x", "\"" TOP32 "\"", "\"" TOP32 TOP32 "\x7F\"");
    assert_string_bounds(TOP32 TOP32 TOP "x", "\"" TOP32 "\"", NULL);
    assert_string_bounds("a\xFFz", NULL, NULL); /* not UTF-8 */
    assert_string_bounds("q\"\n", "\"q\\\"\\n\"", "\"q\\\"\\n\"");
}

static void put_double_bits(struct buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    buf_put_u64(b, bits);
}

static void test_number_statistics(void **state)
{
    (void)state;
    struct columns columns = {0};
    struct buf rows = {0};
    columns_add(&columns, "amount", COLUMN_DECIMAL, 10, 2, true);
    columns_add(&columns, "at", COLUMN_TIMESTAMP, 0, 0, false);
    columns_add(&columns, "day", COLUMN_DATE, 0, 0, false);
    columns_add(&columns, "zero", COLUMN_DOUBLE, 0, 0, false);
    columns_add(&columns, "nan", COLUMN_DOUBLE, 0, 0, false);
    columns_add(&columns, "flag", COLUMN_BOOLEAN, 0, 0, false);
    columns_add(&columns, "none", COLUMN_LONG, 0, 0, true);
    for (int i = 0; i < 2; i++) {
        buf_put_u8(&rows, 0);
        buf_put_u64(&rows, i ? 9950 : (uint64_t)INT64_C(-12345));
        buf_put_u64(&rows,
                    i ? UINT64_C(1767225600999999) : (uint64_t)INT64_C(-1)); /* before 1970, to the µs */
        buf_put_u32(&rows, i ? 2932896 : (uint32_t)-719162);                 /* 0001-01-01, 9999-12-31 */
        put_double_bits(&rows, 0.0);
        put_double_bits(&rows, i ? 1.5 : NAN);
        buf_put_u8(&rows, (uint8_t)i);
        buf_put_u8(&rows, 1);
    }
    assert_stats(
        &columns, buf_slice(&rows),
        "{\"numRecords\":2,\"minValues\":{\"amount\":-123.45,\"at\":\"1969-12-31T23:59:59.999Z\","
        "\"day\":\"0001-01-01\",\"zero\":-0.0},\"maxValues\":{\"amount\":99.50,"
        "\"at\":\"2026-01-01T00:00:01.000Z\",\"day\":\"9999-12-31\",\"zero\":0.0},"
        "\"nullCount\":{\"amount\":0,\"at\":0,\"day\":0,\"zero\":0,\"nan\":0,\"flag\":0,\"none\":2},"
        "\"tightBounds\":true}");
    struct delta_stats *s = delta_stats_new(&columns);
    assert_false(delta_stats_rows(s, (struct slice){rows.data, rows.len - 1}, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    delta_stats_free(s);
    buf_free(&rows);
    columns_free(&columns);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create),
        TEST(test_create_with_vectors),
        TEST(test_names_differing_in_case_refused),
        TEST(test_append_and_history),
        TEST(test_past_versions),
        TEST(test_partition_values),
        TEST(test_vectors_of_one_file),
        TEST(test_vectors_share_a_file),
        TEST(test_append_only_refuses_removes),
        TEST(test_second_life_refused),
        TEST(test_new_columns),
        TEST(test_appends_pass_each_other),
        TEST(test_same_input_conflicts),
        TEST(test_removes_conflict_with_adds),
        TEST(test_adds_keep_their_order),
        TEST(test_compaction_passes_appends_only),
        TEST(test_read_all_is_exact),
        TEST(test_new_columns_elsewhere_conflict),
        TEST(test_processes_race),
        TEST(test_creators_race),
        TEST(test_kill_around_link),
        TEST(test_other_writers),
        TEST(test_column_metadata_is_carried),
        TEST(test_unknown_features),
        TEST(test_damaged_logs),
        cmocka_unit_test(test_string_statistics),
        cmocka_unit_test(test_number_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
