/* Files of the repository that are part of the program: SQL models, web pages, settings. The build
 * makes the table from sql/, clickhouse_init/, web/ and debezium/ (scripts/embed). */
#ifndef MILLRACE_BASE_ASSETS_H
#define MILLRACE_BASE_ASSETS_H

#include "base/mem.h"

struct asset {
    const char *path; /* "sql/gold/fact_orders.sql" */
    const char *data; /* NUL-terminated; the NUL is not counted */
    size_t len;
};

extern const struct asset assets[]; /* sorted by path */
extern const size_t asset_count;

/* NULL when there is none. */
const struct asset *asset_find(const char *path);

#endif
