/* Everything at once: writers run before, during and after the first copy, senders are killed, and in the
 * end what bronze got, folded by key in the order of positions, is the table. */
#include "capture_lab.h"

#include "base/map.h"

static int position_compare(const struct change *a, const struct change *b)
{
    if (a->lsn != b->lsn) return a->lsn < b->lsn ? -1 : 1;
    return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

static const struct lab *sorting; /* qsort has no argument to pass */

static int by_position(const void *a, const void *b)
{
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int order = position_compare(&sorting->rows[i].c, &sorting->rows[j].c);
    return order ? order : i < j ? -1 : 1;
}

static void fold_put(struct map *rows, const char *key, const char *after)
{
    if (key) *map_put(rows, slice_of(key)) = (void *)(uintptr_t)after;
}

/* key -> after; NULL: deleted. TOAST is not used in this table. */
static void fold(struct lab *lab, const char *table, struct map *rows)
{
    size_t *order = mem_resize(NULL, lab->count + 1, sizeof *order);
    for (size_t i = 0; i < lab->count; i++)
        order[i] = i;
    sorting = lab;
    qsort(order, lab->count, sizeof *order, by_position);
    for (size_t i = 0; i < lab->count; i++) {
        const struct kept *k = &lab->rows[order[i]];
        if (strcmp(k->table, table) != 0) continue;
        if (k->old_key) fold_put(rows, k->old_key, NULL);
        if (strchr("cur", (int)k->c.op)) fold_put(rows, k->key, k->after);
        if (k->c.op == CHANGE_DELETE) fold_put(rows, k->key, NULL);
        if (k->c.op == CHANGE_TRUNCATE) map_clear(rows, NULL);
    }
    mem_free(order);
}

static void *write_mess(void *arg)
{
    static const char *const statements[] = {
        "INSERT INTO t SELECT nextval('s'), 'n', random() * 100 FROM generate_series(1, 3)",
        "UPDATE t SET n = n + 1, s = s || 'u' WHERE id % 7 = (random() * 6)::int AND length(s) < 40",
        "UPDATE t SET id = nextval('s') WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 2)",
        "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 2)",
        ("BEGIN; INSERT INTO t VALUES (-1, 'x', 1); DELETE FROM t WHERE id = -1;"
         " INSERT INTO t VALUES (-1, 'y', 2); UPDATE t SET id = nextval('s') WHERE id = -1; COMMIT"),
        "BEGIN; DELETE FROM t; ROLLBACK",
        ("BEGIN; SAVEPOINT a; DELETE FROM t WHERE id % 3 = 0; ROLLBACK TO a;"
         " UPDATE t SET n = 0 WHERE id % 3 = 0; COMMIT"),
    };
    struct writer *w = arg;
    for (size_t i = 0; !w->stop; i++) {
        struct error err = {0};
        bool ok = pg_run(w->pg, statements[i % (sizeof statements / sizeof *statements)], &err);
        if (!ok && (err.kind != ERROR_RETRY || !pg_run(w->pg, "ROLLBACK", &err)))
            abort(); /* RETRY: a deadlock */
        w->written++;
        clock_sleep_us(500);
    }
    return NULL;
}

static void assert_equals_table(struct lab *lab)
{
    struct error err = {0};
    struct capture_table *table;
    struct buf sql = {0}, key = {0}, after = {0};
    struct map rows = {0};
    unit_ok(capture_table_read(&table, lab->pg, &lab->config, "public.t", &err));
    capture_table_put_copy(table, NULL, &sql);
    unit_ok(pg_copy_begin(lab->pg, buf_text(&sql), &err));
    pthread_mutex_lock(&lab->lock);
    fold(lab, "public.t", &rows);
    size_t in_table = 0, in_lake = 0, at = 0;
    for (enum pg_copy what = PG_COPY_NOTHING; what != PG_COPY_END;) {
        struct slice line;
        unit_ok(pg_copy_next(lab->pg, &line, &what, &err));
        if (what == PG_COPY_NOTHING) pg_wait(lab->pg, -1, 1000000);
        if (what != PG_COPY_DATA) continue;
        buf_clear(&key);
        buf_clear(&after);
        unit_ok(capture_encode_row(table, line, &key, &after, &err));
        const char *held = map_get(&rows, buf_slice(&key));
        if (!held) fail_msg("the lake lacks %s", buf_text(&after));
        assert_string_equal(held, buf_text(&after));
        in_table++;
    }
    struct slice name;
    void *value;
    while (map_next(&rows, &at, &name, &value))
        in_lake += value != NULL;
    pthread_mutex_unlock(&lab->lock);
    assert_int_equal(in_lake, in_table);
    assert_true(in_table > 100);
    map_free(&rows, NULL);
    buf_free(&sql);
    buf_free(&key);
    buf_free(&after);
    capture_table_free(table);
}

/* Writers before, during and after the copy; a table large enough to be read in pieces; cuts. */
static void test_equals_table(void **state)
{
    (void)state;
    struct lab *lab = lab_open("mess");
    lab->config.flush_bytes = 64 << 10;
    lab_sql(lab->pg,
            "CREATE TABLE t (id int PRIMARY KEY, s text, n float8); CREATE SEQUENCE s START 100001;"
            "INSERT INTO t SELECT g, repeat('s', 100), g FROM generate_series(1, 20000) g");
    struct writer w[2] = {{.pg = lab_connect("mess")}, {.pg = lab_connect("mess")}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, write_mess, &w[i]);
    lab_stage_start(lab);
    lab_wait(lab_count(lab, CHANGE_SNAPSHOT_COMPLETE, NULL) == 1);
    for (int i = 0; i < 4; i++) {
        size_t before = lab_count(lab, 0, "public.t");
        lab_wait(lab_count(lab, 0, "public.t") > before + 3000);
        kill_sender(lab);
    }
    for (int i = 0; i < 2; i++) {
        w[i].stop = true;
        pthread_join(threads[i], NULL);
        pg_close(w[i].pg);
    }
    uint64_t end = lab_wal(lab);
    atomic_store(&lab->flow.wanted_lsn, end);
    lab_wait(lab->flow.durable_lsn >= end);
    assert_equals_table(lab);
    lab_close(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equals_table)};
    return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
