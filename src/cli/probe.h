/* Does the SQL engine work here? Tried in a child process with a folder of its own, because a process
 * opens the engine once, and a library that does not fit may take the process down. */
#ifndef MILLRACE_CLI_PROBE_H
#define MILLRACE_CLI_PROBE_H

#include "base/error.h"

enum { PROBE_TEXT = 200 };

/* The engine's version in text (PROBE_TEXT bytes). */
bool engine_probe(const char *library, char *text, struct error *err) MUST_CHECK;

#endif
