/* Gold against itself: after every batch of random changes what it keeps incrementally must be, byte for
 * byte, what its SELECTs give over the whole lake, and what the outbox told the warehouse must be the
 * same rows. The program runs itself again as a child to be killed: `test_gold child <home> <seed>
 * <steps>`. One seed is fixed, one is new on every run (MILLRACE_SEED sets it). */
#include "unit.h"

#include "base/clock.h"
#include "base/log.h"
#include "gold_world.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TABLES = 6 };
enum { T_CUSTOMERS, T_ORDERS, T_ITEMS, T_PRODUCTS, T_ZIPS, T_SETTINGS };

struct table {
    const char *name;
    struct columns columns;
    int keys[2];
    size_t key_count;
    struct keyed *keyed;
    struct gold_mark mark;
};

struct world {
    char home[80];
    struct config config;
    struct flow flow;
    struct engine_conn *conn;
    struct table tables[TABLES];
    struct columns history_columns;
    struct delta_table *history;
    struct gold *gold;
    const struct asset *models;
    size_t model_count;
    uint64_t seed;
    struct shop shop;
    int64_t next;        /* step */
    bool hidden[TABLES]; /* not there yet */
};

static void need(bool ok, const struct error *err)
{
    if (!ok) fail_msg("%s: %s", error_kind_name(err->kind), err->text);
}

/* ---- silver ---- */

static void define_tables(struct world *w)
{
    static const char *const names[TABLES] = {"customers", "orders", "items",
                                              "products",  "zips",   "settings"};
    for (int t = 0; t < TABLES; t++) {
        w->tables[t].name = names[t];
        w->tables[t].key_count = 1;
    }
    struct columns *c = &w->tables[T_CUSTOMERS].columns;
    columns_add(c, "customer_id", COLUMN_STRING, 0, 0, false);
    columns_add(c, "person", COLUMN_STRING, 0, 0, true);
    columns_add(c, "zip", COLUMN_STRING, 0, 0, true);
    c = &w->tables[T_ORDERS].columns;
    columns_add(c, "order_id", COLUMN_STRING, 0, 0, false);
    columns_add(c, "customer_id", COLUMN_STRING, 0, 0, true);
    columns_add(c, "bought_at", COLUMN_TIMESTAMP, 0, 0, true);
    columns_add(c, "status", COLUMN_STRING, 0, 0, false);
    c = &w->tables[T_ITEMS].columns;
    columns_add(c, "order_id", COLUMN_STRING, 0, 0, false);
    columns_add(c, "item_id", COLUMN_SHORT, 0, 0, false);
    columns_add(c, "product_id", COLUMN_STRING, 0, 0, true);
    columns_add(c, "price", COLUMN_DECIMAL, 12, 2, false);
    w->tables[T_ITEMS].keys[1] = 1;
    w->tables[T_ITEMS].key_count = 2;
    c = &w->tables[T_PRODUCTS].columns;
    columns_add(c, "product_id", COLUMN_STRING, 0, 0, false);
    columns_add(c, "category", COLUMN_STRING, 0, 0, true);
    c = &w->tables[T_ZIPS].columns;
    columns_add(c, "zip", COLUMN_STRING, 0, 0, false);
    columns_add(c, "state", COLUMN_STRING, 0, 0, true);
    c = &w->tables[T_SETTINGS].columns;
    columns_add(c, "name", COLUMN_STRING, 0, 0, false);
    columns_add(c, "value", COLUMN_LONG, 0, 0, false);
    columns_copy(&w->history_columns, &w->tables[T_PRODUCTS].columns);
    columns_add(&w->history_columns, "_lsn", COLUMN_LONG, 0, 0, false);
    columns_add(&w->history_columns, "_ordinal", COLUMN_LONG, 0, 0, false);
    columns_add(&w->history_columns, "_op", COLUMN_STRING, 0, 0, false);
    columns_add(&w->history_columns, "_valid_from", COLUMN_TIMESTAMP, 0, 0, false);
}

static struct keyed *find_silver(void *arg, const char *table)
{
    struct world *w = arg;
    for (int t = 0; t < TABLES; t++)
        if (strcmp(w->tables[t].name, table) == 0) return w->hidden[t] ? NULL : w->tables[t].keyed;
    return NULL;
}

static void open_silver_table(struct world *w, struct table *t)
{
    struct error err = {0};
    const char *names[16];
    int indexes[16];
    size_t count = 0, wanted = gold_index_columns(w->gold, t->name, names, 16);
    for (size_t i = 0; i < wanted; i++) {
        int at = columns_find(&t->columns, names[i]);
        if (at >= 0 && at != t->keys[0]) indexes[count++] = at;
    }
    char *name = mem_format("silver/%s", t->name);
    bool differ;
    struct keyed_spec spec = {
        .name = name,
        .columns = &t->columns,
        .key_columns = t->keys,
        .key_column_count = t->key_count,
        .index_columns = indexes,
        .index_column_count = count,
        .app_id = "millrace.refine",
        .live_files_max = 8,
        .compact_rows_max = 1000,
        .options = {.deletion_vectors = true},
    };
    need(keyed_open(&t->keyed, w->flow.lake, w->flow.state, w->conn, &spec, &differ, &err), &err);
    assert_false(differ);
    t->mark = (struct gold_mark){.state = w->flow.state, .table = t->name};
    mem_free(name);
}

static void world_open(struct world *w)
{
    struct error err = {0};
    struct delta_options options = {.append_only = true};
    need(flow_init(&w->flow, &w->config, &err), &err);
    need(gold_open_with(&w->gold, w->models, w->model_count, &w->flow, w->conn, find_silver, w, &err),
         &err);
    for (int t = 0; t < TABLES; t++)
        open_silver_table(w, &w->tables[t]);
    need(delta_open_or_create(&w->history, w->flow.lake, "silver/products_history", &w->history_columns,
                              &options, &err),
         &err);
}

static void world_close(struct world *w)
{
    gold_close(w->gold);
    for (int t = 0; t < TABLES; t++) {
        keyed_close(w->tables[t].keyed);
        w->tables[t].keyed = NULL;
    }
    delta_close(w->history);
    flow_free(&w->flow);
    w->gold = NULL;
}

static struct engine_conn *shared_conn;
static char shared_home[64];

static void world_make(struct world *w, const char *home, uint64_t seed)
{
    struct error err = {0};
    *w = (struct world){
        .conn = shared_conn, .seed = seed, .models = shop_models, .model_count = SHOP_MODELS};
    snprintf(w->home, sizeof w->home, "%s", home);
    config_init(&w->config);
    need(config_set(&w->config, "home", w->home, &err), &err);
    define_tables(w);
    world_open(w);
}

static void world_new(struct world *w, uint64_t seed)
{
    static int number;
    char home[80];
    snprintf(home, sizeof home, "%s/w%d", shared_home, number++);
    world_make(w, home, seed);
}

static void world_end(struct world *w)
{
    world_close(w);
    for (int t = 0; t < TABLES; t++)
        columns_free(&w->tables[t].columns);
    columns_free(&w->history_columns);
    config_free(&w->config);
}

/* ---- one step ---- */

struct batch {
    struct keyed_change changes[ORDERS * ITEMS];
    size_t at[ORDERS * ITEMS][3], count;
    struct buf bytes;
};

static void batch_end(struct batch *b, const struct table *t, bool there)
{
    size_t i = b->count++, start = i ? b->at[i - 1][2] : 0;
    struct slice row = {b->bytes.data + start, b->bytes.len - start};
    struct buf key = {0};
    keyed_row_key(t->keyed, row, &key);
    b->at[i][0] = start;
    b->at[i][1] = b->bytes.len;
    buf_put_slice(&b->bytes, buf_slice(&key));
    b->at[i][2] = b->bytes.len;
    b->changes[i].row.len = there;
    buf_free(&key);
}

static void batch_merge(struct world *w, struct table *t, struct batch *b, int64_t position)
{
    struct error err = {0};
    for (size_t i = 0; i < b->count; i++) {
        const size_t *at = b->at[i];
        bool there = b->changes[i].row.len;
        b->changes[i].key = (struct slice){b->bytes.data + at[1], at[2] - at[1]};
        b->changes[i].row = (struct slice){there ? b->bytes.data + at[0] : NULL, there ? at[1] - at[0] : 0};
    }
    if (b->count && keyed_position(t->keyed) < position)
        need(keyed_merge(t->keyed, w->conn, b->changes, b->count, position, NULL, gold_mark_hook, &t->mark,
                         NULL, &err),
             &err);
    b->count = 0;
    buf_clear(&b->bytes);
}

static void append_history(struct world *w, const struct step *t, int64_t p, int64_t position)
{
    struct error err = {0};
    struct buf rows = {0};
    struct delta_file file = {0};
    int64_t version;
    if (t->event_count == 0 || delta_txn(w->history, "millrace.refine") >= position) return;
    for (size_t i = 0; i < t->event_count; i++)
        put_event(&rows, &t->events[i], p);
    need(delta_write_file(w->history, w->conn, buf_slice(&rows), t->event_count, NULL, &file, &err), &err);
    struct delta_commit *c = delta_commit_begin(w->history, "WRITE");
    delta_commit_add(c, &file, true);
    delta_commit_txn(c, "millrace.refine", position);
    need(delta_commit_finish(c, &version, &err), &err);
    delta_file_free(&file);
    buf_free(&rows);
}

static void merge_tables(struct world *w, const struct step *t, int64_t position)
{
    const struct shop *s = &w->shop;
    struct batch *b = mem_alloc(sizeof *b);
    for (int c = 0; c < CUSTOMERS; c++) {
        if (!t->customers[c]) continue;
        put_customer(&b->bytes, s, c);
        batch_end(b, &w->tables[T_CUSTOMERS], s->customers[c].there);
    }
    batch_merge(w, &w->tables[T_CUSTOMERS], b, position);
    for (int o = 0; o < ORDERS; o++) {
        if (!t->orders[o]) continue;
        put_order(&b->bytes, s, o);
        batch_end(b, &w->tables[T_ORDERS], s->orders[o].there);
    }
    batch_merge(w, &w->tables[T_ORDERS], b, position);
    for (int n = 0; n < ORDERS * ITEMS; n++) {
        if (!t->items[n / ITEMS][n % ITEMS]) continue;
        put_item(&b->bytes, s, n / ITEMS, n % ITEMS);
        batch_end(b, &w->tables[T_ITEMS], s->items[n / ITEMS][n % ITEMS].there);
    }
    batch_merge(w, &w->tables[T_ITEMS], b, position);
    for (int i = 0; i < PRODUCTS; i++) {
        if (!t->products[i]) continue;
        put_product(&b->bytes, i, s->products[i].category);
        batch_end(b, &w->tables[T_PRODUCTS], s->products[i].there);
    }
    batch_merge(w, &w->tables[T_PRODUCTS], b, position);
    for (int z = 0; z < ZIPS; z++) {
        if (!t->zips[z]) continue;
        put_zip(&b->bytes, s, z);
        batch_end(b, &w->tables[T_ZIPS], s->zips[z].there);
    }
    batch_merge(w, &w->tables[T_ZIPS], b, position);
    if (t->setting) {
        buf_put_string(&b->bytes, SLICE("factor"));
        buf_put_u64(&b->bytes, (uint64_t)s->setting);
        batch_end(b, &w->tables[T_SETTINGS], true);
    }
    batch_merge(w, &w->tables[T_SETTINGS], b, position);
    buf_free(&b->bytes);
    mem_free(b);
}

/* What refine keeps in `batches`: a number in a file stands for it. */
static int64_t read_done(const struct world *w)
{
    struct error err = {0};
    struct buf text = {0};
    char *path = mem_format("%s/done", w->home);
    int64_t done = -1;
    if (file_exists(path)) {
        need(file_read(path, &text, &err), &err);
        done = strtoll(buf_text(&text), NULL, 10);
    }
    mem_free(path);
    buf_free(&text);
    return done;
}

static void write_done(const struct world *w, int64_t p)
{
    struct error err = {0};
    char *path = mem_format("%s/done", w->home), *text = mem_format("%lld", (long long)p);
    need(file_write_atomic(path, slice_of(text), &err), &err);
    mem_free(path);
    mem_free(text);
}

static void complete(struct world *w, int64_t p)
{
    struct error err = {0};
    struct buf versions = {0};
    gold_versions(w->gold, &versions);
    struct outbox_batch batch = {.position = POSITION_AFTER(p),
                                 .end_lsn = (uint64_t)p,
                                 .commit_us = p,
                                 .versions = buf_take(&versions)};
    need(outbox_complete(w->flow.state, &batch, &err), &err);
    outbox_batch_free(&batch);
}

/* Whether a run is cut off between `batches` and the clearing of the marks: they are followed again, with
 * those of the next step. */
static bool cut_before_clearing(int64_t p)
{
    return p % 3 == 1;
}

/* Returns whether gold followed. */
static bool world_step(struct world *w)
{
    struct error err = {0};
    struct step t;
    int64_t p = w->next++, position = POSITION_AFTER(p);
    shop_step(&w->shop, &t, w->seed, p);
    append_history(w, &t, p, position);
    merge_tables(w, &t, position);
    if (p % 5 == 4) return false;
    need(gold_apply(w->gold, position, &err), &err);
    write_done(w, p);
    complete(w, p);
    if (cut_before_clearing(p)) return true;
    need(gold_clear_marks(w->gold, &err), &err);
    return true;
}

static void upkeep_all(struct gold *g)
{
    struct error err = {0};
    bool done = false;
    for (size_t part = 0; !done; part++)
        need(gold_upkeep(g, part, &done, &err), &err);
}

static void whole_step(struct world *w, int64_t position)
{
    struct error err = {0};
    bool did = true;
    while (did) {
        w->gold->whole_next_us = 0;
        need(gold_whole_step(w->gold, position, true, &did, &err), &err);
    }
}

/* ---- judging ---- */

static bool put_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    (void)err;
    struct map *rows = arg;
    void **at = map_put(rows, key);
    assert_null(*at);
    *at = mem_textn(row.data, row.len);
    return true;
}

static void print_row(const char *what, const struct columns *c, struct slice row)
{
    struct slice fields[32];
    struct buf text = {0};
    if (row_next(c, &row, fields, NULL))
        for (size_t i = 0; i < c->count; i++) {
            if (!field_text(&c->items[i], fields[i], &text)) buf_put_text(&text, "NULL");
            buf_put_text(&text, " | ");
        }
    print_message("%s: %s\n", what, buf_text(&text));
    buf_free(&text);
}

struct judge {
    const struct gold_model *m;
    struct map rows;
    size_t count, wrong;
};

static bool judge_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct judge *j = arg;
    char *wanted = map_get(&j->rows, key);
    (void)err;
    j->count++;
    if (wanted && memcmp(wanted, row.data, row.len) == 0) return true;
    j->wrong++;
    print_row("kept", &j->m->columns, row);
    if (wanted) print_row("full", &j->m->columns, (struct slice){wanted, row.len + 100});
    return true;
}

/* The table in the state, against the SELECT over the whole lake. */
static void judge_model(struct world *w, size_t i)
{
    struct error err = {0};
    struct judge j = {.m = &w->gold->models.items[i]};
    need(gold_recompute_at(w->gold, i, w->conn, NULL, NULL, put_row, &j.rows, &err), &err);
    need(keyed_scan(j.m->keyed, NULL, judge_row, &j, &err), &err);
    if (j.wrong || j.count != j.rows.count)
        fail_msg("seed %llu step %lld: %s: %zu rows kept, %zu in full, %zu differ",
                 (unsigned long long)w->seed, (long long)w->next - 1, j.m->name, j.count, j.rows.count,
                 j.wrong);
    map_free(&j.rows, mem_free);
}

static void judge_all(struct world *w, bool whole)
{
    for (size_t i = 0; i < gold_model_count(w->gold); i++)
        if (whole || !gold_model_is_whole(w->gold, i)) judge_model(w, i);
}

/* ---- a warehouse: what the outbox says, taken as ReplacingMergeTree would ---- */

struct shown {
    struct slice row;
    uint64_t version;
    bool deleted;
};

struct mirror {
    struct world *w;
    struct map tables[16]; /* sort key -> struct shown */
    int64_t position;
    size_t reloads;
};

static void shown_free(void *p)
{
    struct shown *s = p;
    mem_free((char *)s->row.data);
    mem_free(s);
}

static void mirror_row(struct map *table, const struct gold_model *m, struct slice row,
                       struct slice *fields, uint64_t version, bool deleted)
{
    struct buf key = {0};
    for (size_t i = 0; i < m->sort_count; i++) {
        field_text(&m->columns.items[m->sort[i]], fields[m->sort[i]], &key);
        buf_put_char(&key, '\x1F');
    }
    void **at = map_put(table, buf_slice(&key));
    if (*at) assert_true(((struct shown *)*at)->version <= version);
    if (*at) shown_free(*at);
    struct shown *s = mem_alloc(sizeof *s);
    *s = (struct shown){{mem_textn(row.data, row.len), row.len}, version, deleted};
    *at = s;
    buf_free(&key);
}

static bool reload_row(void *arg, struct slice key, struct slice row, struct error *err)
{
    void **to = arg;
    const struct gold_model *m = to[1];
    struct slice fields[32], rest = row;
    (void)key;
    (void)err;
    assert_true(row_next(&m->columns, &rest, fields, NULL));
    mirror_row(to[0], m, row, fields, *(uint64_t *)to[2], false);
    return true;
}

static bool mirror_block(void *arg, const char *table, int64_t version, struct slice block,
                         struct error *err)
{
    struct mirror *mirror = arg;
    size_t i = 0;
    while (strcmp(gold_model_name(mirror->w->gold, i), table) != 0)
        i++;
    const struct gold_model *m = &mirror->w->gold->models.items[i];
    assert_true(version <= keyed_version(m->keyed));
    if (block.len == 0) {
        uint64_t as_of = (uint64_t)version;
        void *to[3] = {&mirror->tables[i], mirror->w->gold->models.items + i, &as_of};
        map_clear(&mirror->tables[i], shown_free);
        mirror->reloads++;
        return keyed_scan(m->keyed, NULL, reload_row, to, err);
    }
    while (block.len) {
        struct slice fields[32], row;
        uint64_t row_version;
        assert_true(row_next(&m->columns, &block, fields, &row));
        assert_true(block.len >= 9);
        memcpy(&row_version, block.data, 8);
        bool deleted = block.data[8];
        block.data += 9;
        block.len -= 9;
        assert_int_equal(row_version, version);
        mirror_row(&mirror->tables[i], m, row, fields, row_version, deleted);
    }
    return true;
}

/* Loads all whole batches and compares with what gold's tables hold. */
static void mirror_follow(struct mirror *mirror, bool remove)
{
    struct error err = {0};
    struct outbox_batch batch;
    bool found = true;
    struct state *state = mirror->w->flow.state;
    while (found) {
        need(outbox_next(state, mirror->position, &batch, &found, &err), &err);
        if (!found) break;
        assert_true(batch.position > mirror->position);
        need(outbox_blocks(state, batch.position, mirror_block, mirror, &err), &err);
        mirror->position = batch.position;
        outbox_batch_free(&batch);
        if (remove) need(outbox_remove(state, mirror->position, &err), &err);
    }
}

static void mirror_judge(struct mirror *mirror, bool whole)
{
    struct error err = {0};
    for (size_t i = 0; i < gold_model_count(mirror->w->gold); i++) {
        struct judge j = {.m = &mirror->w->gold->models.items[i]};
        if (j.m->whole && !whole) continue;
        void *value;
        for (size_t at = 0; map_next(&mirror->tables[i], &at, NULL, &value);) {
            const struct shown *s = value;
            struct buf key = {0};
            if (s->deleted) continue;
            keyed_row_key(j.m->keyed, s->row, &key);
            put_row(&j.rows, buf_slice(&key), s->row, &err);
            buf_free(&key);
        }
        need(keyed_scan(j.m->keyed, NULL, judge_row, &j, &err), &err);
        if (j.wrong || j.count != j.rows.count)
            fail_msg("seed %llu step %lld: %s: the outbox gives %zu rows, gold has %zu, %zu differ",
                     (unsigned long long)mirror->w->seed, (long long)mirror->w->next - 1, j.m->name,
                     j.rows.count, j.count, j.wrong);
        map_free(&j.rows, mem_free);
    }
}

static void mirror_free(struct mirror *mirror)
{
    for (size_t i = 0; i < 16; i++)
        map_free(&mirror->tables[i], shown_free);
}

/* ---- random changes ---- */

static void run_random(uint64_t seed, int steps)
{
    struct world w;
    uint64_t r = seed + 99;
    for (int i = 0; i < 4; i++)
        random_next(&r);
    print_message("seed %llu\n", (unsigned long long)seed);
    world_new(&w, seed);
    struct mirror mirror = {.w = &w, .position = -1};
    for (int p = 0; p < steps; p++) {
        bool followed = world_step(&w);
        if (followed) {
            judge_all(&w, false);
            mirror_follow(&mirror, pick(&r, 2));
            mirror_judge(&mirror, false);
        }
        if (followed && pick(&r, 4) == 0) {
            whole_step(&w, POSITION_AFTER(p));
            judge_all(&w, true);
        }
        if (pick(&r, 4) == 0) upkeep_all(w.gold);
        if (pick(&r, 6) == 0) {
            world_close(&w);
            world_open(&w);
            mirror.w = &w;
        }
    }
    while (!world_step(&w))
        continue;
    whole_step(&w, POSITION_AFTER(w.next - 1));
    while (!world_step(&w))
        continue;
    judge_all(&w, false);
    mirror_follow(&mirror, true);
    mirror_judge(&mirror, true);
    assert_int_equal(mirror.reloads, 0);
    mirror_free(&mirror);
    world_end(&w);
}

static void test_random_fixed(void **unused)
{
    (void)unused;
    run_random(1, 36);
    run_random(20260131, 10);
}

static void test_random_new(void **unused)
{
    (void)unused;
    const char *given = getenv("MILLRACE_SEED");
    run_random(given ? strtoull(given, NULL, 10) : (uint64_t)clock_wall_us() % 1000000, 24);
}

/* A stop does not wait until the whole models are computed: one that is on its way is given up. */
static void test_closed_while_computing(void **unused)
{
    (void)unused;
    struct world w;
    world_new(&w, 11);
    for (int p = 0; p < 4; p++)
        world_step(&w);
    for (int i = 0; i < 10; i++) {
        struct error err = {0};
        bool did = false;
        w.gold->whole_next_us = 0;
        need(gold_whole_step(w.gold, POSITION_AFTER(3), false, &did, &err), &err);
        assert_true(did);
        world_close(&w);
        world_open(&w);
    }
    whole_step(&w, POSITION_AFTER(3));
    judge_all(&w, true);
    world_end(&w);
}

/* ---- rebuilding ---- */

static void test_changed_model(void **unused)
{
    (void)unused;
    struct world w;
    struct asset models[SHOP_MODELS];
    world_new(&w, 7);
    struct mirror mirror = {.w = &w, .position = -1};
    for (int p = 0; p < 8; p++)
        world_step(&w);
    whole_step(&w, POSITION_AFTER(7));
    mirror_follow(&mirror, true);
    world_close(&w);

    /* other rows from the same columns: dim_products is recomputed, its readers follow by its marks */
    memcpy(models, shop_models, sizeof models);
    struct buf text = {0};
    const char *old = "'unknown'", *at = strstr(models[1].data, old);
    assert_non_null(at);
    buf_put(&text, models[1].data, (size_t)(at - models[1].data));
    buf_put_text(&text, "'no category'");
    buf_put_text(&text, at + strlen(old));
    models[1].data = buf_text(&text);
    models[1].len = text.len;
    w.models = models;
    world_open(&w);
    mirror.w = &w;
    assert_false(gold_needs_rebuild(w.gold));
    while (!world_step(&w))
        continue;
    judge_all(&w, false);
    mirror_follow(&mirror, true);
    mirror_judge(&mirror, false);
    assert_int_equal(mirror.reloads, 0);
    world_close(&w);

    /* other columns: the table is replaced, the warehouse told to load it anew */
    struct buf wider = {0};
    old = "--   neighbours long not null\n";
    at = strstr(models[2].data, old);
    assert_non_null(at);
    buf_put(&wider, models[2].data, (size_t)(at - models[2].data));
    buf_put_text(&wider, "--   neighbours string not null\n");
    buf_put_text(&wider, at + strlen(old));
    models[2].data = buf_text(&wider);
    models[2].len = wider.len;
    world_open(&w);
    while (!world_step(&w))
        continue;
    judge_all(&w, false);
    mirror_follow(&mirror, true);
    mirror_judge(&mirror, false);
    assert_int_equal(mirror.reloads, 1);
    for (int p = 0; p < 4; p++)
        world_step(&w);
    while (!world_step(&w))
        continue;
    judge_all(&w, false);
    mirror_follow(&mirror, true);
    mirror_judge(&mirror, false);
    mirror_free(&mirror);
    buf_free(&text);
    buf_free(&wider);
    world_end(&w);
}

static void test_lost_state(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    world_new(&w, 11);
    struct mirror mirror = {.w = &w, .position = -1};
    for (int p = 0; p < 9; p++)
        world_step(&w); /* the last: gold followed 0..8 */
    mirror_follow(&mirror, true);
    char *state = mem_format("%s/state", w.home);

    world_close(&w);
    need(file_remove_tree(state, &err), &err);
    world_open(&w);
    while (!world_step(&w))
        continue;
    judge_all(&w, false);
    mirror_follow(&mirror, true);
    mirror_judge(&mirror, false);
    assert_true(mirror.reloads > 0);
    mirror_free(&mirror);
    mem_free(state);
    world_end(&w);
}

/* After a power cut the store may be older than the lake: marks and outbox of what it lost are missing. */
static void test_older_state(void **unused)
{
    (void)unused;
    struct world w;
    for (int lost = 1; lost <= 3; lost++) {
        world_new(&w, 100 + (uint64_t)lost);
        struct mirror mirror = {.w = &w, .position = -1};
        for (int p = 0; p < 6; p++)
            world_step(&w);
        mirror_follow(&mirror, true);
        world_close(&w);
        char *copy = mem_format("cp -r '%s/state' '%s/kept'", w.home, w.home);
        char *back = mem_format("rm -rf '%s/state' && mv '%s/kept' '%s/state'", w.home, w.home, w.home);
        assert_int_equal(system(copy), 0);
        world_open(&w);
        for (int p = 0; p < lost; p++)
            world_step(&w);
        world_close(&w);
        assert_int_equal(system(back), 0);
        world_open(&w);
        while (!world_step(&w))
            continue;
        judge_all(&w, false);
        mirror_follow(&mirror, true);
        mirror_judge(&mirror, false);
        mirror_free(&mirror);
        mem_free(copy);
        mem_free(back);
        upkeep_all(w.gold);
        world_end(&w);
    }
}

static void test_late_input(void **unused)
{
    (void)unused;
    struct world w;
    world_new(&w, 13);
    assert_true(gold_needs_rebuild(w.gold));
    w.hidden[T_ZIPS] = true;
    for (int p = 0; p < 4; p++)
        world_step(&w);
    for (size_t i = 0; i < gold_model_count(w.gold); i++) {
        const struct gold_model *m = &w.gold->models.items[i];
        if (strcmp(m->name, "members") == 0) judge_model(&w, i);
        if (strcmp(m->name, "geo") == 0) assert_int_equal(keyed_row_count(m->keyed), 0);
    }
    w.hidden[T_ZIPS] = false;
    assert_false(gold_needs_rebuild(w.gold)); /* members is built */
    while (!world_step(&w))
        continue;
    judge_all(&w, false);
    world_end(&w);
}

/* ---- many groups ---- */

enum { MANY = 24300 };

/* By the marks that are still there. */
static size_t affected_groups(struct world *w, const char *model)
{
    struct error err = {0};
    struct map groups = {0};
    bool overflow = true;
    size_t i = 0;
    while (strcmp(gold_model_name(w->gold, i), model) != 0)
        i++;
    need(gold_groups_collect(w->gold, &w->gold->models.items[i], 100000, &groups, &overflow, &err), &err);
    assert_false(overflow);
    size_t count = groups.count;
    map_free(&groups, NULL);
    return count;
}

static void test_many_groups(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    world_new(&w, 17);
    struct keyed_change *changes = mem_alloc(MANY * sizeof *changes);
    size_t *at = mem_alloc((MANY + 1) * 2 * sizeof *at);
    struct buf bytes = {0};
    while (w.next < 3)
        world_step(&w);
    for (int pass = 0; pass < 2; pass++) { /* orders, then items, one of each, all of product i0 */
        struct table *t = &w.tables[pass ? T_ITEMS : T_ORDERS];
        buf_clear(&bytes);
        for (int i = 0; i < MANY; i++) {
            at[2 * i] = bytes.len;
            buf_printf(&bytes, "x%d", i);
            if (pass)
                buf_put_text(&bytes, "\x1F"
                                     "1");
            at[2 * i + 1] = bytes.len;
            put_id(&bytes, 'x', i);
            if (pass) {
                buf_put_u16(&bytes, 1);
                put_id_or_null(&bytes, 'i', 0);
                buf_put_u64(&bytes, (uint64_t)i);
            } else {
                buf_put_u8(&bytes, 1);
                buf_put_u8(&bytes, 0);
                buf_put_u64(&bytes, (uint64_t)(BASE_US + (i % 90) * DAY_US));
                buf_put_string(&bytes, SLICE("created"));
            }
        }
        at[2 * MANY] = bytes.len;
        for (int i = 0; i < MANY; i++) {
            changes[i].key = (struct slice){bytes.data + at[2 * i], at[2 * i + 1] - at[2 * i]};
            changes[i].row = (struct slice){bytes.data + at[2 * i + 1], at[2 * i + 2] - at[2 * i + 1]};
        }
        need(keyed_merge(t->keyed, w.conn, changes, MANY, POSITION_AFTER(w.next), NULL, gold_mark_hook,
                         &t->mark, NULL, &err),
             &err);
    }
    w.next++;
    while (!world_step(&w))
        continue;
    judge_all(&w, false);
    /* a new version of the product: only what was bought since is looked at, in slices
     * (5,000 groups each; a quarter of all rows would mean one pass over everything) */
    struct step t = {.event_count = 1};
    t.events[0] = (struct event){'u', 0, 3, w.next + 1, 0};
    int64_t p = w.next++, position = POSITION_AFTER(p);
    append_history(&w, &t, 70, position);
    need(gold_apply(w.gold, position, &err), &err);
    /* days 70 to 89 of 90, and the few items of the random orders */
    assert_in_range(affected_groups(&w, "fact_items"), 5400, 5400 + ORDERS);
    assert_int_equal(affected_groups(&w, "order_rank"), 0);
    need(gold_clear_marks(w.gold, &err), &err);
    judge_all(&w, false);
    mem_free(changes);
    mem_free(at);
    buf_free(&bytes);
    world_end(&w);
}

/* ---- pinned versions ---- */

struct pins {
    struct world *w;
    int64_t silver[TABLES], history;
};

static int64_t pinned(void *arg, const char *table)
{
    const struct pins *pins = arg;
    for (int t = 0; t < TABLES; t++)
        if (strcmp(table + strlen("silver/"), pins->w->tables[t].name) == 0) return pins->silver[t];
    return strcmp(table, "silver/products_history") == 0 ? pins->history : -1;
}

static bool judge_pinned(void *arg, struct slice key, struct slice row, struct error *err)
{
    struct map *rows = arg;
    const char *wanted = map_get(rows, key);
    (void)err;
    assert_non_null(wanted);
    assert_memory_equal(wanted, row.data, row.len);
    return true;
}

/* What check asks leaves the passes that gold makes itself alone. */
static void test_recompute_at(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    struct engine_conn *conn;
    struct map rows[16] = {0};
    world_new(&w, 19);
    struct pins pins = {.w = &w};
    for (int p = 0; p < 4; p++)
        world_step(&w);
    for (int t = 0; t < TABLES; t++)
        pins.silver[t] = keyed_version(w.tables[t].keyed);
    pins.history = delta_version(w.history);
    for (size_t i = 0; i < gold_model_count(w.gold); i++)
        need(gold_recompute_at(w.gold, i, w.conn, NULL, NULL, put_row, &rows[i], &err), &err);
    for (int p = 0; p < 5; p++)
        world_step(&w);
    need(engine_connect(&conn, NULL, &err), &err);
    for (size_t i = 0; i < gold_model_count(w.gold); i++) {
        bool of_silver = true;
        const struct gold_model *m = &w.gold->models.items[i];
        for (size_t t = 0; t < m->table_count; t++)
            of_silver = of_silver && w.gold->models.inputs[m->tables[t]].kind != GOLD_MODEL;
        if (of_silver)
            need(gold_recompute_at(w.gold, i, conn, pinned, &pins, judge_pinned, &rows[i], &err), &err);
        map_free(&rows[i], mem_free);
    }
    engine_disconnect(conn);
    need(gold_rebuild(w.gold, POSITION_AFTER(w.next - 1), &err), &err);
    for (size_t i = 0; i < gold_model_count(w.gold); i++)
        assert_int_equal(w.gold->models.items[i].rest_us, 0);
    judge_all(&w, false);
    world_end(&w);
}

/* ---- model files ---- */

static void refuse(const char *text, const char *why)
{
    struct gold_models set;
    struct error err = {0};
    struct asset file = {"sql/gold/x.sql", text, strlen(text)};
    assert_false(gold_models_load(&set, &file, 1, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    if (!strstr(err.text, why)) fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    assert_true(strncmp(err.text, "sql/gold", 8) == 0);
}

#define HEAD "-- model: m\n-- kind: row\n-- key: a\n-- group: a\n"
#define COLUMNS "-- columns:\n--   a string not null\n--   b long\n"

static void test_refused(void **unused)
{
    (void)unused;
    refuse("SELECT 1", "no \"-- model");
    refuse("-- model: m\n-- kind: row\n-- kind: sometimes\nSELECT 1", "line 3: kind is row or whole");
    refuse(HEAD "-- colour: red\nSELECT 1", "line 5: unknown word");
    refuse(HEAD "-- key: b\nSELECT 1", "line 5: declared twice");
    refuse(HEAD "-- input: t(a) = group\nSELECT 1", "no \"-- columns");
    refuse(HEAD COLUMNS "SELECT 1", "no \"-- input");
    refuse(HEAD "-- input: t(a) = group\n" COLUMNS, "no SELECT");
    refuse(HEAD "-- input: t(a = group\n" COLUMNS "SELECT 1", "line 5: expected: <table>(<column>)");
    refuse(HEAD "-- input: t(a) = u.b\n" COLUMNS "SELECT 1", "parent must be declared before");
    refuse(HEAD "-- input: t(a) = group or not\n" COLUMNS "SELECT 1", "text after the end");
    refuse(HEAD "-- input: t\n" COLUMNS "SELECT 1", "no input by group");
    refuse(HEAD "-- input: t(a) = group\n-- input: u(a) = t.a since x <= u.b\n" COLUMNS "SELECT 1",
           "the table after <= must be declared before");
    refuse(HEAD "-- input: t(a) = group\n-- input: h_history\n" COLUMNS "SELECT 1", "a history is read by");
    refuse(HEAD "-- input: m(a) = group\n" COLUMNS "SELECT 1", "in a circle");
    refuse(HEAD "-- input: t(a) = group\n-- columns:\n--   a strong not null\nSELECT 1", "line 7");
    refuse(HEAD "-- input: t(a) = group\n-- columns:\n--   a string not null\n--   a long\nSELECT 1",
           "declared twice");
    refuse("-- model: m\n-- kind: row\n-- key: a\n-- group: b\n-- input: t(b) = group\n" COLUMNS "SELECT 1",
           "the group must be not null");
    refuse("-- model: m\n-- kind: whole\n-- key: c\n-- input: t\n" COLUMNS "SELECT 1",
           "key: \"c\" is not a column");
    refuse("-- model: m\n-- kind: whole\n-- key: a\n-- input: t(a) = group\n" COLUMNS "SELECT 1",
           "inputs of a whole model");
}

/* A model that cannot run is told and keeps its last rows; the others go on. */
static void test_unfit(void **unused)
{
    (void)unused;
    struct world w;
    static const char *const texts[][2] = {
        {HEAD "-- input: orders(nothing) = group\n" COLUMNS "SELECT 1", "orders has no column nothing"},
        {HEAD "-- input: items(item_id) = group\n" COLUMNS "SELECT 1", "differ in type"},
        {HEAD "-- input: orders(order_id) = group\n" COLUMNS "SELECT order_id AS c FROM orders", "gold: m"},
        {HEAD "-- input: orders(order_id) = group\n" COLUMNS
              "SELECT order_id AS a, x AS b FROM orders, (SELECT arrayJoin([1, 2]) AS x) AS twice",
         "comes twice"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct asset files[2] = {shop_models[MEMBERS],
                                 {"sql/gold/m.sql", texts[i][0], strlen(texts[i][0])}};
        world_new(&w, 23);
        for (int p = 0; p < 3; p++)
            world_step(&w);
        world_close(&w);
        w.models = files;
        w.model_count = 2;
        world_open(&w);
        while (!world_step(&w))
            continue;
        const char *told = w.flow.status[STAGE_REFINE].last_error;
        if (!strstr(told, texts[i][1])) fail_msg("\"%s\" does not say \"%s\"", told, texts[i][1]);
        for (int p = 0; p < 3; p++)
            world_step(&w);
        while (!world_step(&w))
            continue;
        for (size_t m = 0; m < gold_model_count(w.gold); m++)
            if (strcmp(gold_model_name(w.gold, m), "members") == 0) judge_model(&w, m);
        world_end(&w);
    }
}

/* What a model that failed missed is made up for when its SELECT can run again. */
static void test_failing_for_a_while(void **unused)
{
    (void)unused;
    struct world w;
    struct error err = {0};
    world_new(&w, 29);
    for (int p = 0; p < 3; p++)
        world_step(&w);
    struct gold_model *geo = w.gold->models.items;
    while (strcmp(geo->name, "geo") != 0)
        geo++;
    char *select = geo->select;
    geo->select = mem_text("SELECT zip, state, toInt64(throwIf(1, 'not today')) AS customers FROM zips");
    for (int p = 0; p < 5; p++)
        world_step(&w);
    while (!world_step(&w))
        continue;
    assert_non_null(strstr(w.flow.status[STAGE_REFINE].last_error, "not today"));
    for (size_t m = 0; m < gold_model_count(w.gold); m++) /* its readers hold for the rows it has */
        if (&w.gold->models.items[m] != geo && !gold_model_is_whole(w.gold, m)) judge_model(&w, m);
    mem_free(geo->select);
    geo->select = select;
    geo->rest_us = 1;
    need(gold_apply(w.gold, POSITION_AFTER(w.next), &err), &err);
    judge_all(&w, false);
    world_end(&w);
}

/* ---- killed ---- */

static char *program;

/* Goes on from where the folder stands, for so many steps more; judges at the end. */
static int child(const char *home, uint64_t seed, int steps, bool judge)
{
    struct world w;
    struct step unused;
    world_make(&w, home, seed);
    int64_t done = read_done(&w);
    while (w.next <= done)
        shop_step(&w.shop, &unused, seed, w.next++);
    if (done >= 0) complete(&w, done); /* as refine does after a restart */
    for (int i = 0; i < steps; i++) {
        world_step(&w);
        if (i == steps / 2) whole_step(&w, POSITION_AFTER(w.next - 1));
    }
    while (!world_step(&w))
        continue;
    if (judge) {
        judge_all(&w, false);
        struct mirror mirror = {.w = &w, .position = -1};
        mirror_follow(&mirror, false);
        mirror_judge(&mirror, false);
        assert_int_equal(mirror.reloads, 0);
        mirror_free(&mirror);
    }
    world_end(&w);
    return 0;
}

/* Runs the child; returns whether it was killed at the failpoint. */
static bool run_child(const char *home, uint64_t seed, int steps, const char *fail)
{
    char seed_text[24], steps_text[16];
    int status;
    snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
    snprintf(steps_text, sizeof steps_text, "%d", steps);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (fail) setenv("MILLRACE_FAIL", fail, 1);
        execl(program, program, "child", home, seed_text, steps_text, fail ? "run" : "judge", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("child seed %s at %s: status %x", seed_text, fail ? fail : "no failpoint", status);
    return false;
}

static void test_killed(void **unused)
{
    (void)unused;
    static const char *const points[] = {
        "gold.model:1",      "gold.model:4",       "gold.model:9",
        "gold.model:14",     "keyed.prepared:3",   "keyed.prepared:11",
        "keyed.committed:5", "keyed.committed:13", "delta.after_link:20",
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        char home[100];
        uint64_t seed = 40 + i;
        snprintf(home, sizeof home, "%s/killed%zu", shared_home, i);
        assert_true(run_child(home, seed, 6, points[i]));
        run_child(home, seed, 3, "gold.model:3");
        assert_false(run_child(home, seed, 2, NULL));
    }
}

static void start(const char *home, bool own)
{
    struct error err = {0};
    char *storage = mem_format("%s/warehouse", home);
    need(file_make_dirs(home, &err), &err);
    need(engine_open("", own ? shared_home : home, storage, 0, &err), &err);
    need(engine_connect(&shared_conn, NULL, &err), &err);
    mem_free(storage);
}

static void stop(void)
{
    engine_disconnect(shared_conn);
    engine_close();
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "child") == 0) {
        start(argv[2], false);
        int code = child(argv[2], strtoull(argv[3], NULL, 10), (int)strtol(argv[4], NULL, 10),
                         strcmp(argv[5], "judge") == 0);
        stop();
        return code;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_random_fixed),
        cmocka_unit_test(test_random_new),
        cmocka_unit_test(test_closed_while_computing),
        cmocka_unit_test(test_changed_model),
        cmocka_unit_test(test_lost_state),
        cmocka_unit_test(test_older_state),
        cmocka_unit_test(test_late_input),
        cmocka_unit_test(test_many_groups),
        cmocka_unit_test(test_recompute_at),
        cmocka_unit_test(test_unfit),
        cmocka_unit_test(test_failing_for_a_while),
        cmocka_unit_test(test_killed),
    };
    if (argc == 2) cmocka_set_test_filter(argv[1]); /* test_gold 'test_killed' */
    if (getenv("MILLRACE_LOG")) log_setup(LOG_DEBUG, false);
    char *folder = unit_folder();
    program = unit_program(argv[0]);
    if (!program) return 1;
    snprintf(shared_home, sizeof shared_home, "%s", folder);
    start(shared_home, true);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop();
    unit_folder_remove(folder);
    free(program);
    return failed;
}
