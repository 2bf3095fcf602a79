#include "base/failpoint.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const failpoint_names[] = {
    "capture.confirm",        /* before an LSN is confirmed to PostgreSQL */
    "bronze.files",           /* data files written, not committed */
    "bronze.committed",       /* committed, capture not yet told */
    "delta.before_link",      /* commit file written under its temporary name */
    "delta.after_link",       /* commit visible, temporary name not yet removed */
    "delta.checkpoint",       /* checkpoint written, _last_checkpoint not yet */
    "keyed.prepared",         /* intent in the state store, Delta not yet committed */
    "keyed.committed",        /* Delta committed, state not yet applied */
    "keyed.compacted",        /* compaction committed, index not yet moved */
    "silver.history",         /* history committed, current table not */
    "silver.table",           /* one table of the range committed, others not */
    "refine.silver",          /* all silver committed, gold not begun */
    "gold.model",             /* one gold model committed, others not */
    "refine.batches",         /* gold committed, batches row not written */
    "warehouse.rows",         /* rows inserted, position not */
    "warehouse.exchange",     /* copy loaded, not yet exchanged */
    "snapshot.begin",         /* begin record durable, slot not yet made */
    "producer.sent",          /* records sent, Kafka's transaction not yet committed */
    "producer.committed",     /* committed, capture not yet told */
    "snapshot.copied",        /* all rows copied, complete not yet committed */
    NULL,
};

/* Points are passed by several threads; a test names one point, so one counter is enough. */
static _Atomic long passed;

static int known(const char *name)
{
    for (const char *const *at = failpoint_names; *at; at++)
        if (strcmp(*at, name) == 0) return 1;
    return 0;
}

void failpoint(const char *name)
{
    assert(known(name));
    const char *wanted = getenv("MILLRACE_FAIL");
    if (!wanted) return;
    size_t n = strlen(name);
    if (strncmp(wanted, name, n) != 0 || wanted[n] != ':') return;
    if (++passed == strtol(wanted + n + 1, NULL, 10)) kill(getpid(), SIGKILL);
}
