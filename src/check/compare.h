/* Two sets of keyed rows: the expected ones are taken first, then the actual ones are held against them.
 * Rows are kept as 128-bit hashes by key, so memory is about 60 bytes a row and the key. */
#ifndef MILLRACE_CHECK_COMPARE_H
#define MILLRACE_CHECK_COMPARE_H

#include "check/check.h"

struct compare;

struct compare *compare_new(struct check_line *line);
void compare_expect(struct compare *c, struct slice key, struct slice row);
/* A key that comes twice is surplus the second time. */
void compare_actual(struct compare *c, struct slice key, struct slice row);
/* Counts what was expected and did not come, and frees. */
void compare_finish(struct compare *c);
/* Notes one key in the line (printable; 0x1F becomes '|'). */
void check_line_key(struct check_line *line, struct slice key);

#endif
