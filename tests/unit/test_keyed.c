/* lake/keyed.h against a model: what a table must hold after step p depends on the seed and p alone, so
 * a process that was killed anywhere is judged by the position that its table says. The program runs
 * itself again as a child to be killed: `test_keyed child <home> <steps> <large>`. */
#include "unit.h"

#include "lake/keyed.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEYS = 400, GROUPS = 5, COLUMN_GROUP = 2, STEP_CHANGES = 60, LARGE_NOTE = 400000, REGIONS = 3 };

static const char *const regions[REGIONS] = {"a", "b'\"\\`", "\xC3\xBC\x01"};
static const char *const groups[GROUPS] = {"red", "re", "", "g\x01", "blue"};

/* ---- the world ---- */

struct world {
    char home[64], lake[80], store[80];
    struct state *state;
    struct engine_conn *conn;
    struct keyed *k;
    struct columns columns;
    int64_t compact_rows;
    bool large, check_hook;
};

struct model {
    int value[KEYS]; /* -1: no such row */
};

static uint64_t next_random(uint64_t *r)
{
    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;
    return *r;
}

static void die_unless(bool ok, const struct error *err)
{
    if (!ok) fail_msg("%s: %s", error_kind_name(err->kind), err->text);
}

static void put_row(const struct world *w, int key, int value, struct buf *out)
{
    uint64_t noise = (uint64_t)(key * 7919 + value + 1);
    buf_put_string(out, slice_of(regions[key % REGIONS]));
    buf_put_u64(out, (uint64_t)key);
    int group = value % (GROUPS + 1);
    buf_put_nullable(out, group < GROUPS ? slice_of(groups[group]) : (struct slice){0});
    buf_put_u8(out, 0);
    buf_put_u64(out, (uint64_t)(value * 100 - 3));
    struct buf note = {0};
    size_t len = w->large ? LARGE_NOTE : next_random(&noise) % 40;
    for (size_t i = 0; i < len; i++) buf_put_char(&note, (char)('a' + next_random(&noise) % 26));
    buf_put_string(out, buf_slice(&note));
    buf_free(&note);
    if (w->columns.count > 5) buf_put_u8(out, 1);
}

static void put_key(int key, struct buf *out)
{
    buf_printf(out, "%s\x1F%d", regions[key % REGIONS], key);
}

static void make_columns(struct columns *c, bool wider)
{
    columns_add(c, "region", COLUMN_STRING, 0, 0, false);
    columns_add(c, "id", COLUMN_LONG, 0, 0, false);
    columns_add(c, "grp", COLUMN_STRING, 0, 0, true);
    columns_add(c, "amount", COLUMN_DECIMAL, 12, 2, true);
    columns_add(c, "note", COLUMN_STRING, 0, 0, false);
    if (wider) columns_add(c, "later", COLUMN_DATE, 0, 0, true);
}

static void open_table(struct world *w, bool *differ)
{
    static const int key_columns[] = {0, 1}, index_columns[] = {COLUMN_GROUP};
    struct error err = {0};
    struct keyed_spec spec = {
        .name = "silver/things", .columns = &w->columns, .key_columns = key_columns, .key_column_count = 2,
        .index_columns = index_columns, .index_column_count = 1, .app_id = "test",
        .live_files_max = 4, .compact_rows_max = w->compact_rows,
        .options = {.deletion_vectors = true, .checkpoint_commits = 5},
    };
    die_unless(state_open(&w->state, w->store, 8 << 20, &err), &err);
    die_unless(keyed_open(&w->k, w->lake, w->state, w->conn, &spec, differ, &err), &err);
}

static void close_table(struct world *w)
{
    keyed_close(w->k);
    state_close(w->state);
    w->k = NULL;
    w->state = NULL;
}

static struct engine_conn *shared_conn;
static char shared_home[64];
static char *program;

/* A new table below the home of this process's engine. */
static void make_world(struct world *w)
{
    static int number;
    *w = (struct world){.conn = shared_conn, .compact_rows = 1000};
    snprintf(w->home, sizeof w->home, "%.40s/t%d", shared_home, number++);
    snprintf(w->lake, sizeof w->lake, "%s/lake", w->home);
    snprintf(w->store, sizeof w->store, "%s/state", w->home);
    make_columns(&w->columns, false);
}

static void end_world(struct world *w)
{
    struct error err = {0};
    if (w->k) close_table(w);
    columns_free(&w->columns);
    assert_true(file_remove_tree(w->home, &err));
}

/* ---- steps ---- */

/* What step p changes: keys without repetition, value -1 for a delete. */
static size_t make_step(int64_t p, bool large, int *keys, int *values)
{
    uint64_t r = (uint64_t)p * 0x9E3779B97F4A7C15u + 88172645463325252u;
    bool used[KEYS] = {false};
    size_t count = 0, wanted = next_random(&r) % 8 == 0 ? 0 : next_random(&r) % STEP_CHANGES + 1;
    if (large) wanted = 110;
    for (size_t i = 0; i < wanted; i++) {
        int key = (int)(next_random(&r) % (p % 3 == 0 ? 30 : KEYS));
        if (large) key = (int)(next_random(&r) % KEYS);
        int value = next_random(&r) % 4 == 0 && !large ? -1 : (int)(next_random(&r) % 7);
        if (used[key]) continue;
        used[key] = true;
        keys[count] = key;
        values[count++] = value;
    }
    return count;
}

static void model_at(struct model *m, int64_t position, bool large)
{
    int keys[KEYS], values[KEYS];
    for (int i = 0; i < KEYS; i++) m->value[i] = -1;
    for (int64_t p = 0; p <= position; p++) {
        size_t n = make_step(p, large, keys, values);
        for (size_t i = 0; i < n; i++) m->value[keys[i]] = values[i];
    }
}

/* Marks that must be exactly as durable as the merge: by the caller's batch and by the hook. */
static void mark_key(char kind, int64_t position, struct buf *out)
{
    buf_printf(out, "m/%c/%lld", kind, (long long)position);
}

struct step { struct world *w; int64_t position; };

static int key_number(struct slice key)
{
    const char *id = memchr(key.data, 0x1F, key.len);
    assert_non_null(id);
    char text[24] = {0};
    memcpy(text, id + 1, key.len - (size_t)(id + 1 - key.data));
    return (int)strtol(text, NULL, 10);
}

static void check_row(const struct world *w, struct slice row, int key, int value)
{
    struct buf expected = {0};
    assert_int_equal(row.data != NULL, value >= 0);
    if (value >= 0) put_row(w, key, value, &expected);
    assert_true(slice_equal(row, buf_slice(&expected)));
    buf_free(&expected);
}

/* The hook must be told exactly the rows that differ between two steps, as they were and as they are. */
static void check_applied(const struct step *step, const struct keyed_applied *applied, size_t count)
{
    struct model before, after;
    size_t differ = 0;
    model_at(&before, step->position - 1, step->w->large);
    model_at(&after, step->position, step->w->large);
    for (int i = 0; i < KEYS; i++) differ += before.value[i] != after.value[i];
    assert_int_equal(count, differ);
    for (size_t i = 0; i < count; i++) {
        int key = key_number(applied[i].key);
        assert_int_not_equal(before.value[key], after.value[key]);
        check_row(step->w, applied[i].before, key, before.value[key]);
        check_row(step->w, applied[i].after, key, after.value[key]);
    }
}

static void hook(void *arg, const struct keyed_applied *applied, size_t count, int64_t version,
                 struct state_batch *also)
{
    const struct step *step = arg;
    struct buf key = {0}, value = {0};
    if (step->w->check_hook) check_applied(step, applied, count);
    mark_key('h', step->position, &key);
    buf_printf(&value, "%zu %lld", count, (long long)version);
    state_batch_put(also, buf_slice(&key), buf_slice(&value));
    buf_free(&key);
    buf_free(&value);
}

static struct state_batch *make_also(int64_t p)
{
    struct state_batch *also = state_batch_new();
    struct buf mark = {0};
    mark_key('a', p, &mark);
    state_batch_put(also, buf_slice(&mark), SLICE("x"));
    buf_free(&mark);
    return also;
}

static bool merge_step(struct world *w, int64_t p, struct keyed_counts *counts, struct error *err)
{
    int keys[KEYS], values[KEYS];
    struct keyed_change changes[KEYS];
    size_t count = make_step(p, w->large, keys, values), at[2 * KEYS + 1] = {0};
    struct buf bytes = {0};
    for (size_t i = 0; i < count; i++) {
        put_key(keys[i], &bytes);
        at[2 * i + 1] = bytes.len;
        if (values[i] >= 0) put_row(w, keys[i], values[i], &bytes);
        at[2 * i + 2] = bytes.len;
    }
    for (size_t i = 0; i < count; i++) {
        changes[i].key = (struct slice){bytes.data + at[2 * i], at[2 * i + 1] - at[2 * i]};
        changes[i].row = (struct slice){bytes.data + at[2 * i + 1], at[2 * i + 2] - at[2 * i + 1]};
        if (values[i] < 0) changes[i].row.data = NULL;
    }
    struct state_batch *also = make_also(p);
    struct step step = {w, p};
    bool ok = keyed_merge(w->k, w->conn, changes, count, p, also, hook, &step, counts, err);
    state_batch_free(also);
    buf_free(&bytes);
    return ok;
}

/* ---- judging ---- */

struct seen {
    const struct world *w;
    const struct model *m;
    size_t count;
    bool in[KEYS];
};

static bool see_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct seen *s = arg;
    (void)err;
    int n = key_number(key);
    assert_true(n >= 0 && n < KEYS && s->m->value[n] >= 0);
    assert_false(s->in[n]);
    s->in[n] = true;
    s->count++;
    check_row(s->w, row, n, s->m->value[n]);
    return true;
}

static bool see_found(void *arg, size_t value, struct slice key, struct slice row, struct error *err)
{
    struct seen *of = arg;
    return see_row(&of[value], key, row, err);
}

/* The rows of each of these values, asked for at once. */
static void check_found(struct world *w, const struct model *m, int column, const char *const *texts,
                        const size_t *expected, int count)
{
    struct error err = {0};
    struct slice values[GROUPS + REGIONS];
    struct seen of[GROUPS + REGIONS];
    for (int i = 0; i < count; i++) {
        values[i] = slice_of(texts[i]);
        of[i] = (struct seen){.w = w, .m = m};
    }
    die_unless(keyed_find_many(w->k, column, values, (size_t)count, see_found, of, &err), &err);
    for (int i = 0; i < count; i++)
        assert_int_equal(of[i].count, expected[i]);
}

static void check_store(struct world *w, const struct model *m)
{
    struct error err = {0};
    size_t total = 0, of_group[GROUPS] = {0}, of_region[REGIONS] = {0};
    for (int i = 0; i < KEYS; i++) {
        if (m->value[i] < 0) continue;
        total++;
        of_region[i % REGIONS]++;
        if (m->value[i] % (GROUPS + 1) < GROUPS) of_group[m->value[i] % (GROUPS + 1)]++;
    }
    assert_int_equal(keyed_row_count(w->k), total);
    struct seen all = {.w = w, .m = m};
    die_unless(keyed_scan(w->k, NULL, see_row, &all, &err), &err);
    assert_int_equal(all.count, total);
    check_found(w, m, COLUMN_GROUP, groups, of_group, GROUPS);
    check_found(w, m, 0, regions, of_region, REGIONS);
}

static void check_gets(struct world *w, const struct model *m)
{
    struct error err = {0};
    struct buf keys = {0}, row = {0};
    struct slice slices[KEYS];
    size_t total = 0, at[KEYS + 1] = {0};
    for (int i = 0; i < KEYS; i++) {
        put_key(i, &keys);
        at[i + 1] = keys.len;
        total += m->value[i] >= 0;
    }
    for (int i = 0; i < KEYS; i++) slices[i] = (struct slice){keys.data + at[i], at[i + 1] - at[i]};
    struct seen many = {.w = w, .m = m};
    die_unless(keyed_get_many(w->k, slices, KEYS, see_row, &many, &err), &err);
    assert_int_equal(many.count, total);
    for (int i = 0; i < KEYS; i += 17) {
        bool found;
        buf_clear(&row);
        die_unless(keyed_get(w->k, slices[i], &row, &found, &err), &err);
        assert_int_equal(found, m->value[i] >= 0);
    }
    buf_free(&keys);
    buf_free(&row);
}

/* What the engine's own Delta reader sees. */
static void check_lake(struct world *w, const struct model *m)
{
    struct error err = {0};
    struct buf sql = {0}, expected = {0};
    buf_put_text(&sql, "SELECT ");
    for (size_t i = 0; i < w->columns.count; i++) {
        buf_put_text(&sql, i ? ", CAST(" : "CAST(");
        buf_put_sql_name(&sql, w->columns.items[i].name);
        buf_put_text(&sql, ", '");
        column_type_clickhouse(&w->columns.items[i], &sql);
        buf_put_text(&sql, "')");
    }
    buf_put_text(&sql, " FROM ");
    delta_put_source(keyed_table(w->k), &sql);
    buf_put_text(&sql, " ORDER BY id");
    for (int i = 0; i < KEYS; i++)
        if (m->value[i] >= 0) put_row(w, i, m->value[i], &expected);
    struct engine_result result;
    die_unless(engine_query(w->conn, buf_text(&sql), "RowBinary", NULL, 0, &result, &err), &err);
    assert_int_equal(result.data.len, expected.len);
    assert_true(slice_equal(result.data, buf_slice(&expected)));
    engine_result_free(&result);
    buf_free(&sql);
    buf_free(&expected);
}

/* Every step up to the position has its marks, none after it. */
static void check_marks(struct world *w, int64_t from, int64_t position)
{
    struct error err = {0};
    for (int64_t p = from; p <= position + 3; p++) {
        for (int kind = 0; kind < 2; kind++) {
            struct buf key = {0}, value = {0};
            bool found;
            mark_key(kind ? 'h' : 'a', p, &key);
            die_unless(state_get(w->state, NULL, buf_slice(&key), &value, &found, &err), &err);
            assert_int_equal(found, p <= position);
            buf_free(&key);
            buf_free(&value);
        }
    }
}

static void check_all(struct world *w)
{
    struct model m;
    model_at(&m, keyed_position(w->k), w->large);
    check_store(w, &m);
    check_gets(w, &m);
    check_lake(w, &m);
}

static void reopen(struct world *w, bool without_state)
{
    struct error err = {0};
    bool differ;
    close_table(w);
    if (without_state) assert_true(file_remove_tree(w->store, &err));
    open_table(w, &differ);
    assert_false(differ);
}

/* ---- tests ---- */

static void test_random(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    uint64_t r = 4711;
    make_world(&w);
    w.check_hook = true;
    open_table(&w, &differ);
    assert_false(differ);
    assert_int_equal(keyed_position(w.k), -1);
    for (int64_t p = 0; p < 150; p++) {
        struct keyed_counts counts;
        die_unless(merge_step(&w, p, &counts, &err), &err);
        assert_int_equal(keyed_position(w.k), p);
        if (next_random(&r) % 3 == 0) {
            die_unless(keyed_upkeep(w.k, w.conn, keyed_version(w.k), &err), &err);
            assert_true(delta_file_count(keyed_table(w.k)) <= 6);
        }
        if (p % 10 == 0) check_all(&w);
        if (next_random(&r) % 12 == 0) reopen(&w, false);
        if (next_random(&r) % 25 == 0) reopen(&w, true);
    }
    check_all(&w);
    end_world(&w);
}

/* Files with more rows than one compaction may move are emptied over several calls; no compaction says
 * that it changed data. */
static void test_compact_parts(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    make_world(&w);
    w.compact_rows = 40;
    open_table(&w, &differ);
    for (int64_t p = 0; p < 80; p++) {
        die_unless(merge_step(&w, p, NULL, &err), &err);
        die_unless(keyed_upkeep(w.k, w.conn, 0, &err), &err);
        assert_true(delta_file_count(keyed_table(w.k)) <= KEYS / 20 + 4);
        if (p % 8 == 0) check_all(&w);
    }
    size_t compactions = 0;
    for (int64_t v = 1; v <= keyed_version(w.k); v++) {
        struct delta_history_entry entry;
        die_unless(delta_history(keyed_table(w.k), v, &entry, &err), &err);
        if (strcmp(entry.operation, "OPTIMIZE") == 0) {
            compactions++;
            assert_int_equal(entry.added_count, 0);
        }
        delta_history_free(&entry);
    }
    assert_true(compactions > 5);
    reopen(&w, false);
    check_all(&w);
    reopen(&w, true);
    check_all(&w);
    end_world(&w);
}

static void test_unchanged_and_position(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    struct keyed_counts counts;
    make_world(&w);
    open_table(&w, &differ);
    for (int64_t p = 0; p < 5; p++) die_unless(merge_step(&w, p, &counts, &err), &err);
    int64_t version = keyed_version(w.k);
    die_unless(merge_step(&w, 4, &counts, &err), &err); /* the same again */
    assert_int_equal(keyed_version(w.k), version);
    assert_int_equal(counts.inserted + counts.updated + counts.deleted, 0);
    assert_true(counts.unchanged > 0);
    die_unless(keyed_merge(w.k, w.conn, NULL, 0, 9, NULL, NULL, NULL, NULL, &err), &err);
    assert_int_equal(keyed_version(w.k), version + 1);
    assert_int_equal(keyed_position(w.k), 9);
    assert_false(keyed_merge(w.k, w.conn, NULL, 0, 8, NULL, NULL, NULL, NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    reopen(&w, false);
    assert_int_equal(keyed_position(w.k), 9);
    end_world(&w);
}

static void test_refused(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    make_world(&w);
    open_table(&w, &differ);
    struct buf row = {0}, key = {0};
    put_row(&w, 1, 1, &row);
    put_key(1, &key);
    struct keyed_change twice[] = {{buf_slice(&key), buf_slice(&row)}, {buf_slice(&key), {0}}};
    assert_false(keyed_merge(w.k, w.conn, twice, 2, 1, NULL, NULL, NULL, NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    struct keyed_change other = {SLICE("x\x1F" "1"), buf_slice(&row)};
    assert_false(keyed_merge(w.k, w.conn, &other, 1, 1, NULL, NULL, NULL, NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    struct keyed_change cut = {buf_slice(&key), {row.data, row.len - 1}};
    assert_false(keyed_merge(w.k, w.conn, &cut, 1, 1, NULL, NULL, NULL, NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    struct keyed_change good = {buf_slice(&key), buf_slice(&row)};
    die_unless(keyed_merge(w.k, w.conn, &good, 1, 1, NULL, NULL, NULL, NULL, &err), &err);
    assert_int_equal(keyed_row_count(w.k), 1);
    buf_free(&row);
    buf_free(&key);
    end_world(&w);
}

/* The store is of another lake: same name, same version, other files. */
static void test_foreign_state(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    struct keyed_counts counts;
    make_world(&w);
    open_table(&w, &differ);
    for (int64_t p = 0; p < 4; p++) die_unless(merge_step(&w, p, &counts, &err), &err);
    close_table(&w);
    assert_true(file_remove_tree(w.lake, &err));
    open_table(&w, &differ);
    assert_int_equal(keyed_row_count(w.k), 0);
    for (int64_t p = 0; p < 4; p++) die_unless(merge_step(&w, p, &counts, &err), &err);
    check_all(&w);
    end_world(&w);
}

/* A place that cannot be is noticed by the merge that needs it and healed by the next. */
static void test_damaged_state(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    struct slice key, value;
    make_world(&w);
    open_table(&w, &differ);
    for (int64_t p = 0; p < 6; p++) die_unless(merge_step(&w, p, NULL, &err), &err);
    struct state_iter *it = state_iter_open(w.state, NULL, SLICE("r/silver/things\0"));
    struct state_batch *cut = state_batch_new();
    while (state_iter_next(it, &key, &value)) state_batch_put(cut, key, SLICE("cut"));
    die_unless(state_iter_close(it, &err), &err);
    die_unless(state_write(w.state, cut, &err), &err);
    state_batch_free(cut);
    struct seen seen = {.w = &w};
    assert_false(keyed_scan(w.k, NULL, see_row, &seen, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_false(keyed_get(w.k, SLICE("a"), NULL, &differ, &err));
    die_unless(merge_step(&w, 6, NULL, &err), &err);
    check_all(&w);
    end_world(&w);
}

/* Another writer's commit makes the next merge plan again on what is there now. */
static void test_other_writer(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    struct delta_table *other;
    make_world(&w);
    open_table(&w, &differ);
    for (int64_t p = 0; p < 6; p++) die_unless(merge_step(&w, p, NULL, &err), &err);
    die_unless(delta_open(&other, w.lake, "silver/things", &err), &err);
    struct delta_commit *c = delta_commit_begin(other, "OTHER");
    delta_commit_txn(c, "somebody", 1);
    die_unless(delta_commit_finish(c, NULL, &err), &err);
    delta_close(other);
    assert_false(merge_step(&w, 6, NULL, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(keyed_position(w.k), 5);
    check_all(&w);
    check_marks(&w, 0, 5);
    die_unless(merge_step(&w, 6, NULL, &err), &err);
    check_all(&w);
    check_marks(&w, 0, 6);
    end_world(&w);
}

struct source { const struct world *w; const struct model *m; int at; struct buf key, row; };

static bool next_row(void *arg, struct slice *key, struct slice *row, bool *done, struct error *err)
{
    struct source *s = arg;
    (void)err;
    while (s->at < KEYS && s->m->value[s->at] < 0) s->at++;
    *done = s->at == KEYS;
    if (*done) return true;
    buf_clear(&s->key);
    buf_clear(&s->row);
    put_key(s->at, &s->key);
    put_row(s->w, s->at, s->m->value[s->at], &s->row);
    s->at++;
    *key = buf_slice(&s->key);
    *row = buf_slice(&s->row);
    return true;
}

static void test_replace(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    bool differ;
    struct keyed_counts counts;
    make_world(&w);
    open_table(&w, &differ);
    for (int64_t p = 0; p < 12; p++) die_unless(merge_step(&w, p, &counts, &err), &err);
    close_table(&w);
    columns_free(&w.columns);
    make_columns(&w.columns, true);
    open_table(&w, &differ);
    assert_true(differ);
    assert_false(merge_step(&w, 12, &counts, &err));
    struct model m;
    model_at(&m, 12, false);
    struct source source = {.w = &w, .m = &m};
    int64_t version = keyed_version(w.k);
    die_unless(keyed_replace(w.k, w.conn, &w.columns, next_row, &source, 12, &err), &err);
    assert_int_equal(keyed_version(w.k), version + 1);
    check_all(&w);
    for (int64_t p = 13; p < 25; p++) die_unless(merge_step(&w, p, &counts, &err), &err);
    die_unless(keyed_upkeep(w.k, w.conn, keyed_version(w.k), &err), &err);
    check_all(&w);
    reopen(&w, false);
    check_all(&w);
    reopen(&w, true);
    check_all(&w);
    buf_free(&source.key);
    buf_free(&source.row);
    end_world(&w);
}

/* ---- children that are killed ---- */

static int run_child(char **argv)
{
    struct world w = {.compact_rows = 1000};
    struct error err = {0};
    bool differ;
    char storage[80];
    snprintf(w.home, sizeof w.home, "%.60s", argv[2]);
    snprintf(w.lake, sizeof w.lake, "%s/lake", w.home);
    snprintf(w.store, sizeof w.store, "%s/state", w.home);
    snprintf(storage, sizeof storage, "%s/w", w.home);
    w.large = argv[4][0] == '1';
    make_columns(&w.columns, false);
    if (!engine_open("", w.home, storage, 0, &err) || !engine_connect(&w.conn, NULL, &err)) return 9;
    open_table(&w, &differ);
    int64_t from = keyed_position(w.k) + 1, steps = strtol(argv[3], NULL, 10);
    for (int64_t p = from; p < from + steps; p++)
        if (!merge_step(&w, p, NULL, &err) || !keyed_upkeep(w.k, w.conn, keyed_version(w.k), &err)) {
            fprintf(stderr, "child: step %lld: %s\n", (long long)p, err.text);
            return 8;
        }
    close_table(&w);
    columns_free(&w.columns);
    engine_disconnect(w.conn);
    engine_close();
    return 0;
}

/* The child's end: 0 when it was killed, else its exit code + 1. */
static int spawn_child(const struct world *w, const char *fail, int steps)
{
    char number[16];
    snprintf(number, sizeof number, "%d", steps);
    char *const argv[] = {"test_keyed", "child", (char *)(uintptr_t)w->home, number, w->large ? "1" : "0", NULL};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("MILLRACE_FAIL", fail, 1);
        execv(program, argv);
        _exit(7);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) + 1 : 100;
}

static void kill_and_check(struct world *w, const char *fail, int steps)
{
    bool differ;
    int end = spawn_child(w, fail, steps);
    if (end) fail_msg("child at %s was not killed: %d", fail, end);
    open_table(w, &differ);
    assert_false(differ);
    check_all(w);
    check_marks(w, 0, keyed_position(w->k));
    close_table(w);
}

static void test_killed(void **unused)
{
    (void)unused;
    static const char *const points[] = {
        "keyed.prepared:1", "keyed.committed:1", "delta.before_link:2", "keyed.prepared:3",
        "keyed.compacted:1", "keyed.committed:4", "delta.after_link:2", "delta.checkpoint:1",
        "keyed.compacted:2", "delta.after_link:5", "keyed.prepared:2",
    };
    struct world w;
    make_world(&w);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) kill_and_check(&w, points[i], 30);
    end_world(&w);
}

/* A merge too large for an intent: the caller's part is as exact as with a small one. */
static void test_killed_large(void **unused)
{
    (void)unused;
    static const char *const points[] = {"keyed.committed:1", "keyed.prepared:2", "keyed.committed:2"};
    struct world w;
    make_world(&w);
    w.large = true;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) kill_and_check(&w, points[i], 4);
    bool differ;
    struct error err = {0};
    open_table(&w, &differ);
    int64_t p = keyed_position(w.k) + 1;
    die_unless(merge_step(&w, p, NULL, &err), &err);
    check_all(&w);
    reopen(&w, false);
    check_all(&w);
    end_world(&w);
}

static int set_up(void **unused)
{
    (void)unused;
    struct error err = {0};
    char storage[80];
    snprintf(shared_home, sizeof shared_home, "/tmp/test_keyed.XXXXXX");
    if (!mkdtemp(shared_home)) return -1;
    snprintf(storage, sizeof storage, "%s/w", shared_home);
    if (engine_open("", shared_home, storage, 0, &err) && engine_connect(&shared_conn, NULL, &err)) return 0;
    fprintf(stderr, "%s\n", err.text);
    return -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    struct error err = {0};
    engine_disconnect(shared_conn);
    engine_close();
    return chdir("/") == 0 && file_remove_tree(shared_home, &err) ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "child") == 0) return run_child(argv);
    program = unit_program(argv[0]);
    if (!program) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_compact_parts),
        cmocka_unit_test(test_unchanged_and_position),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_foreign_state),
        cmocka_unit_test(test_other_writer), cmocka_unit_test(test_damaged_state),
        cmocka_unit_test(test_replace), cmocka_unit_test(test_killed), cmocka_unit_test(test_killed_large),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    free(program);
    return failed;
}
