/* What the warehouse holds: one stored table for each gold model. The models' headers say which columns
 * they have (gold.h describes the header; only "sort:" and the columns matter here), clickhouse_init/ makes
 * the tables; a unit test holds both equal. */
#include "stages/warehouse/warehouse_int.h"

#include "base/assets.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#define MODELS "sql/gold/"
#define DEFINITION "clickhouse_init/"

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* "--   order_id string not null" */
static bool take_column(struct warehouse_table *t, const char *line, size_t len, struct error *err)
{
    char *text = mem_textn(line, len);
    char *name = text + strspn(text, "- ");
    char *type = name + strcspn(name, " ");
    struct column c = {0};
    bool ok = *type != '\0';
    if (ok) {
        *type++ = '\0';
        ok = column_type_parse(type + strspn(type, " "), &c, err);
    } else {
        error_set(err, ERROR_CONFIG, "a column without a type");
    }
    if (ok) columns_add(&t->columns, name, c.type, c.precision, c.scale, c.nullable);
    mem_free(text);
    return ok;
}

static bool take_header(struct warehouse_table *t, const char *at, struct error *err)
{
    static const char sort[] = "-- sort: ", column[] = "--   ", columns[] = "-- columns:";
    bool in_columns = false;
    for (size_t n; starts_with(at, "--"); at += n + (at[n] == '\n')) {
        n = strcspn(at, "\n");
        if (in_columns && starts_with(at, column)) {
            if (!take_column(t, at, n, err)) return false;
            continue;
        }
        in_columns = starts_with(at, columns);
        if (starts_with(at, sort)) t->sort = mem_textn(at + sizeof sort - 1, n - (sizeof sort - 1));
    }
    if (t->columns.count && t->sort) return true;
    return error_set(err, ERROR_CONFIG, "the header has no columns or no sort");
}

static bool take_model(struct warehouse_tables *tables, const struct asset *a, struct error *err)
{
    const char *name = a->path + strlen(MODELS);
    MEM_GROW(tables->items, tables->count, tables->cap);
    struct warehouse_table *t = &tables->items[tables->count++];
    *t = (struct warehouse_table){.name = mem_textn(name, strcspn(name, "."))};
    t->is_dimension = starts_with(t->name, "dim_");
    if (!take_header(t, a->data, err)) return error_wrap(err, "%s", a->path);
    columns_copy(&t->stored, &t->columns);
    columns_add(&t->stored, "_version", COLUMN_LONG, 0, 0, false);
    columns_add(&t->stored, "_deleted", COLUMN_BYTE, 0, 0, false);
    return true;
}

bool tables_load(struct warehouse_tables *t, struct error *err)
{
    *t = (struct warehouse_tables){0};
    for (int dimensions = 1; dimensions >= 0; dimensions--)
        for (size_t i = 0; i < asset_count; i++) {
            const struct asset *a = &assets[i];
            if (!starts_with(a->path, MODELS)) continue;
            if (starts_with(a->path, MODELS "dim_") != (dimensions == 1)) continue;
            if (!take_model(t, a, err)) {
                tables_free(t);
                return error_wrap(err, "warehouse");
            }
        }
    return true;
}

void tables_free(struct warehouse_tables *t)
{
    for (size_t i = 0; i < t->count; i++) {
        mem_free(t->items[i].name);
        mem_free(t->items[i].sort);
        columns_free(&t->items[i].columns);
        columns_free(&t->items[i].stored);
    }
    mem_free(t->items);
    *t = (struct warehouse_tables){0};
}

int tables_find(const struct warehouse_tables *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->items[i].name, name) == 0) return (int)i;
    return -1;
}

void tables_definition(char out[17])
{
    XXH64_hash_t hash = 0;
    for (size_t i = 0; i < asset_count; i++)
        if (starts_with(assets[i].path, DEFINITION)) hash = XXH64(assets[i].data, assets[i].len, hash);
    snprintf(out, 17, "%016" PRIx64, (uint64_t)hash);
}

/* Whether a statement holds more than comments and blanks. */
static bool says_something(const char *at)
{
    for (;;) {
        at += strspn(at, " \t\r\n");
        if (!starts_with(at, "--")) return *at != '\0';
        at += strcspn(at, "\n");
    }
}

/* A statement ends with a semicolon at the end of a line. */
static bool run_statements(struct target *t, const struct asset *a, struct error *err)
{
    const char *at = a->data;
    while (*at) {
        const char *end = strstr(at, ";\n");
        char *sql = mem_textn(at, end ? (size_t)(end - at) : strlen(at));
        bool ok = !says_something(sql) || t->ops->run(t->self, sql, err);
        mem_free(sql);
        if (!ok) return error_wrap(err, "%s", a->path);
        at = end ? end + 2 : at + strlen(at);
    }
    return true;
}

bool tables_create(struct target *t, struct error *err)
{
    for (size_t i = 0; i < asset_count; i++)
        if (starts_with(assets[i].path, DEFINITION) && !run_statements(t, &assets[i], err))
            return error_wrap(err, "warehouse");
    return true;
}

bool tables_drop(struct target *t, struct error *err)
{
    static const char list[] =
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND (name LIKE '%\\_store' OR name LIKE '%\\_copy')"
        " AND (engine_full LIKE 'ReplacingMergeTree(\\_version, %' OR name = 'millrace_position_store')";
    struct buf names = {0};
    bool ok = t->ops->ask(t->self, list, &names, err);
    char *text = buf_take(&names), *rest = text;
    for (char *name; ok && (name = strsep(&rest, "\n")) && *name;) {
        struct buf sql = {0};
        buf_put_text(&sql, "DROP TABLE IF EXISTS ");
        buf_put_sql_name(&sql, name);
        buf_put_text(&sql, " SYNC");
        ok = t->ops->run(t->self, buf_text(&sql), err);
        buf_free(&sql);
    }
    mem_free(text);
    return ok || error_wrap(err, "warehouse");
}
