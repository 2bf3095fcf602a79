/* The log: one line per event on stderr, the event first, then key=value pairs.
 *   log_info("bronze", "committed", "version=%lld rows=%zu", v, n);
 * Text, or JSON lines with log_json. Never pass a secret. The last LOG_KEPT lines from info up are kept in
 * memory for the pipeline page, whatever level goes to stderr. Thread-safe. */
#ifndef MILLRACE_BASE_LOG_H
#define MILLRACE_BASE_LOG_H

#include "base/buf.h"
#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum { LOG_KEPT = 200 };

void log_setup(enum log_level least, bool json);
void log_write(enum log_level level, const char *stage, const char *event, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* "<event>: <kind>: <text>" at the level that the kind deserves. */
void log_error(const char *stage, const char *event, const struct error *err);
/* Appends the kept lines, oldest first, as a JSON array of {time_us, level, stage, event, detail}. */
void log_recent(struct buf *json);

#define log_debug(stage, event, ...) log_write(LOG_DEBUG, stage, event, __VA_ARGS__)
#define log_info(stage, event, ...) log_write(LOG_INFO, stage, event, __VA_ARGS__)
#define log_warn(stage, event, ...) log_write(LOG_WARN, stage, event, __VA_ARGS__)

#endif
