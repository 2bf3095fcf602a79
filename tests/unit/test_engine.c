/* The engine over the real libchdb: one open in the process, so the tests share a group fixture. */
#include "unit.h"

#include "engine/engine.h"

#include <sys/wait.h>
#include <unistd.h>

static char *program;
static char home[] = "/tmp/millrace-engine-XXXXXX";
static char *storage;
static struct engine_conn *conn;

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    assert_non_null(mkdtemp(home));
    storage = mem_format("%s/warehouse", home);
    const char *settings[] = {"max_block_size=1000", NULL};
    unit_ok(engine_open("", home, storage, INT64_C(1) << 30, &err));
    unit_ok(engine_connect(&conn, settings, &err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct error err = {0};
    engine_disconnect(conn);
    engine_close();
    assert_false(engine_connect(&conn, NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    unit_ok(file_remove_tree(home, &err));
    mem_free(storage);
    return 0;
}

static void assert_answer(const char *sql, const struct engine_param *params, size_t count,
                          const char *expected)
{
    struct error err = {0};
    struct engine_result r = {0};
    unit_ok(engine_query(conn, sql, NULL, params, count, &r, &err));
    char *text = mem_textn(r.data.data, r.data.len);
    assert_string_equal(text, expected);
    mem_free(text);
    engine_result_free(&r);
    engine_result_free(&r);
}

static void settings_of_the_models_are_set(void **state)
{
    (void)state;
    assert_answer("SELECT timezone(), getSetting('join_use_nulls'),"
                  " getSetting('optimize_trivial_count_query'),"
                  " getSetting('aggregate_functions_null_for_empty'), getSetting('implicit_select')",
                  NULL, 0, "UTC\ttrue\tfalse\ttrue\tfalse\n");
    assert_answer("SELECT toDecimal64('1.50', 2), sum(number) FROM numbers(0)", NULL, 0, "1.50\t\\N\n");
    assert_answer("SELECT value = '16777216' FROM system.server_settings WHERE name = 'mark_cache_size'",
                  NULL, 0, "1\n");
}

static void parameters_arrive_as_they_are(void **state)
{
    (void)state;
    static const char odd[] = "a\tb\\c\n'\0z";
    struct engine_param params[] = {
        {.name = "odd", .value = {odd, sizeof odd - 1}},
        {.name = "none", .value = {NULL, 0}},
        {.name = "list", .value = SLICE("['x\\\\y','z']"), .raw = true},
        {.name = "n", .value = SLICE("42")},
    };
    assert_answer("SELECT hex({odd:String}), {none:Nullable(String)} IS NULL, {list:Array(String)}[1],"
                  " {n:Int64}",
                  params, 4, "6109625C630A27007A\t1\tx\\\\y\t42\n");
    assert_answer("SELECT {odd:String} = ''", &(struct engine_param){.name = "odd", .value = {"", 0}}, 1,
                  "1\n");
}

static void errors_carry_code_and_verdict(void **state)
{
    (void)state;
    struct error err = {0};
    assert_false(engine_run(conn, "SELECT * FROM nowhere", &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_int_equal(engine_error_code(&err), 60);
    assert_false(engine_run(conn, "selec 1", &err));
    assert_int_equal(engine_error_code(&err), 62);
    assert_non_null(strstr(err.text, "(SYNTAX_ERROR)"));
    assert_false(engine_run(conn,
                            "SELECT groupArray(number) FROM numbers(10000000)"
                            " SETTINGS max_memory_usage=1000000",
                            &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(engine_error_code(&err), 241);
    assert_int_equal(engine_error_code(&(struct error){.text = "nothing"}), 0);
}

static void inserts_count_commit_and_cancel(void **state)
{
    (void)state;
    struct error err = {0};
    int64_t n = -1;
    uint64_t written = 0;
    unit_ok(engine_run(conn, "CREATE TABLE t (a UInt8, b String) ENGINE = MergeTree ORDER BY a", &err));
    unit_ok(engine_insert(conn, "INSERT INTO t (a, b)", "RowBinary", SLICE("\001\001x\002\003xyz"), &written,
                     &err));
    assert_int_equal(written, 2);
    struct engine_insert_stream *s;
    unit_ok(engine_insert_begin(conn, "INSERT INTO t (a, b)", "RowBinary", &s, &err));
    unit_ok(engine_insert_append(s, SLICE("\003\001"), &err));
    unit_ok(engine_insert_append(s, SLICE("y"), &err));
    unit_ok(engine_insert_end(s, false, &written, &err));
    assert_int_equal(written, 1);
    unit_ok(engine_insert_begin(conn, "INSERT INTO t (a, b)", "RowBinary", &s, &err));
    unit_ok(engine_insert_append(s, SLICE("\004\001z"), &err));
    unit_ok(engine_insert_end(s, true, &written, &err));
    assert_int_equal(written, 0);
    unit_ok(engine_number(conn, "SELECT count() FROM t", &n, &err));
    assert_int_equal(n, 3);
    assert_false(engine_insert(conn, "INSERT INTO t (a, b)", "TSV", SLICE("abc\tx\n"), NULL, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    assert_false(engine_insert(conn, "INSERT INTO nowhere (a)", "TSV", SLICE("1\n"), NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    unit_ok(engine_number(conn, "SELECT count() FROM t", &n, &err));
    assert_int_equal(n, 3);
    unit_ok(engine_run(conn, "DROP TABLE t", &err));
}

static void results_come_in_pieces(void **state)
{
    (void)state;
    struct error err = {0};
    struct engine_stream *s;
    struct engine_param limit = {.name = "n", .value = SLICE("5000")};
    unit_ok(engine_stream_open(conn, "SELECT number FROM numbers({n:UInt64})", "RowBinary", &limit, 1, &s, &err));
    size_t bytes = 0, chunks = 0;
    struct slice chunk;
    bool done = false;
    while (!done) {
        unit_ok(engine_stream_next(s, &chunk, &done, &err));
        bytes += chunk.len;
        chunks += chunk.len > 0;
    }
    engine_stream_close(s);
    assert_int_equal(bytes, 5000 * 8);
    assert_true(chunks >= 5);
    /* left in the middle, the connection is free again */
    unit_ok(engine_stream_open(conn, "SELECT number FROM numbers(100000000)", "RowBinary", NULL, 0, &s, &err));
    unit_ok(engine_stream_next(s, &chunk, &done, &err));
    engine_stream_close(s);
    assert_answer("SELECT 1", NULL, 0, "1\n");
    assert_false(engine_stream_open(conn, "SELECT * FROM nowhere", "TSV", NULL, 0, &s, &err));
    assert_int_equal(engine_error_code(&err), 60);
    unit_ok(engine_stream_open(conn, "SELECT throwIf(number = 4500) FROM numbers(5000)", "TSV", NULL, 0, &s,
                          &err));
    bool ok = true;
    for (done = false; ok && !done;) ok = engine_stream_next(s, &chunk, &done, &err);
    assert_false(ok);
    assert_int_equal(engine_error_code(&err), 395);
    engine_stream_close(s);
    assert_answer("SELECT 2", NULL, 0, "2\n");
}

static void statements_are_classified(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        enum engine_class class;
        uint32_t statements;
    } cases[] = {
        {"SELECT 1", ENGINE_READ, 1},
        {"EXPLAIN SELECT 1", ENGINE_READ, 1},
        {"INSERT INTO t VALUES (1)", ENGINE_WRITE, 1},
        {"DROP TABLE t", ENGINE_WRITE, 1},
        {"CREATE FUNCTION f AS (x) -> x", ENGINE_WRITE_GLOBAL, 1},
        {"SYSTEM RELOAD CONFIG", ENGINE_CONTROL, 1},
        {"SET max_threads = 1", ENGINE_CONTROL, 1},
        {"SELECT 1; SELECT 2", ENGINE_READ, 2},
        {"selec 1", ENGINE_UNKNOWN, 0},
        {"", ENGINE_READ, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        enum engine_class class;
        uint32_t statements;
        bool secrets;
        unit_ok(engine_classify(conn, slice_of(cases[i].sql), &class, &statements, &secrets, &err));
        if (cases[i].sql[0]) assert_int_equal(class, cases[i].class);
        assert_int_equal(statements, cases[i].statements);
        assert_false(secrets);
    }
}

/* Another process, as the same program started twice would be. */
static void a_second_process_is_refused(void **state)
{
    (void)state;
    char *command = mem_format("%s second '%s' '%s'", program, home, storage);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    char text[600] = "";
    assert_non_null(fgets(text, sizeof text, out));
    assert_int_equal(WEXITSTATUS(pclose(out)), ERROR_CONFIG);
    char *expected = mem_format("is in use by another process (pid: %d)", (int)getpid());
    if (!strstr(text, expected)) fail_msg("%s", text);
    mem_free(expected);
    mem_free(command);
}

static int second(char **argv)
{
    struct error err = {0};
    if (engine_open("", argv[2], argv[3], 0, &err)) return 0;
    puts(err.text);
    return (int)err.kind;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "second") == 0) return second(argv);
    program = unit_program(argv[0]);
    if (!program) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_of_the_models_are_set),
        cmocka_unit_test(parameters_arrive_as_they_are),
        cmocka_unit_test(errors_carry_code_and_verdict),
        cmocka_unit_test(inserts_count_commit_and_cancel),
        cmocka_unit_test(results_come_in_pieces),
        cmocka_unit_test(statements_are_classified),
        cmocka_unit_test(a_second_process_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    free(program);
    return failed;
}
