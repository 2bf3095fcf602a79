/* Rows as Debezium's events: against what was recorded from the connector (tests/golden/debezium), byte for
 * byte, and by value where nothing was recorded. */
#include "debezium_lab.h"
#include "format/json_scan.h"

enum { TYPES = sizeof lab_types_t / sizeof *lab_types_t };

#define PLACEHOLDER "__debezium_unavailable_value"
#define DEFAULTS .placeholder = PLACEHOLDER, .null_to_default = true, .money_digits = 2

static const struct debezium_options plain = {.prefix = "off", DEFAULTS};
static const struct debezium_options texts = {.prefix = "str",
                                              .decimal = DEBEZIUM_DECIMAL_STRING,
                                              .time = DEBEZIUM_TIME_ISOSTRING,
                                              .interval = DEBEZIUM_INTERVAL_STRING,
                                              .binary = DEBEZIUM_BINARY_HEX,
                                              DEFAULTS};

static const struct {
    const char *prefix;
    struct debezium_options options;
    bool schemas;
} modes[] = {
    {"off", {.prefix = "off", DEFAULTS}, false},
    {"on", {.prefix = "on", DEFAULTS}, true},
    {"txmd", {.prefix = "txmd", DEFAULTS}, false},
    {"str",
     {.prefix = "str",
      .decimal = DEBEZIUM_DECIMAL_STRING,
      .time = DEBEZIUM_TIME_ISOSTRING,
      .interval = DEBEZIUM_INTERVAL_STRING,
      .binary = DEBEZIUM_BINARY_HEX,
      DEFAULTS},
     true},
    {"strc", {.prefix = "strc", .time = DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS, DEFAULTS}, false},
    {"micro", {.prefix = "micro", .time = DEBEZIUM_TIME_MICROSECONDS, DEFAULTS}, false},
};
enum { MODES = sizeof modes / sizeof *modes };

/* ---- recorded rows */

struct cell {
    const char *name, *text;
};

/* The rows of types_t in PostgreSQL's text; what is not named is NULL. */
static const struct cell row_1[] = {
    {"c_int2", "-32768"},
    {"c_int4", "2147483647"},
    {"c_int8", "9223372036854775807"},
    {"c_numeric", "12345.67890"},
    {"c_num_10_2", "-123.45"},
    {"c_num_38_10", "12345678901234567890.0123456789"},
    {"c_text", "h\xC3\xA9llo \"q\" \\ <\xC3\xA9> \xE6\x97\xA5\xE6\x9C\xAC \n\t\x01 end"},
    {"c_varchar", "vc"},
    {"c_char", "ab   "},
    {"c_ts", "2018-06-20 15:13:16.945104"},
    {"c_ts3", "2018-06-20 15:13:16.945"},
    {"c_ts0", "2018-06-20 15:13:16"},
    {"c_tstz", "2018-06-20 13:13:16.945104+00"},
    {"c_tstz3", "2018-06-20 13:13:16.9+00"},
    {"c_date", "2018-06-20"},
    {"c_time", "15:13:16.945104"},
    {"c_time3", "15:13:16.945"},
    {"c_timetz", "15:13:16.945104+02"},
    {"c_bool", "t"},
    {"c_bytea", "\\x00ff10ab"},
    {"c_uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
    {"c_json", "{\"b\": 1,  \"a\":[1,2]}"},
    {"c_jsonb", "{\"a\": [1, 2], \"b\": 1}"},
    {"c_int_arr", "{1,NULL,3}"},
    {"c_text_arr", "{a,\"b c\",NULL,\"q\\\"x\"}"},
    {"c_num_arr", "{1.10,NULL,-2.50}"},
    {"c_ts_arr", "{\"2018-06-20 15:13:16.945104\"}"},
    {"c_enum", "happy"},
    {"c_enum_arr", "{sad,ok}"},
    {"c_interval", "1 year 2 mons 3 days 04:05:06.78"},
    {"c_inet", "192.168.1.5/24"},
    {"c_cidr", "10.0.0.0/8"},
    {"c_mac", "08:00:2b:01:02:03"},
    {"c_money", "$1,234.11"},
    {"c_float4", "1.1"},
    {"c_float8", "3.141592653589793"},
    {"c_bit1", "1"},
    {"c_bit5", "10110"},
    {"c_varbit", "110011"},
    {"c_point", "(1.5,-2.5)"},
    {"c_box", "(3,4),(1,2)"},
    {"c_int4range", "[1,6)"},
    {"c_tsrange", "[\"2019-03-31 15:30:00\",)"},
    {"c_xml", "<a>x</a>"},
    {"c_oid", "12345"},
    {"c_tsvector", "'a':1 'cat':3 'fat':2"},
    {"c_pg_lsn", "16/B374D848"},
    {"c_def", "dflt"},
    {"c_nn", "7"},
    {NULL, NULL},
};
static const struct cell row_2[] = {{"c_nn", "7"}, {NULL, NULL}};
static const struct cell row_3[] = {
    {"c_numeric", "0"},     {"c_num_10_2", "0.00"},   {"c_text", ""},    {"c_ts", "infinity"},
    {"c_tstz", "infinity"}, {"c_date", "infinity"},   {"c_bool", "f"},   {"c_interval", "-1 days"},
    {"c_float4", "NaN"},    {"c_float8", "Infinity"}, {"c_def", "dflt"}, {"c_nn", "7"},
    {NULL, NULL},
};
static const struct cell row_4[] = {
    {"c_int8", "-9007199254740993"},
    {"c_numeric", "100.00"},
    {"c_ts", "-infinity"},
    {"c_tstz", "-infinity"},
    {"c_date", "-infinity"},
    {"c_time", "24:00:00"},
    {"c_interval", "00:00:01"},
    {"c_float4", "1e-10"},
    {"c_float8", "-Infinity"},
    {"c_def", "dflt"},
    {"c_nn", "7"},
    {NULL, NULL},
};
/* Without its date: the connector's copies lose its era. */
static const struct cell row_5[] = {
    {"c_ts", "0044-03-15 12:00:00 BC"},
    {"c_tstz", "0044-03-15 12:00:00+00 BC"},
    {"c_float4", "1.6777216e+07"},
    {"c_float8", "1e+21"},
    {"c_numeric", "100000000000000000000"},
    {"c_def", "dflt"},
    {"c_nn", "7"},
    {NULL, NULL},
};
static const struct cell row_11[] = {{"c_enum", "great"}, {"c_def", "dflt"}, {"c_nn", "7"}, {NULL, NULL}};

static const struct cell *row_of(int id)
{
    static const struct cell *const rows[] = {
        [1] = row_1, [2] = row_2, [3] = row_3, [4] = row_4, [5] = row_5, [10] = row_1, [11] = row_11};
    return id < (int)(sizeof rows / sizeof *rows) ? rows[id] : NULL;
}

/* types_t with what the catalogue tells of its enum and its ranges. */
static void take_types(struct debezium_column *out)
{
    memcpy(out, lab_types_t, sizeof lab_types_t);
    for (size_t i = 0; i < TYPES; i++) {
        if (strncmp(out[i].name, "c_enum", 6) == 0) {
            out[i].type_kind = 'e';
            out[i].labels = (char *)"sad,ok,happy";
        }
        if (strstr(out[i].name, "range")) out[i].type_kind = 'r';
    }
}

static struct slice member(struct slice object, const char *name)
{
    struct slice value;
    if (!json_get(object, slice_of(name), &value)) fail_msg("%s is missing", name);
    return value;
}

static bool has_member(struct slice object, const char *name)
{
    struct slice value;
    return json_get(object, slice_of(name), &value);
}

static struct slice payload_of(struct slice text)
{
    struct slice payload;
    return json_get(text, SLICE("payload"), &payload) ? payload : text;
}

static int64_t int_of(struct slice v)
{
    char *text = mem_textn(v.data, v.len);
    int64_t n = strtoll(text, NULL, 10);
    mem_free(text);
    return n;
}

static void same_members(const char *where, struct slice wanted, struct slice got, const char *except)
{
    struct json_scan a = json_scan_object(wanted), b = json_scan_object(got);
    struct slice name, value, other_name, other;
    while (json_scan_next(&a, &name, &value)) {
        if (!json_scan_next(&b, &other_name, &other))
            fail_msg("%s: %.*s is missing", where, (int)name.len, name.data);
        bool excepted = except && slice_equal(name, slice_of(except));
        if (!slice_equal(name, other_name) || (!excepted && !slice_equal(value, other)))
            fail_msg("%s: %.*s:%.*s, not %.*s:%.*s", where, (int)other_name.len, other_name.data,
                     (int)other.len, other.data, (int)name.len, name.data, (int)value.len, value.data);
    }
    if (json_scan_next(&b, &other_name, &other))
        fail_msg("%s: %.*s too", where, (int)other_name.len, other_name.data);
    assert_true(json_scan_ok(&a) && json_scan_ok(&b));
}

/* The columns that the image has, and what is in them; numbers that the catalogue gave are taken from it.
 */
static size_t take_row(struct slice image, const struct cell *cells, const struct debezium_column *from,
                       struct debezium_column *columns, struct pgoutput_value *values)
{
    size_t count = 0;
    for (size_t i = 0; i < TYPES; i++) {
        if (!has_member(image, from[i].name) && strcmp(from[i].name, "c_pg_lsn") != 0) continue;
        columns[count] = from[i];
        values[count] = (struct pgoutput_value){.kind = PGOUTPUT_NULL};
        for (const struct cell *c = cells; c->name; c++)
            if (strcmp(c->name, from[i].name) == 0)
                values[count] = (struct pgoutput_value){PGOUTPUT_TEXT, slice_of(c->text)};
        if (strcmp(from[i].name, "id") == 0 || strcmp(from[i].name, "c_serial") == 0 ||
            strcmp(from[i].name, "c_gen") == 0)
            values[count] = (struct pgoutput_value){PGOUTPUT_TEXT, member(image, from[i].name)};
        count++;
    }
    return count;
}

static void override(const struct debezium_column *columns, struct pgoutput_value *values, size_t count,
                     const char *name, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(columns[i].name, name) == 0)
            values[i] = (struct pgoutput_value){PGOUTPUT_TEXT, slice_of(text)};
}

/* Returns whether the event had a row. */
static bool check_types_event(size_t mode, const struct lab_record *record)
{
    struct debezium_column all[TYPES], columns[TYPES];
    struct pgoutput_value values[TYPES];
    struct debezium_options options = modes[mode].options;
    struct slice payload = payload_of(record->value), after = member(payload, "after");
    if (after.data[0] != '{') return false;
    int id = (int)int_of(member(after, "id"));
    if (!row_of(id)) return false;
    bool copied = slice_equal(member(payload, "op"), SLICE("\"r\""));
    take_types(all);
    size_t count = take_row(after, row_of(id), all, columns, values);
    if (id == 10 && slice_equal(member(payload, "op"), SLICE("\"u\"")))
        override(columns, values, count, "c_text", "upd");
    if (id == 1 && slice_equal(member(after, "c_int4"), SLICE("1")))
        override(columns, values, count, "c_int4", "1");
    options.snapshot = copied;
    struct debezium_table *t = debezium_table_new("public.types_t", columns, count, &options);
    struct buf json = {0}, key = {0}, wrapped = {0};
    debezium_put_row(t, values, &json);
    char *where = mem_format("%s.types_t %d", modes[mode].prefix, id);
    same_members(where, after, buf_slice(&json), id == 5 ? "c_date" : NULL);
    debezium_put_key(t, values, &key);
    debezium_put_wrapped(modes[mode].schemas ? debezium_key_schema(t) : NULL, buf_slice(&key), &wrapped);
    if (!slice_equal(buf_slice(&wrapped), record->key)) fail_msg("%s: key %s", where, buf_text(&wrapped));
    mem_free(where);
    buf_free(&json);
    buf_free(&key);
    buf_free(&wrapped);
    debezium_table_free(t);
    return true;
}

static void test_recorded_rows(void **state)
{
    (void)state;
    for (size_t m = 0; m < MODES; m++) {
        struct lab_file file;
        char *name = mem_format("%s.public.types_t", modes[m].prefix);
        size_t rows = 0;
        assert_true(lab_file_read(name, &file));
        for (size_t i = 0; i < file.count; i++)
            if (file.records[i].value.data) rows += check_types_event(m, &file.records[i]);
        assert_true(rows >= 6);
        lab_file_free(&file);
        mem_free(name);
    }
}

/* NaN and infinity: null as decimals, named as texts. */
static void test_recorded_nan(void **state)
{
    (void)state;
    static const char *const rows[3][3] = {
        {"1", "NaN", "NaN"}, {"2", "Infinity", "1.50"}, {"3", "1.1", "2.20"}};
    for (size_t m = 0; m < MODES; m++) {
        struct lab_file file;
        char *name = mem_format("%s.public.nan_t", modes[m].prefix);
        struct debezium_table *t = debezium_table_new("public.nan_t", lab_nan_t, 3, &modes[m].options);
        if (lab_file_read(name, &file)) {
            for (size_t i = 0, row = 0; i < file.count; i++) {
                struct slice after = member(payload_of(file.records[i].value), "after");
                if (after.data[0] != '{') continue; /* the truncate */
                struct pgoutput_value values[3];
                for (size_t k = 0; k < 3; k++)
                    values[k] = (struct pgoutput_value){PGOUTPUT_TEXT, slice_of(rows[row][k])};
                struct buf json = {0};
                debezium_put_row(t, values, &json);
                same_members(name, after, buf_slice(&json), NULL);
                buf_free(&json);
                row++;
            }
            lab_file_free(&file);
        }
        debezium_table_free(t);
        mem_free(name);
    }
}

static const struct {
    const char *name;
    const struct debezium_column *columns;
    size_t count; /* 0: lab_types_t */
} described[] = {
    {"types_t", NULL, TYPES},
    {"pk2", lab_pk2, 3},
    {"nopk", lab_nopk, 2},
    {"toast_t", lab_toast_t, 4},
    {"nan_t", lab_nan_t, 3},
    {"orders", lab_orders, 8},
    {"order_items", lab_order_items, 7},
    {"order_payments", lab_order_payments, 5},
};

/* The schemas of key and value, byte for byte. */
static void test_recorded_schemas(void **state)
{
    (void)state;
    struct debezium_column types[TYPES];
    take_types(types);
    for (size_t m = 0; m < MODES; m++) {
        for (size_t i = 0; modes[m].schemas && i < sizeof described / sizeof *described; i++) {
            struct lab_file file;
            char *name = mem_format("%s.public.%s", modes[m].prefix, described[i].name);
            char *table = mem_format("public.%s", described[i].name);
            const struct debezium_column *columns = described[i].columns ? described[i].columns : types;
            struct debezium_table *t =
                debezium_table_new(table, columns, described[i].count, &modes[m].options);
            assert_true(lab_file_read(name, &file));
            struct slice wanted = member(file.records[0].value, "schema");
            if (!slice_equal(wanted, slice_of(debezium_value_schema(t))))
                fail_msg("%s: %s, not %.*s", name, debezium_value_schema(t), (int)wanted.len, wanted.data);
            if (file.records[0].key.data) {
                wanted = member(file.records[0].key, "schema");
                if (!debezium_key_schema(t) || !slice_equal(wanted, slice_of(debezium_key_schema(t))))
                    fail_msg("%s: %s, not %.*s", name, debezium_key_schema(t), (int)wanted.len,
                             wanted.data);
            } else {
                assert_null(debezium_key_schema(t));
            }
            lab_file_free(&file);
            debezium_table_free(t);
            mem_free(name);
            mem_free(table);
        }
    }
}

/* ---- recorded envelopes */

struct rebuilt {
    struct buf texts[8];
    char *schema, *snapshot, *table;
    struct debezium_event event;
};

static const char *unescaped(struct slice v, struct buf *out)
{
    buf_clear(out);
    assert_true(json_unescape(v, out));
    return buf_text(out);
}

static struct slice image_of(struct slice payload, const char *name)
{
    struct slice v;
    return json_get(payload, slice_of(name), &v) && v.data[0] == '{' ? v : (struct slice){0};
}

static void rebuild(struct slice text, struct rebuilt *r)
{
    struct slice payload = payload_of(text), source = member(payload, "source");
    struct slice snapshot = member(source, "snapshot"), sequence = member(source, "sequence");
    struct debezium_event *e = &r->event;
    *r = (struct rebuilt){0};
    if (payload.data != text.data) {
        struct slice schema = member(text, "schema");
        e->schema = r->schema = mem_textn(schema.data, schema.len);
    }
    e->version = unescaped(member(source, "version"), &r->texts[0]);
    e->prefix = unescaped(member(source, "name"), &r->texts[1]);
    e->database = unescaped(member(source, "db"), &r->texts[2]);
    if (snapshot.data[0] == '"') e->snapshot = r->snapshot = mem_textn(snapshot.data + 1, snapshot.len - 2);
    const char *schema = unescaped(member(source, "schema"), &r->texts[3]);
    const char *table = unescaped(member(source, "table"), &r->texts[4]);
    r->table = *table ? mem_format("%s.%s", schema, table) : mem_text("");
    e->table = slice_of(r->table);
    e->op = member(payload, "op").data[1];
    e->before = image_of(payload, "before");
    e->after = image_of(payload, "after");
    e->lsn = (uint64_t)int_of(member(source, "lsn"));
    if (sequence.data[2] == '\\') e->previous_lsn = strtoull(sequence.data + 4, NULL, 10);
    e->xid = (uint32_t)int_of(member(source, "txId"));
    e->commit_us = int_of(member(source, "ts_us"));
    e->now_us = e->op == 'm' ? int_of(member(payload, "ts_ms")) * 1000 : int_of(member(payload, "ts_us"));
    struct slice transaction = image_of(payload, "transaction");
    if (transaction.data) {
        e->total_order = (uint64_t)int_of(member(transaction, "total_order"));
        e->table_order = (uint64_t)int_of(member(transaction, "data_collection_order"));
    }
    if (e->op != 'm') return;
    struct slice message = member(payload, "message");
    e->message_prefix = slice_of(unescaped(member(message, "prefix"), &r->texts[5]));
    e->message_content = slice_equal(e->message_prefix, SLICE("foo")) ? SLICE("bar") : SLICE("bar2");
}

static void rebuilt_free(struct rebuilt *r)
{
    for (size_t i = 0; i < 8; i++)
        buf_free(&r->texts[i]);
    mem_free(r->schema);
    mem_free(r->snapshot);
    mem_free(r->table);
}

/* The transaction's id is of its first event in the connector, and ts_ns finer than what is known here. */
static void same_event(const char *where, struct slice wanted, struct slice got)
{
    struct slice a = payload_of(wanted), b = payload_of(got), name, x, other, y;
    assert_true((a.data == wanted.data) == (b.data == got.data));
    if (a.data != wanted.data) assert_true(slice_equal(member(wanted, "schema"), member(got, "schema")));
    struct json_scan i = json_scan_object(a), k = json_scan_object(b);
    while (json_scan_next(&i, &name, &x)) {
        assert_true(json_scan_next(&k, &other, &y));
        assert_true(slice_equal(name, other));
        if (slice_equal(name, SLICE("ts_ns")))
            assert_true(int_of(x) / 1000 == int_of(y) / 1000);
        else if (slice_equal(name, SLICE("transaction")) && x.data[0] == '{')
            same_members(where, x, y, "id");
        else if (slice_equal(name, SLICE("source")))
            same_members(where, x, y, strncmp(where, "micro", 5) == 0 ? "xmin" : NULL);
        else if (!slice_equal(x, y))
            fail_msg("%s: %.*s:%.*s, not %.*s", where, (int)name.len, name.data, (int)y.len, y.data,
                     (int)x.len, x.data);
    }
    assert_false(json_scan_next(&k, &other, &y));
    assert_true(json_scan_ok(&i) && json_scan_ok(&k));
}

static void test_recorded_envelopes(void **state)
{
    (void)state;
    static const char *const tables[] = {"public.types_t", "public.pk2",    "public.nopk", "public.toast_t",
                                         "public.nan_t",   "public.orders", "message"};
    size_t events = 0;
    for (size_t m = 0; m < MODES; m++) {
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
            struct lab_file file;
            char *name = mem_format("%s.%s", modes[m].prefix, tables[i]);
            if (lab_file_read(name, &file)) {
                for (size_t k = 0; k < file.count; k++) {
                    if (!file.records[k].value.data) continue;
                    struct rebuilt r;
                    struct buf json = {0};
                    rebuild(file.records[k].value, &r);
                    debezium_put_value(&r.event, modes[m].options.binary, &json);
                    same_event(name, file.records[k].value, buf_slice(&json));
                    buf_free(&json);
                    rebuilt_free(&r);
                    events++;
                }
                lab_file_free(&file);
            }
            mem_free(name);
        }
    }
    assert_true(events > 300);
}

static void same_text(struct slice wanted, struct buf *got)
{
    if (!slice_equal(wanted, buf_slice(got)))
        fail_msg("%s, not %.*s", buf_text(got), (int)wanted.len, wanted.data);
    buf_free(got);
}

static void check_transaction(const struct lab_record *record)
{
    struct debezium_table_count counts[8];
    size_t count = 0;
    struct slice v = record->value, element;
    char *id = mem_textn(member(v, "id").data + 1, member(v, "id").len - 2), *end;
    uint32_t xid = (uint32_t)strtoul(id, &end, 10);
    uint64_t lsn = strtoull(end + 1, NULL, 10);
    bool last = slice_equal(member(v, "status"), SLICE("\"END\""));
    uint64_t total = last ? (uint64_t)int_of(member(v, "event_count")) : 0;
    struct json_scan scan = json_scan_array(member(v, "data_collections"));
    while (last && json_scan_next(&scan, NULL, &element)) {
        struct slice table = member(element, "data_collection");
        counts[count].table = (struct slice){table.data + 1, table.len - 2};
        counts[count++].count = (uint64_t)int_of(member(element, "event_count"));
    }
    struct buf value = {0}, key = {0};
    debezium_put_transaction(last, xid, lsn, int_of(member(v, "ts_ms")), total, counts, count, false,
                             &value);
    debezium_put_transaction_key(xid, lsn, false, &key);
    same_text(v, &value);
    same_text(record->key, &key);
    mem_free(id);
}

static void test_recorded_others(void **state)
{
    (void)state;
    struct lab_file file;
    struct buf json = {0};
    assert_true(lab_file_read("txmd.transaction", &file));
    for (size_t i = 0; i < file.count; i++)
        check_transaction(&file.records[i]);
    lab_file_free(&file);
    assert_true(lab_file_read("__debezium-heartbeat.txmd", &file));
    debezium_put_heartbeat(int_of(member(file.records[0].value, "ts_ms")), false, &json);
    same_text(file.records[0].value, &json);
    debezium_put_heartbeat_key("txmd", false, &json);
    same_text(file.records[0].key, &json);
    lab_file_free(&file);
    assert_true(lab_file_read("on.message", &file));
    debezium_put_message_schema(DEBEZIUM_BINARY_BYTES, &json);
    same_text(member(file.records[0].value, "schema"), &json);
    debezium_put_message_key(SLICE("foo"), true, &json);
    same_text(file.records[0].key, &json);
    lab_file_free(&file);
    assert_true(lab_file_read("str.message", &file)); /* in hex: a string */
    debezium_put_message_schema(DEBEZIUM_BINARY_HEX, &json);
    same_text(member(file.records[0].value, "schema"), &json);
    lab_file_free(&file);
    assert_true(lab_file_read("off.message", &file));
    debezium_put_message_key(SLICE("foo2"), false, &json);
    same_text(file.records[1].key, &json);
    lab_file_free(&file);
}

/* ---- recorded old rows */

static void check_old_row(const struct debezium_column *columns, size_t count, struct slice image)
{
    struct pgoutput_value values[TYPES];
    struct buf names[TYPES] = {0};
    bool known[TYPES];
    assert_true(count <= TYPES);
    for (size_t i = 0; i < count; i++) {
        known[i] = columns[i].key > 0;
        values[i] = (struct pgoutput_value){.kind = PGOUTPUT_NULL};
        if (!known[i]) continue;
        struct slice v = member(image, columns[i].name);
        if (v.data[0] == '"') v = slice_of(unescaped(v, &names[i]));
        values[i] = (struct pgoutput_value){PGOUTPUT_TEXT, v};
    }
    struct debezium_table *t = debezium_table_new("public.t", columns, count, &plain);
    struct buf json = {0};
    debezium_put_old_row(t, values, known, &json);
    same_members("old row", image, buf_slice(&json), NULL);
    buf_free(&json);
    for (size_t i = 0; i < count; i++)
        buf_free(&names[i]);
    debezium_table_free(t);
}

/* A delete with the default replica identity tells the key alone. */
static void test_recorded_old_rows(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        size_t table, count, record;
    } deletes[] = {{"off.public.types_t", 0, TYPES - 1, 7},
                   {"off.public.pk2", 1, 3, 2},
                   {"off.public.pk2", 1, 3, 8},
                   {"off.public.toast_t", 3, 4, 2},
                   {"off.public.orders", 5, 8, 22}};
    struct debezium_column types[TYPES];
    take_types(types);
    for (size_t i = 0; i < sizeof deletes / sizeof *deletes; i++) {
        struct lab_file file;
        const struct debezium_column *columns = described[deletes[i].table].columns;
        assert_true(lab_file_read(deletes[i].file, &file));
        struct slice value = file.records[deletes[i].record].value;
        assert_true(slice_equal(member(value, "op"), SLICE("\"d\"")));
        check_old_row(columns ? columns : types, deletes[i].count, member(value, "before"));
        lab_file_free(&file);
    }
}

/* ---- values that were not recorded */

struct value {
    const char *type; /* pg_type.typname; "[]" at its end: an array */
    int32_t typmod;
    const char *text, *want;
};

static void put_one(const struct debezium_options *o, const struct debezium_column *column,
                    const char *text, struct buf *json)
{
    struct debezium_table *t = debezium_table_new("s.t", column, 1, o);
    struct pgoutput_value v = {text ? PGOUTPUT_TEXT : PGOUTPUT_NULL, slice_of(text)};
    debezium_put_row(t, &v, json);
    debezium_table_free(t);
}

static void check_values(const struct debezium_options *o, const struct value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct value *v = &values[i];
        size_t len = strlen(v->type);
        bool array = len > 2 && strcmp(v->type + len - 2, "[]") == 0;
        char *type = mem_textn(v->type, array ? len - 2 : len);
        struct debezium_column c = {.name = (char *)"c",
                                    .type = type,
                                    .type_name = type,
                                    .type_kind = 'b',
                                    .typmod = v->typmod,
                                    .array = array};
        struct buf json = {0};
        put_one(o, &c, v->text, &json);
        char *want = mem_format("{\"c\":%s}", v->want);
        if (strcmp(want, buf_text(&json)) != 0)
            fail_msg("%s (%d) %s is %s, not %s", v->type, (int)v->typmod, v->text ? v->text : "NULL",
                     buf_text(&json), want);
        mem_free(want);
        mem_free(type);
        buf_free(&json);
    }
}

#define CHECK(options, ...)                                                                                \
    do {                                                                                                   \
        static const struct value list[] = {__VA_ARGS__};                                                  \
        struct debezium_options given = {.prefix = "p" options};                                           \
        if (given.money_digits == 0) given.money_digits = 2;                                               \
        if (given.money_digits < 0) given.money_digits = 0;                                                \
        check_values(&given, list, sizeof list / sizeof *list);                                            \
    } while (0)
#define WITH(...) , __VA_ARGS__
#define NUMERIC(p, s) ((((p) << 16) | ((s)&0x7ff)) + 4)

static void test_decimals(void **state)
{
    (void)state;
    CHECK(
        WITH(.decimal = DEBEZIUM_DECIMAL_PRECISE), {"numeric", NUMERIC(10, 2), "0.00", "\"AA==\""},
        {"numeric", NUMERIC(10, 2), "1.27", "\"fw==\""}, {"numeric", NUMERIC(10, 2), "1.28", "\"AIA=\""},
        {"numeric", NUMERIC(10, 2), "-1.28", "\"gA==\""}, {"numeric", NUMERIC(10, 2), "-1.29", "\"/38=\""},
        {"numeric", NUMERIC(10, 2), "2.55", "\"AP8=\""}, {"numeric", NUMERIC(10, 2), "-2.56", "\"/wA=\""},
        {"numeric", NUMERIC(10, 2), "NaN", "null"}, {"numeric", NUMERIC(10, 2), NULL, "null"},
        {"numeric", NUMERIC(10, 2), "x", "null"}, {"numeric", NUMERIC(3, 5), "0.00123", "\"ew==\""},
        /* a scale below zero: 12300 is 123 * 10^2 */
        {"numeric", NUMERIC(5, -2), "12300", "\"ew==\""}, {"numeric", NUMERIC(5, -2), "0", "\"AA==\""},
        {"numeric", NUMERIC(5, -2), "-100", "\"/w==\""},
        /* 40 digits */
        {"numeric", NUMERIC(40, 0), "1234567890123456789012345678901234567890",
         "\"A6DJIHXA2/O4rLxfls4/CtI=\""},
        {"numeric", NUMERIC(40, 0), "-1234567890123456789012345678901234567890",
         "\"/F8234o/JAxHU0OgaTHA9S4=\""},
        {"numeric", NUMERIC(40, 10), "123456789012345678901234567890.1234567890",
         "\"A6DJIHXA2/O4rLxfls4/CtI=\""},
        {"numeric", NUMERIC(38, 0), "99999999999999999999999999999999999999",
         "\"SztMqFqGxHoJiiI//////w==\""},
        {"numeric", NUMERIC(38, 0), "-99999999999999999999999999999999999999",
         "\"tMSzV6V5O4X2dd3AAAAAAQ==\""},
        {"numeric", -1, "1.10", "{\"scale\":1,\"value\":\"Cw==\"}"},
        {"numeric", -1, "-0.5", "{\"scale\":1,\"value\":\"+w==\"}"},
        {"numeric", -1, "0.000", "{\"scale\":0,\"value\":\"AA==\"}"}, {"numeric", -1, "NaN", "null"},
        {"numeric", -1, "-Infinity", "null"},
        {"numeric", -1, "0.0000000000000000000000000000000000000001", "{\"scale\":40,\"value\":\"AQ==\"}"});
    CHECK(WITH(.decimal_numeric = true), {"numeric", NUMERIC(10, 2), "-1.28", "-1.28"},
          {"numeric", NUMERIC(40, 0), "1234567890123456789012345678901234567890",
           "1234567890123456789012345678901234567890"},
          {"numeric", NUMERIC(10, 2), "NaN", "null"});
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_STRING), {"numeric", NUMERIC(10, 2), "1.10", "\"1.10\""},
          {"numeric", NUMERIC(10, 2), "NaN", "\"NAN\""},
          {"numeric", -1, "Infinity", "\"POSITIVE_INFINITY\""},
          {"numeric", -1, "-Infinity", "\"NEGATIVE_INFINITY\""}, {"numeric", -1, "1.10", "\"1.10\""},
          {"numeric[]", NUMERIC(10, 2), "{1.10,NaN}", "[\"1.10\",\"NAN\"]"});
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_DOUBLE), {"numeric", NUMERIC(10, 2), "1.10", "1.1"},
          {"numeric", -1, "100", "100.0"}, {"numeric", -1, "12345678.5", "1.23456785E7"},
          {"numeric", -1, "0.0001", "1.0E-4"}, {"numeric", -1, "0", "0.0"},
          {"numeric", -1, "NaN", "\"NaN\""}, {"numeric", -1, "Infinity", "\"Infinity\""},
          {"numeric", -1, "0.1000000000000000055511151231257827", "0.1"});
}

static void test_money(void **state)
{
    (void)state;
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_STRING), {"money", -1, "$1,234.11", "\"1234.11\""},
          {"money", -1, "-$1,234.11", "\"-1234.11\""}, {"money", -1, "($1,234.11)", "\"-1234.11\""},
          {"money", -1, "$0.00", "\"0.00\""}, {"money", -1, "$5", "\"5.00\""}, {"money", -1, "", "null"},
          {"money", -1, "$92,233,720,368,547,758.07", "\"92233720368547758.07\""});
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_STRING, .money_digits = 1), {"money", -1, "$9.99", "\"10.0\""},
          {"money", -1, "$9.94", "\"9.9\""}, {"money", -1, "-$9.95", "\"-10.0\""});
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_STRING, .money_digits = -1), {"money", -1, "$9.50", "\"10\""},
          {"money", -1, "$9.49", "\"9\""}, {"money", -1, "-$0.40", "\"0\""});
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_STRING, .money_digits = 4),
          {"money", -1, "$1.25", "\"1.2500\""});
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_PRECISE), {"money", -1, "-$1.28", "\"gA==\""});
    CHECK(WITH(.decimal = DEBEZIUM_DECIMAL_DOUBLE), {"money", -1, "$1,234.10", "1234.1"});
}

static void test_numbers(void **state)
{
    (void)state;
    CHECK(WITH(.binary = DEBEZIUM_BINARY_BYTES),
          {"int8", -1, "-9223372036854775808", "-9223372036854775808"}, {"int4", -1, "007", "null"},
          {"int4", -1, "", "null"}, {"int4", -1, "1.5", "null"}, {"oid", -1, "4294967295", "4294967295"},
          {"bool", -1, "t", "true"}, {"bool", -1, "f", "false"}, {"bool", -1, "maybe", "null"},
          {"float8", -1, "NaN", "\"NaN\""}, {"float8", -1, "-Infinity", "\"-Infinity\""},
          {"float8", -1, "0", "0.0"}, {"float8", -1, "-0", "-0.0"}, {"float8", -1, "1", "1.0"},
          {"float8", -1, "1234567", "1234567.0"}, {"float8", -1, "9999999.5", "9999999.5"},
          {"float8", -1, "10000000", "1.0E7"}, {"float8", -1, "0.001", "0.001"},
          {"float8", -1, "0.00099", "9.9E-4"},
          {"float8", -1, "1.7976931348623157e+308", "1.7976931348623157E308"},
          {"float8", -1, "5e-324", "5.0E-324"}, {"float8", -1, "-1.5e-10", "-1.5E-10"},
          {"float4", -1, "100", "100.0"}, {"float8", -1, "123456789012345680", "1.2345678901234568E17"},
          {"float8", -1, "x", "null"}, {"float8", -1, "1e", "null"}, {"float8", -1, "1e5x", "null"});
}

static void test_dates(void **state)
{
    (void)state;
    CHECK(WITH(.time = DEBEZIUM_TIME_ADAPTIVE), {"date", -1, "1970-01-01", "0"},
          {"date", -1, "1969-12-31", "-1"}, {"date", -1, "2000-02-29", "11016"},
          {"date", -1, "0001-01-01", "-719162"}, {"date", -1, "0001-12-31 BC", "-719163"},
          {"date", -1, "0044-03-15 BC", "-735160"}, {"date", -1, "5874897-12-31", "2145042905"},
          {"date", -1, "infinity", "2146033979"}, {"date", -1, "-infinity", "-2147472691"},
          {"date", -1, "x", "null"}, {"date[]", -1, "{1970-01-02,NULL}", "[1,null]"},
          {"time", 3, "24:00:00", "86400000"}, {"time", 6, "24:00:00", "86400000000"},
          {"time", -1, "00:00:00.000001", "1"}, {"time", 0, "00:00:01", "1000"},
          {"timestamp", 3, "1969-12-31 23:59:59.999", "-1"},
          {"timestamp", 6, "1969-12-31 23:59:59.999999", "-1"},
          {"timestamp", -1, "0001-12-31 00:00:00 BC", "-62135683200000000"},
          {"timestamp", 3, "infinity", "9223372036854775807"},
          {"timestamp", -1, "2012018-06-20 15:13:16 BC", "null"}, {"timestamp", -1, "1970-01-01", "null"});
    CHECK(WITH(.snapshot = true), {"date", -1, "infinity", "-622191234"},
          {"date", -1, "-infinity", "-625821272"});
    CHECK(WITH(.time = DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS), {"time", 3, "00:00:01", "1000000"},
          {"timestamp", 3, "1970-01-01 00:00:01", "1000"},
          {"timestamp", 6, "1970-01-01 00:00:01", "1000000"});
    CHECK(WITH(.time = DEBEZIUM_TIME_MICROSECONDS), {"timestamp", 3, "1970-01-01 00:00:01", "1000000"});
    CHECK(WITH(.time = DEBEZIUM_TIME_NANOSECONDS), {"time", -1, "00:00:01.5", "1500000000"},
          {"timestamp", 3, "1970-01-01 00:00:01", "1000000000"},
          {"timestamp", -1, "9999-01-01 00:00:00", "null"},
          {"timestamp", -1, "infinity", "9223372036854775807"}, {"date", -1, "1970-01-02", "1"});
    CHECK(WITH(.time = DEBEZIUM_TIME_CONNECT), {"time", -1, "00:00:01.5", "1500"},
          {"date", -1, "1970-01-02", "1"}, {"timestamp", -1, "1970-01-01 00:00:01.5", "1500"},
          {"timestamp", -1, "1969-12-31 23:59:59.9999", "-1"},
          {"timestamp", -1, "infinity", "9223372036825200000"},
          {"timestamp", -1, "-infinity", "-9223372036832400000"});
    CHECK(WITH(.time = DEBEZIUM_TIME_ISOSTRING), {"date", -1, "2018-06-20", "\"2018-06-20Z\""},
          {"date", -1, "0044-03-15 BC", "\"-0043-03-15Z\""},
          {"date", -1, "0001-01-01 BC", "\"0000-01-01Z\""},
          {"date", -1, "12018-06-20", "\"+12018-06-20Z\""}, {"date", -1, "infinity", "\"+5877611-06-21Z\""},
          {"time", -1, "01:02:03", "\"01:02:03Z\""}, {"time", -1, "01:02:03.1", "\"01:02:03.1Z\""},
          {"time", -1, "24:00:00", "\"00:00:00Z\""},
          {"timestamp", -1, "2018-06-20 00:00:00", "\"2018-06-20T00:00:00Z\""},
          {"timestamp", -1, "2018-06-20 00:00:00.000001", "\"2018-06-20T00:00:00.000001Z\""});
}

static void test_zones(void **state)
{
    (void)state;
    CHECK(WITH(.time = DEBEZIUM_TIME_ADAPTIVE),
          {"timestamptz", -1, "2018-06-20 13:13:16+00", "\"2018-06-20T13:13:16.000000Z\""},
          {"timestamptz", 0, "2018-06-20 13:13:16+00", "\"2018-06-20T13:13:16Z\""},
          {"timestamptz", 3, "2018-06-20 13:13:16.9+00", "\"2018-06-20T13:13:16.900Z\""},
          {"timestamptz", 0, "2018-06-20 00:30:00+02", "\"2018-06-19T22:30:00Z\""},
          {"timestamptz", 0, "2018-12-31 23:30:00-03:30", "\"2019-01-01T03:00:00Z\""},
          {"timestamptz", 0, "1900-01-01 00:00:00+00:19:32", "\"1899-12-31T23:40:28Z\""},
          {"timestamptz", 0, "0044-03-15 12:00:00+00 BC", "\"-0043-03-15T12:00:00Z\""},
          {"timestamptz", 0, "0001-01-01 00:00:00+01", "\"0000-12-31T23:00:00Z\""},
          {"timestamptz", -1, "infinity", "\"infinity\""},
          {"timestamptz", -1, "-infinity", "\"-infinity\""}, {"timetz", -1, "15:13:16+02", "\"13:13:16Z\""},
          {"timetz", -1, "00:30:00+02", "\"22:30:00Z\""}, {"timetz", -1, "23:30:00-02:15", "\"01:45:00Z\""},
          {"timetz", -1, "15:13:16.5+00", "\"15:13:16.5Z\""});
}

static void test_intervals(void **state)
{
    (void)state;
    CHECK(WITH(.interval = DEBEZIUM_INTERVAL_NUMERIC), {"interval", -1, "00:00:00", "0"},
          {"interval", -1, "00:00:01.5", "1500000"}, {"interval", -1, "-00:00:01.5", "-1500000"},
          {"interval", -1, "1 mon", "2629800000000"},
          {"interval", -1, "-1 years -2 mons +3 days -04:05:06.78", "-36572706780000"},
          {"interval", -1, "100:00:00", "360000000000"},
          {"interval", -1, "178000000 years", "9223372036854775807"},
          {"interval", -1, "-178000000 years", "-9223372036854775808"},
          {"interval", -1, "1 fortnight", "null"}, {"interval", -1, "12:34", "null"});
    CHECK(WITH(.interval = DEBEZIUM_INTERVAL_STRING), {"interval", -1, "00:00:00", "\"P0Y0M0DT0H0M0S\""},
          {"interval", -1, "1 year 2 mons 3 days 04:05:06.78", "\"P1Y2M3DT4H5M6.78S\""},
          {"interval", -1, "-1 years -2 mons +3 days -04:05:06.78", "\"P-1Y-2M3DT-4H-5M-6.78S\""},
          {"interval", -1, "-00:00:00.5", "\"P0Y0M0DT0H0M-0.5S\""},
          {"interval", -1, "178000000 years", "\"P178000000Y0M0DT0H0M0S\""});
}

static void test_bits(void **state)
{
    (void)state;
    CHECK(WITH(.binary = DEBEZIUM_BINARY_BYTES), {"bit", 1, "1", "true"}, {"bit", 1, "0", "false"},
          {"bit", -1, "1", "true"}, {"bit", 5, "10110", "\"Fg==\""}, {"bit", 5, "00000", "\"\""},
          {"bit", 9, "100000000", "\"AAE=\""}, {"bit", 16, "0000000011111111", "\"/w==\""},
          {"varbit", -1, "", "\"\""}, {"varbit", 20, "110011", "\"Mw==\""}, {"varbit", 1, "1", "true"},
          {"varbit", 20, "12", "null"}, {"bytea", -1, "\\x", "\"\""}, {"bytea", -1, "\\x00", "\"AA==\""},
          {"bytea", -1, "\\xfbff", "\"+/8=\""}, {"bytea", -1, "\\xf", "null"},
          {"bytea", -1, "\\xzz", "null"}, {"bytea[]", -1, "{\"\\\\x6162\",NULL}", "[\"YWI=\",null]"});
    CHECK(WITH(.binary = DEBEZIUM_BINARY_BASE64), {"bytea", -1, "\\xfbff", "\"+/8=\""});
    CHECK(WITH(.binary = DEBEZIUM_BINARY_BASE64_URL_SAFE), {"bytea", -1, "\\xfbff", "\"-_8=\""});
    CHECK(WITH(.binary = DEBEZIUM_BINARY_HEX), {"bytea", -1, "\\xFBff", "\"fbff\""},
          {"bytea", -1, "\\x", "\"\""});
}

static void test_texts_and_arrays(void **state)
{
    (void)state;
    CHECK(WITH(.hstore = DEBEZIUM_HSTORE_JSON), {"text", -1, "", "\"\""},
          {"text", -1, "\"\\\x01", "\"\\\"\\\\\\u0001\""}, {"text[]", -1, "{}", "[]"},
          {"text[]", -1, "{a,\"b,c\",\"\\\"q\\\" \\\\\",NULL,\"NULL\",\"\"}",
           "[\"a\",\"b,c\",\"\\\"q\\\" \\\\\",null,\"NULL\",\"\"]"},
          {"int4[]", -1, "{{1,2},{3,NULL}}", "[[1,2],[3,null]]"}, {"int4[]", -1, "[2:3]={1,2}", "[1,2]"},
          {"int4[]", -1, "{1", "null"}, {"int4[]", -1, "", "null"}, {"int4[]", -1, "{1}x", "null"},
          {"int4[]", -1, "{1,}", "null"}, {"int4[]", -1, NULL, "null"}, {"hstore", -1, "", "\"{}\""},
          {"hstore", -1, "\"a\"=>\"1\", \"b\"=>NULL", "\"{\\\"a\\\":\\\"1\\\",\\\"b\\\":null}\""},
          {"hstore", -1, "\"a\\\"b\"=>\"\\\\\"", "\"{\\\"a\\\\\\\"b\\\":\\\"\\\\\\\\\\\"}\""},
          {"hstore", -1, "\"a\"=>", "null"}, {"hstore", -1, "a=>1", "null"});
    CHECK(WITH(.hstore = DEBEZIUM_HSTORE_MAP),
          {"hstore", -1, "\"a\"=>\"1\", \"b\"=>NULL", "{\"a\":\"1\",\"b\":null}"}, {"hstore", -1, "", "{}"},
          {"hstore[]", -1, "{\"\\\"a\\\"=>\\\"1\\\"\"}", "[{\"a\":\"1\"}]"});
}

/* ---- what a column is */

static void check_column(const struct debezium_options *o, struct debezium_column c, const char *text,
                         const char *want)
{
    struct buf json = {0};
    c.name = (char *)"c";
    put_one(o, &c, text, &json);
    assert_string_equal(buf_text(&json), want);
    buf_free(&json);
}

static void test_columns(void **state)
{
    (void)state;
    struct debezium_options unknown = plain;
    unknown.unknown_types = true;
    const struct debezium_column lsn = COLUMN("c", "pg_lsn", "pg_lsn", 3220, -1, .key = 0);
    struct debezium_column made = lsn, hashed = COLUMN("c", "numeric", "numeric", 1700, -1, .hashed = true);
    check_column(&plain, lsn, "0/1", "{}");
    check_column(&unknown, lsn, "0/1", "{\"c\":\"MC8x\"}");
    made.array = true;
    check_column(&unknown, made, "{0/1}", "{}");
    made = (struct debezium_column){
        .type = (char *)"pair", .type_name = (char *)"pair", .type_kind = 'c', .typmod = -1};
    check_column(&plain, made, "(1,2)", "{}");
    made.type_kind = 'e';
    check_column(&plain, made, "x", "{\"c\":\"x\"}");
    made.type_kind = 'm';
    check_column(&plain, made, "{[1,2)}", "{\"c\":\"{[1,2)}\"}");
    check_column(&plain, hashed, "0123abcd", "{\"c\":\"0123abcd\"}");
    hashed.fallback = (char *)"1";
    check_column(&plain, hashed, NULL, "{\"c\":null}");
    struct debezium_column a_default = COLUMN("c", "text", "text", 25, -1, .fallback = (char *)"d");
    struct debezium_options nulls = plain;
    nulls.null_to_default = false;
    check_column(&plain, a_default, NULL, "{\"c\":\"d\"}");
    check_column(&nulls, a_default, NULL, "{\"c\":null}");
}

static void check_field(const struct debezium_options *o, struct debezium_column c, const char *want)
{
    c.name = (char *)"c";
    struct debezium_table *t = debezium_table_new("s.t", &c, 1, o);
    const char *start = strstr(debezium_value_schema(t), "\"fields\":[{\"type\":\"struct\",\"fields\":[");
    assert_non_null(start);
    start += strlen("\"fields\":[{\"type\":\"struct\",\"fields\":[");
    size_t len = strlen(want);
    if (strncmp(start, want, len) != 0 || start[len] != ']') fail_msg("%.300s, not %s", start, want);
    assert_null(debezium_key_schema(t));
    debezium_table_free(t);
}

static void test_fields(void **state)
{
    (void)state;
    struct debezium_column mood = {
        .type = (char *)"mood", .type_name = (char *)"mood", .type_kind = 'e', .typmod = -1};
    mood.labels = (char *)"sad,ok,\"so\"";
    check_field(&plain, mood,
                "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\",\"version\":1,"
                "\"parameters\":{\"allowed\":\"sad,ok,\\\"so\\\"\"},\"field\":\"c\"}");
    mood.not_null = true;
    mood.fallback = (char *)"ok";
    check_field(&plain, mood,
                "{\"type\":\"string\",\"optional\":false,\"name\":\"io.debezium.data.Enum\",\"version\":1,"
                "\"parameters\":{\"allowed\":\"sad,ok,\\\"so\\\"\"},\"default\":\"ok\",\"field\":\"c\"}");
    struct debezium_column time = COLUMN("c", "time", "time", 1083, -1, .not_null = true, .computed = true);
    check_field(
        &texts, time,
        "{\"type\":\"string\",\"optional\":false,\"name\":\"io.debezium.time.IsoTime\",\"version\":1,"
        "\"default\":\"00:00:00Z\",\"field\":\"c\"}");
    struct debezium_options map = plain;
    map.hstore = DEBEZIUM_HSTORE_MAP;
    map.time = DEBEZIUM_TIME_CONNECT;
    struct debezium_column hstore = COLUMN("c", "hstore", "hstore", 9, -1, .key = 0);
    check_field(&map, hstore,
                "{\"type\":\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},\"values\":"
                "{\"type\":\"string\",\"optional\":true},\"optional\":true,\"field\":\"c\"}");
    check_field(&plain, hstore,
                "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Json\",\"version\":1,"
                "\"field\":\"c\"}");
    check_field(&map, time,
                "{\"type\":\"int32\",\"optional\":false,\"name\":\"org.apache.kafka.connect.data.Time\","
                "\"version\":1,\"default\":0,\"field\":\"c\"}");
}

static void test_placeholders(void **state)
{
    (void)state;
#define BYTES "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
    static const struct {
        const char *type;
        bool array;
        struct debezium_options options;
        const char *want;
    } rows[] = {
        {"text", false, {DEFAULTS}, "\"" PLACEHOLDER "\""},
        {"jsonb", false, {DEFAULTS}, "\"" PLACEHOLDER "\""},
        {"bytea", false, {DEFAULTS}, "\"" BYTES "\""},
        {"bytea", false, {.binary = DEBEZIUM_BINARY_HEX, DEFAULTS}, "\"" PLACEHOLDER "\""},
        {"bytea", false, {.binary = DEBEZIUM_BINARY_BASE64, DEFAULTS}, "\"" PLACEHOLDER "\""},
        {"text", true, {DEFAULTS}, "[\"" PLACEHOLDER "\"]"},
        {"bytea", true, {DEFAULTS}, "[\"" BYTES "\"]"},
        {"int4", true, {.placeholder = "ab", .money_digits = 2}, "[97,98]"},
        {"int8", true, {.placeholder = "ab", .money_digits = 2}, "[97,98]"},
        {"date", true, {.placeholder = "ab", .money_digits = 2}, "[97,98]"},
        /* UUID.nameUUIDFromBytes of it */
        {"uuid",
         true,
         {.placeholder = "hello", .money_digits = 2},
         "[\"5d41402a-bc4b-3a76-b971-9d911017c592\"]"},
        {"hstore", false, {DEFAULTS}, "\"{\\\"" PLACEHOLDER "\\\":\\\"" PLACEHOLDER "\\\"}\""},
        {"hstore",
         false,
         {.hstore = DEBEZIUM_HSTORE_MAP, DEFAULTS},
         "{\"" PLACEHOLDER "\":\"" PLACEHOLDER "\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct debezium_column c = {.name = (char *)"c",
                                    .type = (char *)rows[i].type,
                                    .type_name = (char *)rows[i].type,
                                    .type_kind = 'b',
                                    .array = rows[i].array,
                                    .typmod = -1};
        struct debezium_options options = rows[i].options;
        options.prefix = "p";
        struct debezium_table *t = debezium_table_new("s.t", &c, 1, &options);
        struct pgoutput_value v = {.kind = PGOUTPUT_UNCHANGED};
        struct buf json = {0};
        char *want = mem_format("{\"c\":%s}", rows[i].want);
        debezium_put_row(t, &v, &json);
        assert_string_equal(buf_text(&json), want);
        mem_free(want);
        buf_free(&json);
        debezium_table_free(t);
    }
}

/* What an old row that is not known prints for a column that must not be null. */
static void test_zeros(void **state)
{
    (void)state;
    static const struct {
        const char *type, *want, *as_text;
    } rows[] = {
        {"int4", "0", "0"},
        {"bool", "false", "false"},
        {"float8", "0.0", "0.0"},
        {"text", "\"\"", "\"\""},
        {"numeric", "{\"scale\":0,\"value\":\"AA==\"}", "\"0\""},
        {"date", "0", "\"1970-01-01Z\""},
        {"time", "0", "\"00:00:00Z\""},
        {"timestamp", "0", "\"1970-01-01T00:00:00Z\""},
        {"timestamptz", "\"1970-01-01T00:00:00.000000Z\"", "\"1970-01-01T00:00:00.000000Z\""},
        {"interval", "0", "\"P0Y0M0DT0H0M0S\""},
        {"bytea", "\"\"", "\"\""},
        {"hstore", "\"{}\"", "\"{}\""},
    };
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        struct debezium_column c = COLUMN("c", "", rows[i / 2].type, 0, -1, .not_null = true);
        struct debezium_table *t = debezium_table_new("s.t", &c, 1, i % 2 ? &texts : &plain);
        struct pgoutput_value v = {.kind = PGOUTPUT_NULL};
        struct buf json = {0};
        char *want = mem_format("{\"c\":%s}", i % 2 ? rows[i / 2].as_text : rows[i / 2].want);
        debezium_put_old_row(t, &v, &(bool){false}, &json);
        assert_string_equal(buf_text(&json), want);
        mem_free(want);
        buf_free(&json);
        debezium_table_free(t);
    }
}

/* The key in the key's order, which need not be the table's. */
static void test_keys(void **state)
{
    (void)state;
    const struct debezium_column columns[] = {INT_COLUMN("a", .key = 2), INT_COLUMN("x", .key = 0),
                                              COLUMN("b\"", "text", "text", 25, -1, .key = 1)};
    struct pgoutput_value values[] = {
        {PGOUTPUT_TEXT, SLICE("1")}, {.kind = PGOUTPUT_NULL}, {PGOUTPUT_TEXT, SLICE("\xC3\xA9")}};
    struct debezium_table *t = debezium_table_new("s.t", columns, 3, &plain);
    struct buf json = {0};
    debezium_put_key(t, values, &json);
    assert_string_equal(buf_text(&json), "{\"b\\\"\":\"\xC3\xA9\",\"a\":1}");
    assert_string_equal(
        debezium_key_schema(t),
        "{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,\"field\":\"b\\\"\"},"
        "{\"type\":\"int32\",\"optional\":false,\"field\":\"a\"}],\"optional\":false,\"name\":\"off.s.t."
        "Key\"}");
    buf_clear(&json);
    debezium_put_wrapped(debezium_key_schema(t), SLICE("{}"), &json);
    assert_true(slice_equal(member(buf_slice(&json), "payload"), SLICE("{}")));
    buf_free(&json);
    debezium_table_free(t);
    t = debezium_table_new("s.t", columns + 1, 1, &plain);
    debezium_put_key(t, values + 1, &json);
    assert_int_equal(json.len, 0);
    assert_null(debezium_key_schema(t));
    debezium_table_free(t);
}

/* Members that no recording has: no sequence, an origin, a table with a dot. */
static void test_envelope(void **state)
{
    (void)state;
    struct debezium_event e = {.version = "3.7.0.Final",
                               .prefix = "p",
                               .database = "d",
                               .snapshot = NULL,
                               .table = SLICE("public.a.b"),
                               .op = 't',
                               .lsn = 7,
                               .commit_us = 1500,
                               .now_us = 2001,
                               .origin = SLICE("o\""),
                               .origin_lsn = 9};
    struct buf json = {0};
    debezium_put_value(&e, DEBEZIUM_BINARY_BYTES, &json);
    assert_string_equal(
        buf_text(&json),
        "{\"before\":null,\"after\":null,\"source\":{\"version\":\"3.7.0.Final\",\"connector\":"
        "\"postgresql\","
        "\"name\":\"p\",\"ts_ms\":1,\"snapshot\":null,\"db\":\"d\",\"sequence\":\"[null,\\\"7\\\"]\","
        "\"ts_us\":1500,\"ts_ns\":1500000,\"schema\":\"public\",\"table\":\"a.b\",\"txId\":null,\"lsn\":7,"
        "\"xmin\":null,\"origin\":\"o\\\"\",\"origin_lsn\":9},\"transaction\":null,\"op\":\"t\",\"ts_ms\":"
        "2,"
        "\"ts_us\":2001,\"ts_ns\":2001000}");
    buf_clear(&json);
    e = (struct debezium_event){.version = "v",
                                .prefix = "p",
                                .op = 'm',
                                .xid = 3,
                                .lsn = 7,
                                .previous_lsn = 5,
                                .message_content = SLICE("\xff\xfe"),
                                .total_order = 1,
                                .table_order = 1};
    debezium_put_value(&e, DEBEZIUM_BINARY_HEX, &json);
    assert_true(
        slice_equal(member(buf_slice(&json), "message"), SLICE("{\"prefix\":\"\",\"content\":\"fffe\"}")));
    assert_true(slice_equal(member(buf_slice(&json), "transaction"),
                            SLICE("{\"id\":\"3:7\",\"total_order\":1,\"data_collection_order\":1}")));
    buf_free(&json);
}

static void test_topics(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"public.orders", "p.public.orders"},
                                           {"public.Or ders\"", "p.public.Or_ders_"},
                                           {"a-b.c_d", "p.a-b.c_d"},
                                           {"s.\xC3\xA9", "p.s.__"},
                                           {"s.a.b", "p.s.a.b"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf out = {0};
        debezium_put_topic("p", slice_of(names[i][0]), &out);
        assert_string_equal(buf_text(&out), names[i][1]);
        buf_free(&out);
    }
}

static void test_options(void **state)
{
    (void)state;
    struct config c;
    struct debezium_options o;
    struct error err = {0};
    config_init(&c);
    unit_ok(debezium_options_read(&c, &o, &err));
    assert_int_equal(o.decimal, DEBEZIUM_DECIMAL_PRECISE);
    assert_int_equal(o.time, DEBEZIUM_TIME_ADAPTIVE);
    assert_string_equal(o.placeholder, PLACEHOLDER);
    unit_ok(config_set(&c, "decimal.handling.mode", "double", &err));
    unit_ok(config_set(&c, "time.precision.mode", "isostring", &err));
    unit_ok(config_set(&c, "binary.handling.mode", "base64-url-safe", &err));
    unit_ok(config_set(&c, "value.converter.decimal.format", "NUMERIC", &err));
    unit_ok(debezium_options_read(&c, &o, &err));
    assert_true(o.decimal == DEBEZIUM_DECIMAL_DOUBLE && o.time == DEBEZIUM_TIME_ISOSTRING &&
                o.decimal_numeric);
    assert_int_equal(o.binary, DEBEZIUM_BINARY_BASE64_URL_SAFE);
    bool set = config_set(&c, "time.precision.mode", "fortnights", &err);
    assert_true(!set || !debezium_options_read(&c, &o, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_rows),
        cmocka_unit_test(test_recorded_nan),
        cmocka_unit_test(test_recorded_schemas),
        cmocka_unit_test(test_recorded_envelopes),
        cmocka_unit_test(test_recorded_others),
        cmocka_unit_test(test_recorded_old_rows),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_money),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_texts_and_arrays),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_placeholders),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
