/* Memory: allocation that cannot fail (out of memory stops the process, in one place), and the
 * `slice`, a borrowed run of bytes. Sizes that come from outside are checked before they get here. */
#ifndef MILLRACE_BASE_MEM_H
#define MILLRACE_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes owned by somebody else, not NUL-terminated. A NULL data means "absent" (SQL NULL). */
struct slice {
    const char *data;
    size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Byte order; a shorter prefix sorts first. */
int slice_compare(struct slice a, struct slice b);

void *mem_alloc(size_t size);                          /* zeroed */
void *mem_resize(void *old, size_t count, size_t each); /* not zeroed; aborts on overflow */
void mem_free(void *p);
char *mem_text(const char *text);                      /* a copy; NULL gives NULL */
char *mem_textn(const char *data, size_t len);         /* a NUL-terminated copy */
char *mem_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Before the first thread: keeps what is freed from staying resident. */
void mem_tune(void);
/* Gives freed memory back to the system. */
void mem_trim(void);

/* Grows `array` so that index `count` can be written: doubles `*cap`. */
#define MEM_GROW(array, count, cap)                                          \
    do {                                                                     \
        if ((count) == (cap)) {                                              \
            (cap) = (cap) ? (cap) * 2 : 16;                                  \
            (array) = mem_resize((array), (cap), sizeof *(array));           \
        }                                                                    \
    } while (0)

#endif
