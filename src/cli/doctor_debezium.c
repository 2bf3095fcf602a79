/* What doctor says about Debezium's connectors in a Kafka Connect: that they run, and that no setting of
 * theirs loses something of a change before it is in the topic. A connector's own configuration is all that
 * Connect shows; what it leaves to the worker is said to be so.
 *
 *   rules[] in order; of several on one property the first that is broken speaks */
#include "cli/doctor.h"
#include "net/http_client.h"

#include <jansson.h>
#include <stdio.h>

#define POSTGRES_CONNECTOR "io.debezium.connector.postgresql.PostgresConnector"
#define JSON_CONVERTER "org.apache.kafka.connect.json.JsonConverter"

enum { ANSWER_MAX = 16 << 20, SECONDS_MAX = 30, VALUE_MAX = 200 };

enum relation { IS, IS_NOT };

struct rule {
    const char *property;
    const char *fallback; /* Debezium's or Connect's own default */
    enum relation wanted; /* the value is, or is not, `value` */
    const char *value;
    enum verdict verdict; /* otherwise */
    const char *harm, *advice;
};

#define CONVERTER(side)                                                                                    \
    {side ".converter",                                                                                    \
     "",                                                                                                   \
     IS_NOT,                                                                                               \
     "",                                                                                                   \
     VERDICT_WARN,                                                                                         \
     "the worker's own converter holds",                                                                   \
     "set " side ".converter=" JSON_CONVERTER " on the connector"},                                        \
        {side ".converter",                                                                                \
         JSON_CONVERTER,                                                                                   \
         IS,                                                                                               \
         JSON_CONVERTER,                                                                                   \
         VERDICT_BAD,                                                                                      \
         "records are not JSON",                                                                           \
         "set " side ".converter=" JSON_CONVERTER},                                                        \
        {side ".converter.schemas.enable",                                                                 \
         "true",                                                                                           \
         IS,                                                                                               \
         "true",                                                                                           \
         VERDICT_WARN,                                                                                     \
         "types do not come with the records but from the source's catalog as it is now",                  \
         "set " side ".converter.schemas.enable=true"},                                                    \
    {                                                                                                      \
        side ".converter.replace.null.with.default", "true", IS, "false", VERDICT_WARN,                    \
            "NULL in a column with a default arrives as the default",                                      \
            "set " side ".converter.replace.null.with.default=false"                                       \
    }

static const struct rule rules[] = {
    {"plugin.name", "decoderbufs", IS, "pgoutput", VERDICT_BAD, "needs an extension in PostgreSQL",
     "set plugin.name=pgoutput"},
    {"snapshot.mode", "initial", IS_NOT, "initial_only", VERDICT_BAD, "no change follows the first copy",
     "set snapshot.mode=initial"},
    {"snapshot.mode", "initial", IS_NOT, "no_data", VERDICT_WARN,
     "rows from before the connector are missing", "set snapshot.mode=initial for a new connector"},
    {"snapshot.mode", "initial", IS_NOT, "always", VERDICT_WARN, "every start copies all tables again",
     "set snapshot.mode=initial"},
    CONVERTER("key"),
    CONVERTER("value"),
    {"decimal.handling.mode", "precise", IS_NOT, "double", VERDICT_BAD,
     "amounts arrive as floating point: money is lost", "set decimal.handling.mode=string"},
    {"decimal.handling.mode", "precise", IS, "string", VERDICT_WARN, "NaN and Infinity arrive as NULL",
     "set decimal.handling.mode=string"},
    {"time.precision.mode", "adaptive", IS_NOT, "connect", VERDICT_BAD,
     "times arrive in milliseconds: microseconds are lost", "set time.precision.mode=adaptive"},
    {"binary.handling.mode", "bytes", IS, "bytes", VERDICT_WARN, "bytea arrives as text like any other",
     "set binary.handling.mode=bytes"},
    {"unavailable.value.placeholder", "__debezium_unavailable_value", IS, "__debezium_unavailable_value",
     VERDICT_WARN, "unchanged large values are known by this text",
     "give Millrace the same unavailable_value_placeholder"},
    {"tombstones.on.delete", "true", IS, "true", VERDICT_WARN,
     "a compacted topic keeps deleted rows for ever", "set tombstones.on.delete=true"},
    {"skipped.operations", "t", IS_NOT, "t", VERDICT_WARN, "TRUNCATE is not seen: the lake keeps the rows",
     "set skipped.operations=none"},
    {"skipped.operations", "t", IS, "none", VERDICT_BAD, "some kinds of change are not seen",
     "set skipped.operations=none"},
    {"heartbeat.interval.ms", "0", IS_NOT, "0", VERDICT_WARN,
     "while the tables are idle the slot stands still and PostgreSQL keeps WAL",
     "set heartbeat.interval.ms=10000"},
    {"publication.autocreate.mode", "all_tables", IS_NOT, "all_tables", VERDICT_WARN,
     "updates of tables without a key fail in the shop once all are published",
     "set publication.autocreate.mode=filtered"},
    {"exactly.once.support", "requested", IS, "required", VERDICT_WARN,
     "at least once unless the worker has exactly.once.source.support=enabled; repeats are dropped by key",
     "enable it on the worker, then set exactly.once.support=required"},
};

static const char *text_of(const json_t *object, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : fallback;
}

/* --- settings --- */

static bool broken(const struct rule *rule, const json_t *config)
{
    bool same = strcmp(text_of(config, rule->property, rule->fallback), rule->value) == 0;
    return same != (rule->wanted == IS);
}

/* All rules of one property, which stand together; the first of the next in *next. */
static void check_property(struct report *r, const json_t *config, size_t *next)
{
    const struct rule *first = &rules[*next], *found = NULL;
    for (; *next < sizeof rules / sizeof *rules && strcmp(rules[*next].property, first->property) == 0;
         ++*next)
        if (!found && broken(&rules[*next], config)) found = &rules[*next];
    const char *given = text_of(config, first->property, NULL);
    const char *value = given ? given : *first->fallback ? first->fallback : "not set";
    const char *how = given || !*first->fallback ? "" : " (by default)";
    if (found)
        report_add(r, found->verdict, first->property, found->advice, "%.*s%s: %s", VALUE_MAX, value, how,
                   found->harm);
    else
        report_add(r, VERDICT_OK, first->property, NULL, "%.*s%s", VALUE_MAX, value, how);
}

/* "unwrap, route": the ones that take a change's operation and old row away. */
static void check_transforms(struct report *r, const json_t *config)
{
    static const char spaces[] = ", ";
    const char *list = text_of(config, "transforms", "");
    for (list += strspn(list, spaces); *list; list += strspn(list, spaces)) {
        int len = (int)strcspn(list, spaces);
        char *property = mem_format("transforms.%.*s.type", len, list);
        const char *type = text_of(config, property, "");
        if (strstr(type, "ExtractNewRecordState"))
            report_add(r, VERDICT_BAD, "transforms",
                       "take it off this connector, or give its readers another one",
                       "%.*s unwraps: the records have no operation and no old row", len, list);
        mem_free(property);
        list += len;
    }
}

static void check_masks(struct report *r, json_t *config)
{
    const char *name;
    json_t *value;
    json_object_foreach(config, name, value) if (strncmp(name, "column.mask.", 12) == 0 ||
                                                 strncmp(name, "column.truncate.", 16) == 0)
        report_add(r, VERDICT_WARN, "masked columns",
                   "take it off if the lake should hold what the shop holds", "%s of %.*s", name, VALUE_MAX,
                   json_is_string(value) ? json_string_value(value) : "");
}

/* --- state --- */

/* One of connector and tasks; why it has failed is the first line of its trace. */
static void check_state(struct report *r, const char *what, const json_t *part)
{
    const char *state = text_of(part, "state", "unknown"), *trace = text_of(part, "trace", "");
    bool runs = strcmp(state, "RUNNING") == 0,
         waits = strcmp(state, "PAUSED") == 0 || strcmp(state, "STOPPED") == 0;
    int line = (int)strcspn(trace, "\r\n");
    report_add(r,
               runs    ? VERDICT_OK
               : waits ? VERDICT_WARN
                       : VERDICT_BAD,
               what,
               runs    ? NULL
               : waits ? "PUT /connectors/<name>/resume"
                       : "mend what it says, then POST /connectors/<name>/restart?includeTasks=true",
               "%s%s%.*s", state, line ? ": " : "", line > 600 ? 600 : line, trace);
}

static void check_connector(struct report *r, const char *name, const json_t *about)
{
    const json_t *status = json_object_get(about, "status"), *tasks = json_object_get(status, "tasks");
    json_t *config = json_object_get(json_object_get(about, "info"), "config");
    const char *class = text_of(config, "connector.class", "");
    if (strcmp(class, POSTGRES_CONNECTOR) != 0) {
        report_add(r, VERDICT_BAD, "connector", "name one of Debezium's for PostgreSQL with --connector",
                   "%s is a %s", name, *class ? class : "connector of no known class");
        return;
    }
    report_add(r, VERDICT_OK, "connector", NULL, "%s, topics %s.*", name,
               text_of(config, "topic.prefix", "?"));
    check_state(r, "connector state", json_object_get(status, "connector"));
    for (size_t i = 0; i < json_array_size(tasks); i++)
        check_state(r, "task state", json_array_get(tasks, i));
    if (!json_array_size(tasks))
        report_add(r, VERDICT_BAD, "task state", "look at Connect's log", "there is no task");
    for (size_t i = 0; i < sizeof rules / sizeof *rules;)
        check_property(r, config, &i);
    check_transforms(r, config);
    check_masks(r, config);
}

/* --- asking Connect --- */

static bool take(void *context, struct slice piece, struct error *err)
{
    buf_put_slice(context, piece);
    return buf_ok(context) || error_set(err, ERROR_DATA, "the answer is too large");
}

/* All connectors with configuration and state; NULL with err set. */
static json_t *ask(const char *connect, struct error *err)
{
    int len = (int)strlen(connect);
    while (len && connect[len - 1] == '/')
        len--;
    char *url = mem_format("%.*s/connectors?expand=info&expand=status", len, connect);
    struct buf body = {.max = ANSWER_MAX}, refusal = {.max = 4096};
    struct http_call call = {
        .url = url, .seconds_max = SECONDS_MAX, .sink = take, .context = &body, .refusal = &refusal};
    long status = 0;
    json_t *answer = NULL;
    if (http_call(&call, &status, err)) {
        answer = status == 200 ? json_loadb(body.data ? body.data : "", body.len, 0, NULL) : NULL;
        if (!json_is_object(answer)) {
            json_decref(answer);
            answer = NULL;
            error_set(err, ERROR_CONFIG, "%s answers %ld, and not as Kafka Connect does", connect, status);
        }
    }
    buf_free(&body);
    buf_free(&refusal);
    mem_free(url);
    return answer;
}

/* Every connector of Debezium for PostgreSQL. */
static int check_all(struct report *r, json_t *connectors)
{
    int count = 0;
    const char *name;
    json_t *about;
    json_object_foreach(connectors, name, about)
    {
        const json_t *config = json_object_get(json_object_get(about, "info"), "config");
        if (strcmp(text_of(config, "connector.class", ""), POSTGRES_CONNECTOR) != 0) continue;
        check_connector(r, name, about);
        count++;
    }
    return count;
}

void doctor_debezium(struct report *r, const char *connect, const char *connector)
{
    static const char advice[] =
        "scripts/setup_debezium.py registers one; millrace setup --capture debezium prints it";
    struct error err = {0};
    json_t *connectors = ask(connect, &err);
    if (!connectors) {
        report_add(r, VERDICT_BAD, "Kafka Connect", "look at the address, and whether Connect runs", "%s",
                   err.text);
        return;
    }
    report_add(r, VERDICT_OK, "Kafka Connect", NULL, "%s, %zu connectors", connect,
               json_object_size(connectors));
    json_t *about = connector ? json_object_get(connectors, connector) : NULL;
    if (about)
        check_connector(r, connector, about);
    else if (connector)
        report_add(r, VERDICT_BAD, "connector", advice, "there is no connector %s", connector);
    else if (!check_all(r, connectors))
        report_add(r, VERDICT_BAD, "connector", advice, "none of Debezium for PostgreSQL");
    json_decref(connectors);
}
