/* What customers write: Portuguese reviews made of usual phrases. */
#ifndef MILLRACE_CLI_GENERATE_WORDS_H
#define MILLRACE_CLI_GENERATE_WORDS_H

#include "base/buf.h"
#include "cli/generate/random.h"

/* Appends title and message as SQL values: 'text', or NULL as often as customers write nothing. */
void words_put_review(struct buf *sql, struct random *r, int score);

#endif
