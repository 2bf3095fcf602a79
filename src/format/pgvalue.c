#include "format/pgvalue.h"

enum { ARRAY_DEPTH_MAX = 6 }; /* PostgreSQL's MAXDIM */

struct known_type {
    uint32_t oid, array_oid;
    enum pgvalue_kind kind;
};

/* Built-in types whose array type is not known by another way: pg_type.dat of PostgreSQL 13 to 18. */
static const struct known_type known_types[] = {
    {16, 1000, PGVALUE_BOOL},    {17, 1001, PGVALUE_BYTEA},   {18, 1002, PGVALUE_TEXT}, /* char */
    {19, 1003, PGVALUE_TEXT},    {20, 1016, PGVALUE_INTEGER}, {21, 1005, PGVALUE_INTEGER},
    {23, 1007, PGVALUE_INTEGER}, {25, 1009, PGVALUE_TEXT},    {26, 1028, PGVALUE_INTEGER}, /* oid */
    {114, 199, PGVALUE_TEXT},    {142, 143, PGVALUE_TEXT},    {650, 651, PGVALUE_TEXT},    /* cidr */
    {700, 1021, PGVALUE_FLOAT},  {701, 1022, PGVALUE_FLOAT},  {774, 775, PGVALUE_TEXT},
    {790, 791, PGVALUE_TEXT},    {829, 1040, PGVALUE_TEXT},   {869, 1041, PGVALUE_TEXT},  /* inet */
    {1042, 1014, PGVALUE_TEXT},  {1043, 1015, PGVALUE_TEXT},  {1082, 1182, PGVALUE_TEXT}, /* date */
    {1083, 1183, PGVALUE_TEXT},  {1114, 1115, PGVALUE_TEXT},  {1184, 1185, PGVALUE_TEXT},
    {1186, 1187, PGVALUE_TEXT},  {1266, 1270, PGVALUE_TEXT},  {1560, 1561, PGVALUE_TEXT}, /* bit */
    {1562, 1563, PGVALUE_TEXT},  {1700, 1231, PGVALUE_TEXT},  {2950, 2951, PGVALUE_TEXT}, /* uuid */
    {3802, 3807, PGVALUE_TEXT},  {3904, 3905, PGVALUE_TEXT},  {3906, 3907, PGVALUE_TEXT},
    {3908, 3909, PGVALUE_TEXT},  {3910, 3911, PGVALUE_TEXT},  {3912, 3913, PGVALUE_TEXT},
    {3926, 3927, PGVALUE_TEXT},  {600, 1017, PGVALUE_TEXT},   {603, 1020, PGVALUE_TEXT}, /* box */
};

static bool ends_with_brackets(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    return len > 2 && name[len - 2] == '[' && name[len - 1] == ']';
}

struct pgvalue_type pgvalue_type_of(uint32_t oid, const char *name)
{
    for (size_t i = 0; i < sizeof known_types / sizeof *known_types; i++) {
        const struct known_type *t = &known_types[i];
        if (t->oid == oid) return (struct pgvalue_type){.kind = t->kind};
        if (t->array_oid == oid)
            return (struct pgvalue_type){.kind = t->kind, .delimiter = t->oid == 603 ? ';' : ','};
    }
    return (struct pgvalue_type){.kind = PGVALUE_TEXT, .delimiter = ends_with_brackets(name) ? ',' : '\0'};
}

static size_t digits(struct slice s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && s.data[at + n] >= '0' && s.data[at + n] <= '9')
        n++;
    return n;
}

/* The grammar of RFC 8259: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool is_number(struct slice s, bool integer)
{
    size_t at = s.len && s.data[0] == '-';
    size_t n = digits(s, at);
    if (n == 0 || (n > 1 && s.data[at] == '0')) return false;
    at += n;
    if (integer) return at == s.len;
    if (at < s.len && s.data[at] == '.') {
        n = digits(s, at + 1);
        if (n == 0) return false;
        at += 1 + n;
    }
    if (at < s.len && (s.data[at] == 'e' || s.data[at] == 'E')) {
        at++;
        at += at < s.len && (s.data[at] == '+' || s.data[at] == '-');
        n = digits(s, at);
        if (n == 0) return false;
        at += n;
    }
    return at == s.len;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool is_hex_bytea(struct slice s)
{
    if (s.len < 2 || s.len % 2 || s.data[0] != '\\' || s.data[1] != 'x') return false;
    for (size_t i = 2; i < s.len; i++)
        if (hex_digit(s.data[i]) < 0) return false;
    return true;
}

static void put_base64(struct buf *out, struct slice hex)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_put_char(out, '"');
    for (size_t at = 2; at < hex.len; at += 6) {
        uint32_t group = 0;
        size_t bytes = (hex.len - at) / 2 < 3 ? (hex.len - at) / 2 : 3;
        for (size_t i = 0; i < 3; i++) {
            uint32_t byte =
                i < bytes
                    ? (uint32_t)(hex_digit(hex.data[at + 2 * i]) << 4 | hex_digit(hex.data[at + 2 * i + 1]))
                    : 0;
            group = group << 8 | byte;
        }
        char four[4];
        for (size_t i = 0; i < 4; i++)
            four[i] = i <= bytes ? letters[group >> (18 - 6 * i) & 63] : '=';
        buf_put(out, four, sizeof four);
    }
    buf_put_char(out, '"');
}

static void put_scalar(struct buf *out, enum pgvalue_kind kind, struct slice text)
{
    switch (kind) {
    case PGVALUE_BOOL:
        if (text.len == 1 && (text.data[0] == 't' || text.data[0] == 'f')) {
            buf_put_text(out, text.data[0] == 't' ? "true" : "false");
            return;
        }
        break;
    case PGVALUE_INTEGER:
    case PGVALUE_FLOAT:
        if (is_number(text, kind == PGVALUE_INTEGER)) {
            buf_put_slice(out, text);
            return;
        }
        break;
    case PGVALUE_BYTEA:
        if (is_hex_bytea(text)) {
            put_base64(out, text);
            return;
        }
        break;
    case PGVALUE_TEXT: break;
    }
    buf_put_json(out, text);
}

/* A walk over an array's text: {1,NULL,"a \"quoted\" one",{..}} */
struct array {
    struct slice text;
    size_t at;
    struct pgvalue_type type;
    struct buf word; /* the element without its quotes and backslashes */
};

static bool looking_at(const struct array *a, char c)
{
    return a->at < a->text.len && a->text.data[a->at] == c;
}

static bool put_quoted(struct buf *out, struct array *a)
{
    buf_clear(&a->word);
    for (a->at++; a->at < a->text.len; a->at++) {
        char c = a->text.data[a->at];
        if (c == '"') {
            a->at++;
            put_scalar(out, a->type.kind, a->word.len ? buf_slice(&a->word) : SLICE(""));
            return true;
        }
        if (c == '\\' && ++a->at == a->text.len) return false;
        buf_put_char(&a->word, a->text.data[a->at]);
    }
    return false;
}

static bool put_bare(struct buf *out, struct array *a)
{
    struct slice word = {a->text.data + a->at, 0};
    while (a->at < a->text.len) {
        char c = a->text.data[a->at];
        if (c == a->type.delimiter || c == '}') break;
        if (c == '{' || c == '"' || c == '\\') return false; /* PostgreSQL quotes these */
        word.len++;
        a->at++;
    }
    if (word.len == 0) return false;
    if (slice_equal(word, SLICE("NULL")))
        buf_put_text(out, "null");
    else
        put_scalar(out, a->type.kind, word);
    return true;
}

static bool put_level(struct buf *out, struct array *a, int depth)
{
    if (depth > ARRAY_DEPTH_MAX) return false;
    a->at++;
    buf_put_char(out, '[');
    for (bool first = true; !looking_at(a, '}'); first = false) {
        if (!first) {
            if (!looking_at(a, a->type.delimiter)) return false;
            a->at++;
            buf_put_char(out, ',');
        }
        bool ok = looking_at(a, '{')   ? put_level(out, a, depth + 1)
                  : looking_at(a, '"') ? put_quoted(out, a)
                                       : put_bare(out, a);
        if (!ok) return false;
    }
    a->at++;
    buf_put_char(out, ']');
    return true;
}

static bool put_array(struct buf *out, struct pgvalue_type type, struct slice text)
{
    struct array a = {.text = text, .type = type};
    if (looking_at(&a, '[')) { /* "[2:3]={..}" */
        const char *equals = memchr(text.data, '=', text.len);
        if (!equals) return false;
        a.at = (size_t)(equals - text.data) + 1;
    }
    bool ok = looking_at(&a, '{') && put_level(out, &a, 1) && a.at == text.len;
    buf_free(&a.word);
    return ok;
}

void pgvalue_put_json(struct buf *out, struct pgvalue_type type, struct slice text)
{
    if (!text.data) {
        buf_put_text(out, "null");
        return;
    }
    if (type.delimiter) {
        size_t start = out->len;
        if (put_array(out, type, text)) return;
        out->len = start;
        type.kind = PGVALUE_TEXT;
    }
    put_scalar(out, type.kind, text);
}
