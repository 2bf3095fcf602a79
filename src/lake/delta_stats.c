/* Statistics of one data file, from the RowBinary rows that go into it.
 *
 *  1. Wrong bounds lose rows silently, missing ones never do: whatever is in doubt (NaN, infinity,
 *     bytes that are not UTF-8, years beyond four digits) has no bound.
 *  2. min <= every value <= max in the order of readers: strings by bytes, timestamps with the min
 *     floored and the max raised to milliseconds, 0.0 as min -0.0 and max 0.0.
 *  3. Strings are cut to 32 characters; a cut max gets a last character that is above what was cut off.
 *
 * The first 32 columns are described, as Delta's default says; booleans have a null count only. */
#include "lake/delta_int.h"

#include "base/clock.h"

#include <math.h>

enum {
    COLUMNS_MAX = 32,
    PREFIX = 32,      /* characters */
    PREFIX_MAX = 64,  /* a max may grow so far to find a place for its last character */
    KEPT_BYTES = 320, /* at least PREFIX_MAX + 1 characters of four bytes */
    TOP_ASCII = 0x7F,
    TOP_CHARACTER = 0x10FFFF,
    ISO_MICROS = 27, /* length of 2026-01-31T12:00:00.123456Z */
};

struct column_stats {
    int64_t nulls;
    struct buf min, max; /* the value's bytes, strings at most KEPT_BYTES */
    bool some, unbounded;
};

struct delta_stats {
    struct columns columns;
    struct column_stats of[COLUMNS_MAX];
    size_t described;
    int64_t rows;
    struct slice *fields;
};

struct delta_stats *delta_stats_new(const struct columns *columns)
{
    struct delta_stats *s = mem_alloc(sizeof *s);
    columns_copy(&s->columns, columns);
    s->described = columns->count < COLUMNS_MAX ? columns->count : COLUMNS_MAX;
    s->fields = mem_alloc((columns->count + 1) * sizeof *s->fields);
    return s;
}

void delta_stats_free(struct delta_stats *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->described; i++) {
        buf_free(&s->of[i].min);
        buf_free(&s->of[i].max);
    }
    columns_free(&s->columns);
    mem_free(s->fields);
    mem_free(s);
}

static double floating(const struct column *c, struct slice v)
{
    double d = 0;
    float f = 0;
    if (c->type == COLUMN_DOUBLE)
        memcpy(&d, v.data, sizeof d);
    else
        memcpy(&f, v.data, sizeof f);
    return c->type == COLUMN_DOUBLE ? d : (double)f;
}

static void set(struct buf *b, struct slice v)
{
    buf_clear(b);
    buf_put_slice(b, v);
}

static void take_value(struct column_stats *s, const struct column *c, struct slice v)
{
    if (c->type == COLUMN_BOOLEAN || s->unbounded) return;
    if ((c->type == COLUMN_DOUBLE || c->type == COLUMN_FLOAT) && !isfinite(floating(c, v))) {
        s->unbounded = true;
        return;
    }
    if (c->type == COLUMN_STRING && v.len > KEPT_BYTES) v.len = KEPT_BYTES;
    if (!s->some || field_compare(c, v, buf_slice(&s->min)) < 0) set(&s->min, v);
    if (!s->some || field_compare(c, v, buf_slice(&s->max)) > 0) set(&s->max, v);
    s->some = true;
}

bool delta_stats_rows(struct delta_stats *s, struct slice rows, struct error *err)
{
    while (rows.len) {
        if (!row_next(&s->columns, &rows, s->fields, NULL))
            return error_set(err, ERROR_DATA, "row %lld is not of the table's shape", (long long)s->rows);
        s->rows++;
        for (size_t i = 0; i < s->described; i++) {
            if (s->fields[i].data)
                take_value(&s->of[i], &s->columns.items[i], s->fields[i]);
            else
                s->of[i].nulls++;
        }
    }
    return true;
}

int64_t delta_stats_count(const struct delta_stats *s)
{
    return s->rows;
}

/* ---- strings ---- */

/* Takes one character off; -1 at the end, -2 when the bytes are not UTF-8. */
static int32_t next_character(struct slice *s)
{
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (!s->len) return -1;
    const unsigned char *p = (const unsigned char *)s->data;
    size_t more = p[0] < 0x80 ? 0 : p[0] >= 0xF0 ? 3 : p[0] >= 0xE0 ? 2 : 1;
    if ((p[0] >= 0x80 && p[0] < 0xC2) || p[0] > 0xF4 || s->len <= more) return -2;
    int32_t c = more == 0 ? p[0] : p[0] & (0x3F >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80) return -2;
        c = c << 6 | (p[i] & 0x3F);
    }
    if (c < least[more] || c > TOP_CHARACTER || (c >= 0xD800 && c < 0xE000)) return -2;
    s->data += more + 1;
    s->len -= more + 1;
    return c;
}

/* The first n characters; *rest is what follows. False when they are not UTF-8. */
static bool split_prefix(struct slice v, int n, struct slice *prefix, struct slice *rest)
{
    *rest = v;
    for (int i = 0; i < n; i++) {
        int32_t c = next_character(rest);
        if (c == -2) return false;
        if (c == -1) break;
    }
    *prefix = (struct slice){v.data, v.len - rest->len};
    return true;
}

static bool put_string_min(struct slice v, struct buf *out)
{
    struct slice prefix, rest;
    if (!split_prefix(v, PREFIX, &prefix, &rest)) return false;
    buf_put_json(out, prefix);
    return true;
}

static bool put_string_max(struct slice v, struct buf *out)
{
    for (int n = PREFIX; n <= PREFIX_MAX; n++) {
        struct slice prefix, rest;
        if (!split_prefix(v, n, &prefix, &rest)) return false;
        struct slice after = rest;
        int32_t dropped = next_character(&after);
        if (dropped == TOP_CHARACTER) continue;
        if (dropped == -2) return false;
        struct buf text = {0};
        buf_put_slice(&text, prefix);
        if (dropped >= 0) buf_put_text(&text, dropped < TOP_ASCII ? "\x7F" : "\xF4\x8F\xBF\xBF");
        buf_put_json(out, buf_slice(&text));
        buf_free(&text);
        return true;
    }
    return false;
}

/* ---- other values ---- */

static bool put_timestamp(struct slice v, bool is_max, struct buf *out)
{
    int64_t us;
    char text[CLOCK_TEXT];
    memcpy(&us, v.data, sizeof us);
    int64_t rest = ((us % 1000) + 1000) % 1000;
    if (us > INT64_MAX - 1000 || us < INT64_MIN + 1000) return false;
    us += is_max && rest ? 1000 - rest : -rest;
    clock_format_iso(us, text);
    if (strlen(text) != ISO_MICROS || text[0] == '-') return false;
    buf_put_char(out, '"');
    buf_put(out, text, ISO_MICROS - 4);
    buf_put_text(out, "Z\"");
    return true;
}

static bool put_date(const struct column *c, struct slice v, struct buf *out)
{
    struct buf text = {0};
    bool ok = field_text(c, v, &text) && text.len == 10 && text.data[0] != '-';
    if (ok) buf_put_json(out, buf_slice(&text));
    buf_free(&text);
    return ok;
}

/* A float is told as the double that it is: its shortest text may be a little less or more. */
static bool put_floating(const struct column *c, struct slice v, bool is_max, struct buf *out)
{
    static const struct column as_double = {.type = COLUMN_DOUBLE};
    double d = floating(c, v);
    if (fpclassify(d) == FP_ZERO) {
        buf_put_text(out, is_max ? "0.0" : "-0.0");
        return true;
    }
    return field_text(&as_double, (struct slice){(const char *)&d, sizeof d}, out);
}

static bool put_bound(const struct column *c, struct slice v, bool is_max, struct buf *out)
{
    switch (c->type) {
    case COLUMN_STRING: return is_max ? put_string_max(v, out) : put_string_min(v, out);
    case COLUMN_TIMESTAMP: return put_timestamp(v, is_max, out);
    case COLUMN_DATE: return put_date(c, v, out);
    case COLUMN_DOUBLE:
    case COLUMN_FLOAT: return put_floating(c, v, is_max, out);
    case COLUMN_BOOLEAN: return false;
    case COLUMN_LONG:
    case COLUMN_INTEGER:
    case COLUMN_SHORT:
    case COLUMN_BYTE:
    case COLUMN_DECIMAL: return field_text(c, v, out);
    }
    return false;
}

static void put_bounds(const struct delta_stats *s, bool is_max, struct buf *out)
{
    bool first = true;
    buf_put_text(out, is_max ? ",\"maxValues\":{" : ",\"minValues\":{");
    for (size_t i = 0; i < s->described; i++) {
        const struct column_stats *of = &s->of[i];
        struct buf value = {0};
        if (of->some && !of->unbounded &&
            put_bound(&s->columns.items[i], buf_slice(is_max ? &of->max : &of->min), is_max, &value)) {
            if (!first) buf_put_char(out, ',');
            first = false;
            buf_put_json(out, slice_of(s->columns.items[i].name));
            buf_put_char(out, ':');
            buf_put_slice(out, buf_slice(&value));
        }
        buf_free(&value);
    }
    buf_put_char(out, '}');
}

void delta_stats_put(const struct delta_stats *s, bool tight, struct buf *out)
{
    buf_printf(out, "{\"numRecords\":%lld", (long long)s->rows);
    put_bounds(s, false, out);
    put_bounds(s, true, out);
    buf_put_text(out, ",\"nullCount\":{");
    for (size_t i = 0; i < s->described; i++) {
        if (i) buf_put_char(out, ',');
        buf_put_json(out, slice_of(s->columns.items[i].name));
        buf_printf(out, ":%lld", (long long)s->of[i].nulls);
    }
    buf_put_text(out, tight ? "},\"tightBounds\":true}" : "}}");
}
