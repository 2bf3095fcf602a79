/* A private PostgreSQL for the demo: a cluster of its own in a folder, on a free port, on loopback. As root
 * it runs under another user (postgres, else nobody), because PostgreSQL refuses root; a folder that this
 * user cannot reach is then replaced by one below /var/tmp, and <home>/postgres.path says where. */
#ifndef MILLRACE_CLI_POSTGRES_H
#define MILLRACE_CLI_POSTGRES_H

#include "base/buf.h"
#include "base/error.h"

struct private_postgres {
    char *bin;    /* folder of initdb and pg_ctl */
    char *folder; /* data folder */
    int port;
    bool running;
};

/* Makes the cluster when there is none, starts it, waits until it answers. */
bool private_postgres_start(struct private_postgres *pg, const char *home, struct error *err) MUST_CHECK;
/* Address of a database in it: "postgresql://millrace@127.0.0.1:PORT/NAME". Owned by the caller. */
char *private_postgres_address(const struct private_postgres *pg, const char *database);
/* Stops it (fast) and waits. */
void private_postgres_stop(struct private_postgres *pg);

#endif
