/* Finds the command, checks the call, loads the settings, runs. */
#include "cli/cli.h"

#include "base/log.h"
#include "cli/commands.h"

#include <stdarg.h>
#include <stdio.h>

#define ENTRY(name) &command_##name,
const struct command *const cli_commands[] = {CLI_COMMANDS(ENTRY)};
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;
#undef ENTRY

const struct command *cli_command(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
    return NULL;
}

/* --- what is said --- */

int cli_fail(const struct error *err)
{
    fprintf(stderr, "millrace: %s\n", err->text);
    switch (err->kind) {
    case ERROR_RETRY: return CLI_RETRY;
    case ERROR_CONFIG: return CLI_CONFIG;
    case ERROR_NONE:
    case ERROR_DATA:
    case ERROR_FATAL: break;
    }
    return CLI_FAILED;
}

int cli_wrong(const struct cli *cli, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("millrace: ", stderr);
    vfprintf(stderr, fmt, args);
    va_end(args);
    const char *space = cli->command ? " " : "", *name = cli->command ? cli->command->name : "";
    fprintf(stderr, "\nSee: millrace help%s%s\n", space, name);
    return CLI_USAGE;
}

bool cli_print(struct slice text, struct error *err)
{
    bool ok = fwrite(text.data, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
    return ok || error_errno(err, "cannot write the output");
}

static int print_and_free(struct buf *text, int code)
{
    struct error err;
    bool ok = cli_print(buf_slice(text), &err);
    buf_free(text);
    return ok ? code : cli_fail(&err);
}

/* --- the command's own options --- */

static const struct cli_option *own_option(const struct command *command, const char *name, size_t len)
{
    for (const struct cli_option *o = command->options; o < command->options + CLI_OPTIONS_MAX && o->name;
         o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0) return o;
    return NULL;
}

static void remove_arguments(struct cli *cli, int at, int count)
{
    for (int i = at; i + count <= cli->argc; i++)
        cli->argv[i] = cli->argv[i + count]; /* with the NULL */
    cli->argc -= count;
}

/* Takes the first --name out; its value ("" without one) in *value, false when there is none. The values
 * of other options are passed over, even when they look like this one. */
static bool take_option(struct cli *cli, const char *name, const char **value)
{
    for (int i = 1; i < cli->argc && strcmp(cli->argv[i], "--") != 0; i++) {
        const char *arg = cli->argv[i];
        if (strncmp(arg, "--", 2) != 0) continue;
        size_t len = strcspn(arg + 2, "=");
        const struct cli_option *o = own_option(cli->command, arg + 2, len);
        bool separate = o && o->value && arg[2 + len] != '=' && i + 1 < cli->argc;
        if (strlen(name) == len && memcmp(name, arg + 2, len) == 0) {
            *value = separate ? cli->argv[i + 1] : arg[2 + len] == '=' ? arg + 3 + len : "";
            remove_arguments(cli, i, separate ? 2 : 1);
            return true;
        }
        if (separate) i++;
    }
    return false;
}

const char *cli_option(struct cli *cli, const char *name)
{
    const char *value = NULL;
    while (take_option(cli, name, &value)) {
    }
    return value;
}

bool cli_flag(struct cli *cli, const char *name)
{
    return cli_option(cli, name) != NULL;
}

bool cli_arguments(struct cli *cli, int least, int most)
{
    for (int i = 1; i < cli->argc; i++)
        if (strcmp(cli->argv[i], "--") == 0) {
            remove_arguments(cli, i, 1);
            break;
        }
    int given = cli->argc - 1;
    if (given >= least && given <= most) return true;
    if (given > most)
        cli_wrong(cli, "unexpected \"%s\"; usage: millrace %s", cli->argv[1 + most], cli->command->usage);
    else
        cli_wrong(cli, "something is missing; usage: millrace %s", cli->command->usage);
    return false;
}

/* --- a call --- */

/* Index of the command's name: the first argument that is neither an option nor a setting's value. */
static int find_command(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') return i;
        char name[64];
        snprintf(name, sizeof name, "%s", argv[i] + strspn(argv[i], "-"));
        for (char *p = name; *p; p++)
            if (*p == '-') *p = '_';
        const struct option *o = config_option(name); /* with '=' in it, it is none */
        if (o && o->type != OPTION_BOOL) i++;
    }
    return 0;
}

static int unknown_command(const char *name)
{
    const char *names[sizeof cli_commands / sizeof *cli_commands];
    for (size_t i = 0; i < cli_command_count; i++)
        names[i] = cli_commands[i]->name;
    const char *near = config_nearest(name, names, cli_command_count);
    struct cli none = {0};
    return cli_wrong(&none, "there is no command \"%s\"%s%s%s", name, near ? "; did you mean " : "",
                     near ? near : "", near ? "?" : "");
}

/* The command's options as config_read_flags wants them, "help!" among them; each from mem_*. */
static void list_options(const struct command *command, char **names)
{
    size_t count = 0;
    for (; count < CLI_OPTIONS_MAX && command->options[count].name; count++)
        names[count] =
            mem_format("%s%s", command->options[count].name, command->options[count].value ? "" : "!");
    names[count] = mem_text("help!");
}

/* Are all options known and whole? Tried on a copy, because a wrong call and a wrong setting in the
 * file or environment have different exit codes. */
static bool check_call(const struct cli *cli, const char *const *options, struct error *err)
{
    struct config scratch;
    config_init(&scratch);
    int argc = cli->argc;
    char **argv = mem_alloc(((size_t)argc + 1) * sizeof *argv);
    memcpy(argv, cli->argv, (size_t)argc * sizeof *argv);
    bool ok = config_read_flags(&scratch, &argc, argv, options, err);
    mem_free(argv);
    config_free(&scratch);
    return ok;
}

static void set_up_log(const struct config *c)
{
    enum log_level level = LOG_INFO;
    if (strcmp(c->log_level, "debug") == 0) level = LOG_DEBUG;
    if (strcmp(c->log_level, "warn") == 0) level = LOG_WARN;
    if (strcmp(c->log_level, "error") == 0) level = LOG_ERROR;
    log_setup(level, c->log_json);
}

static int run_command(struct cli *cli, const char *const *options)
{
    struct error err;
    if (!check_call(cli, options, &err)) return cli_wrong(cli, "%s", err.text);
    if (cli_flag(cli, "help")) {
        struct buf text = {0};
        help_put_command(cli->command, &text);
        return print_and_free(&text, CLI_OK);
    }
    if (cli->command->no_settings) return cli->command->run(cli);
    if (!config_load(&cli->config, &cli->argc, cli->argv, options, &err)) return cli_fail(&err);
    set_up_log(&cli->config);
    int code = cli->command->run(cli);
    config_free(&cli->config);
    return code;
}

/* The command's name comes first, whatever stood before it. */
static char **arrange(int argc, char **argv, int at)
{
    char **out = mem_alloc((size_t)(argc + 1) * sizeof *out);
    int count = 0;
    out[count++] = argv[at];
    for (int i = 1; i < argc; i++) {
        static char help[] = "--help";
        if (i != at) out[count++] = strcmp(argv[i], "-h") == 0 ? help : argv[i];
    }
    return out;
}

static int without_command(int argc, char **argv)
{
    struct cli none = {0};
    struct buf text = {0};
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        static char name[] = "version";
        char *call[] = {argv[0], name, NULL};
        return cli_main(2, call);
    }
    bool asked = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc > 1 && !asked) return cli_wrong(&none, "the command is missing");
    help_put_overview(&text);
    return print_and_free(&text, asked ? CLI_OK : CLI_USAGE);
}

int cli_main(int argc, char **argv)
{
    int at = find_command(argc, argv);
    if (!at) return without_command(argc, argv);
    const struct command *command = cli_command(argv[at]);
    if (!command) return unknown_command(argv[at]);
    struct cli cli = {.argc = argc - 1, .argv = arrange(argc, argv, at), .command = command};
    char *options[CLI_OPTIONS_MAX + 2] = {0}, **place = cli.argv;
    list_options(command, options);
    int code = run_command(&cli, (const char *const *)options);
    for (char **o = options; *o; o++)
        mem_free(*o);
    mem_free(place);
    return code;
}
