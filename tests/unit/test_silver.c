/* Silver against the real engine, lake and state. One engine for all tests; each test has a flow of its
 * own in a folder below the engine's home. A run that is to be killed runs in a child of this program. */
#include "engine_lab.h"

#include "stages/refine/silver/raw.h"
#include "stages/refine/silver/silver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

static char *root, *program;
static struct engine_conn *conn;

/* ---- a world: one flow with its silver */

struct world {
    char *home;
    struct config config;
    struct flow flow;
    struct silver *silver;
    struct buf feed;
    int64_t position;
};

static size_t marked;

static void count_marks(void *arg, const struct keyed_applied *applied, size_t count, int64_t version,
                        struct state_batch *also)
{
    (void)arg;
    (void)applied;
    (void)version;
    (void)also;
    marked += count;
}

static void world_open(struct world *w)
{
    struct error err = {0};
    struct silver_hooks hooks = {.applied = count_marks, .arg = w};
    config_init(&w->config);
    unit_ok(config_set(&w->config, "home", w->home, &err));
    unit_ok(flow_init(&w->flow, &w->config, &err));
    unit_ok(silver_open(&w->silver, &w->flow, conn, &hooks, &err));
}

static void world_shut(struct world *w)
{
    silver_close(w->silver);
    flow_free(&w->flow);
    config_free(&w->config);
    w->silver = NULL;
}

static void world_make(struct world *w, const char *name)
{
    *w = (struct world){.home = mem_format("%s/%s", root, name)};
    world_open(w);
}

static void world_end(struct world *w)
{
    world_shut(w);
    buf_free(&w->feed);
    mem_free(w->home);
}

static void world_again(struct world *w)
{
    world_shut(w);
    world_open(w);
}

/* ---- events */

struct event {
    const char *table;
    char op;
    int epoch;
    unsigned lsn, ordinal;
    const char *key, *old_key, *before, *after, *unchanged;
    const char *topic; /* through Kafka: lsn is the arrival, ordinal the event's LSN */
};

static void put(struct world *w, struct event e)
{
    struct change c = {.op = (enum change_op)e.op,
                       .table = slice_of(e.table),
                       .epoch = e.epoch ? e.epoch : 1,
                       .lsn = e.lsn,
                       .ordinal = e.ordinal,
                       .commit_us = INT64_C(1000000) * e.lsn,
                       .capture_us = 1,
                       .key = slice_of(e.key),
                       .old_key = slice_of(e.old_key),
                       .before = slice_of(e.before),
                       .after = slice_of(e.after),
                       .unchanged = slice_of(e.unchanged),
                       .topic = slice_of(e.topic)};
    change_encode(&w->feed, &c);
}

static void apply_at(struct world *w, int64_t position)
{
    struct error err = {0};
    unit_ok(silver_apply(w->silver, buf_slice(&w->feed), position, &err));
    buf_clear(&w->feed);
}

static void apply(struct world *w)
{
    w->position += 1 << 16;
    apply_at(w, w->position);
}

/* columns: "name type key?" separated by ';', as in "id integer 1; note text". */
static void put_schema(struct world *w, const char *table, unsigned lsn, char identity, const char *columns)
{
    struct schema s = {.table = mem_text(table), .replica_identity = identity};
    char *copy = mem_text(columns), *save = NULL;
    int attnum = 0;
    for (char *part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
        struct schema_column c = {0};
        char name[64], type[64];
        char missing[64] = "";
        int key = 0;
        /* a number before the name is the attnum */
        int n = sscanf(part, " %d/%63[^:]:%63[^:]:%d:%63s", &attnum, name, type, &key, missing);
        assert_true(n >= 3);
        c.name = mem_text(name);
        c.type = mem_text(type);
        c.attnum = attnum;
        c.key = key;
        if (missing[0]) c.missing = mem_text(missing);
        s.columns = mem_resize(s.columns, s.count + 1, sizeof *s.columns);
        s.columns[s.count++] = c;
    }
    mem_free(copy);
    schema_set_id(&s);
    struct buf json = {0};
    schema_encode(&s, &json);
    put(w, (struct event){.table = table, .op = 'S', .lsn = lsn, .after = buf_text(&json)});
    buf_free(&json);
    schema_free(&s);
}

#define NOTES "1/id:integer:1;2/note:text;3/amount:numeric(10,2)"

static void put_notes_schema(struct world *w)
{
    put_schema(w, "public.notes", 1, 'd', NOTES);
}

#define NOTE(op_, lsn_, ordinal_, id_, rest_)                                                              \
    (struct event)                                                                                         \
    {                                                                                                      \
        .table = "public.notes", .op = (op_), .lsn = (lsn_), .ordinal = (ordinal_),                        \
        .key = "{\"id\":" #id_ "}", .after = "{\"id\":" #id_ "," rest_ "}"                                 \
    }
#define GONE(lsn_, ordinal_, id_)                                                                          \
    (struct event)                                                                                         \
    {                                                                                                      \
        .table = "public.notes", .op = 'd', .lsn = (lsn_), .ordinal = (ordinal_),                          \
        .key = "{\"id\":" #id_ "}"                                                                         \
    }

/* ---- answers */

static char *query(const char *sql)
{
    struct error err = {0};
    struct engine_result r;
    if (!engine_query(conn, sql, "CSV", NULL, 0, &r, &err)) fail_msg("%s\n%s", sql, err.text);
    char *text = mem_textn(r.data.data ? r.data.data : "", r.data.len);
    engine_result_free(&r);
    return text;
}

/* The rows of a silver table, `columns` of them, ordered by all of these. */
static void expect(struct world *w, const char *table, const char *columns, const char *wanted)
{
    char *sql =
        mem_format("SELECT %s FROM deltaLakeLocal('%s/lake/silver/%s') ORDER BY ALL"
                   " SETTINGS output_format_decimal_trailing_zeros=1, format_csv_null_representation='-'",
                   columns, w->home, table);
    char *got = query(sql);
    for (char *at = got; *at; at++)
        if (*at == '"') memmove(at, at + 1, strlen(at)), at--;
    if (strcmp(got, wanted) != 0) fail_msg("%s:\n%s\nexpected:\n%s", sql, got, wanted);
    mem_free(got);
    mem_free(sql);
}

static void expect_notes(struct world *w, const char *wanted)
{
    expect(w, "notes", "id, note, amount", wanted);
}

static void expect_history(struct world *w, const char *wanted)
{
    expect(w, "notes_history", "_lsn, _ordinal, _op, id, note", wanted);
}

static void expect_quarantine(struct world *w, const char *wanted)
{
    expect(w, "quarantine", "table, key, reason", wanted);
}

/* The raw row of a key: "<lsn> <flags> <image>", or "none". */
static void expect_raw(struct world *w, const char *table, const char *key, const char *wanted)
{
    struct error err = {0};
    struct buf full = {0}, value = {0}, text = {0};
    bool found;
    raw_put_key('w', table, slice_of(key), &full);
    unit_ok(state_get(w->flow.state, NULL, buf_slice(&full), &value, &found, &err));
    struct raw_row raw;
    if (!found)
        buf_put_text(&text, "none");
    else if (raw_decode(buf_slice(&value), &raw))
        buf_printf(&text, "%llu %d %.*s", (unsigned long long)raw.lsn, raw.flags, (int)raw.after.len,
                   raw.after.data ? raw.after.data : "");
    assert_string_equal(buf_text(&text), wanted);
    buf_free(&full);
    buf_free(&value);
    buf_free(&text);
}

static size_t state_count(struct world *w, const char *prefix)
{
    struct error err = {0};
    struct slice key, value;
    size_t n = 0;
    struct state_iter *it = state_iter_open(w->flow.state, NULL, slice_of(prefix));
    while (state_iter_next(it, &key, &value))
        n++;
    unit_ok(state_iter_close(it, &err));
    return n;
}

/* ---- folding */

static void folds_in_order_and_drops_repeats(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "fold");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":\"1.50\""));
    put(&w, NOTE('u', 10, 2, 1, "\"note\":\"b\",\"amount\":\"1.50\""));
    put(&w, NOTE('c', 10, 3, 2, "\"note\":null,\"amount\":null"));
    apply(&w);
    expect_notes(&w, "1,b,1.50\n2,-,-\n");
    expect_history(&w, "10,1,c,1,a\n10,2,u,1,b\n10,3,c,2,-\n");
    put(&w, NOTE('u', 10, 2, 1, "\"note\":\"b\",\"amount\":\"1.50\"")); /* again */
    put(&w, NOTE('u', 9, 7, 1, "\"note\":\"older\",\"amount\":\"0.10\""));
    put(&w, GONE(11, 1, 2));
    put(&w, NOTE('u', 11, 2, 1, "\"note\":\"c\",\"amount\":\"2.00\""));
    apply(&w);
    expect_notes(&w, "1,c,2.00\n");
    expect_history(&w, "10,1,c,1,a\n10,2,u,1,b\n10,3,c,2,-\n11,1,d,2,-\n11,2,u,1,c\n");
    /* two versions of one transaction, and the deletion, each begin strictly later */
    expect(&w, "notes_history", "id, _ordinal, toUnixTimestamp64Micro(_valid_from)",
           "1,1,10000000\n1,2,10000001\n1,2,11000000\n2,1,11000000\n2,3,10000000\n");
    world_end(&w);
}

static void skips_what_stands_at_the_position(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "skip");
    for (int i = 0; i < 2; i++) {
        put_notes_schema(&w);
        put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":\"1.50\""));
        apply_at(&w, 1 << 16);
        expect_history(&w, "10,1,c,1,a\n");
    }
    assert_int_equal(silver_position_most(w.silver), 1 << 16);
    assert_int_equal(silver_position_least(w.silver), 1 << 16);
    world_again(&w);
    assert_int_equal(silver_position_most(w.silver), 1 << 16);
    struct buf versions = {0};
    silver_versions(w.silver, &versions);
    assert_string_equal(buf_text(&versions), "{\"notes\":1,\"notes_history\":1,\"quarantine\":0}");
    buf_free(&versions);
    world_end(&w);
}

static void fills_unchanged_columns(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "toast");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"long \\\"text\\\"\",\"amount\":\"1.50\""));
    apply(&w);
    struct event u = NOTE('u', 11, 1, 1, "\"amount\":\"2.50\"");
    u.unchanged = "[\"note\"]";
    put(&w, u);
    apply(&w);
    expect_raw(&w, "notes", "{\"id\":1}",
               "11 0 {\"id\":1,\"note\":\"long \\\"text\\\"\",\"amount\":\"2.50\"}");
    /* the key changes: the new key takes the text from the old one */
    put(&w, (struct event){.table = "public.notes",
                           .op = 'u',
                           .lsn = 12,
                           .ordinal = 1,
                           .key = "{\"id\":7}",
                           .old_key = "{\"id\":1}",
                           .after = "{\"id\":7,\"amount\":\"3.50\"}",
                           .unchanged = "[\"note\"]"});
    apply(&w);
    expect(&w, "notes", "id, length(note), amount", "7,11,3.50\n");
    expect(&w, "notes_history", "_lsn, _op, id, length(note)",
           "10,c,1,11\n11,u,1,11\n12,d,1,11\n12,u,7,11\n");
    /* nobody knows the text: the row is bad, and stays so until it is sent whole */
    struct event lost = NOTE('u', 13, 1, 9, "\"amount\":\"1.00\"");
    lost.unchanged = "[\"note\"]";
    put(&w, lost);
    apply(&w);
    expect_quarantine(
        &w, "notes,{id:9},note was not sent because it did not change, and its value is not known\n");
    put(&w, NOTE('u', 14, 1, 9, "\"note\":\"here\",\"amount\":\"1.00\""));
    apply(&w);
    expect_quarantine(&w, "");
    expect(&w, "notes", "id, amount", "7,3.50\n9,1.00\n");
    world_end(&w);
}

/* ---- copies */

static void put_bracket(struct world *w, char op, const char *id, int epoch, unsigned lsn)
{
    put(w, (struct event){.table = "public.notes", .op = op, .epoch = epoch, .lsn = lsn, .key = id});
}

static struct event copied(struct event e, int epoch, unsigned lsn)
{
    e.op = 'r';
    e.epoch = epoch;
    e.lsn = lsn;
    e.ordinal = 0;
    return e;
}

static void leaves_no_ghosts(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "ghosts");
    put_bracket(&w, 'B', "1", 1, 0); /* alone in its range: no schema yet */
    apply(&w);
    put_notes_schema(&w);
    put(&w, copied(NOTE('r', 0, 0, 1, "\"note\":\"a\",\"amount\":\"1.00\""), 1, 100));
    put(&w, copied(NOTE('r', 0, 0, 2, "\"note\":\"b\",\"amount\":\"2.00\""), 1, 100));
    put(&w, copied(NOTE('r', 0, 0, 3, "\"note\":\"c\",\"amount\":\"3.00\""), 1, 100));
    apply(&w);
    expect_notes(&w, "1,a,1.00\n2,b,2.00\n3,c,3.00\n");
    /* cut short and begun again, beside a running stream: 2 is gone, 3 is deleted after the point */
    put_bracket(&w, 'B', "2", 1, 100);
    put(&w, copied(NOTE('r', 0, 0, 1, "\"note\":\"a\",\"amount\":\"1.00\""), 1, 200));
    put(&w, NOTE('c', 150, 1, 4, "\"note\":\"in the copy\",\"amount\":null"));
    put(&w, NOTE('u', 210, 1, 5, "\"note\":\"newer\",\"amount\":null"));
    put(&w, GONE(220, 1, 3));
    apply(&w);
    put(&w, copied(NOTE('r', 0, 0, 3, "\"note\":\"c\",\"amount\":\"3.00\""), 1, 200));
    put(&w, copied(NOTE('r', 0, 0, 4, "\"note\":\"in the copy\",\"amount\":null"), 1, 200));
    put(&w, copied(NOTE('r', 0, 0, 5, "\"note\":\"older\",\"amount\":null"), 1, 200));
    put(&w, copied(NOTE('r', 0, 0, 6, "\"note\":\"new\",\"amount\":null"), 1, 200));
    put_bracket(&w, 'E', "1", 1, 200); /* of the copy that was cut short: nothing */
    apply(&w);
    expect_notes(&w, "1,a,1.00\n2,b,2.00\n4,in the copy,-\n5,newer,-\n6,new,-\n");
    put_bracket(&w, 'E', "2", 1, 200);
    apply(&w);
    expect_notes(&w, "1,a,1.00\n4,in the copy,-\n5,newer,-\n6,new,-\n");
    /* the identical row of the second copy made no version; the ghost has its deletion */
    expect(&w, "notes_history", "_lsn, _op, id",
           "100,r,1\n100,r,2\n100,r,3\n150,c,4\n200,d,2\n200,r,6\n210,u,5\n220,d,3\n");
    world_end(&w);
}

/* Through Kafka: arrival, LSN of the event. */
static struct event arrived(unsigned arrival, char op, unsigned lsn, struct event e)
{
    e.op = op;
    e.lsn = arrival;
    e.ordinal = lsn;
    e.topic = "shop.public.notes";
    return e;
}

static struct event arrived_bracket(unsigned arrival, char op, const char *id, unsigned begin)
{
    return (struct event){.table = "public.notes", .op = op, .lsn = arrival, .ordinal = begin, .key = id, .topic = "t"};
}

/* What a partition brings once more, from its beginning on, changes nothing. */
static void an_old_copy_that_arrives_again_is_past(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "arrives-again");
    put_notes_schema(&w);
    put(&w, arrived_bracket(1, 'B', "100", 1));
    for (unsigned again = 0; again < 30; again += 10) {
        put(&w, arrived(2 + again, 'r', 100, NOTE('r', 0, 0, 1, "\"note\":\"a\",\"amount\":\"1.00\"")));
        put(&w, arrived(3 + again, 'r', 100, NOTE('r', 0, 0, 2, "\"note\":\"b\",\"amount\":\"2.00\"")));
        put(&w, arrived(4 + again, 'r', 100, NOTE('r', 0, 0, 3, "\"note\":\"c\",\"amount\":\"3.00\"")));
        if (again == 0) {
            put(&w, arrived_bracket(5, 'E', "100", 1));
            put(&w, arrived(6, 'u', 120, NOTE('u', 0, 0, 1, "\"note\":\"newer\",\"amount\":\"1.00\"")));
            put(&w, arrived(7, 'd', 130, GONE(0, 0, 2)));
            /* written before the snapshot was made, committed after it */
            put(&w, arrived(8, 'u', 90, NOTE('u', 0, 0, 3, "\"note\":\"late\",\"amount\":\"3.00\"")));
        }
        apply(&w);
        expect_notes(&w, "1,newer,1.00\n3,late,3.00\n");
    }
    world_end(&w);
}

/* Partitions are read each in its own time. */
static void partitions_arrive_in_any_order(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "partitions");
    put_notes_schema(&w);
    /* a row that is newer than the copy, before the copy's begin */
    put(&w, arrived(1, 'c', 150, NOTE('c', 0, 0, 7, "\"note\":\"new\",\"amount\":null")));
    put(&w, arrived_bracket(2, 'B', "100", 2));
    put(&w, arrived(3, 'r', 100, NOTE('r', 0, 0, 1, "\"note\":\"a\",\"amount\":null")));
    put(&w, arrived_bracket(4, 'E', "100", 2));
    /* the key moved from 1 to 9; what happened to 1 before comes behind it */
    struct event moved = arrived(5, 'u', 300, NOTE('u', 0, 0, 9, "\"note\":\"moved\",\"amount\":null"));
    moved.old_key = "{\"id\":1}";
    put(&w, moved);
    put(&w, arrived(6, 'u', 250, NOTE('u', 0, 0, 1, "\"note\":\"before\",\"amount\":null")));
    apply(&w);
    expect_notes(&w, "7,new,-\n9,moved,-\n");
    /* another row takes the old key */
    put(&w, arrived(7, 'c', 310, NOTE('c', 0, 0, 1, "\"note\":\"again\",\"amount\":null")));
    put(&w, arrived(8, 'd', 260, GONE(0, 0, 1)));
    apply(&w);
    expect_notes(&w, "1,again,-\n7,new,-\n9,moved,-\n");
    world_end(&w);
}

static void an_older_copy_fills_unchanged_columns(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "copytoast");
    put_notes_schema(&w);
    put_bracket(&w, 'B', "1", 1, 0);
    struct event u = NOTE('u', 210, 1, 1, "\"amount\":\"2.50\"");
    u.unchanged = "[\"note\"]";
    put(&w, u);
    u.lsn = 211;
    u.key = "{\"id\":2}";
    u.after = "{\"id\":2,\"amount\":\"9.00\"}";
    put(&w, u);
    apply(&w);
    expect_notes(&w, ""); /* held back, not bad */
    expect_quarantine(&w, "");
    put(&w, copied(NOTE('r', 0, 0, 1, "\"note\":\"text\",\"amount\":\"1.00\""), 1, 200));
    apply(&w);
    expect_notes(&w, "1,text,2.50\n");
    expect(&w, "notes_history", "_lsn, _op, id, note", "210,u,1,text\n");
    put_bracket(&w, 'E', "1", 1, 200);
    apply(&w);
    expect_quarantine(
        &w, "notes,{id:2},note was not sent because it did not change, and its value is not known\n");
    world_end(&w);
}

/* An update of note's key by a row whose note was not sent. */
static struct event renamed(unsigned lsn, const char *old_key, const char *key, const char *after)
{
    return (struct event){.table = "public.notes",
                          .op = 'u',
                          .lsn = lsn,
                          .ordinal = 1,
                          .key = key,
                          .old_key = old_key,
                          .after = after,
                          .unchanged = "[\"note\"]"};
}

static void a_copied_row_fills_what_it_became(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "copymoved");
    put_bracket(&w, 'B', "1", 1, 0);
    put_notes_schema(&w);
    /* 1 becomes 2; 3 becomes 4, then 5, across a range; 6 becomes 7 and is gone */
    put(&w, renamed(210, "{\"id\":1}", "{\"id\":2}", "{\"id\":2,\"amount\":null}"));
    put(&w, renamed(211, "{\"id\":3}", "{\"id\":4}", "{\"id\":4,\"amount\":null}"));
    put(&w, renamed(212, "{\"id\":6}", "{\"id\":7}", "{\"id\":7,\"amount\":null}"));
    apply(&w);
    struct event u = NOTE('u', 215, 1, 2, "\"amount\":\"2.00\"");
    u.unchanged = "[\"note\"]";
    put(&w, u);
    put(&w, renamed(216, "{\"id\":4}", "{\"id\":5}", "{\"id\":5,\"amount\":\"5.00\"}"));
    put(&w, GONE(217, 1, 7));
    apply(&w);
    expect_notes(&w, "");
    put(&w, copied(NOTE('r', 0, 0, 1, "\"note\":\"one\",\"amount\":null"), 1, 200));
    put(&w, copied(NOTE('r', 0, 0, 3, "\"note\":\"three\",\"amount\":null"), 1, 200));
    put(&w, copied(NOTE('r', 0, 0, 6, "\"note\":\"six\",\"amount\":null"), 1, 200));
    apply(&w);
    put_bracket(&w, 'E', "1", 1, 200);
    apply(&w);
    expect_notes(&w, "2,one,2.00\n5,three,5.00\n");
    expect_quarantine(&w, "");
    expect_history(&w, "215,1,u,2,one\n216,1,u,5,three\n");
    expect_raw(&w, "notes", "{\"id\":2}", "215 0 {\"id\":2,\"note\":\"one\",\"amount\":\"2.00\"}");
    world_end(&w);
}

/* 1 becomes 2 and 3 becomes 1: the copied row 1 is not the one that stands there now. */
static void a_copied_row_fills_no_other(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "copyother");
    put_bracket(&w, 'B', "1", 1, 0);
    put_notes_schema(&w);
    put(&w, renamed(210, "{\"id\":1}", "{\"id\":2}", "{\"id\":2,\"amount\":null}"));
    put(&w, renamed(211, "{\"id\":3}", "{\"id\":1}", "{\"id\":1,\"amount\":null}"));
    put(&w, copied(NOTE('r', 0, 0, 1, "\"note\":\"one\",\"amount\":null"), 1, 200));
    apply(&w);
    put(&w, copied(NOTE('r', 0, 0, 3, "\"note\":\"three\",\"amount\":null"), 1, 200));
    put_bracket(&w, 'E', "1", 1, 200);
    apply(&w);
    expect_notes(&w, "1,three,-\n");
    expect_quarantine(
        &w, "notes,{id:2},note was not sent because it did not change, and its value is not known\n");
    world_end(&w);
}

static void a_new_epoch_is_newer(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "epoch");
    put_notes_schema(&w);
    put(&w, NOTE('c', 500, 1, 1, "\"note\":\"a\",\"amount\":null"));
    put(&w, NOTE('c', 500, 2, 2, "\"note\":\"b\",\"amount\":null"));
    apply(&w);
    put_bracket(&w, 'B', "9", 2, 0);
    put(&w, copied(NOTE('r', 0, 0, 1, "\"note\":\"z\",\"amount\":null"), 2, 100));
    put_bracket(&w, 'E', "9", 2, 100);
    apply(&w);
    expect_notes(&w, "1,z,-\n");
    world_end(&w);
}

static void truncate_closes_all(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "truncate");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":null"));
    put(&w, NOTE('c', 10, 2, 2, "\"note\":\"b\",\"amount\":null"));
    apply(&w);
    put(&w, NOTE('c', 11, 1, 3, "\"note\":\"c\",\"amount\":null"));
    put(&w, (struct event){.table = "public.notes", .op = 't', .lsn = 11, .ordinal = 2});
    put(&w, NOTE('c', 11, 3, 2, "\"note\":\"again\",\"amount\":null"));
    apply(&w);
    expect_notes(&w, "2,again,-\n");
    expect(&w, "notes_history", "_lsn, _ordinal, _op, id",
           "10,1,c,1\n10,2,c,2\n11,1,c,3\n11,2,t,1\n11,2,t,2\n11,2,t,3\n11,3,c,2\n");
    expect_raw(&w, "notes", "{\"id\":1}", "11 1 "); /* a tombstone */
    put(&w, NOTE('u', 10, 1, 1, "\"note\":\"repeat\",\"amount\":null"));
    apply(&w);
    expect_notes(&w, "2,again,-\n");
    world_end(&w);
}

/* ---- tables without key */

static void counts_rows_without_key(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "keyless");
    struct event e = {
        .table = "public.log", .op = 'c', .lsn = 10, .ordinal = 1, .after = "{\"line\":\"x\"}"};
    put_schema(&w, "public.log", 1, 'f', "1/line:text");
    put(&w, e);
    e.ordinal = 2;
    put(&w, e);
    apply(&w);
    expect(&w, "log", "line", "x\nx\n");
    put(&w, e); /* a repeat, by the table's position */
    e = (struct event){
        .table = "public.log", .op = 'd', .lsn = 11, .ordinal = 1, .before = "{\"line\":\"x\"}"};
    put(&w, e);
    put(&w, (struct event){.table = "public.log",
                           .op = 'u',
                           .lsn = 11,
                           .ordinal = 2,
                           .before = "{\"line\":\"x\"}",
                           .after = "{\"line\":\"y\"}"});
    apply(&w);
    expect(&w, "log", "line", "y\n");
    /* a copy: what it holds already waits and is dropped, what came after it is applied at its end */
    put(&w, (struct event){.table = "public.log", .op = 'B', .lsn = 20, .key = "5"});
    put(&w, (struct event){
                .table = "public.log", .op = 'c', .lsn = 25, .ordinal = 1, .after = "{\"line\":\"z\"}"});
    put(&w, (struct event){
                .table = "public.log", .op = 'd', .lsn = 35, .ordinal = 1, .before = "{\"line\":\"y\"}"});
    apply(&w);
    expect(&w, "log", "line", "");
    put(&w, (struct event){.table = "public.log", .op = 'r', .lsn = 30, .after = "{\"line\":\"y\"}"});
    put(&w, (struct event){.table = "public.log", .op = 'r', .lsn = 30, .after = "{\"line\":\"z\"}"});
    put(&w, (struct event){.table = "public.log", .op = 'E', .lsn = 30, .key = "5"});
    put(&w, (struct event){
                .table = "public.log", .op = 'c', .lsn = 36, .ordinal = 1, .after = "{\"line\":\"w\"}"});
    apply(&w);
    expect(&w, "log", "line", "w\nz\n");
    assert_int_equal(state_count(&w, "q/"), 0);
    /* without FULL: history only */
    put_schema(&w, "sales.visits", 1, 'd', "1/page:text;2/at:timestamp without time zone");
    put(&w, (struct event){.table = "sales.visits",
                           .op = 'c',
                           .lsn = 40,
                           .ordinal = 1,
                           .after = "{\"page\":\"/\",\"at\":\"2024-01-01T00:00:00\"}"});
    put(&w, (struct event){.table = "sales.visits",
                           .op = 'c',
                           .lsn = 40,
                           .ordinal = 2,
                           .after = "{\"page\":\"/\",\"at\":\"infinity\"}"});
    apply(&w);
    assert_null(silver_table(w.silver, "sales__visits"));
    expect(&w, "sales__visits_history", "page, at", "/,2024-01-01 00:00:00.000000\n");
    expect_quarantine(&w,
                      "sales__visits,{_epoch:1,_lsn:40,_ordinal:2},at 'infinity' does not fit timestamp\n");
    world_end(&w);
}

/* ---- schemas */

static void cleans_two_schemas_in_one_range(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "schemas");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"old\",\"amount\":\"1.00\""));
    apply(&w);
    put(&w, NOTE('c', 11, 1, 2, "\"note\":\"older shape\",\"amount\":\"2.00\""));
    /* note is renamed, amount dropped, two columns added, one with what older rows have */
    put_schema(&w, "public.notes", 12, 'd',
               "1/id:integer:1;2/remark:text;4/stars:smallint:0:3;5/extra:boolean");
    put(&w, NOTE('c', 13, 1, 3, "\"remark\":\"new\",\"stars\":5,\"extra\":true"));
    apply(&w);
    expect(&w, "notes", "id, remark, stars, extra", "1,old,3,-\n2,older shape,3,-\n3,new,5,true\n");
    expect(&w, "notes_history", "_lsn, id, note, amount, remark, stars",
           "10,1,old,1.00,-,-\n11,2,-,-,older shape,3\n13,3,-,-,new,5\n");
    /* another type: the history goes on under another name */
    put_schema(&w, "public.notes", 14, 'd',
               "1/id:integer:1;2/remark:text;4/stars:numeric(5,1):0:3;5/extra:boolean");
    put(&w, NOTE('u', 15, 1, 3, "\"remark\":\"new\",\"stars\":\"4.5\",\"extra\":false"));
    apply(&w);
    expect(&w, "notes", "id, stars, extra", "1,3.0,-\n2,3.0,-\n3,4.5,false\n");
    expect(&w, "notes_history", "_lsn, id, stars, stars_decimal_5_1",
           "10,1,-,-\n11,2,3,-\n13,3,5,-\n15,3,-,4.5\n");
    world_again(&w);
    put(&w, GONE(16, 1, 1));
    apply(&w);
    expect(&w, "notes", "id, stars", "2,3.0\n3,4.5\n");
    world_end(&w);
}

static void maps_many_types(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "types");
    put_schema(&w, "public.many", 1, 'd',
               "1/id:bigint:1;2/s:smallint;3/n:numeric(38,10);4/u:numeric;5/f:real;6/d:double "
               "precision;7/b:boolean;"
               "8/day:date;9/t:timestamp without time zone;10/z:timestamp with time "
               "zone;11/j:jsonb;12/a:integer[];"
               "13/_lsn:integer;14/Id:text;15/a b:text;16/w:numeric(60,2)");
    put(&w, (struct event){.table = "public.many",
                           .op = 'c',
                           .lsn = 10,
                           .ordinal = 1,
                           .key = "{\"id\":9223372036854775807}",
                           .after = "{\"id\":9223372036854775807,\"s\":-32768,\"n\":"
                                    "\"1234567890123456789012345678.0123456789\",\"u\":\"0.10\","
                                    "\"f\":0.1,\"d\":-46.63467113292871,\"b\":true,\"day\":\"2299-12-31\","
                                    "\"t\":\"9999-12-31T23:59:59.999999\","
                                    "\"z\":\"0001-01-01T00:00:00Z\",\"j\":\"{\\\"k\\\": "
                                    "[1]}\",\"a\":[1,null,3],\"_lsn\":7,\"Id\":\"x\",\"a b\":\"y\","
                                    "\"w\":\"1.00\"}"});
    apply(&w);
    expect(&w, "many", "id, s, n, u, f, d, b, day",
           "9223372036854775807,-32768,1234567890123456789012345678.0123456789,0.10,0.1,-46.63467113292871,"
           "true,2299-12-31\n");
    expect(&w, "many", "t, z, j, a, _lsn_, Id_, a_b, w, _lsn",
           "9999-12-31 23:59:59.999999,0001-01-01 00:00:00.000000,{k: [1]},[1,null,3],7,x,y,1.00,10\n");
    static const struct {
        const char *member, *reason;
    } bad[] = {
        {"\"s\":32768", "s '32768' does not fit short"},
        {"\"n\":\"1.12345678901\"", "n '1.12345678901' does not fit decimal(38,10)"},
        {"\"n\":\"NaN\"", "n 'NaN' does not fit decimal(38,10)"},
        {"\"day\":\"1899-12-31\"", "day '1899-12-31' does not fit date"},
        {"\"day\":\"infinity\"", "day 'infinity' does not fit date"},
        {"\"t\":\"10000-01-01T00:00:00\"", "t '10000-01-01T00:00:00' does not fit timestamp"},
        {"\"d\":\"Infinity\"", "d 'Infinity' does not fit double"},
        {"\"id\":99999999999999999999", "the image is not valid JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *after = mem_format("{%s}", bad[i].member);
        put(&w, (struct event){.table = "public.many",
                               .op = 'c',
                               .lsn = 20 + (unsigned)i,
                               .ordinal = 1,
                               .key = "{\"id\":1}",
                               .after = after});
        apply(&w);
        char *wanted = mem_format("many,{id:1},%s\n", bad[i].reason);
        if (i + 1 < sizeof bad / sizeof *bad) expect_quarantine(&w, wanted);
        mem_free(wanted);
        mem_free(after);
    }
    expect(&w, "many", "count()", "1\n");
    world_end(&w);
}

/* ---- quarantine */

static void quarantine_keeps_the_last_good_row(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "quarantine");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"good\",\"amount\":\"1.00\""));
    put(&w, NOTE('c', 10, 2, 2, "\"note\":\"bad\",\"amount\":\"1e12\""));
    apply(&w);
    expect_notes(&w, "1,good,1.00\n");
    expect_quarantine(&w, "notes,{id:2},amount '1e12' does not fit decimal(10,2)\n");
    put(&w, NOTE('u', 11, 1, 1, "\"note\":\"spoilt\",\"amount\":\"1.005\""));
    apply(&w);
    expect_notes(&w, "1,good,1.00\n");
    expect(&w, "quarantine", "key, lsn, toUnixTimestamp64Micro(first_seen)",
           "{id:1},11,11000000\n{id:2},10,10000000\n");
    put(&w, NOTE('u', 12, 1, 2, "\"note\":\"worse\",\"amount\":\"x\""));
    apply(&w);
    expect(&w, "quarantine", "key, lsn, toUnixTimestamp64Micro(first_seen)",
           "{id:1},11,11000000\n{id:2},12,10000000\n");
    /* a later good image mends it; a delete of what only showed its last good row closes that */
    put(&w, NOTE('u', 13, 1, 2, "\"note\":\"mended\",\"amount\":\"2.00\""));
    put(&w, GONE(14, 1, 1));
    apply(&w);
    expect_notes(&w, "2,mended,2.00\n");
    expect_quarantine(&w, "");
    expect_history(&w, "10,1,c,1,good\n13,1,u,2,mended\n14,1,d,1,good\n");
    world_end(&w);
}

static bool collect(void *arg, struct slice key, struct slice row, struct error *err)
{
    (void)err;
    buf_put_slice(arg, key);
    assert_non_null(row.data);
    return true;
}

static void replays_quarantined_keys(void **state)
{
    (void)state;
    struct error err = {0};
    struct world w;
    size_t repaired;
    world_make(&w, "replay");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"good\",\"amount\":\"1.00\""));
    put(&w, NOTE('c', 10, 2, 2, "\"note\":\"wide\",\"amount\":\"1.005\""));
    put(&w, NOTE('c', 10, 3, 3, "\"note\":\"still bad\",\"amount\":\"x\""));
    apply(&w);
    struct buf seen = {0};
    put(&w, NOTE('u', 11, 1, 1, "\"note\":\"spoilt\",\"amount\":\"1.005\""));
    put(&w, NOTE('c', 11, 2, 4, "\"note\":\"d\",\"amount\":null"));
    apply(&w);
    struct columns columns = {0};
    bool has_current;
    /* what silver must show: good images, and of 1 its last good row */
    unit_ok(silver_clean_at(w.silver, "notes", conn, NULL, &columns, &has_current, collect, &seen, &err));
    assert_true(has_current && columns_equal(&columns, keyed_columns(silver_table(w.silver, "notes"))));
    assert_string_equal(buf_text(&seen), "{\"id\":4}{\"id\":1}");
    columns_free(&columns);
    buf_free(&seen);
    unit_ok(silver_replay(w.silver, "notes", NULL, &repaired, &err));
    assert_int_equal(repaired, 0);
    /* the source widens its column: the rows that fit now come by themselves, the others stay */
    put_schema(&w, "public.notes", 12, 'd', "1/id:integer:1;2/note:text;3/amount:numeric(12,3)");
    apply(&w);
    expect_notes(&w, "1,spoilt,1.005\n2,wide,1.005\n4,d,-\n");
    expect_quarantine(&w, "notes,{id:3},amount 'x' does not fit decimal(12,3)\n");
    world_end(&w);
}

/* A row that the rules refused and that passes now, for replay alone: its flag and its quarantine row are
 * there, the image is good. That is how it stands when a rule was mended without a new model. */
static void mend_raw(struct world *w, const char *name, const char *image)
{
    struct error err = {0};
    struct buf key = {0}, value = {0}, better = {0};
    bool found;
    struct raw_row raw;
    raw_put_key('w', "notes", slice_of(name), &key);
    unit_ok(state_get(w->flow.state, NULL, buf_slice(&key), &value, &found, &err));
    assert_true(raw_decode(buf_slice(&value), &raw));
    assert_int_equal(raw.flags, RAW_QUARANTINED);
    raw.after = slice_of(image);
    raw_encode(&raw, &better);
    struct state_batch *batch = state_batch_new();
    state_batch_put(batch, buf_slice(&key), buf_slice(&better));
    unit_ok(state_write(w->flow.state, batch, &err));
    state_batch_free(batch);
    buf_free(&better);
    buf_free(&key);
    buf_free(&value);
}

static void replay_mends_one_key(void **state)
{
    (void)state;
    struct error err = {0};
    struct world w;
    size_t repaired;
    world_make(&w, "mend");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"x\",\"amount\":\"1.005\""));
    put(&w, NOTE('c', 10, 2, 2, "\"note\":\"y\",\"amount\":\"1.005\""));
    apply(&w);
    mend_raw(&w, "{\"id\":1}", "{\"id\":1,\"note\":\"x\",\"amount\":\"1.00\"}");
    mend_raw(&w, "{\"id\":2}", "{\"id\":2,\"note\":\"y\",\"amount\":\"1.00\"}");
    unit_ok(silver_replay(w.silver, "notes", "{\"id\":1}", &repaired, &err));
    assert_int_equal(repaired, 1);
    expect_notes(&w, "1,x,1.00\n");
    expect_quarantine(&w, "notes,{id:2},amount '1.005' does not fit decimal(10,2)\n");
    expect_history(&w, "10,1,u,1,x\n");
    expect_raw(&w, "notes", "{\"id\":1}", "10 0 {\"id\":1,\"note\":\"x\",\"amount\":\"1.00\"}");
    unit_ok(silver_replay(w.silver, NULL, NULL, &repaired, &err));
    assert_int_equal(repaired, 1);
    expect_quarantine(&w, "");
    expect_history(&w, "10,1,u,1,x\n10,2,u,2,y\n");
    world_end(&w);
}

/* ---- failures */

static void a_bad_table_stops_no_other(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "behind");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":null"));
    put(&w, (struct event){.table = "public.broken",
                           .op = 'c',
                           .lsn = 10,
                           .ordinal = 2,
                           .key = "{\"id\":1}",
                           .after = "{\"id\":1}"}); /* no schema record */
    apply(&w);
    expect_notes(&w, "1,a,-\n");
    assert_int_equal(silver_position_most(w.silver), 1 << 16);
    assert_int_equal(silver_position_least(w.silver), 0);
    world_again(&w);
    /* until the driver asks where to begin, it takes nothing that would leave a gap */
    put_schema(&w, "public.broken", 1, 'd', "1/id:integer:1");
    put(&w, (struct event){.table = "public.broken",
                           .op = 'c',
                           .lsn = 11,
                           .ordinal = 1,
                           .key = "{\"id\":2}",
                           .after = "{\"id\":2}"});
    apply(&w);
    assert_null(silver_table(w.silver, "broken"));
    assert_int_equal(silver_position_least(w.silver), 0);
    put_schema(&w, "public.broken", 1, 'd', "1/id:integer:1");
    put(&w, (struct event){.table = "public.broken",
                           .op = 'c',
                           .lsn = 10,
                           .ordinal = 2,
                           .key = "{\"id\":1}",
                           .after = "{\"id\":1}"});
    apply_at(&w, 1 << 16);
    expect(&w, "broken", "id", "1\n");
    world_end(&w);
}

/* What came before had nothing of it: bronze need not keep its log from the beginning. */
static void a_bad_table_waits_where_it_failed(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "waits");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":null"));
    apply(&w);
    assert_int_equal(silver_position_waiting(w.silver), -1);
    put(&w, (struct event){.table = "public.broken",
                           .op = 'c',
                           .lsn = 20,
                           .ordinal = 1,
                           .key = "{\"id\":1}",
                           .after = "{\"id\":1}"}); /* no schema record */
    apply(&w);
    assert_int_equal(silver_position_waiting(w.silver), 1 << 16);
    put(&w, NOTE('c', 30, 1, 2, "\"note\":\"b\",\"amount\":null"));
    apply(&w);
    assert_int_equal(silver_position_waiting(w.silver), 1 << 16);
    world_again(&w);
    assert_int_equal(silver_position_waiting(w.silver), 1 << 16);
    assert_int_equal(silver_position_least(w.silver), 1 << 16);
    world_end(&w);
}

/* The state of tables that the lake has already, from a snapshot of bronze in slices; cut short once. */
static void the_state_is_made_from_slices(void **state)
{
    (void)state;
    struct error err = {0};
    struct world w;
    world_make(&w, "slices");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":null"));
    put(&w, NOTE('u', 10, 2, 1, "\"note\":\"b\",\"amount\":null"));
    apply_at(&w, 1 << 16);
    put(&w, GONE(20, 1, 1));
    put(&w, NOTE('c', 20, 2, 2, "\"note\":\"c\",\"amount\":null"));
    apply_at(&w, 2 << 16);
    world_shut(&w);
    char *path = mem_format("%s/state", w.home);
    unit_ok(file_remove_tree(path, &err));
    mem_free(path);
    for (int round = 0; round < 2; round++) {
        world_open(&w);
        assert_true(silver_position_least(w.silver) < 1 << 16);
        unit_ok(silver_forget(w.silver, 1 << 16, &err));
        put_notes_schema(&w);
        put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":null"));
        apply_at(&w, 1);
        if (round == 0) world_shut(&w);
    }
    put(&w, NOTE('u', 10, 2, 1, "\"note\":\"b\",\"amount\":null"));
    apply_at(&w, 2);
    put(&w, GONE(20, 1, 1));
    put(&w, NOTE('c', 20, 2, 2, "\"note\":\"c\",\"amount\":null"));
    apply_at(&w, 3);
    unit_ok(silver_stand_at(w.silver, 3 << 16, &err));
    world_again(&w);
    assert_int_equal(silver_position_least(w.silver), 3 << 16);
    put(&w, NOTE('u', 30, 1, 2, "\"note\":\"d\",\"amount\":null"));
    apply_at(&w, 4 << 16);
    expect_notes(&w, "2,d,-\n");
    expect_history(&w, "10,1,c,1,a\n10,2,u,1,b\n20,1,d,1,b\n20,2,c,2,c\n30,1,u,2,d\n");
    world_end(&w);
}

/* ---- refused writes ---- */

static const char *refused; /* a link to a path with this text fails as on a full disk */

int link(const char *from, const char *to)
{
    if (refused && strstr(to, refused)) {
        errno = ENOSPC;
        return -1;
    }
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void apply_refused(struct world *w, const char *path, int64_t position)
{
    struct error err = {0};
    refused = path;
    assert_false(silver_apply(w->silver, buf_slice(&w->feed), position, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    refused = NULL;
    apply_at(w, position); /* as the pipeline does after RETRY */
}

static void put_two_tables(struct world *w, unsigned lsn)
{
    char key[64], note[128], line[64];
    snprintf(key, sizeof key, "{\"id\":%u}", lsn);
    snprintf(note, sizeof note, "{\"id\":%u,\"note\":\"a\",\"amount\":null}", lsn);
    snprintf(line, sizeof line, "{\"line\":\"x%u\"}", lsn);
    put(w, (struct event){.table = "public.notes", .op = 'c', .lsn = lsn, .ordinal = 1, .key = key, .after = note});
    put(w, (struct event){.table = "public.log", .op = 'c', .lsn = lsn, .ordinal = 2, .after = line});
}

/* One table's commit fails while the other, without key, is begun beside it: nothing of it is a repeat. */
static void a_retry_keeps_rows_without_key(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "retry-rows");
    put_notes_schema(&w);
    put_schema(&w, "public.log", 1, 'f', "1/line:text");
    put_two_tables(&w, 10);
    apply(&w);
    put_two_tables(&w, 20);
    apply_refused(&w, "silver/notes/_delta_log", 2 << 16);
    expect_notes(&w, "10,a,-\n20,a,-\n");
    expect(&w, "log", "line", "x10\nx20\n");
    world_end(&w);
}

static void a_retry_keeps_the_end_of_a_copy(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "retry-copy");
    put_schema(&w, "public.first", 1, 'd', "1/id:integer:1");
    put(&w, (struct event){
                .table = "public.first", .op = 'c', .lsn = 10, .ordinal = 1, .key = "{\"id\":1}", .after = "{\"id\":1}"});
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"ghost\",\"amount\":null"));
    put(&w, NOTE('c', 10, 2, 2, "\"note\":\"stays\",\"amount\":null"));
    apply(&w);
    put_bracket(&w, 'B', "7", 1, 100);
    apply(&w);
    put(&w, (struct event){
                .table = "public.first", .op = 'c', .lsn = 20, .ordinal = 1, .key = "{\"id\":2}", .after = "{\"id\":2}"});
    put(&w, copied(NOTE('r', 0, 0, 2, "\"note\":\"stays\",\"amount\":null"), 1, 200));
    put_bracket(&w, 'E', "7", 1, 200);
    apply_refused(&w, "silver/first/_delta_log", 3 << 16);
    expect_notes(&w, "2,stays,-\n");
    world_end(&w);
}

/* ---- killed ---- */

static void put_narrower(struct world *w)
{
    put_schema(w, "public.notes", 20, 'd', "1/id:integer:1;2/note:text;3/amount:numeric(4,2)");
    put(w, NOTE('c', 20, 1, 2, "\"note\":\"new\",\"amount\":\"1.00\""));
}

/* The range that the child is killed in; the same when it is done again. */
static void put_killed_range(struct world *w)
{
    put(w, NOTE('u', 20, 1, 1, "\"note\":\"second\",\"amount\":\"2.00\""));
    put(w, NOTE('u', 20, 2, 2, "\"note\":\"bad\",\"amount\":\"bad\""));
    put(w, GONE(20, 3, 3));
    put_schema(w, "public.other", 1, 'd', "1/id:integer:1");
    put(w, (struct event){.table = "public.other",
                          .op = 'c',
                          .lsn = 20,
                          .ordinal = 4,
                          .key = "{\"id\":1}",
                          .after = "{\"id\":1}"});
}

static int child(const char *home)
{
    struct error err = {0};
    struct world w = {.home = mem_text(home)};
    char *storage = mem_format("%s/child-warehouse", home);
    if (!engine_open("", home, storage, INT64_C(1) << 30, &err) || !engine_connect(&conn, NULL, &err)) {
        fprintf(stderr, "child: %s\n", err.text);
        return 1;
    }
    world_open(&w);
    if (getenv("TEST_REPLAY")) {
        size_t repaired;
        return silver_replay(w.silver, "notes", NULL, &repaired, &err) ? 0 : 1;
    }
    if (getenv("NARROWER"))
        put_narrower(&w);
    else
        put_killed_range(&w);
    w.position = 1 << 16;
    apply(&w);
    return 0; /* not killed: the parent notices */
}

static void run_killed(const char *home, const char *point)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("MILLRACE_FAIL", point, 1);
        execl(program, program, "--child", home, (char *)NULL);
        _exit(2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* Wherever a replay is killed, the next one or a later good image takes the row out of quarantine, and its
 * version is in the history once. */
static void a_killed_replay_leaves_nothing(void **state)
{
    (void)state;
    static const char *const points[] = {"delta.after_link:1", "keyed.prepared:1", "keyed.committed:1",
                                         "keyed.prepared:2", "keyed.committed:2"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct error err = {0};
        struct world w;
        size_t repaired;
        char *name = mem_format("killedreplay%zu", i);
        world_make(&w, name);
        mem_free(name);
        put_notes_schema(&w);
        put(&w, NOTE('c', 10, 1, 1, "\"note\":\"x\",\"amount\":\"1.005\""));
        apply(&w);
        mend_raw(&w, "{\"id\":1}", "{\"id\":1,\"note\":\"x\",\"amount\":\"1.00\"}");
        world_shut(&w);
        setenv("TEST_REPLAY", "1", 1);
        run_killed(w.home, points[i]);
        unsetenv("TEST_REPLAY");
        world_open(&w);
        if (i % 2) {
            unit_ok(silver_replay(w.silver, "notes", NULL, &repaired, &err));
            expect_notes(&w, "1,x,1.00\n");
            expect_quarantine(&w, "");
        }
        put(&w, NOTE('u', 20, 1, 1, "\"note\":\"later\",\"amount\":\"2.00\""));
        apply(&w);
        expect_notes(&w, "1,later,2.00\n");
        expect_quarantine(&w, "");
        expect_history(&w, "10,1,u,1,x\n20,1,u,1,later\n");
        world_end(&w);
    }
}

static void finishes_what_was_killed(void **state)
{
    (void)state;
    static const char *const points[] = {"silver.history:1", "silver.table:1",   "silver.history:2",
                                         "silver.table:2",   "keyed.prepared:1", "keyed.prepared:2",
                                         "keyed.committed:2"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct world w;
        char *name = mem_format("killed%zu", i);
        world_make(&w, name);
        mem_free(name);
        put_notes_schema(&w);
        put(&w, NOTE('c', 10, 1, 1, "\"note\":\"first\",\"amount\":\"1.00\""));
        put(&w, NOTE('c', 10, 2, 2, "\"note\":\"good\",\"amount\":\"1.00\""));
        put(&w, NOTE('c', 10, 3, 3, "\"note\":\"gone\",\"amount\":\"1.00\""));
        apply(&w);
        world_shut(&w);
        run_killed(w.home, points[i]);
        for (int again = 0; again < 2; again++) {
            world_open(&w);
            /* the range must end there again, also when only the history was committed */
            if (strncmp(points[i], "silver.", 7) == 0) assert_int_equal(silver_position_most(w.silver), 2 << 16);
            put_killed_range(&w);
            apply_at(&w, 2 << 16);
            expect_notes(&w, "1,second,2.00\n2,good,1.00\n");
            expect_history(
                &w, "10,1,c,1,first\n10,2,c,2,good\n10,3,c,3,gone\n20,1,u,1,second\n20,3,d,3,gone\n");
            expect_quarantine(&w, "notes,{id:2},amount 'bad' does not fit decimal(10,2)\n");
            expect(&w, "other", "id", "1\n");
            expect(&w, "other_history", "id, _op", "1,c\n");
            expect_raw(&w, "notes", "{\"id\":3}", "20 1 ");
            world_shut(&w);
        }
        world_open(&w);
        world_end(&w);
    }
}

/* Rows that the new columns refuse reach quarantine, wherever the change of columns is cut off. */
static void new_columns_killed(void **state)
{
    (void)state;
    static const char *const points[] = {"delta.after_link:1", "delta.after_link:2", "keyed.prepared:1"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct world w;
        char *name = mem_format("narrower%zu", i);
        world_make(&w, name);
        mem_free(name);
        put_notes_schema(&w);
        put(&w, NOTE('c', 10, 1, 1, "\"note\":\"first\",\"amount\":\"12345.00\""));
        apply(&w);
        world_shut(&w);
        setenv("NARROWER", "1", 1);
        run_killed(w.home, points[i]);
        unsetenv("NARROWER");
        world_open(&w);
        put_narrower(&w);
        apply_at(&w, 2 << 16);
        expect_quarantine(&w, "notes,{id:1},amount '12345.00' does not fit decimal(4,2)\n");
        world_end(&w);
    }
}

static void builds_a_lost_state_again(void **state)
{
    (void)state;
    struct error err = {0};
    struct world w;
    world_make(&w, "lost");
    for (int round = 0; round < 2; round++) {
        put_notes_schema(&w);
        put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":\"1.00\""));
        put(&w, NOTE('c', 10, 2, 2, "\"note\":\"b\",\"amount\":\"bad\""));
        apply_at(&w, 1 << 16);
        put_schema(&w, "public.notes", 12, 'd',
                   "1/id:integer:1;2/note:text;3/amount:numeric(10,2);4/more:text");
        put(&w, GONE(12, 1, 1));
        put(&w, NOTE('c', 12, 2, 3, "\"note\":\"c\",\"amount\":\"3.00\",\"more\":\"m\""));
        apply_at(&w, 2 << 16);
        expect(&w, "notes", "id, note, amount, more", "3,c,3.00,m\n");
        expect_history(&w, "10,1,c,1,a\n12,1,d,1,a\n12,2,c,3,c\n");
        expect_raw(&w, "notes", "{\"id\":2}", "10 2 {\"id\":2,\"note\":\"b\",\"amount\":\"bad\"}");
        if (round == 1) break;
        world_shut(&w);
        char *path = mem_format("%s/state", w.home);
        unit_ok(file_remove_tree(path, &err));
        mem_free(path);
        world_open(&w);
        assert_int_equal(silver_position_most(w.silver), 2 << 16);
        assert_int_equal(silver_position_least(w.silver), 0);
    }
    put(&w, NOTE('u', 13, 1, 2, "\"note\":\"b\",\"amount\":\"2.00\",\"more\":null"));
    apply_at(&w, 3 << 16);
    expect(&w, "notes", "id, note, amount, more", "2,b,2.00,-\n3,c,3.00,m\n");
    expect_quarantine(&w, "");
    world_end(&w);
}

/* ---- the traps of the shop's data */

static void put_shop_row(struct world *w, const char *table, const char *key, const char *after)
{
    static unsigned lsn = 100;
    put(w,
        (struct event){.table = table, .op = 'c', .lsn = ++lsn, .ordinal = 1, .key = key, .after = after});
}

static void put_shop_schema(struct world *w, const char *table)
{
    static const struct {
        const char *table, *columns;
    } all[] = {
        {"public.customers",
         "1/customer_id:character varying(32):1;2/customer_unique_id:character varying(32);"
         "3/customer_zip_code_prefix:character(5);4/customer_city:text;5/customer_state:character(2)"},
        {"public.sellers",
         "1/seller_id:character varying(32):1;2/seller_zip_code_prefix:character(5);3/seller_city:text;"
         "4/seller_state:character(2)"},
        {"public.products",
         "1/product_id:character varying(32):1;2/product_category_name:text;3/product_name_lenght:integer;"
         "4/product_description_lenght:integer;5/product_photos_qty:integer;6/product_weight_g:integer;"
         "7/product_length_cm:integer;8/product_height_cm:integer;9/product_width_cm:integer"},
        {"public.orders",
         "1/order_id:character varying(32):1;2/customer_id:character varying(32);3/order_status:text;"
         "4/order_purchase_timestamp:timestamp without time zone;5/order_approved_at:timestamp without "
         "time zone;"
         "6/order_delivered_carrier_date:timestamp without time "
         "zone;7/order_delivered_customer_date:timestamp "
         "without time zone;8/order_estimated_delivery_date:timestamp without time zone"},
        {"public.order_items",
         "1/order_id:character varying(32):1;2/order_item_id:smallint:2;3/product_id:character varying(32);"
         "4/seller_id:character varying(32);5/shipping_limit_date:timestamp without time zone;"
         "6/price:numeric(10,2);7/freight_value:numeric(10,2)"},
        {"public.order_payments",
         "1/order_id:character varying(32):1;2/payment_sequential:smallint:2;3/payment_type:text;"
         "4/payment_installments:smallint;5/payment_value:numeric(10,2)"},
        {"public.order_reviews",
         "1/review_id:character varying(32):1;2/order_id:character varying(32):2;3/review_score:smallint;"
         "4/review_comment_title:text;5/review_comment_message:text;6/review_creation_date:timestamp "
         "without time zone;7/review_answer_timestamp:timestamp without time zone"},
        {"public.geolocation",
         "1/id:bigint:1;2/geolocation_zip_code_prefix:character(5);3/geolocation_lat:double precision;"
         "4/geolocation_lng:double precision;5/geolocation_city:text;6/geolocation_state:character(2)"},
        {"public.product_category_name_translation",
         "1/product_category_name:text:1;2/product_category_name_english:text"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].table, table) == 0) put_schema(w, table, 1, 'd', all[i].columns);
}

static void places_are_comparable(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "places");
    put_shop_schema(&w, "public.customers");
    /* trap 1: two customer_ids, one person; trap 3: the zero is back */
    put_shop_row(&w, "public.customers", "{\"customer_id\":\"a\"}",
                 "{\"customer_id\":\"a\",\"customer_unique_id\":\"p\",\"customer_zip_code_prefix\":"
                 "\"1037\",\"customer_city\":\"São  Paulo\",\"customer_state\":\"sp\"}");
    put_shop_row(&w, "public.customers", "{\"customer_id\":\"b\"}",
                 "{\"customer_id\":\"b\",\"customer_unique_id\":\"p\",\"customer_zip_code_prefix\":"
                 "\"01037\",\"customer_city\":\"sao paulo\",\"customer_state\":\"SP\"}");
    put_shop_row(&w, "public.customers", "{\"customer_id\":\"c\"}",
                 "{\"customer_id\":\"c\",\"customer_unique_id\":\"q\",\"customer_zip_code_prefix\":"
                 "\"123456\",\"customer_city\":\"x\",\"customer_state\":\"SP\"}");
    put_shop_row(&w, "public.customers", "{\"customer_id\":\"d\"}",
                 "{\"customer_id\":\"d\",\"customer_unique_id\":\"q\",\"customer_zip_code_prefix\":"
                 "\"01037\",\"customer_city\":\"x\",\"customer_state\":\"XX\"}");
    put_shop_schema(&w, "public.sellers");
    static const char *const cities[] = {"04482255", "vendas@creditparts.com.br",
                                         "rio de janeiro \\\\rio de janeiro", "santa barbara d´oeste",
                                         "* cidade"}; /* trap 11 */
    for (size_t i = 0; i < sizeof cities / sizeof *cities; i++) {
        char *key = mem_format("{\"seller_id\":\"%zu\"}", i);
        char *after = mem_format("{\"seller_id\":\"%zu\",\"seller_zip_code_prefix\":\"00000\",\"seller_"
                                 "city\":\"%s\",\"seller_state\":\"RJ\"}",
                                 i, cities[i]);
        put_shop_row(&w, "public.sellers", key, after);
        mem_free(key);
        mem_free(after);
    }
    put_shop_schema(&w, "public.geolocation");
    /* trap 12: a point in Italy is flagged, not dropped */
    put_shop_row(&w, "public.geolocation", "{\"id\":1}",
                 "{\"id\":1,\"geolocation_zip_code_prefix\":\"57319\",\"geolocation_lat\":45.06,"
                 "\"geolocation_lng\":9.33,\"geolocation_city\":\"cidade\",\"geolocation_state\":\"AL\"}");
    put_shop_row(&w, "public.geolocation", "{\"id\":2}",
                 "{\"id\":2,\"geolocation_zip_code_prefix\":\"01037\",\"geolocation_lat\":-23."
                 "548945985189434,\"geolocation_lng\":-46.63467113292871,\"geolocation_city\":\"são "
                 "paulo\",\"geolocation_state\":\"SP\"}");
    apply(&w);
    expect(&w, "customers",
           "customer_id, customer_unique_id, customer_zip_code_prefix, customer_city, city_name, "
           "customer_state",
           "a,p,01037,São  Paulo,sao paulo,SP\nb,p,01037,sao paulo,sao paulo,SP\n");
    expect(&w, "quarantine", "reason",
           "customer_state 'XX' is not a state of Brazil\ncustomer_zip_code_prefix '123456' is not a zip "
           "prefix\n");
    expect(&w, "sellers", "seller_id, city_name",
           "0,-\n1,-\n2,rio de janeiro\n3,santa barbara d'oeste\n4,cidade\n");
    expect(&w, "geolocation", "id, geolocation_lat, city_name, is_valid",
           "1,45.06,cidade,false\n2,-23.548945985189434,sao paulo,true\n");
    world_end(&w);
}

static void products_and_texts(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "products");
    put_shop_schema(&w, "public.products");
    /* traps 2, 5, 9, 10 */
    put_shop_row(&w, "public.products", "{\"product_id\":\"a\"}",
                 "{\"product_id\":\"a\",\"product_category_name\":\"pc_gamer\",\"product_name_lenght\":"
                 "\"49.0\",\"product_description_lenght\":728,"
                 "\"product_photos_qty\":4,\"product_weight_g\":0,\"product_length_cm\":\"225.0\","
                 "\"product_height_cm\":45,\"product_width_cm\":19}");
    put_shop_row(&w, "public.products", "{\"product_id\":\"b\"}",
                 "{\"product_id\":\"b\",\"product_category_name\":null,\"product_name_lenght\":null,"
                 "\"product_description_lenght\":null,"
                 "\"product_photos_qty\":null,\"product_weight_g\":null,\"product_length_cm\":null,"
                 "\"product_height_cm\":null,\"product_width_cm\":null}");
    put_shop_row(&w, "public.products", "{\"product_id\":\"c\"}",
                 "{\"product_id\":\"c\",\"product_category_name\":\"x\",\"product_name_lenght\":\"49.5\","
                 "\"product_description_lenght\":null,"
                 "\"product_photos_qty\":null,\"product_weight_g\":-1,\"product_length_cm\":null,\"product_"
                 "height_cm\":null,\"product_width_cm\":null}");
    put_shop_schema(&w, "public.product_category_name_translation");
    put_shop_row(&w, "public.product_category_name_translation",
                 "{\"product_category_name\":\"\xEF\xBB\xBF"
                 "beleza_saude\"}",
                 "{\"product_category_name\":\"\xEF\xBB\xBF"
                 "beleza_saude\",\"product_category_name_english\":\"health_beauty\\r\"}");
    put_shop_schema(&w, "public.order_reviews");
    /* traps 4 and 6: bytes are kept; one review for two orders */
    put_shop_row(&w, "public.order_reviews", "{\"review_id\":\"r\",\"order_id\":\"1\"}",
                 "{\"review_id\":\"r\",\"order_id\":\"1\",\"review_score\":5,\"review_comment_title\":\" "
                 "\",\"review_comment_message\":\"um\\r\\ndois \\\"x\\\" 😀\","
                 "\"review_creation_date\":\"2018-08-15T00:00:00\",\"review_answer_timestamp\":\"2018-08-"
                 "15T04:10:37\"}");
    put_shop_row(&w, "public.order_reviews", "{\"review_id\":\"r\",\"order_id\":\"2\"}",
                 "{\"review_id\":\"r\",\"order_id\":\"2\",\"review_score\":1,\"review_comment_title\":null,"
                 "\"review_comment_message\":\" \\r\\n\","
                 "\"review_creation_date\":\"2018-08-15T00:00:00\",\"review_answer_timestamp\":\"2018-08-"
                 "15T04:10:37\"}");
    put_shop_row(&w, "public.order_reviews", "{\"review_id\":\"r\",\"order_id\":\"3\"}",
                 "{\"review_id\":\"r\",\"order_id\":\"3\",\"review_score\":6,\"review_comment_title\":null,"
                 "\"review_comment_message\":null,"
                 "\"review_creation_date\":\"2018-08-15T00:00:00\",\"review_answer_timestamp\":\"2018-08-"
                 "15T04:10:37\"}");
    apply(&w);
    expect(&w, "products",
           "product_id, product_category_name, product_name_length, product_description_length, "
           "product_weight_g, product_length_cm",
           "a,pc_gamer,49,728,0,225\nb,-,-,-,-,-\n");
    expect(&w, "product_category_name_translation", "product_category_name, product_category_name_english",
           "beleza_saude,health_beauty\n");
    expect(&w, "order_reviews", "order_id, review_score, hex(review_comment_message), has_comment",
           "1,5,756D0D0A646F697320227822"
           "20F09F9880,true\n2,1,200D0A,false\n");
    expect(&w, "quarantine", "reason",
           "product_weight_g '-1' is negative\nreview_score '6' is not a score from 1 to 5\n");
    world_end(&w);
}

static void money_and_orders(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "money");
    put_shop_schema(&w, "public.orders");
    /* traps 7, 13, 14: an order without items, times that cannot be, a promise at midnight: all kept */
    put_shop_row(
        &w, "public.orders", "{\"order_id\":\"o\"}",
        "{\"order_id\":\"o\",\"customer_id\":\"c\",\"order_status\":\"delivered\",\"order_purchase_"
        "timestamp\":\"2017-07-09T21:57:05\",\"order_approved_at\":null,"
        "\"order_delivered_carrier_date\":\"2017-07-01T00:00:00\",\"order_delivered_customer_date\":\"2017-"
        "06-30T00:00:00\",\"order_estimated_delivery_date\":\"2017-08-01T00:00:00\"}");
    put_shop_row(&w, "public.orders", "{\"order_id\":\"p\"}",
                 "{\"order_id\":\"p\",\"customer_id\":\"c\",\"order_status\":\"lost\",\"order_purchase_"
                 "timestamp\":\"2017-07-09T21:57:05\",\"order_approved_at\":null,"
                 "\"order_delivered_carrier_date\":null,\"order_delivered_customer_date\":null,\"order_"
                 "estimated_delivery_date\":\"2017-08-01T00:00:00\"}");
    put_shop_schema(&w, "public.order_items");
    /* trap 5: 99.9 is 99.90; invariant 7: a value that does not fit is not rounded */
    static const char *const prices[] = {"99.9", "99999999.99", "100000000.00", "0.001", "-1.00"};
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        char *key = mem_format("{\"order_id\":\"o\",\"order_item_id\":%zu}", i + 1);
        char *after = mem_format(
            "{\"order_id\":\"o\",\"order_item_id\":%zu,\"product_id\":\"p\",\"seller_id\":\"s\",\"shipping_"
            "limit_date\":\"2020-04-09T22:35:08\",\"price\":\"%s\",\"freight_value\":\"144.0\"}",
            i + 1, prices[i]);
        put_shop_row(&w, "public.order_items", key, after);
        mem_free(key);
        mem_free(after);
    }
    put_shop_schema(&w, "public.order_payments");
    /* trap 8: numbers that begin at 2, a value of 0, not_defined */
    put_shop_row(&w, "public.order_payments", "{\"order_id\":\"o\",\"payment_sequential\":2}",
                 "{\"order_id\":\"o\",\"payment_sequential\":2,\"payment_type\":\"not_defined\",\"payment_"
                 "installments\":0,\"payment_value\":\"0.00\"}");
    put_shop_row(&w, "public.order_payments", "{\"order_id\":\"o\",\"payment_sequential\":3}",
                 "{\"order_id\":\"o\",\"payment_sequential\":3,\"payment_type\":\"cash\",\"payment_"
                 "installments\":1,\"payment_value\":\"1.00\"}");
    apply(&w);
    expect(&w, "orders",
           "order_id, order_approved_at, order_delivered_customer_date, order_estimated_delivery_date",
           "o,-,2017-06-30 00:00:00.000000,2017-08-01 00:00:00.000000\n");
    expect(&w, "order_items", "order_item_id, price, freight_value, shipping_limit_date",
           "1,99.90,144.00,2020-04-09 22:35:08.000000\n2,99999999.99,144.00,2020-04-09 22:35:08.000000\n");
    expect(&w, "order_payments", "payment_sequential, payment_type, payment_installments, payment_value",
           "2,not_defined,0,0.00\n");
    expect(&w, "quarantine", "reason",
           "order_status 'lost' is not a state of an order\npayment_type 'cash' is not a kind of "
           "payment\nprice '-1.00' is negative\n"
           "price '0.001' does not fit decimal(10,2)\nprice '100000000.00' does not fit decimal(10,2)\n");
    /* a column that the model does not know comes after its own */
    put_schema(&w, "public.order_payments", 5000, 'd',
               "1/order_id:character varying(32):1;2/payment_sequential:smallint:2;3/payment_type:text;"
               "4/payment_installments:smallint;5/payment_value:numeric(10,2);6/gateway:text:0:none");
    put(&w, (struct event){.table = "public.order_payments",
                           .op = 'c',
                           .lsn = 5001,
                           .ordinal = 1,
                           .key = "{\"order_id\":\"o\",\"payment_sequential\":4}",
                           .after =
                               "{\"order_id\":\"o\",\"payment_sequential\":4,\"payment_type\":\"boleto\","
                               "\"payment_installments\":1,\"payment_value\":\"2.00\",\"gateway\":\"g\"}"});
    apply(&w);
    expect(&w, "order_payments", "payment_sequential, payment_value, gateway", "2,0.00,none\n4,2.00,g\n");
    world_end(&w);
}

static void upkeep_all(struct silver *s)
{
    struct error err = {0};
    bool done = false;
    for (size_t part = 0; !done; part++)
        unit_ok(silver_upkeep(s, part, &done, &err));
}

static void upkeep_runs(void **state)
{
    (void)state;
    struct world w;
    world_make(&w, "upkeep");
    put_notes_schema(&w);
    put(&w, NOTE('c', 10, 1, 1, "\"note\":\"a\",\"amount\":null"));
    put(&w, GONE(11, 1, 1));
    apply(&w);
    assert_int_equal(state_count(&w, "w/notes"), 1);
    upkeep_all(w.silver);
    assert_int_equal(state_count(&w, "w/notes"), 1); /* too young */
    w.position += INT64_C(2000) << 16;
    put(&w, NOTE('c', 12, 1, 2, "\"note\":\"b\",\"amount\":null"));
    apply(&w);
    upkeep_all(w.silver);
    assert_int_equal(state_count(&w, "w/notes"), 1);
    assert_int_equal(state_count(&w, "z/notes"), 0);
    expect_notes(&w, "2,b,-\n");
    world_end(&w);
}

static int set_up(void **state)
{
    (void)state;
    conn = engine_lab_open(root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    engine_lab_close(conn, root);
    free(program);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0) return child(argv[2]);
    program = unit_program(argv[0]);
    root = unit_folder();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_retry_keeps_rows_without_key),
        cmocka_unit_test(a_retry_keeps_the_end_of_a_copy),
        cmocka_unit_test(new_columns_killed),
        cmocka_unit_test(folds_in_order_and_drops_repeats),
        cmocka_unit_test(skips_what_stands_at_the_position),
        cmocka_unit_test(fills_unchanged_columns),
        cmocka_unit_test(leaves_no_ghosts),
        cmocka_unit_test(an_old_copy_that_arrives_again_is_past),
        cmocka_unit_test(partitions_arrive_in_any_order),
        cmocka_unit_test(an_older_copy_fills_unchanged_columns),
        cmocka_unit_test(a_copied_row_fills_what_it_became),
        cmocka_unit_test(a_copied_row_fills_no_other),
        cmocka_unit_test(a_new_epoch_is_newer),
        cmocka_unit_test(truncate_closes_all),
        cmocka_unit_test(counts_rows_without_key),
        cmocka_unit_test(cleans_two_schemas_in_one_range),
        cmocka_unit_test(maps_many_types),
        cmocka_unit_test(quarantine_keeps_the_last_good_row),
        cmocka_unit_test(replays_quarantined_keys),
        cmocka_unit_test(replay_mends_one_key),
        cmocka_unit_test(a_bad_table_stops_no_other),
        cmocka_unit_test(a_killed_replay_leaves_nothing),
        cmocka_unit_test(finishes_what_was_killed),
        cmocka_unit_test(builds_a_lost_state_again),
        cmocka_unit_test(a_bad_table_waits_where_it_failed),
        cmocka_unit_test(the_state_is_made_from_slices),
        cmocka_unit_test(places_are_comparable),
        cmocka_unit_test(products_and_texts),
        cmocka_unit_test(money_and_orders),
        cmocka_unit_test(upkeep_runs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
