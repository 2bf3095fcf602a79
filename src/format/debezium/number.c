/* Decimals as unscaled two's complement, big-endian, in base64; or as text, or as a double; floats in Java's form. */
#include "format/debezium/encode_int.h"

#include <stdio.h>
#include <stdlib.h>

/* [-]digits[.digits], as JSON has it too, taken apart. */
struct decimal {
    bool negative;
    struct slice whole, fraction;
};

static size_t digits_at(struct slice s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && s.data[at + n] >= '0' && s.data[at + n] <= '9') n++;
    return n;
}

static bool parse(struct slice text, struct decimal *out)
{
    size_t at = text.len && text.data[0] == '-';
    *out = (struct decimal){.negative = at};
    size_t n = digits_at(text, at);
    if (n == 0 || (n > 1 && text.data[at] == '0')) return false;
    out->whole = (struct slice){text.data + at, n};
    at += n;
    if (at == text.len) return true;
    if (text.data[at++] != '.') return false;
    out->fraction = (struct slice){text.data + at, digits_at(text, at)};
    return out->fraction.len > 0 && at + out->fraction.len == text.len;
}

/* ---- the unscaled value as bytes */

enum { FEW_DIGITS = 38, FEW_BYTES = 20 };

/* magnitude, big-endian, n bytes -> minimal two's complement; room for one byte in front. */
static size_t twos_complement(unsigned char *bytes, size_t n, bool negative, const unsigned char **out)
{
    size_t at = 1; /* bytes[0] is the room */
    bytes[0] = 0;
    if (negative) {
        int carry = 1;
        for (size_t i = n + 1; i-- > 0;) {
            int v = (~bytes[i] & 0xff) + carry;
            bytes[i] = (unsigned char)v;
            carry = v >> 8;
        }
    }
    at = 0;
    while (at < n && bytes[at] == (negative ? 0xff : 0) && ((bytes[at + 1] & 0x80) != 0) == negative) at++;
    *out = bytes + at;
    return n + 1 - at;
}

__extension__ typedef unsigned __int128 wide;

static void put_few(const struct decimal *d, size_t fraction, struct buf *json)
{
    wide v = 0;
    unsigned char bytes[FEW_BYTES];
    const unsigned char *from;
    for (size_t i = 0; i < d->whole.len; i++) v = v * 10 + (unsigned)(d->whole.data[i] - '0');
    for (size_t i = 0; i < fraction; i++)
        v = v * 10 + (unsigned)(i < d->fraction.len ? d->fraction.data[i] - '0' : 0);
    for (int i = 16; i > 0; i--) {
        bytes[i] = (unsigned char)v;
        v >>= 8;
    }
    bool zero = true;
    for (int i = 1; i <= 16; i++) zero &= bytes[i] == 0;
    size_t n = twos_complement(bytes, 16, d->negative && !zero, &from);
    debezium_put_base64(from, n, false, json);
}

/* Any number of digits: base 256, multiplied in groups of nine digits. */
static void put_many(const struct decimal *d, size_t fraction, struct buf *json)
{
    size_t digits = d->whole.len + fraction, limbs = digits / 9 + 2, used = 1;
    uint32_t *v = mem_alloc(limbs * sizeof *v); /* little-endian */
    for (size_t at = 0; at < digits;) {
        uint32_t group = 0, factor = 1;
        for (int k = 0; k < 9 && at < digits; k++, at++) {
            size_t f = at - d->whole.len;
            char c = at < d->whole.len ? d->whole.data[at] : f < d->fraction.len ? d->fraction.data[f] : '0';
            group = group * 10 + (uint32_t)(c - '0');
            factor *= 10;
        }
        uint64_t carry = group;
        for (size_t i = 0; i < used; i++) {
            carry += (uint64_t)v[i] * factor;
            v[i] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry) v[used++] = (uint32_t)carry;
    }
    unsigned char *bytes = mem_alloc(used * 4 + 2);
    bool zero = true;
    for (size_t i = 0; i < used; i++) {
        zero &= v[i] == 0;
        for (size_t k = 0; k < 4; k++) bytes[1 + (used - 1 - i) * 4 + k] = (unsigned char)(v[i] >> (24 - 8 * k));
    }
    const unsigned char *from;
    size_t n = twos_complement(bytes, used * 4, d->negative && !zero, &from);
    debezium_put_base64(from, n, false, json);
    mem_free(bytes);
    mem_free(v);
}

static void put_unscaled(const struct decimal *d, size_t fraction, struct buf *json)
{
    if (d->whole.len + fraction <= FEW_DIGITS) put_few(d, fraction, json);
    else put_many(d, fraction, json);
}

/* With a scale below zero the last digits, zeros all, are not told. */
static void put_scaled(struct decimal *d, int scale, struct buf *json)
{
    size_t zeros = scale < 0 ? (size_t)-scale : 0;
    d->whole.len -= zeros < d->whole.len ? zeros : d->whole.len;
    put_unscaled(d, scale > 0 ? (size_t)scale : 0, json);
}

/* ---- special values */

static const char *special(struct slice text)
{
    if (slice_equal(text, SLICE("NaN"))) return "NAN";
    if (slice_equal(text, SLICE("Infinity"))) return "POSITIVE_INFINITY";
    if (slice_equal(text, SLICE("-Infinity"))) return "NEGATIVE_INFINITY";
    return NULL;
}

static void put_quoted(struct slice text, struct buf *json)
{
    buf_put_char(json, '"');
    buf_put_slice(json, text);
    buf_put_char(json, '"');
}

/* Java's Double.toString of the shortest digits: 1.0E10, 1.1, 1.0E-5. */
static void put_java_double(bool negative, const char *digits, int count, int point, struct buf *json)
{
    if (negative) buf_put_char(json, '-');
    while (count > 1 && digits[count - 1] == '0') count--;
    if (point > -3 && point <= 7) {
        if (point <= 0) buf_put_text(json, "0.");
        for (int i = point; i < 0; i++) buf_put_char(json, '0');
        for (int i = 0; i < count || i < point; i++) {
            if (i == point && i > 0) buf_put_char(json, '.');
            buf_put_char(json, i < count ? digits[i] : '0');
        }
        if (count <= point) buf_put_text(json, ".0");
        return;
    }
    buf_put_char(json, digits[0]);
    buf_put_char(json, '.');
    if (count == 1) buf_put_char(json, '0');
    else buf_put(json, digits + 1, (size_t)count - 1);
    buf_printf(json, "E%d", point - 1);
}

/* PostgreSQL's text has the shortest digits that give the number again (extra_float_digits >= 1). */
bool debezium_put_float(struct slice text, struct buf *json)
{
    char digits[40];
    int count = 0, point = 0;
    bool dot = false, any = false;
    if (special(text)) {
        put_quoted(text, json);
        return true;
    }
    size_t at = text.len && text.data[0] == '-';
    bool negative = at;
    for (; at < text.len && text.data[at] != 'e' && text.data[at] != 'E'; at++) {
        char c = text.data[at];
        if (c == '.' && !dot) {
            dot = true;
            continue;
        }
        if (c < '0' || c > '9' || count == (int)sizeof digits) return false;
        any = true;
        if (count || c != '0') {
            digits[count++] = c;
            if (!dot) point++;
        } else if (dot) {
            point--;
        }
    }
    if (!any) return false;
    if (at < text.len) {
        char exponent[8], *end;
        size_t n = text.len - at - 1;
        if (n == 0 || n >= sizeof exponent) return false;
        memcpy(exponent, text.data + at + 1, n);
        exponent[n] = '\0';
        point += (int)strtol(exponent, &end, 10);
        if (*end) return false;
    }
    if (count == 0) buf_put_text(json, negative ? "-0.0" : "0.0");
    else put_java_double(negative, digits, count, point, json);
    return true;
}

/* The double that a decimal is nearest to, printed as Java does. */
static bool put_as_double(struct slice text, struct buf *json)
{
    char plain[400], shortest[40];
    if (text.len >= sizeof plain) return false;
    memcpy(plain, text.data, text.len);
    plain[text.len] = '\0';
    double v = strtod(plain, NULL);
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(shortest, sizeof shortest, "%.*e", precision - 1, v);
        if (strtod(shortest, NULL) == v) break;
    }
    return debezium_put_float(slice_of(shortest), json);
}

bool debezium_put_decimal(const struct debezium_options *o, struct slice text, int scale, struct buf *json)
{
    struct decimal d;
    const char *name = special(text);
    if (name) {
        if (o->decimal == DEBEZIUM_DECIMAL_PRECISE) return false;
        put_quoted(o->decimal == DEBEZIUM_DECIMAL_STRING ? slice_of(name) : text, json);
        return true;
    }
    if (!parse(text, &d)) return false;
    if (o->decimal == DEBEZIUM_DECIMAL_STRING) put_quoted(text, json);
    else if (o->decimal == DEBEZIUM_DECIMAL_DOUBLE) return put_as_double(text, json);
    else if (o->decimal_numeric) buf_put_slice(json, text);
    else put_scaled(&d, scale, json);
    return true;
}

bool debezium_put_free_decimal(const struct debezium_options *o, struct slice text, struct buf *json)
{
    struct decimal d;
    if (o->decimal != DEBEZIUM_DECIMAL_PRECISE || special(text)) return debezium_put_decimal(o, text, 0, json);
    if (!parse(text, &d)) return false;
    size_t scale = d.fraction.len;
    while (scale && d.fraction.data[scale - 1] == '0') scale--;
    buf_printf(json, "{\"scale\":%zu,\"value\":", scale);
    put_unscaled(&d, scale, json);
    buf_put_char(json, '}');
    return true;
}

/* "$1,234.11", "-$1,234.11" or "($1,234.11)", by lc_monetary: the digits and the last point or comma count. */
bool debezium_put_money(const struct debezium_options *o, struct slice text, struct buf *json)
{
    char plain[64];
    size_t n = 0, whole = 0, fraction = 0;
    bool negative = false, point = false;
    for (size_t i = 0; i < text.len && n < sizeof plain - 24; i++) {
        char c = text.data[i];
        if (c == '-' || c == '(') negative = true;
        if (c == '.' && !point) {
            point = true;
            plain[n++] = '.';
        }
        if (c < '0' || c > '9') continue;
        plain[n++] = c;
        if (point) fraction++;
        else whole++;
    }
    if (whole == 0) return false;
    size_t wanted = (size_t)o->money_digits;
    if (fraction < wanted && !point) plain[n++] = '.';
    for (; fraction < wanted; fraction++) plain[n++] = '0';
    if (fraction > wanted) { /* round half up */
        bool up = plain[n - (fraction - wanted)] >= '5';
        n -= fraction - wanted;
        if (wanted == 0) n--;
        for (size_t i = n; up && i-- > 0;) {
            if (plain[i] == '.') continue;
            up = plain[i] == '9';
            plain[i] = up ? '0' : (char)(plain[i] + 1);
        }
        if (up) {
            memmove(plain + 1, plain, n++);
            plain[0] = '1';
        }
    }
    struct buf signed_text = {0};
    plain[n] = '\0';
    if (negative && strcspn(plain, "123456789") < n) buf_put_char(&signed_text, '-');
    buf_put(&signed_text, plain, n);
    bool ok = debezium_put_decimal(o, buf_slice(&signed_text), o->money_digits, json);
    buf_free(&signed_text);
    return ok;
}
