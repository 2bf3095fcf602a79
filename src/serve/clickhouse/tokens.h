/* Cuts ClickHouse SQL into tokens, as far as the guard needs: names, quoted names, texts, numbers and
 * marks; comments and white space are passed over. It judges nothing: the engine parses. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_TOKENS_H
#define MILLRACE_SERVE_CLICKHOUSE_TOKENS_H

#include "base/mem.h"

enum token_kind { TOKEN_NAME, TOKEN_QUOTED, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_MARK };

struct token {
    enum token_kind kind;
    struct slice text; /* without quotes, escapes as written; a mark is one byte */
};

/* Takes the next token from the front of *rest; false at the end. */
bool token_next(struct slice *rest, struct token *out);
/* A name (quoted or not) equal to `name` without regard to case. */
bool token_is(const struct token *t, const char *name);
static inline bool token_is_mark(const struct token *t, char mark)
{
    return t->kind == TOKEN_MARK && t->text.data[0] == mark;
}
bool slice_is_nocase(struct slice s, const char *text);

#endif
