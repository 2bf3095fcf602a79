/* Source against raw rows: every row of PostgreSQL under the snapshot, encoded by capture's own encoder, is
 * looked up in the state's snapshot. The first pass only counts; keys that PostgreSQL does not have are
 * named by a second pass, which is needed only when the counts say that there are some. */
#include "check/check_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "format/json_scan.h"
#include "stages/capture/capture.h"
#include "stages/refine/silver/raw.h"
#include "stages/refine/silver/silver.h"

/* How often a scan looks whether it must end: so many rows, and so long while it waits. */
enum { LOOK_ROWS = 1000, LOOK_US = 20000 };

struct source {
    struct check_run *run;
    struct check_line line;
    const char *name;                 /* silver's name of the table */
    struct capture_table *table;
    const struct schema *schema;
    struct map old_schemas;           /* id -> struct schema * */
    struct map *seen;                 /* second pass: keys of PostgreSQL */
    int64_t found, started_us;
    struct buf key, after, raw, state_key;
    struct debezium_options options;  /* what came through Kafka is compared as far as Debezium's form can tell */
    struct debezium_decoder *decoder; /* NULL: it did not */
    struct capture_table *events;     /* with it: the table in that form */
    struct buf value, native;         /* native: the row without that way */
};

static void free_schema(void *schema)
{
    schema_free(schema);
    mem_free(schema);
}

/* The schema by which an old raw row was written, from the state. */
static const struct schema *old_schema(struct source *s, const char *id, struct error *err)
{
    struct schema *known = map_get(&s->old_schemas, slice_of(id));
    if (known) return known;
    struct buf key = {0}, json = {0};
    bool found = false;
    raw_put_key('s', s->name, slice_of(id), &key);
    struct schema *read = mem_alloc(sizeof *read);
    bool ok = state_get(s->run->flow->state, s->run->point.snapshot, buf_slice(&key), &json, &found, err) && found &&
              schema_decode(buf_slice(&json), read, err);
    buf_free(&key);
    buf_free(&json);
    if (!ok) {
        mem_free(read);
        return NULL;
    }
    *map_put(&s->old_schemas, slice_of(id)) = read;
    return read;
}

static const struct schema_column *by_number(const struct schema *s, int attnum)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->columns[i].attnum == attnum) return &s->columns[i];
    return NULL;
}

/* A column that the old row has not: its value is the default with which it was added. */
static bool is_missing_value(const struct schema_column *column, struct slice value)
{
    if (!column->missing) return slice_equal(value, SLICE("null"));
    struct buf text = {0};
    bool same = value.len && value.data[0] == '"' ? json_unescape(value, &text) && slice_equal(buf_slice(&text), slice_of(column->missing))
                                                  : slice_equal(value, slice_of(column->missing));
    buf_free(&text);
    return same;
}

/* Does an image written by an older schema mean the same as `now`? */
static bool same_after_change(struct source *s, const struct raw_row *raw, struct slice now)
{
    struct error err;
    const struct schema *old = old_schema(s, raw->schema, &err);
    if (!old) return false;
    struct json_scan scan = json_scan_object(now);
    struct slice name, value, before;
    for (size_t i = 0; json_scan_next(&scan, &name, &value); i++) {
        if (i >= s->schema->count) return false;
        const struct schema_column *column = &s->schema->columns[i], *was = by_number(old, column->attnum);
        if (!was ? !is_missing_value(column, value)
                 : !json_get(raw->after, slice_of(was->name), &before) || !slice_equal(before, value))
            return false;
    }
    return json_scan_ok(&scan);
}

/* Bits of a varying number come without their leading zeros, or filled up to the column's length; one bit as a
 * boolean. */
static bool same_bits(struct slice a, struct slice b)
{
    if (slice_equal(a, SLICE("true"))) return slice_equal(b, SLICE("\"1\""));
    if (slice_equal(a, SLICE("false"))) return slice_equal(b, SLICE("\"0\""));
    if (a.len < 2 || b.len < 2 || a.data[0] != '"' || b.data[0] != '"') return false;
    size_t i = 1, k = 1;
    while (i < a.len && a.data[i] == '0') i++;
    while (k < b.len && b.data[k] == '0') k++;
    for (; i < a.len && k < b.len && a.data[i] == b.data[k]; i++, k++)
        if (a.data[i] == '"') return true;
    return false;
}

/* Of an image that came through Kafka: has it every column that Debezium's form carries, with the source's value, or
 * with what that form leaves of it by our settings? A connector's copy may have more (generated columns). One that the
 * row has not is from before the column came. */
static bool same_by_name(const struct source *s, struct slice raw, struct slice now)
{
    struct json_scan scan = json_scan_object(now);
    struct slice name, value, before = {0};
    while (json_scan_next(&scan, &name, &value)) {
        struct buf plain = {0};
        bool ok = json_unescape(name, &plain);
        struct slice native;
        if (ok && json_get(raw, buf_slice(&plain), &before)) {
            ok = slice_equal(before, value) ||
                 (json_get(buf_slice(&s->native), buf_slice(&plain), &native) && slice_equal(before, native));
            const struct schema_column *column = ok ? NULL : schema_find(s->schema, buf_slice(&plain));
            if (column && strncmp(column->type, "bit", 3) == 0) ok = same_bits(before, value);
        } else if (ok) {
            const struct schema_column *column = schema_find(s->schema, buf_slice(&plain));
            ok = column && (is_missing_value(column, value) || slice_equal(value, SLICE("null")));
        }
        if (!ok) log_debug("check", "column differs", "table=%s column=%s source=%.*s lake=%.*s", s->line.table,
                           buf_text(&plain), (int)(value.len < 60 ? value.len : 60), value.data, (int)(before.len < 60 ? before.len : 60), before.data ? before.data : "");
        buf_free(&plain);
        if (!ok) return false;
    }
    return json_scan_ok(&scan);
}

/* The row as it is when it has gone through Debezium's form and back. */
static bool through_debezium(struct source *s, struct slice line, struct error *err)
{
    buf_clear(&s->native);
    buf_put_slice(&s->native, buf_slice(&s->after));
    buf_clear(&s->key);
    buf_clear(&s->after);
    if (!capture_encode_row(s->events, line, &s->key, &s->after, err)) return false;
    const char *dot = strchr(s->line.table, '.');
    buf_clear(&s->value);
    buf_put_text(&s->value, "{\"before\":null,\"after\":");
    buf_put_slice(&s->value, buf_slice(&s->after));
    buf_put_text(&s->value, ",\"source\":{\"connector\":\"postgresql\",\"ts_ms\":0,\"snapshot\":\"true\",\"schema\":");
    buf_put_json(&s->value, (struct slice){s->line.table, (size_t)(dot - s->line.table)});
    buf_put_text(&s->value, ",\"table\":");
    buf_put_json(&s->value, slice_of(dot + 1));
    buf_put_text(&s->value, ",\"lsn\":1},\"op\":\"r\"}");
    struct debezium_record r;
    if (!debezium_decode(s->decoder, buf_slice(&s->key), buf_slice(&s->value), (struct slice){0}, &r, err)) return false;
    buf_clear(&s->key);
    buf_clear(&s->after);
    buf_put_slice(&s->key, r.change.key);
    buf_put_slice(&s->after, r.change.after);
    return true;
}

static bool compare_row(struct source *s, struct error *err)
{
    struct raw_row raw;
    bool found = false;
    buf_clear(&s->raw);
    buf_clear(&s->state_key);
    raw_put_key('w', s->name, buf_slice(&s->key), &s->state_key);
    if (!state_get(s->run->flow->state, s->run->point.snapshot, buf_slice(&s->state_key), &s->raw, &found, err))
        return false;
    if (!found || !raw_decode(buf_slice(&s->raw), &raw) || raw.flags & RAW_DELETED) {
        s->line.missing++;
        check_line_key(&s->line, buf_slice(&s->key));
        return true;
    }
    s->found++;
    if (slice_equal(raw.after, buf_slice(&s->after))) return true;
    if (s->decoder && same_by_name(s, raw.after, buf_slice(&s->after))) return true;
    if (!s->decoder && strcmp(raw.schema, s->schema->id) != 0 && same_after_change(s, &raw, buf_slice(&s->after))) return true;
    s->line.differing++;
    check_line_key(&s->line, buf_slice(&s->key));
    return true;
}

/* Keeps the scan at the rate that was asked for; false when the pipeline stops meanwhile. */
static bool slow_down(const struct source *s, struct error *err)
{
    int64_t rate = s->run->options->rows_per_second;
    if (s->line.rows % LOOK_ROWS) return true;
    int64_t until_us = rate > 0 ? s->started_us + s->line.rows * 1000000 / rate : 0;
    for (;;) {
        if (!check_goes_on(s->run, err)) return false;
        int64_t left_us = until_us - clock_mono_us();
        if (left_us <= 0) return true;
        clock_sleep_us(left_us < LOOK_US ? left_us : LOOK_US);
    }
}

static bool take_line(struct source *s, struct slice line, struct error *err)
{
    buf_clear(&s->key);
    buf_clear(&s->after);
    if (!capture_encode_row(s->table, line, &s->key, &s->after, err)) return false;
    if (s->decoder && !through_debezium(s, line, err)) return false;
    if (s->seen) {
        map_put(s->seen, buf_slice(&s->key));
        return true;
    }
    s->line.rows++;
    return slow_down(s, err) && compare_row(s, err);
}

static bool scan_source(struct source *s, struct error *err)
{
    struct pg *pg = s->run->point.reader;
    struct buf sql = {0};
    capture_table_put_copy(s->table, NULL, &sql);
    bool ok = pg_copy_begin(pg, buf_text(&sql), err);
    buf_free(&sql);
    struct slice line;
    enum pg_copy what = PG_COPY_NOTHING;
    while (ok && what != PG_COPY_END) {
        ok = pg_copy_next(pg, &line, &what, err);
        if (ok && what == PG_COPY_NOTHING) pg_wait(pg, -1, 200000);
        if (ok && what == PG_COPY_DATA) ok = take_line(s, line, err);
    }
    return ok;
}

/* Living raw rows; with `seen`, those that PostgreSQL has not are named. */
static bool scan_state(struct source *s, int64_t *living, struct error *err)
{
    struct buf prefix = {0};
    raw_put_key('w', s->name, (struct slice){0}, &prefix);
    struct state_iter *it = state_iter_open(s->run->flow->state, s->run->point.snapshot, buf_slice(&prefix));
    struct slice key, value;
    struct raw_row raw;
    *living = 0;
    while (state_iter_next(it, &key, &value)) {
        if (!raw_decode(value, &raw) || raw.flags & RAW_DELETED) continue;
        ++*living;
        struct slice own = {key.data + prefix.len, key.len - prefix.len};
        if (!s->seen || map_find(s->seen, own)) continue;
        s->line.surplus++;
        check_line_key(&s->line, own);
    }
    buf_free(&prefix);
    return state_iter_close(it, err);
}

static bool compare_table(struct source *s, struct error *err)
{
    int64_t living;
    s->started_us = clock_mono_us();
    if (!scan_source(s, err) || !scan_state(s, &living, err)) return false;
    if (living == s->found) return true;
    struct map seen = {0};
    s->seen = &seen;
    bool ok = scan_source(s, err) && scan_state(s, &living, err);
    s->seen = NULL;
    map_free(&seen, NULL);
    return ok;
}

static bool has_key(const struct schema *schema)
{
    for (size_t i = 0; i < schema->count; i++)
        if (schema->columns[i].key) return true;
    return false;
}

static bool open_decoder(struct source *s, struct error *err)
{
    struct check_run *run = s->run;
    if (!run->flow->kafka) return true;
    if (!debezium_options_read(run->flow->config, &s->options, err)) return false;
    s->options.key_schemas = s->options.value_schemas = false;
    s->decoder = debezium_decoder_new(&s->options);
    return capture_table_read(&s->events, run->point.reader, run->flow->config, s->line.table, err) &&
           capture_table_events(s->events, run->point.reader, &s->options, s->decoder, err);
}

static bool check_table(struct check_run *run, const char *table, struct error *err)
{
    struct source s = {.run = run, .line = {.layer = "source", .table = table}};
    char *name = silver_table_name(table);
    s.name = name;
    bool ok = capture_table_read(&s.table, run->point.reader, run->flow->config, table, err);
    if (ok) {
        s.schema = capture_table_schema(s.table);
        ok = open_decoder(&s, err);
        if (ok && has_key(s.schema)) ok = compare_table(&s, err);
        else if (ok) s.line.note = "has no key: rows cannot be matched one by one";
        if (ok) check_report(run, &s.line);
        capture_table_free(s.table);
        capture_table_free(s.events);
        debezium_decoder_free(s.decoder);
    }
    map_free(&s.old_schemas, free_schema);
    buf_free(&s.key);
    buf_free(&s.after);
    buf_free(&s.raw);
    buf_free(&s.state_key);
    buf_free(&s.value);
    buf_free(&s.native);
    mem_free(name);
    return ok || error_wrap(err, "check: %s", table);
}

/* Is the table captured? An empty setting means all of the publication. */
static bool is_captured(const struct config *config, const char *table)
{
    if (!config->tables || !config->tables[0]) return true;
    struct check_options list = {.tables = config->tables};
    struct check_run any = {.options = &list};
    return check_wanted(&any, table);
}

bool check_source(struct check_run *run, struct error *err)
{
    const char *params[] = {run->flow->config->publication};
    struct pg_rows rows;
    if (!pg_query(run->point.reader, &rows,
                  "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1",
                  params, 1, err))
        return error_wrap(err, "check");
    bool ok = true;
    for (int i = 0; ok && !run->stopped && i < rows.count; i++) {
        const char *table = pg_text(&rows, i, 0);
        if (is_captured(run->flow->config, table) && check_wanted(run, strchr(table, '.') + 1))
            ok = check_table(run, table, err);
    }
    pg_rows_free(&rows);
    return ok;
}
