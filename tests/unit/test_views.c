/* Views over the lake's tables: made once, follow new columns and a moved folder, count exactly. */
#include "engine_lab.h"

#include "format/dv.h"
#include "lake/views.h"

#include <sys/stat.h>

static char *home, *lake;
static struct engine_conn *conn;

static int set_up(void **state)
{
    (void)state;
    struct error err;
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

#define FIELD(name, type)                                                                                  \
    "{\\\"name\\\":\\\"" name "\\\",\\\"type\\\":\\\"" type                                                \
    "\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}"

static void put_metadata(struct buf *log, const char *fields)
{
    buf_printf(
        log,
        "{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
        "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[%s]}\",\"partitionColumns\":[],"
        "\"configuration\":{\"delta.enableDeletionVectors\":\"true\"},\"createdTime\":0}}\n",
        fields);
}

/* A table of 30 rows of which a deletion vector hides 6. */
static void write_table(const char *folder)
{
    static const uint32_t hidden[] = {3, 4, 7, 11, 18, 29};
    struct error err;
    struct buf log = {0}, vector = {0}, text = {0};
    struct stat info;
    char *logs = mem_format("%s/_delta_log", folder),
         *path = mem_format("%s/00000000000000000000.json", logs);
    char *file = mem_format("%s/a.parquet", folder);
    unit_ok(file_make_dirs(logs, &err));
    char *sql =
        mem_format("INSERT INTO FUNCTION file('%s', 'Parquet') SELECT number AS id FROM numbers(30)", file);
    unit_ok(engine_run(conn, sql, &err));
    assert_int_equal(stat(file, &info), 0);
    dv_encode(hidden, 6, &vector);
    z85_encode(buf_slice(&vector), &text);
    buf_put_text(&log,
                 "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"
                 "\"readerFeatures\":[\"deletionVectors\"],\"writerFeatures\":[\"deletionVectors\"]}}\n");
    put_metadata(&log, FIELD("id", "long"));
    buf_printf(
        &log,
        "{\"add\":{\"path\":\"a.parquet\",\"partitionValues\":{},\"size\":%lld,\"modificationTime\":0,"
        "\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":30}\",\"deletionVector\":{\"storageType\":"
        "\"i\","
        "\"pathOrInlineDv\":",
        (long long)info.st_size);
    buf_put_json(&log, buf_slice(&text));
    buf_printf(&log, ",\"sizeInBytes\":%zu,\"cardinality\":6}}}\n", vector.len);
    unit_ok(file_write_new(path, buf_slice(&log), &err));
    buf_free(&log);
    buf_free(&vector);
    buf_free(&text);
    mem_free(sql);
    mem_free(file);
    mem_free(path);
    mem_free(logs);
}

static int64_t number(const char *sql)
{
    struct error err;
    int64_t n = -1;
    unit_ok(engine_number(conn, sql, &n, &err));
    return n;
}

static void test_views(void **state)
{
    (void)state;
    struct error err;
    char *folder = mem_format("%s/gold/t", lake), *other = mem_format("%s/gold/not_a_table", lake);
    unit_ok(lake_views(conn, lake, &err)); /* an empty lake has its databases */
    assert_int_equal(
        number("SELECT count() FROM system.databases WHERE name IN ('bronze','silver','gold')"), 3);
    write_table(folder);
    unit_ok(file_make_dirs(other, &err));
    unit_ok(lake_views(conn, lake, &err));
    assert_int_equal(number("SELECT count() FROM system.tables WHERE database = 'gold'"), 1);
    assert_int_equal(number("SELECT count() FROM gold.t"), 24);
    assert_int_equal(number("SELECT count() FROM gold.t SETTINGS optimize_trivial_count_query = 1"), 24);
    assert_int_equal(number("SELECT sum(id) FROM gold.t"), 435 - 72);

    /* Nothing changed: the view is the same object. */
    int64_t made = number("SELECT cityHash64(uuid) % 1000000007 FROM system.tables WHERE name = 't'");
    unit_ok(lake_views(conn, lake, &err));
    assert_int_equal(number("SELECT cityHash64(uuid) % 1000000007 FROM system.tables WHERE name = 't'"),
                     made);

    struct buf log = {0};
    char *path = mem_format("%s/_delta_log/00000000000000000001.json", folder);
    put_metadata(&log, FIELD("id", "long") "," FIELD("later", "string"));
    unit_ok(file_write_new(path, buf_slice(&log), &err));
    unit_ok(lake_views(conn, lake, &err));
    assert_int_equal(number("SELECT count() FROM gold.t WHERE later IS NULL"), 24);
    buf_free(&log);
    mem_free(path);
    mem_free(folder);
    mem_free(other);
}

static void test_foreign_and_broken(void **state)
{
    (void)state;
    struct error err;
    char *taken = mem_format("%s/silver/taken", lake), *broken = mem_format("%s/silver/broken", lake);
    char *good = mem_format("%s/silver/good", lake), *bad_log = mem_format("%s/_delta_log", broken);
    write_table(taken);
    write_table(good);
    unit_ok(file_make_dirs(bad_log, &err));
    unit_ok(engine_run(conn, "CREATE DATABASE IF NOT EXISTS silver", &err));
    unit_ok(engine_run(conn, "CREATE TABLE silver.taken (x UInt8) ENGINE = Memory", &err));
    assert_false(lake_views(conn, lake, &err));
    assert_non_null(strstr(err.text, "silver.broken"));
    assert_int_equal(number("SELECT count() FROM silver.good"), 24);
    assert_int_equal(number("SELECT count() FROM system.tables WHERE name = 'taken' AND engine = 'Memory'"),
                     1);
    mem_free(taken);
    mem_free(broken);
    mem_free(good);
    mem_free(bad_log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_foreign_and_broken),
    };
    return cmocka_run_group_tests_name("views", tests, set_up, tear_down);
}
