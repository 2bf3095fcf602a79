/* Private to setup: the connector that --capture debezium prints. */
#ifndef MILLRACE_CLI_SETUP_INT_H
#define MILLRACE_CLI_SETUP_INT_H

#include "base/config.h"

struct connector_form {
    const struct config *config;
    const char *role;   /* that the connector logs in as */
    const char *tables; /* "public.orders, public.customers"; empty: the sample shop's */
    bool publication;   /* setup has made it: the connector must not */
    bool with_password; /* from `source`; else a placeholder */
};

/* Appends the JSON. CONFIG when `source` is not an address, or has no password of that role. */
bool setup_put_connector(const struct connector_form *form, struct buf *out, struct error *err) MUST_CHECK;

#endif
