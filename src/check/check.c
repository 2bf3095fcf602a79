#include "check/check_int.h"

#include "base/log.h"
#include "stages/refine/refine.h"

#include <inttypes.h>
#include <stdio.h>

bool check_goes_on(const struct check_run *run, struct error *err)
{
    const struct flow *flow = run->flow;
    return (!atomic_load(&flow->stopping) && atomic_load(&flow->refine)) ||
           error_set(err, ERROR_RETRY, "check: the pipeline stopped before everything was compared");
}

bool check_wanted(const struct check_run *run, const char *table)
{
    const char *list = run->options->tables;
    if (!list || !list[0]) return true;
    size_t n = strlen(table);
    for (const char *p = list; (p = strstr(p, table)); p += n) {
        bool starts = p == list || p[-1] == ',' || p[-1] == '.';
        if (starts && (p[n] == '\0' || p[n] == ',')) return true;
    }
    return false;
}

void check_report(struct check_run *run, struct check_line *line)
{
    line->lsn = run->point.lsn;
    if (line->missing || line->surplus || line->differing) run->equal = false;
    if (run->each && !run->each(run->arg, line)) run->stopped = true;
    for (size_t i = 0; i < line->key_count; i++) mem_free(line->keys[i]);
}

bool check_versions(struct check_run *run, int64_t position, json_t **out, struct error *err)
{
    struct delta_table *batches;
    *out = NULL;
    if (!delta_open(&batches, run->flow->lake, BATCHES_TABLE, err)) return false;
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT versions FROM ");
    delta_put_source(batches, &sql);
    buf_printf(&sql, " WHERE position = %" PRId64 " LIMIT 1", position);
    delta_close(batches);
    struct engine_result row;
    bool ok = engine_query(run->conn, buf_text(&sql), "RawBLOB", NULL, 0, &row, err);
    buf_free(&sql);
    if (!ok) return false;
    if (row.data.len) *out = json_loadb(row.data.data, row.data.len, 0, NULL);
    engine_result_free(&row);
    return true;
}

int64_t check_version_of(const json_t *versions, const char *name)
{
    const char *slash = strchr(name, '/');
    char layer[32];
    snprintf(layer, sizeof layer, "%.*s", (int)(slash - name), name);
    const json_t *v = json_object_get(json_object_get(versions, layer), slash + 1);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

static void put_key(const struct columns *columns, const struct keyed *keyed, const struct slice *fields,
                    struct slice row, struct buf *out)
{
    buf_clear(out);
    int key = keyed ? -1 : columns_find(columns, "_key");
    if (keyed) keyed_row_key(keyed, row, out);
    else if (key >= 0) field_text(&columns->items[key], fields[key], out);
}

/* Rows may be cut by the edges of chunks: what is left of one goes before the next. */
bool check_read_rows(struct check_run *run, const char *sql, const struct columns *columns,
                     const struct keyed *keyed, check_row *each, void *arg, struct error *err)
{
    struct engine_stream *stream;
    if (!engine_stream_open(run->conn, sql, "RowBinary", NULL, 0, &stream, err)) return false;
    struct slice *fields = mem_alloc(columns->count * sizeof *fields), chunk, row;
    struct buf held = {0}, text = {0};
    bool done = false, ok = true;
    while (ok && !done) {
        ok = check_goes_on(run, err) && engine_stream_next(stream, &chunk, &done, err);
        if (!ok || done) break;
        buf_put_slice(&held, chunk);
        struct slice rest = buf_slice(&held);
        while (row_next(columns, &rest, fields, &row)) {
            put_key(columns, keyed, fields, row, &text);
            each(arg, buf_slice(&text), row);
        }
        memmove(held.data, rest.data, rest.len);
        held.len = rest.len;
    }
    if (ok && held.len) ok = error_set(err, ERROR_FATAL, "check: rows of an unexpected shape");
    engine_stream_close(stream);
    mem_free(fields);
    buf_free(&held);
    buf_free(&text);
    return ok;
}

bool check_read_lake(struct check_run *run, const char *name, int64_t version, const struct columns *columns,
                     const struct keyed *keyed, check_row *each, void *arg, struct error *err)
{
    struct delta_table *table;
    if (!delta_open(&table, run->flow->lake, name, err)) return false;
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT ");
    for (size_t i = 0; i < columns->count; i++) {
        if (i) buf_put_text(&sql, ", ");
        buf_put_text(&sql, "CAST(");
        buf_put_sql_name(&sql, columns->items[i].name);
        buf_put_text(&sql, " AS ");
        column_type_clickhouse(&columns->items[i], &sql);
        buf_put_char(&sql, ')');
    }
    buf_put_text(&sql, " FROM ");
    delta_put_source(table, &sql);
    buf_printf(&sql, " SETTINGS delta_lake_snapshot_version = %" PRId64, version);
    delta_close(table);
    bool ok = check_read_rows(run, buf_text(&sql), columns, keyed, each, arg, err);
    buf_free(&sql);
    return ok || error_wrap(err, "check: %s version %" PRId64, name, version);
}

static bool run_layers(struct check_run *run, struct error *err)
{
    static bool (*const layers[])(struct check_run *, struct error *) = {check_source, check_silver, check_gold,
                                                                         check_warehouse};
    if (!refine_hold(run->flow, &run->silver, &run->gold))
        return error_set(err, ERROR_RETRY, "check: refine is not running");
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof layers / sizeof *layers && !run->stopped; i++) ok = layers[i](run, err);
    refine_release(run->flow);
    return ok;
}

bool check_run(struct flow *flow, const struct check_options *options, check_each *each, void *arg, bool *equal,
               struct error *err)
{
    if (flow->kafka && !atomic_load(&flow->copy_complete))
        return error_set(err, ERROR_RETRY, "check: the first copy is still on its way");
    struct check_run run = {.flow = flow, .options = options, .each = each, .arg = arg, .equal = true};
    if (!point_take(flow, &run.point, err)) return false;
    bool ok = engine_connect(&run.conn, NULL, err) &&
              check_versions(&run, run.point.position, &run.versions, err) && run_layers(&run, err);
    if (ok) log_info("check", run.equal ? "equal" : "differs", "lsn=" LSN_FORMAT, LSN_ARGS(run.point.lsn));
    *equal = run.equal;
    json_decref(run.versions);
    if (run.conn) engine_disconnect(run.conn);
    point_free(&run.point);
    return ok;
}

/* --- the report --- */

static int64_t differences(const struct check_line *line)
{
    return line->missing + line->surplus + line->differing;
}

void check_line_print(const struct check_line *line, struct buf *out)
{
    buf_printf(out, "%-10s %-36s ", line->layer, line->table);
    if (line->note) {
        buf_printf(out, "%s\n", line->note);
        return;
    }
    buf_printf(out, "%10" PRId64 " rows  ", line->rows);
    if (differences(line) == 0) {
        buf_put_text(out, "equal\n");
        return;
    }
    buf_printf(out, "DIFFERS: %" PRId64 " differing, %" PRId64 " missing, %" PRId64 " surplus; keys:", line->differing,
               line->missing, line->surplus);
    for (size_t i = 0; i < line->key_count; i++) buf_printf(out, "%s %s", i ? "," : "", line->keys[i]);
    if (differences(line) > (int64_t)line->key_count) buf_put_text(out, ", ...");
    buf_put_char(out, '\n');
}

void check_line_json(const struct check_line *line, struct buf *out)
{
    buf_put_text(out, "{\"layer\":");
    buf_put_json(out, slice_of(line->layer));
    buf_put_text(out, ",\"table\":");
    buf_put_json(out, slice_of(line->table));
    buf_printf(out, ",\"rows\":%" PRId64 ",\"differing\":%" PRId64 ",\"missing\":%" PRId64 ",\"surplus\":%" PRId64
                    ",\"equal\":%s,\"lsn\":%" PRIu64 ",\"note\":",
               line->rows, line->differing, line->missing, line->surplus, differences(line) ? "false" : "true",
               line->lsn);
    if (line->note) buf_put_json(out, slice_of(line->note));
    else buf_put_text(out, "null");
    buf_put_text(out, ",\"keys\":[");
    for (size_t i = 0; i < line->key_count; i++) {
        if (i) buf_put_char(out, ',');
        buf_put_json(out, slice_of(line->keys[i]));
    }
    buf_put_text(out, "]}");
}
