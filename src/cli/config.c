/* `config`: the settings as they are, and the page that documents them. */
#include "cli/commands.h"

static const char *type_name(enum option_type type)
{
    switch (type) {
    case OPTION_TEXT: return "text";
    case OPTION_INT: return "number";
    case OPTION_SIZE: return "size";
    case OPTION_BOOL: return "true or false";
    }
    return "";
}

/* docs/config.md */
static void put_docs(struct buf *out)
{
    buf_put_text(
        out,
        "# Settings\n\n"
        "Made by `millrace config --docs`; `make docs` writes it again.\n\n"
        "A setting is taken from the first of these that has it:\n\n"
        "1. an option, `--name VALUE`, with `-` for `_`;\n"
        "2. the environment, `MILLRACE_NAME`;\n"
        "3. the file `<home>/millrace.conf`, lines of `name = value`, `#` starts a comment;\n"
        "4. the default.\n\n"
        "Sizes take `KB`, `MB` or `GB` (1024). A name that does not exist is refused, with the nearest\n"
        "one that does. `millrace config` prints what is in force, secrets as `***`. Names of Debezium's may be\n"
        "written with its points (`decimal.handling.mode`). `kafka.NAME` hands a property on to librdkafka, as\n"
        "`kafka.security.protocol = SASL_SSL`, `--kafka.sasl.username VALUE` or `MILLRACE_KAFKA_SASL_PASSWORD`.\n\n"
        "| name | type | default | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < config_option_count; i++) {
        const struct option *o = &config_options[i];
        const char *tick = *o->fallback ? "`" : "";
        buf_printf(out, "| `%s` | %s%s | %s%s%s | %s |\n", o->name, type_name(o->type),
                   o->secret ? ", secret" : "", tick, o->fallback, tick, o->help);
    }
}

static int run_config(struct cli *cli)
{
    bool docs = cli_flag(cli, "docs");
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    struct buf text = {0};
    if (docs)
        put_docs(&text);
    else
        config_print(&cli->config, &text);
    struct error err;
    bool ok = cli_print(buf_slice(&text), &err);
    buf_free(&text);
    return ok ? CLI_OK : cli_fail(&err);
}

const struct command command_config = {
    .name = "config",
    .summary = "Print the settings in force\nFrom options, environment, <home>/millrace.conf and defaults; "
               "secrets as ***.",
    .usage = "config [--docs]",
    .example = "millrace config --home ./shop",
    .options = {{"docs", NULL, "print docs/config.md"}},
    .run = run_config,
};
