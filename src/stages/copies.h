/* What the records of copies tell: for each copy of a table 'B' before its snapshot is made and 'E' once all rows
 * are durable. From them follow the epoch, the source's identity, and which tables have a whole copy. Bronze keeps
 * the records themselves; a stream through Kafka keeps this in its position. */
#ifndef MILLRACE_STAGES_COPIES_H
#define MILLRACE_STAGES_COPIES_H

#include "base/buf.h"

struct copies {
    int32_t epoch;        /* the newest; 0: there was no copy */
    bool complete;        /* the first copy of the epoch has its complete records */
    int64_t next_copy_id; /* above all seen; 0: none */
    char *identity;       /* `after` of the epoch's first begin record; NULL: none */
    char **tables;        /* with a whole copy in this epoch */
    size_t count, cap;
};

/* op 'B' or 'E'; key: the copy's id, a number that counts up; after: the source's identity. In their order. */
void copies_take(struct copies *c, char op, struct slice table, int32_t epoch, struct slice key, struct slice after);
void copies_add(struct copies *c, struct slice table);
void copies_free(struct copies *c);

#endif
