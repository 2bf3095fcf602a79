/* Silver, gold and warehouse against what they are made from. */
#include "check/check_int.h"

#include "lake/keyed.h"
#include "stages/refine/gold/gold.h"
#include "stages/refine/refine.h"
#include "stages/refine/silver/silver.h"

#include <stdio.h>
#include <stdlib.h>

static void take_actual(void *arg, struct slice key, struct slice row)
{
    compare_actual(arg, key, row);
}

struct expecting {
    const struct check_run *run;
    struct compare *compare;
};

static bool take_expected(void *arg, struct slice key, struct slice row, struct error *err)
{
    const struct expecting *e = arg;
    compare_expect(e->compare, key, row);
    return check_goes_on(e->run, err);
}

/* --- silver: a version of a row stands in the history once --- */

static void take_doubled(void *arg, struct slice key, struct slice row)
{
    (void)row;
    struct check_line *line = arg;
    line->surplus++;
    check_line_key(line, key);
}

static void put_doubled_sql(const struct delta_table *history, int64_t version, struct buf *sql)
{
    buf_put_text(sql, "SELECT CAST(_key AS String) FROM ");
    delta_put_source(history, sql);
    buf_printf(sql, " GROUP BY _key, _epoch, _lsn, _ordinal, _op HAVING count() > 1 SETTINGS max_threads = 2,"
                    " max_bytes_before_external_group_by = 268435456, delta_lake_snapshot_version = %lld",
               (long long)version);
}

/* The keys whose versions are there twice; on disk when the history is long. A line is told only then. */
static bool check_doubled(struct check_run *run, const char *name, struct error *err)
{
    static struct column items[] = {{.name = "_key", .type = COLUMN_STRING}};
    static const struct columns columns = {.items = items, .count = 1};
    char *path = mem_format("silver/%s_history", name);
    struct check_line line = {.layer = "silver", .table = strchr(path, '/') + 1};
    struct delta_table *history;
    struct buf sql = {0};
    int64_t version = check_version_of(run->versions, path);
    bool ok = version < 0 || delta_open(&history, run->flow->lake, path, err);
    if (ok && version >= 0) {
        line.rows = delta_row_count(history);
        put_doubled_sql(history, version, &sql);
        delta_close(history);
        ok = check_read_rows(run, buf_text(&sql), &columns, NULL, take_doubled, &line, err);
        if (ok && line.surplus) check_report(run, &line);
    }
    buf_free(&sql);
    mem_free(path);
    return ok;
}

/* --- silver: the raw rows at the point, cleaned again --- */

static bool check_silver_table(struct check_run *run, const char *name, int64_t version, struct error *err)
{
    struct check_line line = {.layer = "silver", .table = name};
    struct columns columns = {0};
    struct compare *c = compare_new(&line);
    char path[300];
    snprintf(path, sizeof path, "silver/%s", name);
    bool has_current = false;
    struct expecting expecting = {run, c};
    bool ok = silver_clean_at(run->silver, name, run->conn, run->point.snapshot, &columns,
                              &has_current, take_expected, &expecting, err);
    if (ok && has_current) ok = check_read_lake(run, path, version, &columns, NULL, take_actual, c, err);
    else if (ok) line.note = "has no key: only its history is kept";
    compare_finish(c);
    columns_free(&columns);
    if (ok) check_report(run, &line);
    /* rows without key cannot be told apart */
    return ok && (!has_current || check_doubled(run, name, err));
}

/* History and bronze have nothing to be compared with: their files must be there. */
static bool check_files(struct check_run *run, const char *path, int64_t version, struct error *err)
{
    struct delta_table *t;
    bool ok = version < 0 ? delta_open(&t, run->flow->lake, path, err)
                          : delta_open_at(&t, run->flow->lake, path, version, err);
    if (!ok) return false;
    ok = delta_verify(t, err);
    delta_close(t);
    return ok;
}

static bool check_history(struct check_run *run, const char *name, int64_t version, struct error *err)
{
    char path[300];
    snprintf(path, sizeof path, "silver/%s", name);
    return check_files(run, path, version, err);
}

bool check_silver(struct check_run *run, struct error *err)
{
    if (!check_files(run, BRONZE_TABLE, -1, err)) return error_wrap(err, "check: bronze");
    const char *name;
    const json_t *version;
    json_t *tables = json_object_get(run->versions, "silver");
    json_object_foreach(tables, name, version)
    {
        size_t n = strlen(name);
        bool history = n > 8 && strcmp(name + n - 8, "_history") == 0;
        if (run->stopped) break;
        if (history && !check_history(run, name, json_integer_value(version), err))
            return error_wrap(err, "check: silver.%s", name);
        if (history || strcmp(name, "quarantine") == 0 || !check_wanted(run, name)) continue;
        if (!check_goes_on(run, err)) return false;
        if (!check_silver_table(run, name, json_integer_value(version), err))
            return error_wrap(err, "check: silver.%s", name);
    }
    return true;
}

/* --- gold: each model recomputed over the inputs that its batch names --- */

static int64_t version_in(void *arg, const char *table)
{
    return check_version_of(arg, table);
}

struct model {
    size_t index;
    const char *name;
    const struct keyed *keyed;
};

static bool compare_model(struct check_run *run, const struct model *m, json_t *inputs, int64_t version,
                          struct error *err)
{
    struct check_line line = {.layer = "gold", .table = m->name};
    struct compare *c = compare_new(&line);
    char path[300];
    snprintf(path, sizeof path, "gold/%s", m->name);
    struct expecting expecting = {run, c};
    bool ok = gold_recompute_at(run->gold, m->index, run->conn, version_in, inputs, take_expected,
                                &expecting, err) &&
              check_read_lake(run, path, version, keyed_columns(m->keyed), m->keyed, take_actual, c, err);
    compare_finish(c);
    if (ok) check_report(run, &line);
    return ok;
}

static bool pass_over(struct check_run *run, const struct model *m, const char *note)
{
    struct check_line line = {.layer = "gold", .table = m->name, .note = note};
    check_report(run, &line);
    return true;
}

/* A whole model stands at a position of its own; its inputs are those of the batch that ended there. */
static bool check_model(struct check_run *run, const struct model *m, struct error *err)
{
    char path[300];
    snprintf(path, sizeof path, "gold/%s", m->name);
    int64_t version = check_version_of(run->versions, path);
    int64_t position = -1;
    if (version >= 0 && !delta_txn_at(run->flow->lake, path, REFINE_APP_ID, version, &position, err)) return false;
    if (position < 0) return pass_over(run, m, "not made yet");
    if (!gold_model_is_whole(run->gold, m->index))
        return compare_model(run, m, run->versions, version, err);
    json_t *inputs = NULL;
    if (!check_versions(run, position, &inputs, err)) return false;
    bool ok = inputs ? compare_model(run, m, inputs, version, err)
                     : pass_over(run, m, "the batch it was computed from is no longer recorded");
    json_decref(inputs);
    return ok;
}

static bool each_model(struct check_run *run, bool (*one)(struct check_run *, const struct model *, struct error *),
                       struct error *err)
{
    struct gold *gold = run->gold;
    bool ok = check_goes_on(run, err);
    for (size_t i = 0; ok && !run->stopped && i < gold_model_count(gold); i++) {
        struct model m = {i, gold_model_name(gold, i), gold_model_table(gold, i)};
        ok = check_goes_on(run, err);
        if (!ok) break;
        if (m.keyed && check_wanted(run, m.name)) ok = one(run, &m, err) || error_wrap(err, "check: %s", m.name);
    }
    return ok;
}

bool check_gold(struct check_run *run, struct error *err)
{
    return each_model(run, check_model, err);
}

/* --- warehouse: its rows against gold at the version that its position names --- */

static void expect_row(void *arg, struct slice key, struct slice row)
{
    compare_expect(arg, key, row);
}

/* Reads a table and the version it shows as one: the stage changes nothing meanwhile. Its rows become the
 * expected ones, because only with them the version is known at which gold must be read. */
static bool read_warehouse(struct check_run *run, const struct model *m, struct compare *c, int64_t *version,
                           struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "SELECT ");
    const struct columns *columns = keyed_columns(m->keyed);
    for (size_t i = 0; i < columns->count; i++) {
        if (i) buf_put_text(&sql, ", ");
        buf_put_sql_name(&sql, columns->items[i].name);
    }
    buf_put_text(&sql, " FROM ");
    buf_put_sql_name(&sql, m->name);
    struct engine_param name = {.name = "name", .value = slice_of(m->name)};
    struct engine_result result = {0};
    pthread_mutex_lock(&run->flow->warehouse_lock);
    bool ok = engine_run(run->conn, "USE default", err) &&
              engine_query(run->conn, "SELECT JSONExtractInt(versions, {name:String}) FROM millrace_position", "TSV",
                           &name, 1, &result, err) &&
              check_read_rows(run, buf_text(&sql), columns, m->keyed, expect_row, c, err);
    pthread_mutex_unlock(&run->flow->warehouse_lock);
    char *text = mem_textn(result.data.data, result.data.len);
    *version = strtoll(text, NULL, 10);
    mem_free(text);
    engine_result_free(&result);
    buf_free(&sql);
    return ok;
}

/* What gold has and the warehouse has not is missing in the warehouse, and the other way round. */
static bool check_warehouse_table(struct check_run *run, const struct model *m, struct error *err)
{
    struct check_line line = {.layer = "warehouse", .table = m->name};
    struct compare *c = compare_new(&line);
    int64_t version = 0;
    char path[300];
    snprintf(path, sizeof path, "gold/%s", m->name);
    bool ok = read_warehouse(run, m, c, &version, err) &&
              check_read_lake(run, path, version, keyed_columns(m->keyed), m->keyed, take_actual, c, err);
    compare_finish(c);
    int64_t surplus = line.missing;
    line.missing = line.surplus;
    line.surplus = surplus;
    if (ok) check_report(run, &line);
    return ok;
}

bool check_warehouse(struct check_run *run, struct error *err)
{
    return each_model(run, check_warehouse_table, err);
}
