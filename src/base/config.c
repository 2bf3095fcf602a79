/* The table of options, and setting them from text.
 *
 * Invariants:
 * 1. Every option is one row of config_options; nothing else knows its name, type or default.
 * 2. A text member is never NULL after config_init.
 * 3. Paths are absolute, because the engine changes the working directory. */
#include "base/config.h"

#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define AT(member) offsetof(struct config, member)
#define TEXT(member, fallback, help) {#member, OPTION_TEXT, AT(member), fallback, false, 0, 0, help}
#define SECRET(member, help) {#member, OPTION_TEXT, AT(member), "", true, 0, 0, help}
#define INT(member, fallback, least, most, help) \
    {#member, OPTION_INT, AT(member), fallback, false, least, most, help}
#define SIZE(member, fallback, least, most, help) \
    {#member, OPTION_SIZE, AT(member), fallback, false, least, most, help}
#define BOOL(member, fallback, help) {#member, OPTION_BOOL, AT(member), fallback, false, 0, 0, help}

#define KB INT64_C(1024)
#define MB (KB * 1024)
#define GB (MB * 1024)
#define HOUR_MS INT64_C(3600000)
#define YEAR_S (INT64_C(366) * 86400)

const struct option config_options[] = {
    TEXT(home, "./millrace-data", "Data folder; settings may lie in it as millrace.conf"),
    SECRET(source, "PostgreSQL to read: postgres://user:password@host/database or libpq key=value text"),
    TEXT(library, "", "Path of libchdb.so; empty: beside the program, node_modules, the system's paths"),
    TEXT(slot, "millrace", "Name of the replication slot"),
    TEXT(publication, "millrace", "Name of the publication"),
    TEXT(tables, "", "Comma list of schema.table; empty: every table of the publication"),
    TEXT(exclude_columns, "", "Comma list of schema.table.column that never leave PostgreSQL's stream"),
    TEXT(hash_columns, "", "Comma list of schema.table.column kept only as a salted hash"),
    SECRET(hash_salt, "Salt of hash_columns; keep it, another salt gives other hashes"),
    INT(copy_workers, "2", 1, 64, "Connections that copy tables at the first start"),
    INT(status_ms, "10000", 100, HOUR_MS, "PostgreSQL hears at least this often how far we are"),
    SIZE(queue_bytes, "32MB", MB, 64 * GB, "Changes that may wait between capture and bronze"),
    INT(flush_ms, "200", 0, HOUR_MS, "Bronze commits this long after the last commit: at once when idle, sooner or later as gold can take it"),
    SIZE(flush_bytes, "8MB", 64 * KB, 4 * GB, "Bronze commits when this much is waiting"),
    INT(idle_commit_ms, "10000", 100, HOUR_MS, "A quiet source's position is committed this often"),
    SIZE(refine_bytes, "16MB", 64 * KB, 4 * GB, "Bytes of rows that refine takes in one range or slice"),
    INT(checkpoint_commits, "100", 1, 1000000, "Commits between two checkpoints of a Delta log"),
    INT(live_files_max, "64", 2, 100000, "Files of one table before they are compacted"),
    INT(log_retention_s, "3600", 0, 100 * YEAR_S, "Age at which Delta log entries are removed"),
    INT(tombstone_retention_s, "3600", 0, 100 * YEAR_S, "Age at which removed data files are deleted"),
    INT(compact_rows_max, "200000", 1000, 100000000, "Rows that one compaction writes at most"),
    TEXT(timezone, "America/Sao_Paulo", "The shop's time zone: days and versions are counted in it"),
    INT(whole_model_cpu_percent, "10", 1, 100, "CPU share for models that are recomputed as a whole"),
    SIZE(state_cache_bytes, "64MB", MB, 64 * GB, "Cache of the state store"),
    SIZE(engine_memory_bytes, "1GB", 256 * MB, 1024 * GB, "Hard cap of the SQL engine's memory"),
    TEXT(listen, "127.0.0.1", "Address to serve on; any but this machine's own needs a password"),
    SECRET(password, "Password that the pages, the API and the ClickHouse port ask for"),
    INT(http_port, "8090", 0, 65535, "Port of pages and API; 0: any free one"),
    INT(clickhouse_port, "8124", 0, 65535, "Port of the ClickHouse HTTP protocol; 0: any free one"),
    INT(query_seconds_max, "30", 1, 86400, "A user's query is stopped after this time"),
    SIZE(query_memory_bytes, "256MB", 16 * MB, 1024 * GB, "Memory of one user's query"),
    INT(query_threads_max, "2", 1, 256, "Threads of one user's query"),
    TEXT(log_level, "info", "debug, info, warn or error"),
    BOOL(log_json, "false", "Log as JSON lines instead of text"),
    TEXT(stream, "memory", "Between capture and bronze: memory (one process) or kafka"),
    TEXT(bootstrap_servers, "", "Kafka brokers, host:port with commas; more of librdkafka's properties as kafka.NAME"),
    BOOL(stream_transactions, "true", "A source transaction is atomic for read_committed consumers of its topics"),
    TEXT(topic_prefix, "shop", "First part of the topics' names, as in Debezium"),
    TEXT(topics, "", "Comma list of topics that bronze reads, ^pattern allowed; empty: the data topics of topic_prefix"),
    TEXT(group_id, "", "Consumer group to join; empty: none, all partitions are read, and nobody is waited for"),
    INT(topic_creation_default_partitions, "1", 1, 10000, "Partitions of a topic that capture makes"),
    INT(topic_creation_default_replication_factor, "-1", -1, 100, "Its replicas; -1: the broker's default"),
    TEXT(topic_creation_default_cleanup_policy, "delete", "delete, compact or both with a comma"),
    INT(topic_creation_default_retention_ms, "-1", -2, 100 * YEAR_S * 1000, "-1: for ever; -2: the broker's default"),
    BOOL(key_converter_schemas_enable, "true", "Keys carry their schema"),
    BOOL(value_converter_schemas_enable, "true", "Values carry their schema"),
    BOOL(value_converter_replace_null_with_default, "false", "NULL in a column with a default is written as the default"),
    TEXT(value_converter_decimal_format, "BASE64", "BASE64 or NUMERIC: decimals of decimal_handling_mode precise"),
    TEXT(decimal_handling_mode, "precise", "precise, string or double (loses digits)"),
    TEXT(time_precision_mode, "adaptive",
         "adaptive, adaptive_time_microseconds, microseconds, nanoseconds, connect (loses digits) or isostring"),
    TEXT(hstore_handling_mode, "json", "json or map"),
    TEXT(interval_handling_mode, "numeric", "numeric or string"),
    TEXT(binary_handling_mode, "bytes", "bytes, base64, base64-url-safe or hex"),
    TEXT(unavailable_value_placeholder, "__debezium_unavailable_value", "Stands for an unchanged TOAST value"),
    INT(money_fraction_digits, "2", 0, 18, "Digits of money after the point"),
    BOOL(include_unknown_datatypes, "false", "Columns of types that Debezium does not know are sent as bytes"),
    BOOL(tombstones_on_delete, "true", "A delete is followed by a record without value"),
    BOOL(extended_headers_enabled, "true", "Records carry Debezium's context headers"),
    TEXT(skipped_operations, "t", "Comma list of c, u, d, t that are not sent, or none"),
    BOOL(provide_transaction_metadata, "false", "Begin and end of transactions in <topic_prefix>.transaction"),
    INT(heartbeat_interval_ms, "0", 0, HOUR_MS, "A record to the heartbeat topic this often; 0: none"),
    TEXT(topic_heartbeat_prefix, "__debezium-heartbeat", "First part of the heartbeat topic's name"),
    TEXT(message_prefix_include_list, "", "Comma list of prefixes of logical messages to send; empty: all"),
    TEXT(message_prefix_exclude_list, "", "Comma list of prefixes of logical messages not to send"),
    TEXT(signal_data_collection, "", "schema.table whose rows ask for incremental snapshots"),
    INT(incremental_snapshot_chunk_size, "1024", 1, 1000000, "Rows that an incremental snapshot reads at once"),
};
const size_t config_option_count = sizeof config_options / sizeof *config_options;

/* --- parsing of one value --- */

static bool parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0) return *out = true, true;
        if (strcasecmp(text, no[i]) == 0) return *out = false, true;
    }
    return false;
}

static bool parse_number(const char *text, int64_t *out, const char **rest)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || errno || isspace((unsigned char)*text)) return false;
    *out = n;
    *rest = end;
    return true;
}

static bool parse_size(const char *text, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1}, {"B", 1}, {"KB", KB}, {"K", KB}, {"MB", MB}, {"M", MB}, {"GB", GB}, {"G", GB}};
    int64_t n;
    const char *rest;
    if (!parse_number(text, &n, &rest)) return false;
    rest += strspn(rest, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcasecmp(rest, units[i].name) == 0) return !__builtin_mul_overflow(n, units[i].bytes, out);
    return false;
}

static void put_size(struct buf *out, int64_t bytes)
{
    if (bytes && bytes % GB == 0) buf_printf(out, "%lldGB", (long long)(bytes / GB));
    else if (bytes && bytes % MB == 0) buf_printf(out, "%lldMB", (long long)(bytes / MB));
    else if (bytes && bytes % KB == 0) buf_printf(out, "%lldKB", (long long)(bytes / KB));
    else buf_printf(out, "%lld", (long long)bytes);
}

static char *absolute(const char *path)
{
    while (path[0] == '.' && path[1] == '/')
        for (path += 2; *path == '/'; path++) {
        }
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    if (path[0] == '/') return mem_textn(path, len);
    char *here = getcwd(NULL, 0);
    bool same = len == 0 || (len == 1 && path[0] == '.');
    char *whole = same ? mem_text(here ? here : "/")
                       : mem_format("%s/%.*s", here && here[1] ? here : "", (int)len, path);
    free(here); /* getcwd's, not ours */
    return whole;
}

static bool set_number(int64_t *at, const struct option *o, const char *value, struct error *err)
{
    int64_t n;
    const char *rest = "";
    bool ok = o->type == OPTION_SIZE ? parse_size(value, &n) : parse_number(value, &n, &rest);
    if (!ok || *rest)
        return error_set(err, ERROR_CONFIG, "%s: \"%s\" is not a %s", o->name, value,
                         o->type == OPTION_SIZE ? "size such as 64MB" : "whole number");
    if (n < o->least || n > o->most) {
        struct buf range = {0};
        if (o->type == OPTION_SIZE) {
            put_size(&range, o->least);
            buf_put_text(&range, " to ");
            put_size(&range, o->most);
        } else {
            buf_printf(&range, "%lld to %lld", (long long)o->least, (long long)o->most);
        }
        error_set(err, ERROR_CONFIG, "%s: %s is not within %s", o->name, value, buf_text(&range));
        buf_free(&range);
        return false;
    }
    *at = n;
    return true;
}

static void *member_of(const struct config *c, const struct option *o)
{
    return (char *)(uintptr_t)c + o->offset;
}

static void set_text(struct config *c, const struct option *o, const char *value)
{
    char **at = member_of(c, o);
    bool path = o->offset == AT(home) || (o->offset == AT(library) && *value);
    char *text = path ? absolute(value) : mem_text(value);
    mem_free(*at);
    *at = text;
}

static bool set_option(struct config *c, const struct option *o, const char *value, struct error *err)
{
    if (o->type == OPTION_TEXT) {
        set_text(c, o, value);
        return true;
    }
    if (o->type != OPTION_BOOL) return set_number(member_of(c, o), o, value, err);
    if (parse_bool(value, member_of(c, o))) return true;
    return error_set(err, ERROR_CONFIG, "%s: \"%s\" is neither true nor false", o->name, value);
}

/* --- the nearest name --- */

static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    size_t n = strlen(a), m = strlen(b), row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST) return LONGEST;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

const char *config_nearest(const char *wrong, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t least = strlen(wrong) / 3 + 1; /* a third of the letters may be wrong, at most three */
    if (least > 3) least = 3;
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(wrong, names[i]);
        if (distance > least || (best && distance == least)) continue;
        best = names[i];
        least = distance;
    }
    return best;
}

static const char *nearest_option(const char *wrong)
{
    const char *names[sizeof config_options / sizeof *config_options];
    for (size_t i = 0; i < config_option_count; i++) names[i] = config_options[i].name;
    return config_nearest(wrong, names, config_option_count);
}

/* Debezium writes '.' and '-' where we have '_'. */
static bool same_name(const char *ours, const char *name)
{
    while (*ours && (*ours == *name || (*ours == '_' && *name == '.'))) {
        ours++;
        name++;
    }
    return *ours == *name;
}

const struct option *config_option(const char *name)
{
    for (size_t i = 0; i < config_option_count; i++)
        if (same_name(config_options[i].name, name)) return &config_options[i];
    return NULL;
}

/* --- kafka.* --- */

static const char kafka_prefix[] = "kafka.";
enum { KAFKA_PREFIX = sizeof kafka_prefix - 1 };

static struct config_property *find_property(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->kafka_count; i++)
        if (strcmp(c->kafka[i].name, name) == 0) return &c->kafka[i];
    return NULL;
}

const char *config_kafka(const struct config *c, const char *name)
{
    const struct config_property *p = find_property(c, name);
    return p ? p->value : NULL;
}

static void set_property(struct config *c, const char *name, const char *value)
{
    struct config_property *p = find_property(c, name);
    if (!p) {
        MEM_GROW(c->kafka, c->kafka_count, c->kafka_cap);
        p = &c->kafka[c->kafka_count++];
        *p = (struct config_property){.name = mem_text(name)};
    }
    mem_free(p->value);
    p->value = mem_text(value);
}

static void free_properties(struct config *c)
{
    for (size_t i = 0; i < c->kafka_count; i++) {
        mem_free(c->kafka[i].name);
        mem_free(c->kafka[i].value);
    }
    mem_free(c->kafka);
}

static bool is_secret_property(const char *name)
{
    return strstr(name, "password") || strstr(name, "secret") || strstr(name, "ssl.key.pem") || strstr(name, "jaas");
}

/* --- life --- */

void config_init(struct config *c)
{
    *c = (struct config){0};
    struct error err;
    for (size_t i = 0; i < config_option_count; i++)
        if (!set_option(c, &config_options[i], config_options[i].fallback, &err)) abort();
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < config_option_count; i++)
        if (config_options[i].type == OPTION_TEXT) mem_free(*(char **)member_of(c, &config_options[i]));
    free_properties(c);
    *c = (struct config){0};
}

bool config_set(struct config *c, const char *name, const char *value, struct error *err)
{
    const struct option *o = config_option(name);
    if (o) return set_option(c, o, value, err);
    if (strncmp(name, kafka_prefix, KAFKA_PREFIX) == 0 && name[KAFKA_PREFIX]) {
        set_property(c, name + KAFKA_PREFIX, value);
        return true;
    }
    const char *near = nearest_option(name);
    return error_set(err, ERROR_CONFIG, "there is no setting \"%s\"%s%s%s", name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* --- file and environment --- */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) text++;
    size_t len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1])) len--;
    text[len] = '\0';
    return text;
}

/* "name = value"; a '#' starts a comment only at the line's start or after a space, for passwords. */
static bool read_line(struct config *c, char *line, struct error *err)
{
    for (char *p = line; *p; p++)
        if (*p == '#' && (p == line || isspace((unsigned char)p[-1]))) {
            *p = '\0';
            break;
        }
    line = trim(line);
    if (!*line) return true;
    char *equals = strchr(line, '=');
    if (!equals) return error_set(err, ERROR_CONFIG, "\"%s\" is not \"name = value\"", line);
    *equals = '\0';
    char *name = trim(line), *value = trim(equals + 1);
    if (strcmp(name, "home") == 0)
        return error_set(err, ERROR_CONFIG, "home cannot be set here: it says where this file lies");
    return config_set(c, name, value, err);
}

bool config_read_file(struct config *c, const char *path, struct error *err)
{
    if (!file_exists(path)) return true;
    struct buf text = {.max = (size_t)MB};
    bool ok = file_read(path, &text, err);
    char *line = text.len ? (char *)(uintptr_t)buf_text(&text) : NULL;
    for (int number = 1; ok && line; number++) {
        char *end = strchr(line, '\n');
        if (end) *end = '\0';
        ok = read_line(c, line, err) || error_wrap(err, "%s line %d", path, number);
        line = end ? end + 1 : NULL;
    }
    buf_free(&text);
    return ok;
}

/* The option that an environment variable names; false when its name is a near miss of one. */
static bool option_of_variable(const char *variable, size_t len, const struct option **out,
                               struct error *err)
{
    char name[64];
    *out = NULL;
    if (len >= sizeof name) return true;
    for (size_t i = 0; i < len; i++) name[i] = (char)tolower((unsigned char)variable[i]);
    name[len] = '\0';
    *out = config_option(name);
    const char *near = *out ? NULL : nearest_option(name);
    if (!near) return true;
    return error_set(err, ERROR_CONFIG, "environment: there is no setting MILLRACE_%.*s; did you mean %s?",
                     (int)len, variable, near);
}

/* MILLRACE_KAFKA_SASL_USERNAME: kafka.sasl.username; librdkafka's names have no other sign than the point. */
static void set_variable_property(struct config *c, const char *variable, const char *equals)
{
    char *name = mem_textn(variable, (size_t)(equals - variable));
    for (char *p = name; *p; p++) *p = *p == '_' ? '.' : (char)tolower((unsigned char)*p);
    set_property(c, name, equals + 1);
    mem_free(name);
}

bool config_read_environment(struct config *c, struct error *err)
{
    static const char prefix[] = "MILLRACE_";
    for (char **at = environ; *at; at++) {
        if (strncmp(*at, prefix, sizeof prefix - 1) != 0) continue;
        const char *variable = *at + sizeof prefix - 1, *equals = strchr(variable, '=');
        if (!equals) continue;
        const struct option *o;
        if (strncmp(variable, "KAFKA_", KAFKA_PREFIX) == 0) {
            set_variable_property(c, variable + KAFKA_PREFIX, equals);
            continue;
        }
        if (!option_of_variable(variable, (size_t)(equals - variable), &o, err)) return false;
        if (o && !set_option(c, o, equals + 1, err)) return error_wrap(err, "environment");
    }
    return true;
}

/* --- output --- */

static const char *find_password_key(const char *text)
{
    const char *at = strstr(text, "password");
    if (!at) return NULL;
    at += strlen("password");
    at += strspn(at, " ");
    return *at == '=' ? at + 1 + strspn(at + 1, " ") : find_password_key(at);
}

/* Length of a libpq value: quoted with backslash escapes, or up to a space or '&'. */
static size_t value_length(const char *text)
{
    if (*text != '\'') return strcspn(text, " &\t\n");
    size_t i = 1;
    while (text[i] && text[i] != '\'') i += text[i] == '\\' && text[i + 1] ? 2 : 1;
    return text[i] ? i + 1 : i;
}

void config_put_source(const char *source, struct buf *out)
{
    /* postgres://user:SECRET@host: everything up to the last '@' that could still be password. */
    const char *user = strstr(source, "://");
    size_t place = user ? strcspn(user + 3, "?") : 0;
    const char *at = user ? memrchr(user + 3, '@', place) : NULL;
    const char *colon = at ? memchr(user + 3, ':', (size_t)(at - user - 3)) : NULL;
    if (colon) {
        buf_printf(out, "%.*s***", (int)(colon + 1 - source), source);
        source = at;
    }
    for (const char *key; (key = find_password_key(source)); source = key + value_length(key))
        buf_printf(out, "%.*s***", (int)(key - source), source);
    buf_put_text(out, source);
}

static void put_value(const struct config *c, const struct option *o, struct buf *out)
{
    const void *at = member_of(c, o);
    switch (o->type) {
    case OPTION_TEXT: {
        const char *text = *(char *const *)at;
        if (o->offset == AT(source)) config_put_source(text, out);
        else buf_put_text(out, o->secret && *text ? "***" : text);
        break;
    }
    case OPTION_INT: buf_printf(out, "%lld", (long long)*(const int64_t *)at); break;
    case OPTION_SIZE: put_size(out, *(const int64_t *)at); break;
    case OPTION_BOOL: buf_put_text(out, *(const bool *)at ? "true" : "false"); break;
    }
}

void config_print(const struct config *c, struct buf *out)
{
    for (size_t i = 0; i < config_option_count; i++) {
        buf_printf(out, "%s = ", config_options[i].name);
        put_value(c, &config_options[i], out);
        buf_put_char(out, '\n');
    }
    for (size_t i = 0; i < c->kafka_count; i++)
        buf_printf(out, "%s%s = %s\n", kafka_prefix, c->kafka[i].name,
                   is_secret_property(c->kafka[i].name) ? "***" : c->kafka[i].value);
}
