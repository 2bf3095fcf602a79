/* Capture when things break: large transactions, cut connections, restarts, a lake that comes back from
 * the middle of a copy, copies beside the stream, and everything that must be refused. */
#include "capture_lab.h"

/* Rows with op c have the ids 1..n, each once, in order; ordinals rise within each transaction. */
static void assert_sequence(struct lab *lab, const char *table, size_t n)
{
    lab_wait(lab_count(lab, CHANGE_CREATE, table) >= n);
    pthread_mutex_lock(&lab->lock);
    size_t seen = 0;
    uint64_t lsn = 0, ordinal = 0;
    for (size_t i = 0; i < lab->count; i++) {
        const struct kept *k = &lab->rows[i];
        if (k->c.op != CHANGE_CREATE || strcmp(k->table, table) != 0) continue;
        char want[40];
        snprintf(want, sizeof want, "{\"id\":%zu}", ++seen);
        if (strcmp(k->key, want) != 0) fail_msg("row %zu has the key %s", seen, k->key);
        if (k->c.lsn == lsn ? k->c.ordinal != ordinal + 1 : k->c.lsn < lsn)
            fail_msg("row %zu is out of order", seen);
        lsn = k->c.lsn;
        ordinal = k->c.ordinal;
    }
    pthread_mutex_unlock(&lab->lock);
    assert_int_equal(seen, n);
}

/* Sorted by LSN, as refine reads them, the records of copies stay in the order in which they were handed
 * on: rows of an earlier copy do not get behind the begin record of a later one. */
static void assert_brackets(struct lab *lab, const char *table)
{
    pthread_mutex_lock(&lab->lock);
    uint64_t last = 0;
    for (size_t i = 0; i < lab->count; i++) {
        const struct kept *k = &lab->rows[i];
        bool begin = k->c.op == CHANGE_SNAPSHOT_BEGIN;
        if (strcmp(k->table, table) != 0) continue;
        if (!begin && k->c.op != CHANGE_READ && k->c.op != CHANGE_SNAPSHOT_COMPLETE) continue;
        if (k->c.lsn < last + begin) fail_msg("'%c' of copy record %zu is out of order", (int)k->c.op, i);
        last = k->c.lsn;
    }
    pthread_mutex_unlock(&lab->lock);
}

static void test_large_transaction(void **state)
{
    (void)state;
    struct lab *lab = lab_open("large");
    lab->config.flush_bytes = 100000;
    lab->config.queue_bytes = 300000;
    lab->flow.changes.size_bytes_max = 300000;
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY, pad text)");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (1, 'before')");
    lab_row(lab, CHANGE_CREATE, "public.t", 0);
    lab_sql(lab->pg, "INSERT INTO t SELECT g, repeat('p', 100) FROM generate_series(2, 20000) g");
    lab_sql(lab->pg, "INSERT INTO t VALUES (20001, 'after')");
    assert_sequence(lab, "public.t", 20001);
    assert_true(lab->partial_batches > 10);
    assert_int_equal(lab_count(lab, CHANGE_SCHEMA, "public.t"), 2); /* of the copy and of the connection */
    lab_close(lab);
}

static struct lab *open_for_parts(const char *name, int64_t idle_commit_ms)
{
    struct lab *lab = lab_open(name);
    lab->config.idle_commit_ms = idle_commit_ms;
    lab->config.flush_bytes = 100000;
    lab->flow.changes.size_bytes_max = 250000;
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY, pad text)");
    lab_stream(lab);
    return lab;
}

/* Cuts the connection while a part of a transaction of 10,000 rows is in the queue; nothing is taken
 * from there until it is cut, or nothing at all before the test lets it. */
static void cut_in_parts(struct lab *lab, int round)
{
    lab->hold = true;
    char *sql = mem_format("INSERT INTO t SELECT g, repeat('p', 100) FROM generate_series(%d, %d) g",
                           round * 10000 + 1, (round + 1) * 10000);
    lab_sql(lab->pg, sql);
    mem_free(sql);
    lab_wait(queue_size_bytes(&lab->flow.changes) > 150000);
    kill_sender(lab);
}

static void go_on(struct lab *lab, int failures)
{
    lab->hold = false;
    lab_wait(lab->failures > failures);
    assert_int_equal(lab->last_error.kind, ERROR_RETRY);
}

/* The connection is cut while half of a large transaction is in the queue: nothing twice, nothing lost. */
static void test_cut_in_large_transaction(void **state)
{
    (void)state;
    struct lab *lab = open_for_parts("cut", 3600000); /* no heartbeat before the parts in the queue */
    for (int round = 0; round < 3; round++) {
        int failures = lab->failures;
        cut_in_parts(lab, round);
        assert_true(((struct change_batch *)queue_peek(&lab->flow.changes))->partial);
        go_on(lab, failures);
        assert_sequence(lab, "public.t", (size_t)(round + 1) * 10000);
    }
    assert_int_equal(lab->abandoned, 0);
    lab_close(lab);
}

/* The begin records of a copy, its rows and heartbeats wait for the rest of the transaction. */
static void test_nothing_between_parts(void **state)
{
    (void)state;
    struct lab *lab = open_for_parts("between", 1);
    for (int round = 0; round < 4; round++) {
        int failures = lab->failures;
        cut_in_parts(lab, round);
        if (round % 2) queue_push(&lab->flow.resync_requests, mem_text("public.t"), 9, 0);
        go_on(lab, failures);
        size_t rows = (size_t)(round + 1) * 10000;
        lab_wait(lab_count(lab, CHANGE_CREATE, "public.t") >= rows || lab->abandoned);
        assert_int_equal(lab->abandoned, 0);
        assert_sequence(lab, "public.t", rows);
        lab_wait(lab_count(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t") == (size_t)(round + 3) / 2);
    }
    assert_brackets(lab, "public.t");
    assert_true(lab->heartbeats > 0);
    lab_close(lab);
}

/* A cut connection takes the copy beside the stream with it: it is begun anew, and so is one that was
 * asked for while another ran. */
static void test_cut_in_side_copy(void **state)
{
    (void)state;
    struct lab *lab = lab_open("cutcopy");
    lab->config.flush_bytes = 100000;
    lab->config.idle_commit_ms = 3600000; /* the position stays below the copies */
    lab_sql(lab->pg, "CREATE TABLE t (line text); ALTER TABLE t REPLICA IDENTITY FULL;"
                     "INSERT INTO t SELECT repeat('p', 100) FROM generate_series(1, 5000);"
                     "CREATE PUBLICATION cutcopy FOR TABLE t");
    lab_stream(lab);
    struct pg *holder = lab_connect("cutcopy");
    lab_sql(holder, "BEGIN; INSERT INTO t VALUES ('waited for')"); /* by the copy's slot */
    queue_push(&lab->flow.resync_requests, mem_text("public.t"), 9, 0);
    lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.t", 1);
    int failures = lab->failures;
    kill_sender(lab);
    lab_wait(lab->failures > failures);
    assert_string_equal(lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.t", 2).key, "3");
    queue_push(&lab->flow.resync_requests, mem_text("public.t"), 9, 0);
    lab_wait(queue_count(&lab->flow.resync_requests) == 0);
    lab_sql(holder, "COMMIT");
    pg_close(holder);
    assert_string_equal(lab_row(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t", 1).key, "3");
    assert_string_equal(lab_row(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t", 2).key, "4");
    /* now with some of its rows on their way */
    lab->flow.changes.size_bytes_max = 250000;
    lab->hold = true;
    queue_push(&lab->flow.resync_requests, mem_text("public.t"), 9, 0);
    lab_wait(queue_size_bytes(&lab->flow.changes) > 150000);
    failures = lab->failures;
    kill_sender(lab);
    go_on(lab, failures);
    assert_string_equal(lab_row(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t", 3).key, "6");
    assert_brackets(lab, "public.t");
    lab_close(lab);
}

static void *write_rows(void *arg)
{
    struct writer *w = arg;
    while (!w->stop) {
        char *sql =
            mem_format("INSERT INTO t VALUES (%zu, 'w'), (%zu, 'w')", w->written + 1, w->written + 2);
        lab_sql(w->pg, sql);
        mem_free(sql);
        w->written += 2;
    }
    return NULL;
}

/* Writers go on while senders are killed and the stage is stopped and started. */
static void test_cuts_under_load(void **state)
{
    (void)state;
    struct lab *lab = lab_open("load");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY, pad text)");
    lab_stream(lab);
    struct writer w = {.pg = lab_connect("load")};
    pthread_t thread;
    pthread_create(&thread, NULL, write_rows, &w);
    for (int i = 0; i < 6; i++) {
        size_t before = lab_count(lab, CHANGE_CREATE, "public.t");
        lab_wait(lab_count(lab, CHANGE_CREATE, "public.t") > before + 50);
        if (i % 2) {
            kill_sender(lab);
        } else {
            lab_stage_stop(lab);
            lab_stage_start(lab);
        }
    }
    w.stop = true;
    pthread_join(thread, NULL);
    pg_close(w.pg);
    assert_sequence(lab, "public.t", w.written);
    lab_wait(lab_confirmed(lab) >= lab_row(lab, CHANGE_CREATE, "public.t", w.written - 1).end_lsn);
    assert_true(lab_confirmed(lab) <= lab->flow.durable_lsn);
    lab_close(lab);
}

static void test_partitions(void **state)
{
    (void)state;
    struct lab *lab = lab_open("parts");
    lab_sql(lab->pg, "CREATE TABLE p (id int, day int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
                     "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
                     "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);"
                     "INSERT INTO p VALUES (1, 5), (2, 15)");
    lab_stream(lab);
    assert_int_equal(lab_count(lab, CHANGE_READ, "public.p"), 2);
    lab_sql(lab->pg, "UPDATE p SET day = 16 WHERE id = 1; TRUNCATE p");
    assert_string_equal(lab_row(lab, CHANGE_DELETE, "public.p", 0).key, "{\"id\":1,\"day\":5}");
    assert_string_equal(lab_row(lab, CHANGE_CREATE, "public.p", 0).key, "{\"id\":1,\"day\":16}");
    lab_row(lab, CHANGE_TRUNCATE, "public.p", 0);
    assert_int_equal(lab_count(lab, 0, "public.p1"), 0);
    lab_close(lab);
}

/* A new process: only what the lake tells is known. */
static void test_resume(void **state)
{
    (void)state;
    struct lab *lab = lab_open("resume");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0)");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (1)");
    lab_row(lab, CHANGE_CREATE, "public.t", 0);
    lab_stage_stop(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (2)");
    const char *copied[] = {"public.t"};
    struct capture_resume resume = {
        .epoch = 1,
        .durable_lsn = lab->flow.durable_lsn,
        .copy_complete = true,
        .next_copy_id = 2,
        .copied = copied,
        .copied_count = 1,
        .identity = lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.t", 0).after,
    };
    capture_set_resume(&resume);
    lab_stage_start(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (3)");
    assert_sequence(lab, "public.t", 3);
    assert_int_equal(lab_count(lab, CHANGE_READ, NULL), 1);
    lab_stage_stop(lab);
    /* the slot has moved past what a restored lake holds */
    resume.durable_lsn = 1000;
    capture_set_resume(&resume);
    int failures = lab->failures;
    lab_stage_start(lab);
    lab_wait(lab->failures > failures);
    lab_stage_stop(lab);
    assert_int_equal(lab->last_error.kind, ERROR_CONFIG);
    assert_non_null(strstr(lab->last_error.text, "resync --slot"));
    /* accepted: a new epoch with a full copy */
    resume.new_epoch = true;
    capture_set_resume(&resume);
    lab->last_end_lsn = 0;
    lab_stage_start(lab);
    lab_wait(lab_count(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t") == 2);
    assert_int_equal(lab_count(lab, CHANGE_READ, NULL), 5);
    assert_int_equal(lab_row(lab, CHANGE_READ, "public.t", 4).c.epoch, 2);
    assert_string_equal(lab_row(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t", 1).key, "2");
    lab_close(lab);
}

/* The process died in its first copy, the slot is there: it is dropped and the copy made again. */
static void test_resume_in_copy(void **state)
{
    (void)state;
    struct lab *lab = lab_open("incomplete");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    lab_stream(lab);
    lab_stage_stop(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (2)");
    struct capture_resume resume = {
        .epoch = 1,
        .durable_lsn = 1,
        .next_copy_id = 2,
        .identity = lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.t", 0).after,
    };
    capture_set_resume(&resume);
    lab->last_end_lsn = 0;
    lab_stage_start(lab);
    lab_wait(lab_count(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t") == 2);
    assert_int_equal(lab_count(lab, CHANGE_READ, NULL), 3);
    assert_int_equal(lab_count(lab, CHANGE_CREATE, NULL), 0);
    assert_brackets(lab, "public.t");
    lab_stage_stop(lab);
    /* but a slot of which the lake knows nothing is not ours to drop */
    capture_set_resume(&(struct capture_resume){0});
    int failures = lab->failures;
    lab_stage_start(lab);
    lab_wait(lab->failures > failures);
    assert_int_equal(lab->last_error.kind, ERROR_CONFIG);
    assert_non_null(strstr(lab->last_error.text, "pg_drop_replication_slot"));
    lab_close(lab);
}

static void test_side_copies(void **state)
{
    (void)state;
    struct lab *lab = lab_open("side");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5000)");
    lab_stream(lab);
    queue_push(&lab->flow.resync_requests, mem_text("public.t"), 10, 0);
    lab_wait(lab_count(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t") == 2);
    assert_int_equal(lab_count(lab, CHANGE_READ, "public.t"), 10000);
    assert_string_equal(lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.t", 1).key, "2");
    /* a table added later: noticed when its first change comes */
    lab_sql(lab->pg, "CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n VALUES (1), (2);"
                     "ALTER PUBLICATION side ADD TABLE n");
    lab_sql(lab->pg, "INSERT INTO n VALUES (3)");
    struct kept end = lab_row(lab, CHANGE_SNAPSHOT_COMPLETE, "public.n", 0);
    struct kept begin = lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.n", 0);
    assert_string_equal(begin.key, "3");
    assert_true(begin.c.lsn < end.c.lsn);
    assert_int_equal(lab_count(lab, CHANGE_READ, "public.n"), 3);
    assert_true(lab_row(lab, CHANGE_CREATE, "public.n", 0).c.lsn < end.c.lsn);
    lab_sql(lab->pg, "INSERT INTO n VALUES (4)");
    assert_string_equal(lab_row(lab, CHANGE_CREATE, "public.n", 1).key, "{\"id\":4}");
    char *slots =
        lab_value(lab->pg, "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'side\\_%'");
    assert_string_equal(slots, "0");
    mem_free(slots);
    lab_close(lab);
}

/* New values in old rows that the stream never sends: the table is copied again. */
static void test_rewrite(void **state)
{
    (void)state;
    struct lab *lab = lab_open("rewrite");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (0, 7)");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (1, 1)");
    lab_row(lab, CHANGE_CREATE, "public.t", 0);
    lab_sql(lab->pg, "ALTER TABLE t ADD COLUMN quick int DEFAULT 5; INSERT INTO t VALUES (2, 2)");
    lab_row(lab, CHANGE_CREATE, "public.t", 1);
    lab_sql(lab->pg, "ALTER TABLE t ALTER n TYPE numeric(5,1); INSERT INTO t VALUES (3, 3)");
    lab_row(lab, CHANGE_SNAPSHOT_COMPLETE, "public.t", 1);
    assert_string_equal(lab_row(lab, CHANGE_SNAPSHOT_BEGIN, "public.t", 1).key, "2");
    assert_string_equal(lab_row(lab, CHANGE_READ, "public.t", 1).after,
                        "{\"id\":0,\"n\":\"7.0\",\"quick\":5}");
    lab_close(lab);
}

/* Nothing of ours is written, yet the slot follows; and somebody who waits is answered at once. */
static void test_idle(void **state)
{
    (void)state;
    struct lab *lab = lab_open("idle");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO other SELECT generate_series(1, 1000)");
    uint64_t wal = lab_wal(lab);
    lab_wait(lab_confirmed(lab) >= wal);
    assert_true(lab->heartbeats > 0);
    assert_true(lab_confirmed(lab) <= lab->flow.durable_lsn);
    lab->config.idle_commit_ms = 3600000;
    lab_sql(lab->pg, "INSERT INTO other VALUES (1)");
    wal = lab_wal(lab);
    atomic_store(&lab->flow.wanted_lsn, wal);
    lab_wait(lab->flow.durable_lsn >= wal);
    lab_close(lab);
}

/* While check holds, each transaction is a batch of its own. */
static void test_check_hold(void **state)
{
    (void)state;
    struct lab *lab = lab_open("holding");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY)");
    lab_stream(lab);
    lab->flow.check.hold = true;
    lab->hold = true;
    lab_wait(queue_count(&lab->flow.changes) == 0);
    pthread_mutex_lock(&lab->lock);
    size_t batches = lab->batches, beats = lab->heartbeats;
    pthread_mutex_unlock(&lab->lock);
    for (int i = 1; i <= 5; i++) {
        char *sql = mem_format("INSERT INTO t VALUES (%d)", i);
        lab_sql(lab->pg, sql);
        mem_free(sql);
    }
    lab_wait(queue_count(&lab->flow.changes) >= 5);
    lab->hold = false;
    assert_sequence(lab, "public.t", 5);
    pthread_mutex_lock(&lab->lock);
    assert_true(lab->batches - batches - (lab->heartbeats - beats) == 5);
    pthread_mutex_unlock(&lab->lock);
    lab->flow.check.hold = false;
    lab_close(lab);
}

static void refused(struct lab *lab, const char *because)
{
    int failures = lab->failures;
    lab_stage_start(lab);
    lab_wait(lab->failures > failures);
    lab_stage_stop(lab);
    if (!strstr(lab->last_error.text, because))
        fail_msg("'%s' is not in: %s", because, lab->last_error.text);
}

static void test_refusals(void **state)
{
    (void)state;
    struct lab *lab = lab_open("refusals");
    refused(lab, "no table with a primary key");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY);"
                     "CREATE ROLE weak LOGIN REPLICATION; CREATE ROLE nobody LOGIN");
    char *good = mem_text(lab->config.source);
    char *weak = mem_format("host=%s user=weak dbname=refusals", lab_folder);
    lab_set(&lab->config.source, weak);
    refused(lab, "CREATE PUBLICATION \"refusals\" FOR TABLE \"public\".\"t\", \"public\".\"u\"");
    lab_sql(lab->pg, "CREATE PUBLICATION refusals FOR TABLE t");
    refused(lab, "GRANT SELECT ON \"public\".\"t\"");
    char *none = mem_format("host=%s user=nobody dbname=refusals", lab_folder);
    lab_set(&lab->config.source, none);
    refused(lab, "REPLICATION");
    assert_int_equal(lab->last_error.kind, ERROR_CONFIG);
    lab_set(&lab->config.source, "host=");
    lab_set(&lab->config.source, "nonsense://");
    refused(lab, "`source` is not an address");
    lab_set(&lab->config.source, good);
    lab_set(&lab->config.tables, "public.t, public.u");
    refused(lab, "ALTER PUBLICATION \"refusals\" ADD TABLE \"public\".\"u\"");
    lab_set(&lab->config.tables, "");
    lab_set(&lab->config.exclude_columns, "public.t.id");
    refused(lab, "part of the table's key");
    lab_set(&lab->config.exclude_columns, "");
    capture_set_resume(&(struct capture_resume){
        .epoch = 1,
        .copy_complete = true,
        .durable_lsn = 1,
        .identity =
            "{\"system_id\":\"1\",\"timeline\":1,\"slot\":\"refusals\",\"publication\":\"refusals\"}"});
    refused(lab, "system id 1,");
    lab->failures = 0;
    mem_free(good);
    mem_free(weak);
    mem_free(none);
    lab_close(lab);
}

static void test_publication_dropped(void **state)
{
    (void)state;
    struct lab *lab = lab_open("dropped");
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY)");
    lab_stream(lab);
    lab_sql(lab->pg, "DROP PUBLICATION dropped; INSERT INTO t VALUES (1)");
    lab_wait(lab->failures);
    assert_int_equal(lab->last_error.kind, ERROR_CONFIG);
    assert_non_null(strstr(lab->last_error.text, "publication dropped"));
    lab_close(lab);
}

/* A fast shutdown waits for the receiver of everything; then all goes on where it was. */
static void test_server_restart(void **state)
{
    (void)state;
    struct lab *lab = lab_open("server");
    lab->config.idle_commit_ms = 3600000;
    lab_sql(lab->pg, "CREATE TABLE t (id int PRIMARY KEY)");
    lab_stream(lab);
    lab_sql(lab->pg, "INSERT INTO t VALUES (1)");
    pg_close(lab->pg);
    lab_server_down("fast");
    lab_wait(lab->failures);
    lab_server_up();
    lab->pg = lab_connect("server");
    lab_sql(lab->pg, "INSERT INTO t VALUES (2)");
    assert_sequence(lab, "public.t", 2);
    pg_close(lab->pg);
    lab_server_down("immediate");
    lab_server_up();
    lab->pg = lab_connect("server");
    lab_sql(lab->pg, "INSERT INTO t VALUES (3)");
    assert_sequence(lab, "public.t", 3);
    lab_close(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_transaction),
        cmocka_unit_test(test_cut_in_large_transaction),
        cmocka_unit_test(test_nothing_between_parts),
        cmocka_unit_test(test_cut_in_side_copy),
        cmocka_unit_test(test_cuts_under_load),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_in_copy),
        cmocka_unit_test(test_side_copies),

        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_check_hold),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_publication_dropped),
        cmocka_unit_test(test_server_restart),
    };
    return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
