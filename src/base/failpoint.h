/* Named points at which a test stops the process as kill -9 would. MILLRACE_FAIL holds
 * "<name>:<n>": at the n-th passing of that point the process sends itself SIGKILL.
 * Every point is listed in failpoint_names, so that a test can cover all of them. */
#ifndef MILLRACE_BASE_FAILPOINT_H
#define MILLRACE_BASE_FAILPOINT_H

void failpoint(const char *name);
/* NULL-terminated list of all names; `millrace version --failpoints` prints it. */
extern const char *const failpoint_names[];

#endif
