/* What kafka_*.c share: the librdkafka client with its settings, its troubles and the verdicts on its
 * errors.
 *
 * Troubles. librdkafka reconnects by itself for ever and tells only that something failed, not that it
 * works again. A trouble of the connection therefore lasts until the statistics (once a second) show a
 * broker that is up; one of a topic or group until a message or an assignment arrives. kafka_due() makes an
 * error of one that has lasted kafka_grace_us; kafka_trouble_text() tells of it at once, from any thread.
 */
#ifndef MILLRACE_NET_KAFKA_INT_H
#define MILLRACE_NET_KAFKA_INT_H

#include "net/kafka.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>

enum kafka_role { KAFKA_PRODUCER = 1, KAFKA_CONSUMER = 2, KAFKA_ADMIN = 4 };

struct kafka_trouble {
    enum error_kind kind; /* ERROR_NONE: all is well */
    bool waits;           /* for something that may well come, such as a topic: never an error */
    int64_t since_us, told_us;
    char text[1000];
};

struct kafka_client {
    rd_kafka_t *rk;
    char *servers;
    pthread_mutex_t lock; /* over the troubles */
    struct kafka_trouble connection, other;
    char shown[1000]; /* what kafka_trouble_text gave last; of the asking thread */
};

/* How long a trouble lasts before it is an error; tests lower it. */
extern int64_t kafka_grace_us;

/* conf with ours, the user's and transactional_id or group (may be NULL); its opaque is the client. The
 * caller may set more callbacks before kafka_client_open, which takes conf in every case. */
rd_kafka_conf_t *kafka_conf(struct kafka_client *k, enum kafka_role role, const struct config *config,
                            const char *id, struct error *err) MUST_CHECK;
bool kafka_client_open(struct kafka_client *k, enum kafka_role role, rd_kafka_conf_t *conf,
                       struct error *err) MUST_CHECK;
/* Without rk, which its owner destroys in his own way. */
void kafka_client_free(struct kafka_client *k);

/* "Kafka: <what>: <reason>; <advice>" with the verdict on code; reason NULL: librdkafka's. Always false. */
bool kafka_fail(const struct kafka_client *k, struct error *err, rd_kafka_resp_err_t code,
                const char *reason, const char *what, ...) PRINTF_LIKE(5, 6);
enum error_kind kafka_verdict(rd_kafka_resp_err_t code);

void kafka_note_trouble(struct kafka_client *k, rd_kafka_resp_err_t code, const char *reason);
/* What is waited for. */
void kafka_note_wait(struct kafka_client *k, const char *text);
/* A message or an assignment: what was no trouble of the connection is over. */
void kafka_note_progress(struct kafka_client *k);
/* An error (false) when a trouble has lasted, once in each time of grace; also when the client is dead. */
bool kafka_due(struct kafka_client *k, struct error *err) MUST_CHECK;
const char *kafka_trouble_text(struct kafka_client *k);

int kafka_ms(int64_t us); /* rounded up, never infinite */

/* The messages of one partition that librdkafka gave, as ours. */
void kafka_message_fill(struct kafka_message *out, rd_kafka_message_t *m);

/* One item of a topics list after another; false at the end. Pattern: begins with '^'. */
bool kafka_topics_next(const char **at, struct slice *item);
/* Whether the patterns are regular expressions and there is any topic; else CONFIG. */
bool kafka_topics_check(const char *topics, struct error *err) MUST_CHECK;
bool kafka_topics_have_pattern(const char *topics);

#endif
