#include "stages/source_columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { C_NAME, C_TYPE, C_OID, C_TYPMOD, C_TYPE_NAME, C_KIND, C_ARRAY, C_NOT_NULL, C_LABELS, C_DEFAULT, C_KEY, C_ATTNUM };

/* $1 relation; $2 NULL: all its columns, or a JSON array [{"name","oid","typmod"}] of columns as the stream has them,
 * which the catalogue may have lost meanwhile. Domains by their base types; of arrays the element's. */
static const char columns_sql[] =
    "WITH RECURSIVE given(attnum, oid, typmod, name) AS ("
    " SELECT attnum::int, atttypid, atttypmod, attname::text FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0"
    "   AND NOT attisdropped AND $2::json IS NULL"
    " UNION ALL SELECT n::int, oid, typmod, name FROM ROWS FROM (json_to_recordset($2::json)"
    "   AS (name text, oid oid, typmod int4)) WITH ORDINALITY AS g(name, oid, typmod, n)),"
    " base(attnum, oid, typmod, name) AS (SELECT * FROM given"
    " UNION ALL SELECT b.attnum, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.typmod END, b.name"
    "   FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')"
    " SELECT b.name, format_type(b.oid, b.typmod), b.oid, b.typmod, coalesce(ee.typname, e.typname, t.typname),"
    "   coalesce(ee.typtype, e.typtype, t.typtype), t.typcategory = 'A' AND t.typelem <> 0,"
    "   coalesce(a.attnotnull, false),"
    "   (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum"
    "     WHERE enumtypid = coalesce(ee.oid, e.oid, t.oid)),"
    "   CASE WHEN a.attgenerated = '' AND NOT a.attisdropped THEN pg_get_expr(d.adbin, d.adrelid) END,"
    "   coalesce((SELECT k.n FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)"
    "     WHERE i.indrelid = $1::oid AND i.indisprimary AND k.attnum = a.attnum AND k.n <= i.indnkeyatts), 0),"
    "   coalesce(a.attnum, 0)"
    " FROM base b JOIN pg_type t ON t.oid = b.oid LEFT JOIN pg_attribute a ON a.attrelid = $1::oid AND a.attname = b.name"
    "   AND a.attnum > 0 AND NOT a.attisdropped"
    " LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'"
    " LEFT JOIN pg_type ee ON ee.oid = e.typbasetype AND e.typtype = 'd'"
    " LEFT JOIN pg_attrdef d ON d.adrelid = $1::oid AND d.adnum = a.attnum"
    " WHERE t.typtype <> 'd' ORDER BY b.attnum";

/* ---- defaults */

static bool is_number(const char *text)
{
    char *end;
    if (!*text || strchr(" \tnNiI", *text)) return false;
    strtod(text, &end);
    return *end == '\0';
}

/* '...' or '...'::type: the text between the quotes; NULL when it is anything else. */
static char *quoted_literal(const char *text)
{
    struct buf out = {0};
    const char *at = text + 1;
    for (; *at; at++) {
        if (*at == '\'' && at[1] != '\'') break;
        if (*at == '\'') at++;
        buf_put_char(&out, *at);
    }
    bool ok = *at == '\'' && (at[1] == '\0' || (at[1] == ':' && !strchr(at, '(')) ||
                              (at[1] == ':' && strstr(at, "::character")) || (at[1] == ':' && strstr(at, "::numeric")) ||
                              (at[1] == ':' && strstr(at, "::time")) || (at[1] == ':' && strstr(at, "::bit")));
    if (!ok) {
        buf_free(&out);
        return NULL;
    }
    return out.len ? buf_take(&out) : mem_text("");
}

/* pg_get_expr's text of a default as the text of its value, when it is a literal. */
static char *literal(const char *expression)
{
    if (expression[0] == '\'') return quoted_literal(expression);
    if (is_number(expression)) return mem_text(expression);
    if (strcmp(expression, "true") == 0) return mem_text("t");
    if (strcmp(expression, "false") == 0) return mem_text("f");
    size_t n = strlen(expression);
    char *bare = NULL;
    if (n > 2 && expression[0] == '(') { /* (-1), ('-1'::integer)::... is not taken */
        char *inner = mem_textn(expression + 1, strcspn(expression, ")") - 1);
        const char *rest = expression + strcspn(expression, ")") + 1;
        if (is_number(inner) && (*rest == '\0' || strncmp(rest, "::", 2) == 0)) bare = mem_text(inner);
        mem_free(inner);
    }
    return bare;
}

/* ---- reading */

void source_columns_free(struct source_columns *c)
{
    for (size_t i = 0; i < c->count; i++) {
        mem_free(c->items[i].name);
        mem_free(c->items[i].type);
        mem_free(c->items[i].type_name);
        mem_free(c->items[i].labels);
        mem_free(c->items[i].fallback);
    }
    mem_free(c->items);
    *c = (struct source_columns){0};
}

static void take_row(const struct pg_rows *rows, int i, struct debezium_column *out)
{
    const char *expression = pg_text(rows, i, C_DEFAULT), *kind = pg_text(rows, i, C_KIND);
    *out = (struct debezium_column){
        .name = mem_text(pg_text(rows, i, C_NAME)),
        .type = mem_text(pg_text(rows, i, C_TYPE)),
        .type_name = mem_text(pg_text(rows, i, C_TYPE_NAME)),
        .type_kind = kind ? kind[0] : 'b',
        .array = pg_bool(rows, i, C_ARRAY),
        .oid = (uint32_t)pg_int(rows, i, C_OID),
        .typmod = (int32_t)pg_int(rows, i, C_TYPMOD),
        .key = (int)pg_int(rows, i, C_KEY),
        .not_null = pg_bool(rows, i, C_NOT_NULL),
        .labels = mem_text(pg_text(rows, i, C_LABELS)),
        .attnum = (int)pg_int(rows, i, C_ATTNUM),
        .fallback = expression ? literal(expression) : NULL,
    };
    out->computed = expression && !out->fallback && strncmp(expression, "NULL", 4) != 0;
}

static bool read_all(struct pg *pg, uint32_t oid, const char *names, struct pg_rows *rows, struct error *err)
{
    char relation[16];
    snprintf(relation, sizeof relation, "%" PRIu32, oid);
    const char *const params[] = {relation, names};
    return pg_query(pg, rows, columns_sql, params, 2, err);
}

static void put_columns(const struct schema *schema, struct buf *json)
{
    for (size_t i = 0; i < schema->count; i++) {
        buf_put_text(json, i ? ",{\"name\":" : "[{\"name\":");
        buf_put_json(json, slice_of(schema->columns[i].name));
        buf_printf(json, ",\"oid\":%" PRIu32 ",\"typmod\":%" PRId32 "}", schema->columns[i].oid, schema->columns[i].typmod);
    }
    buf_put_text(json, schema->count ? "]" : "[]");
}

/* What the stream told wins. */
static void take_column(const struct pg_rows *rows, int i, const struct schema_column *c, struct debezium_column *out)
{
    take_row(rows, i, out);
    mem_free(out->type);
    mem_free(out->name);
    out->name = mem_text(c->name);
    out->type = mem_text(c->type);
    out->oid = c->oid;
    out->typmod = c->typmod;
    out->key = c->key;
    out->not_null = c->not_null;
}

bool source_columns_complete(struct pg *pg, uint32_t oid, const struct schema *schema, struct source_columns *out,
                             struct error *err)
{
    struct pg_rows rows;
    *out = (struct source_columns){0};
    struct buf columns = {0};
    put_columns(schema, &columns);
    bool ok = read_all(pg, oid, buf_text(&columns), &rows, err);
    buf_free(&columns);
    if (!ok) return error_wrap(err, "columns of %s", schema->table);
    if ((size_t)rows.count != schema->count) {
        pg_rows_free(&rows);
        return error_set(err, ERROR_RETRY, "the catalogue lost a type of table %s meanwhile", schema->table);
    }
    out->items = mem_alloc((schema->count + 1) * sizeof *out->items);
    out->count = schema->count;
    for (size_t i = 0; i < schema->count; i++) take_column(&rows, (int)i, &schema->columns[i], &out->items[i]);
    pg_rows_free(&rows);
    return true;
}

bool source_columns_read(struct pg *pg, const char *table, struct source_columns *out, struct error *err)
{
    const char *dot = strchr(table, '.');
    char *schema = mem_textn(table, dot ? (size_t)(dot - table) : 0);
    const char *const params[] = {schema, dot ? dot + 1 : table};
    struct pg_rows found, rows;
    *out = (struct source_columns){0};
    bool ok = pg_query(pg, &found,
                       "SELECT c.oid, c.relreplident FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                       " WHERE n.nspname = $1 AND c.relname = $2",
                       params, 2, err);
    mem_free(schema);
    if (!ok) return error_wrap(err, "columns of %s", table);
    ok = found.count == 1 || error_set(err, ERROR_CONFIG, "the source has no table %s: is `source` the connector's database?", table);
    if (ok) ok = read_all(pg, (uint32_t)pg_int(&found, 0, 0), NULL, &rows, err);
    if (ok) {
        out->replica_identity = pg_text(&found, 0, 1)[0];
        out->items = mem_alloc(((size_t)rows.count + 1) * sizeof *out->items);
        out->count = (size_t)rows.count;
        for (int i = 0; i < rows.count; i++) take_row(&rows, i, &out->items[i]);
        pg_rows_free(&rows);
    }
    pg_rows_free(&found);
    return ok;
}
