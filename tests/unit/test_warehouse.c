/* The warehouse over the real engine: its tables have the models' shape; a storm of updates that move rows
 * between months is never read wrongly; a load too large for one block; the stage from outbox to position
 * row, after a restart, and anew from gold when the two do not meet. */
#include "unit.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "lake/delta.h"
#include "stages/outbox.h"
#include "stages/warehouse/warehouse.h"
#include "stages/warehouse/warehouse_int.h"

#include <unistd.h>

#define MONTH_US (INT64_C(30) * 86400 * 1000000)
#define START_US INT64_C(1500000000000000)

static char *home;
static struct config config;
static struct flow flow;
static struct target target;
static struct warehouse_tables tables;
static struct engine_conn *reader;

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    home = unit_folder();
    config_init(&config);
    mem_free(config.home);
    config.home = mem_text(home);
    char *storage = mem_format("%s/warehouse", home);
    unit_ok(engine_open("", home, storage, INT64_C(1) << 30, &err));
    mem_free(storage);
    unit_ok(flow_init(&flow, &config, &err));
    unit_ok(target_open_engine(&target, flow.lake, &err));
    unit_ok(engine_connect(&reader, NULL, &err));
    unit_ok(tables_load(&tables, &err));
    unit_ok(tables_create(&target, &err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tables_free(&tables);
    target_close(&target);
    engine_disconnect(reader);
    flow_free(&flow);
    engine_close();
    config_free(&config);
    unit_folder_remove(home);
    return 0;
}

static char *answer(const char *sql)
{
    struct error err = {0};
    struct buf text = {0};
    unit_ok(target.ops->ask(target.self, sql, &text, &err));
    while (text.len && text.data[text.len - 1] == '\n') text.len--;
    return buf_take(&text);
}

static void assert_answer(const char *sql, const char *expected)
{
    char *got = answer(sql);
    if (strcmp(got, expected) != 0) fail_msg("%s\n  gives %s\n  not   %s", sql, got, expected);
    mem_free(got);
}

static void run(const char *sql)
{
    struct error err = {0};
    unit_ok(target.ops->run(target.self, sql, &err));
}

/* ---- shape ---- */

static void put_columns(const struct warehouse_table *t, struct buf *out)
{
    for (size_t i = 0; i < t->columns.count; i++) {
        buf_printf(out, "%s ", t->columns.items[i].name);
        column_type_clickhouse(&t->columns.items[i], out);
        buf_put_text(out, ", ");
    }
}

static char *columns_of(const char *table)
{
    char *sql = mem_format("SELECT arrayStringConcat(groupArray(concat(name, ' ', type, ', ')))"
                           " FROM (SELECT name, type FROM system.columns WHERE database = currentDatabase()"
                           " AND table = '%s' AND name NOT IN ('_version', '_deleted') ORDER BY position)"
                           " FORMAT TSVRaw", table);
    char *text = answer(sql);
    mem_free(sql);
    return text;
}

static void test_tables_have_the_shape_of_the_models(void **state)
{
    (void)state;
    assert_true(tables.count > 15);
    for (size_t i = 0; i < tables.count; i++) {
        const struct warehouse_table *t = &tables.items[i];
        struct buf expected = {0};
        put_columns(t, &expected);
        char *store = mem_format("%s_store", t->name);
        char *stored = columns_of(store), *seen = columns_of(t->name);
        assert_string_equal(stored, buf_text(&expected));
        assert_string_equal(seen, buf_text(&expected));
        char *sql = mem_format("SELECT sorting_key, partition_key, engine FROM system.tables"
                               " WHERE database = currentDatabase() AND name = '%s'", store);
        char *sort = mem_format("%s\t\tReplacingMergeTree", t->sort);
        assert_answer(sql, sort);
        mem_free(sort);
        mem_free(sql);
        mem_free(stored);
        mem_free(seen);
        mem_free(store);
        buf_free(&expected);
    }
    char *count = mem_format("%zu", tables.count + 1);
    assert_answer("SELECT count() FROM system.tables WHERE database = currentDatabase()"
                  " AND name LIKE '%\\_store'", count);
    mem_free(count);
}

static void test_dimensions_come_first(void **state)
{
    (void)state;
    bool facts = false;
    for (size_t i = 0; i < tables.count; i++) {
        if (!tables.items[i].is_dimension) facts = true;
        else assert_false(facts);
    }
    assert_true(facts);
    assert_true(tables_find(&tables, "dim_products") >= 0);
    assert_int_equal(tables_find(&tables, "nothing"), -1);
}

static void test_the_sample_queries_run_as_they_are(void **state)
{
    (void)state;
    assert_answer("SELECT \n    toStartOfMonth(order_date) as thang,\n    sum(total_amount) as doanh_thu,\n"
                  "    count(DISTINCT order_id) as so_don_hang\nFROM fact_orders\nGROUP BY thang\n"
                  "ORDER BY thang", "");
    assert_answer("SELECT \n    p.category as danh_muc,\n    sum(f.total_amount) as doanh_thu,\n"
                  "    count(*) as so_don\nFROM fact_orders f\n"
                  "JOIN dim_products p ON f.product_key = p.product_key\nGROUP BY danh_muc\n"
                  "ORDER BY doanh_thu DESC\nLIMIT 10", "");
}

/* ---- loading ---- */

/* A row of fact_payments, with its version. */
static void put_payment(struct buf *out, int order, int64_t date_us, int64_t cents, int64_t version,
                        bool deleted)
{
    char id[32];
    snprintf(id, sizeof id, "order-%06d", order);
    buf_put_u64(out, (uint64_t)order);
    buf_put_string(out, slice_of(id));
    buf_put_u32(out, 1);
    buf_put_u64(out, (uint64_t)date_us);
    buf_put_u32(out, 20170101);
    buf_put_u64(out, 0);
    buf_put_string(out, SLICE("delivered"));
    buf_put_string(out, SLICE("boleto"));
    buf_put_u32(out, 1);
    buf_put_u64(out, (uint64_t)cents);
    buf_put_u64(out, (uint64_t)version);
    buf_put_u8(out, deleted);
}

static void put_seller(struct buf *out, int key, const char *city, int64_t version, bool deleted)
{
    char id[32];
    snprintf(id, sizeof id, "seller-%d", key);
    buf_put_u64(out, (uint64_t)key);
    buf_put_string(out, slice_of(id));
    buf_put_string(out, SLICE("01001"));
    buf_put_string(out, slice_of(city));
    buf_put_string(out, SLICE("SP"));
    buf_put_string(out, SLICE("Sudeste"));
    for (int i = 0; i < 2; i++) buf_put_u8(out, 1); /* lat, lng */
    buf_put_u64(out, 0);
    buf_put_u8(out, 1); /* valid_to */
    buf_put_u8(out, 1);
    buf_put_u64(out, (uint64_t)version);
    buf_put_u8(out, deleted);
}

static void load_one(struct load *l, const char *table, int64_t version, struct buf *rows)
{
    struct error err = {0};
    unit_ok(load_add(l, table, version, buf_slice(rows), &err));
    unit_ok(load_flush(l, &err));
    assert_int_equal(l->bytes, 0);
    buf_clear(rows);
}

static void clear_tables(void)
{
    run("TRUNCATE TABLE fact_payments_store");
    run("TRUNCATE TABLE dim_sellers_store");
}

static void test_the_highest_version_of_several_batches_wins(void **state)
{
    (void)state;
    struct load l;
    struct buf rows = {0};
    struct error err = {0};
    clear_tables();
    load_init(&l, &target, &tables, 1 << 20);
    put_payment(&rows, 1, START_US, 100, 1, false);
    put_payment(&rows, 2, START_US, 200, 1, false);
    unit_ok(load_add(&l, "fact_payments", 1, buf_slice(&rows), &err));
    buf_clear(&rows);
    put_payment(&rows, 1, START_US, 100, 2, true); /* moves to the next month */
    put_payment(&rows, 1, START_US + MONTH_US, 150, 2, false);
    put_payment(&rows, 2, START_US, 200, 2, true); /* goes */
    unit_ok(load_add(&l, "fact_payments", 2, buf_slice(&rows), &err));
    buf_clear(&rows);
    put_payment(&rows, 1, START_US + MONTH_US, 150, 3, true); /* and back */
    put_payment(&rows, 1, START_US, 175, 3, false);
    load_one(&l, "fact_payments", 3, &rows);
    assert_answer("SELECT order_id, toUnixTimestamp64Micro(order_date), payment_value FROM fact_payments",
                  "order-000001\t1500000000000000\t1.75");
    put_seller(&rows, 1, "Santos", 1, false);
    put_seller(&rows, 2, "Osasco", 1, false);
    load_one(&l, "dim_sellers", 1, &rows);
    put_seller(&rows, 1, "Santos", 2, true);
    put_seller(&rows, 2, "Marilia", 2, false);
    load_one(&l, "dim_sellers", 2, &rows);
    assert_answer("SELECT seller_key, city FROM dim_sellers", "2\tMarilia");
    load_free(&l);
    buf_free(&rows);
}

static void test_a_block_of_another_shape_is_refused(void **state)
{
    (void)state;
    struct load l;
    struct error err = {0};
    clear_tables();
    load_init(&l, &target, &tables, 1 << 20);
    assert_false(load_add(&l, "fact_payments", 1, SLICE("nonsense"), &err));
    assert_int_equal(err.kind, ERROR_DATA);
    unit_ok(load_cancel(&l, &err));
    unit_ok(load_add(&l, "not_in_the_warehouse", 1, SLICE("nonsense"), &err));
    unit_ok(load_flush(&l, &err));
    assert_answer("SELECT count() FROM fact_payments", "0");
    load_free(&l);
}

static void test_a_large_load_goes_by_copy_and_exchange(void **state)
{
    (void)state;
    enum { ROWS = 5000 };
    struct load l;
    struct buf rows = {0};
    clear_tables();
    load_init(&l, &target, &tables, 20000);
    for (int i = 0; i < 10; i++) put_payment(&rows, i, START_US, 100, 1, false);
    load_one(&l, "fact_payments", 1, &rows);
    for (int i = 5; i < ROWS; i++) put_payment(&rows, i, START_US + i * INT64_C(1000000), 200, 2, false);
    for (int i = 5; i < 10; i++) put_payment(&rows, i, START_US, 100, 2, true);
    load_one(&l, "fact_payments", 2, &rows);
    assert_answer("SELECT count(), sum(payment_value) FROM fact_payments", "5000\t9995.00");
    assert_answer("SELECT count() FROM system.tables WHERE name LIKE '%\\_copy'", "0");
    /* cancelled halfway: nothing has changed, nothing is left */
    struct error err = {0};
    for (int i = 0; i < ROWS; i++) put_payment(&rows, i, START_US, 900, 3, false);
    unit_ok(load_add(&l, "fact_payments", 3, buf_slice(&rows), &err));
    assert_answer("SELECT count() FROM system.tables WHERE name LIKE '%\\_copy'", "1");
    unit_ok(load_cancel(&l, &err));
    assert_answer("SELECT count() FROM system.tables WHERE name LIKE '%\\_copy'", "0");
    assert_answer("SELECT count(), sum(payment_value) FROM fact_payments", "5000\t9995.00");
    load_free(&l);
    buf_free(&rows);
}

/* ---- the storm ---- */

enum { STORM_ROWS = 3000, STORM_BATCHES = 150, STORM_CHANGES = 60 };

struct storm {
    _Atomic bool over;
    _Atomic long reads, wrong;
    char first_wrong[200];
};

static void *read_on(void *arg)
{
    static const char sql[] = "SELECT count(), sum(payment_value), uniqExact(order_id) FROM fact_payments";
    struct storm *s = arg;
    struct error err = {0};
    while (!atomic_load(&s->over)) {
        struct engine_result r = {0};
        if (!engine_query(reader, sql, "TSV", NULL, 0, &r, &err)) {
            snprintf(s->first_wrong, sizeof s->first_wrong, "%.190s", err.text);
            atomic_fetch_add(&s->wrong, 1);
            break;
        }
        atomic_fetch_add(&s->reads, 1);
        if (!slice_equal(r.data, SLICE("3000\t30000.00\t3000\n"))) {
            if (atomic_fetch_add(&s->wrong, 1) == 0)
                snprintf(s->first_wrong, sizeof s->first_wrong, "%.*s", (int)r.data.len, r.data.data);
        }
        engine_result_free(&r);
    }
    return NULL;
}

/* Moves a cent from one order to the next and both to another month: the totals stay. */
static void put_changes(struct buf *rows, int64_t *cents, int64_t *dates, int batch)
{
    for (int i = 0; i < STORM_CHANGES; i++) {
        int order = (batch * 37 + i * 41) % STORM_ROWS, other = (order + 1) % STORM_ROWS;
        int pair[2] = {order, other};
        for (int k = 0; k < 2; k++) {
            int o = pair[k];
            int64_t date_us = START_US + MONTH_US * ((o + batch + i) % 24) + o;
            if (date_us != dates[o]) put_payment(rows, o, dates[o], cents[o], 0, true);
            dates[o] = date_us;
            cents[o] += k ? 1 : -1;
            put_payment(rows, o, date_us, cents[o], 0, false);
        }
    }
}

/* One block names a key once: what put_changes wrote is reduced to each order's first place and last. */
static void put_batch(struct buf *rows, int64_t *cents, int64_t *dates, int batch)
{
    static int64_t old_cents[STORM_ROWS], old_dates[STORM_ROWS];
    struct buf unused = {0};
    memcpy(old_cents, cents, sizeof old_cents);
    memcpy(old_dates, dates, sizeof old_dates);
    put_changes(&unused, cents, dates, batch);
    buf_free(&unused);
    for (int o = 0; o < STORM_ROWS; o++) {
        if (old_dates[o] != dates[o]) put_payment(rows, o, old_dates[o], old_cents[o], batch, true);
        if (old_dates[o] != dates[o] || old_cents[o] != cents[o])
            put_payment(rows, o, dates[o], cents[o], batch, false);
    }
}

static void test_a_storm_of_moves_is_never_read_wrongly(void **state)
{
    (void)state;
    static int64_t cents[STORM_ROWS], dates[STORM_ROWS];
    struct storm storm = {0};
    struct load l;
    struct buf rows = {0};
    pthread_t thread;
    clear_tables();
    load_init(&l, &target, &tables, 1 << 20);
    for (int o = 0; o < STORM_ROWS; o++) {
        cents[o] = 1000;
        dates[o] = START_US + MONTH_US * (o % 24) + o;
        put_payment(&rows, o, dates[o], cents[o], 1, false);
    }
    load_one(&l, "fact_payments", 1, &rows);
    assert_int_equal(pthread_create(&thread, NULL, read_on, &storm), 0);
    for (int batch = 2; batch < STORM_BATCHES; batch++) {
        /* some loads are too large for a block and are exchanged in */
        l.block_bytes_max = batch % 10 ? 1 << 20 : 2000;
        put_batch(&rows, cents, dates, batch);
        load_one(&l, "fact_payments", batch, &rows);
    }
    while (atomic_load(&storm.reads) < 50 && atomic_load(&storm.wrong) == 0) clock_sleep_us(1000);
    atomic_store(&storm.over, true);
    pthread_join(thread, NULL);
    if (atomic_load(&storm.wrong))
        fail_msg("%ld of %ld reads were wrong: %s", (long)storm.wrong, (long)storm.reads,
                 storm.first_wrong);
    load_free(&l);
    buf_free(&rows);
}

/* ---- the stage ---- */

static const char versions_text[] = "{\"silver\":{},\"gold\":{\"geo_zip\":%lld}}";

static void write_batches_row(struct delta_table *batches, int64_t position, int64_t geo_version)
{
    struct error err = {0};
    struct buf row = {0};
    struct delta_file file = {0};
    char *versions = mem_format(versions_text, (long long)geo_version);
    buf_put_u64(&row, (uint64_t)position);
    buf_put_u64(&row, (uint64_t)position * 10);
    buf_put_u64(&row, (uint64_t)clock_wall_us());
    buf_put_string(&row, slice_of(versions));
    unit_ok(delta_write_file(batches, reader, buf_slice(&row), 1, NULL, &file, &err));
    struct delta_commit *c = delta_commit_begin(batches, "WRITE");
    delta_commit_add(c, &file, true);
    int64_t version;
    unit_ok(delta_commit_finish(c, &version, &err));
    delta_file_free(&file);
    mem_free(versions);
    buf_free(&row);
}

static struct delta_table *open_batches(void)
{
    struct error err = {0};
    struct columns columns = {0};
    struct delta_options options = {.append_only = true};
    struct delta_table *t;
    columns_add(&columns, "position", COLUMN_LONG, 0, 0, false);
    columns_add(&columns, "end_lsn", COLUMN_LONG, 0, 0, false);
    columns_add(&columns, "commit_at", COLUMN_TIMESTAMP, 0, 0, false);
    columns_add(&columns, "versions", COLUMN_STRING, 0, 0, false);
    unit_ok(delta_open_or_create(&t, flow.lake, BATCHES_TABLE, &columns, &options, &err));
    columns_free(&columns);
    return t;
}

static void put_zip(struct buf *out, const char *zip, int64_t points)
{
    double at = 0;
    buf_put_string(out, slice_of(zip));
    buf_put_string(out, SLICE("santos"));
    buf_put_string(out, SLICE("SP"));
    buf_put(out, &at, sizeof at);
    buf_put(out, &at, sizeof at);
    buf_put_u64(out, (uint64_t)points);
}

/* One batch as gold leaves it: one zip, with the given count of points. */
static void put_outbox(struct delta_table *batches, int64_t position, const char *zip, int64_t points)
{
    struct error err = {0};
    struct buf row = {0};
    int sort_column = 0;
    const struct warehouse_table *t = &tables.items[tables_find(&tables, "geo_zip")];
    struct outbox_writer w = {"geo_zip", position, &t->columns, &sort_column, 1};
    struct state_batch *b = state_batch_new();
    put_zip(&row, zip, points);
    struct keyed_applied applied = {.key = slice_of(zip), .after = buf_slice(&row)};
    outbox_append(&w, &applied, 1, position, b);
    unit_ok(state_write(flow.state, b, &err));
    state_batch_free(b);
    write_batches_row(batches, position, 1);
    char versions[] = "{}";
    struct outbox_batch batch = {.position = position, .end_lsn = (uint64_t)position * 10,
                                 .commit_us = clock_wall_us(), .versions = versions};
    unit_ok(outbox_complete(flow.state, &batch, &err));
    atomic_store(&flow.refined_position, position);
    buf_free(&row);
}

/* gold/geo_zip in the lake: version 0 empty, version 1 three zips. */
static void make_gold(void)
{
    struct error err = {0};
    struct buf rows = {0};
    struct delta_table *t;
    struct delta_options options = {0};
    struct delta_file file = {0};
    int64_t version;
    const struct warehouse_table *zip = &tables.items[tables_find(&tables, "geo_zip")];
    unit_ok(delta_open_or_create(&t, flow.lake, "gold/geo_zip", &zip->columns, &options, &err));
    put_zip(&rows, "10001", 1);
    put_zip(&rows, "10002", 2);
    put_zip(&rows, "10003", 3);
    unit_ok(delta_write_file(t, reader, buf_slice(&rows), 3, NULL, &file, &err));
    struct delta_commit *c = delta_commit_begin(t, "WRITE");
    delta_commit_add(c, &file, true);
    unit_ok(delta_commit_finish(c, &version, &err));
    assert_int_equal(version, 1);
    delta_file_free(&file);
    delta_close(t);
    buf_free(&rows);
}

static void *open_stage(void)
{
    struct error err = {0};
    void *self = NULL;
    unit_ok(warehouse_ops.open(&flow, &self, &err));
    return self;
}

static void step_until_idle(void *self)
{
    struct error err = {0};
    enum progress progress = PROGRESS_SOME;
    wake_signal(&flow.warehouse_wake);
    for (int i = 0; i < 20 && progress == PROGRESS_SOME; i++)
        unit_ok(warehouse_ops.step(self, &progress, &err));
    assert_int_equal(progress, PROGRESS_IDLE);
}

static void assert_shown(const char *zips, int64_t position)
{
    char *expected = mem_format("%lld\t%lld", (long long)position, (long long)position * 10);
    assert_answer("SELECT position, end_lsn FROM millrace_position", expected);
    mem_free(expected);
    assert_answer("SELECT arrayStringConcat(groupArray(concat(zip, '=', toString(points))), ' ')"
                  " FROM (SELECT zip, points FROM geo_zip ORDER BY zip)", zips);
    assert_int_equal(atomic_load(&flow.warehouse_position), position);
    assert_int_equal(atomic_load(&flow.warehouse_lsn), position * 10);
}

static void assert_outbox_empty(void)
{
    struct error err = {0};
    struct outbox_batch batch = {0};
    bool found = true;
    unit_ok(outbox_next(flow.state, 0, &batch, &found, &err));
    assert_false(found);
}

static void test_the_stage(void **state)
{
    (void)state;
    struct error err = {0};
    void *self = open_stage();
    step_until_idle(self); /* no lake yet: nothing to show */
    assert_int_equal(atomic_load(&flow.warehouse_position), 0);

    struct delta_table *batches = open_batches();
    make_gold();
    put_outbox(batches, 10, "10001", 1);
    put_outbox(batches, 20, "10002", 1);
    put_outbox(batches, 30, "10001", 5);
    step_until_idle(self);
    assert_shown("10001=5 10002=1", 30);
    assert_outbox_empty();
    assert_true(atomic_load(&flow.warehouse_commit_us) > 0);

    /* a restart goes on from the position row */
    warehouse_ops.close(self);
    put_outbox(batches, 40, "10004", 4);
    self = open_stage();
    assert_int_equal(atomic_load(&flow.warehouse_position), 30);
    step_until_idle(self);
    assert_shown("10001=5 10002=1 10004=4", 40);
    warehouse_ops.close(self);

    /* a batch that never reached the outbox: all tables anew from gold as of `batches` */
    write_batches_row(batches, 50, 1);
    atomic_store(&flow.refined_position, 40);
    self = open_stage();
    step_until_idle(self); /* refine may still complete it */
    assert_shown("10001=5 10002=1 10004=4", 40);
    atomic_store(&flow.refined_position, 50);
    step_until_idle(self);
    assert_shown("10001=1 10002=2 10003=3", 50);

    /* the outbox says itself that changes were lost */
    run("TRUNCATE TABLE geo_zip_store");
    struct state_batch *b = state_batch_new();
    outbox_append_reload("geo_zip", 60, 1, b);
    unit_ok(state_write(flow.state, b, &err));
    state_batch_free(b);
    put_outbox(batches, 60, "10009", 9);
    step_until_idle(self);
    assert_shown("10001=1 10002=2 10003=3 10009=9", 60);

    /* a block that does not fit the table */
    b = state_batch_new();
    struct columns other = {0};
    columns_add(&other, "x", COLUMN_STRING, 0, 0, false);
    struct outbox_writer w = {"geo_zip", 70, &other, NULL, 0};
    struct keyed_applied applied = {.key = SLICE("k"), .after = SLICE("\1x")};
    outbox_append(&w, &applied, 1, 69, b);
    unit_ok(state_write(flow.state, b, &err));
    state_batch_free(b);
    columns_free(&other);
    put_outbox(batches, 70, "10008", 8);
    step_until_idle(self);
    assert_shown("10001=1 10002=2 10003=3", 70);
    warehouse_ops.close(self);

    /* the warehouse was deleted */
    unit_ok(tables_drop(&target, &err));
    assert_answer("SELECT count() FROM system.tables WHERE name LIKE '%\\_store'", "0");
    self = open_stage();
    step_until_idle(self);
    assert_shown("10001=1 10002=2 10003=3", 70);
    assert_answer("SELECT count() FROM system.tables WHERE name LIKE '%\\_copy'", "0");
    warehouse_ops.close(self);
    delta_close(batches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_have_the_shape_of_the_models),
        cmocka_unit_test(test_dimensions_come_first),
        cmocka_unit_test(test_the_sample_queries_run_as_they_are),
        cmocka_unit_test(test_the_highest_version_of_several_batches_wins),
        cmocka_unit_test(test_a_block_of_another_shape_is_refused),
        cmocka_unit_test(test_a_large_load_goes_by_copy_and_exchange),
        cmocka_unit_test(test_a_storm_of_moves_is_never_read_wrongly),
        cmocka_unit_test(test_the_stage),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
