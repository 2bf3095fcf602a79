/* Numbers as PostgreSQL prints them. Decimals: two's complement, big-endian, or digits. Floats: the fewest
 * digits that give the same number back, with an exponent below 1e-4 and from 1e15 (real: 1e6) on. */
#include "format/debezium/decode_int.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

enum {
    DIGITS_MAX = 131072 + 16383, /* of numeric */
    SCALE_MAX = 16383,
    BYTES_MAX = 61500, /* hold as many digits */
};

/* ---- base64 and bits */

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool base64_decode(struct slice text, struct buf *bytes)
{
    buf_clear(bytes);
    size_t len = text.len;
    while (len && text.len - len < 2 && text.data[len - 1] == '=')
        len--;
    if (len % 4 == 1 || (len != text.len && text.len % 4)) return false;
    char *to = buf_reserve(bytes, len / 4 * 3 + 3);
    if (!to) return false;
    uint32_t group = 0;
    for (size_t i = 0; i < len; i++) {
        int v = base64_value((unsigned char)text.data[i]);
        if (v < 0) return false;
        group = group << 6 | (uint32_t)v;
        if (i % 4 == 3) {
            *to++ = (char)(group >> 16), *to++ = (char)(group >> 8), *to++ = (char)group;
            group = 0;
        }
    }
    if (len % 4 == 2) *to = (char)(group >> 4);
    if (len % 4 == 3) to[0] = (char)(group >> 10), to[1] = (char)(group >> 2);
    bytes->len = len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0);
    return true;
}

void base64_encode(struct slice bytes, bool url_safe, struct buf *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t at = 0; at < bytes.len; at += 3) {
        size_t n = bytes.len - at < 3 ? bytes.len - at : 3;
        uint32_t group = 0;
        for (size_t i = 0; i < 3; i++)
            group = group << 8 | (i < n ? (unsigned char)bytes.data[at + i] : 0U);
        char four[4];
        for (size_t i = 0; i < 4; i++) {
            uint32_t v = group >> (18 - 6 * i) & 63;
            char c = v < 62 ? letters[v] : v == 62 ? (url_safe ? '-' : '+') : (url_safe ? '_' : '/');
            four[i] = i <= n ? c : '=';
        }
        buf_put(out, four, sizeof four);
    }
}

void put_bit_string(struct slice bytes, int32_t length, struct buf *out)
{
    size_t bits = bytes.len * 8;
    while (bits && !((unsigned char)bytes.data[(bits - 1) / 8] >> ((bits - 1) % 8) & 1))
        bits--;
    buf_put_char(out, '"');
    for (size_t i = bits; length > 0 && i < (size_t)length; i++)
        buf_put_char(out, '0');
    while (bits--)
        buf_put_char(out, (unsigned char)bytes.data[bits / 8] >> (bits % 8) & 1 ? '1' : '0');
    buf_put_char(out, '"');
}

/* ---- decimals */

/* Digits without leading zeros, as a string with the point at its place. */
static bool put_scaled(bool minus, struct slice digits, int64_t scale, struct buf *out)
{
    while (digits.len && digits.data[0] == '0')
        digits.data++, digits.len--;
    if (scale < -DIGITS_MAX || scale > SCALE_MAX || digits.len > DIGITS_MAX) return false;
    buf_put_char(out, '"');
    if (minus && digits.len) buf_put_char(out, '-');
    if (scale <= 0) {
        if (digits.len == 0) scale = 0;
        buf_put_slice(out, digits.len ? digits : SLICE("0"));
        for (int64_t i = scale; i < 0; i++)
            buf_put_char(out, '0');
    } else {
        size_t after = (size_t)scale;
        if (digits.len > after)
            buf_put(out, digits.data, digits.len - after);
        else
            buf_put_char(out, '0');
        buf_put_char(out, '.');
        for (size_t i = digits.len; i < after; i++)
            buf_put_char(out, '0');
        size_t n = digits.len < after ? digits.len : after;
        buf_put(out, digits.data + (digits.len - n), n);
    }
    buf_put_char(out, '"');
    return true;
}

static struct slice small_digits(uint64_t n, char *end)
{
    char *at = end;
    for (; n; n /= 10)
        *--at = (char)('0' + n % 10);
    return (struct slice){at, (size_t)(end - at)};
}

/* The magnitude by divisions by 10^9, least digits first, then turned round. */
static void large_digits(struct slice bytes, bool minus, struct buf *digits)
{
    size_t count = (bytes.len + 3) / 4;
    uint32_t *limbs = mem_alloc(count * sizeof *limbs); /* most significant first */
    for (size_t i = 0; i < count * 4; i++) {
        size_t pad = count * 4 - bytes.len;
        unsigned char b = i < pad ? (minus ? 0xFF : 0) : (unsigned char)bytes.data[i - pad];
        limbs[i / 4] = limbs[i / 4] << 8 | (minus ? (unsigned char)~b : b);
    }
    for (size_t i = count; minus && i-- > 0 && ++limbs[i] == 0;)
        continue;
    buf_clear(digits);
    for (size_t first = 0; first < count;) {
        uint64_t rest = 0;
        for (size_t i = first; i < count; i++) {
            uint64_t n = rest << 32 | limbs[i];
            limbs[i] = (uint32_t)(n / 1000000000);
            rest = n % 1000000000;
        }
        while (first < count && limbs[first] == 0)
            first++;
        for (int i = 0; i < 9; i++, rest /= 10)
            buf_put_char(digits, (char)('0' + rest % 10));
    }
    mem_free(limbs);
    for (size_t i = 0, j = digits->len; i + 1 < j;) {
        char c = digits->data[i];
        digits->data[i++] = digits->data[--j];
        digits->data[j] = c;
    }
}

bool put_bytes_decimal(struct values *v, struct slice bytes, int64_t scale, struct buf *out)
{
    if (bytes.len == 0 || bytes.len > BYTES_MAX) return false;
    bool minus = (unsigned char)bytes.data[0] & 0x80;
    if (bytes.len > 8) {
        large_digits(bytes, minus, &v->digits);
        return put_scaled(minus, buf_slice(&v->digits), scale, out);
    }
    uint64_t n = minus ? UINT64_MAX : 0;
    for (size_t i = 0; i < bytes.len; i++)
        n = n << 8 | (unsigned char)bytes.data[i];
    char text[20];
    return put_scaled(minus, small_digits(minus ? 0 - n : n, text + sizeof text), scale, out);
}

static bool named(struct slice text, struct buf *out)
{
    static const struct {
        const char *from, *to;
    } names[] = {
        {"NAN", "\"NaN\""}, {"POSITIVE_INFINITY", "\"Infinity\""}, {"NEGATIVE_INFINITY", "\"-Infinity\""},
        {"NaN", "\"NaN\""}, {"Infinity", "\"Infinity\""},          {"-Infinity", "\"-Infinity\""},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!slice_equal(text, slice_of(names[i].from))) continue;
        buf_put_text(out, names[i].to);
        return true;
    }
    return false;
}

/* [-+]digits[.digits][e[+-]digits] into digits and a scale. */
static bool take_number(struct slice text, bool *minus, struct buf *digits, int64_t *scale)
{
    size_t i = 0, point = SIZE_MAX;
    *minus = text.len && text.data[0] == '-';
    if (text.len && (text.data[0] == '-' || text.data[0] == '+')) i++;
    buf_clear(digits);
    for (; i < text.len && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        char c = text.data[i];
        if (c == '.' && point == SIZE_MAX)
            point = digits->len;
        else if (c < '0' || c > '9')
            return false;
        else
            buf_put_char(digits, c);
    }
    if (digits->len == 0) return false;
    *scale = point == SIZE_MAX ? 0 : (int64_t)(digits->len - point);
    if (i == text.len) return true;
    struct slice e = {text.data + i + 1, text.len - i - 1};
    if (e.len && e.data[0] == '+') e.data++, e.len--;
    bool down = e.len && e.data[0] == '-';
    size_t at = down;
    if (e.len == at || e.len - at > 6) return false;
    int64_t exponent = 0;
    for (; at < e.len; at++) {
        if (e.data[at] < '0' || e.data[at] > '9') return false;
        exponent = exponent * 10 + (e.data[at] - '0');
    }
    *scale += down ? exponent : -exponent;
    return true;
}

bool put_text_decimal(struct values *v, struct slice text, int32_t scale, bool trimmed, struct buf *out)
{
    bool minus;
    int64_t own;
    if (named(text, out)) return true;
    if (!take_number(text, &minus, &v->digits, &own)) return false;
    struct buf *digits = &v->digits;
    if (scale == SCALE_ANY) {
        while (trimmed && own > 0 && digits->len > 1 && digits->data[digits->len - 1] == '0')
            digits->len--, own--;
        return put_scaled(minus, buf_slice(digits), own, out);
    }
    if (own < -DIGITS_MAX || own > 2 * DIGITS_MAX) return false;
    for (; own > scale && digits->len && digits->data[digits->len - 1] == '0'; own--)
        digits->len--;
    if (scale >= 0)
        for (; own < scale; own++)
            buf_put_char(digits, '0');
    return put_scaled(minus, buf_slice(digits), own, out);
}

/* ---- floats */

/* digits d1d2d3.. times 10^(exponent - count + 1) */
static void put_digits(bool minus, const char *digits, int count, int exponent, bool single,
                       struct buf *out)
{
    if (minus) buf_put_char(out, '-');
    if (exponent < -4 || exponent >= (single ? 6 : 15)) {
        buf_put_char(out, digits[0]);
        if (count > 1) buf_put_char(out, '.');
        buf_put(out, digits + 1, (size_t)(count - 1));
        int e = exponent < 0 ? -exponent : exponent;
        buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', e);
        return;
    }
    if (exponent < 0) {
        buf_put(out, "0.000", (size_t)(1 - exponent));
        buf_put(out, digits, (size_t)count);
        return;
    }
    for (int i = 0; i < count || i <= exponent; i++) {
        if (i == exponent + 1) buf_put_char(out, '.');
        buf_put_char(out, i < count ? digits[i] : '0');
    }
}

/* Whether text (d.ddde+dd) lies in the very middle between two numbers: it needs one bit more than they
 * have. */
static bool is_middle(const char *text, bool single)
{
    uint64_t n = 0;
    int power = 0;
    bool point = false;
    for (; *text && *text != 'e'; text++) {
        point |= *text == '.';
        if (*text < '0' || *text > '9') continue;
        n = n * 10 + (uint64_t)(*text - '0'); /* 17 digits at most */
        power -= point;
    }
    power += (int)strtol(*text ? text + 1 : "0", NULL, 10);
    while (n && n % 2 == 0)
        n /= 2;
    for (; power > 0 && n >> 54 == 0; power--)
        n *= 5;
    for (; power < 0 && n % 5 == 0; power++)
        n /= 5;
    return power == 0 && n >> (single ? 24 : 53) == 1;
}

/* PostgreSQL takes no digits from the middle, though they are read as this number. */
static bool gives_back(const char *text, double value, bool single)
{
    if (single ? strtof(text, NULL) != (float)value : strtod(text, NULL) != value) return false;
    return !is_middle(text, single);
}

void put_double(double value, bool single, struct buf *out)
{
    if (isnan(value) || isinf(value)) {
        buf_put_text(out, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
        return;
    }
    if (value == 0) {
        buf_put_text(out, signbit(value) ? "-0" : "0");
        return;
    }
    char text[40], digits[20];
    double least = single ? (double)FLT_MIN : DBL_MIN;
    int most = single ? 9 : 17, precision = fabs(value) < least ? 1 : single ? 6 : 15;
    for (;; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, value);
        if (precision >= most) break;
        if (gives_back(text, value, single)) break;
    }
    int count = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9') digits[count++] = *at;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    int exponent = *at ? (int)strtol(at + 1, NULL, 10) : 0;
    put_digits(value < 0, digits, count, exponent, single, out);
}

/* So few digits, of a number not so large that whole numbers are left out, are the shortest by themselves:
 * no conversion. False when it is not so. */
static bool put_short(struct slice number, bool single, struct buf *out)
{
    char digits[16];
    int count = 0, exponent = -1, e = 0;
    size_t i = number.data[0] == '-';
    bool point = false;
    for (; i < number.len && number.data[i] != 'e' && number.data[i] != 'E'; i++) {
        char c = number.data[i];
        if (c == '.') {
            point = true;
            continue;
        }
        if (c == '0' && count == 0) {
            exponent -= point;
            continue;
        }
        if (count == (int)sizeof digits) return false;
        digits[count++] = c;
        exponent += !point;
    }
    if (i < number.len) {
        if (number.len - i > 4) return false;
        char text[8] = {0};
        memcpy(text, number.data + i + 1, number.len - i - 1);
        e = (int)strtol(text, NULL, 10);
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    exponent += e;
    if (count == 0 || count > (single ? 6 : 15)) return false;
    if (exponent < (single ? -37 : -307) || exponent > (single ? 6 : 14)) return false;
    put_digits(number.data[0] == '-', digits, count, exponent, single, out);
    return true;
}

static bool is_json_number(struct slice s)
{
    size_t i = s.len && s.data[0] == '-', digits = 0;
    for (; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++)
        digits++;
    if (!digits) return false;
    if (i < s.len && s.data[i] == '.')
        for (i++, digits = 0; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++)
            digits++;
    if (!digits) return false;
    if (i < s.len && (s.data[i] == 'e' || s.data[i] == 'E')) {
        i++, digits = 0;
        if (i < s.len && (s.data[i] == '+' || s.data[i] == '-')) i++;
        for (; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++)
            digits++;
    }
    return digits && i == s.len;
}

bool put_float(struct slice number, bool single, struct buf *out)
{
    char text[400];
    if (!is_json_number(number)) return false;
    if (put_short(number, single, out)) return true;
    if (number.len >= sizeof text) return false;
    memcpy(text, number.data, number.len);
    text[number.len] = '\0';
    double value = single ? (double)strtof(text, NULL) : strtod(text, NULL);
    if (isinf(value)) return false;
    put_double(value, single, out);
    return true;
}
