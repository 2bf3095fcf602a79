/* A wake-up between threads: `wake_signal` makes the next (or the waiting) `wake_wait` return at
 * once. Signals do not add up. The file descriptor is readable while a signal is pending, for poll. */
#ifndef MILLRACE_BASE_WAKE_H
#define MILLRACE_BASE_WAKE_H

#include "base/error.h"

#include <stdint.h>

struct wake {
    int fd; /* an eventfd */
};

bool wake_init(struct wake *w, struct error *err) MUST_CHECK;
void wake_free(struct wake *w);
void wake_signal(struct wake *w);
/* Waits for a signal or timeout_us (negative: no limit); true when signalled. Clears the signal. */
bool wake_wait(struct wake *w, int64_t timeout_us);

#endif
