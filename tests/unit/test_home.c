/* The data folder: its layout, its one owner, and what others learn of that owner. */
#include "unit.h"

#include "base/home.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_layout(void **state)
{
    (void)state;
    char *folder = unit_folder();
    struct home h;
    struct error err;
    assert_false(home_open(&h, folder, false, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    unit_ok(home_open(&h, folder, true, &err));
    static const char *const names[] = {"lake", "state", "warehouse", "run/lock", "run/format"};
    for (size_t i = 0; i < 5; i++) {
        char *path = mem_format("%s/%s", folder, names[i]);
        assert_true(file_exists(path));
        mem_free(path);
    }
    struct home beside;
    unit_ok(home_open(&beside, folder, false, &err));
    home_close(&beside);
    home_close(&h);
    home_close(&h);
    unit_folder_remove(folder);
}

static void test_newer_layout(void **state)
{
    (void)state;
    char *folder = unit_folder(), *path = mem_format("%s/run/format", folder);
    struct home h;
    struct error err;
    unit_ok(home_open(&h, folder, true, &err));
    home_close(&h);
    unit_ok(file_write_atomic(path, SLICE("99\n"), &err));
    assert_false(home_open(&h, folder, true, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "99"));
    struct home_info info;
    unit_ok(home_peek(folder, &info, &err));
    assert_false(info.alive); /* the refused one gave the lock back */
    mem_free(path);
    unit_folder_remove(folder);
}

/* A second process owns the folder until it is killed. */
static void test_owner(void **state)
{
    (void)state;
    char *folder = unit_folder();
    struct error err;
    struct home_info info;
    unit_ok(home_peek("/nowhere/at/all", &info, &err));
    assert_false(info.alive);

    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct home own;
        bool ok = home_open(&own, folder, true, &err) && home_announce(&own, 8090, 8124, &err);
        ssize_t n = write(ready[1], ok ? "y" : "n", 1);
        (void)n;
        for (;;)
            pause();
    }
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');

    unit_ok(home_peek(folder, &info, &err));
    assert_true(info.alive);
    assert_int_equal(info.pid, child);
    assert_int_equal(info.http_port, 8090);
    assert_int_equal(info.clickhouse_port, 8124);
    struct home h;
    assert_false(home_open(&h, folder, true, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    char *name = mem_format("process %ld", (long)child);
    assert_non_null(strstr(err.text, name));
    mem_free(name);

    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    unit_ok(home_peek(folder, &info, &err));
    assert_false(info.alive);
    unit_ok(home_open(&h, folder, true, &err));
    unit_ok(home_peek(folder, &info, &err));
    assert_true(info.alive); /* seen within the owning process, too */
    assert_int_equal(info.pid, getpid());
    assert_int_equal(info.http_port, 0);
    home_close(&h);
    close(ready[0]);
    close(ready[1]);
    unit_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_newer_layout),
        cmocka_unit_test(test_owner),
    };
    return cmocka_run_group_tests_name("home", tests, NULL, NULL);
}
