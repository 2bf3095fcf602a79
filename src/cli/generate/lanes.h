/* Connections that run transactions side by side. What must stay in order goes into one lane.
 *
 * A lane:  queue of texts --> one in flight --> counted
 *             ^                    | connection lost: again after reconnecting
 *             +--------------------+
 *
 * 1. A text is one transaction: PostgreSQL runs the statements of one simple query in one, unless the text
 *    says BEGIN itself.
 * 2. After a lost connection the text in flight may have been committed. It is sent again; a duplicate key
 *    then means that it was. Every text is therefore an INSERT with a key or repeatable. */
#ifndef MILLRACE_CLI_GENERATE_LANES_H
#define MILLRACE_CLI_GENERATE_LANES_H

#include "base/buf.h"
#include "base/error.h"
#include "net/pg.h"

enum { LANES = 4, LANES_PENDING_MAX = 512 };

struct transaction {
    char *sql;     /* from mem_* */
    size_t kind;   /* the caller's, to count */
    bool may_fail; /* meant to be refused by a constraint */
    bool again;
};

struct lane {
    struct pg *pg;
    bool sending;
    struct transaction *queue; /* a ring */
    size_t head, count, cap;
    int64_t retry_us;
};

struct lanes {
    const char *source;
    const _Atomic bool *stop; /* no more waiting for a lost server */
    struct lane lane[LANES];
    size_t pending;
    uint64_t *done; /* by kind, counted here */
    uint64_t refused, reconnects;
    bool down; /* said already that the server is away */
};

void lanes_init(struct lanes *l, const char *source, uint64_t *done, const _Atomic bool *stop);
void lanes_free(struct lanes *l);
/* Takes t.sql. key chooses the lane. */
void lanes_put(struct lanes *l, uint64_t key, struct transaction t);
/* Sends what can be sent and takes what has come, waiting at most so long for either. Loss of the server
 * is waited out; any other failure of a transaction ends it. */
bool lanes_turn(struct lanes *l, int64_t timeout_us, struct error *err) MUST_CHECK;
/* Until nothing is pending. Once *stop is set, a server that is away is not waited for: RETRY. */
bool lanes_drain(struct lanes *l, struct error *err) MUST_CHECK;

#endif
