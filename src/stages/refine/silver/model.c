/* A silver model: the file's head and SELECT, or a generated one, and the whole statement that cleans.
 *
 *   WITH raw AS (SELECT seq AS _seq, <members as text>, (<reason>, <other members>) AS _extra FROM input)
 *   SELECT _seq, <reason>, <values> FROM (SELECT <texts p0..>, <values g0..> FROM (<model's SELECT>) m)
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

static const char *const reserved[] = {"_key",       "_epoch", "_lsn",       "_ordinal",
                                       "_commit_at", "_op",    "_valid_from"};

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->source_count; i++)
        mem_free(m->source[i]);
    mem_free(m->source);
    columns_free(&m->columns);
    mem_free(m->select);
    *m = (struct model){0};
}

static struct slice trim(struct slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s.data++, s.len--;
    while (s.len && strchr(" \t\r,", s.data[s.len - 1]))
        s.len--;
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
        while (n < list.len && list.data[n] != ',')
            n++;
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
    while (n < line.len && line.data[n] != ' ')
        n++;
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
        {"smallint", COLUMN_SHORT}, {"integer", COLUMN_INTEGER}, {"bigint", COLUMN_LONG},
        {"real", COLUMN_FLOAT},     {"boolean", COLUMN_BOOLEAN}, {"double precision", COLUMN_DOUBLE},
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
        return (struct column){
            .type = COLUMN_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
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
    struct buf tuple;   /* the members' types */
    struct buf members; /* "t.1, t.2, " */
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
        buf_printf(&x->members, "t.%zu, ", x->count);
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
    buf_printf(sql,
               "tuple(if(coalesce(%sNULL) IS NULL AND NOT isValidJSON(after),"
               " 'the image is not valid JSON', NULL)",
               buf_text(&x.members));
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
    buf_free(&x.members);
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
    case COLUMN_BYTE:
        buf_printf(sql, "accurateCastOrNull(parse_long(%s), '%s')", text, buf_text(&wanted));
        break;
    case COLUMN_BOOLEAN: buf_printf(sql, "parse_boolean(%s)", text); break;
    case COLUMN_DOUBLE: buf_printf(sql, "parse_double(%s)", text); break;
    case COLUMN_FLOAT: buf_printf(sql, "parse_float(%s)", text); break;
    case COLUMN_DATE: buf_printf(sql, "parse_date(%s)", text); break;
    case COLUMN_TIMESTAMP: buf_printf(sql, "parse_timestamp(%s)", text); break;
    case COLUMN_DECIMAL:
        buf_printf(sql, "if(decimal_fits(%s, %d, %d), toDecimal%dOrNull(%s, %d), NULL)", text, c->precision,
                   c->scale,
                   c->precision <= 9    ? 32
                   : c->precision <= 18 ? 64
                                        : 128,
                   text, c->scale);
        break;
    }
    buf_free(&wanted);
}

/* m.<column>, the model's text, or the place of an extra column's text. */
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

/* Values of one type are taken together, for the engine's time to understand a statement grows with its
 * expressions: group g is arrayMap(x -> <typed x>, [texts]), and column i is g<group>[<place>]. */
struct value_place {
    size_t group, place; /* place from 1; 0: a string, which is its own value */
};

static bool same_column_type(const struct column *a, const struct column *b)
{
    return a->type == b->type && a->precision == b->precision && a->scale == b->scale;
}

/* Returns an array from mem_*, one for each column. */
static struct value_place *place_values(const struct columns *columns, size_t *groups)
{
    struct value_place *at = mem_alloc((columns->count + 1) * sizeof *at);
    *groups = 0;
    for (size_t i = 0; i < columns->count; i++) {
        if (columns->items[i].type == COLUMN_STRING) continue;
        size_t last = i; /* the nearest earlier column of this type */
        while (last > 0 && !same_column_type(&columns->items[last - 1], &columns->items[i]))
            last--;
        if (last > 0)
            at[i] = (struct value_place){at[last - 1].group, at[last - 1].place + 1};
        else
            at[i] = (struct value_place){(*groups)++, 1};
    }
    return at;
}

/* The columns of a group; group SIZE_MAX: those that must not be NULL. */
static bool in_group(const struct columns *columns, const struct value_place *at, size_t i, size_t group)
{
    return group == SIZE_MAX ? !columns->items[i].nullable : at[i].place && at[i].group == group;
}

static const struct column *first_of(const struct columns *columns, const struct value_place *at,
                                     size_t group)
{
    size_t i = 0;
    while (i < columns->count && !in_group(columns, at, i, group))
        i++;
    return i < columns->count ? &columns->items[i] : NULL;
}

static void put_names(const struct columns *columns, const struct value_place *at, size_t group,
                      struct buf *sql)
{
    const char *between = "[";
    for (size_t i = 0; i < columns->count; i++) {
        if (!in_group(columns, at, i, group)) continue;
        buf_put_text(sql, between);
        buf_put_sql_text(sql, slice_of(columns->items[i].name));
        between = ", ";
    }
    buf_put_char(sql, ']');
}

static void put_texts(const struct model *m, const struct columns *columns, const struct value_place *at,
                      size_t group, struct buf *sql)
{
    struct buf text = {0};
    const char *between = "[";
    for (size_t i = 0; i < columns->count; i++) {
        if (!in_group(columns, at, i, group)) continue;
        put_reference(m, i, columns, &text);
        buf_put_text(sql, between);
        buf_put_slice(sql, buf_slice(&text));
        between = ", ";
    }
    buf_put_char(sql, ']');
    buf_free(&text);
}

static void put_group(const struct model *m, const struct columns *columns, const struct value_place *at,
                      size_t group, struct buf *sql)
{
    buf_put_text(sql, ", ");
    put_texts(m, columns, at, group, sql);
    buf_printf(sql, " AS t%zu, arrayMap(x -> ", group);
    put_typed(first_of(columns, at, group), "x", sql);
    buf_printf(sql, ", t%zu) AS g%zu", group, group);
    buf_printf(sql, ", arrayFirstIndex((t, v) -> isNotNull(t) AND isNull(v), t%zu, g%zu) AS b%zu", group,
               group, group);
}

/* The level above the model: strings p<i>, and for each group its texts t, values g, and the place b of
 * the first text that has no value; missing is the place of the first text that must be there and is not.
 */
static void put_values(const struct model *m, const struct columns *columns, const struct value_place *at,
                       size_t groups, struct buf *sql)
{
    struct buf text = {0};
    buf_put_text(sql, "SELECT m._seq AS _seq, m._error AS _broken, tupleElement(m._extra, 1) AS _image");
    for (size_t i = 0; i < columns->count; i++) {
        if (at[i].place) continue;
        put_reference(m, i, columns, &text);
        buf_printf(sql, ", %s AS p%zu", buf_text(&text), i);
    }
    for (size_t g = 0; g < groups; g++)
        put_group(m, columns, at, g, sql);
    if (first_of(columns, at, SIZE_MAX)) {
        buf_put_text(sql, ", arrayFirstIndex(x -> isNull(x), ");
        put_texts(m, columns, at, SIZE_MAX, sql);
        buf_put_text(sql, ") AS missing");
    }
    buf_printf(sql, " FROM (%s) AS m", m->select);
    buf_free(&text);
}

static void put_misfit(const struct columns *columns, const struct value_place *at, size_t group,
                       struct buf *sql)
{
    struct buf type = {0};
    buf_put_text(&type, "' does not fit ");
    column_type_delta(first_of(columns, at, group), &type);
    buf_printf(sql, ", b%zu > 0, concat(", group);
    put_names(columns, at, group, sql);
    buf_printf(sql, "[b%zu], ' \\'', substringUTF8(t%zu[b%zu], 1, 100), ", group, group, group);
    buf_put_sql_text(sql, buf_slice(&type));
    buf_put_char(sql, ')');
    buf_free(&type);
}

/* Why a row is bad, or NULL: its image, the model's rules, what is missing, what does not fit. */
static void put_reason(const struct columns *columns, const struct value_place *at, size_t groups,
                       struct buf *sql)
{
    buf_put_text(sql, "CAST(multiIf(isNotNull(_image), _image, isNotNull(_broken), _broken");
    if (first_of(columns, at, SIZE_MAX)) {
        buf_put_text(sql, ", missing > 0, concat(");
        put_names(columns, at, SIZE_MAX, sql);
        buf_put_text(sql, "[missing], ' is missing')");
    }
    for (size_t g = 0; g < groups; g++)
        put_misfit(columns, at, g, sql);
    buf_put_text(sql, ", NULL), 'Nullable(String)')");
}

void model_put_sql(const struct model *m, const struct schema *from, const struct schema *to,
                   const char *input, struct buf *sql)
{
    struct columns columns = {0};
    size_t groups;
    model_columns(m, to, &columns);
    struct value_place *at = place_values(&columns, &groups);
    put_raw(m, from, to, input, sql);
    buf_put_text(sql, "SELECT _seq, ");
    put_reason(&columns, at, groups, sql);
    for (size_t i = 0; i < columns.count; i++) {
        if (at[i].place)
            buf_printf(sql, ", g%zu[%zu]", at[i].group, at[i].place);
        else
            buf_printf(sql, ", CAST(p%zu, 'Nullable(String)')", i);
    }
    buf_put_text(sql, " FROM (");
    put_values(m, &columns, at, groups, sql);
    buf_put_char(sql, ')');
    mem_free(at);
    columns_free(&columns);
}
