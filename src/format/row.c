/* The bytes of a row (drawn in row.h): splitting, writing, text and order of values.
 *
 *  1. row_next never reads past `rest`; a row that is cut short or has a flag other than 0 and 1 leaves
 *     `rest` as it was.
 *  2. row_put_field(row_next(x)) gives back the bytes of x, LEB128 lengths in their shortest form. */
#include "format/row.h"

#include "base/clock.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 unsigned_wide;

/* Width in bytes of a value; 0 for strings. */
static size_t value_width(const struct column *c)
{
    switch (c->type) {
    case COLUMN_STRING: return 0;
    case COLUMN_BYTE:
    case COLUMN_BOOLEAN: return 1;
    case COLUMN_SHORT: return 2;
    case COLUMN_INTEGER:
    case COLUMN_FLOAT:
    case COLUMN_DATE: return 4;
    case COLUMN_LONG:
    case COLUMN_DOUBLE:
    case COLUMN_TIMESTAMP: return 8;
    case COLUMN_DECIMAL: return c->precision <= 9 ? 4 : c->precision <= 18 ? 8 : 16;
    }
    return 0;
}

static bool take_bytes(struct slice *rest, size_t n, struct slice *out)
{
    if (rest->len < n) return false;
    *out = (struct slice){rest->data, n};
    rest->data += n;
    rest->len -= n;
    return true;
}

static bool take_length(struct slice *rest, size_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 63 && rest->len > 0; shift += 7) {
        unsigned char c = (unsigned char)*rest->data++;
        rest->len--;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (c & 0x80) continue;
        *out = (size_t)v;
        return true;
    }
    return false;
}

static bool take_field(const struct column *c, struct slice *rest, struct slice *field)
{
    struct slice flag;
    if (c->nullable) {
        if (!take_bytes(rest, 1, &flag) || (unsigned char)flag.data[0] > 1) return false;
        if (flag.data[0] == 1) {
            *field = (struct slice){0};
            return true;
        }
    }
    size_t n = value_width(c);
    if (n == 0 && !take_length(rest, &n)) return false;
    if (!take_bytes(rest, n, field)) return false;
    return c->type != COLUMN_BOOLEAN || (unsigned char)field->data[0] <= 1;
}

bool row_next(const struct columns *c, struct slice *rest, struct slice *fields, struct slice *row)
{
    struct slice left = *rest;
    for (size_t i = 0; i < c->count; i++)
        if (!take_field(&c->items[i], &left, &fields[i])) return false;
    if (row) *row = (struct slice){rest->data, rest->len - left.len};
    *rest = left;
    return true;
}

void row_put_field(struct buf *out, const struct column *c, struct slice field)
{
    assert(field.data || c->nullable);
    if (c->nullable) buf_put_u8(out, field.data ? 0 : 1);
    if (!field.data) return;
    assert(c->type == COLUMN_STRING || field.len == value_width(c));
    if (c->type == COLUMN_STRING) buf_put_string(out, field);
    else buf_put_slice(out, field);
}

/* Little-endian two's complement of 1 to 16 bytes. */
static wide read_integer(struct slice field)
{
    unsigned_wide v = (unsigned char)field.data[field.len - 1] & 0x80 ? ~(unsigned_wide)0 : 0;
    for (size_t i = field.len; i-- > 0;) v = v << 8 | (unsigned char)field.data[i];
    return (wide)v;
}

static double read_double(struct slice field)
{
    double d;
    float f;
    if (field.len == sizeof d) {
        memcpy(&d, field.data, sizeof d);
        return d;
    }
    memcpy(&f, field.data, sizeof f);
    return (double)f;
}

static void put_decimal(struct buf *out, wide value, int scale)
{
    char digits[64];
    int at = sizeof digits;
    unsigned_wide left = value < 0 ? -(unsigned_wide)value : (unsigned_wide)value;
    for (int i = 0; left > 0 || i <= scale; i++) {
        if (scale > 0 && i == scale) digits[--at] = '.';
        digits[--at] = (char)('0' + (int)(left % 10));
        left /= 10;
    }
    if (value < 0) buf_put_char(out, '-');
    buf_put(out, digits + at, sizeof digits - (size_t)at);
}

/* The shortest text that reads back as the same value. */
static void put_double(struct buf *out, double v, bool single)
{
    if (isnan(v)) {
        buf_put_text(out, "NaN");
        return;
    }
    if (isinf(v)) {
        buf_put_text(out, v < 0 ? "-Infinity" : "Infinity");
        return;
    }
    char text[40];
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (single ? (double)strtof(text, NULL) == v : strtod(text, NULL) == v) break;
    }
    buf_put_text(out, text);
}

static void put_date(struct buf *out, int64_t days)
{
    int64_t year;
    int month, day;
    clock_civil(days, &year, &month, &day);
    buf_printf(out, "%04lld-%02d-%02d", (long long)year, month, day);
}

bool field_text(const struct column *c, struct slice field, struct buf *out)
{
    if (!field.data) return false;
    char text[CLOCK_TEXT];
    switch (c->type) {
    case COLUMN_STRING: buf_put_slice(out, field); break;
    case COLUMN_BOOLEAN: buf_put_text(out, field.data[0] ? "true" : "false"); break;
    case COLUMN_LONG:
    case COLUMN_INTEGER:
    case COLUMN_SHORT:
    case COLUMN_BYTE:
    case COLUMN_DECIMAL: put_decimal(out, read_integer(field), c->scale); break;
    case COLUMN_DOUBLE: put_double(out, read_double(field), false); break;
    case COLUMN_FLOAT: put_double(out, read_double(field), true); break;
    case COLUMN_DATE: put_date(out, (int64_t)read_integer(field)); break;
    case COLUMN_TIMESTAMP:
        clock_format_iso((int64_t)read_integer(field), text);
        buf_put_text(out, text);
        break;
    }
    return true;
}

/* NaN is above every number and equal to itself, so that the order is total. */
static int compare_doubles(double a, double b)
{
    if (isnan(a) || isnan(b)) return (isnan(a) ? 1 : 0) - (isnan(b) ? 1 : 0);
    return (a > b) - (a < b);
}

int field_compare(const struct column *c, struct slice a, struct slice b)
{
    if (c->type == COLUMN_STRING) return slice_compare(a, b);
    if (c->type == COLUMN_DOUBLE || c->type == COLUMN_FLOAT)
        return compare_doubles(read_double(a), read_double(b));
    wide x = read_integer(a), y = read_integer(b);
    return (x > y) - (x < y);
}
