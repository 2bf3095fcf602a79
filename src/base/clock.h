/* Time, in microseconds. Wall time for people and commits, monotonic time for waiting and measuring. */
#ifndef MILLRACE_BASE_CLOCK_H
#define MILLRACE_BASE_CLOCK_H

#include <stdint.h>

/* PostgreSQL counts microseconds from 2000-01-01; add this to get Unix microseconds. */
#define CLOCK_PG_EPOCH_US INT64_C(946684800000000)

int64_t clock_wall_us(void);
int64_t clock_mono_us(void);
void clock_sleep_us(int64_t us);

/* Proleptic Gregorian: days since 1970-01-01 and back (year may be negative: 0 is 1 BC). */
int64_t clock_days(int64_t year, int month, int day);
void clock_civil(int64_t days, int64_t *year, int *month, int *day);

/* "2026-01-31T12:00:00.123456Z"; text has room for at least CLOCK_TEXT bytes. */
enum { CLOCK_TEXT = 40 };
void clock_format_iso(int64_t unix_us, char *text);

#endif
