/* The verdict on each of librdkafka's errors, and what to do about it. What is not here is RETRY:
 * librdkafka and the brokers have a name for every passing state. */
#include "net/kafka_int.h"

#include <stdarg.h>
#include <stdio.h>

#define ACCESS_ADVICE "an administrator must allow it to the user of `kafka.sasl.username` (kafka-acls)"
#define LOGIN_ADVICE                                                                                       \
    "check `kafka.security.protocol`, `kafka.sasl.mechanism`, `kafka.sasl.username` and "                  \
    "`kafka.sasl.password`"
#define SIZE_ADVICE "raise `kafka.message.max.bytes` here and max.message.bytes of the topic"
#define REACH_ADVICE "check that the brokers run and that `bootstrap_servers` names them"
#define FENCED_ADVICE                                                                                      \
    "another process uses the same names: stop one of them; or a transaction was open for longer than "      \
    "`kafka.transaction.timeout.ms`: start again"

static const struct verdict {
    rd_kafka_resp_err_t code;
    enum error_kind kind;
    const char *advice;
} verdicts[] = {
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, ERROR_RETRY, REACH_ADVICE},
    {RD_KAFKA_RESP_ERR__TRANSPORT, ERROR_RETRY, REACH_ADVICE},
    {RD_KAFKA_RESP_ERR__RESOLVE, ERROR_RETRY, REACH_ADVICE},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, ERROR_CONFIG, LOGIN_ADVICE},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, ERROR_CONFIG, LOGIN_ADVICE},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, ERROR_CONFIG, LOGIN_ADVICE},
    {RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, ERROR_CONFIG, LOGIN_ADVICE},
    {RD_KAFKA_RESP_ERR_SECURITY_DISABLED, ERROR_CONFIG, LOGIN_ADVICE},
    {RD_KAFKA_RESP_ERR__SSL, ERROR_CONFIG, "check `kafka.security.protocol` and `kafka.ssl.ca.location`"},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ERROR_CONFIG, ACCESS_ADVICE},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ERROR_CONFIG, ACCESS_ADVICE},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, ERROR_CONFIG, ACCESS_ADVICE},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ERROR_CONFIG, ACCESS_ADVICE},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ERROR_CONFIG,
     "create the topic, or let the broker create topics"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ERROR_CONFIG, "create the topic, or let the broker create topics"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, ERROR_CONFIG, "the topic has fewer partitions"},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, ERROR_CONFIG, "the name is not one that a topic can have"},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ERROR_CONFIG, SIZE_ADVICE},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, ERROR_CONFIG, SIZE_ADVICE},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, ERROR_CONFIG,
     "the topic's settings refuse the message (a compacted topic needs keys)"},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, ERROR_CONFIG, "see message.timestamp.type of the topic"},
    {RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, ERROR_CONFIG,
     "lower `kafka.transaction.timeout.ms` to transaction.max.timeout.ms of the brokers"},
    {RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, ERROR_CONFIG, "check `topic_creation_default_partitions`"},
    {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, ERROR_CONFIG,
     "`topic_creation_default_replication_factor` cannot be more than there are brokers"},
    {RD_KAFKA_RESP_ERR_INVALID_CONFIG, ERROR_CONFIG, NULL},
    {RD_KAFKA_RESP_ERR_INVALID_REQUEST, ERROR_CONFIG, NULL},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, ERROR_CONFIG, "the brokers have a rule against it"},
    {RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL, ERROR_CONFIG,
     "another member of `group_id` has another `kafka.partition.assignment.strategy`"},
    {RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT, ERROR_CONFIG, "check `kafka.session.timeout.ms`"},
    {RD_KAFKA_RESP_ERR__INVALID_ARG, ERROR_CONFIG, NULL},
    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, ERROR_CONFIG, "the brokers are too old for it"},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, ERROR_CONFIG, "the brokers are too old for it"},
    {RD_KAFKA_RESP_ERR__FENCED, ERROR_FATAL, FENCED_ADVICE},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, ERROR_FATAL, FENCED_ADVICE},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, ERROR_FATAL, FENCED_ADVICE},
    {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, ERROR_FATAL, FENCED_ADVICE},
};

static const struct verdict *find(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (verdicts[i].code == code) return &verdicts[i];
    return NULL;
}

enum error_kind kafka_verdict(rd_kafka_resp_err_t code)
{
    const struct verdict *v = find(code);
    return v ? v->kind : ERROR_RETRY;
}

bool kafka_fail(const struct kafka_client *k, struct error *err, rd_kafka_resp_err_t code,
                const char *reason, const char *what, ...)
{
    char text[400];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    const struct verdict *v = find(code);
    if (!reason || !*reason) reason = rd_kafka_err2str(code);
    error_set(err, v ? v->kind : ERROR_RETRY, "Kafka: %s: %.300s", text, reason);
    if (v && v->advice) error_advise(err, v->advice);
    /* Who is not reached is told by his address, once. */
    if (v && v->advice && strcmp(v->advice, REACH_ADVICE) == 0 && !strstr(err->text, k->servers)) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, " (%s)", k->servers);
    }
    return false;
}
