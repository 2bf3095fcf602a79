#include "net/kafka_int.h"

#include "base/clock.h"
#include "base/log.h"

#include <limits.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int64_t kafka_grace_us = 10000000;

/* --- settings --- */

enum { ANY = KAFKA_PRODUCER | KAFKA_CONSUMER | KAFKA_ADMIN, READER = KAFKA_CONSUMER | KAFKA_ADMIN };

/* Chosen so that a client keeps below some 64 MB: 100 topics or one, messages of 400 bytes or of 1 MB. */
static const struct {
    int roles;
    const char *name, *value;
} ours[] = {
    {ANY, "client.id", "millrace"},
    {ANY, "socket.keepalive.enable", "true"},
    {ANY, "reconnect.backoff.max.ms", "2000"},
    {KAFKA_PRODUCER, "topic.metadata.refresh.interval.ms", "30000"},
    {READER, "topic.metadata.refresh.interval.ms", "5000"}, /* a table's first row makes its topic */
    {ANY, "statistics.interval.ms", "1000"}, /* they tell that a broker is up again */
    {ANY, "log.connection.close", "false"},
    {KAFKA_PRODUCER, "enable.idempotence", "true"},
    {KAFKA_PRODUCER, "acks", "all"},
    {KAFKA_PRODUCER, "partitioner", "murmur2_random"}, /* as Java's */
    {KAFKA_PRODUCER, "linger.ms", "5"},
    {KAFKA_PRODUCER, "compression.type", "lz4"},
    {KAFKA_PRODUCER, "batch.num.messages", "10000"},
    {KAFKA_PRODUCER, "batch.size", "1000000"},
    {KAFKA_PRODUCER, "queue.buffering.max.messages", "100000"},
    {KAFKA_PRODUCER, "queue.buffering.max.kbytes", "32768"},
    {KAFKA_PRODUCER, "transaction.timeout.ms", "300000"},
    {READER, "isolation.level", "read_committed"},
    {READER, "enable.auto.commit", "false"},
    {READER, "enable.auto.offset.store", "false"},
    {READER, "auto.offset.reset", "error"}, /* a gap is told, not jumped over */
    {READER, "allow.auto.create.topics", "false"},
    {READER, "fetch.max.bytes", "16000000"},
    {READER, "queued.min.messages", "50000"},
    {READER, "queued.max.messages.kbytes", "32768"},
    {KAFKA_CONSUMER, "partition.assignment.strategy", "cooperative-sticky"},
    {READER, "enable.partition.eof", "true"},
    {KAFKA_ADMIN, "fetch.wait.max.ms", "20"}, /* a question ends at the partition's end, and soon */
};

/* What the user may not set to anything but `allowed` (NULL: not at all), and why. */
static const struct {
    const char *name, *allowed, *reason;
} forbidden[] = {
    {"bootstrap.servers", NULL, "set `bootstrap_servers`"},
    {"metadata.broker.list", NULL, "set `bootstrap_servers`"},
    {"group.id", NULL, "set `group_id`"},
    {"transactional.id", NULL, "Millrace names its transactions itself"},
    {"enable.idempotence", "true", "without it a message may be written twice"},
    {"acks", "all", "without all replicas a message may be lost"},
    {"request.required.acks", "all", "without all replicas a message may be lost"},
    {"isolation.level", "read_committed", "what was not committed must not be read"},
    {"enable.auto.commit", "false", "positions are kept with the data, not in Kafka"},
    {"auto.commit.enable", "false", "positions are kept with the data, not in Kafka"},
    {"enable.auto.offset.store", "false", "positions are kept with the data, not in Kafka"},
    {"auto.offset.reset", "error", "missing messages must be noticed"},
    {"enable.partition.eof", NULL, "Millrace needs it itself"},
    {"statistics.interval.ms", NULL, "Millrace needs the statistics itself"},
};

static bool is_forbidden(const struct config_property *p, struct error *err)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        if (strcmp(p->name, forbidden[i].name) != 0) continue;
        if (forbidden[i].allowed && strcmp(p->value, forbidden[i].allowed) == 0) return false;
        return !error_set(err, ERROR_CONFIG, "`kafka.%s` cannot be set%s%s: %s", p->name,
                          forbidden[i].allowed ? " to anything but " : "",
                          forbidden[i].allowed ? forbidden[i].allowed : "", forbidden[i].reason);
    }
    return false;
}

static bool set_property(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
    char reason[512];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK) return true;
    return error_set(err, ERROR_CONFIG, "`kafka.%s`: %s", name, reason);
}

static long long get_number(const rd_kafka_conf_t *conf, const char *name)
{
    char text[32] = "";
    size_t size = sizeof text;
    return rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK ? strtoll(text, NULL, 10) : 0;
}

/* One message must fit a fetch: who raises the one does not want to know of the other. */
static bool fit_fetches(rd_kafka_conf_t *conf, struct error *err)
{
    char text[32];
    long long most = get_number(conf, "message.max.bytes");
    if (get_number(conf, "fetch.max.bytes") >= most) return true;
    snprintf(text, sizeof text, "%lld", most);
    if (!set_property(conf, "fetch.max.bytes", text, err)) return false;
    if (get_number(conf, "receive.message.max.bytes") >= most + 512) return true;
    snprintf(text, sizeof text, "%lld", most + 512);
    return set_property(conf, "receive.message.max.bytes", text, err);
}

static bool set_properties(rd_kafka_conf_t *conf, enum kafka_role role, const struct config *config,
                           const char *id, struct error *err)
{
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (ours[i].roles & (int)role && !set_property(conf, ours[i].name, ours[i].value, err))
            return false;
    for (size_t i = 0; i < config->kafka_count; i++) {
        const struct config_property *p = &config->kafka[i];
        if (is_forbidden(p, err) || !set_property(conf, p->name, p->value, err)) return false;
    }
    if (role != KAFKA_PRODUCER && !fit_fetches(conf, err)) return false;
    if (!config->bootstrap_servers || !*config->bootstrap_servers)
        return error_set(
            err, ERROR_CONFIG,
            "`bootstrap_servers` is not set: it names the Kafka brokers, as in localhost:9092");
    if (!set_property(conf, "bootstrap.servers", config->bootstrap_servers, err)) return false;
    return !id || set_property(conf, role == KAFKA_PRODUCER ? "transactional.id" : "group.id", id, err);
}

/* --- troubles --- */

static bool of_connection(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE: return true;
    default: return false;
    }
}

void kafka_note_trouble(struct kafka_client *k, rd_kafka_resp_err_t code, const char *reason)
{
    struct error e;
    kafka_fail(k, &e, code, reason, "%s", k->servers);
    bool connection = of_connection(code);
    pthread_mutex_lock(&k->lock);
    struct kafka_trouble *t = connection ? &k->connection : &k->other;
    /* A refused password stays the news: that all brokers are down follows from it. */
    bool worse = t->kind != ERROR_CONFIG || e.kind == ERROR_CONFIG;
    if (t->kind == ERROR_NONE || t->waits) {
        t->since_us = clock_mono_us();
        t->told_us = 0;
    }
    if (worse) {
        t->kind = e.kind;
        t->waits = false;
        snprintf(t->text, sizeof t->text, "%s", e.text);
    }
    pthread_mutex_unlock(&k->lock);
}

void kafka_note_wait(struct kafka_client *k, const char *text)
{
    pthread_mutex_lock(&k->lock);
    struct kafka_trouble *t = &k->other;
    if (t->kind == ERROR_NONE || t->waits) {
        t->kind = ERROR_RETRY;
        t->waits = true;
        snprintf(t->text, sizeof t->text, "Kafka: %s", text);
    }
    pthread_mutex_unlock(&k->lock);
}

static void trouble_over(struct kafka_client *k, struct kafka_trouble *t)
{
    pthread_mutex_lock(&k->lock);
    t->kind = ERROR_NONE;
    pthread_mutex_unlock(&k->lock);
}

void kafka_note_progress(struct kafka_client *k)
{
    if (k->other.kind != ERROR_NONE) trouble_over(k, &k->other); /* only this thread writes it */
}

static bool trouble_due(struct kafka_trouble *t, struct error *err)
{
    int64_t now = clock_mono_us();
    int64_t from = t->told_us > t->since_us ? t->told_us : t->since_us;
    if (t->kind == ERROR_NONE || t->waits || now - from < kafka_grace_us) return false;
    t->told_us = now;
    return !error_set(err, t->kind, "%s", t->text);
}

bool kafka_due(struct kafka_client *k, struct error *err)
{
    char reason[400];
    rd_kafka_resp_err_t dead = rd_kafka_fatal_error(k->rk, reason, sizeof reason);
    if (dead) return kafka_fail(k, err, dead, reason, "this client cannot go on");
    pthread_mutex_lock(&k->lock);
    bool due = trouble_due(&k->connection, err) || trouble_due(&k->other, err);
    pthread_mutex_unlock(&k->lock);
    return !due;
}

const char *kafka_trouble_text(struct kafka_client *k)
{
    pthread_mutex_lock(&k->lock);
    const struct kafka_trouble *t = k->connection.kind != ERROR_NONE ? &k->connection : &k->other;
    bool any = t->kind != ERROR_NONE;
    if (any) snprintf(k->shown, sizeof k->shown, "%s", t->text);
    pthread_mutex_unlock(&k->lock);
    return any ? k->shown : NULL;
}

/* --- callbacks --- */

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    if (code == RD_KAFKA_RESP_ERR__FATAL) return; /* kafka_due asks for it */
    kafka_note_trouble(opaque, code, reason);
}

/* Brokers, and nothing else, have a state in capital letters. */
static int on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
    (void)rk;
    struct kafka_client *k = opaque;
    static const char up[] = "\"state\":\"UP\"";
    if (k->connection.kind != ERROR_NONE && memmem(json, len, up, sizeof up - 1))
        trouble_over(k, &k->connection);
    return 0;
}

/* From librdkafka's own threads. What reaches the caller as an error or a trouble is told by him. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    static const char *const told[] = {"FAIL",   "ERROR", "CONFWARN", "AUTOCREATE",
                                       "TXNERR", "FATAL", "MAXPOLL"};
    bool again = false;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        again = again || strcmp(facility, told[i]) == 0;
    if (level <= 4 && !again)
        log_warn("kafka", "librdkafka", "%s: %s", facility, text);
    else
        log_debug("kafka", "librdkafka", "%s: %s", facility, text);
}

/* --- the client --- */

rd_kafka_conf_t *kafka_conf(struct kafka_client *k, enum kafka_role role, const struct config *config,
                            const char *id, struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!set_properties(conf, role, config, id, err)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    k->servers = mem_text(config->bootstrap_servers);
    pthread_mutex_init(&k->lock, NULL);
    rd_kafka_conf_set_opaque(conf, k);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
    rd_kafka_conf_set_log_cb(conf, on_log);
    return conf;
}

bool kafka_client_open(struct kafka_client *k, enum kafka_role role, rd_kafka_conf_t *conf,
                       struct error *err)
{
    char reason[512];
    k->rk = rd_kafka_new(role == KAFKA_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, reason,
                         sizeof reason);
    if (k->rk) return true;
    rd_kafka_conf_destroy(conf);
    return error_set(err, ERROR_CONFIG, "Kafka: %s; check the settings `kafka.*`", reason);
}

void kafka_client_free(struct kafka_client *k)
{
    if (!k->servers) return;
    pthread_mutex_destroy(&k->lock);
    mem_free(k->servers);
}

int kafka_ms(int64_t us)
{
    if (us <= 0) return 0;
    int64_t ms = us / 1000 + (us % 1000 != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

void kafka_message_fill(struct kafka_message *out, rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(m, &type);
    out->topic = rd_kafka_topic_name(m->rkt);
    out->partition = m->partition;
    out->offset = m->offset;
    out->timestamp_us = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : ms * 1000;
    out->key = (struct slice){m->key, m->key_len};
    out->value = (struct slice){m->payload, m->len};
    out->header_count = 0;
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(m, &headers)) return;
    for (size_t i = 0; i < KAFKA_HEADERS_MAX; i++) {
        struct kafka_header *h = &out->headers[i];
        const void *value;
        if (rd_kafka_header_get_all(headers, i, &h->name, &value, &h->value.len)) break;
        h->value.data = value;
        out->header_count = i + 1;
    }
}

/* --- lists of topics --- */

bool kafka_topics_next(const char **at, struct slice *item)
{
    const char *text = *at;
    for (;;) {
        text += strspn(text, ", \t");
        if (!*text) return false;
        size_t n = strcspn(text, ",");
        *at = text + n;
        while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
            n--;
        *item = (struct slice){text, n};
        return true;
    }
}

bool kafka_topics_have_pattern(const char *topics)
{
    struct slice item;
    while (kafka_topics_next(&topics, &item))
        if (*item.data == '^') return true;
    return false;
}

bool kafka_topics_check(const char *topics, struct error *err)
{
    struct slice item;
    bool any = false;
    while (kafka_topics_next(&topics, &item)) {
        any = true;
        if (*item.data != '^') continue;
        char *pattern = mem_textn(item.data, item.len), reason[200];
        regex_t regex;
        int bad = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
        if (bad) {
            regerror(bad, &regex, reason, sizeof reason);
            error_set(err, ERROR_CONFIG, "`topics`: \"%s\" is not a regular expression: %s", pattern,
                      reason);
        } else {
            regfree(&regex);
        }
        mem_free(pattern);
        if (bad) return false;
    }
    return any || error_set(err, ERROR_CONFIG, "`topics` names no topic of Kafka");
}

/* As librdkafka: POSIX extended, anchored where it begins (that is the '^') and not where it ends. */
bool kafka_topics_hold(const char *topics, const char *name)
{
    struct slice item;
    while (kafka_topics_next(&topics, &item)) {
        if (*item.data != '^') {
            if (slice_equal(item, slice_of(name))) return true;
            continue;
        }
        char *pattern = mem_textn(item.data, item.len);
        regex_t regex;
        bool match = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0;
        if (match) {
            match = regexec(&regex, name, 0, NULL, 0) == 0;
            regfree(&regex);
        }
        mem_free(pattern);
        if (match) return true;
    }
    return false;
}
