/* Model files: the header is taken apart, tables are resolved, models are put in order (gold.h).
 *
 *   text --> lines "-- word: value" (and columns) --> gold_model with table names
 *        --> order: a model after those it reads --> tables resolved to the inputs of all models
 *
 * Every error names the file. What only the inputs' columns can tell is checked by gold_model_bind. */
#include "stages/refine/gold/gold_int.h"

#include <ctype.h>
#include <xxhash.h>

/* A model while its file is read: tables are still names. */
struct parse {
    struct gold_model *m;
    char **tables; /* parallel to m->tables */
    size_t table_count, table_cap;
    char *group, *key, *sort; /* texts of these lines */
    bool columns, kind_seen;
    int line;
};

static struct slice trim(struct slice s)
{
    while (s.len && isspace((unsigned char)s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len && isspace((unsigned char)s.data[s.len - 1]))
        s.len--;
    return s;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Takes one identifier off the text; false when there is none. */
static bool take_word(struct slice *rest, struct slice *word)
{
    *rest = trim(*rest);
    size_t n = 0;
    while (n < rest->len && is_word(rest->data[n]))
        n++;
    *word = (struct slice){rest->data, n};
    rest->data += n;
    rest->len -= n;
    return n > 0;
}

static bool take(struct slice *rest, const char *what)
{
    size_t n = strlen(what);
    *rest = trim(*rest);
    if (rest->len < n || memcmp(rest->data, what, n) != 0) return false;
    if (is_word(what[0]) && rest->len > n && is_word(rest->data[n])) return false;
    rest->data += n;
    rest->len -= n;
    return true;
}

static char *text_of(struct slice s)
{
    return mem_textn(s.data, s.len);
}

static bool bad(const struct parse *p, struct error *err, const char *what)
{
    return error_set(err, ERROR_CONFIG, "%s line %d: %s", p->m->file, p->line, what);
}

static int find_table(const struct parse *p, struct slice name)
{
    for (size_t i = 0; i < p->table_count; i++)
        if (slice_equal(slice_of(p->tables[i]), name)) return (int)i;
    return -1;
}

static size_t put_table(struct parse *p, struct slice name)
{
    int at = find_table(p, name);
    if (at >= 0) return (size_t)at;
    MEM_GROW(p->tables, p->table_count, p->table_cap);
    p->tables[p->table_count] = text_of(name);
    return p->table_count++;
}

/* since <from>[, <to>] <= <table>.<column> */
static bool parse_since(struct parse *p, struct slice *rest, struct gold_line *line, struct error *err)
{
    struct slice from, to = {NULL, 0}, table, column;
    if (!take_word(rest, &from) || (take(rest, ",") && !take_word(rest, &to)) || !take(rest, "<=") ||
        !take_word(rest, &table) || !take(rest, ".") || !take_word(rest, &column))
        return bad(p, err, "expected: since <from>[, <to>] <= <table>.<column>");
    line->since_table = find_table(p, table);
    if (line->since_table < 0) return bad(p, err, "the table after <= must be declared before");
    line->since_from = text_of(from);
    line->since_to = to.data ? text_of(to) : NULL;
    line->since_column = text_of(column);
    return true;
}

/* <table>(<column>) = group [required] | <table>.<column> [since ...], the table already taken. */
static bool parse_link(struct parse *p, struct slice *rest, struct gold_line *line, struct error *err)
{
    struct slice column, parent, parent_column;
    if (!take_word(rest, &column) || !take(rest, ")") || !take(rest, "="))
        return bad(p, err, "expected: <table>(<column>) = group, or = <table>.<column>");
    line->column = text_of(column);
    line->parent = LINE_GROUP;
    if (take(rest, "group")) {
        line->required = take(rest, "required");
        return true;
    }
    if (!take_word(rest, &parent) || !take(rest, ".") || !take_word(rest, &parent_column))
        return bad(p, err, "expected group or <table>.<column> after =");
    line->parent = find_table(p, parent);
    if (line->parent < 0) return bad(p, err, "an input's parent must be declared before it");
    line->parent_column = text_of(parent_column);
    return !take(rest, "since") || parse_since(p, rest, line, err);
}

static bool parse_input(struct parse *p, struct slice rest, struct error *err)
{
    struct slice table;
    struct gold_model *m = p->m;
    if (!take_word(&rest, &table)) return bad(p, err, "input names no table");
    MEM_GROW(m->lines, m->line_count, m->line_cap);
    struct gold_line *line = &m->lines[m->line_count++];
    *line = (struct gold_line){.parent = LINE_ALL, .since_table = -1};
    if (take(&rest, "(") && !parse_link(p, &rest, line, err)) return false;
    line->table = put_table(p, table);
    return trim(rest).len == 0 || bad(p, err, "text after the end of the input");
}

static bool parse_column(struct parse *p, struct slice rest, struct error *err)
{
    struct slice name;
    struct column c = {0};
    if (!take_word(&rest, &name)) return bad(p, err, "expected: <column> <type>");
    char *type = text_of(trim(rest)), *own = text_of(name);
    bool ok = columns_find(&p->m->columns, own) < 0 || bad(p, err, "a column is declared twice");
    if (ok && !column_type_parse(type, &c, err)) {
        ok = error_wrap(err, "%s line %d", p->m->file, p->line);
        err->kind = ERROR_CONFIG;
    }
    if (ok) columns_add(&p->m->columns, own, c.type, c.precision, c.scale, c.nullable);
    mem_free(type);
    mem_free(own);
    return ok;
}

static bool set_once(struct parse *p, char **to, struct slice value, struct error *err)
{
    if (*to) return bad(p, err, "declared twice");
    *to = text_of(value);
    return true;
}

static bool parse_word(struct parse *p, struct slice word, struct slice value, struct error *err)
{
    p->columns = false;
    if (slice_equal(word, SLICE("model"))) return set_once(p, &p->m->name, value, err);
    if (slice_equal(word, SLICE("key"))) return set_once(p, &p->key, value, err);
    if (slice_equal(word, SLICE("group"))) return set_once(p, &p->group, value, err);
    if (slice_equal(word, SLICE("sort"))) return set_once(p, &p->sort, value, err);
    if (slice_equal(word, SLICE("input"))) return parse_input(p, value, err);
    if (slice_equal(word, SLICE("kind"))) {
        p->kind_seen = true;
        p->m->whole = slice_equal(value, SLICE("whole"));
        return p->m->whole || slice_equal(value, SLICE("row")) || bad(p, err, "kind is row or whole");
    }
    if (!slice_equal(word, SLICE("columns"))) return bad(p, err, "unknown word before the colon");
    p->columns = true;
    return true;
}

/* One comment line of the header, without its dashes. */
static bool parse_header_line(struct parse *p, struct slice line, struct error *err)
{
    bool indented = line.len > 1 && line.data[0] == ' ' && line.data[1] == ' ';
    struct slice rest = trim(line), word;
    if (rest.len == 0) return true;
    if (p->columns && indented) return parse_column(p, rest, err);
    p->columns = false;
    if (!take_word(&rest, &word) || rest.len == 0 || rest.data[0] != ':') return true;
    rest.data++;
    rest.len--;
    return parse_word(p, word, trim(rest), err);
}

/* Reads the header; what is left is the SELECT. */
static bool parse_header(struct parse *p, struct slice *text, struct error *err)
{
    while (text->len) {
        const char *end = memchr(text->data, '\n', text->len);
        size_t n = end ? (size_t)(end - text->data) : text->len;
        struct slice line = {text->data, n};
        p->line++;
        if (trim(line).len != 0) {
            if (n < 2 || line.data[0] != '-' || line.data[1] != '-') break;
            if (!parse_header_line(p, (struct slice){line.data + 2, n - 2}, err)) return false;
        }
        text->data += n + (end ? 1 : 0);
        text->len -= n + (end ? 1 : 0);
    }
    *text = trim(*text);
    while (text->len && text->data[text->len - 1] == ';')
        text->len--;
    return true;
}

/* A comma list of the model's columns. */
static bool resolve_columns(struct parse *p, const char *what, const char *list, int **out, size_t *count,
                            struct error *err)
{
    struct slice rest = slice_of(list), word;
    const struct columns *columns = &p->m->columns;
    *out = mem_resize(NULL, columns->count + 1, sizeof **out);
    *count = 0;
    do {
        char *name = take_word(&rest, &word) ? text_of(word) : mem_text("");
        int at = columns_find(columns, name);
        if (at < 0 || *count == columns->count)
            error_set(err, ERROR_CONFIG, "%s: %s: \"%s\" is not a column of the model", p->m->file, what,
                      name);
        mem_free(name);
        if (at < 0 || *count == columns->count) return false;
        (*out)[(*count)++] = at;
    } while (take(&rest, ","));
    return trim(rest).len == 0 ||
           error_set(err, ERROR_CONFIG, "%s: %s: text after the last column", p->m->file, what);
}

static bool missing(const struct parse *p, struct error *err, const char *what)
{
    return error_set(err, ERROR_CONFIG, "%s: the header has no \"-- %s\"", p->m->file, what);
}

static bool check_row_model(const struct parse *p, struct error *err)
{
    const struct gold_model *m = p->m;
    bool driven = false;
    for (size_t i = 0; i < m->line_count; i++) {
        const struct gold_line *line = &m->lines[i];
        driven = driven || line->parent == LINE_GROUP;
        bool grouped = false;
        for (size_t j = 0; line->since_table >= 0 && j < m->line_count; j++)
            grouped = grouped ||
                      (m->lines[j].parent == LINE_GROUP && (int)m->lines[j].table == line->since_table);
        if (line->since_table >= 0 && !grouped)
            return error_set(err, ERROR_CONFIG, "%s: the table after <= must be an input by group",
                             m->file);
    }
    return driven || error_set(err, ERROR_CONFIG, "%s: no input by group", m->file);
}

static bool check_whole_model(const struct parse *p, struct error *err)
{
    for (size_t i = 0; i < p->m->line_count; i++)
        if (p->m->lines[i].parent != LINE_ALL)
            return error_set(err, ERROR_CONFIG, "%s: inputs of a whole model are tables only", p->m->file);
    return true;
}

static bool finish_model(struct parse *p, struct slice select, struct error *err)
{
    struct gold_model *m = p->m;
    int *group = NULL;
    size_t groups = 0;
    if (!m->name) return missing(p, err, "model: <name>");
    if (!p->kind_seen) return missing(p, err, "kind: row|whole");
    if (!p->key) return missing(p, err, "key: <columns>");
    if (!p->group && !m->whole) return missing(p, err, "group: <column>");
    if (m->columns.count == 0) return missing(p, err, "columns:");
    if (m->line_count == 0) return missing(p, err, "input: <table>...");
    if (select.len == 0) return error_set(err, ERROR_CONFIG, "%s: no SELECT after the header", m->file);
    if (!resolve_columns(p, "key", p->key, &m->keys, &m->key_count, err)) return false;
    if (!resolve_columns(p, "sort", p->sort ? p->sort : p->key, &m->sort, &m->sort_count, err))
        return false;
    m->group = -1;
    if (!m->whole) {
        bool ok = resolve_columns(p, "group", p->group, &group, &groups, err);
        m->group = ok ? group[0] : -1;
        mem_free(group);
        if (!ok) return false;
        if (groups != 1) return error_set(err, ERROR_CONFIG, "%s: group is one column", m->file);
        if (m->columns.items[m->group].nullable)
            return error_set(err, ERROR_CONFIG, "%s: the group must be not null", m->file);
    }
    m->table = mem_format("gold/%s", m->name);
    m->select = text_of(select);
    return m->whole ? check_whole_model(p, err) : check_row_model(p, err);
}

static void parse_free(struct parse *p)
{
    for (size_t i = 0; i < p->table_count; i++)
        mem_free(p->tables[i]);
    mem_free(p->tables);
    mem_free(p->group);
    mem_free(p->key);
    mem_free(p->sort);
}

static bool parse_model(struct parse *p, const struct asset *file, struct error *err)
{
    struct slice text = {file->data, file->len};
    p->m->file = mem_text(file->path);
    p->m->text_hash = XXH3_64bits(file->data, file->len);
    return parse_header(p, &text, err) && finish_model(p, text, err);
}

/* ---- order and inputs ---- */

static int find_model(const struct gold_models *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0) return (int)i;
    return -1;
}

static size_t put_input(struct gold_models *set, const char *name)
{
    static const char suffix[] = "_history";
    for (size_t i = 0; i < set->input_count; i++)
        if (strcmp(set->inputs[i].name, name) == 0) return i;
    MEM_GROW(set->inputs, set->input_count, set->input_cap);
    struct gold_input *in = &set->inputs[set->input_count];
    size_t n = strlen(name), tail = sizeof suffix - 1;
    int model = find_model(set, name);
    bool history = model < 0 && n > tail && strcmp(name + n - tail, suffix) == 0;
    *in = (struct gold_input){
        .name = mem_text(name),
        .kind = model >= 0 ? GOLD_MODEL
                : history  ? GOLD_HISTORY
                           : GOLD_SILVER,
        .base = mem_textn(name, history ? n - tail : n),
        .table = mem_format("%s/%s", model >= 0 ? "gold" : "silver", name),
        .model = model >= 0 ? (size_t)model : 0,
        .checked_version = -1,
    };
    return set->input_count++;
}

bool gold_model_reads(const struct gold_model *m, size_t input)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i] == input) return true;
    return false;
}

static bool resolve_tables(struct gold_models *set, struct gold_model *m, const struct parse *p,
                           struct error *err)
{
    for (size_t i = 0; i < p->table_count; i++) {
        size_t at = put_input(set, p->tables[i]);
        const struct gold_input *in = &set->inputs[at];
        if (!m->whole && in->kind == GOLD_MODEL && set->items[in->model].whole)
            return error_set(err, ERROR_CONFIG, "%s: a row model cannot read the whole model %s", m->file,
                             in->name);
        if (in->kind == GOLD_MODEL && m->level <= set->items[in->model].level)
            m->level = set->items[in->model].level + 1;
        MEM_GROW(m->tables, m->table_count, m->table_cap);
        m->tables[m->table_count++] = at;
    }
    for (size_t i = 0; i < m->line_count; i++)
        if (!m->whole && m->lines[i].parent == LINE_ALL &&
            set->inputs[m->tables[m->lines[i].table]].kind == GOLD_HISTORY)
            return error_set(err, ERROR_CONFIG, "%s: a history is read by a column", m->file);
    return true;
}

/* The next model all of whose models are placed already, in the order of files; -1: none. */
static int next_model(const struct gold_models *parsed, const struct parse *parses, const bool *placed)
{
    for (size_t i = 0; i < parsed->count; i++) {
        bool free_to_go = !placed[i];
        for (size_t t = 0; free_to_go && t < parses[i].table_count; t++) {
            int model = find_model(parsed, parses[i].tables[t]);
            free_to_go = model < 0 || placed[model];
        }
        if (free_to_go) return (int)i;
    }
    return -1;
}

static bool order_models(struct gold_models *set, struct gold_models *parsed, struct parse *parses,
                         struct error *err)
{
    bool *placed = mem_alloc(parsed->count + 1);
    size_t *order = mem_resize(NULL, parsed->count + 1, sizeof *order);
    bool ok = true;
    for (size_t n = 0; n < parsed->count && ok; n++) {
        int at = next_model(parsed, parses, placed);
        ok = at >= 0 || error_set(err, ERROR_CONFIG, "sql/gold: models read each other in a circle");
        if (!ok) break;
        placed[at] = true;
        order[n] = (size_t)at;
    }
    for (size_t n = 0; n < parsed->count && ok; n++) {
        MEM_GROW(set->items, set->count, set->cap);
        set->items[set->count++] = parsed->items[order[n]];
        parsed->items[order[n]] = (struct gold_model){0};
    }
    for (size_t n = 0; n < set->count && ok; n++)
        ok = resolve_tables(set, &set->items[n], &parses[order[n]], err);
    mem_free(placed);
    mem_free(order);
    return ok;
}

static bool is_model_file(const struct asset *a)
{
    static const char prefix[] = "sql/gold/";
    return strncmp(a->path, prefix, sizeof prefix - 1) == 0 && a->len > 0;
}

bool gold_models_load(struct gold_models *set, const struct asset *files, size_t count, struct error *err)
{
    struct gold_models parsed = {0};
    struct parse *parses = mem_alloc((count + 1) * sizeof *parses);
    parsed.items = mem_alloc((count + 1) * sizeof *parsed.items);
    *set = (struct gold_models){0};
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        if (!is_model_file(&files[i])) continue;
        struct parse *p = &parses[parsed.count];
        p->m = &parsed.items[parsed.count++];
        ok = parse_model(p, &files[i], err);
        for (size_t j = 0; ok && j + 1 < parsed.count; j++)
            if (strcmp(parsed.items[j].name, p->m->name) == 0)
                ok = error_set(err, ERROR_CONFIG, "%s: another file has the model %s", p->m->file,
                               p->m->name);
    }
    ok = ok && order_models(set, &parsed, parses, err);
    for (size_t i = 0; i < parsed.count; i++)
        parse_free(&parses[i]);
    mem_free(parses);
    gold_models_free(&parsed);
    if (!ok) gold_models_free(set);
    return ok;
}

static void model_free(struct gold_model *m)
{
    for (size_t i = 0; i < m->line_count; i++) {
        mem_free(m->lines[i].column);
        mem_free(m->lines[i].parent_column);
        mem_free(m->lines[i].since_from);
        mem_free(m->lines[i].since_to);
        mem_free(m->lines[i].since_column);
    }
    mem_free(m->lines);
    mem_free(m->tables);
    columns_free(&m->columns);
    mem_free(m->keys);
    mem_free(m->sort);
    mem_free(m->select);
    mem_free(m->name);
    mem_free(m->table);
    mem_free(m->file);
}

void gold_models_free(struct gold_models *set)
{
    for (size_t i = 0; i < set->count; i++)
        model_free(&set->items[i]);
    for (size_t i = 0; i < set->input_count; i++) {
        mem_free(set->inputs[i].name);
        mem_free(set->inputs[i].base);
        mem_free(set->inputs[i].table);
        for (int lane = 0; lane < CREW_LANES; lane++)
            columns_free(&set->inputs[i].scratch[lane].columns);
    }
    mem_free(set->items);
    mem_free(set->inputs);
    *set = (struct gold_models){0};
}
