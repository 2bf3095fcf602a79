/* Lists and the walk over the statement's tree; the rules are numbered in the header. What is not on a list
 * of allowed table functions or system tables is refused, so that a new engine opens nothing by itself. */
#include "serve/clickhouse/guard.h"

#include "serve/clickhouse/tokens.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

enum { CODE_ACCESS = 497, CODE_CONSTRAINT = 452 };

/* Lists of lower-case words, each with a space before and after. */
static const char made_tables[] =
    " numbers numbers_mt zeros zeros_mt generateseries generate_series generaterandom values "
    "sqlstandardvalues null view primes format ";

static const char forbidden_functions[] =
    " file catboostevaluate aigenerate aiclassify aiextract aitranslate aiembed chdb showcertificate "
    "addresstoline addresstolinewithinlines addresstosymbol getserversetting joinget joingetornull ";

/* Functions whose right argument may be a table's name. */
static const char in_functions[] =
    " in notin globalin globalnotin nullin notnullin globalnullin globalnotnullin inignoreset "
    "notinignoreset globalinignoreset globalnotinignoreset nullinignoreset notnullinignoreset "
    "globalnullinignoreset globalnotnullinignoreset ";

static const char system_tables[] =
    " aggregate_function_combinators asynchronous_metrics build_options clusters codecs collations "
    "columns completions constraints contributors data_skipping_indices data_type_families "
    "database_engines databases detached_tables dictionaries disk_types documentation events formats "
    "functions keywords licenses macros merge_tree_settings merges metrics mutations numbers numbers_mt "
    "one parts parts_columns primes processes projections settings settings_changes table_engines "
    "table_functions tables time_zones tokenizers unicode user_defined_functions view_refreshes "
    "warnings zeros zeros_mt ";

/* May be lowered by the user, never raised or lifted. */
static const char limited_settings[] = " max_execution_time max_memory_usage max_threads max_result_bytes ";

static const char ignored_settings[] =
    " readonly log_comment allow_ddl log_queries timeout_overflow_mode result_overflow_mode ";

/* Lifted limits, another language, secrets. With them go all settings that hold text (see init). */
static const char refused_settings[] =
    " dialect allow_introspection_functions format_display_secrets_in_show_and_select "
    "max_untracked_memory max_memory_usage_for_user memory_overcommit_ratio_denominator "
    "memory_overcommit_ratio_denominator_for_user memory_usage_overcommit_max_wait_microseconds "
    "max_final_threads max_parsing_threads max_download_threads max_streams_to_max_threads_ratio "
    "max_execution_time_leaf priority os_thread_priority use_concurrency_control "
    "max_temporary_data_on_disk_size_for_query temporary_files_codec profile sql_security compatibility "
    "implicit_select enable_analyzer allow_experimental_analyzer ";

/* Of the settings that hold text, those that are neither an expression nor a path nor an address. */
static const char text_settings[] =
    " count_distinct_implementation query_cache_tag bool_true_representation bool_false_representation "
    "format_json_object_each_row_column_for_object_name output_format_pretty_grid_charset "
    "format_csv_null_representation format_tsv_null_representation format_custom_field_delimiter "
    "format_custom_row_before_delimiter format_custom_row_after_delimiter "
    "format_custom_row_between_delimiter format_custom_result_before_delimiter "
    "format_custom_result_after_delimiter ignore_data_skipping_indices force_data_skipping_indices "
    "output_format_sql_insert_table_name errors_output_format ";

static bool among(struct slice name, const char *list)
{
    char word[80] = " ";
    if (name.len == 0 || name.len > sizeof word - 3 || memchr(name.data, ' ', name.len)) return false;
    for (size_t i = 0; i < name.len; i++)
        word[i + 1] = (char)tolower((unsigned char)name.data[i]);
    word[name.len + 1] = ' ';
    word[name.len + 2] = '\0';
    return strstr(list, word) != NULL;
}

static bool refuse(struct error *err, int code, const char *code_name, const char *what, struct slice name)
{
    return error_set(err, ERROR_CONFIG, "Code: %d. DB::Exception: %s: %.*s. (%s)", code, what,
                     (int)(name.len < 200 ? name.len : 200), name.data, code_name);
}

static bool denied(struct error *err, const char *what, struct slice name)
{
    return refuse(err, CODE_ACCESS, "ACCESS_DENIED", what, name);
}

/* --- start --- */

static bool fill(struct map *names, struct engine_conn *conn, const char *sql, struct error *err)
{
    struct engine_result r = {0};
    if (!engine_query(conn, sql, "TSV", NULL, 0, &r, err)) return false;
    struct slice rest = r.data;
    while (rest.len) {
        const char *end = memchr(rest.data, '\n', rest.len);
        size_t n = end ? (size_t)(end - rest.data) : rest.len;
        *map_put(names, (struct slice){rest.data, n}) = names;
        size_t passed = n + (end != NULL);
        rest = (struct slice){rest.data + passed, rest.len - passed};
    }
    engine_result_free(&r);
    return true;
}

bool guard_init(struct guard *g, struct engine_conn *conn, struct error *err)
{
    return fill(&g->table_functions, conn, "SELECT lower(name) FROM system.table_functions", err) &&
           fill(&g->texts, conn, "SELECT name FROM system.settings WHERE type IN ('String', 'Map', 'URI')",
                err);
}

void guard_free(struct guard *g)
{
    map_free(&g->table_functions, NULL);
    map_free(&g->texts, NULL);
}

/* --- settings (rule 5) --- */

static int64_t limit_of(const struct guard *g, struct slice name)
{
    if (slice_is_nocase(name, "max_execution_time")) return g->seconds_max;
    if (slice_is_nocase(name, "max_threads")) return g->threads_max;
    return g->memory_max;
}

static bool within(const struct guard *g, struct slice name, struct slice value)
{
    char text[32];
    size_t n = value.len < sizeof text - 1 ? value.len : sizeof text - 1;
    memcpy(text, value.data ? value.data : "", n);
    text[n] = '\0';
    char *end;
    double number = strtod(text, &end);
    return end != text && *end == '\0' && number > 0 && number <= (double)limit_of(g, name);
}

static bool refused_setting(const struct guard *g, struct slice name)
{
    return among(name, refused_settings) || (map_find(&g->texts, name) && !among(name, text_settings));
}

enum setting_verdict guard_setting(const struct guard *g, const char *name, char **value)
{
    struct slice s = slice_of(name);
    if (among(s, ignored_settings)) return SETTING_IGNORE;
    if (refused_setting(g, s)) return SETTING_REFUSE;
    if (among(s, limited_settings) && !within(g, s, slice_of(*value))) {
        mem_free(*value);
        *value = mem_format("%lld", (long long)limit_of(g, s));
    }
    return SETTING_PASS;
}

static bool constraint(struct error *err, const char *what, struct slice name)
{
    return refuse(err, CODE_CONSTRAINT, "SETTING_CONSTRAINT_VIOLATION", what, name);
}

/* `name = value` somewhere after the word SETTINGS: also a comparison there counts, which refuses at most
 * a statement that compares a column named like a guarded setting. */
static bool check_settings(const struct guard *g, struct slice sql, struct error *err)
{
    struct token before = {0}, t;
    struct slice limited = {0};
    bool inside = false;
    for (; token_next(&sql, &t); before = t) {
        if (t.kind == TOKEN_QUOTED &&
            (memchr(t.text.data, '\n', t.text.len) || memchr(t.text.data, '\\', t.text.len)))
            return denied(err, "A quoted name must not hold a line break or a backslash", t.text);
        if (limited.data && !within(g, limited, t.text))
            return constraint(err, "Setting must stay within the limit of this server", limited);
        limited = (struct slice){0};
        inside = inside || token_is(&t, "SETTINGS");
        bool named = (before.kind == TOKEN_NAME || before.kind == TOKEN_QUOTED) && before.text.data;
        if (!inside || !named || !token_is_mark(&t, '=')) continue;
        if (among(before.text, ignored_settings) || refused_setting(g, before.text))
            return constraint(err, "Setting cannot be changed", before.text);
        if (among(before.text, limited_settings)) limited = before.text;
    }
    return true;
}

/* --- the tree (rules 1 to 4) --- */

static bool names_a_file(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (strchr("/*?{[\\", name.data[i])) return true;
    char *path = mem_textn(name.data, name.len);
    struct stat st;
    bool exists = name.len > 0 && stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
    mem_free(path);
    return exists;
}

/* A name that the engine will take for a table: "table" or "database.table", the parts unquoted, so that
 * a dot may also belong to the name: every reading is tried. */
static bool check_table(struct slice name, const char *database, struct error *err)
{
    if (names_a_file(name)) return denied(err, "Files cannot be read by name", name);
    bool qualified = false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] != '.') continue;
        struct slice table = {name.data + i + 1, name.len - i - 1};
        if (names_a_file(table)) return denied(err, "Files cannot be read by name", name);
        if (slice_is_nocase((struct slice){name.data, i}, "system") && !among(table, system_tables))
            return denied(err, "Not enough privileges to read the table", name);
        qualified = true;
    }
    if (!qualified && strcasecmp(database, "system") == 0 && !among(name, system_tables))
        return denied(err, "Not enough privileges to read the table", name);
    return true;
}

static bool check_function(const struct guard *g, struct slice name, bool as_table, struct error *err)
{
    char lower[128];
    if (name.len >= sizeof lower) return denied(err, "Unknown function", name);
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (char)tolower((unsigned char)name.data[i]);
    struct slice key = {lower, name.len};
    bool allowed = among(key, made_tables);
    if (as_table && !allowed) return denied(err, "The table function is not allowed here", name);
    if (!allowed && map_find(&g->table_functions, key))
        return denied(err, "The table function is not allowed here", name);
    return !among(key, forbidden_functions) || denied(err, "The function is not allowed here", name);
}

/* One line of EXPLAIN AST: "  Function plus (alias x) (children 1)". */
struct node {
    size_t depth;
    struct slice type, name;
};

static struct node parse_node(struct slice line)
{
    struct node n = {0};
    while (n.depth < line.len && line.data[n.depth] == ' ')
        n.depth++;
    struct slice rest = {line.data + n.depth, line.len - n.depth};
    const char *space = memchr(rest.data, ' ', rest.len);
    n.type = (struct slice){rest.data, space ? (size_t)(space - rest.data) : rest.len};
    if (!space) return n;
    n.name = (struct slice){space + 1, rest.len - n.type.len - 1};
    static const char *const ends[] = {" (alias ", " (children "};
    for (size_t i = 0; i < 2; i++) {
        const char *at = memmem(n.name.data, n.name.len, ends[i], strlen(ends[i]));
        if (at) n.name.len = (size_t)(at - n.name.data);
    }
    return n;
}

/* Walks the lines and remembers what is needed of the path to the current one. */
enum { DEPTH_MAX = 2000 };
struct walk {
    const struct guard *guard;
    const char *database;
    bool table_next;          /* the line before was a TableExpression */
    bool statement_names;     /* EXISTS, SHOW CREATE, CHECK: plain identifiers are tables */
    bool is_in[DEPTH_MAX];    /* by depth: the node on the path is an IN */
    unsigned kids[DEPTH_MAX]; /* by depth: children of that node so far */
};

/* The right side of IN: second child of the argument list, which is the child of the function. */
static bool right_of_in(const struct walk *w, size_t depth)
{
    return depth >= 2 && w->is_in[depth - 2] && w->kids[depth - 1] == 2;
}

static bool check_node(struct walk *w, struct node n, struct error *err)
{
    if (n.depth >= DEPTH_MAX) return denied(err, "The statement is nested too deeply", n.name);
    bool as_table = w->table_next, function = slice_equal(n.type, SLICE("Function"));
    w->table_next = slice_equal(n.type, SLICE("TableExpression"));
    w->is_in[n.depth] = function && among(n.name, in_functions);
    w->kids[n.depth] = 0;
    if (n.depth) w->kids[n.depth - 1]++;
    if (function) return check_function(w->guard, n.name, as_table, err);
    bool identifier = slice_equal(n.type, SLICE("Identifier"));
    bool table = slice_equal(n.type, SLICE("TableIdentifier")) ||
                 (identifier && (w->statement_names || right_of_in(w, n.depth)));
    return !table || check_table(n.name, w->database, err);
}

static bool check_tree(const struct guard *g, struct slice tree, const char *database, struct error *err)
{
    static const char naming[] =
        " existstablequery existsviewquery showcreatetablequery showcreateviewquery checkquery ";
    struct walk *w = mem_alloc(sizeof *w);
    w->guard = g;
    w->database = database;
    bool ok = true;
    for (bool first = true; ok && tree.len; first = false) {
        const char *end = memchr(tree.data, '\n', tree.len);
        size_t len = end ? (size_t)(end - tree.data) : tree.len;
        struct node n = parse_node((struct slice){tree.data, len});
        if (first) w->statement_names = among(n.type, naming);
        ok = check_node(w, n, err);
        size_t passed = len + (end != NULL);
        tree = (struct slice){tree.data + passed, tree.len - passed};
    }
    mem_free(w);
    return ok;
}

static bool check_class(struct engine_conn *conn, struct slice sql, bool *unknown, struct error *err)
{
    enum engine_class class;
    uint32_t statements;
    bool secrets;
    if (!engine_classify(conn, sql, &class, &statements, &secrets, err)) return false;
    *unknown = class == ENGINE_UNKNOWN;
    if (*unknown) return true;
    if (statements == 0)
        return error_set(err, ERROR_CONFIG, "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)");
    if (statements > 1)
        return error_set(err, ERROR_CONFIG,
                         "Code: 62. DB::Exception: Multi-statements are not allowed. (SYNTAX_ERROR)");
    return class == ENGINE_READ ||
           error_set(
               err, ERROR_CONFIG,
               "Code: 164. DB::Exception: default: Cannot execute query in readonly mode: the warehouse"
               " is written by the pipeline alone. (READONLY)");
}

bool guard_check(const struct guard *g, struct engine_conn *conn, struct slice sql, const char *database,
                 const struct engine_param *params, size_t param_count, struct error *err)
{
    bool unknown;
    if (!check_class(conn, sql, &unknown, err)) return false;
    if (!check_settings(g, sql, err)) return false;
    struct buf explain = {0};
    buf_put_text(&explain, "EXPLAIN AST ");
    buf_put_slice(&explain, sql);
    struct engine_result r = {0};
    /* of a text that does not parse this gives the engine's own message */
    bool ok = engine_query(conn, buf_text(&explain), "TSVRaw", params, param_count, &r, err);
    buf_free(&explain);
    if (!ok) return false;
    ok = unknown ? denied(err, "The statement is not allowed here", sql)
                 : check_tree(g, r.data, database, err);
    engine_result_free(&r);
    return ok;
}
