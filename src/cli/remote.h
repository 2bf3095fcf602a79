/* Asks the process that holds a home, through its port. */
#ifndef MILLRACE_CLI_REMOTE_H
#define MILLRACE_CLI_REMOTE_H

#include "base/config.h"

/* *alive tells whether a process holds config->home; the rest needs that. */
bool remote_alive(const struct config *config, bool *alive, struct error *err) MUST_CHECK;
/* GET, or POST when post; path with its query. Appends the body; RETRY when nobody answers, FATAL with the
 * answer's text on any status but 200 and 202. */
bool remote_call(const struct config *config, const char *path, bool post, struct buf *body,
                 struct error *err) MUST_CHECK;
/* A POST whose answer nobody reads; frees the path. */
bool remote_ask(const struct config *config, struct buf *path, struct error *err) MUST_CHECK;

#endif
