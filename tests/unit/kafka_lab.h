/* librdkafka's mock cluster for unit tests, and a config that points to it. */
#ifndef MILLRACE_TESTS_KAFKA_LAB_H
#define MILLRACE_TESTS_KAFKA_LAB_H

#include "net/kafka_int.h"

#include "base/clock.h"

#include <librdkafka/rdkafka_mock.h>

#ifdef __SANITIZE_THREAD__
#include <threads.h>

/* librdkafka makes its threads by C11's calls, which the sanitizer does not know: it would crash in the
 * first callback. These stand before the C library's. */
struct lab_thread {
    thrd_start_t run;
    void *arg;
};

static void *lab_thread_run(void *given)
{
    struct lab_thread t = *(struct lab_thread *)given;
    free(given);
    return (void *)(intptr_t)t.run(t.arg);
}

int thrd_create(thrd_t *out, thrd_start_t run, void *arg)
{
    struct lab_thread *t = malloc(sizeof *t);
    if (!t) return thrd_nomem;
    *t = (struct lab_thread){run, arg};
    return pthread_create(out, NULL, lab_thread_run, t) ? thrd_error : thrd_success;
}

int thrd_join(thrd_t thread, int *result)
{
    void *value;
    if (pthread_join(thread, &value)) return thrd_error;
    if (result) *result = (int)(intptr_t)value;
    return thrd_success;
}
#endif

enum { LAB_WAIT_US = 60000000 }; /* far more than anything takes */

struct kafka_lab {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
    struct config config;
};

static inline void kafka_lab_set(struct kafka_lab *lab, const char *name, const char *value)
{
    struct error err = {0};
    unit_ok(config_set(&lab->config, name, value, &err));
}

static inline void kafka_lab_open(struct kafka_lab *lab, int brokers)
{
    char reason[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0); /* it has no brokers, and says so */
    lab->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    assert_non_null(lab->rk);
    lab->cluster = rd_kafka_mock_cluster_new(lab->rk, brokers);
    assert_non_null(lab->cluster);
    config_init(&lab->config);
    kafka_lab_set(lab, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(lab->cluster));
}

static inline void kafka_lab_close(struct kafka_lab *lab)
{
    rd_kafka_mock_cluster_destroy(lab->cluster);
    rd_kafka_destroy(lab->rk);
    config_free(&lab->config);
}

static inline void kafka_lab_topic(struct kafka_lab *lab, const char *name, int partitions)
{
    assert_int_equal(rd_kafka_mock_topic_create(lab->cluster, name, partitions, 1), 0);
}

/* Kafka's request types, for rd_kafka_mock_push_request_errors. */
enum { API_PRODUCE = 0, API_FETCH = 1, API_END_TXN = 26 };

static inline void kafka_lab_send(struct kafka_producer *p, const char *topic, int32_t partition,
                                  const char *key, const char *value)
{
    struct error err = {0};
    enum kafka_sent sent;
    unit_ok(kafka_produce(p, topic, partition, slice_of(key), slice_of(value), NULL, 0, &sent, &err));
    assert_int_equal(sent, KAFKA_SENT);
}

#endif
