/* The command line: a tree of values. Each command is one `struct command` in a file of its own
 * (src/cli/<name>.c), declared and listed in commands.h; help, the refusal of wrong options
 * and docs are made from it.
 *
 * Order of a call: the command's name is found, its options and all settings are checked (wrong: exit
 * 2), the settings are loaded (wrong: exit 3), then `run` is called. Every setting of base/config is
 * an option of every command.
 *
 * Program output goes to stdout, errors and the log to stderr. */
#ifndef MILLRACE_CLI_CLI_H
#define MILLRACE_CLI_CLI_H

#include "base/config.h"
#include "base/error.h"

enum {
    CLI_OK = 0,
    CLI_FAILED = 1, /* it was done and the answer is no: differs, not found, bad */
    CLI_USAGE = 2,  /* wrong command, option or argument */
    CLI_CONFIG = 3, /* a setting or the surroundings must be changed */
    CLI_RETRY = 4,  /* unavailable now: the same call may succeed later */
};

struct cli {
    struct config config;
    int argc;    /* argv[0] is the command's name, then its own options and its arguments */
    char **argv; /* NULL-terminated */
    const struct command *command;
};

struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* what the value is called in help: "FORMAT"; NULL: takes none */
    const char *help;
};

enum { CLI_OPTIONS_MAX = 24 };

struct command {
    const char *name;
    const char *summary; /* two lines, the first alone says what it does */
    const char *usage;   /* "query \"SQL\" [--format FORMAT]" */
    const char *example; /* one or more whole command lines */
    struct cli_option options[CLI_OPTIONS_MAX];
    bool no_settings; /* run without loading the settings: config is zero */
    int (*run)(struct cli *cli);
};

/* Takes --name VALUE (or --name=VALUE) out of argv; NULL when it was not given. Last one wins. */
const char *cli_option(struct cli *cli, const char *name);
/* The same for an option without value. */
bool cli_flag(struct cli *cli, const char *name);
/* After all options were taken: checks that least to most arguments are left (argv[1]...), and takes
 * out "--". When not, prints the usage; return CLI_USAGE then. */
bool cli_arguments(struct cli *cli, int least, int most) MUST_CHECK;

/* Prints "millrace: <text>" to stderr and gives the exit code of the error's kind. */
int cli_fail(const struct error *err);
/* Prints a mistake in the call, with a pointer to the command's help; returns CLI_USAGE. */
int cli_wrong(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Writes to stdout; false when it is closed or full (the error names it). */
bool cli_print(struct slice text, struct error *err) MUST_CHECK;

/* argc and argv as main has them; returns the exit code. */
int cli_main(int argc, char **argv);

/* The commands in the order of help. */
extern const struct command *const cli_commands[];
extern const size_t cli_command_count;
const struct command *cli_command(const char *name);

#endif
