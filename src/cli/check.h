/* What `check` and `demo` share: one line of a check's report on stdout. */
#ifndef MILLRACE_CLI_CHECK_H
#define MILLRACE_CLI_CHECK_H

#include "check/check.h"

/* A check_each; false when stdout is closed. */
bool check_print_line(void *arg, const struct check_line *line);

#endif
