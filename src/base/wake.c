#include "base/wake.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool wake_init(struct wake *w, struct error *err)
{
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return w->fd >= 0 || error_errno(err, "cannot make an eventfd");
}

void wake_free(struct wake *w)
{
    if (w->fd > 0) close(w->fd);
    w->fd = 0;
}

void wake_signal(struct wake *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->fd, &one, sizeof one);
    (void)n; /* full means that a signal is pending already */
}

bool wake_wait(struct wake *w, int64_t timeout_us)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    int timeout_ms = timeout_us < 0 ? -1 : (int)((timeout_us + 999) / 1000);
    if (poll(&p, 1, timeout_ms) <= 0) return false;
    uint64_t count;
    ssize_t n = read(w->fd, &count, sizeof count);
    return n == (ssize_t)sizeof count;
}
