/* Settings from the command line, the order of precedence, and what settings must be together. */
#include "base/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* Is `name` one of the command's own? Those that take a value say so by having no '!' at the end. */
static bool is_extra(const char *const *extra, const char *name, size_t len, bool *takes_value)
{
    for (; extra && *extra; extra++) {
        size_t own = strlen(*extra);
        *takes_value = own == 0 || (*extra)[own - 1] != '!';
        if (!*takes_value) own--;
        if (own == len && memcmp(*extra, name, len) == 0) return true;
    }
    return false;
}

static bool unknown_flag(const char *name, const char *const *extra, struct error *err)
{
    char *names[160] = {0};
    size_t count = 0;
    for (; extra && *extra && count < 64; extra++) names[count++] = mem_textn(*extra, strcspn(*extra, "!"));
    for (size_t i = 0; i < config_option_count && count < 160; i++)
        names[count++] = mem_text(config_options[i].name);
    for (size_t i = 0; i < count; i++)
        for (char *p = names[i]; *p; p++)
            if (*p == '_') *p = '-';
    const char *near = config_nearest(name, (const char *const *)names, count);
    error_set(err, ERROR_CONFIG, "there is no option --%s%s%s%s", name, near ? "; did you mean --" : "",
              near ? near : "", near ? "?" : "");
    for (size_t i = 0; i < count; i++) mem_free(names[i]);
    return false;
}

/* argv[i] is a setting: sets it and says in *taken how many arguments it used; 0: not a setting. */
static bool take_setting(struct config *c, int left, char **at, int *taken, struct error *err)
{
    const char *flag = *at + 2;
    size_t len = strcspn(flag, "=");
    char name[64];
    *taken = 0;
    if (len >= sizeof name) return true;
    snprintf(name, sizeof name, "%.*s", (int)len, flag);
    for (char *p = name; *p; p++)
        if (*p == '-') *p = '_';
    const struct option *o = config_option(name);
    bool property = strncmp(name, "kafka.", 6) == 0;
    if (!o && !property) return true;
    const char *value = flag[len] == '=' ? flag + len + 1 : NULL;
    *taken = 1;
    if (!value && o && o->type == OPTION_BOOL) value = "true";
    if (!value && left < 2) return error_set(err, ERROR_CONFIG, "--%s needs a value", flag);
    if (!value) {
        value = at[1];
        *taken = 2;
    }
    return config_set(c, name, value, err);
}

bool config_read_flags(struct config *c, int *argc, char **argv, const char *const *extra,
                       struct error *err)
{
    int kept = 0, i = 0;
    while (i < *argc) {
        char *arg = argv[i];
        if (strcmp(arg, "--") == 0) break;
        if (strncmp(arg, "--", 2) != 0 || !(isalpha((unsigned char)arg[2]))) {
            argv[kept++] = argv[i++];
            continue;
        }
        size_t len = strcspn(arg + 2, "=");
        bool takes_value = false;
        if (is_extra(extra, arg + 2, len, &takes_value)) {
            bool next = takes_value && arg[2 + len] != '=';
            if (next && i + 1 >= *argc) return error_set(err, ERROR_CONFIG, "%s needs a value", arg);
            argv[kept++] = argv[i++];
            if (next) argv[kept++] = argv[i++];
            continue;
        }
        int taken;
        if (!take_setting(c, *argc - i, argv + i, &taken, err)) return false;
        if (!taken) return unknown_flag(arg + 2, extra, err);
        i += taken;
    }
    while (i < *argc) argv[kept++] = argv[i++];
    *argc = kept;
    argv[kept] = NULL;
    return true;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "localhost") == 0 ||
           strcmp(address, "::1") == 0;
}

static bool only_of(const char *text, const char *allowed)
{
    return *text && text[strspn(text, allowed)] == '\0';
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

bool config_validate(const struct config *c, struct error *err)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    bool level_ok = false;
    for (size_t i = 0; i < 4; i++) level_ok |= strcmp(c->log_level, levels[i]) == 0;
    if (!level_ok)
        return error_set(err, ERROR_CONFIG, "log_level: \"%s\" is not debug, info, warn or error",
                         c->log_level);
    if (!is_loopback(c->listen) && !*c->password)
        return error_set(err, ERROR_CONFIG,
                         "listen: other machines can reach %s: set a password, or listen on 127.0.0.1",
                         c->listen);
    if (c->http_port && c->http_port == c->clickhouse_port)
        return error_set(err, ERROR_CONFIG, "http_port and clickhouse_port are both %lld",
                         (long long)c->http_port);
    if (!only_of(c->slot, LOWER DIGITS "_") || strlen(c->slot) > 63)
        return error_set(err, ERROR_CONFIG, "slot: \"%s\": use up to 63 of a to z, 0 to 9 and _", c->slot);
    if (!*c->publication || strlen(c->publication) > 63)
        return error_set(err, ERROR_CONFIG, "publication: \"%s\": use 1 to 63 bytes", c->publication);
    if (!only_of(c->timezone, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_+-/"))
        return error_set(err, ERROR_CONFIG, "timezone: \"%s\" is not a name such as America/Sao_Paulo",
                         c->timezone);
    if (*c->hash_columns && !*c->hash_salt)
        return error_set(err, ERROR_CONFIG, "hash_columns needs hash_salt: hashes without can be guessed");
    if (strcmp(c->stream, "memory") != 0 && strcmp(c->stream, "kafka") != 0)
        return error_set(err, ERROR_CONFIG, "stream: \"%s\" is not memory or kafka", c->stream);
    if (strcmp(c->stream, "kafka") == 0 && !*c->bootstrap_servers)
        return error_set(err, ERROR_CONFIG, "stream = kafka needs bootstrap_servers, such as localhost:9092");
    return true;
}

/* Flags and environment say where the file lies, so they are read twice: first for the home only. */
static bool find_home(char **home, int argc, char **argv, const char *const *extra, struct error *err)
{
    struct config c;
    config_init(&c);
    char **copy = mem_alloc(((size_t)argc + 1) * sizeof *copy);
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    bool ok = config_read_environment(&c, err) && config_read_flags(&c, &argc, copy, extra, err);
    if (ok) *home = mem_text(c.home);
    mem_free(copy);
    config_free(&c);
    return ok;
}

bool config_load(struct config *c, int *argc, char **argv, const char *const *extra, struct error *err)
{
    char *home = NULL;
    if (!find_home(&home, *argc, argv, extra, err)) return false;
    config_init(c);
    char *path = mem_format("%s/millrace.conf", home);
    bool ok = config_read_file(c, path, err) && config_read_environment(c, err) &&
              config_read_flags(c, argc, argv, extra, err) && config_validate(c, err);
    if (!ok) config_free(c);
    mem_free(path);
    mem_free(home);
    return ok;
}
