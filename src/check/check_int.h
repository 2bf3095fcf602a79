/* Private to check/: one struct for a run, one file for each layer. */
#ifndef MILLRACE_CHECK_CHECK_INT_H
#define MILLRACE_CHECK_CHECK_INT_H

#include "check/compare.h"
#include "check/point.h"
#include "engine/engine.h"
#include "lake/keyed.h"

#include <jansson.h>

struct check_run {
    struct flow *flow;
    const struct check_options *options;
    check_each *each;
    void *arg;
    struct point point;
    struct engine_conn *conn;
    struct silver *silver; /* held while the layers are compared */
    struct gold *gold;
    json_t *versions; /* of the batch at the point: {"silver":{..},"gold":{..}} */
    bool equal, stopped;
};

/* False with RETRY once the pipeline stops: the parts of its stages that a check reads go away. */
bool check_goes_on(const struct check_run *run, struct error *err) MUST_CHECK;
/* Is the table among those that were asked for? */
bool check_wanted(const struct check_run *run, const char *table);
/* Hands the line out, counts a difference, frees the keys. */
void check_report(struct check_run *run, struct check_line *line);
/* The versions of the batch that ended at `position`; NULL and no error when it has no row. */
bool check_versions(struct check_run *run, int64_t position, json_t **out, struct error *err) MUST_CHECK;
/* {"silver":{"orders":3}} and "silver/orders" -> 3; -1 when it is not there. */
int64_t check_version_of(const json_t *versions, const char *name);
/* Streams the lake's rows of a table at a version. The key is the keyed table's; keyed NULL: the column
 * _key, as silver has it. */
typedef void check_row(void *arg, struct slice key, struct slice row);
bool check_read_lake(struct check_run *run, const char *name, int64_t version, const struct columns *columns,
                     const struct keyed *keyed, check_row *each, void *arg, struct error *err) MUST_CHECK;
/* The same for any SELECT that gives those columns. */
bool check_read_rows(struct check_run *run, const char *sql, const struct columns *columns,
                     const struct keyed *keyed, check_row *each, void *arg, struct error *err) MUST_CHECK;

bool check_source(struct check_run *run, struct error *err) MUST_CHECK;
bool check_silver(struct check_run *run, struct error *err) MUST_CHECK;
bool check_gold(struct check_run *run, struct error *err) MUST_CHECK;
bool check_warehouse(struct check_run *run, struct error *err) MUST_CHECK;

#endif
