/* The engine connections that users' statements run on, the register of what runs, and the watcher that
 * cancels it when the client goes away.
 *
 * A running statement holds one slot. A slot remembers the settings and the database that its last
 * statement left, so that the usual case, the same client again, costs no extra statement. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_POOL_H
#define MILLRACE_SERVE_CLICKHOUSE_POOL_H

#include "engine/engine.h"

#include <pthread.h>

enum { SLOTS_MAX = 8, RUNNING_MAX = 256 };

struct setting {
    char *name, *value;
};

struct slot {
    struct engine_conn *conn;
    char *tag; /* its log_comment, by which KILL finds it */
    char *database;
    struct setting *settings; /* set beyond those of the pool */
    size_t setting_count, setting_cap;
    bool busy;
};

struct running {
    uint64_t serial;   /* tells it from a later one at the same address */
    char *query_id;
    int fd;            /* the client's socket */
    struct slot *slot; /* NULL: still waiting for one */
    int64_t since_us, deadline_us;
    bool cancelled;
    int64_t killed_us; /* when the engine was last told */
};

struct pool {
    pthread_mutex_t lock; /* protects all below; held while a KILL runs, so that it cannot hit the next */
    pthread_cond_t freed;
    struct slot slots[SLOTS_MAX];
    size_t slot_count;
    struct running *running[RUNNING_MAX];
    size_t running_count;
    uint64_t serial; /* of the newest */
    struct engine_conn *killer;
    pthread_t watcher;
    int wake; /* an eventfd */
    bool watching, stopping;
    int64_t seconds_max, threads_max, memory_max;
};

bool pool_open(struct pool *p, size_t slots, struct error *err) MUST_CHECK;
void pool_close(struct pool *p);
/* Cancels everything and refuses what comes. */
void pool_stop(struct pool *p);

/* Registers a statement and waits for a slot. Errors in the engine's form: 216 the id runs already, 202
 * too many, 394 cancelled. The caller owns *r until pool_leave; query_id is copied. */
bool pool_enter(struct pool *p, struct running *r, const char *query_id, int fd,
                struct error *err) MUST_CHECK;
void pool_leave(struct pool *p, struct running *r);
/* The statement goes on under another owner; *from is empty afterwards. */
void pool_move(struct pool *p, struct running *from, struct running *to);
/* Brings the slot to this database and these settings. */
bool pool_prepare(const struct pool *p, struct slot *s, const char *database,
                  const struct setting *settings, size_t count, struct error *err) MUST_CHECK;
/* Cancels one; false when no such id runs. */
bool pool_kill(struct pool *p, const char *query_id);

#endif
