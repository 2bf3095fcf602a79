/* The outbox: blocks as merges leave them, whole batches in order, pending blocks, restarts. */
#include "unit.h"

#include "stages/outbox.h"

static char *folder;
static struct state *store;
static struct columns columns;
static const int sort_columns[] = {1, 0};

static struct outbox_writer writer(const char *table, int64_t position)
{
    return (struct outbox_writer){table, position, &columns, sort_columns, 2};
}

/* A row of (id, at nullable, note). */
static void put_row(struct buf *out, const char *id, int at, const char *note)
{
    buf_put_string(out, slice_of(id));
    buf_put_u8(out, at < 0);
    if (at >= 0) buf_put_u32(out, (uint32_t)at);
    buf_put_string(out, slice_of(note));
}

struct change {
    int before_at, after_at; /* -2: no row */
    const char *before_note, *after_note;
};

static void append(const char *table, int64_t position, int64_t version, const struct change *changes,
                   size_t count)
{
    struct error err = {0};
    struct keyed_applied applied[8];
    struct buf rows[16] = {0};
    struct state_batch *b = state_batch_new();
    for (size_t i = 0; i < count; i++) {
        const struct change *c = &changes[i];
        char id[8];
        snprintf(id, sizeof id, "k%zu", i);
        if (c->before_at > -2) put_row(&rows[2 * i], id, c->before_at, c->before_note);
        if (c->after_at > -2) put_row(&rows[2 * i + 1], id, c->after_at, c->after_note);
        applied[i] =
            (struct keyed_applied){SLICE("k"), buf_slice(&rows[2 * i]), buf_slice(&rows[2 * i + 1])};
    }
    struct outbox_writer w = writer(table, position);
    outbox_append(&w, applied, count, version, b);
    unit_ok(state_write(store, b, &err));
    state_batch_free(b);
    for (int i = 0; i < 16; i++)
        buf_free(&rows[i]);
}

static void append_one(const char *table, int64_t position, int64_t version)
{
    struct change c = {-2, 1, NULL, "x"};
    append(table, position, version, &c, 1);
}

static void complete(int64_t position, const char *versions)
{
    struct error err = {0};
    char *own = mem_text(versions);
    struct outbox_batch batch = {position, (uint64_t)position * 10, position * 100, own};
    unit_ok(outbox_complete(store, &batch, &err));
    mem_free(own);
}

/* "table@version:bytes " for each block. */
static bool list_block(void *arg, const char *table, int64_t version, struct slice block, struct error *err)
{
    (void)err;
    buf_printf(arg, "%s@%lld:%zu ", table, (long long)version, block.len);
    return true;
}

static void assert_blocks(int64_t position, const char *wanted)
{
    struct error err = {0};
    struct buf list = {0};
    unit_ok(outbox_blocks(store, position, list_block, &list, &err));
    assert_string_equal(buf_text(&list), wanted);
    buf_free(&list);
}

/* The oldest batch after `position` is `wanted` (-1: none). */
static void assert_next(int64_t position, int64_t wanted)
{
    struct error err = {0};
    struct outbox_batch batch;
    bool found;
    unit_ok(outbox_next(store, position, &batch, &found, &err));
    assert_int_equal(found, wanted >= 0);
    if (!found) return;
    assert_int_equal(batch.position, wanted);
    assert_int_equal(batch.end_lsn, (uint64_t)wanted * 10);
    assert_int_equal(batch.commit_us, wanted * 100);
    outbox_batch_free(&batch);
}

static int set_up(void **unused)
{
    (void)unused;
    struct error err = {0};
    folder = unit_folder();
    columns = (struct columns){0};
    columns_add(&columns, "id", COLUMN_STRING, 0, 0, false);
    columns_add(&columns, "at", COLUMN_INTEGER, 0, 0, true);
    columns_add(&columns, "note", COLUMN_STRING, 0, 0, false);
    return state_open(&store, folder, 1 << 20, &err) ? 0 : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    state_close(store);
    columns_free(&columns);
    unit_folder_remove(folder);
    return 0;
}

/* ---- tests ---- */

static bool copy_block(void *arg, const char *table, int64_t version, struct slice block, struct error *err)
{
    (void)table;
    (void)version;
    (void)err;
    buf_put_slice(arg, block);
    return true;
}

static void test_block(void **unused)
{
    (void)unused;
    struct error err = {0};
    static const struct change changes[] = {
        {-2, 1, NULL, "new"},       {1, 1, "old", "note changed"}, {1, 2, "old", "moved"},
        {-1, 3, "old", "was null"}, {4, -2, "gone", NULL},         {-1, -1, "a", "still null"},
    };
    static const struct {
        const char *id;
        int at;
        const char *note;
        bool deleted;
    } wanted[] = {
        {"k0", 1, "new", false},   {"k1", 1, "note changed", false}, {"k2", 1, "old", true},
        {"k2", 2, "moved", false}, {"k3", -1, "old", true},          {"k3", 3, "was null", false},
        {"k4", 4, "gone", true},   {"k5", -1, "still null", false},
    };
    struct buf block = {0}, expected = {0};
    append("facts", 65536, 7, changes, sizeof changes / sizeof *changes);
    append("facts", 65536, 8, changes, 0); /* nothing changed: no block */
    unit_ok(outbox_blocks(store, 65536, copy_block, &block, &err));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        put_row(&expected, wanted[i].id, wanted[i].at, wanted[i].note);
        buf_put_u64(&expected, 7);
        buf_put_u8(&expected, wanted[i].deleted);
    }
    assert_int_equal(block.len, expected.len);
    assert_memory_equal(block.data, expected.data, expected.len);
    buf_free(&block);
    buf_free(&expected);
}

static void test_whole_batches(void **unused)
{
    (void)unused;
    struct error err = {0};
    append_one("dims", 65536, 3);
    assert_next(-1, -1); /* not whole yet */
    append_one("facts", 65536, 300);
    append_one("facts", 65536, 5);
    append_one("facts", 131072, 301);
    complete(65536, "{\"facts\":300}");
    assert_next(-1, 65536);
    assert_next(65536, -1);
    complete(131072, "{}");
    complete(INT64_C(1) << 40, "{}"); /* a batch without changes */
    assert_next(0, 65536);
    assert_next(65536, 131072);
    assert_next(131072, INT64_C(1) << 40);
    assert_next(INT64_C(1) << 40, -1);
    assert_blocks(65536, "dims@3:19 facts@5:19 facts@300:19 ");
    assert_blocks(131072, "facts@301:19 ");
    assert_blocks(INT64_C(1) << 40, "");
    unit_ok(outbox_remove(store, 65536, &err));
    assert_blocks(65536, "");
    assert_next(-1, 131072);
    assert_blocks(131072, "facts@301:19 ");
}

static void test_pending(void **unused)
{
    (void)unused;
    struct error err = {0};
    append_one("daily", OUTBOX_PENDING, 4);
    append_one("daily", OUTBOX_PENDING, 5);
    append_one("facts", 65536, 9);
    assert_next(-1, -1);
    complete(65536, "{}");
    assert_blocks(65536, "daily@4:19 daily@5:19 facts@9:19 ");
    assert_blocks(OUTBOX_PENDING, "");
    append_one("daily", OUTBOX_PENDING, 6);
    complete(65536, "{}"); /* again after a restart: the batch may have been loaded already */
    assert_blocks(65536, "daily@4:19 daily@5:19 facts@9:19 ");
    unit_ok(outbox_remove(store, 65536, &err));
    complete(65536, "{}"); /* and removed */
    assert_next(-1, -1);
    assert_blocks(OUTBOX_PENDING, "daily@6:19 ");
    complete(131072, "{}");
    assert_next(-1, 131072);
    assert_blocks(131072, "daily@6:19 ");
}

static void test_reload(void **unused)
{
    (void)unused;
    struct error err = {0};
    struct state_batch *b = state_batch_new();
    append_one("facts", 65536, 9);
    outbox_append_reload("facts", 65536, 10, b);
    unit_ok(state_write(store, b, &err));
    state_batch_free(b);
    append_one("facts", 65536, 11);
    assert_blocks(65536, "facts@9:19 facts@10:0 facts@11:19 ");
}

static bool refuse_block(void *arg, const char *table, int64_t version, struct slice block,
                         struct error *err)
{
    int *calls = arg;
    (void)table;
    (void)version;
    (void)block;
    ++*calls;
    return error_set(err, ERROR_RETRY, "not now");
}

static void test_reader_fails(void **unused)
{
    (void)unused;
    struct error err = {0};
    int calls = 0;
    append_one("a", 65536, 1);
    append_one("b", 65536, 1);
    assert_false(outbox_blocks(store, 65536, refuse_block, &calls, &err));
    assert_int_equal(calls, 1);
    assert_string_equal(err.text, "not now");
    assert_int_equal(err.kind, ERROR_RETRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_block, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whole_batches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pending, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_fails, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
