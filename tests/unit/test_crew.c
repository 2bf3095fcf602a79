/* A stage's helper, and rows that wait for refine in memory. */
#include "unit.h"

#include "base/crew.h"
#include "stages/recent.h"

#include <pthread.h>
#include <stdatomic.h>

struct work {
    struct crew_job job;
    _Atomic int *runs;
    pthread_t thread;
    int lane;
};

static void run(void *arg, int lane)
{
    struct work *w = arg;
    w->thread = pthread_self();
    w->lane = lane;
    atomic_fetch_add(w->runs, 1);
}

static void test_every_job_runs_once(void **state)
{
    enum { JOBS = 200 };
    (void)state;
    struct error err = {0};
    struct crew *crew;
    static struct work all[JOBS];
    _Atomic int runs = 0;
    unit_ok(crew_open(&crew, "helper", &err));
    for (int i = 0; i < JOBS; i++) {
        all[i] = (struct work){.runs = &runs, .job = {.run = run, .arg = &all[i]}};
        crew_give(crew, &all[i].job);
    }
    for (int i = 0; i < JOBS; i++)
        crew_finish(crew, &all[i].job);
    assert_int_equal(runs, JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_true(crew_done(crew, &all[i].job));
        assert_int_equal(all[i].lane == 0, pthread_equal(all[i].thread, pthread_self()) != 0);
    }
    crew_finish(crew, &all[0].job); /* again: at once */
    crew_close(crew);
}

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool begun, open;
};

static void hold(void *arg, int lane)
{
    struct gate *g = arg;
    (void)lane;
    pthread_mutex_lock(&g->lock);
    g->begun = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void open_gate(void *arg, int lane)
{
    struct gate *g = arg;
    assert_int_equal(lane, 0);
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

/* The helper is in a job that ends only when another has run: the owner, waiting for the first, runs it. */
static void test_owner_works_while_it_waits(void **state)
{
    (void)state;
    struct error err = {0};
    struct crew *crew;
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct crew_job first = {.run = hold, .arg = &gate}, second = {.run = open_gate, .arg = &gate};
    unit_ok(crew_open(&crew, "helper", &err));
    crew_give(crew, &first);
    pthread_mutex_lock(&gate.lock);
    while (!gate.begun)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    assert_false(crew_done(crew, &first));
    crew_give(crew, &second);
    crew_finish(crew, &first);
    crew_finish(crew, &second);
    crew_close(crew);
}

static void put(struct recent *r, int64_t version, const char *path, const char *text)
{
    struct buf rows = {0};
    buf_put_text(&rows, text);
    recent_put(r, version, path, &rows);
    assert_null(rows.data);
}

static void test_recent_rows(void **state)
{
    (void)state;
    struct recent r;
    recent_init(&r, 4096);
    put(&r, 1, "a", "one");
    put(&r, 1, "b", "two");
    put(&r, 2, "c", "three");
    assert_memory_equal(recent_find(&r, "b").data, "two", 3);
    assert_int_equal(recent_find(&r, "c").len, 5);
    assert_null(recent_find(&r, "d").data);
    recent_drop(&r, 1);
    assert_null(recent_find(&r, "a").data);
    assert_int_equal(recent_find(&r, "c").len, 5);
    assert_false(recent_has_room(&r, 4096));
    assert_true(recent_has_room(&r, 1024));
    struct buf large = {0};
    for (int i = 0; i < 5000; i++)
        buf_put_char(&large, 'x');
    recent_put(&r, 3, "large", &large); /* does not fit: dropped */
    assert_null(recent_find(&r, "large").data);
    recent_drop(&r, 3);
    assert_true(recent_has_room(&r, 4096));
    recent_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_runs_once),
        cmocka_unit_test(test_owner_works_while_it_waits),
        cmocka_unit_test(test_recent_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
