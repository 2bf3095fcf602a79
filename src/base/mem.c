#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENAS = 4, LARGE_BYTES = 1 << 20 };

static void *checked(void *p)
{
    if (!p) {
        fputs("millrace: out of memory\n", stderr);
        abort();
    }
    return p;
}

int slice_compare(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *mem_resize(void *old, size_t count, size_t each)
{
    return checked(reallocarray(old, count ? count : 1, each));
}

void mem_free(void *p)
{
    free(p);
}

/* Arenas keep what was freed in them, one for each thread, and the threshold for mappings grows with every large
 * block that is freed: a batch of megabytes would stay resident for good. */
void mem_tune(void)
{
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
}

void mem_trim(void)
{
    malloc_trim(LARGE_BYTES);
}

char *mem_text(const char *text)
{
    return text ? mem_textn(text, strlen(text)) : NULL;
}

char *mem_textn(const char *data, size_t len)
{
    char *copy = checked(malloc(len + 1));
    if (len) memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

char *mem_format(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    return checked(n < 0 ? NULL : text);
}
