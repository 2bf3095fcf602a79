/* The shipped models (sql/gold) under random changes of all nine silver tables: what each row model keeps
 * incrementally must be, byte for byte, what its SELECT gives over the whole lake. So the inputs that its
 * header declares, and every `since`, are held against its SQL. A change that a header forgets shows as a
 * row that was kept and should have moved. */
#include "unit.h"

#include "base/clock.h"
#include "stages/refine/gold/gold_int.h"
#include "stages/refine/silver/silver.h"

enum { TABLES_MAX = 16, STEPS = 22 };

#define DAY_US INT64_C(86400000000)
#define FIRST_DAY INT64_C(17257) /* 2017-04-01 */

struct table {
    char *name;
    struct columns columns, history_columns;
    int keys[4];
    size_t key_count;
    struct keyed *keyed;
    struct delta_table *history; /* when models read it */
    struct gold_mark mark;
    struct map rows; /* _key -> its row, in struct buf */
};

static char *home;
static struct engine_conn *conn;
static struct config config;
static struct flow flow;
static struct gold *gold;
static struct table tables[TABLES_MAX];
static size_t table_count;
static uint64_t seed, random_state;
static int64_t step;

static int pick(int n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int)(random_state % (uint64_t)n);
}

/* ---- the tables, as the headers of sql/silver declare them ---- */

static void read_header(struct table *t, const char *text)
{
    char name[64], type[64];
    struct error err = {0};
    const char *at = strstr(text, "-- columns:\n"), *key = strstr(text, "-- key: ");
    assert_non_null(at);
    assert_non_null(key);
    while ((at = strchr(at, '\n')) && sscanf(++at, "--   %63s %63[^\n]", name, type) == 2) {
        struct column c = {0};
        unit_ok(column_type_parse(type, &c, &err));
        columns_add(&t->columns, name, c.type, c.precision, c.scale, c.nullable);
    }
    int taken;
    for (key += strlen("-- key: "); sscanf(key, "%63[a-z_]%n", name, &taken) == 1;
         key += strspn(key, ", ")) {
        t->keys[t->key_count] = columns_find(&t->columns, name);
        assert_true(t->keys[t->key_count++] >= 0);
        key += taken;
    }
    columns_add(&t->columns, "_key", COLUMN_STRING, 0, 0, false);
    columns_add(&t->columns, "_epoch", COLUMN_INTEGER, 0, 0, false);
    columns_add(&t->columns, "_lsn", COLUMN_LONG, 0, 0, false);
    columns_add(&t->columns, "_ordinal", COLUMN_LONG, 0, 0, false);
    columns_add(&t->columns, "_commit_at", COLUMN_TIMESTAMP, 0, 0, false);
    columns_copy(&t->history_columns, &t->columns);
    columns_add(&t->history_columns, "_op", COLUMN_STRING, 0, 0, false);
    columns_add(&t->history_columns, "_valid_from", COLUMN_TIMESTAMP, 0, 0, false);
}

static bool models_read_history(const char *table)
{
    for (size_t i = 0; i < gold->models.input_count; i++) {
        const struct gold_input *in = &gold->models.inputs[i];
        if (in->kind == GOLD_HISTORY && strcmp(in->base, table) == 0) return true;
    }
    return false;
}

static void open_table(struct table *t)
{
    struct error err = {0};
    const char *names[32];
    int indexes[32], key[] = {columns_find(&t->columns, "_key")};
    size_t count = gold_index_columns(gold, t->name, names, 32);
    for (size_t i = 0; i < count; i++) {
        indexes[i] = columns_find(&t->columns, names[i]);
        if (indexes[i] < 0) fail_msg("%s has no column %s", t->name, names[i]);
    }
    char *name = mem_format("silver/%s", t->name), *past = mem_format("silver/%s_history", t->name);
    bool differ;
    struct delta_options append_only = {.append_only = true};
    struct keyed_spec spec = {
        .name = name,
        .columns = &t->columns,
        .key_columns = key,
        .key_column_count = 1,
        .index_columns = indexes,
        .index_column_count = count,
        .app_id = "millrace.refine",
        .live_files_max = 16,
        .compact_rows_max = 10000,
        .options = {.deletion_vectors = true},
    };
    unit_ok(keyed_open(&t->keyed, flow.lake, flow.state, conn, &spec, &differ, &err));
    if (models_read_history(t->name))
        unit_ok(
            delta_open_or_create(&t->history, flow.lake, past, &t->history_columns, &append_only, &err));
    t->mark = (struct gold_mark){.state = flow.state, .table = t->name};
    mem_free(name);
    mem_free(past);
}

static struct keyed *find_silver(void *arg, const char *name)
{
    (void)arg;
    for (size_t i = 0; i < table_count; i++)
        if (strcmp(tables[i].name, name) == 0) return tables[i].keyed;
    return NULL;
}

/* ---- random rows ---- */

struct pool {
    const char *column, *prefix;
    int count;
};

/* Small pools, so that rows meet; references may name rows that do not exist. */
static const struct pool pools[] = {
    {"order_id", "o", 24},           {"customer_id", "c", 20}, {"customer_unique_id", "u", 7},
    {"product_id", "p", 8},          {"seller_id", "s", 5},    {"review_id", "r", 12},
    {"_zip_code_prefix", "0100", 6},
};

static const char *const categories[] = {"pc_gamer", "perfumaria", "beleza_saude", "brinquedos"};
static const char *const order_statuses[] = {"created",   "approved", "shipped",
                                             "delivered", "canceled", "unavailable"};
static const char *const payment_types[] = {"credit_card", "boleto", "voucher"};
static const char *const states[] = {"SP", "RJ", "AM"};

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

static void put_text(struct buf *out, const char *column)
{
    char text[32];
    const char *word = NULL;
    if (strcmp(column, "order_status") == 0)
        word = order_statuses[pick(6)];
    else if (strcmp(column, "payment_type") == 0)
        word = payment_types[pick(3)];
    else if (strcmp(column, "product_category_name") == 0)
        word = categories[pick(4)];
    else if (ends_with(column, "_state"))
        word = states[pick(3)];
    for (size_t i = 0; !word && i < sizeof pools / sizeof *pools; i++) {
        if (!ends_with(column, pools[i].column)) continue;
        snprintf(text, sizeof text, "%s%d", pools[i].prefix, pick(pools[i].count));
        word = text;
    }
    if (!word) snprintf(text, sizeof text, "t%d", pick(5));
    buf_put_string(out, slice_of(word ? word : text));
}

static void put_value(struct buf *out, const struct column *c)
{
    double d = pick(400) / 10.0 - 30;
    int64_t us = (FIRST_DAY + pick(500)) * DAY_US + pick(86400) * INT64_C(1000000);
    if (c->nullable) {
        bool null = pick(5) == 0 && !ends_with(c->name, "_state");
        buf_put_u8(out, null);
        if (null) return;
    }
    switch (c->type) {
    case COLUMN_STRING: put_text(out, c->name); break;
    case COLUMN_LONG: buf_put_u64(out, (uint64_t)pick(20)); break;
    case COLUMN_INTEGER: buf_put_u32(out, (uint32_t)(1 + pick(3))); break;
    case COLUMN_BOOLEAN: buf_put_u8(out, (uint8_t)pick(2)); break;
    case COLUMN_DOUBLE: buf_put(out, &d, sizeof d); break;
    case COLUMN_TIMESTAMP: buf_put_u64(out, (uint64_t)us); break;
    case COLUMN_DECIMAL: buf_put_u64(out, (uint64_t)pick(100000)); break;
    default: fail_msg("no random value for %s", c->name);
    }
}

/* A row with a random key. */
static void make_row(const struct table *t, int ordinal, struct buf *row, struct buf *key)
{
    struct slice fields[40];
    struct buf own = {0};
    size_t n = t->columns.count - 5;
    for (size_t i = 0; i < n; i++)
        put_value(&own, &t->columns.items[i]);
    struct slice rest = buf_slice(&own);
    struct columns first = {t->columns.items, n, n};
    assert_true(row_next(&first, &rest, fields, NULL));
    buf_put_char(key, '{');
    for (size_t i = 0; i < t->key_count; i++) {
        if (i) buf_put_char(key, ',');
        assert_true(field_text(&t->columns.items[t->keys[i]], fields[t->keys[i]], key));
    }
    buf_put_char(key, '}');
    buf_put_slice(row, buf_slice(&own));
    buf_put_string(row, buf_slice(key));
    buf_put_u32(row, 1);
    buf_put_u64(row, (uint64_t)(step + 1) * 100);
    buf_put_u64(row, (uint64_t)ordinal);
    buf_put_u64(row, (uint64_t)((FIRST_DAY + 20 * step) * DAY_US + ordinal));
    buf_free(&own);
}

/* ---- a step ---- */

struct changes {
    struct map rows; /* _key -> struct buf *, empty: deleted */
    struct buf history;
    size_t history_count;
};

static void buf_drop(void *p)
{
    buf_free(p);
    mem_free(p);
}

static void set_row(struct map *rows, struct slice key, struct slice row)
{
    void **at = map_put(rows, key);
    if (!*at) *at = mem_alloc(sizeof(struct buf));
    buf_clear(*at);
    buf_put_slice(*at, row);
}

static void change_row(struct table *t, struct changes *c, int ordinal)
{
    struct buf row = {0}, key = {0};
    make_row(t, ordinal, &row, &key);
    struct buf *now = map_get(&t->rows, buf_slice(&key));
    bool there = now && now->len, delete = there && pick(3) == 0;
    struct slice after = delete ? SLICE("") : buf_slice(&row);
    set_row(&c->rows, buf_slice(&key), after);
    set_row(&t->rows, buf_slice(&key), after);
    buf_put_slice(&c->history, buf_slice(&row));
    buf_put_string(&c->history, delete ? SLICE("d") : there ? SLICE("u") : SLICE("c"));
    buf_put_u64(&c->history, (uint64_t)((FIRST_DAY + 20 * step) * DAY_US));
    c->history_count++;
    buf_free(&row);
    buf_free(&key);
}

static void append_history(struct table *t, const struct changes *c)
{
    struct error err = {0};
    struct delta_file file = {0};
    int64_t version;
    if (!t->history || c->history_count == 0) return;
    unit_ok(
        delta_write_file(t->history, conn, buf_slice(&c->history), c->history_count, NULL, &file, &err));
    struct delta_commit *commit = delta_commit_begin(t->history, "WRITE");
    delta_commit_add(commit, &file, true);
    unit_ok(delta_commit_finish(commit, &version, &err));
    delta_file_free(&file);
}

static void change_table(struct table *t, int count)
{
    struct error err = {0};
    struct changes c = {0};
    for (int i = 0; i < count; i++)
        change_row(t, &c, i);
    append_history(t, &c);
    struct keyed_change *list = mem_alloc((c.rows.count + 1) * sizeof *list);
    size_t n = 0;
    void *row;
    for (size_t at = 0; map_next(&c.rows, &at, &list[n].key, &row); n++)
        list[n].row = ((struct buf *)row)->len ? buf_slice(row) : (struct slice){NULL, 0};
    if (n)
        unit_ok(keyed_merge(t->keyed, conn, list, n, POSITION_AFTER(step), NULL, gold_mark_hook, &t->mark,
                            NULL, &err));
    mem_free(list);
    map_free(&c.rows, buf_drop);
    buf_free(&c.history);
}

/* ---- judging ---- */

static bool take_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    (void)err;
    set_row(arg, key, row);
    return true;
}

struct judge {
    struct map full;
    const struct gold_model *m;
    size_t kept, wrong;
};

static void print_row(const char *what, const struct columns *c, struct slice row)
{
    struct slice fields[64];
    struct buf text = {0};
    assert_true(row_next(c, &row, fields, NULL));
    for (size_t i = 0; i < c->count; i++) {
        buf_printf(&text, "%s=", c->items[i].name);
        if (!field_text(&c->items[i], fields[i], &text)) buf_put_text(&text, "NULL");
        buf_put_char(&text, ' ');
    }
    print_message("%s: %s\n", what, buf_text(&text));
    buf_free(&text);
}

static bool judge_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct judge *j = arg;
    const struct buf *wanted = map_get(&j->full, key);
    (void)err;
    j->kept++;
    if (wanted && slice_equal(buf_slice(wanted), row)) return true;
    if (j->wrong++ < 3) {
        print_row("kept", &j->m->columns, row);
        if (wanted) print_row("full", &j->m->columns, buf_slice(wanted));
    }
    return true;
}

static void judge_models(bool whole)
{
    struct error err = {0};
    for (size_t i = 0; i < gold_model_count(gold); i++) {
        struct judge j = {.m = &gold->models.items[i]};
        if (j.m->whole != whole) continue;
        unit_ok(gold_recompute_at(gold, i, conn, NULL, NULL, take_row, &j.full, &err));
        unit_ok(keyed_scan(j.m->keyed, NULL, judge_row, &j, &err));
        if (j.wrong || j.kept != j.full.count)
            fail_msg("seed %llu step %lld: %s: %zu rows kept, %zu in full, %zu differ",
                     (unsigned long long)seed, (long long)step, j.m->name, j.kept, j.full.count, j.wrong);
        if (step > 3 && !whole) assert_true(j.kept > 0);
        map_free(&j.full, buf_drop);
    }
}

static void open_world(uint64_t with_seed)
{
    struct error err = {0};
    static int number;
    char *own = mem_format("%s/w%d", home, number++);
    seed = with_seed;
    random_state = (seed + 1) * 0x9E3779B97F4A7C15u;
    for (int i = 0; i < 8; i++)
        pick(2);
    print_message("seed %llu\n", (unsigned long long)seed);
    config_init(&config);
    unit_ok(config_set(&config, "home", own, &err));
    unit_ok(flow_init(&flow, &config, &err));
    unit_ok(gold_open(&gold, &flow, conn, find_silver, NULL, &err));
    table_count = 0;
    for (size_t i = 0; i < asset_count; i++) {
        if (strncmp(assets[i].path, "sql/silver/", 11) != 0) continue;
        struct table *t = &tables[table_count++];
        *t = (struct table){
            .name = mem_textn(assets[i].path + 11, assets[i].len ? strlen(assets[i].path) - 15 : 0)};
        read_header(t, assets[i].data);
        open_table(t);
    }
    mem_free(own);
}

static void close_world(void)
{
    gold_close(gold);
    for (size_t i = 0; i < table_count; i++) {
        struct table *t = &tables[i];
        keyed_close(t->keyed);
        if (t->history) delta_close(t->history);
        columns_free(&t->columns);
        columns_free(&t->history_columns);
        map_free(&t->rows, buf_drop);
        mem_free(t->name);
    }
    flow_free(&flow);
    config_free(&config);
}

static void run_random(uint64_t with_seed)
{
    struct error err = {0};
    open_world(with_seed);
    for (step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < table_count; i++) {
            int much = step == 1 ? 40 : pick(3) == 0 ? pick(6) : pick(2);
            change_table(&tables[i], step == 0 ? 0 : much);
        }
        if (step % 4 == 3) continue; /* a slice: silver alone */
        unit_ok(gold_apply(gold, POSITION_AFTER(step), &err));
        if (pick(3)) unit_ok(gold_clear_marks(gold, &err)); /* else as if killed before it */
        judge_models(false);
    }
    bool did = true;
    unit_ok(gold_apply(gold, POSITION_AFTER(step), &err));
    while (did) {
        gold->whole_next_us = 0;
        unit_ok(gold_whole_step(gold, POSITION_AFTER(step), true, &did, &err));
    }
    judge_models(true);
    close_world();
}

static void test_fixed(void **unused)
{
    (void)unused;
    run_random(3);
}

static void test_new(void **unused)
{
    (void)unused;
    const char *given = getenv("MILLRACE_SEED");
    run_random(given ? strtoull(given, NULL, 10) : (uint64_t)clock_wall_us() % 1000000);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixed), cmocka_unit_test(test_new)};
    if (argc == 2) cmocka_set_test_filter(argv[1]);
    home = unit_folder();
    char *storage = mem_format("%s/warehouse", home);
    if (!engine_open("", home, storage, 0, &err) || !engine_connect(&conn, NULL, &err) ||
        !dialect_load(conn, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    engine_disconnect(conn);
    engine_close();
    mem_free(storage);
    unit_folder_remove(home);
    return failed;
}
