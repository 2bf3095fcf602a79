/* What the producer wrote and the consumer reads, by way of librdkafka's mock cluster. */
#include "unit.h"

#include "kafka_lab.h"

#include "base/buf.h"

#include <unistd.h>

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

/* --- a reader: keeps what it was given as text, counts what the hooks say --- */

struct reader {
    struct kafka_consumer *c;
    struct buf seen; /* "topic/partition@offset key=value\n" */
    size_t messages, started, lost, refuse_at;
    int not_yet; /* so often the hook does not know where to begin */
    struct kafka_gap gaps[4];
    size_t gap_count;
    int64_t start;
    bool ours[64];
};

static bool on_start(void *arg, const char *topic, int32_t partition, int64_t *next)
{
    (void)topic;
    struct reader *r = arg;
    r->started++;
    if (r->not_yet && r->not_yet--) return false;
    assert_false(r->ours[partition]);
    r->ours[partition] = true;
    *next = r->start;
    return true;
}

static void on_lost(void *arg, const char *topic, int32_t partition)
{
    (void)topic;
    struct reader *r = arg;
    r->lost++;
    assert_true(r->ours[partition]);
    r->ours[partition] = false;
}

static void put(struct buf *b, struct slice s)
{
    if (s.data)
        buf_put_slice(b, s);
    else
        buf_put_text(b, "NULL");
}

static bool on_message(void *arg, const struct kafka_message *m)
{
    struct reader *r = arg;
    if (r->refuse_at && r->messages + 1 == r->refuse_at) {
        r->refuse_at = 0;
        return false;
    }
    assert_true(m->timestamp_us > INT64_C(1600000000000000));
    buf_printf(&r->seen, "%s/%d@%lld ", m->topic, (int)m->partition, (long long)m->offset);
    put(&r->seen, m->key);
    buf_put_char(&r->seen, '=');
    if (m->value.len > 100)
        buf_printf(&r->seen, "%zu bytes", m->value.len);
    else
        put(&r->seen, m->value);
    for (size_t i = 0; i < m->header_count; i++) {
        buf_printf(&r->seen, " %s:", m->headers[i].name);
        put(&r->seen, m->headers[i].value);
    }
    buf_put_char(&r->seen, '\n');
    r->messages++;
    return true;
}

static void reader_open(struct reader *r, const char *group, const char *topics, int64_t start)
{
    struct error err = {0};
    *r = (struct reader){.start = start};
    struct kafka_consumer_hooks hooks = {on_start, on_lost, r};
    unit_ok(kafka_consumer_open(&r->c, &lab.config, group, topics, &hooks, &err));
}

static void reader_close(struct reader *r)
{
    size_t lost = r->lost;
    kafka_consumer_close(r->c);
    assert_int_equal(lost, r->lost);
    buf_free(&r->seen);
}

/* Passing troubles are none of the tests'. */
static void reader_step(struct reader *r)
{
    struct error err = {0};
    size_t n;
    if (!kafka_consume(r->c, 1000, 20000, on_message, r, &n, &err) && err.kind != ERROR_RETRY)
        fail_msg("%s", err.text);
    while (r->gap_count < 4 && kafka_next_gap(r->c, &r->gaps[r->gap_count])) r->gap_count++;
}

/* The oldest gap that was met and not asked for yet. */
static bool next_gap(struct reader *r, struct kafka_gap *gap)
{
    if (!r->gap_count) return false;
    *gap = r->gaps[0];
    memmove(r->gaps, r->gaps + 1, --r->gap_count * sizeof *gap);
    return true;
}

static void read_until(struct reader *r, size_t messages)
{
    int64_t end = clock_mono_us() + LAB_WAIT_US;
    while (r->messages < messages && clock_mono_us() < end)
        reader_step(r);
    if (r->messages != messages)
        fail_msg("%zu messages instead of %zu:\n%s", r->messages, messages, buf_text(&r->seen));
}

static struct kafka_producer *producer(const char *id)
{
    struct error err = {0};
    struct kafka_producer *p;
    unit_ok(kafka_producer_open(&p, &lab.config, id, &err));
    if (id) unit_ok(kafka_producer_init(p, LAB_WAIT_US, &err));
    return p;
}

static void sent(struct kafka_producer *p)
{
    struct error err = {0};
    unit_ok(kafka_flush(p, LAB_WAIT_US, &err));
    kafka_producer_close(p, LAB_WAIT_US);
}

static void send_numbers(const char *topic, int32_t partition, int from, int to)
{
    struct kafka_producer *p = producer(NULL);
    char text[20];
    for (int i = from; i < to; i++) {
        snprintf(text, sizeof text, "%d", i);
        kafka_lab_send(p, topic, partition, text, text);
    }
    sent(p);
}

/* --- messages --- */

static void test_round_trip(void **state)
{
    (void)state;
    struct error err = {0};
    struct reader r;
    enum kafka_sent s;
    kafka_lab_topic(&lab, "t", 1);
    struct kafka_producer *p = producer(NULL);
    struct kafka_header headers[18] = {{"a", SLICE("1")}, {"b", {NULL, 0}}, {"a", {"", 0}}};
    for (size_t i = 3; i < 18; i++)
        headers[i] = (struct kafka_header){"x", SLICE("y")};
    struct slice none = {NULL, 0};
    unit_ok(kafka_produce(p, "t", 0, SLICE("k"), SLICE("v"), headers, 3, &s, &err));
    unit_ok(kafka_produce(p, "t", 0, SLICE("k"), none, NULL, 0, &s, &err));
    unit_ok(kafka_produce(p, "t", 0, none, SLICE("v"), NULL, 0, &s, &err));
    unit_ok(kafka_produce(p, "t", 0, (struct slice){"", 0}, (struct slice){"", 0}, NULL, 0, &s, &err));
    unit_ok(kafka_produce(p, "t", 0, none, none, headers, 18, &s, &err));
    sent(p);
    reader_open(&r, NULL, "t", -1);
    read_until(&r, 5);
    assert_string_equal(buf_text(&r.seen),
                        "t/0@0 k=v a:1 b:NULL a:\nt/0@1 k=NULL\nt/0@2 NULL=v\nt/0@3 =\n"
                        "t/0@4 NULL=NULL a:1 b:NULL a: x:y x:y x:y x:y x:y x:y x:y x:y x:y x:y "
                        "x:y x:y x:y\n");
    reader_close(&r);
}

/* Austin Appleby's MurmurHash2 as Kafka's Utils.murmur2 has it, written once more. */
static uint32_t murmur2(const char *key)
{
    size_t n = strlen(key);
    uint32_t h = 0x9747b28cu ^ (uint32_t)n;
    const unsigned char *b = (const unsigned char *)key;
    for (; n >= 4; n -= 4, b += 4) {
        uint32_t k = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        k *= 0x5bd1e995u;
        k ^= k >> 24;
        h = h * 0x5bd1e995u ^ k * 0x5bd1e995u;
    }
    uint32_t rest = 0;
    for (size_t i = n; i-- > 0;)
        rest = rest << 8 | b[i];
    if (n) h = (h ^ rest) * 0x5bd1e995u;
    h = (h ^ h >> 13) * 0x5bd1e995u;
    return h ^ h >> 15;
}

static void test_placement(void **state)
{
    (void)state;
    /* Of Kafka's own UtilsTest. */
    assert_int_equal((int32_t)murmur2("21"), -973932308);
    assert_int_equal((int32_t)murmur2("foobar"), -790332482);
    assert_int_equal((int32_t)murmur2("a-little-bit-long-string"), -985981536);
    assert_int_equal((int32_t)murmur2("a-little-bit-longer-string"), -1486304829);
    struct reader r;
    kafka_lab_topic(&lab, "t", 7);
    struct kafka_producer *p = producer(NULL);
    char key[40], line[80];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "{\"id\":%d}", i * 7919);
        kafka_lab_send(p, "t", -1, key, "v");
    }
    sent(p);
    reader_open(&r, NULL, "t", -1);
    read_until(&r, 200);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "{\"id\":%d}", i * 7919);
        const char *at = strstr(buf_text(&r.seen), key);
        assert_non_null(at);
        while (at > r.seen.data && at[-1] != '\n')
            at--;
        snprintf(line, sizeof line, "t/%d@", (int)((murmur2(key) & 0x7fffffff) % 7));
        assert_memory_equal(at, line, strlen(line));
    }
    reader_close(&r);
}

/* What goes wrong in passing is neither lost nor doubled, and keeps its order. */
static void test_errors_in_passing(void **state)
{
    (void)state;
    struct reader r;
    kafka_lab_topic(&lab, "t", 1);
    reader_open(&r, NULL, "t", -1);
    rd_kafka_mock_push_request_errors(lab.cluster, API_PRODUCE, 4,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                                      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__TRANSPORT);
    rd_kafka_mock_push_request_errors(lab.cluster, API_FETCH, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR);
    send_numbers("t", 0, 0, 3000);
    read_until(&r, 3000);
    const char *at = buf_text(&r.seen);
    char line[60];
    for (int i = 0; i < 3000; i++) {
        size_t n = (size_t)snprintf(line, sizeof line, "t/0@%d %d=%d\n", i, i, i);
        assert_memory_equal(at, line, n);
        at += n;
    }
    reader_close(&r);
}

static void test_transactions(void **state)
{
    (void)state;
    struct error err = {0};
    struct reader r;
    kafka_lab_topic(&lab, "t", 1);
    struct kafka_producer *p = producer("id");
    for (int i = 0; i < 3; i++) {
        unit_ok(kafka_begin(p, &err));
        kafka_lab_send(p, "t", 0, "k", "v");
        unit_ok(kafka_commit(p, LAB_WAIT_US, &err));
    }
    /* Not sent yet when it is aborted; the mock does not take back what it has. */
    unit_ok(kafka_begin(p, &err));
    unit_ok(kafka_abort(p, LAB_WAIT_US, &err));
    unit_ok(kafka_begin(p, &err));
    kafka_lab_send(p, "t", 0, "k", "last");
    unit_ok(kafka_commit(p, LAB_WAIT_US, &err));
    kafka_producer_close(p, 0);
    reader_open(&r, NULL, "t", -1);
    read_until(&r, 4);
    assert_non_null(strstr(buf_text(&r.seen), "k=last"));
    reader_close(&r);
}

/* --- positions --- */

static void test_positions(void **state)
{
    (void)state;
    struct error err = {0};
    struct reader r;
    kafka_lab_topic(&lab, "t", 1);
    send_numbers("t", 0, 0, 20);
    reader_open(&r, NULL, "t", 15);
    read_until(&r, 5);
    assert_memory_equal(buf_text(&r.seen), "t/0@15", 6);
    buf_clear(&r.seen);
    unit_ok(kafka_seek(r.c, "t", 0, 18, &err));
    read_until(&r, 7);
    assert_string_equal(buf_text(&r.seen), "t/0@18 18=18\nt/0@19 19=19\n");
    buf_clear(&r.seen);
    unit_ok(kafka_seek(r.c, "t", 0, -1, &err));
    r.refuse_at = r.messages + 3;
    read_until(&r, 9);
    read_until(&r, 27);
    assert_memory_equal(buf_text(&r.seen), "t/0@0 0=0\nt/0@1 1=1\nt/0@2 2=2\nt/0@3 ", 36);
    /* Refused, and then asked for from elsewhere: the refused one must not come. */
    buf_clear(&r.seen);
    unit_ok(kafka_seek(r.c, "t", 0, 5, &err));
    r.refuse_at = r.messages + 1;
    int64_t end = clock_mono_us() + LAB_WAIT_US;
    while (r.refuse_at && clock_mono_us() < end)
        reader_step(&r);
    unit_ok(kafka_seek(r.c, "t", 0, 19, &err));
    read_until(&r, 28);
    assert_string_equal(buf_text(&r.seen), "t/0@19 19=19\n");
    assert_false(kafka_seek(r.c, "t", 1, 0, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    struct kafka_gap gap;
    assert_false(next_gap(&r, &gap));
    assert_int_equal(r.started, 1);
    reader_close(&r);
}

/* The mock keeps 5 MB of a partition. */
static void test_gap(void **state)
{
    (void)state;
    struct error err = {0};
    struct reader r;
    enum kafka_sent s;
    struct kafka_gap gap;
    kafka_lab_topic(&lab, "t", 2);
    kafka_lab_set(&lab, "kafka.compression.type", "none");
    struct kafka_producer *p = producer(NULL);
    char *large = mem_alloc(900000);
    for (int i = 0; i < 10; i++) {
        unit_ok(kafka_produce(p, "t", 0, SLICE("k"), (struct slice){large, 900000}, NULL, 0, &s, &err));
        unit_ok(kafka_flush(p, LAB_WAIT_US, &err));
    }
    mem_free(large);
    kafka_lab_send(p, "t", 1, "k", "v");
    sent(p);
    reader_open(&r, NULL, "t", 0);
    int64_t end = clock_mono_us() + LAB_WAIT_US;
    while (!(r.seen.data && strstr(buf_text(&r.seen), "t/0@9 ")) && clock_mono_us() < end)
        reader_step(&r);
    assert_true(next_gap(&r, &gap));
    assert_string_equal(gap.topic, "t");
    assert_int_equal(gap.partition, 0);
    assert_int_equal(gap.wanted, 0);
    assert_true(gap.oldest > 0);
    assert_false(next_gap(&r, &gap));
    read_until(&r, (size_t)(10 - gap.oldest) + 1);
    /* Past the end. */
    unit_ok(kafka_seek(r.c, "t", 1, 50, &err));
    read_until(&r, (size_t)(10 - gap.oldest) + 2);
    assert_true(next_gap(&r, &gap));
    assert_int_equal(gap.partition, 1);
    assert_int_equal(gap.wanted, 50);
    assert_int_equal(gap.oldest, 0);
    reader_close(&r);
}

static void test_pause(void **state)
{
    (void)state;
    struct error err = {0};
    struct reader r;
    size_t n;
    kafka_lab_topic(&lab, "t", 1);
    send_numbers("t", 0, 0, 10);
    reader_open(&r, NULL, "t", -1);
    r.refuse_at = 4;
    read_until(&r, 3);
    while (r.refuse_at)
        reader_step(&r);
    kafka_pause(r.c, true);
    send_numbers("t", 0, 10, 20);
    for (int i = 0; i < 10; i++) {
        unit_ok(kafka_consume(r.c, 100, 20000, on_message, &r, &n, &err));
        assert_int_equal(n, 0);
    }
    kafka_pause(r.c, false);
    read_until(&r, 20);
    for (int i = 0; i < 20; i++) {
        char line[40];
        snprintf(line, sizeof line, "t/0@%d %d=%d\n", i, i, i);
        assert_non_null(strstr(buf_text(&r.seen), line));
    }
    reader_close(&r);
}

/* --- topics --- */

static void test_topic_made_later(void **state)
{
    (void)state;
    struct reader r;
    kafka_lab_topic(&lab, "other", 1);
    kafka_lab_set(&lab, "kafka.topic.metadata.refresh.interval.ms", "100");
    reader_open(&r, NULL, "^shop\\.,named", -1);
    int64_t end = clock_mono_us() + LAB_WAIT_US;
    while (!kafka_consumer_trouble(r.c) && clock_mono_us() < end)
        reader_step(&r);
    assert_non_null(strstr(kafka_consumer_trouble(r.c), "^shop"));
    kafka_lab_topic(&lab, "shop.a", 1);
    send_numbers("shop.a", 0, 0, 3);
    send_numbers("other", 0, 0, 3);
    read_until(&r, 3);
    assert_null(kafka_consumer_trouble(r.c));
    r.ours[0] = false; /* of another topic */
    kafka_lab_topic(&lab, "named", 1);
    send_numbers("named", 0, 0, 3);
    read_until(&r, 6);
    assert_null(strstr(buf_text(&r.seen), "other"));
    reader_close(&r);
}

static void test_close_without_broker(void **state)
{
    (void)state;
    struct reader r, g;
    kafka_lab_topic(&lab, "t", 1);
    send_numbers("t", 0, 0, 3);
    reader_open(&r, NULL, "t", -1);
    reader_open(&g, "g", "t", -1);
    read_until(&r, 3);
    read_until(&g, 3);
    rd_kafka_mock_broker_set_down(lab.cluster, -1);
    int64_t begin = clock_mono_us();
    reader_close(&r);
    reader_close(&g);
    assert_true(clock_mono_us() - begin < 8000000);
    rd_kafka_mock_broker_set_up(lab.cluster, -1);
    reader_open(&r, NULL, "t", -1);
    reader_close(&r);
}

/* --- groups --- */

static size_t count_ours(const struct reader *r)
{
    size_t n = 0;
    for (size_t i = 0; i < 64; i++)
        n += r->ours[i];
    return n;
}

static void test_a_start_that_is_not_known_yet(void **state)
{
    (void)state;
    struct reader r;
    kafka_lab_topic(&lab, "later", 1);
    send_numbers("later", 0, 0, 10);
    reader_open(&r, NULL, "later", 4);
    r.not_yet = 2;
    read_until(&r, 6);
    assert_int_equal(r.messages, 6); /* 4 to 9, and nothing before it was known */
    assert_int_equal(r.started, 3);
    reader_close(&r);
}

/* Two members: a real broker only (MILLRACE_KAFKA=host:port); the mock never settles a second one. */
static void test_group(const char *strategy)
{
    const char *servers = getenv("MILLRACE_KAFKA");
    if (!servers) skip();
    struct error err = {0};
    struct reader a, b;
    char topic[40];
    snprintf(topic, sizeof topic, "unit.%d.%s", (int)getpid(), strategy ? strategy : "");
    kafka_lab_set(&lab, "bootstrap.servers", servers);
    struct kafka_admin *questions;
    struct kafka_topic_settings settings = {4, -1, NULL, -2};
    unit_ok(kafka_admin_open(&questions, &lab.config, &err));
    unit_ok(kafka_ensure_topic(questions, topic, &settings, LAB_WAIT_US, &err));
    kafka_admin_close(questions);
    if (strategy) kafka_lab_set(&lab, "kafka.partition.assignment.strategy", strategy);
    for (int i = 0; i < 4; i++)
        send_numbers(topic, i, 0, 10);
    reader_open(&a, topic, topic, 5);
    read_until(&a, 20);
    assert_int_equal(count_ours(&a), 4);
    reader_open(&b, topic, topic, 8);
    int64_t end = clock_mono_us() + LAB_WAIT_US;
    while ((count_ours(&a) != 2 || count_ours(&b) != 2) && clock_mono_us() < end) {
        reader_step(&a);
        reader_step(&b);
    }
    assert_int_equal(count_ours(&a), 2);
    assert_int_equal(count_ours(&b), 2);
    assert_true(a.lost >= 2);
    for (size_t i = 0; i < 4; i++)
        assert_true(a.ours[i] != b.ours[i]);
    read_until(&b, 4);
    /* One leaves: the other has all again. */
    reader_close(&b);
    a.start = 9;
    while (count_ours(&a) != 4 && clock_mono_us() < end)
        reader_step(&a);
    assert_int_equal(count_ours(&a), 4);
    reader_close(&a);
}

static void test_group_cooperative(void **state)
{
    (void)state;
    test_group(NULL);
}

static void test_group_eager(void **state)
{
    (void)state;
    test_group("range");
}

/* A stuck partition begins again within a group, whose protocol decides how. */
static void group_gap(const char *strategy)
{
    struct error err = {0};
    struct reader r;
    struct kafka_gap gap;
    if (strategy) kafka_lab_set(&lab, "kafka.partition.assignment.strategy", strategy);
    kafka_lab_topic(&lab, "t", 2);
    send_numbers("t", 0, 0, 5);
    send_numbers("t", 1, 0, 5);
    reader_open(&r, "g", "t", -1);
    read_until(&r, 10);
    unit_ok(kafka_seek(r.c, "t", 1, 50, &err));
    read_until(&r, 15);
    assert_true(next_gap(&r, &gap));
    assert_int_equal(gap.wanted, 50);
    unit_ok(kafka_seek(r.c, "t", 0, 3, &err));
    read_until(&r, 17);
    reader_close(&r);
}

static void test_group_gap_cooperative(void **state)
{
    (void)state;
    group_gap(NULL);
}

static void test_group_gap_eager(void **state)
{
    (void)state;
    group_gap("range");
}

/* --- questions --- */

static struct kafka_admin *admin(void)
{
    struct error err = {0};
    struct kafka_admin *a;
    unit_ok(kafka_admin_open(&a, &lab.config, &err));
    return a;
}

static void test_list(void **state)
{
    (void)state;
    struct error err = {0};
    struct kafka_partitions list;
    kafka_lab_topic(&lab, "shop.b", 2);
    kafka_lab_topic(&lab, "shop.a", 1);
    kafka_lab_topic(&lab, "other", 1);
    send_numbers("shop.b", 1, 0, 7);
    struct kafka_admin *a = admin();
    unit_ok(kafka_list(a, "^shop[.]", LAB_WAIT_US, &list, &err));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].topic, "shop.a");
    assert_string_equal(list.items[2].topic, "shop.b");
    assert_int_equal(list.items[1].partition, 0);
    assert_int_equal(list.items[1].end, 0);
    assert_int_equal(list.items[2].partition, 1);
    assert_int_equal(list.items[2].oldest, 0);
    assert_int_equal(list.items[2].end, 7);
    kafka_partitions_free(&list);
    unit_ok(kafka_list(a, "missing", LAB_WAIT_US, &list, &err));
    assert_int_equal(list.count, 0);
    kafka_partitions_free(&list);
    assert_false(kafka_list(a, "^(", LAB_WAIT_US, &list, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    /* An existing topic stays as it is. */
    struct kafka_topic_settings settings = {5, 1, "compact", -1};
    unit_ok(kafka_ensure_topic(a, "other", &settings, LAB_WAIT_US, &err));
    rd_kafka_mock_broker_set_down(lab.cluster, -1);
    int64_t begin = clock_mono_us();
    assert_false(kafka_list(a, "other", 300000, &list, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_true(clock_mono_us() - begin < 5000000);
    kafka_admin_close(a);
    rd_kafka_mock_broker_set_up(lab.cluster, -1);
}

static void test_read(void **state)
{
    (void)state;
    struct error err = {0};
    struct reader r = {0};
    kafka_lab_topic(&lab, "t", 2);
    send_numbers("t", 0, 0, 10);
    struct kafka_admin *a = admin();
    unit_ok(kafka_read(a, "t", 0, 7, 100, LAB_WAIT_US, on_message, &r, &err));
    assert_string_equal(buf_text(&r.seen), "t/0@7 7=7\nt/0@8 8=8\nt/0@9 9=9\n");
    buf_clear(&r.seen);
    unit_ok(kafka_read(a, "t", 0, -1, 2, LAB_WAIT_US, on_message, &r, &err));
    assert_string_equal(buf_text(&r.seen), "t/0@0 0=0\nt/0@1 1=1\n");
    buf_clear(&r.seen);
    unit_ok(kafka_read(a, "t", 0, 9, 1, LAB_WAIT_US, on_message, &r, &err));
    unit_ok(kafka_read(a, "t", 0, 10, 5, LAB_WAIT_US, on_message, &r, &err));
    unit_ok(kafka_read(a, "t", 1, -1, 5, LAB_WAIT_US, on_message, &r, &err));
    assert_string_equal(buf_text(&r.seen), "t/0@9 9=9\n");
    buf_free(&r.seen);
    kafka_admin_close(a);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    kafka_grace_us = 300000;
#define KAFKA_TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        KAFKA_TEST(test_list),
        KAFKA_TEST(test_read),
        KAFKA_TEST(test_round_trip),
        KAFKA_TEST(test_placement),
        KAFKA_TEST(test_errors_in_passing),
        KAFKA_TEST(test_transactions),
        KAFKA_TEST(test_positions),
        KAFKA_TEST(test_gap),
        KAFKA_TEST(test_pause),
        KAFKA_TEST(test_topic_made_later),
        KAFKA_TEST(test_close_without_broker),
        KAFKA_TEST(test_a_start_that_is_not_known_yet),
        KAFKA_TEST(test_group_cooperative),
        KAFKA_TEST(test_group_eager),
        KAFKA_TEST(test_group_gap_cooperative),
        KAFKA_TEST(test_group_gap_eager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
