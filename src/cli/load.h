/* Loads the Olist CSV files into the shop's tables: one transaction per file, by COPY into a temporary
 * table and INSERT ... ON CONFLICT DO NOTHING, so that a run that was broken off is simply run again. */
#ifndef MILLRACE_CLI_LOAD_H
#define MILLRACE_CLI_LOAD_H

#include "base/buf.h"
#include "base/error.h"

struct load_options {
    bool create;          /* make the tables (sql/source) when they are missing */
    bool end_yesterday;   /* shift all times so that the newest order was placed yesterday */
    int64_t shift_days;   /* or by this many days */
    const char *skip_bad; /* bad records go to this file instead of ending the load; NULL: they end it */
    const char *timezone; /* of the shop, for "yesterday" */
};

/* folder NULL: ./data/olist, or the one beside the program. Prints a line for each file to stdout.
 * DATA errors name file, line and column. */
bool load_directory(const char *source, const char *folder, const struct load_options *options,
                    struct error *err) MUST_CHECK;

#endif
