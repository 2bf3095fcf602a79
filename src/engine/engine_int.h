/* Shared by the files of engine/. */
#ifndef MILLRACE_ENGINE_ENGINE_INT_H
#define MILLRACE_ENGINE_ENGINE_INT_H

#include "engine/chdb.h"
#include "engine/engine.h"

struct engine_conn {
    struct chdb_conn **handle;
};

/* A statement's parameters in the shape that libchdb wants. */
struct bound {
    const char **names, **values;
    size_t *name_lens, *value_lens;
    size_t count;
    struct buf escaped;
};

void bound_init(struct bound *b, const struct engine_param *params, size_t count);
void bound_free(struct bound *b);

/* Call after a statement has failed and its result is destroyed: the engine keeps what a failed statement
 * held, its memory and its place among the processes, until the connection's next statement. */
void engine_settle(struct engine_conn *conn);

void engine_drop_pages(void);

/* Sets err from the engine's message; `inserting` makes faults of the data DATA. Always false. */
bool engine_failed(struct error *err, const char *message, bool inserting);

#endif
