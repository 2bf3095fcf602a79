/* A list is enough: a driver keeps a session for a minute, and there are at most SESSIONS_MAX. */
#include "serve/clickhouse/session.h"

#include "base/clock.h"

enum { SESSIONS_MAX = 2000, TIMEOUT_MAX_S = 3600 };

void sessions_init(struct sessions *s)
{
    *s = (struct sessions){0};
    pthread_mutex_init(&s->lock, NULL);
}

static void drop(struct sessions *s, struct session **at)
{
    struct session *gone = *at;
    *at = gone->next;
    s->count--;
    for (size_t i = 0; i < gone->setting_count; i++) {
        mem_free(gone->settings[i].name);
        mem_free(gone->settings[i].value);
    }
    mem_free(gone->settings);
    mem_free(gone->id);
    mem_free(gone->database);
    mem_free(gone);
}

void sessions_free(struct sessions *s)
{
    while (s->list)
        drop(s, &s->list);
    pthread_mutex_destroy(&s->lock);
}

/* Drops what has expired, and when there are too many, the one idle longest (the last in the list). */
static void expire(struct sessions *s, int64_t now)
{
    struct session **idle = NULL;
    for (struct session **at = &s->list; *at;) {
        if (!(*at)->busy && (*at)->expires_us < now) {
            drop(s, at);
            continue;
        }
        if (!(*at)->busy) idle = at;
        at = &(*at)->next;
    }
    if (s->count >= SESSIONS_MAX && idle && *idle) drop(s, idle);
}

static struct session *add(struct sessions *s, const char *id)
{
    struct session *new = mem_alloc(sizeof *new);
    new->id = mem_text(id);
    new->next = s->list;
    s->list = new;
    s->count++;
    return new;
}

bool session_enter(struct sessions *s, const struct request *r, struct session **out, struct error *err)
{
    *out = NULL;
    if (!r->session_id) return true;
    pthread_mutex_lock(&s->lock);
    expire(s, clock_mono_us());
    struct session *found = s->list;
    while (found && strcmp(found->id, r->session_id) != 0)
        found = found->next;
    bool ok = true;
    if (found && found->busy)
        ok = error_set(err, ERROR_RETRY,
                       "Code: 373. DB::Exception: Session %.100s is locked by a concurrent client."
                       " (SESSION_IS_LOCKED)",
                       r->session_id);
    else if (!found && r->session_check)
        ok = error_set(err, ERROR_CONFIG,
                       "Code: 372. DB::Exception: Session %.100s not found."
                       " (SESSION_NOT_FOUND)",
                       r->session_id);
    if (ok) {
        if (!found) found = add(s, r->session_id);
        int64_t seconds = r->session_timeout_s;
        found->timeout_us = (seconds < 1 ? 1 : seconds > TIMEOUT_MAX_S ? TIMEOUT_MAX_S : seconds) * 1000000;
        found->busy = true;
        *out = found;
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void session_leave(struct sessions *s, struct session *session, bool close)
{
    if (!session) return;
    pthread_mutex_lock(&s->lock);
    session->busy = false;
    session->expires_us = clock_mono_us() + session->timeout_us;
    struct session **at = &s->list;
    while (close && *at && *at != session)
        at = &(*at)->next;
    if (close && *at) drop(s, at);
    pthread_mutex_unlock(&s->lock);
}

void session_set(struct session *s, const char *name, const char *value)
{
    for (size_t i = 0; i < s->setting_count; i++) {
        if (strcmp(s->settings[i].name, name) != 0) continue;
        mem_free(s->settings[i].value);
        s->settings[i].value = mem_text(value);
        return;
    }
    MEM_GROW(s->settings, s->setting_count, s->setting_cap);
    s->settings[s->setting_count++] = (struct setting){mem_text(name), mem_text(value)};
}
