/* Private to doctor: a report of lines, each "ok", "warn" or "bad", what, where; then what to do. */
#ifndef MILLRACE_CLI_DOCTOR_H
#define MILLRACE_CLI_DOCTOR_H

#include "base/config.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_BAD };

struct report {
    struct buf text;
    int warnings, bad;
};

/* advice: what to do, printed on its own line; NULL with VERDICT_OK. */
void report_add(struct report *r, enum verdict verdict, const char *what, const char *advice,
                const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Everything about PostgreSQL. holder: pid of the process that holds our folder, 0: none. */
void doctor_source(struct report *r, const struct config *c, long holder);

/* Everything about Debezium's connectors in the Kafka Connect at this URL. connector NULL: each of them. */
void doctor_debezium(struct report *r, const char *connect, const char *connector);

#endif
