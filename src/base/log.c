#include "base/log.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct line {
    int64_t time_us;
    enum log_level level;
    char stage[16], event[40], detail[400];
};

/* Protects everything below; taken last, held for one write. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct line kept[LOG_KEPT];
static size_t written;
static enum log_level least_level = LOG_INFO;
static bool as_json;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level least, bool json)
{
    least_level = least;
    as_json = json;
}

static void put_line_json(struct buf *out, const struct line *line)
{
    buf_printf(out, "{\"time_us\":%lld,\"level\":\"%s\",\"stage\":", (long long)line->time_us,
               level_names[line->level]);
    buf_put_json(out, slice_of(line->stage));
    buf_put_text(out, ",\"event\":");
    buf_put_json(out, slice_of(line->event));
    buf_put_text(out, ",\"detail\":");
    buf_put_json(out, slice_of(line->detail));
    buf_put_char(out, '}');
}

static void put_line_text(struct buf *out, const struct line *line)
{
    char time[CLOCK_TEXT];
    clock_format_iso(line->time_us, time);
    buf_printf(out, "%.23sZ %-5s %-9s %s%s%s", time, level_names[line->level], line->stage, line->event,
               line->detail[0] ? "  " : "", line->detail);
}

void log_write(enum log_level level, const char *stage, const char *event, const char *fmt, ...)
{
    if (level < least_level && level < LOG_INFO) return;
    struct line line = {.time_us = clock_wall_us(), .level = level};
    snprintf(line.stage, sizeof line.stage, "%s", stage);
    snprintf(line.event, sizeof line.event, "%s", event);
    va_list args;
    va_start(args, fmt);
    vsnprintf(line.detail, sizeof line.detail, fmt, args);
    va_end(args);
    for (char *p = line.detail; *p; p++) /* outside text must not forge lines or drive the terminal */
        if ((unsigned char)*p < 0x20) *p = ' ';

    struct buf out = {0};
    if (as_json) put_line_json(&out, &line);
    else put_line_text(&out, &line);
    buf_put_char(&out, '\n');
    pthread_mutex_lock(&lock);
    kept[written++ % LOG_KEPT] = line;
    ssize_t n = level < least_level ? 0 : write(STDERR_FILENO, out.data, out.len);
    (void)n; /* a log that cannot be written must not stop the flow */
    pthread_mutex_unlock(&lock);
    buf_free(&out);
}

void log_error(const char *stage, const char *event, const struct error *err)
{
    enum log_level level = err->kind == ERROR_RETRY || err->kind == ERROR_DATA ? LOG_WARN : LOG_ERROR;
    log_write(level, stage, event, "%s: %s", error_kind_name(err->kind), err->text);
}

void log_recent(struct buf *json)
{
    pthread_mutex_lock(&lock);
    size_t count = written < LOG_KEPT ? written : LOG_KEPT;
    buf_put_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        if (i) buf_put_char(json, ',');
        put_line_json(json, &kept[(written - count + i) % LOG_KEPT]);
    }
    buf_put_char(json, ']');
    pthread_mutex_unlock(&lock);
}
