/* The producer against librdkafka's mock cluster. What the consumer reads is in test_kafka_read. */
#include "unit.h"

#include "kafka_lab.h"

static struct kafka_lab lab;

static int up(void **state)
{
    (void)state;
    kafka_lab_open(&lab, 1);
    return 0;
}

static int down(void **state)
{
    (void)state;
    kafka_lab_close(&lab);
    return 0;
}

static void refused(const char *name, const char *value, const char *text)
{
    struct error err = {0};
    struct kafka_producer *p;
    struct config config;
    config_init(&config);
    unit_ok(config_set(&config, "bootstrap_servers", "localhost:1", &err));
    unit_ok(config_set(&config, name, value, &err));
    assert_false(kafka_producer_open(&p, &config, NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    if (!strstr(err.text, text) || !strstr(err.text, name)) fail_msg("%s: %s", name, err.text);
    config_free(&config);
}

static void test_properties(void **state)
{
    (void)state;
    refused("kafka.enable.idempotence", "false", "twice");
    refused("kafka.transactional.id", "mine", "itself");
    refused("kafka.acks", "1", "lost");
    refused("kafka.isolation.level", "read_uncommitted", "committed");
    refused("kafka.enable.auto.commit", "true", "kept with the data");
    refused("kafka.bootstrap.servers", "x:1", "bootstrap_servers");
    refused("kafka.no.such.thing", "1", "No such configuration property");
    refused("kafka.linger.ms", "soon", "Invalid value");

    struct error err = {0};
    struct kafka_producer *p;
    struct config config;
    config_init(&config);
    assert_false(kafka_producer_open(&p, &config, NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "bootstrap_servers"));
    /* What says the same as we do is no harm, nor what is for the other side. */
    unit_ok(config_set(&config, "bootstrap_servers", "localhost:1", &err));
    unit_ok(config_set(&config, "kafka.enable.idempotence", "true", &err));
    unit_ok(config_set(&config, "kafka.fetch.max.bytes", "1000000", &err));
    unit_ok(kafka_producer_open(&p, &config, NULL, &err));
    kafka_producer_close(p, 0);
    /* An impossible combination. */
    unit_ok(config_set(&config, "kafka.max.in.flight.requests.per.connection", "50", &err));
    assert_false(kafka_producer_open(&p, &config, NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    config_free(&config);
}

static void test_topics(void **state)
{
    (void)state;
    assert_true(kafka_topics_hold("a, b ,c", "b"));
    assert_false(kafka_topics_hold("a,bb", "b"));
    assert_true(kafka_topics_hold("x,^shop\\.", "shop.public.orders"));
    assert_false(kafka_topics_hold("^shop\\.", "myshop.public"));
    assert_true(kafka_topics_hold("^shop[.](a|b)$", "shop.b"));
    assert_false(kafka_topics_hold("^shop[.](a|b)$", "shop.bc"));
    assert_false(kafka_topics_hold("", "a"));
    assert_false(kafka_topics_hold(" , ", ""));
    struct error err = {0};
    assert_false(kafka_topics_check("^a(", &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_false(kafka_topics_check(" ,", &err));
    assert_true(kafka_topics_check("^a(b)", &err));
}

static void test_full(void **state)
{
    (void)state;
    struct error err = {0};
    struct kafka_producer *p;
    kafka_lab_topic(&lab, "t", 1);
    kafka_lab_set(&lab, "kafka.queue.buffering.max.messages", "10");
    rd_kafka_mock_broker_set_down(lab.cluster, -1);
    unit_ok(kafka_producer_open(&p, &lab.config, NULL, &err));
    enum kafka_sent sent = KAFKA_SENT;
    size_t n = 0;
    for (; sent == KAFKA_SENT && n < 100; n++)
        unit_ok(kafka_produce(p, "t", -1, SLICE("k"), SLICE("v"), NULL, 0, &sent, &err));
    assert_int_equal(sent, KAFKA_FULL);
    assert_int_equal(n, 11);
    assert_true(kafka_in_flight(p) >= 10);
    assert_false(kafka_flush(p, 1000, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    rd_kafka_mock_broker_set_up(lab.cluster, -1);
    unit_ok(kafka_flush(p, LAB_WAIT_US, &err));
    unit_ok(kafka_produce(p, "t", -1, SLICE("k"), SLICE("v"), NULL, 0, &sent, &err));
    assert_int_equal(sent, KAFKA_SENT);
    kafka_producer_close(p, LAB_WAIT_US);
}

static void test_too_large(void **state)
{
    (void)state;
    struct error err = {0};
    struct kafka_producer *p;
    enum kafka_sent sent;
    kafka_lab_topic(&lab, "t", 1);
    kafka_lab_set(&lab, "kafka.message.max.bytes", "2000");
    unit_ok(kafka_producer_open(&p, &lab.config, NULL, &err));
    char *large = mem_alloc(3000);
    assert_false(kafka_produce(p, "t", 0, SLICE("k"), (struct slice){large, 3000}, NULL, 0, &sent, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "topic t"));
    assert_non_null(strstr(err.text, "3001 bytes"));
    assert_non_null(strstr(err.text, "kafka.message.max.bytes"));
    assert_non_null(strstr(err.text, "max.message.bytes"));
    /* The same from the broker, which has a limit of its own. */
    rd_kafka_mock_push_request_errors(lab.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    kafka_lab_send(p, "t", 0, "k", "v");
    assert_false(kafka_flush(p, LAB_WAIT_US, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "topic t, partition 0"));
    unit_ok(kafka_flush(p, LAB_WAIT_US, &err)); /* told once */
    mem_free(large);
    kafka_producer_close(p, LAB_WAIT_US);
}

static void test_refused_topic(void **state)
{
    (void)state;
    struct error err = {0};
    struct kafka_producer *p;
    unit_ok(kafka_producer_open(&p, &lab.config, NULL, &err));
    rd_kafka_mock_push_request_errors(lab.cluster, API_PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    kafka_lab_topic(&lab, "t", 1);
    kafka_lab_send(p, "t", 0, "k", "v");
    assert_false(kafka_flush(p, LAB_WAIT_US, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "kafka-acls"));
    kafka_producer_close(p, LAB_WAIT_US);
}

/* Away at first: told at once as trouble, as an error after a while, and all is sent when it is there. */
static void test_broker_away(void **state)
{
    (void)state;
    struct error err = {0};
    struct kafka_producer *p;
    kafka_lab_topic(&lab, "t", 1);
    rd_kafka_mock_broker_set_down(lab.cluster, -1);
    unit_ok(kafka_producer_open(&p, &lab.config, NULL, &err));
    assert_null(kafka_producer_trouble(p));
    kafka_lab_send(p, "t", 0, "k", "v");
    int64_t end = clock_mono_us() + LAB_WAIT_US;
    while (kafka_poll(p, 20000, &err) && clock_mono_us() < end) {
    }
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_non_null(strstr(err.text, lab.config.bootstrap_servers));
    assert_string_equal(err.text, kafka_producer_trouble(p));
    assert_int_equal(kafka_in_flight(p), 1);
    rd_kafka_mock_broker_set_up(lab.cluster, -1);
    while (!kafka_flush(p, LAB_WAIT_US, &err) && clock_mono_us() < end) {
    }
    assert_int_equal(kafka_in_flight(p), 0);
    while (kafka_producer_trouble(p) && clock_mono_us() < end)
        (void)!kafka_poll(p, 20000, &err);
    assert_null(kafka_producer_trouble(p));
    kafka_producer_close(p, LAB_WAIT_US);
}

static void test_transaction_errors(void **state)
{
    (void)state;
    struct error err = {0};
    struct kafka_producer *p;
    enum kafka_sent sent;
    kafka_lab_topic(&lab, "t", 1);
    unit_ok(kafka_producer_open(&p, &lab.config, "id", &err));
    unit_ok(kafka_producer_init(p, LAB_WAIT_US, &err));
    /* A delivery fails: nothing but abort helps, and then it works again. */
    unit_ok(kafka_begin(p, &err));
    rd_kafka_mock_push_request_errors(lab.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    kafka_lab_send(p, "t", 0, "k", "v");
    assert_false(kafka_commit(p, LAB_WAIT_US, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "topic t, partition 0"));
    assert_true(kafka_abortable(p));
    assert_false(kafka_produce(p, "t", 0, SLICE("k"), SLICE("v"), NULL, 0, &sent, &err));
    assert_true(kafka_abortable(p));
    /* librdkafka counts the refused message, so that the next may meet "skipped sequence numbers" once. */
    do {
        assert_true(kafka_abortable(p));
        unit_ok(kafka_abort(p, LAB_WAIT_US, &err));
        assert_false(kafka_abortable(p));
        unit_ok(kafka_begin(p, &err));
        kafka_lab_send(p, "t", 0, "k", "v");
    } while (!kafka_commit(p, LAB_WAIT_US, &err));
    unit_ok(kafka_begin(p, &err));
    kafka_lab_send(p, "t", 0, "k", "v");
    /* A busy coordinator is asked again. */
    rd_kafka_mock_push_request_errors(lab.cluster, API_END_TXN, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    unit_ok(kafka_commit(p, LAB_WAIT_US, &err));
    /* Another has taken the name. */
    unit_ok(kafka_begin(p, &err));
    kafka_lab_send(p, "t", 0, "k", "v");
    rd_kafka_mock_push_request_errors(lab.cluster, API_END_TXN, 1, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
    assert_false(kafka_commit(p, LAB_WAIT_US, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_false(kafka_abortable(p));
    assert_false(kafka_poll(p, 0, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    kafka_producer_close(p, 0);
}

static void test_commit_out_of_time(void **state)
{
    (void)state;
    struct error err = {0};
    struct kafka_producer *p;
    kafka_lab_topic(&lab, "t", 1);
    unit_ok(kafka_producer_open(&p, &lab.config, "id", &err));
    unit_ok(kafka_producer_init(p, LAB_WAIT_US, &err));
    unit_ok(kafka_begin(p, &err));
    kafka_lab_send(p, "t", 0, "k", "v");
    rd_kafka_mock_broker_set_down(lab.cluster, -1);
    assert_false(kafka_commit(p, 50000, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_false(kafka_abortable(p));
    rd_kafka_mock_broker_set_up(lab.cluster, -1);
    unit_ok(kafka_commit(p, LAB_WAIT_US, &err));
    assert_int_equal(kafka_in_flight(p), 0);
    kafka_producer_close(p, 0);
}

int main(void)
{
    kafka_grace_us = 300000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_topics),
        cmocka_unit_test_setup_teardown(test_full, up, down),
        cmocka_unit_test_setup_teardown(test_too_large, up, down),
        cmocka_unit_test_setup_teardown(test_refused_topic, up, down),
        cmocka_unit_test_setup_teardown(test_broker_away, up, down),
        cmocka_unit_test_setup_teardown(test_transaction_errors, up, down),
        cmocka_unit_test_setup_teardown(test_commit_out_of_time, up, down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
