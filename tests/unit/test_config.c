/* Settings: values, file, environment, flags, their order, and what is refused. */
#include "unit.h"

#include "base/config.h"

#include <unistd.h>

static void write_text(const char *path, const char *text)
{
    struct error err;
    unit_ok(file_write_atomic(path, slice_of(text), &err));
}

static void test_defaults(void **state)
{
    (void)state;
    struct config c;
    config_init(&c);
    char *here = getcwd(NULL, 0), *home = mem_format("%s/millrace-data", here);
    assert_string_equal(c.home, home);
    assert_string_equal(c.source, "");
    assert_string_equal(c.slot, "millrace");
    assert_string_equal(c.listen, "127.0.0.1");
    assert_int_equal(c.queue_bytes, 32 << 20);
    assert_int_equal(c.engine_memory_bytes, 1 << 30);
    assert_int_equal(c.flush_ms, 200);
    assert_false(c.log_json);
    struct error err;
    unit_ok(config_validate(&c, &err));
    config_free(&c);
    config_free(&c);
    mem_free(home);
    free(here);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        bool ok;
        int64_t number;
    } cases[] = {
        {"queue_bytes", "1048576", true, 1 << 20},
        {"queue_bytes", "2MB", true, 2 << 20},
        {"queue_bytes", "3 mb", true, 3 << 20},
        {"queue_bytes", "1GB", true, 1 << 30},
        {"queue_bytes", "2048KB", true, 2 << 20},
        {"queue_bytes", "1TB", false, 0},
        {"queue_bytes", "MB", false, 0},
        {"queue_bytes", "-1MB", false, 0},
        {"queue_bytes", "1", false, 0},
        {"queue_bytes", "9223372036854775807GB", false, 0},
        {"queue_bytes", "99999999999999999999", false, 0},
        {"http_port", "0", true, 0},
        {"http_port", "65535", true, 65535},
        {"http_port", "65536", false, 0},
        {"http_port", "80x", false, 0},
        {"http_port", "", false, 0},
        {"http_port", " 80", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct error err = {0};
        config_init(&c);
        bool ok = config_set(&c, cases[i].name, cases[i].value, &err);
        if (ok != cases[i].ok) fail_msg("%s=%s: %s", cases[i].name, cases[i].value, err.text);
        int64_t got = strcmp(cases[i].name, "http_port") ? c.queue_bytes : c.http_port;
        if (ok)
            assert_int_equal(got, cases[i].number);
        else
            assert_int_equal(err.kind, ERROR_CONFIG);
        config_free(&c);
    }
}

static void test_nearest(void **state)
{
    (void)state;
    struct config c;
    struct error err = {0};
    config_init(&c);
    assert_false(config_set(&c, "flush_mss", "1", &err));
    assert_non_null(strstr(err.text, "did you mean flush_ms?"));
    assert_false(config_set(&c, "zzzzzzzz", "1", &err));
    assert_null(strstr(err.text, "did you mean"));
    const char *names[] = {"query", "quarantine", "status"};
    assert_string_equal(config_nearest("qurey", names, 3), "query");
    assert_null(config_nearest("elephant", names, 3));
    config_free(&c);
}

static void test_file(void **state)
{
    (void)state;
    char *folder = unit_folder(), *path = mem_format("%s/millrace.conf", folder);
    struct config c;
    struct error err = {0};
    config_init(&c);
    unit_ok(config_read_file(&c, path, &err)); /* none is fine */
    write_text(
        path,
        "# the shop\n\nslot = shop_1\npassword=a#b=c # said twice\nlog_json = yes\r\nflush_bytes=1MB");
    unit_ok(config_read_file(&c, path, &err));
    assert_string_equal(c.slot, "shop_1");
    assert_string_equal(c.password, "a#b=c");
    assert_true(c.log_json);
    assert_int_equal(c.flush_bytes, 1 << 20);
    write_text(path, "\n\nslott = x\n");
    assert_false(config_read_file(&c, path, &err));
    assert_non_null(strstr(err.text, "line 3"));
    assert_non_null(strstr(err.text, "did you mean slot?"));
    write_text(path, "just words\n");
    assert_false(config_read_file(&c, path, &err));
    write_text(path, "home = /elsewhere\n");
    assert_false(config_read_file(&c, path, &err));
    config_free(&c);
    mem_free(path);
    unit_folder_remove(folder);
}

static void test_environment(void **state)
{
    (void)state;
    struct config c;
    struct error err = {0};
    config_init(&c);
    setenv("MILLRACE_SLOT", "from_env", 1);
    setenv("MILLRACE_LIBCHDB", "/not/a/setting", 1);
    unit_ok(config_read_environment(&c, &err));
    assert_string_equal(c.slot, "from_env");
    unsetenv("MILLRACE_LIBCHDB");
    setenv("MILLRACE_FLUSH_M", "1", 1);
    assert_false(config_read_environment(&c, &err));
    assert_non_null(strstr(err.text, "did you mean flush_ms"));
    unsetenv("MILLRACE_FLUSH_M");
    unsetenv("MILLRACE_SLOT");
    config_free(&c);
}

static void test_flags(void **state)
{
    (void)state;
    static const char *const extra[] = {"format", "follow!", NULL};
    char *argv[] = {"query",    "--slot",     "s1",           "SELECT 1", "--format", "--slot",
                    "--follow", "--log-json", "--flush-ms=5", "--",       "--slot",   NULL};
    int argc = 11;
    struct config c;
    struct error err = {0};
    config_init(&c);
    unit_ok(config_read_flags(&c, &argc, argv, extra, &err));
    static const char *const left[] = {"query",    "SELECT 1", "--format", "--slot",
                                       "--follow", "--",       "--slot"};
    assert_int_equal(argc, 7);
    for (int i = 0; i < argc; i++)
        assert_string_equal(argv[i], left[i]);
    assert_null(argv[argc]);
    assert_string_equal(c.slot, "s1");
    assert_int_equal(c.flush_ms, 5);
    assert_true(c.log_json);

    static const char *const bad[] = {"--slott=1", "--folow", "--slot", "--flush-ms=x", "--format"};
    static const char *const says[] = {"--slot?", "--follow?", "needs a value", "whole number",
                                       "needs a value"};
    for (size_t i = 0; i < 5; i++) {
        char *wrong[] = {(char *)(uintptr_t)bad[i], NULL};
        int n = 1;
        assert_false(config_read_flags(&c, &n, wrong, extra, &err));
        assert_non_null(strstr(err.text, says[i]));
    }
    config_free(&c);
}

static void test_precedence(void **state)
{
    (void)state;
    char *folder = unit_folder(), *path = mem_format("%s/millrace.conf", folder);
    write_text(path, "slot = file\npublication = file\ntimezone = UTC\n");
    setenv("MILLRACE_PUBLICATION", "env", 1);
    setenv("MILLRACE_SLOT", "env", 1);
    char *argv[] = {"--home", folder, "--slot", "flag", NULL};
    int argc = 4;
    struct config c;
    struct error err = {0};
    unit_ok(config_load(&c, &argc, argv, NULL, &err));
    assert_int_equal(argc, 0);
    assert_string_equal(c.home, folder);
    assert_string_equal(c.slot, "flag");
    assert_string_equal(c.publication, "env");
    assert_string_equal(c.timezone, "UTC");
    assert_string_equal(c.listen, "127.0.0.1");
    config_free(&c);
    unsetenv("MILLRACE_PUBLICATION");
    unsetenv("MILLRACE_SLOT");
    mem_free(path);
    unit_folder_remove(folder);
}

static void test_validate(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        bool ok;
    } cases[] = {
        {"listen", "0.0.0.0", false}, {"listen", "192.168.1.5", false}, {"listen", "127.0.0.2", true},
        {"listen", "::1", true},      {"listen", "localhost", true},    {"slot", "Shop", false},
        {"slot", "", false},          {"timezone", "UTC'", false},      {"timezone", "Europe/Berlin", true},
        {"log_level", "loud", false}, {"http_port", "8124", false},     {"hash_columns", "a.b.c", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct error err = {0};
        config_init(&c);
        unit_ok(config_set(&c, cases[i].name, cases[i].value, &err));
        if (config_validate(&c, &err) != cases[i].ok) fail_msg("%s=%s", cases[i].name, cases[i].value);
        if (!cases[i].ok) assert_non_null(strstr(err.text, cases[i].name));
        config_free(&c);
    }
    struct config c;
    struct error err = {0};
    config_init(&c);
    unit_ok(config_set(&c, "listen", "0.0.0.0", &err) && config_set(&c, "password", "p", &err));
    unit_ok(config_validate(&c, &err));
    config_free(&c);
}

static void test_secrets(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"postgres://u:s3cret@h/d", "postgres://u:***@h/d"},
        {"postgres://u:s3/c@r:et@h:5432/d?x=1", "postgres://u:***@h:5432/d?x=1"},
        {"postgres://u@h/d?password=s3cret&a=b", "postgres://u@h/d?password=***&a=b"},
        {"host=h password='s3 c\\'ret' user=u", "host=h password=*** user=u"},
        {"host=h password = s3cret sslpassword=s3cret", "host=h password = *** sslpassword=***"},
        {"host=h user=u", "host=h user=u"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        config_put_source(cases[i][0], &out);
        assert_string_equal(buf_text(&out), cases[i][1]);
        buf_free(&out);
    }
    struct config c;
    struct error err = {0};
    config_init(&c);
    unit_ok(config_set(&c, "password", "hunter2", &err));
    unit_ok(config_set(&c, "source", "postgres://u:hunter2@h/d", &err));
    struct buf out = {0};
    config_print(&c, &out);
    assert_null(strstr(buf_text(&out), "hunter2"));
    assert_non_null(strstr(buf_text(&out), "password = ***\n"));
    assert_non_null(strstr(buf_text(&out), "queue_bytes = 32MB\n"));
    buf_free(&out);
    config_free(&c);
}

/* What config_print says can be read back: every option takes its own printed value. */
static void test_print_reads_back(void **state)
{
    (void)state;
    struct config c;
    struct error err = {0};
    config_init(&c);
    for (size_t i = 0; i < config_option_count; i++)
        unit_ok(config_set(&c, config_options[i].name, config_options[i].fallback, &err));
    char *folder = unit_folder(), *path = mem_format("%s/c", folder);
    struct buf out = {0}, again = {0};
    config_print(&c, &out);
    char *text = buf_take(&out), *after_home = strchr(text, '\n') + 1;
    write_text(path, after_home);
    unit_ok(config_read_file(&c, path, &err));
    config_print(&c, &again);
    assert_string_equal(text, buf_text(&again));
    buf_free(&again);
    mem_free(text);
    mem_free(path);
    unit_folder_remove(folder);
    config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_nearest),     cmocka_unit_test(test_file),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_flags),
        cmocka_unit_test(test_precedence),  cmocka_unit_test(test_validate),
        cmocka_unit_test(test_secrets),     cmocka_unit_test(test_print_reads_back),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
