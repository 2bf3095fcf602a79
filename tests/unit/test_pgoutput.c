/* pgoutput: golden bytes of each message, and every way of cutting them short. */
#include "unit.h"

#include "base/clock.h"
#include "format/pgoutput.h"

#define HELD(literal)                                                                                      \
    {                                                                                                      \
        literal, sizeof literal - 1                                                                        \
    }
#define BYTES(literal) ((struct slice)HELD(literal))

/* Recorded from PostgreSQL 15: CREATE TABLE t (id int PRIMARY KEY, note text). */
static const struct slice begin =
    HELD("B\0\0\0\0\x01\x53\x0e\x28\0\x02\x9d\x4d\xe1\x1b\x34\x16\0\0\x02\xe3");
static const struct slice commit = HELD("C\0\0\0\0\0\x01\x53\x0e\x28\0\0\0\0\x01\x53\x0e\x58"
                                        "\0\x02\x9d\x4d\xe1\x1b\x34\x16");
static const struct slice relation = HELD("R\0\0\x40\x01public\0t\0d\0\x02"
                                          "\x01id\0\0\0\0\x17\xff\xff\xff\xff"
                                          "\0note\0\0\0\0\x19\xff\xff\xff\xff");
static const struct slice insert = HELD("I\0\0\x40\x01N\0\x02t\0\0\0\x01"
                                        "1n");
static const struct slice update_key = HELD("U\0\0\x40\x01K\0\x02t\0\0\0\x01"
                                            "1nN\0\x02t\0\0\0\x01"
                                            "2u");
static const struct slice update_full = HELD("U\0\0\x40\x01O\0\x02t\0\0\0\x01"
                                             "1t\0\0\0\0N\0\x02t\0\0\0\x01"
                                             "1t\0\0\0\x01x");
static const struct slice delete_key = HELD("D\0\0\x40\x01K\0\x02t\0\0\0\x01"
                                            "2n");
static const struct slice truncate = HELD("T\0\0\0\x02\x03\0\0\x40\x01\0\0\x40\x02");
static const struct slice origin = HELD("O\0\0\0\0\x01\x53\x0e\x28other\0");
static const struct slice type = HELD("Y\0\0\x40\x09public\0mood\0");
static const struct slice message = HELD("M\x01\0\0\0\0\x01\x53\x0e\x28p\0\0\0\0\x02hi");

static void decode(struct slice bytes, struct pgoutput_message *m)
{
    struct error err = {0};
    unit_ok(pgoutput_decode(bytes, m, &err));
}

static void assert_text(struct slice s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.data, want, s.len);
}

static void test_transaction(void **state)
{
    (void)state;
    struct pgoutput_message m = {0};
    decode(begin, &m);
    assert_int_equal(m.type, 'B');
    assert_int_equal(m.commit_lsn, 0x1530e28);
    assert_int_equal(m.xid, 739);
    assert_int_equal(m.commit_us, CLOCK_PG_EPOCH_US + 0x00029d4de11b3416);
    decode(commit, &m);
    assert_int_equal(m.commit_lsn, 0x1530e28);
    assert_int_equal(m.end_lsn, 0x1530e58);
    assert_int_equal(m.commit_us, CLOCK_PG_EPOCH_US + 0x00029d4de11b3416);
    pgoutput_message_free(&m);
}

static void test_relation(void **state)
{
    (void)state;
    struct pgoutput_message m = {0};
    decode(relation, &m);
    assert_int_equal(m.oid, 0x4001);
    assert_text(m.schema, "public");
    assert_text(m.name, "t");
    assert_int_equal(m.replica_identity, 'd');
    assert_int_equal(m.column_count, 2);
    assert_true(m.columns[0].key);
    assert_false(m.columns[1].key);
    assert_text(m.columns[1].name, "note");
    assert_int_equal(m.columns[1].oid, 25);
    assert_int_equal(m.columns[1].typmod, -1);
    pgoutput_message_free(&m);
}

static void test_rows(void **state)
{
    (void)state;
    struct pgoutput_message m = {0};
    decode(insert, &m);
    assert_int_equal(m.old_kind, 0);
    assert_int_equal(m.new_row.count, 2);
    assert_text(m.new_row.values[0].text, "1");
    assert_int_equal(m.new_row.values[1].kind, PGOUTPUT_NULL);
    decode(update_key, &m);
    assert_int_equal(m.old_kind, 'K');
    assert_text(m.old_row.values[0].text, "1");
    assert_text(m.new_row.values[0].text, "2");
    assert_int_equal(m.new_row.values[1].kind, PGOUTPUT_UNCHANGED);
    decode(update_full, &m);
    assert_int_equal(m.old_kind, 'O');
    assert_int_equal(m.old_row.values[1].kind, PGOUTPUT_TEXT); /* empty, not NULL */
    assert_non_null(m.old_row.values[1].text.data);
    assert_int_equal(m.old_row.values[1].text.len, 0);
    decode(delete_key, &m);
    assert_int_equal(m.old_kind, 'K');
    assert_int_equal(m.new_row.count, 0);
    pgoutput_message_free(&m);
}

static void test_others(void **state)
{
    (void)state;
    struct pgoutput_message m = {0};
    decode(truncate, &m);
    assert_int_equal(m.relation_count, 2);
    assert_int_equal(m.relations[1], 0x4002);
    assert_true(m.cascade);
    assert_true(m.restart_identity);
    decode(origin, &m);
    assert_text(m.name, "other");
    decode(type, &m);
    assert_text(m.name, "mood");
    decode(message, &m);
    assert_text(m.name, "p");
    pgoutput_message_free(&m);
}

static void test_malformed(void **state)
{
    (void)state;
    const struct slice all[] = {begin,      commit,   relation, insert, update_key, update_full,
                                delete_key, truncate, origin,   type,   message};
    struct pgoutput_message m = {0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (size_t len = 0; len < all[i].len; len++) {
            struct error err = {0};
            char *exact = mem_resize(NULL, len + 1, 1); /* so that a sanitizer sees a read too far */
            memcpy(exact, all[i].data, len);
            assert_false(pgoutput_decode((struct slice){exact, len}, &m, &err));
            assert_int_equal(err.kind, ERROR_DATA);
            mem_free(exact);
        }
        struct error err = {0};
        char *longer = mem_format("%*s", (int)all[i].len + 1, "");
        memcpy(longer, all[i].data, all[i].len);
        assert_false(pgoutput_decode((struct slice){longer, all[i].len + 1}, &m, &err));
        mem_free(longer);
    }
    struct error err = {0};
    assert_false(pgoutput_decode(BYTES("S\0\0\0\x01\x01"), &m, &err)); /* streaming: protocol 2 */
    assert_false(pgoutput_decode(BYTES("I\0\0\x40\x01N\0\x01"
                                       "b\0\0\0\x01"
                                       "1"),
                                 &m, &err)); /* binary was not requested */
    assert_false(pgoutput_decode(BYTES("I\0\0\x40\x01N\0\x01t\xff\xff\xff\xff"
                                       "1"),
                                 &m, &err));
    pgoutput_message_free(&m);
}

static void test_frames(void **state)
{
    (void)state;
    struct error err = {0};
    struct pgoutput_frame f;
    unit_ok(pgoutput_frame_decode(BYTES("w\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x01"
                                        "B"),
                                  &f, &err));
    assert_int_equal(f.start, 16);
    assert_int_equal(f.end, 32);
    assert_int_equal(f.sent_us, CLOCK_PG_EPOCH_US + 1);
    assert_text(f.message, "B");
    unit_ok(pgoutput_frame_decode(BYTES("k\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x01\x01"), &f, &err));
    assert_int_equal(f.end, 32);
    assert_true(f.reply);
    assert_false(pgoutput_frame_decode(BYTES("k\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x01"), &f, &err));
    assert_false(pgoutput_frame_decode(BYTES("x"), &f, &err));
    assert_false(pgoutput_frame_decode(BYTES(""), &f, &err));
    struct buf out = {0};
    pgoutput_status_encode(&out, 3, 2, CLOCK_PG_EPOCH_US + 258, true);
    const char want[] = "r\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x01\x02\x01";
    assert_int_equal(out.len, sizeof want - 1);
    assert_memory_equal(out.data, want, out.len);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transaction), cmocka_unit_test(test_relation),  cmocka_unit_test(test_rows),
        cmocka_unit_test(test_others),      cmocka_unit_test(test_malformed), cmocka_unit_test(test_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
