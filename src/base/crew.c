#include "base/crew.h"

#include "base/mem.h"

#include <pthread.h>
#include <string.h>

struct crew {
    pthread_mutex_t lock; /* protects all below and every job's state; nothing else is taken while held */
    pthread_cond_t given, done;
    struct crew_job *waiting; /* newest first */
    bool ended;
    pthread_t thread;
};

static void *help(void *arg)
{
    struct crew *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->waiting && !c->ended)
            pthread_cond_wait(&c->given, &c->lock);
        struct crew_job *job = c->waiting;
        if (!job) break;
        c->waiting = job->next;
        job->state = CREW_RUNNING;
        pthread_mutex_unlock(&c->lock);
        job->run(job->arg, 1);
        pthread_mutex_lock(&c->lock);
        job->state = CREW_DONE;
        pthread_cond_signal(&c->done);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

bool crew_open(struct crew **out, const char *name, struct error *err)
{
    struct crew *c = mem_alloc(sizeof *c);
    *c = (struct crew){0};
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->given, NULL);
    pthread_cond_init(&c->done, NULL);
    int failed = pthread_create(&c->thread, NULL, help, c);
    if (failed) {
        mem_free(c);
        return error_set(err, ERROR_FATAL, "a thread cannot be started: %s", strerror(failed));
    }
    pthread_setname_np(c->thread, name);
    *out = c;
    return true;
}

void crew_close(struct crew *c)
{
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    pthread_cond_signal(&c->given);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->given);
    pthread_cond_destroy(&c->done);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

void crew_give(struct crew *c, struct crew_job *job)
{
    pthread_mutex_lock(&c->lock);
    job->state = CREW_WAITING;
    job->next = c->waiting;
    c->waiting = job;
    pthread_cond_signal(&c->given);
    pthread_mutex_unlock(&c->lock);
}

/* Takes the job out of the line; false when the helper has it. */
static bool withdraw(struct crew *c, const struct crew_job *job)
{
    struct crew_job **at = &c->waiting;
    while (*at && *at != job)
        at = &(*at)->next;
    if (!*at) return false;
    *at = job->next;
    return true;
}

static struct crew_job *oldest(const struct crew *c)
{
    struct crew_job *job = c->waiting;
    while (job && job->next)
        job = job->next;
    return job;
}

/* Runs a withdrawn job on this thread; the lock is held before and after. */
static void run_here(struct crew *c, struct crew_job *job)
{
    job->state = CREW_RUNNING;
    pthread_mutex_unlock(&c->lock);
    job->run(job->arg, 0);
    pthread_mutex_lock(&c->lock);
    job->state = CREW_DONE;
}

void crew_finish(struct crew *c, struct crew_job *job)
{
    pthread_mutex_lock(&c->lock);
    while (job->state != CREW_DONE) {
        struct crew_job *next = withdraw(c, job) ? job : oldest(c);
        if (!next)
            pthread_cond_wait(&c->done, &c->lock);
        else if (next == job || withdraw(c, next))
            run_here(c, next);
    }
    pthread_mutex_unlock(&c->lock);
}

bool crew_done(struct crew *c, const struct crew_job *job)
{
    pthread_mutex_lock(&c->lock);
    bool done = job->state == CREW_DONE;
    pthread_mutex_unlock(&c->lock);
    return done;
}
