/* Capture against a real PostgreSQL: the first copy, the stream, what is hard in both. */
#include "capture_lab.h"

static const char all_types[] =
    "CREATE TYPE mood AS ENUM ('sad', 'very happy'); CREATE DOMAIN amount AS numeric(8,2) CHECK (VALUE > "
    "-100);"
    "CREATE DOMAIN small_amount AS amount;"
    "CREATE TABLE types (id int PRIMARY KEY, b bool, i2 int2, i8 int8, o oid, f4 float4, f8 float8, n "
    "numeric,"
    " n2 numeric(10,2), m money, t text, vc varchar(10), c char(5), d date, ti time, ttz timetz, ts "
    "timestamp,"
    " tstz timestamptz, iv interval, u uuid, ip inet, bits bit(3), by bytea, j json, jb jsonb, e mood, dom "
    "amount,"
    " dom2 small_amount, r int4range, p point, ai int[], at text[], ab bool[], ae mood[], atz "
    "timestamptz[], aby bytea[],"
    " ad amount[], x xml, gen int GENERATED ALWAYS AS (id * 2) STORED, \"Odd \"\"Name\" text);"
    "INSERT INTO types VALUES (1, true, -3, 9223372036854775807, 4000000000, 0.1, 1e300, "
    "12345678901234567890.10,"
    " 1.50, '$1,234.50', E'tab\\t nl\\n cr\\r bs\\\\ \\\\N quote\" \\u00e7', '', 'ab', '2024-02-29', "
    "'23:59:59.5',"
    " '12:00:00+02', '2017-10-02 10:56:33', '2024-01-02 03:04:05.6+09', '1 year 2 mons -3 days 04:05:06.7',"
    " 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '10.0.0.1/8', B'101', '\\xdeadbeef', '{\"a\" : 1}', "
    "'{\"b\":[1,2]}',"
    " 'very happy', 3.10, 4.20, '[1,5)', '(1,2)', '{{1,2},{3,NULL}}', "
    "E'{a,\"b,\\\\\"c\",NULL,\"NULL\",\"\"}', '{t,f}',"
    " '{sad,\"very happy\"}', '{2024-01-01 00:00:00+00}', '{\"\\\\xff\"}', '{1.10,2.20}', '<a>1</a>', "
    "DEFAULT, 'odd'),"
    " (2, NULL, NULL, NULL, NULL, 'NaN', '-Infinity', 'NaN', NULL, NULL, NULL, NULL, NULL, 'infinity', "
    "'24:00:00', NULL,"
    " '-infinity', '0044-03-15 00:00:00+00 BC', NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, "
    "'empty', NULL,"
    " '{}', '[5:6]={x,y}', NULL, '{}', NULL, NULL, NULL, NULL, DEFAULT, NULL);";

/* A row must be the same bytes whether it is copied or streamed. */
static void test_types(void **state)
{
    (void)state;
    struct lab *lab = lab_open("types");
    lab_sql(lab->pg, all_types);
    lab_stream(lab);
    assert_int_equal(lab_count(lab, CHANGE_READ, "public.types"), 2);
    lab_sql(
        lab->pg,
        "CREATE TABLE spare AS SELECT * FROM types; ALTER TABLE spare DROP COLUMN gen; DELETE FROM types");
    lab_sql(lab->pg,
            "DO $$ BEGIN EXECUTE 'INSERT INTO types (' || (SELECT string_agg(quote_ident(attname), ', ' "
            "ORDER BY attnum)"
            " FROM pg_attribute WHERE attrelid = 'spare'::regclass AND attnum > 0 AND NOT attisdropped)"
            " || ') SELECT * FROM spare ORDER BY id'; END $$");
    for (size_t i = 0; i < 2; i++) {
        struct kept copied = lab_row(lab, CHANGE_READ, "public.types", i);
        struct kept streamed = lab_row(lab, CHANGE_CREATE, "public.types", i);
        assert_string_equal(copied.after, streamed.after);
        assert_string_equal(copied.key, streamed.key);
        assert_int_equal(copied.c.ordinal, 0);
        assert_int_equal(streamed.c.ordinal, i + 1);
    }
    struct kept one = lab_row(lab, CHANGE_READ, "public.types", 0);
    assert_string_equal(one.key, "{\"id\":1}");
    const char *const parts[] = {
        "{\"id\":1,\"b\":true,\"i2\":-3,\"i8\":9223372036854775807,\"o\":4000000000,\"f4\":0.1,\"f8\":1e+"
        "300,",
        "\"n\":\"12345678901234567890.10\",\"n2\":\"1.50\",\"m\":\"$1,234.50\",",
        "\"t\":\"tab\\t nl\\n cr\\r bs\\\\ \\\\N quote\\\" \xc3\xa7\",\"vc\":\"\",\"c\":\"ab   "
        "\",\"d\":\"2024-02-29\",",
        "\"ttz\":\"12:00:00+02\",\"ts\":\"2017-10-02 10:56:33\",\"tstz\":\"2024-01-01 18:04:05.6+00\",",
        "\"iv\":\"1 year 2 mons -3 days +04:05:06.7\"",
        "\"bits\":\"101\",\"by\":\"3q2+7w==\",\"j\":\"{\\\"a\\\" : 1}\",",
        "\"e\":\"very "
        "happy\",\"dom\":\"3.10\",\"dom2\":\"4.20\",\"r\":\"[1,5)\",\"p\":\"(1,2)\",\"ai\":[[1,2],[3,null]]"
        ",",
        "\"at\":[\"a\",\"b,\\\"c\",null,\"NULL\",\"\"],\"ab\":[true,false],\"ae\":[\"sad\",\"very "
        "happy\"],",
        "\"atz\":[\"2024-01-01 "
        "00:00:00+00\"],\"aby\":[\"/w==\"],\"ad\":[\"1.10\",\"2.20\"],\"x\":\"<a>1</a>\",",
        "\"Odd \\\"Name\":\"odd\"}",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(one.after, parts[i])) fail_msg("%s is not in %s", parts[i], one.after);
    assert_null(strstr(one.after, "\"gen\""));
    struct kept two = lab_row(lab, CHANGE_READ, "public.types", 1);
    assert_non_null(strstr(two.after, "\"f4\":\"NaN\",\"f8\":\"-Infinity\",\"n\":\"NaN\""));
    assert_non_null(strstr(two.after, "\"ai\":[],\"at\":[\"x\",\"y\"],\"ab\":null,\"ae\":[]"));
    assert_non_null(strstr(two.after, "\"tstz\":\"0044-03-15 00:00:00+00 BC\""));
    struct schema schema;
    struct error err = {0};
    unit_ok(schema_decode(slice_of(lab_row(lab, CHANGE_SCHEMA, "public.types", 0).after), &schema, &err));
    assert_string_equal(schema_find(&schema, SLICE("dom2"))->type, "numeric(8,2)");
    assert_int_equal(schema_find(&schema, SLICE("id"))->key, 1);
    assert_true(schema_find(&schema, SLICE("id"))->not_null);
    schema_free(&schema);
    struct kept removed = lab_row(lab, CHANGE_DELETE, "public.types", 0);
    assert_string_equal(removed.key, "{\"id\":1}");
    assert_null(removed.before);
    assert_null(removed.after);
    lab_close(lab);
}

/* Begin, schema, rows, complete, stream: in this order, with positions that sort in this order. */
static void test_brackets(void **state)
{
    (void)state;
    struct lab *lab = lab_open("brackets");
    lab_sql(lab->pg, "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 1000);"
                     "CREATE TABLE b (id int); CREATE TABLE c (x int, y int, z text, PRIMARY KEY (y, x));"
                     "INSERT INTO c VALUES (1, 2, 'z')");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO a VALUES (1001)");
    struct kept streamed = lab_row(lab, CHANGE_CREATE, "public.a", 0);
    assert_int_equal(lab_count(lab, 0, "public.b"), 0); /* no key: not published by itself */
    struct kept begin = lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.a", 0);
    struct kept row = lab_row(lab, CHANGE_READ, "public.a", 0),
                end = lab_row(lab, CHANGE_SNAPSHOT_COMPLETE, "public.a", 0);
    struct kept schema = lab_row(lab, CHANGE_SCHEMA, "public.a", 0);
    assert_string_equal(begin.key, "1");
    assert_string_equal(end.key, "1");
    assert_true(begin.c.lsn && begin.c.lsn < end.c.lsn);
    assert_int_equal(row.c.lsn, end.c.lsn);
    assert_int_equal(schema.c.lsn, end.c.lsn);
    assert_true(streamed.c.lsn >= end.c.lsn);
    assert_int_equal(row.c.epoch, 1);
    assert_int_equal(lab->flow.epoch, 1);
    assert_int_equal(lab_count(lab, CHANGE_READ, "public.a"), 1000);
    assert_non_null(strstr(begin.after,
                           "\"slot\":\"brackets\",\"publication\":\"brackets\",\"database\":\"brackets\""));
    assert_non_null(strstr(begin.after, "\"copy_id\":1,\"tables\":[\"public.a\",\"public.c\"]}"));
    assert_string_equal(lab_row(lab, CHANGE_READ, "public.c", 0).key, "{\"y\":2,\"x\":1}");
    lab_wait(lab_confirmed(lab) >= streamed.end_lsn);
    assert_true(lab_confirmed(lab) <= lab->flow.durable_lsn);
    lab_close(lab);
}

static void test_toast_and_identity(void **state)
{
    (void)state;
    struct lab *lab = lab_open("toast");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET "
                     "STORAGE EXTERNAL;"
                     "CREATE TABLE f (id int PRIMARY KEY, n int, big text); ALTER TABLE f ALTER big SET "
                     "STORAGE EXTERNAL;"
                     "ALTER TABLE f REPLICA IDENTITY FULL; CREATE TABLE i (id int PRIMARY KEY, code text "
                     "NOT NULL UNIQUE);"
                     "ALTER TABLE i REPLICA IDENTITY USING INDEX i_code_key;"
                     "CREATE TABLE k (n int, t text); ALTER TABLE k REPLICA IDENTITY FULL");
    lab_stream(lab);
    lab_sql(lab->pg,
            "INSERT INTO t VALUES (1, 1, repeat('x', 9000)); UPDATE t SET n = 2; UPDATE t SET id = 5;"
            "INSERT INTO f VALUES (1, 1, repeat('y', 9000)); UPDATE f SET n = 2; DELETE FROM f;"
            "INSERT INTO i VALUES (1, 'a'); UPDATE i SET id = 2; UPDATE i SET code = 'b'; DELETE FROM i;"
            "INSERT INTO k VALUES (1, 'q'), (1, 'q'); UPDATE k SET n = 2; DELETE FROM k WHERE n = 2");
    struct kept u = lab_row(lab, CHANGE_UPDATE, "public.t", 0);
    assert_string_equal(u.after, "{\"id\":1,\"n\":2}");
    assert_string_equal(u.unchanged, "[\"big\"]");
    assert_null(u.old_key);
    u = lab_row(lab, CHANGE_UPDATE, "public.t", 1);
    assert_string_equal(u.key, "{\"id\":5}");
    assert_string_equal(u.old_key, "{\"id\":1}");
    assert_string_equal(u.unchanged, "[\"big\"]");
    u = lab_row(lab, CHANGE_UPDATE, "public.f", 0);
    assert_null(u.unchanged);
    assert_int_equal(strlen(u.after), strlen("{\"id\":1,\"n\":2,\"big\":\"\"}") + 9000);
    assert_int_equal(strlen(u.before), strlen(u.after));
    assert_null(u.old_key);
    assert_string_equal(lab_row(lab, CHANGE_DELETE, "public.f", 0).key, "{\"id\":1}");
    u = lab_row(lab, CHANGE_UPDATE, "public.i",
                0); /* the key is the identity's: the primary key is not sent */
    assert_string_equal(u.key, "{\"code\":\"a\"}");
    assert_null(u.old_key);
    assert_string_equal(lab_row(lab, CHANGE_UPDATE, "public.i", 1).old_key, "{\"code\":\"a\"}");
    assert_string_equal(lab_row(lab, CHANGE_DELETE, "public.i", 0).key, "{\"code\":\"b\"}");
    u = lab_row(lab, CHANGE_UPDATE, "public.k", 0);
    assert_null(u.key);
    assert_string_equal(u.before, "{\"n\":1,\"t\":\"q\"}");
    assert_string_equal(u.after, "{\"n\":2,\"t\":\"q\"}");
    u = lab_row(lab, CHANGE_DELETE, "public.k", 1);
    assert_null(u.key);
    assert_string_equal(u.before, "{\"n\":2,\"t\":\"q\"}");
    lab_close(lab);
}

static void test_schema_changes(void **state)
{
    (void)state;
    struct lab *lab = lab_open("ddl");
    lab_sql(lab->pg,
            "CREATE TABLE t (id int PRIMARY KEY, a int, b text); INSERT INTO t VALUES (1, 1, 'x')");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (2, 2, 'y')");
    lab_row(lab, CHANGE_CREATE, "public.t", 0);
    lab_sql(lab->pg,
            "BEGIN; INSERT INTO t VALUES (3, 3, 'z'); ALTER TABLE t ADD COLUMN c text DEFAULT 'it''s';"
            "INSERT INTO t VALUES (4, 4, 'z', 'c'); COMMIT");
    struct kept third = lab_row(lab, CHANGE_CREATE, "public.t", 1),
                fourth = lab_row(lab, CHANGE_CREATE, "public.t", 2);
    assert_string_equal(third.after, "{\"id\":3,\"a\":3,\"b\":\"z\"}");
    assert_string_equal(fourth.after, "{\"id\":4,\"a\":4,\"b\":\"z\",\"c\":\"c\"}");
    size_t n = lab_count(lab, CHANGE_SCHEMA, "public.t");
    struct kept s = lab_row(lab, CHANGE_SCHEMA, "public.t", n - 1);
    assert_int_equal(s.c.lsn, fourth.c.lsn);
    assert_int_equal(s.c.ordinal, fourth.c.ordinal); /* sorts before the change of the same ordinal */
    struct schema schema;
    struct error err = {0};
    unit_ok(schema_decode(slice_of(s.after), &schema, &err));
    assert_string_equal(schema_find(&schema, SLICE("c"))->missing, "it's");
    assert_int_equal(schema_find(&schema, SLICE("c"))->attnum, 4);
    schema_free(&schema);
    lab_sql(lab->pg,
            "ALTER TABLE t RENAME a TO aa; INSERT INTO t VALUES (5, 5, 'v', 'w'); ALTER TABLE t DROP b;"
            "INSERT INTO t VALUES (6, 6, 'w'); ALTER TABLE t ALTER aa TYPE numeric(6,1);"
            "INSERT INTO t VALUES (7, 7, 'w')");
    assert_string_equal(lab_row(lab, CHANGE_CREATE, "public.t", 3).after,
                        "{\"id\":5,\"aa\":5,\"b\":\"v\",\"c\":\"w\"}");
    assert_string_equal(lab_row(lab, CHANGE_CREATE, "public.t", 4).after,
                        "{\"id\":6,\"aa\":6,\"c\":\"w\"}");
    assert_string_equal(lab_row(lab, CHANGE_CREATE, "public.t", 5).after,
                        "{\"id\":7,\"aa\":\"7.0\",\"c\":\"w\"}");
    lab_sql(lab->pg, "TRUNCATE t; INSERT INTO t VALUES (8, 8, 'w')");
    struct kept t = lab_row(lab, CHANGE_TRUNCATE, "public.t", 0);
    assert_null(t.key);
    assert_true(t.c.ordinal < lab_row(lab, CHANGE_CREATE, "public.t", 6).c.ordinal);
    lab_close(lab);
}

static void test_columns_withheld(void **state)
{
    (void)state;
    struct lab *lab = lab_open("withheld");
    lab_set(&lab->config.exclude_columns, "public.t.secret, public.other.x");
    lab_set(&lab->config.hash_columns, "public.t.mail");
    lab_sql(lab->pg,
            "CREATE TABLE t (id int PRIMARY KEY, secret text, mail text, n int); INSERT INTO t VALUES"
            " (1, 's', 'a@b', 7), (2, 's', NULL, 8)");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (3, 's', 'a@b', 9); UPDATE t SET secret = 'q' WHERE id = 2");
    struct kept copied = lab_row(lab, CHANGE_READ, "public.t", 0),
                streamed = lab_row(lab, CHANGE_CREATE, "public.t", 0);
    char *digest = lab_value(lab->pg, "SELECT encode(sha256('salta@b'), 'hex')");
    char *want = mem_format("{\"id\":1,\"mail\":\"%s\",\"n\":7}", digest);
    assert_string_equal(copied.after, want);
    mem_free(want);
    want = mem_format("{\"id\":3,\"mail\":\"%s\",\"n\":9}", digest);
    assert_string_equal(streamed.after, want);
    mem_free(want);
    mem_free(digest);
    assert_string_equal(lab_row(lab, CHANGE_READ, "public.t", 1).after, "{\"id\":2,\"mail\":null,\"n\":8}");
    assert_string_equal(lab_row(lab, CHANGE_UPDATE, "public.t", 0).after,
                        "{\"id\":2,\"mail\":null,\"n\":8}");
    assert_null(strstr(lab_row(lab, CHANGE_SCHEMA, "public.t", 0).after, "secret"));
    lab_close(lab);
}

/* check reads the same rows through COPY under a snapshot at one LSN. */
static void test_reading_for_check(void **state)
{
    (void)state;
    struct lab *lab = lab_open("reading");
    struct error err = {0};
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY, n text); INSERT INTO t VALUES (1, 'a')");
    lab_stream(lab);
    struct capture_snapshot snapshot;
    unit_ok(capture_snapshot_open(&snapshot, &lab->config, 10000000, NULL, &err));
    uint64_t lsn = snapshot.lsn;
    struct pg *reader = lab_connect("reading");
    char *import = mem_format("SET TRANSACTION SNAPSHOT '%s'", snapshot.name);
    lab_sql(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    lab_sql(reader, import);
    mem_free(import);
    capture_snapshot_close(&snapshot);
    lab_sql(lab->pg, "INSERT INTO t VALUES (2, 'later')");
    struct capture_table *table;
    unit_ok(capture_table_read(&table, reader, &lab->config, "public.t", &err));
    struct buf sql = {0}, key = {0}, after = {0};
    capture_table_put_copy(table, NULL, &sql);
    unit_ok(pg_copy_begin(reader, buf_text(&sql), &err));
    size_t lines = 0;
    for (enum pg_copy what = PG_COPY_NOTHING; what != PG_COPY_END;) {
        struct slice line;
        unit_ok(pg_copy_next(reader, &line, &what, &err));
        if (what == PG_COPY_NOTHING) pg_wait(reader, -1, 1000000);
        if (what != PG_COPY_DATA) continue;
        lines++;
        unit_ok(capture_encode_row(table, line, &key, &after, &err));
    }
    assert_int_equal(lines, 1);
    assert_string_equal(buf_text(&key), "{\"id\":1}");
    assert_string_equal(buf_text(&after), lab_row(lab, CHANGE_READ, "public.t", 0).after);
    assert_false(capture_encode_row(table, SLICE("1\n"), &key, &after, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_true(lab_row(lab, CHANGE_CREATE, "public.t", 0).c.lsn >= lsn);
    assert_true(lsn > 0);
    struct capture_table *none;
    assert_false(capture_table_read(&none, reader, &lab->config, "public.none", &err));
    buf_free(&sql);
    buf_free(&key);
    buf_free(&after);
    capture_table_free(table);
    pg_close(reader);
    lab_close(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_brackets),
        cmocka_unit_test(test_toast_and_identity),
        cmocka_unit_test(test_schema_changes),
        cmocka_unit_test(test_columns_withheld),
        cmocka_unit_test(test_reading_for_check),
    };
    return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
