/* Errors as values.
 *
 * A function that can fail returns bool, is marked MUST_CHECK and takes a `struct error *` last.
 * The kind is a verdict: it says what the caller that decides should do, not where it happened.
 * Nobody logs and returns; whoever decides, logs, once. */
#ifndef MILLRACE_BASE_ERROR_H
#define MILLRACE_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum error_kind {
    ERROR_NONE = 0,
    ERROR_RETRY,  /* the same call may succeed later: network, restart, lock */
    ERROR_DATA,   /* the input is at fault: quarantine or refuse it, go on with the rest */
    ERROR_CONFIG, /* the user must change something: the text says what */
    ERROR_FATAL,  /* nothing can be done here: stop the process, keep what is durable */
};

struct error {
    enum error_kind kind;
    char text[1000];
};

/* Sets kind and text; always returns false so that `return error_set(...)` reads well. */
bool error_set(struct error *err, enum error_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same with ": <strerror(errno)>" appended; ENOSPC, EIO and the like are RETRY. */
bool error_errno(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "<prefix>: " before the text and keeps the kind; always returns false. */
bool error_wrap(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "; <what to do>" after the text, unless it is there or there is nothing to do; always returns false. */
bool error_advise(struct error *err, const char *advice);

/* "retry", "data", "config", "fatal"; never NULL. */
const char *error_kind_name(enum error_kind kind);

#endif
