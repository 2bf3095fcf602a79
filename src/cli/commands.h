/* Every command. Each is defined in src/cli/<name>.c. */
#ifndef MILLRACE_CLI_COMMANDS_H
#define MILLRACE_CLI_COMMANDS_H

#include "cli/cli.h"

#define CLI_COMMANDS(X)                                                                              \
    X(demo)                                                                                          \
    X(setup)                                                                                         \
    X(load)                                                                                          \
    X(generate)                                                                                      \
    X(run)                                                                                           \
    X(status)                                                                                        \
    X(check)                                                                                         \
    X(query)                                                                                         \
    X(inspect)                                                                                       \
    X(quarantine)                                                                                    \
    X(rebuild)                                                                                       \
    X(shadow)                                                                                        \
    X(resync)                                                                                        \
    X(doctor)                                                                                        \
    X(config)                                                                                        \
    X(version)                                                                                       \
    X(help)

#define CLI_DECLARE(name) extern const struct command command_##name;
CLI_COMMANDS(CLI_DECLARE)
#undef CLI_DECLARE

/* help.c: the page of one command, and of all. */
void help_put_command(const struct command *command, struct buf *out);
void help_put_overview(struct buf *out);

#endif
