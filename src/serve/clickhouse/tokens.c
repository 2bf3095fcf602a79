/* The engine decides what a text means; a difference here can only refuse or miss a setting. */
#include "serve/clickhouse/tokens.h"

#include <ctype.h>
#include <strings.h>

static bool name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static void pass(struct slice *s, size_t n)
{
    if (n > s->len) n = s->len;
    s->data += n;
    s->len -= n;
}

static bool starts(struct slice s, const char *with)
{
    size_t n = strlen(with);
    return s.len >= n && memcmp(s.data, with, n) == 0;
}

/* Bytes up to and with `end`; everything when it is missing. */
static size_t until(struct slice s, const char *end)
{
    const char *at = s.len ? memmem(s.data, s.len, end, strlen(end)) : NULL;
    return at ? (size_t)(at - s.data) + strlen(end) : s.len;
}

static bool pass_blank(struct slice *s)
{
    if (s->len == 0) return false;
    if (isspace((unsigned char)s->data[0]) || s->data[0] == '\0')
        pass(s, 1);
    else if (starts(*s, "--") || starts(*s, "#!") || starts(*s, "# "))
        pass(s, until(*s, "\n"));
    else if (starts(*s, "/*"))
        pass(s, until(*s, "*/"));
    else
        return false;
    return true;
}

/* The length inside the quotes that open s; a doubled quote or a backslash continues. */
static size_t quoted_len(struct slice s)
{
    char quote = s.data[0];
    size_t i = 1;
    for (; i < s.len; i++) {
        if (s.data[i] == '\\')
            i++;
        else if (s.data[i] == quote && i + 1 < s.len && s.data[i + 1] == quote)
            i++;
        else if (s.data[i] == quote)
            break;
    }
    return (i < s.len ? i : s.len) - 1;
}

/* $tag$ ... $tag$ : the length with both tags, 0 when it is none. */
static size_t heredoc_len(struct slice s)
{
    size_t n = 1;
    while (n < s.len && name_byte(s.data[n]))
        n++;
    if (n >= s.len || s.data[n] != '$') return 0;
    n++;
    const char *close = memmem(s.data + n, s.len - n, s.data, n);
    return close ? (size_t)(close - s.data) + n : 0;
}

bool token_next(struct slice *rest, struct token *out)
{
    while (pass_blank(rest)) {
    }
    if (rest->len == 0) return false;
    char c = rest->data[0];
    size_t n = 1, heredoc;
    if (c == '\'' || c == '"' || c == '`') {
        size_t inside = quoted_len(*rest);
        *out = (struct token){c == '\'' ? TOKEN_TEXT : TOKEN_QUOTED, {rest->data + 1, inside}};
        pass(rest, inside + 2);
        return true;
    }
    if (c == '$' && (heredoc = heredoc_len(*rest)) > 0) {
        *out = (struct token){TOKEN_TEXT, {rest->data, heredoc}};
        pass(rest, heredoc);
        return true;
    }
    enum token_kind kind = TOKEN_MARK;
    if (name_byte(c)) {
        kind = isdigit((unsigned char)c) ? TOKEN_NUMBER : TOKEN_NAME;
        while (n < rest->len &&
               (name_byte(rest->data[n]) || (kind == TOKEN_NUMBER && rest->data[n] == '.')))
            n++;
    }
    *out = (struct token){kind, {rest->data, n}};
    pass(rest, n);
    return true;
}

bool slice_is_nocase(struct slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.data, text, s.len) == 0;
}

bool token_is(const struct token *t, const char *name)
{
    return (t->kind == TOKEN_NAME || t->kind == TOKEN_QUOTED) && slice_is_nocase(t->text, name);
}
