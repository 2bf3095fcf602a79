/* A view is `SELECT * FROM deltaLakeLocal('<folder>') SETTINGS optimize_trivial_count_query = 0`: the
 * engine reads the table's current version at each query. The setting belongs to the view because
 * count() from metadata ignores deletion vectors, and users may connect with other settings.
 *
 * A view keeps the columns that it was made with; hence the comparison with the table's own. */
#include "lake/views.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

struct names {
    char **items;
    size_t count, cap;
};

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        mem_free(n->items[i]);
    mem_free(n->items);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The visible entries of a folder, sorted; a missing folder has none. */
static bool list_folder(const char *path, struct names *out, struct error *err)
{
    DIR *dir = opendir(path);
    if (!dir) return errno == ENOENT || errno == ENOTDIR || error_errno(err, "cannot list %s", path);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || e->d_name[0] == '_') continue;
        MEM_GROW(out->items, out->count, out->cap);
        out->items[out->count++] = mem_text(e->d_name);
    }
    closedir(dir);
    if (out->count) qsort(out->items, out->count, sizeof *out->items, compare_names);
    return true;
}

static bool is_table(const char *folder)
{
    char *log = mem_format("%s/_delta_log", folder);
    bool yes = file_exists(log);
    mem_free(log);
    return yes;
}

/* Runs a query with {d:String} and {t:String} bound; the answer is the caller's (mem_free). */
static bool ask(struct engine_conn *conn, const char *sql, const char *layer, const char *table, char **out,
                struct error *err)
{
    const struct engine_param params[] = {{.name = "d", .value = slice_of(layer)},
                                          {.name = "t", .value = slice_of(table)}};
    struct engine_result result = {0};
    if (!engine_query(conn, sql, "TSVRaw", params, layer ? 2 : 0, &result, err)) return false;
    *out = mem_textn(result.data.data, result.data.len);
    engine_result_free(&result);
    return true;
}

/* Is there a view of ours, may one be made, and does it have the table's columns? */
static bool compare(struct engine_conn *conn, const char *layer, const char *table, struct buf *source,
                    bool *foreign, bool *same, struct error *err)
{
    char *made = NULL, *has = NULL, *wants = NULL;
    struct buf describe = {0};
    buf_printf(&describe, "DESCRIBE TABLE %s SETTINGS describe_compact_output = 1", buf_text(source));
    bool ok =
        ask(conn,
            "SELECT engine, as_select FROM system.tables WHERE database = {d:String} AND name = {t:String}",
            layer, table, &made, err) &&
        ask(conn,
            "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String}"
            " ORDER BY position",
            layer, table, &has, err) &&
        ask(conn, buf_text(&describe), NULL, NULL, &wants, err);
    if (ok) {
        *foreign = *made && !strstr(made, "FROM deltaLakeLocal(");
        *same = *made && strstr(made, buf_text(source)) && strcmp(has, wants) == 0;
    }
    mem_free(made);
    mem_free(has);
    mem_free(wants);
    buf_free(&describe);
    return ok;
}

static bool make_view(struct engine_conn *conn, const char *layer, const char *table, const char *folder,
                      struct error *err)
{
    struct buf source = {0}, sql = {0};
    buf_put_text(&source, "deltaLakeLocal(");
    buf_put_sql_text(&source, slice_of(folder));
    buf_put_char(&source, ')');
    bool foreign = false, same = false;
    bool ok = compare(conn, layer, table, &source, &foreign, &same, err);
    if (ok && !foreign && !same) {
        buf_put_text(&sql, "CREATE OR REPLACE VIEW ");
        buf_put_sql_name(&sql, layer);
        buf_put_char(&sql, '.');
        buf_put_sql_name(&sql, table);
        buf_printf(&sql, " AS SELECT * FROM %s SETTINGS optimize_trivial_count_query = 0",
                   buf_text(&source));
        ok = engine_run(conn, buf_text(&sql), err);
    }
    buf_free(&source);
    buf_free(&sql);
    return ok || error_wrap(err, "view %s.%s", layer, table);
}

static bool make_layer(struct engine_conn *conn, const char *lake, const char *layer, struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql, "CREATE DATABASE IF NOT EXISTS ");
    buf_put_sql_name(&sql, layer);
    char *folder = mem_format("%s/%s", lake, layer);
    struct names tables = {0};
    bool ok = engine_run(conn, buf_text(&sql), err) && list_folder(folder, &tables, err);
    struct error one;
    for (size_t i = 0; i < tables.count; i++) {
        char *path = mem_format("%s/%s", folder, tables.items[i]);
        if (is_table(path) && !make_view(conn, layer, tables.items[i], path, ok ? err : &one)) ok = false;
        mem_free(path);
    }
    names_free(&tables);
    mem_free(folder);
    buf_free(&sql);
    return ok;
}

bool lake_views(struct engine_conn *conn, const char *lake, struct error *err)
{
    static const char *const layers[] = {"bronze", "silver", "gold"};
    struct error one;
    bool ok = true;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (!make_layer(conn, lake, layers[i], ok ? err : &one)) ok = false;
    return ok;
}
