/* Sessions: what SET and USE left under a session_id, for a time. There is nothing else to keep: a
 * session's statements only read. */
#ifndef MILLRACE_SERVE_CLICKHOUSE_SESSION_H
#define MILLRACE_SERVE_CLICKHOUSE_SESSION_H

#include "base/map.h"
#include "serve/clickhouse/request.h"

struct session {
    char *id, *database;
    struct setting *settings;
    size_t setting_count, setting_cap;
    int64_t expires_us, timeout_us;
    bool busy;
    struct session *next;
};

struct sessions {
    pthread_mutex_t lock; /* protects the list and `busy`; a busy session belongs to its request */
    struct session *list;
    size_t count;
};

void sessions_init(struct sessions *s);
void sessions_free(struct sessions *s);
/* Takes the session of the request for its time; *out is NULL when it names none. Errors 373 (in use) and
 * 372 (session_check and not there), in the engine's form. */
bool session_enter(struct sessions *s, const struct request *r, struct session **out,
                   struct error *err) MUST_CHECK;
void session_leave(struct sessions *s, struct session *session, bool close);
void session_set(struct session *s, const char *name, const char *value);

#endif
