/* Tables anew: a copy is filled beside the table that is read, then both are exchanged.
 *
 *   x_copy made --> filled (from gold, or x_store's parts and more rows) --> EXCHANGE --> old one dropped
 *
 * A copy left by a killed process is dropped by the next that begins one. */
#include "stages/warehouse/warehouse_int.h"

#include "base/failpoint.h"
#include "base/log.h"

#include <jansson.h>

/* Names are those of models, so plain words. */
static bool run_format(struct target *t, struct error *err, const char *format, const char *table)
{
    struct buf sql = {0};
    for (const char *at = format; *at; at++) {
        if (*at == '@') buf_put_text(&sql, table);
        else buf_put_char(&sql, *at);
    }
    bool ok = t->ops->run(t->self, buf_text(&sql), err);
    buf_free(&sql);
    return ok || error_wrap(err, "warehouse: %s", table);
}

bool copy_begin(struct target *t, const char *table, bool with_rows, struct error *err)
{
    return run_format(t, err, "DROP TABLE IF EXISTS `@_copy` SYNC", table) &&
           run_format(t, err, "CREATE TABLE `@_copy` AS `@_store`", table) &&
           (!with_rows ||
            run_format(t, err, "ALTER TABLE `@_copy` ATTACH PARTITION tuple() FROM `@_store`", table));
}

bool copy_exchange(struct target *t, const char *table, struct error *err)
{
    failpoint("warehouse.exchange");
    return run_format(t, err, "EXCHANGE TABLES `@_copy` AND `@_store`", table) &&
           run_format(t, err, "DROP TABLE IF EXISTS `@_copy` SYNC", table);
}

/* version < 0: the newest. Blocks of a usual size: nobody reads the copy yet. */
static void put_select(struct target *t, const struct warehouse_table *table, int64_t label,
                       int64_t version, struct buf *sql)
{
    char *name = mem_format("gold/%s", table->name);
    buf_printf(sql, "INSERT INTO `%s_copy` SELECT ", table->name);
    for (size_t i = 0; i < table->columns.count; i++) {
        const struct column *c = &table->columns.items[i];
        buf_put_text(sql, "CAST(");
        buf_put_sql_name(sql, c->name);
        buf_put_text(sql, " AS ");
        column_type_clickhouse(c, sql);
        buf_put_text(sql, "), ");
    }
    buf_printf(sql, "toUInt64(%lld), toUInt8(0) FROM ", (long long)label);
    t->ops->put_delta(t->self, name, sql);
    buf_put_text(sql, " SETTINGS max_insert_block_size = 500000, min_insert_block_size_rows = 500000,"
                      " min_insert_block_size_bytes = 134217728, max_block_size = 65409");
    if (version >= 0) buf_printf(sql, ", delta_lake_snapshot_version = %lld", (long long)version);
    mem_free(name);
}

static bool fill(struct target *t, const struct warehouse_table *table, int64_t label, int64_t version,
                 struct error *err)
{
    struct buf sql = {0};
    put_select(t, table, label, version, &sql);
    bool ok = t->ops->run(t->self, buf_text(&sql), err);
    buf_free(&sql);
    return ok;
}

bool copy_from_gold(struct target *t, const struct warehouse_table *table, int64_t version,
                    struct error *err)
{
    if (!copy_begin(t, table->name, false, err)) return false;
    if (fill(t, table, version, version, err)) return true;
    /* The version was cleaned up. The newest one holds all of it and perhaps more; what is more comes
     * again through the outbox with a higher version, which changes nothing. */
    log_warn("warehouse", "version is gone, reading the newest", "table=%s version=%lld", table->name,
             (long long)version);
    return copy_begin(t, table->name, false, err) &&
           (fill(t, table, version, -1, err) || error_wrap(err, "warehouse: %s", table->name));
}

/* -1 when gold does not have the table yet. */
static int64_t version_of(const json_t *versions, const char *table)
{
    const json_t *v = json_object_get(versions, table);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

bool reload_all(struct target *t, const struct warehouse_tables *tables, const char *versions,
                struct error *err)
{
    json_error_t at;
    json_t *known = json_loads(versions, 0, &at);
    bool ok = true;
    for (size_t i = 0; ok && i < tables->count; i++) {
        const struct warehouse_table *table = &tables->items[i];
        int64_t version = version_of(known, table->name);
        ok = version < 0 ? copy_begin(t, table->name, false, err) : copy_from_gold(t, table, version, err);
    }
    json_decref(known);
    for (size_t i = 0; ok && i < tables->count; i++) ok = copy_exchange(t, tables->items[i].name, err);
    return ok;
}
