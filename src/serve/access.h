/* Who may ask: the two rules that both servers (pages, ClickHouse protocol) hold. */
#ifndef MILLRACE_SERVE_ACCESS_H
#define MILLRACE_SERVE_ACCESS_H

#include <stdbool.h>

/* Compares in a time that does not depend on where the texts differ. */
bool access_same_secret(const char *given, const char *wanted);
/* Is the Host header a name of this machine: absent, localhost or an address? Without a password nothing
 * else is answered, so that a web page cannot ask through a name of its own that leads here. */
bool access_own_name(const char *host);

#endif
