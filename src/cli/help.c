/* `help`, and the pages that it prints: made from the commands' and the settings' own tables. */
#include "cli/commands.h"

#include <stdio.h>

static struct slice first_line(const char *text)
{
    return (struct slice){text, strcspn(text, "\n")};
}

void help_put_overview(struct buf *out)
{
    buf_put_text(out,
                 "Millrace carries every change of a shop's PostgreSQL exactly once into a Delta lake,\n"
                 "a ClickHouse star schema and onto dashboards. One program, one folder.\n\n"
                 "  millrace COMMAND [--setting VALUE ...]\n\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        struct slice line = first_line(cli_commands[i]->summary);
        buf_printf(out, "  %-11s %.*s\n", cli_commands[i]->name, (int)line.len, line.data);
    }
    buf_put_text(out, "\nmillrace help COMMAND    what it does, its options, an example\n"
                      "millrace help settings   every setting, for all commands\n\n"
                      "Exit codes: 0 done; 1 failed, or what was compared differs; 2 wrong call;\n"
                      "3 a setting must be changed; 4 unavailable now, the same call may succeed later\n");
}

static void put_indented(struct buf *out, const char *text)
{
    while (*text) {
        struct slice line = first_line(text);
        buf_printf(out, "  %.*s\n", (int)line.len, line.data);
        text += line.len + (text[line.len] == '\n');
    }
}

void help_put_command(const struct command *command, struct buf *out)
{
    buf_printf(out, "millrace %s\n\n", command->usage);
    put_indented(out, command->summary);
    if (command->options[0].name) buf_put_text(out, "\nOptions:\n");
    for (const struct cli_option *o = command->options; o < command->options + CLI_OPTIONS_MAX && o->name;
         o++) {
        char name[64];
        snprintf(name, sizeof name, "--%s %s", o->name, o->value ? o->value : "");
        buf_printf(out, "  %-22s %s\n", name, o->help);
    }
    buf_put_text(out, "\nExample:\n");
    put_indented(out, command->example);
    if (!command->no_settings) buf_put_text(out, "\nSettings are options, too: millrace help settings\n");
}

static void put_flag_name(struct buf *out, const char *name)
{
    for (; *name; name++)
        buf_put_char(out, *name == '_' ? '-' : *name);
}

static void put_settings(struct buf *out)
{
    buf_put_text(out,
                 "Settings, in the order in which they win: option, environment (MILLRACE_NAME), file\n"
                 "(<home>/millrace.conf, lines of \"name = value\"), default.\n\n");
    for (size_t i = 0; i < config_option_count; i++) {
        const struct option *o = &config_options[i];
        struct buf line = {0};
        buf_put_text(&line, "--");
        put_flag_name(&line, o->name);
        buf_printf(out, "  %-27s %s%s%s%s\n", buf_text(&line), o->help, *o->fallback ? " [" : "",
                   o->fallback, *o->fallback ? "]" : "");
        buf_free(&line);
    }
}

/* docs/cli.md */
static void put_docs(struct buf *out)
{
    buf_put_text(out,
                 "# Commands\n\nMade by `millrace help --docs`; `make docs` writes it again.\n\n```\n");
    help_put_overview(out);
    buf_put_text(out, "```\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        buf_printf(out, "\n## %s\n\n```\n", cli_commands[i]->name);
        help_put_command(cli_commands[i], out);
        buf_put_text(out, "```\n");
    }
}

static int run_help(struct cli *cli)
{
    struct buf text = {0};
    bool docs = cli_flag(cli, "docs");
    if (!cli_arguments(cli, 0, 1)) return CLI_USAGE;
    const char *about = cli->argc > 1 ? cli->argv[1] : NULL;
    const struct command *command = about ? cli_command(about) : NULL;
    if (docs)
        put_docs(&text);
    else if (!about)
        help_put_overview(&text);
    else if (strcmp(about, "settings") == 0)
        put_settings(&text);
    else if (command)
        help_put_command(command, &text);
    else
        return cli_wrong(cli, "there is no command \"%s\"", about);
    struct error err;
    bool ok = cli_print(buf_slice(&text), &err);
    buf_free(&text);
    return ok ? CLI_OK : cli_fail(&err);
}

const struct command command_help = {
    .name = "help",
    .summary = "Explain a command, or all settings\nWithout a name: the list of commands.",
    .usage = "help [COMMAND | settings]",
    .example = "millrace help query",
    .options = {{"docs", NULL, "print docs/cli.md"}},
    .no_settings = true,
    .run = run_help,
};
