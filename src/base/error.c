#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

PRINTF_LIKE(2, 0) static void set_text(struct error *err, const char *fmt, va_list args)
{
    vsnprintf(err->text, sizeof err->text, fmt, args);
}

bool error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    err->kind = kind;
    set_text(err, fmt, args);
    va_end(args);
    return false;
}

bool error_errno(struct error *err, const char *fmt, ...)
{
    int code = errno;
    va_list args;
    va_start(args, fmt);
    set_text(err, fmt, args);
    va_end(args);
    size_t used = strlen(err->text);
    char reason[128];
    /* the GNU strerror_r may return a constant instead of filling the buffer */
    const char *text = strerror_r(code, reason, sizeof reason);
    snprintf(err->text + used, sizeof err->text - used, ": %s", text);
    switch (code) {
    case ENOSPC: case EDQUOT: case EIO: case EAGAIN: case EINTR: case ETIMEDOUT:
    case ECONNREFUSED: case ECONNRESET: case EPIPE: case EMFILE: case ENFILE: case ENOMEM:
        err->kind = ERROR_RETRY;
        break;
    case EACCES: case EPERM: case EROFS: case ENOTDIR: case ENOENT: case EADDRINUSE:
        err->kind = ERROR_CONFIG;
        break;
    default:
        err->kind = ERROR_FATAL;
    }
    return false;
}

bool error_wrap(struct error *err, const char *fmt, ...)
{
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, fmt);
    set_text(err, fmt, args);
    va_end(args);
    size_t used = strlen(err->text);
    size_t room = sizeof err->text - used;
    if (room > 3) {
        err->text[used] = ':';
        err->text[used + 1] = ' ';
        size_t n = strnlen(old, room - 3);
        memcpy(err->text + used + 2, old, n);
        err->text[used + 2 + n] = '\0';
    }
    return false;
}

bool error_advise(struct error *err, const char *advice)
{
    if (!*advice || strstr(err->text, advice)) return false;
    size_t used = strnlen(err->text, sizeof err->text - 1), len = strlen(advice) + 3;
    if (used + len > sizeof err->text) used = sizeof err->text - len; /* it matters more than the end */
    snprintf(err->text + used, sizeof err->text - used, "; %s", advice);
    return false;
}

const char *error_kind_name(enum error_kind kind)
{
    switch (kind) {
    case ERROR_RETRY: return "retry";
    case ERROR_DATA: return "data";
    case ERROR_CONFIG: return "config";
    case ERROR_FATAL: return "fatal";
    case ERROR_NONE: break;
    }
    return "none";
}
