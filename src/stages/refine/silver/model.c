/* A silver model: the file's head and SELECT, or a generated one, and the whole statement that cleans.
 *
 *   WITH raw AS (SELECT seq AS _seq, <members as text>, (<reason>, <other members>) AS _extra FROM input)
 *   SELECT _seq, _error, <each column, checked and typed> FROM (<model's SELECT>) m
 *
 * Models give text for every column; the statement around them turns it into the declared type and names
 * the column, the value and the type when it does not fit. So nothing is cut, rounded or clamped, and a
 * table without a model gets the same care (invariant 7). Source columns that the model does not read
 * travel in _extra and get the types that the schema record gives:
 *
 *   smallint short, integer integer, bigint long, numeric(p,s) with 0<=s<=p<=38 decimal(p,s), real float,
 *   double precision double, boolean boolean, date date, timestamp with or without zone timestamp,
 *   everything else (unbounded numeric, json, arrays, bytea as base64, ...) string.
 *
 * A date outside 1900..2299 (what the engine keeps), a timestamp outside 0001..9999, infinity and NaN do
 * not fit: the row is quarantined. Generated columns are nullable, so that a change of NOT NULL at the
 * source changes nothing here. */
#include "base/assets.h"
#include "stages/refine/silver/silver_int.h"

#include <stdio.h>
#include <strings.h>
#include <xxhash.h>

static const char *const reserved[] = {"_key", "_epoch", "_lsn", "_ordinal", "_commit_at", "_op", "_valid_from"};

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->source_count; i++) mem_free(m->source[i]);
    mem_free(m->source);
    columns_free(&m->columns);
    mem_free(m->select);
    *m = (struct model){0};
}

static struct slice trim(struct slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) s.data++, s.len--;
    while (s.len && strchr(" \t\r,", s.data[s.len - 1])) s.len--;
    return s;
}

static bool take_prefix(struct slice *line, const char *prefix)
{
    size_t n = strlen(prefix);
    if (line->len < n || memcmp(line->data, prefix, n) != 0) return false;
    line->data += n;
    line->len -= n;
    return true;
}

static void add_sources(struct model *m, struct slice list)
{
    while (list.len) {
        size_t n = 0;
        while (n < list.len && list.data[n] != ',') n++;
        struct slice name = trim((struct slice){list.data, n});
        if (name.len) {
            m->source = mem_resize(m->source, m->source_count + 1, sizeof *m->source);
            m->source[m->source_count++] = mem_textn(name.data, name.len);
        }
        if (n < list.len) n++;
        list.data += n;
        list.len -= n;
    }
}

static bool add_column(struct model *m, struct slice line, struct error *err)
{
    size_t n = 0;
    while (n < line.len && line.data[n] != ' ') n++;
    char *name = mem_textn(line.data, n);
    struct slice rest = trim((struct slice){line.data + n, line.len - n});
    char *type = mem_textn(rest.data, rest.len);
    struct column c = {0};
    bool ok = column_type_parse(type, &c, err) || error_wrap(err, "column %s", name);
    if (ok) columns_add(&m->columns, name, c.type, c.precision, c.scale, c.nullable);
    mem_free(name);
    mem_free(type);
    return ok;
}

enum section { SECTION_TEXT, SECTION_SOURCE, SECTION_COLUMNS };

static bool parse_head(struct model *m, const char *name, struct slice line, enum section *in,
                       struct error *err)
{
    bool indented = take_prefix(&line, "  ");
    struct slice text = trim(line);
    if (indented && *in == SECTION_COLUMNS) return add_column(m, text, err);
    if (indented && *in == SECTION_SOURCE) {
        add_sources(m, text);
        return true;
    }
    *in = SECTION_TEXT;
    if (take_prefix(&text, "source:")) {
        *in = SECTION_SOURCE;
        add_sources(m, text);
    } else if (take_prefix(&text, "columns:")) {
        *in = SECTION_COLUMNS;
    } else if (take_prefix(&text, "model:") && !slice_equal(trim(text), slice_of(name))) {
        return error_set(err, ERROR_CONFIG, "it declares the model %.*s", (int)text.len, text.data);
    }
    return true;
}

bool model_parse(const char *name, struct slice text, struct model *out, struct error *err)
{
    *out = (struct model){.hash = XXH3_64bits(text.data, text.len) | 1};
    struct buf select = {0};
    enum section in = SECTION_TEXT;
    bool ok = true;
    while (ok && text.len) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t n = end ? (size_t)(end - text.data) : text.len;
        struct slice line = {text.data, n};
        if (take_prefix(&line, "--")) {
            (void)take_prefix(&line, " ");
            ok = parse_head(out, name, line, &in, err);
        } else {
            buf_put(&select, text.data, n);
            buf_put_char(&select, '\n');
        }
        n += end ? 1 : 0;
        text.data += n;
        text.len -= n;
    }
    out->select = buf_take(&select);
    if (ok && (out->columns.count == 0 || out->source_count == 0))
        ok = error_set(err, ERROR_CONFIG, "it declares no columns or no source");
    if (ok) return true;
    model_free(out);
    return error_wrap(err, "sql/silver/%s.sql", name);
}

bool model_load(const char *table, struct model *out, struct error *err)
{
    char *path = mem_format("sql/silver/%s.sql", table);
    const struct asset *asset = asset_find(path);
    mem_free(path);
    if (asset) return model_parse(table, (struct slice){asset->data, asset->len}, out, err);
    *out = (struct model){.select = mem_text("SELECT r._seq AS _seq, r._extra AS _extra,"
                                             " NULL AS _error FROM raw r")};
    return true;
}

/* ---- columns */

static bool reads(const struct model *m, const char *name)
{
    for (size_t i = 0; i < m->source_count; i++)
        if (strcmp(m->source[i], name) == 0) return true;
    return false;
}

static bool name_taken(const struct columns *c, const char *name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcasecmp(reserved[i], name) == 0) return true;
    for (size_t i = 0; i < c->count; i++)
        if (strcasecmp(c->items[i].name, name) == 0) return true;
    return false;
}

/* Delta forbids some characters, and names that differ in case alone. */
static char *free_name(const struct columns *c, const char *wanted)
{
    char *name = mem_text(*wanted ? wanted : "_");
    for (char *at = name; *at; at++)
        if (strchr(" ,;{}()\n\t=", *at)) *at = '_';
    while (name_taken(c, name)) {
        char *longer = mem_format("%s_", name);
        mem_free(name);
        name = longer;
    }
    return name;
}

static struct column type_of(const struct schema_column *c)
{
    static const struct {
        const char *name;
        enum column_type type;
    } types[] = {
        {"smallint", COLUMN_SHORT},    {"integer", COLUMN_INTEGER}, {"bigint", COLUMN_LONG},
        {"real", COLUMN_FLOAT},        {"boolean", COLUMN_BOOLEAN}, {"double precision", COLUMN_DOUBLE},
        {"date", COLUMN_DATE},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(c->type, types[i].name) == 0) return (struct column){.type = types[i].type};
    size_t n = strlen(c->type);
    if (strncmp(c->type, "timestamp", 9) == 0 && c->type[n - 1] != ']')
        return (struct column){.type = COLUMN_TIMESTAMP};
    int precision = 0, scale = 0;
    if (c->type[n ? n - 1 : 0] == ')' && sscanf(c->type, "numeric(%d,%d)", &precision, &scale) >= 1 &&
        scale >= 0 && precision >= scale && precision <= 38)
        return (struct column){.type = COLUMN_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    return (struct column){.type = COLUMN_STRING};
}

void model_columns(const struct model *m, const struct schema *schema, struct columns *out)
{
    columns_copy(out, &m->columns);
    for (size_t i = 0; i < schema->count; i++) {
        const struct schema_column *c = &schema->columns[i];
        if (reads(m, c->name)) continue;
        struct column type = type_of(c);
        char *name = free_name(out, c->name);
        columns_add(out, name, type.type, type.precision, type.scale, true);
        mem_free(name);
    }
}

/* ---- SQL */

/* The member of an image of `from` that holds what `to` calls `name`: a renamed column keeps its number.
 * NULL when it has none; *missing is then what such rows have. */
static const char *member_of(const struct schema *from, const struct schema *to, const char *name,
                             const char **missing)
{
    *missing = NULL;
    const struct schema_column *c = schema_find(to, slice_of(name));
    if (!c) return NULL;
    for (size_t i = 0; i < from->count; i++) {
        const struct schema_column *f = &from->columns[i];
        bool same = c->attnum > 0 && f->attnum > 0 ? f->attnum == c->attnum : strcmp(f->name, name) == 0;
        if (same) return f->name;
    }
    *missing = c->missing;
    return NULL;
}

struct extraction {
    struct buf tuple;  /* the members' types */
    struct buf nulls;  /* "isNull(t.1) AND ..." */
    size_t count;
};

/* The expression for one member, which joins the tuple if the image has it. */
static void put_member(struct extraction *x, const struct schema *from, const struct schema *to,
                       const char *name, struct buf *sql)
{
    const char *missing;
    const char *member = member_of(from, to, name, &missing);
    if (member) {
        buf_put_text(&x->tuple, x->count ? ", " : "");
        buf_put_sql_name(&x->tuple, member);
        buf_put_text(&x->tuple, " Nullable(String)");
        x->count++;
        buf_printf(&x->nulls, "%sisNull(t.%zu)", x->count > 1 ? " AND " : "", x->count);
        buf_printf(sql, "t.%zu", x->count);
    } else if (missing) {
        buf_put_text(sql, "CAST(");
        buf_put_sql_text(sql, slice_of(missing));
        buf_put_text(sql, ", 'Nullable(String)')");
    } else {
        buf_put_text(sql, "CAST(NULL, 'Nullable(String)')");
    }
}

static void put_raw(const struct model *m, const struct schema *from, const struct schema *to,
                    const char *input, struct buf *sql)
{
    struct extraction x = {0};
    struct buf members = {0}, extra = {0};
    for (size_t i = 0; i < m->source_count; i++) {
        put_member(&x, from, to, m->source[i], &members);
        buf_put_text(&members, " AS ");
        buf_put_sql_name(&members, m->source[i]);
        buf_put_text(&members, ", ");
    }
    for (size_t i = 0; i < to->count; i++) {
        if (reads(m, to->columns[i].name)) continue;
        buf_put_text(&extra, ", ");
        put_member(&x, from, to, to->columns[i].name, &extra);
    }
    buf_put_text(sql, "WITH raw AS (SELECT seq AS _seq, ");
    buf_put_slice(sql, buf_slice(&members));
    /* one member that does not parse (a number too large) makes all of them NULL: say so */
    buf_printf(sql, "tuple(if(%s, if(isValidJSON(after), NULL, 'the image is not valid JSON'), NULL)",
               x.count ? buf_text(&x.nulls) : "1");
    buf_put_slice(sql, buf_slice(&extra));
    buf_put_text(sql, ") AS _extra FROM (SELECT seq, after");
    if (x.count) {
        struct buf type = {0};
        buf_printf(&type, "Tuple(%s)", buf_text(&x.tuple));
        buf_put_text(sql, ", JSONExtract(after, ");
        buf_put_sql_text(sql, buf_slice(&type));
        buf_put_text(sql, ") AS t");
        buf_free(&type);
    }
    buf_printf(sql, " FROM %s)) ", input);
    buf_free(&x.tuple);
    buf_free(&x.nulls);
    buf_free(&members);
    buf_free(&extra);
}

static void put_typed(const struct column *c, const char *text, struct buf *sql)
{
    struct buf wanted = {0};
    struct column value = *c;
    value.nullable = false;
    column_type_clickhouse(&value, &wanted);
    switch (c->type) {
    case COLUMN_STRING: buf_put_text(sql, text); break;
    case COLUMN_LONG: buf_printf(sql, "parse_long(%s)", text); break;
    case COLUMN_INTEGER:
    case COLUMN_SHORT:
    case COLUMN_BYTE: buf_printf(sql, "accurateCastOrNull(parse_long(%s), '%s')", text, buf_text(&wanted)); break;
    case COLUMN_BOOLEAN: buf_printf(sql, "parse_boolean(%s)", text); break;
    case COLUMN_DOUBLE: buf_printf(sql, "parse_double(%s)", text); break;
    case COLUMN_FLOAT:
        buf_printf(sql, "if(isFinite(toFloat32OrNull(%s)), toFloat32OrNull(%s), NULL)", text, text);
        break;
    case COLUMN_DATE: buf_printf(sql, "parse_date(%s)", text); break;
    case COLUMN_TIMESTAMP: buf_printf(sql, "parse_timestamp(%s)", text); break;
    case COLUMN_DECIMAL:
        buf_printf(sql, "if(decimal_fits(%s, %d, %d), toDecimal%dOrNull(%s, %d), NULL)", text, c->precision,
                   c->scale, c->precision <= 9 ? 32 : c->precision <= 18 ? 64 : 128, text, c->scale);
        break;
    }
    buf_free(&wanted);
}

static void put_check(const struct column *c, const char *text, struct buf *sql)
{
    struct buf type = {0}, literal = {0};
    if (!c->nullable) {
        buf_printf(&type, "%s is missing", c->name);
        buf_put_sql_text(&literal, buf_slice(&type));
        buf_printf(sql, ", isNull(%s), %s", text, buf_text(&literal));
    }
    if (c->type != COLUMN_STRING) {
        buf_clear(&type);
        buf_clear(&literal);
        buf_put_text(&type, "' does not fit ");
        column_type_delta(c, &type);
        buf_put_sql_text(&literal, buf_slice(&type));
        buf_printf(sql, ", isNotNull(%s) AND isNull(", text);
        put_typed(c, text, sql);
        buf_put_text(sql, "), concat(");
        buf_clear(&type);
        buf_printf(&type, "%s '", c->name);
        buf_put_sql_text(sql, buf_slice(&type));
        buf_printf(sql, ", substringUTF8(%s, 1, 100), %s)", text, buf_text(&literal));
    }
    buf_free(&type);
    buf_free(&literal);
}

/* Where the model's answer holds column i. */
static void put_reference(const struct model *m, size_t i, const struct columns *columns, struct buf *out)
{
    buf_clear(out);
    if (i < m->columns.count) {
        buf_put_text(out, "m.");
        buf_put_sql_name(out, columns->items[i].name);
    } else {
        buf_printf(out, "tupleElement(m._extra, %zu)", i - m->columns.count + 2);
    }
}

void model_put_sql(const struct model *m, const struct schema *from, const struct schema *to,
                   const char *input, struct buf *sql)
{
    struct columns columns = {0};
    struct buf text = {0};
    model_columns(m, to, &columns);
    put_raw(m, from, to, input, sql);
    buf_put_text(sql, "SELECT m._seq, CAST(multiIf(isNotNull(tupleElement(m._extra, 1)), tupleElement(m._extra, 1), "
                      "isNotNull(m._error), m._error");
    for (size_t i = 0; i < columns.count; i++) {
        put_reference(m, i, &columns, &text);
        put_check(&columns.items[i], buf_text(&text), sql);
    }
    buf_put_text(sql, ", NULL), 'Nullable(String)')");
    for (size_t i = 0; i < columns.count; i++) {
        struct column nullable = columns.items[i];
        nullable.nullable = true;
        put_reference(m, i, &columns, &text);
        buf_put_text(sql, ", CAST(");
        put_typed(&columns.items[i], buf_text(&text), sql);
        buf_put_text(sql, ", '");
        buf_clear(&text);
        column_type_clickhouse(&nullable, &text);
        for (size_t j = 0; j < text.len; j++) { /* DateTime64(6, 'UTC') inside a literal */
            if (text.data[j] == '\'') buf_put_char(sql, '\\');
            buf_put_char(sql, text.data[j]);
        }
        buf_put_text(sql, "')");
    }
    buf_printf(sql, " FROM (%s) AS m", m->select);
    buf_free(&text);
    columns_free(&columns);
}
