/* What every unit test includes: cmocka with its own requirements, and a temporary folder. */
#ifndef MILLRACE_TESTS_UNIT_H
#define MILLRACE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>

/* A fresh folder, from mem_*. */
static inline char *unit_folder(void)
{
    char name[] = "/tmp/millrace-unit-XXXXXX";
    if (!mkdtemp(name)) abort();
    return mem_text(name);
}

/* Removes and frees it. */
static inline void unit_folder_remove(char *folder)
{
    struct error err = {0};
    if (!file_remove_tree(folder, &err)) fail_msg("%s", err.text);
    mem_free(folder);
}

/* Where this program lies, for tests that start it again as a child; from malloc, NULL when it is not found.
 * /proc/self/exe will not do: under valgrind that is valgrind. */
static inline char *unit_program(const char *argv0)
{
    return realpath(argv0, NULL);
}

/* Fails the test with the error's text. */
#define unit_ok(call)                                                                                      \
    do {                                                                                                   \
        if (!(call)) fail_msg("%s: %s", #call, err.text);                                                  \
    } while (0)

#endif
