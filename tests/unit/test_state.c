/* The state store over a real RocksDB in a temporary folder. */
#include "unit.h"

#include "state/state.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char *program;

struct fixture {
    char folder[64];
    struct state *state;
};

static int set_up(void **state)
{
    struct error err = {0};
    struct fixture *f = mem_alloc(sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/millrace-state-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    unit_ok(state_open(&f->state, f->folder, 8 << 20, &err));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct error err = {0};
    struct fixture *f = *state;
    state_close(f->state);
    unit_ok(file_remove_tree(f->folder, &err));
    mem_free(f);
    return 0;
}

static void put(struct state *s, const char *key, const char *value)
{
    struct error err = {0};
    struct state_batch *b = state_batch_new();
    state_batch_put(b, slice_of(key), slice_of(value));
    unit_ok(state_write(s, b, &err));
    state_batch_free(b);
}

static void assert_value(struct state *s, const struct state_snapshot *at, const char *key,
                         const char *expected)
{
    struct error err = {0};
    struct buf value = {0};
    bool found;
    unit_ok(state_get(s, at, slice_of(key), &value, &found, &err));
    assert_int_equal(found, expected != NULL);
    assert_string_equal(buf_text(&value), expected ? expected : "");
    buf_free(&value);
}

static void a_batch_puts_and_deletes(void **state)
{
    struct error err = {0};
    struct state *s = ((struct fixture *)*state)->state;
    struct state_batch *b = state_batch_new();
    size_t empty = state_batch_size(b);
    state_batch_put(b, SLICE("a"), SLICE("1"));
    state_batch_put(b, SLICE("b"), SLICE(""));
    state_batch_put(b, SLICE("c"), SLICE("3"));
    assert_true(state_batch_size(b) > empty);
    assert_value(s, NULL, "a", NULL);
    unit_ok(state_write(s, b, &err));
    state_batch_free(b);
    assert_value(s, NULL, "a", "1");
    assert_value(s, NULL, "b", "");
    b = state_batch_new();
    state_batch_delete_range(b, SLICE("a"), SLICE("b"));
    state_batch_delete(b, SLICE("c"));
    unit_ok(state_write(s, b, &err));
    state_batch_free(b);
    assert_value(s, NULL, "a", NULL);
    assert_value(s, NULL, "b", "");
    assert_value(s, NULL, "c", NULL);
}

struct seen {
    size_t count, absent, sum;
};

static void see(void *arg, size_t i, struct slice value)
{
    struct seen *seen = arg;
    assert_int_equal(i, seen->count);
    seen->count++;
    if (!value.data) seen->absent++;
    else seen->sum += strtoul(value.data, NULL, 10);
}

/* More keys than one call of RocksDB takes; every third is absent. */
static void many_keys_come_in_their_order(void **state)
{
    enum { N = 1500 };
    struct error err = {0};
    struct state *s = ((struct fixture *)*state)->state;
    static char names[N][16];
    struct slice keys[N];
    size_t absent = 0, sum = 0;
    struct state_batch *b = state_batch_new();
    for (size_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "k%zu", N - i);
        keys[i] = slice_of(names[i]);
        char value[16];
        snprintf(value, sizeof value, "%zu", i);
        if (i % 3 == 0) absent++;
        else state_batch_put(b, keys[i], (struct slice){value, strlen(value) + 1}), sum += i;
    }
    unit_ok(state_write(s, b, &err));
    state_batch_free(b);
    struct seen seen = {0};
    unit_ok(state_get_many(s, NULL, keys, N, see, &seen, &err));
    assert_int_equal(seen.count, N);
    assert_int_equal(seen.absent, absent);
    assert_int_equal(seen.sum, sum);
}

static void a_batch_survives_as_bytes(void **state)
{
    struct error err = {0};
    struct state *s = ((struct fixture *)*state)->state;
    struct state_batch *b = state_batch_new();
    state_batch_put(b, SLICE("x"), SLICE("1"));
    state_batch_delete_range(b, SLICE("y"), SLICE("z"));
    struct slice bytes = state_batch_bytes(b);
    char *kept = mem_textn(bytes.data, bytes.len);
    struct state_batch *again = state_batch_from_bytes((struct slice){kept, bytes.len});
    state_batch_free(b);
    mem_free(kept);
    put(s, "yy", "gone");
    unit_ok(state_write(s, again, &err));
    state_batch_free(again);
    assert_value(s, NULL, "x", "1");
    assert_value(s, NULL, "yy", NULL);
}

static void assert_keys(struct state *s, const struct state_snapshot *at, struct slice prefix,
                        const char *expected)
{
    struct error err = {0};
    struct buf seen = {0};
    struct slice key, value;
    struct state_iter *it = state_iter_open(s, at, prefix);
    while (state_iter_next(it, &key, &value)) {
        buf_put_slice(&seen, key);
        buf_put_char(&seen, '=');
        buf_put_slice(&seen, value);
        buf_put_char(&seen, ' ');
    }
    assert_false(state_iter_next(it, &key, &value));
    unit_ok(state_iter_close(it, &err));
    assert_string_equal(buf_text(&seen), expected);
    buf_free(&seen);
}

static void prefixes_and_snapshots_bound_what_is_seen(void **state)
{
    struct state *s = ((struct fixture *)*state)->state;
    put(s, "a", "0");
    put(s, "p", "1");
    put(s, "p/1", "2");
    put(s, "p/2", "3");
    put(s, "q", "4");
    put(s, "\xff\xff", "5");
    struct state_snapshot *snap = state_snapshot_take(s);
    put(s, "p/3", "6");
    put(s, "p/1", "7");
    assert_keys(s, NULL, SLICE("p/"), "p/1=7 p/2=3 p/3=6 ");
    assert_keys(s, snap, SLICE("p/"), "p/1=2 p/2=3 ");
    assert_keys(s, NULL, SLICE("nothing"), "");
    assert_keys(s, NULL, SLICE("\xff"), "\xff\xff=5 ");
    assert_keys(s, snap, SLICE(""), "a=0 p=1 p/1=2 p/2=3 q=4 \xff\xff=5 ");
    assert_value(s, snap, "p/1", "2");
    assert_value(s, NULL, "p/1", "7");
    state_snapshot_free(s, snap);
}

/* A process of its own, not a fork: RocksDB starts threads, and the thread sanitizer wants none after one. */
static int child(const char *folder)
{
    struct error err = {0};
    struct state *s;
    if (!state_open(&s, folder, 8 << 20, &err)) return 1;
    put(s, "kept", "yes");
    kill(getpid(), SIGKILL);
    return 1;
}

/* What was written is there after kill -9, without any sync. */
static void writes_survive_a_killed_process(void **state)
{
    struct error err = {0};
    struct fixture *f = *state;
    state_close(f->state);
    f->state = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(program, program, "child", f->folder, (char *)NULL);
        _exit(2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    unit_ok(state_open(&f->state, f->folder, 8 << 20, &err));
    assert_value(f->state, NULL, "kept", "yes");
}

static void a_second_opening_is_refused(void **state)
{
    struct error err = {0};
    struct fixture *f = *state;
    struct state *second;
    assert_false(state_open(&second, f->folder, 8 << 20, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "in use"));
}

static void usage_is_told(void **state)
{
    struct state *s = ((struct fixture *)*state)->state;
    put(s, "a", "1");
    uint64_t disk, memory;
    state_usage(s, &disk, &memory);
    assert_true(memory > 0 && memory < 64 << 20);
    assert_true(disk < 1 << 20);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "child") == 0) return child(argv[2]);
    program = unit_program(argv[0]);
    if (!program) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_batch_puts_and_deletes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_keys_come_in_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_survives_as_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(prefixes_and_snapshots_bound_what_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_survive_a_killed_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_opening_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(usage_is_told, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(program);
    return failed;
}
