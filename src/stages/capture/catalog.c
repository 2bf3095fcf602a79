/* What PostgreSQL's catalogues know of the published tables: which there are, their columns, keys and
 * defaults for old rows. Read over a plain connection; what the stream says (a relation message) has
 * precedence, the catalogue completes it and may be ahead of it.
 *
 * Key of a table: with REPLICA IDENTITY USING INDEX that index, since deletes carry nothing else; else
 * the primary key; else the first unique index over columns that are not null; else none. */
#include "base/log.h"
#include "stages/capture/capture_int.h"

#include <inttypes.h>
#include <stdio.h>

void published_item_free(struct published *p)
{
    mem_free(p->table);
    mem_free(p->columns);
    mem_free(p->filter);
    mem_free(p->filenode);
    mem_free(p->shape);
    *p = (struct published){0};
}

void published_free(struct published_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        published_item_free(&list->items[i]);
    mem_free(list->items);
    *list = (struct published_list){0};
}

const struct published *published_find(const struct published_list *list, const char *table)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].table, table) == 0) return &list->items[i];
    return NULL;
}

bool catalog_position(struct pg *pg, uint64_t *lsn, struct error *err)
{
    struct pg_rows rows;
    if (!pg_query(pg, &rows,
                  "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                  " ELSE pg_current_wal_flush_lsn() END",
                  NULL, 0, err))
        return false;
    bool ok = rows.count == 1 && pg_text(&rows, 0, 0) && lsn_parse(pg_text(&rows, 0, 0), lsn);
    pg_rows_free(&rows);
    return ok || error_set(err, ERROR_RETRY, "PostgreSQL does not tell where its WAL stands");
}

bool catalog_publication_exists(struct pg *pg, const struct config *config, bool *exists, struct error *err)
{
    const char *const params[] = {config->publication};
    struct pg_rows rows;
    if (!pg_query(pg, &rows, "SELECT 1 FROM pg_publication WHERE pubname = $1", params, 1, err))
        return false;
    *exists = rows.count > 0;
    pg_rows_free(&rows);
    return true;
}

/* A key that can order updates and deletes of the stream. */
#define KEY_INDEX(relation)                                                                                \
    "SELECT i.indexrelid, i.indkey, i.indnkeyatts, i.indisprimary, i.indisreplident FROM pg_index i"       \
    " WHERE i.indrelid = " relation " AND i.indisunique AND i.indisvalid AND i.indimmediate"               \
    " AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT 1 FROM pg_attribute k"           \
    " WHERE k.attrelid = i.indrelid AND NOT k.attnotnull AND k.attnum = ANY "                              \
    "((i.indkey::int2[])[0:i.indnkeyatts - 1]))"

static bool read_published(struct published *p, const struct pg_rows *r, int row)
{
    *p = (struct published){
        .table = mem_text(pg_text(r, row, 0)),
        .oid = (uint32_t)pg_int(r, row, 1),
        .kind = pg_text(r, row, 2)[0],
        .replica_identity = pg_text(r, row, 3)[0],
        .has_key = pg_bool(r, row, 4),
        .readable = pg_bool(r, row, 5),
        .pages = pg_int(r, row, 6),
        .rows_estimate = (double)pg_int(r, row, 7),
        .columns = mem_text(pg_text(r, row, 8)),
        .filter = mem_text(pg_text(r, row, 9)),
        .filenode = mem_text(pg_text(r, row, 10)),
        .shape = mem_text(pg_text(r, row, 11)),
    };
    return true;
}

static bool query_published(struct pg *pg, const struct config *config, struct pg_rows *rows,
                            struct error *err)
{
    struct buf sql = {0};
    buf_put_text(&sql,
                 "SELECT n.nspname || '.' || c.relname, c.oid, c.relkind, c.relreplident,"
                 " EXISTS (" KEY_INDEX("c.oid") "), has_table_privilege(c.oid, 'SELECT'),"
                                                " CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) / "
                                                "current_setting('block_size')::int"
                                                " ELSE 0 END, greatest(c.reltuples, 0)::int8, ");
    buf_put_text(&sql, pg_server_version(pg) >= 150000 ? "to_json(p.attnames), p.rowfilter" : "NULL, NULL");
    buf_put_text(&sql,
                 ", coalesce(pg_relation_filenode(c.oid), 0), (SELECT md5(string_agg(a.attnum || ' ' ||"
                 " a.atttypid || ' ' || a.atttypmod, ',' ORDER BY a.attnum)) FROM pg_attribute a"
                 " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)");
    buf_put_text(&sql, " FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname"
                       " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
                       " WHERE p.pubname = $1 ORDER BY 1");
    const char *const params[] = {config->publication};
    bool ok = pg_query(pg, rows, buf_text(&sql), params, 1, err);
    buf_free(&sql);
    return ok;
}

bool catalog_published(struct pg *pg, const struct config *config, struct published_list *out,
                       struct error *err)
{
    *out = (struct published_list){0};
    struct pg_rows rows;
    if (!query_published(pg, config, &rows, err)) return false;
    bool all = !config->tables || !config->tables[0];
    for (int i = 0; i < rows.count; i++) {
        if (!all && !list_holds(config->tables, pg_text(&rows, i, 0))) continue;
        MEM_GROW(out->items, out->count, out->cap);
        read_published(&out->items[out->count++], &rows, i);
    }
    pg_rows_free(&rows);
    return true;
}

/* The settings' tables, or all ordinary tables whose changes can be published with a key. */
static bool tables_to_publish(struct pg *pg, const struct config *config, struct buf *sql, size_t *count,
                              struct error *err)
{
    *count = 0;
    const char *list = config->tables;
    char *table;
    while ((table = list_next(&list))) {
        buf_put_text(sql, (*count)++ ? ", " : "");
        pg_put_table(sql, table);
        mem_free(table);
    }
    if (*count) return true;
    struct pg_rows rows;
    if (!pg_query(
            pg, &rows,
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = "
            "c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
            " AND (c.relreplident IN ('f', 'i') OR c.relreplident = 'd' AND EXISTS (SELECT 1 FROM pg_index "
            "i"
            " WHERE i.indrelid = c.oid AND i.indisprimary)) ORDER BY 1",
            NULL, 0, err))
        return false;
    for (int i = 0; i < rows.count; i++) {
        buf_put_text(sql, (*count)++ ? ", " : "");
        pg_put_table(sql, pg_text(&rows, i, 0));
    }
    pg_rows_free(&rows);
    return true;
}

/* Without a choice by the user a table whose updates PostgreSQL would then refuse is not published. */
static bool tell_left_out(struct pg *pg, const struct config *config, struct error *err)
{
    struct pg_rows rows;
    if (*config->tables) return true;
    if (!pg_query(pg, &rows,
                  "SELECT string_agg(n.nspname || '.' || c.relname, ', ' ORDER BY 1) FROM pg_class c"
                  " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
                  " AND c.relpersistence = 'p' AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog',"
                  " 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (SELECT 1 FROM"
                  " pg_publication_tables p WHERE p.pubname = $1 AND p.schemaname = n.nspname"
                  " AND p.tablename = c.relname)",
                  (const char *const[]){config->publication}, 1, err))
        return false;
    const char *names = rows.count ? pg_text(&rows, 0, 0) : NULL;
    if (names)
        log_warn("capture", "tables without key are not published",
                 "tables=%.300s: add a primary key or run ALTER TABLE ... REPLICA IDENTITY FULL, then "
                 "ALTER PUBLICATION \"%s\" ADD TABLE ...",
                 names, config->publication);
    pg_rows_free(&rows);
    return true;
}

static bool create_publication(struct pg *pg, const struct config *config, struct error *err)
{
    struct buf sql = {0};
    size_t count;
    buf_put_text(&sql, "CREATE PUBLICATION ");
    pg_put_name(&sql, slice_of(config->publication));
    buf_put_text(&sql, " FOR TABLE ");
    bool ok = tables_to_publish(pg, config, &sql, &count, err);
    buf_put_text(&sql, " WITH (publish_via_partition_root = true)");
    if (ok && count == 0)
        ok = error_set(err, ERROR_CONFIG,
                       "the source has no table with a primary key to publish; set `tables`");
    if (ok && !pg_run(pg, buf_text(&sql), err)) {
        ok = false;
        if (err->kind == ERROR_CONFIG)
            error_wrap(err, "cannot make the publication; an owner of the tables must run: %.400s;",
                       buf_text(&sql));
    }
    if (ok) log_info("capture", "publication made", "name=%s tables=%zu", config->publication, count);
    buf_free(&sql);
    return ok && tell_left_out(pg, config, err);
}

/* All tables of the settings must be in it, and all kinds of change. */
static bool check_publication(struct pg *pg, const struct config *config,
                              const struct published_list *tables, struct error *err)
{
    const char *const params[] = {config->publication};
    struct pg_rows rows;
    if (!pg_query(pg, &rows,
                  "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication WHERE "
                  "pubname = $1",
                  params, 1, err))
        return false;
    bool all = rows.count && pg_bool(&rows, 0, 0);
    pg_rows_free(&rows);
    if (!all)
        return error_set(err, ERROR_CONFIG,
                         "publication %s leaves out changes; run: ALTER PUBLICATION \"%s\" SET (publish = "
                         "'insert, update, delete, truncate')",
                         config->publication, config->publication);
    const char *list = config->tables;
    char *table;
    bool ok = true;
    while (ok && (table = list_next(&list))) {
        if (!published_find(tables, table)) {
            struct buf name = {0};
            pg_put_table(&name, table);
            ok = error_set(
                err, ERROR_CONFIG,
                "table %s is in `tables` but not in publication %s; run: ALTER PUBLICATION \"%s\" ADD "
                "TABLE %s",
                table, config->publication, config->publication, buf_text(&name));
            buf_free(&name);
        }
        mem_free(table);
    }
    return ok;
}

static bool check_tables(const struct published_list *tables, const char *publication, struct error *err)
{
    if (tables->count == 0)
        return error_set(err, ERROR_CONFIG, "publication %s holds none of the wanted tables", publication);
    for (size_t i = 0; i < tables->count; i++) {
        const struct published *p = &tables->items[i];
        struct buf name = {0};
        pg_put_table(&name, p->table);
        bool ok = p->readable ||
                  error_set(err, ERROR_CONFIG,
                            "the role of `source` may not read %s; run: GRANT SELECT ON %s TO <role>",
                            p->table, buf_text(&name));
        if (ok && p->replica_identity == 'n')
            log_warn("capture", "table without replica identity",
                     "table=%s: PostgreSQL refuses its updates and deletes;"
                     " run: ALTER TABLE %s REPLICA IDENTITY FULL",
                     p->table, buf_text(&name));
        else if (ok && !p->has_key)
            log_warn("capture", "table without key", "table=%s: it gets a history only%s", p->table,
                     p->replica_identity == 'f'
                         ? ""
                         : "; PostgreSQL refuses its updates and deletes unless it has"
                           " REPLICA IDENTITY FULL");
        buf_free(&name);
        if (!ok) return false;
    }
    return true;
}

bool catalog_ensure_publication(struct pg *pg, const struct config *config, struct published_list *out,
                                struct error *err)
{
    bool exists;
    *out = (struct published_list){0};
    if (!catalog_publication_exists(pg, config, &exists, err)) return false;
    if (!exists && !create_publication(pg, config, err)) return false;
    if (!catalog_published(pg, config, out, err)) return false;
    if (check_publication(pg, config, out, err) && check_tables(out, config->publication, err)) return true;
    published_free(out);
    return false;
}

/* Completes columns given as JSON [{"name","oid","typmod"}] ($2) of relation $1: domains by their base
 * types, the place in the table, and what rows older than the column hold. */
static const char describe_sql[] =
    "WITH RECURSIVE given AS (SELECT * FROM ROWS FROM (json_to_recordset($2::json)"
    " AS (name text, oid oid, typmod int4)) WITH ORDINALITY AS g(name, oid, typmod, n)),"
    " base(n, oid, typmod) AS (SELECT n, oid, typmod FROM given UNION ALL SELECT b.n, t.typbasetype, "
    "t.typtypmod"
    " FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')"
    " SELECT g.name, format_type(b.oid, b.typmod), b.oid, b.typmod, coalesce(a.attnum, 0), "
    "coalesce(a.attnotnull, false),"
    " CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END"
    " FROM given g JOIN base b ON b.n = g.n LEFT JOIN pg_type t ON t.oid = b.oid"
    " LEFT JOIN pg_attribute a ON a.attrelid = $1::oid AND a.attname = g.name AND a.attnum > 0 AND NOT "
    "a.attisdropped"
    " WHERE t.typtype IS DISTINCT FROM 'd' ORDER BY g.n";

static const char key_sql[] = "SELECT a.attname FROM (" KEY_INDEX(
    "$1::oid") " ORDER BY CASE WHEN $2 = 'i' THEN i.indisreplident ELSE i.indisprimary END DESC, "
               "i.indisprimary DESC, i.indexrelid"
               " LIMIT 1) x, unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, n) JOIN pg_attribute a"
               " ON a.attrelid = $1::oid AND a.attnum = k.attnum WHERE k.n <= x.indnkeyatts ORDER BY k.n";

/* Key places by the catalogue's index; false when it names a column that the table (as the stream has
 * it) does not have: then the catalogue is ahead. */
static bool set_key(struct schema *s, const struct pg_rows *key)
{
    for (int i = 0; i < key->count; i++) {
        const struct schema_column *c = schema_find(s, pg_slice(key, i, 0));
        if (c)
            s->columns[c - s->columns].key = i + 1;
        else
            return false;
    }
    return true;
}

static bool read_key(struct pg *pg, const char *oid, struct capture_table *t, struct error *err)
{
    struct schema *s = &t->schema;
    char identity[2] = {s->replica_identity, '\0'};
    const char *const params[] = {oid, identity};
    struct pg_rows rows;
    if (!pg_query(pg, &rows, key_sql, params, 2, err)) return false;
    if (!set_key(s, &rows)) {
        int place = 0;
        for (size_t i = 0; i < s->count; i++) {
            bool part = t->columns[i].identity && s->replica_identity != 'f';
            s->columns[i].key = part ? ++place : 0;
        }
    }
    pg_rows_free(&rows);
    return true;
}

/* Fills t->schema's columns; t->columns holds the identity flags meanwhile. */
static bool describe(struct pg *pg, struct capture_table *t, const char *columns_json, struct error *err)
{
    char oid[16];
    snprintf(oid, sizeof oid, "%" PRIu32, t->oid);
    const char *const params[] = {oid, columns_json};
    struct pg_rows rows;
    if (!pg_query(pg, &rows, describe_sql, params, 2, err)) return false;
    struct schema *s = &t->schema;
    s->columns = mem_alloc(((size_t)rows.count + 1) * sizeof *s->columns);
    s->count = (size_t)rows.count;
    for (int i = 0; i < rows.count; i++)
        s->columns[i] = (struct schema_column){
            .name = mem_text(pg_text(&rows, i, 0)),
            .type = mem_text(pg_text(&rows, i, 1)),
            .oid = (uint32_t)pg_int(&rows, i, 2),
            .typmod = (int32_t)pg_int(&rows, i, 3),
            .attnum = (int)pg_int(&rows, i, 4),
            .not_null = pg_bool(&rows, i, 5),
            .missing = mem_text(pg_text(&rows, i, 6)),
        };
    pg_rows_free(&rows);
    return read_key(pg, oid, t, err);
}

/* Describes and prepares; the flags array becomes the columns' identity marks. */
static bool finish_table(struct pg *pg, struct capture_table *t, const char *columns_json, bool *identity,
                         size_t count, struct error *err)
{
    t->columns = mem_alloc((count + 1) * sizeof *t->columns);
    for (size_t i = 0; i < count; i++)
        t->columns[i].identity = identity[i];
    bool ok = describe(pg, t, columns_json, err);
    mem_free(t->columns);
    t->columns = NULL;
    if (ok && t->schema.count != count)
        ok =
            error_set(err, ERROR_RETRY, "the catalogue lost a type of table %s meanwhile", t->schema.table);
    if (!ok || !table_prepare(t, err)) return false;
    for (size_t i = 0; i < t->schema.count; i++)
        t->columns[i].identity = identity[t->source[i]];
    return true;
}

static void put_column_json(struct buf *json, struct slice name, uint32_t oid, int32_t typmod)
{
    buf_put_text(json, json->len ? ",{\"name\":" : "[{\"name\":");
    buf_put_json(json, name);
    buf_printf(json, ",\"oid\":%" PRIu32 ",\"typmod\":%" PRId32 "}", oid, typmod);
}

bool catalog_relation(struct pg *pg, const struct config *config, const struct pgoutput_message *relation,
                      struct capture_table **out, struct error *err)
{
    struct capture_table *t = mem_alloc(sizeof *t);
    t->config = config;
    t->oid = relation->oid;
    t->schema.replica_identity = relation->replica_identity;
    struct slice space = relation->schema.len ? relation->schema : SLICE("pg_catalog");
    t->schema.table =
        mem_format("%.*s.%.*s", (int)space.len, space.data, (int)relation->name.len, relation->name.data);
    size_t count = relation->column_count;
    bool *identity = mem_alloc((count + 1) * sizeof *identity);
    struct buf json = {0};
    for (size_t i = 0; i < count; i++) {
        const struct pgoutput_column *c = &relation->columns[i];
        put_column_json(&json, c->name, c->oid, c->typmod);
        identity[i] = c->key;
    }
    buf_put_text(&json, json.len ? "]" : "[]");
    bool ok = finish_table(pg, t, buf_text(&json), identity, count, err);
    buf_free(&json);
    mem_free(identity);
    if (!ok) {
        error_wrap(err, "table %s", t->schema.table);
        capture_table_free(t);
        return false;
    }
    *out = t;
    return true;
}

/* The columns that the stream sends: those of the publication's column list, without generated ones
 * unless PostgreSQL 18 publishes them. With `generated` all of them, as Debezium's copies have it. */
static bool read_columns(struct pg *pg, const struct published *p, bool generated, struct pg_rows *rows,
                         struct error *err)
{
    char oid[16];
    snprintf(oid, sizeof oid, "%" PRIu32, p->oid);
    const char *const params[] = {oid, p->columns, generated ? "t" : "f"};
    return pg_query(
        pg, rows,
        pg_server_version(pg) >= 180000
            ? "SELECT attname, atttypid, atttypmod FROM pg_attribute WHERE attrelid = $1::oid AND attnum > "
              "0"
              " AND NOT attisdropped AND ($2::json IS NULL AND ($3::bool OR attgenerated = '') OR attname = ANY"
              " (SELECT json_array_elements_text($2::json))) ORDER BY attnum"
            : "SELECT attname, atttypid, atttypmod FROM pg_attribute WHERE attrelid = $1::oid AND attnum > "
              "0"
              " AND NOT attisdropped AND ($3::bool OR attgenerated = '') AND ($2::json IS NULL OR attname = ANY"
              " (SELECT json_array_elements_text($2::json))) ORDER BY attnum",
        params, 3, err);
}

bool catalog_table(struct pg *pg, const struct config *config, const struct published *p, bool generated,
                   struct capture_table **out, struct error *err)
{
    struct pg_rows rows;
    if (!read_columns(pg, p, generated, &rows, err)) return error_wrap(err, "table %s", p->table);
    struct capture_table *t = mem_alloc(sizeof *t);
    *t = (struct capture_table){.config = config,
                                .oid = p->oid,
                                .kind = p->kind,
                                .pages = p->pages,
                                .rows_estimate = p->rows_estimate,
                                .filter = mem_text(p->filter)};
    t->schema.table = mem_text(p->table);
    t->schema.replica_identity = p->replica_identity;
    struct buf json = {0};
    for (int i = 0; i < rows.count; i++)
        put_column_json(&json, pg_slice(&rows, i, 0), (uint32_t)pg_int(&rows, i, 1),
                        (int32_t)pg_int(&rows, i, 2));
    buf_put_text(&json, json.len ? "]" : "[]");
    bool *identity = mem_alloc(((size_t)rows.count + 1) * sizeof *identity);
    bool ok = finish_table(pg, t, buf_text(&json), identity, (size_t)rows.count, err);
    mem_free(identity);
    buf_free(&json);
    pg_rows_free(&rows);
    if (!ok) {
        error_wrap(err, "table %s", p->table);
        capture_table_free(t);
        return false;
    }
    *out = t;
    return true;
}

bool capture_table_read(struct capture_table **out, struct pg *pg, const struct config *config,
                        const char *table, struct error *err)
{
    struct published_list list;
    if (!catalog_published(pg, config, &list, err)) return false;
    const struct published *p = published_find(&list, table);
    bool ok =
        p ? catalog_table(pg, config, p, false, out, err)
          : error_set(err, ERROR_CONFIG, "table %s is not in publication %s", table, config->publication);
    published_free(&list);
    return ok;
}
