/* A stage's thread and one helper. Jobs are given out and finished in any order. A job that the helper
 * has not begun when the owner wants its result is run by the owner itself, and while the helper works on
 * it the owner runs others that wait, the oldest first; the helper takes the newest.
 *
 *   crew_give --> waiting --helper--> running --> done --crew_finish--> the owner's again
 *                    \-------------crew_finish: the owner runs it-------^
 *
 * One owner; a job's memory is the owner's and must live until crew_finish has returned. What a job
 * reads and writes is handed over at these two calls, nothing else is protected. */
#ifndef MILLRACE_BASE_CREW_H
#define MILLRACE_BASE_CREW_H

#include "base/error.h"

enum crew_state { CREW_WAITING, CREW_RUNNING, CREW_DONE };

struct crew_job {
    /* lane: 0 on the owner's thread, 1 on the helper's; each has connections of its own. */
    void (*run)(void *arg, int lane);
    void *arg;
    enum crew_state state;
    struct crew_job *next;
};

enum { CREW_LANES = 2 };

struct crew;

/* name: of the helper's thread, as `top -H` shows it; at most 15 characters. */
bool crew_open(struct crew **out, const char *name, struct error *err) MUST_CHECK;
/* All jobs must be finished. */
void crew_close(struct crew *c);
void crew_give(struct crew *c, struct crew_job *job);
void crew_finish(struct crew *c, struct crew_job *job);
/* Whether crew_finish would return at once. */
bool crew_done(struct crew *c, const struct crew_job *job);

#endif
