/* The data folder, which belongs to one process at a time:
 *
 *   <home>/lake/       Delta tables           <home>/run/format   version of this layout
 *   <home>/state/      RocksDB                <home>/run/lock     locked while a process lives here:
 *   <home>/warehouse/  embedded ClickHouse                        "pid=", "http_port=", "clickhouse_port="
 *   <home>/millrace.conf  settings, if there are any
 *
 * 1. The lock is the kernel's (an open file description lock): it ends with the process, however it
 *    ends. The text in the file only tells others whom to ask; without a lock it means nothing.
 * 2. Asking (home_peek) takes no lock, so that it cannot refuse anybody a start.
 * 3. A folder of a newer layout is refused, never touched. */
#ifndef MILLRACE_BASE_HOME_H
#define MILLRACE_BASE_HOME_H

#include "base/error.h"

#define HOME_FORMAT 1

struct home {
    char *path;
    int lock; /* file descriptor + 1; 0: none */
};

struct home_info {
    bool alive; /* a process holds the folder; the rest is only then set */
    long pid;
    int http_port, clickhouse_port; /* 0: not served, or not yet */
};

/* exclusive: makes what is missing and takes the lock; a folder that is held is RETRY, naming the pid.
 * Not exclusive: checks that the folder is there and of a known layout, to read beside its process. */
bool home_open(struct home *h, const char *path, bool exclusive, struct error *err) MUST_CHECK;
/* Tells others the ports. Only with the lock. */
bool home_announce(struct home *h, int http_port, int clickhouse_port, struct error *err) MUST_CHECK;
/* Gives the lock back. Twice is harmless. */
void home_close(struct home *h);

/* Who holds the folder? A folder that does not exist is held by nobody. */
bool home_peek(const char *path, struct home_info *out, struct error *err) MUST_CHECK;

/* What to do about a damaged file, by the layer that its path or its table's name lies in ("lake/silver/...",
 * "silver/orders"); "" when it lies in none. */
const char *home_repair(const char *path);

#endif
