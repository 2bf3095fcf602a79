/* Dates and times: PostgreSQL's ISO text to Debezium's numbers and texts, by time.precision.mode.
 *
 * Days are counted in the proleptic Gregorian calendar. What the connector does with values that Java's classes do not
 * hold (infinity, 24:00:00) was recorded from it; rows of a copy go another way there than rows of the stream. One thing
 * is not taken over: the connector's copies lose the era of a date before Christ. */
#include "format/debezium/encode_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { SECOND_US = 1000000, DAY_S = 86400 };

struct moment {
    int64_t year; /* astronomical: 1 BC is 0 */
    int month, day, hour, minute, second, micros;
    int zone_s;   /* east of UTC */
    bool bc;
};

struct cursor {
    const char *at, *end;
};

static bool number(struct cursor *c, int64_t *out)
{
    const char *from = c->at;
    int64_t v = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - from < 12) v = v * 10 + (*c->at++ - '0');
    *out = v;
    return c->at > from;
}

static bool part(struct cursor *c, char before, int *out)
{
    int64_t v;
    if (before && (c->at == c->end || *c->at != before)) return false;
    if (before) c->at++;
    if (!number(c, &v) || v > 99) return false;
    *out = (int)v;
    return true;
}

static bool take_date(struct cursor *c, struct moment *m)
{
    return number(c, &m->year) && part(c, '-', &m->month) && part(c, '-', &m->day) && m->month >= 1 && m->month <= 12;
}

static bool take_time(struct cursor *c, struct moment *m)
{
    if (!part(c, 0, &m->hour) || !part(c, ':', &m->minute) || !part(c, ':', &m->second)) return false;
    if (c->at == c->end || *c->at != '.') return true;
    int unit = SECOND_US;
    for (c->at++; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        unit /= 10;
        m->micros += (*c->at - '0') * unit;
    }
    return true;
}

static bool take_zone(struct cursor *c, struct moment *m)
{
    if (c->at == c->end || (*c->at != '+' && *c->at != '-')) return true;
    int sign = *c->at++ == '-' ? -1 : 1, hours, minutes = 0, seconds = 0;
    if (!part(c, 0, &hours)) return false;
    if (c->at < c->end && *c->at == ':' && !part(c, ':', &minutes)) return false;
    if (c->at < c->end && *c->at == ':' && !part(c, ':', &seconds)) return false;
    m->zone_s = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

static bool take_era(struct cursor *c, struct moment *m)
{
    if (c->end - c->at == 3 && memcmp(c->at, " BC", 3) == 0) {
        m->bc = true;
        m->year = 1 - m->year;
        c->at += 3;
    }
    return c->at == c->end;
}

/* Days since 1970-01-01 (H. Hinnant's days_from_civil). */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_of(int64_t days, struct moment *m)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    m->day = (int)(of_year - (153 * month + 2) / 5 + 1);
    m->month = (int)(month < 10 ? month + 3 : month - 9);
    m->year = year + era * 400 + (m->month <= 2);
}

static int64_t micros_of(const struct moment *m)
{
    return ((int64_t)m->hour * 3600 + m->minute * 60 + m->second) * SECOND_US + m->micros;
}

/* ---- texts */

static void put_year(int64_t year, struct buf *json)
{
    if (year < 0) buf_printf(json, "-%04" PRId64, -year);
    else buf_printf(json, year > 9999 ? "+%" PRId64 : "%04" PRId64, year);
}

/* Fixed many digits, or as many as are needed when digits is negative. */
static void put_fraction(int micros, int digits, struct buf *json)
{
    char text[8];
    if (digits < 0 && micros == 0) return;
    snprintf(text, sizeof text, "%06d", micros);
    int n = digits < 0 ? 6 : digits;
    while (digits < 0 && n > 1 && text[n - 1] == '0') n--;
    if (n == 0) return;
    buf_put_char(json, '.');
    buf_put(json, text, (size_t)n);
}

static void put_two(int v, struct buf *json)
{
    char text[2] = {(char)('0' + v / 10 % 10), (char)('0' + v % 10)};
    buf_put(json, text, 2);
}

static void put_clock(const struct moment *m, int digits, struct buf *json)
{
    put_two(m->hour, json);
    buf_put_char(json, ':');
    put_two(m->minute, json);
    buf_put_char(json, ':');
    put_two(m->second, json);
    put_fraction(m->micros, digits, json);
}

static void put_day(const struct moment *m, struct buf *json)
{
    put_year(m->year, json);
    buf_put_char(json, '-');
    put_two(m->month, json);
    buf_put_char(json, '-');
    put_two(m->day, json);
}

static void put_iso(const struct moment *m, int digits, struct buf *json)
{
    buf_put_char(json, '"');
    put_day(m, json);
    buf_put_char(json, 'T');
    put_clock(m, digits, json);
    buf_put_text(json, "Z\"");
}

static void put_int(int64_t v, struct buf *json)
{
    char digits[24];
    size_t n = sizeof digits;
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do digits[--n] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) digits[--n] = '-';
    buf_put(json, digits + n, sizeof digits - n);
}

static int infinity_of(struct slice text)
{
    if (slice_equal(text, SLICE("infinity"))) return 1;
    return slice_equal(text, SLICE("-infinity")) ? -1 : 0;
}

/* ---- date */

static void put_infinite_date(const struct debezium_options *o, int sign, struct buf *json)
{
    bool iso = o->time == DEBEZIUM_TIME_ISOSTRING;
    if (o->snapshot)
        buf_put_text(json, iso ? (sign > 0 ? "\"+292278994-08-16Z\"" : "\"+292269055-12-02Z\"")
                               : (sign > 0 ? "-622191234" : "-625821272"));
    else
        buf_put_text(json, iso ? (sign > 0 ? "\"+5877611-06-21Z\"" : "\"-5877611-06-22Z\"")
                               : (sign > 0 ? "2146033979" : "-2147472691"));
}

bool debezium_put_date(const struct debezium_options *o, struct slice text, struct buf *json)
{
    struct moment m = {0};
    struct cursor c = {text.data, text.data + text.len};
    int infinite = infinity_of(text);
    if (infinite) {
        put_infinite_date(o, infinite, json);
        return true;
    }
    if (!take_date(&c, &m) || !take_era(&c, &m)) return false;
    if (o->time == DEBEZIUM_TIME_ISOSTRING) {
        buf_put_char(json, '"');
        put_day(&m, json);
        buf_put_text(json, "Z\"");
    } else {
        put_int((int32_t)days_of(m.year, m.month, m.day), json);
    }
    return true;
}

/* ---- time */

bool debezium_put_time(const struct debezium_options *o, struct slice text, int digits, struct buf *json)
{
    struct moment m = {0};
    struct cursor c = {text.data, text.data + text.len};
    if (!take_time(&c, &m) || c.at != c.end) return false;
    int64_t us = micros_of(&m);
    switch (o->time) {
    case DEBEZIUM_TIME_ADAPTIVE: put_int(digits <= 3 ? us / 1000 : us, json); break;
    case DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS:
    case DEBEZIUM_TIME_MICROSECONDS: put_int(us, json); break;
    case DEBEZIUM_TIME_NANOSECONDS: put_int(us * 1000, json); break;
    case DEBEZIUM_TIME_CONNECT: put_int(us / 1000, json); break;
    case DEBEZIUM_TIME_ISOSTRING:
        if (m.hour == 24) m.hour = 0;
        buf_put_char(json, '"');
        put_clock(&m, -1, json);
        buf_put_text(json, "Z\"");
        break;
    }
    return true;
}

bool debezium_put_zoned_time(struct slice text, struct buf *json)
{
    struct moment m = {0};
    struct cursor c = {text.data, text.data + text.len};
    if (!take_time(&c, &m) || !take_zone(&c, &m) || c.at != c.end) return false;
    bool midnight = m.hour == 24 && m.zone_s == 0;
    int64_t s = ((int64_t)m.hour * 3600 + m.minute * 60 + m.second - m.zone_s) % DAY_S;
    if (s < 0) s += DAY_S;
    if (!midnight) {
        m.hour = (int)(s / 3600);
        m.minute = (int)(s / 60 % 60);
        m.second = (int)(s % 60);
    }
    buf_put_char(json, '"');
    put_clock(&m, -1, json);
    buf_put_text(json, "Z\"");
    return true;
}

/* ---- timestamps */

static bool take_timestamp(struct slice text, struct moment *m)
{
    struct cursor c = {text.data, text.data + text.len};
    *m = (struct moment){0};
    if (!take_date(&c, m) || c.at == c.end || *c.at++ != ' ') return false;
    return take_time(&c, m) && take_zone(&c, m) && take_era(&c, m);
}

static void put_infinite(const struct debezium_options *o, int sign, struct buf *json)
{
    if (o->time == DEBEZIUM_TIME_ISOSTRING)
        buf_put_text(json, sign > 0 ? "\"+292278994-08-16T23:00:00Z\"" : "\"-292275055-05-16T23:00:00Z\"");
    else if (o->time == DEBEZIUM_TIME_CONNECT)
        buf_put_text(json, sign > 0 ? "9223372036825200000" : "-9223372036832400000");
    else
        put_int(sign > 0 ? INT64_MAX : INT64_MIN, json);
}

bool debezium_put_timestamp(const struct debezium_options *o, struct slice text, int digits, struct buf *json)
{
    struct moment m;
    int infinite = infinity_of(text);
    if (infinite) {
        put_infinite(o, infinite, json);
        return true;
    }
    if (!take_timestamp(text, &m)) return false;
    int64_t us, ns;
    if (__builtin_mul_overflow(days_of(m.year, m.month, m.day), (int64_t)DAY_S * SECOND_US, &us) ||
        __builtin_add_overflow(us, micros_of(&m), &us))
        return false;
    int64_t ms = us >= 0 ? us / 1000 : -((999 - us) / 1000);
    switch (o->time) {
    case DEBEZIUM_TIME_ADAPTIVE:
    case DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS: put_int(digits <= 3 ? ms : us, json); break;
    case DEBEZIUM_TIME_MICROSECONDS: put_int(us, json); break;
    case DEBEZIUM_TIME_NANOSECONDS:
        if (__builtin_mul_overflow(us, (int64_t)1000, &ns)) return false;
        put_int(ns, json);
        break;
    case DEBEZIUM_TIME_CONNECT: put_int(ms, json); break;
    case DEBEZIUM_TIME_ISOSTRING: put_iso(&m, -1, json); break;
    }
    return true;
}

/* The connection's time zone is UTC, so the zone is +00; another is moved there. */
bool debezium_put_zoned_timestamp(struct slice text, int digits, struct buf *json)
{
    struct moment m;
    int infinite = infinity_of(text);
    if (infinite) {
        buf_put_text(json, infinite > 0 ? "\"infinity\"" : "\"-infinity\"");
        return true;
    }
    if (!take_timestamp(text, &m)) return false;
    if (m.zone_s) {
        int64_t s = days_of(m.year, m.month, m.day) * DAY_S + m.hour * 3600 + m.minute * 60 + m.second - m.zone_s;
        int64_t days = (s >= 0 ? s : s - (DAY_S - 1)) / DAY_S;
        civil_of(days, &m);
        s -= days * DAY_S;
        m.hour = (int)(s / 3600);
        m.minute = (int)(s / 60 % 60);
        m.second = (int)(s % 60);
    }
    put_iso(&m, digits, json);
    return true;
}

/* ---- interval: "1 year 2 mons 3 days -04:05:06.78" */

struct span {
    int64_t years, months, days, hours, minutes, micros; /* micros: with the seconds */
};

static bool take_unit(struct cursor *c, int64_t n, struct span *s)
{
    static const struct {
        const char *name;
        size_t offset;
    } units[] = {{"year", offsetof(struct span, years)}, {"mon", offsetof(struct span, months)},
                 {"day", offsetof(struct span, days)}};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(units[i].name);
        if ((size_t)(c->end - c->at) < len || memcmp(c->at, units[i].name, len) != 0) continue;
        c->at += len;
        if (c->at < c->end && *c->at == 's') c->at++;
        memcpy((char *)s + units[i].offset, &n, sizeof n);
        return true;
    }
    return false;
}

static bool take_span(struct slice text, struct span *s)
{
    struct cursor c = {text.data, text.data + text.len};
    *s = (struct span){0};
    while (c.at < c.end) {
        int64_t sign = 1, n;
        if (*c.at == '-' || *c.at == '+') sign = *c.at++ == '-' ? -1 : 1;
        if (!number(&c, &n)) return false;
        if (c.at < c.end && *c.at == ':') {
            struct moment m = {0};
            if (!part(&c, ':', &m.minute) || c.at == c.end || *c.at++ != ':') return false;
            struct cursor seconds = c;
            if (!part(&seconds, 0, &m.second)) return false;
            if (seconds.at < seconds.end && *seconds.at == '.') {
                int unit = SECOND_US;
                for (seconds.at++; seconds.at < seconds.end && *seconds.at >= '0' && *seconds.at <= '9'; seconds.at++) {
                    unit /= 10;
                    m.micros += (*seconds.at - '0') * unit;
                }
            }
            c = seconds;
            s->hours = sign * n;
            s->minutes = sign * m.minute;
            s->micros = sign * ((int64_t)m.second * SECOND_US + m.micros);
        } else {
            if (c.at < c.end && *c.at == ' ') c.at++;
            if (!take_unit(&c, sign * n, s)) return false;
        }
        if (c.at < c.end && *c.at++ != ' ') return false;
    }
    return true;
}

bool debezium_put_interval(const struct debezium_options *o, struct slice text, struct buf *json)
{
    struct span s;
    if (!take_span(text, &s)) return false;
    if (o->interval == DEBEZIUM_INTERVAL_NUMERIC) {
        /* the connector's own arithmetic, in doubles */
        double seconds = (double)s.micros / SECOND_US;
        double days = (double)(s.years * 12 + s.months) * 30.4375 + (double)s.days;
        double us = (((days * 24 + (double)s.hours) * 60 + (double)s.minutes) * 60 + seconds) * SECOND_US;
        /* as Java makes a long of a double */
        put_int(us >= 0x1p63 ? INT64_MAX : us < -0x1p63 ? INT64_MIN : (int64_t)us, json);
        return true;
    }
    buf_printf(json, "\"P%" PRId64 "Y%" PRId64 "M%" PRId64 "DT%" PRId64 "H%" PRId64 "M", s.years, s.months, s.days, s.hours,
               s.minutes);
    if (s.micros < 0) buf_put_char(json, '-');
    int64_t micros = s.micros < 0 ? -s.micros : s.micros;
    buf_printf(json, "%" PRId64, micros / SECOND_US);
    put_fraction((int)(micros % SECOND_US), -1, json);
    buf_put_text(json, "S\"");
    return true;
}
