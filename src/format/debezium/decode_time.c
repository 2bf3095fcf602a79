/* Dates and times as PostgreSQL prints them under DateStyle ISO, in UTC: fractions without trailing zeros,
 * years before 1 with BC, the proleptic Gregorian calendar. Numbers come since 1970-01-01 in the unit of
 * the Connect type; texts as ISO 8601 with the astronomical year (-0043 is 44 BC).
 *
 * What Debezium's connector has lost by then stays lost: the zone of timetz (UTC here), the months and
 * years of an interval sent as microseconds (days of 24 hours here), BC in dates of a snapshot, 24:00:00 in
 * ISO texts, infinity in what overflows. What it sends for infinity is known by value: */
#include "format/debezium/decode_int.h"

#include <stdio.h>

#define INFINITE_TIMESTAMP INT64_C(9223372036825200000)
#define MINUS_INFINITE_TIMESTAMP (-INT64_C(9223372036832400000))

enum {
    INFINITE_YEAR = 292278994, /* of INFINITE_TIMESTAMP as milliseconds */
    MINUS_INFINITE_YEAR = -292275055,
    MINUS_INFINITE_YEAR_ERA = 292269055, /* the same where the era is lost */
    STREAMED_YEAR = 5877611,             /* of infinite dates that were not copied */
    MINUS_STREAMED_YEAR = -5877611,
    DAYS_FIRST = -2440588,               /* 4714-11-24 BC, PostgreSQL's first */
    DAYS_LAST = 2145042905,              /* of YEAR_LAST */
    YEAR_LAST = 5874897,
};

static const int32_t infinite_days[] = {-622191234, -2147472692, 2147483647, 2146033979};
static const int32_t minus_infinite_days[] = {-625821272, -2147472691, INT32_MIN};

/* ---- the calendar */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days from 1970-01-01; years of 400 as in Hinnant's algorithms. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400), y = year - era * 400;
    int64_t d = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + y * 365 + y / 4 - y / 100 + d - 719468;
}

static void civil_of(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = floor_div(days, 146097), d = days - era * 146097;
    int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int64_t n = d - (365 * y + y / 4 - y / 100), m = (5 * n + 2) / 153;
    *day = (int)(n - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

/* ---- printing */

static char *put_padded(char *at, int64_t n, int width)
{
    char digits[20];
    int count = 0;
    for (; n || count < width; n /= 10)
        digits[count++] = (char)('0' + n % 10);
    while (count)
        *at++ = digits[--count];
    return at;
}

static char *put_day(char *at, int64_t days, bool *bc)
{
    int64_t year;
    int month, day;
    civil_of(days, &year, &month, &day);
    *bc = year < 1;
    at = put_padded(at, *bc ? 1 - year : year, 4);
    *at++ = '-';
    at = put_padded(at, month, 2);
    *at++ = '-';
    return put_padded(at, day, 2);
}

static char *put_fraction(char *at, int64_t us)
{
    if (us == 0) return at;
    *at++ = '.';
    at = put_padded(at, us, 6);
    while (at[-1] == '0')
        at--;
    return at;
}

static char *put_clock(char *at, int64_t us)
{
    at = put_padded(at, us / INT64_C(3600000000), 2);
    *at++ = ':';
    at = put_padded(at, us / 60000000 % 60, 2);
    *at++ = ':';
    at = put_padded(at, us / 1000000 % 60, 2);
    return put_fraction(at, us % 1000000);
}

static char *put_zone(char *at, int seconds)
{
    *at++ = seconds < 0 ? '-' : '+';
    int n = seconds < 0 ? -seconds : seconds;
    at = put_padded(at, n / 3600, 2);
    if (n % 3600) {
        *at++ = ':';
        at = put_padded(at, n / 60 % 60, 2);
    }
    return at;
}

static void put_quoted(struct buf *out, const char *text, const char *end, bool bc)
{
    buf_put_char(out, '"');
    buf_put(out, text, (size_t)(end - text));
    buf_put_text(out, bc ? " BC\"" : "\"");
}

static bool put_infinite(bool minus, struct buf *out)
{
    buf_put_text(out, minus ? "\"-infinity\"" : "\"infinity\"");
    return true;
}

static bool put_days(int64_t days, struct buf *out)
{
    char text[40];
    bool bc;
    char *end = put_day(text, days, &bc);
    put_quoted(out, text, end, bc);
    return true;
}

static bool put_moment(int64_t days, int64_t us, bool zoned, struct buf *out)
{
    char text[60];
    bool bc;
    char *at = put_day(text, days, &bc);
    *at++ = ' ';
    at = put_clock(at, us);
    if (zoned) at = put_zone(at, 0);
    put_quoted(out, text, at, bc);
    return true;
}

/* ---- reading ISO 8601 */

struct iso {
    int64_t year;
    int month, day;
    int64_t us; /* of the day */
    int zone;   /* seconds east */
};

static bool take(struct slice *s, char c)
{
    if (!s->len || s->data[0] != c) return false;
    s->data++;
    s->len--;
    return true;
}

static bool take_digits(struct slice *s, size_t least, size_t most, int64_t *out)
{
    size_t n = 0;
    for (*out = 0; n < most && s->len && s->data[0] >= '0' && s->data[0] <= '9'; n++, s->data++, s->len--)
        *out = *out * 10 + (s->data[0] - '0');
    return n >= least;
}

static bool take_day(struct slice *s, struct iso *iso)
{
    static const unsigned char lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t month, day;
    bool minus = take(s, '-');
    if (!minus) (void)take(s, '+');
    if (!take_digits(s, 4, 9, &iso->year) || !take(s, '-') || !take_digits(s, 2, 2, &month) ||
        !take(s, '-') || !take_digits(s, 2, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > lengths[month - 1])
        return false;
    if (minus) iso->year = -iso->year;
    iso->month = (int)month;
    iso->day = (int)day;
    return true;
}

/* Nanoseconds are cut. */
static bool take_clock(struct slice *s, struct iso *iso)
{
    int64_t h, m, sec = 0, us = 0;
    if (!take_digits(s, 2, 2, &h) || !take(s, ':') || !take_digits(s, 2, 2, &m)) return false;
    if (take(s, ':') && !take_digits(s, 2, 2, &sec)) return false;
    if (take(s, '.')) {
        size_t n = 0;
        for (; s->len && s->data[0] >= '0' && s->data[0] <= '9'; s->data++, s->len--)
            if (n++ < 6) us = us * 10 + (s->data[0] - '0');
        if (n == 0) return false;
        for (; n < 6; n++)
            us *= 10;
    }
    iso->us = ((h * 60 + m) * 60 + sec) * 1000000 + us;
    return m < 60 && sec < 60 && iso->us <= INT64_C(86400000000);
}

static bool take_zone(struct slice *s, struct iso *iso)
{
    int64_t h, m = 0;
    if (!s->len || take(s, 'Z')) return true;
    bool minus = take(s, '-');
    if (!minus && !take(s, '+')) return false;
    if (!take_digits(s, 2, 2, &h)) return false;
    bool colon = take(s, ':');
    if ((colon || s->len) && !take_digits(s, 2, 2, &m)) return false;
    iso->zone = (int)(h * 3600 + m * 60) * (minus ? -1 : 1);
    return h < 16 && m < 60;
}

static bool named_infinity(struct slice s, bool *minus)
{
    *minus = slice_equal(s, SLICE("-infinity"));
    return *minus || slice_equal(s, SLICE("infinity"));
}

static bool infinite_year(int64_t year, bool *minus)
{
    *minus = year <= MINUS_INFINITE_YEAR || year == MINUS_INFINITE_YEAR_ERA;
    return *minus || year >= INFINITE_YEAR;
}

static bool in_range(int64_t days, int64_t year)
{
    return days >= DAYS_FIRST && year <= YEAR_LAST;
}

static bool put_iso_date(struct slice s, struct buf *out)
{
    struct iso iso = {0};
    bool minus;
    if (named_infinity(s, &minus)) return put_infinite(minus, out);
    if (!take_day(&s, &iso) || !take_zone(&s, &iso) || s.len) return false;
    if (infinite_year(iso.year, &minus)) return put_infinite(minus, out);
    if (iso.year == STREAMED_YEAR || iso.year == MINUS_STREAMED_YEAR) return put_infinite(iso.year < 0, out);
    int64_t days = days_of(iso.year, iso.month, iso.day);
    return in_range(days, iso.year) && put_days(days, out);
}

static bool put_iso_timestamp(struct slice s, bool zoned, struct buf *out)
{
    struct iso iso = {0};
    bool minus;
    if (named_infinity(s, &minus)) return put_infinite(minus, out);
    if (!take_day(&s, &iso) || (!take(&s, 'T') && !take(&s, ' ')) || !take_clock(&s, &iso) ||
        !take_zone(&s, &iso) || s.len)
        return false;
    if (infinite_year(iso.year, &minus)) return put_infinite(minus, out);
    int64_t us = iso.us - (zoned ? (int64_t)iso.zone * 1000000 : 0),
            over = floor_div(us, INT64_C(86400000000));
    int64_t days = days_of(iso.year, iso.month, iso.day) + over;
    return in_range(days, iso.year) && put_moment(days, us - over * INT64_C(86400000000), zoned, out);
}

/* ---- values */

bool put_date(struct slice raw, struct buf *scratch, struct buf *out)
{
    struct slice text;
    int64_t days;
    if (string_of(raw, scratch, &text)) return put_iso_date(text, out);
    if (!parse_i64(raw, &days)) return false;
    for (size_t i = 0; i < sizeof infinite_days / sizeof *infinite_days; i++)
        if (days == infinite_days[i]) return put_infinite(false, out);
    for (size_t i = 0; i < sizeof minus_infinite_days / sizeof *minus_infinite_days; i++)
        if (days == minus_infinite_days[i]) return put_infinite(true, out);
    return days >= DAYS_FIRST && days <= DAYS_LAST && put_days(days, out);
}

bool put_time(struct slice raw, int64_t per_second, struct buf *scratch, struct buf *out)
{
    struct slice text;
    struct iso iso = {0};
    char clock[40];
    int64_t n;
    if (string_of(raw, scratch, &text)) {
        if (!take_clock(&text, &iso) || !take_zone(&text, &iso) || text.len) return false;
    } else {
        if (!parse_i64(raw, &n) || n < 0 || n > 86400 * per_second) return false;
        iso.us = per_second >= 1000000 ? n / (per_second / 1000000) : n * (1000000 / per_second);
    }
    put_quoted(out, clock, put_clock(clock, iso.us), false);
    return true;
}

bool put_timestamp(struct slice raw, int64_t per_second, bool zoned, struct buf *scratch, struct buf *out)
{
    struct slice text;
    int64_t n;
    if (string_of(raw, scratch, &text)) return put_iso_timestamp(text, zoned, out);
    if (!parse_i64(raw, &n)) return false;
    if (n == INT64_MAX || n == INFINITE_TIMESTAMP) return put_infinite(false, out);
    if (n == INT64_MIN || n == MINUS_INFINITE_TIMESTAMP) return put_infinite(true, out);
    int64_t days = floor_div(n, 86400 * per_second), rest = n - days * 86400 * per_second;
    int64_t us = per_second >= 1000000 ? rest / (per_second / 1000000) : rest * (1000000 / per_second);
    return days >= DAYS_FIRST && days <= INT32_MAX && put_moment(days, us, zoned, out);
}

bool put_timetz(struct slice raw, struct buf *scratch, struct buf *out)
{
    struct slice text;
    struct iso iso = {0};
    char clock[60];
    if (!string_of(raw, scratch, &text) || !take_clock(&text, &iso) || !take_zone(&text, &iso) || text.len)
        return false;
    put_quoted(out, clock, put_zone(put_clock(clock, iso.us), iso.zone), false);
    return true;
}

/* ---- intervals */

static void put_part(struct buf *out, size_t start, int64_t n, const char *unit, bool *before)
{
    if (n == 0) return;
    if (out->len > start) buf_put_char(out, ' ');
    buf_printf(out, "%s%lld %s%s", *before && n > 0 ? "+" : "", (long long)n, unit, n == 1 ? "" : "s");
    *before = n < 0;
}

/* As EncodeInterval of PostgreSQL does with IntervalStyle postgres. */
static bool put_span(int64_t months, int64_t days, int64_t us, struct buf *out)
{
    char clock[40];
    bool before = false;
    buf_put_char(out, '"');
    size_t start = out->len;
    put_part(out, start, months / 12, "year", &before);
    put_part(out, start, months % 12, "mon", &before);
    put_part(out, start, days, "day", &before);
    if (us || out->len == start) {
        if (us == INT64_MIN) return false;
        if (out->len > start) buf_put_char(out, ' ');
        if (us < 0 || before) buf_put_char(out, us < 0 ? '-' : '+');
        buf_put(out, clock, (size_t)(put_clock(clock, us < 0 ? -us : us) - clock));
    }
    buf_put_char(out, '"');
    return true;
}

struct span {
    int64_t months, days, us;
};

static bool add(int64_t *sum, int64_t n, int64_t factor)
{
    int64_t product;
    return !__builtin_mul_overflow(n, factor, &product) && !__builtin_add_overflow(*sum, product, sum);
}

static bool add_unit(struct span *span, char unit, bool time, int64_t n)
{
    switch (unit) {
    case 'Y': return !time && add(&span->months, n, 12);
    case 'M': return time ? add(&span->us, n, 60000000) : add(&span->months, n, 1);
    case 'W': return !time && add(&span->days, n, 7);
    case 'D': return !time && add(&span->days, n, 1);
    case 'H': return time && add(&span->us, n, INT64_C(3600000000));
    case 'S': return time && add(&span->us, n, 1000000);
    default: return false;
    }
}

/* P1Y2M3DT4H5M6.78S, each number with a sign of its own */
static bool take_span(struct slice s, struct span *span)
{
    bool time = false;
    if (!take(&s, 'P') || !s.len) return false;
    while (s.len) {
        int64_t n, us = 0;
        if (!time && take(&s, 'T')) {
            time = true;
            continue;
        }
        bool minus = take(&s, '-');
        if (!minus) (void)take(&s, '+');
        if (!take_digits(&s, 1, 12, &n)) return false;
        if (take(&s, '.')) {
            size_t digits = 0;
            for (; s.len && s.data[0] >= '0' && s.data[0] <= '9'; s.data++, s.len--)
                if (digits++ < 6) us = us * 10 + (s.data[0] - '0');
            for (; digits < 6; digits++)
                us *= 10;
            if (!s.len || s.data[0] != 'S') return false;
        }
        if (!s.len || !add_unit(span, s.data[0], time, minus ? -n : n) ||
            !add(&span->us, minus ? -us : us, 1))
            return false;
        s.data++;
        s.len--;
    }
    return true;
}

bool put_interval(struct slice raw, struct buf *scratch, struct buf *out)
{
    struct slice text;
    struct span span = {0};
    int64_t n;
    if (string_of(raw, scratch, &text))
        return take_span(text, &span) && put_span(span.months, span.days, span.us, out);
    return parse_i64(raw, &n) && put_span(0, n / INT64_C(86400000000), n % INT64_C(86400000000), out);
}
