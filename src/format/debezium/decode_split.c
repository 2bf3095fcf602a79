/* A record taken apart: slices into it, nothing is built. Members that are not known are passed over, those
 * that older connectors do not write may be missing. */
#include "format/debezium/decode_int.h"
#include "format/json_scan.h"

#define FLATTENED                                                                                          \
    "remove the transform ExtractNewRecordState from the connector: the change itself is needed, with "    \
    "before, "                                                                                             \
    "after, source and op"

bool is_null(struct slice raw)
{
    return !raw.data || slice_equal(raw, SLICE("null"));
}

bool parse_i64(struct slice raw, int64_t *out)
{
    bool minus = raw.len && raw.data[0] == '-';
    size_t at = minus;
    if (raw.len - at == 0 || raw.len - at > 19 || (raw.data[at] == '0' && raw.len - at > 1)) return false;
    uint64_t n = 0;
    for (; at < raw.len; at++) {
        if (raw.data[at] < '0' || raw.data[at] > '9') return false;
        n = n * 10 + (uint64_t)(raw.data[at] - '0'); /* 19 digits fit */
    }
    if (n > (uint64_t)INT64_MAX + minus) return false;
    *out = minus ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

static struct slice unless_null(struct slice raw)
{
    return is_null(raw) ? (struct slice){0} : raw;
}

bool split_wrapper(struct slice text, struct slice *schema, struct slice *payload)
{
    *schema = (struct slice){0};
    *payload = text;
    struct json_scan s = json_scan_object(text);
    struct slice name, value, a = {0}, b = {0};
    if (!json_scan_next(&s, &name, &value)) return json_scan_ok(&s);
    bool swapped = slice_equal(name, SLICE("payload"));
    if (!swapped && !slice_equal(name, SLICE("schema")))
        return true; /* the payload is checked when it is read */
    a = value;
    if (!json_scan_next(&s, &name, &b)) return json_scan_ok(&s);
    if (!slice_equal(name, swapped ? SLICE("schema") : SLICE("payload"))) return true;
    if (json_scan_next(&s, &name, &value)) return true;
    struct slice inner = swapped ? b : a;
    if (!json_scan_ok(&s)) return false;
    if (inner.data[0] != '{' && !is_null(inner)) return true; /* columns of that name */
    *schema = unless_null(inner);
    *payload = unless_null(swapped ? a : b);
    return true;
}

struct member {
    const char *name;
    size_t len;
    size_t at; /* in struct parts */
};

#define MEMBER(text, field)                                                                                \
    {                                                                                                      \
        text, sizeof(text) - 1, offsetof(struct parts, field)                                              \
    }

/* Gives the members of the table; false when the object is damaged. */
static bool take_members(struct slice object, const struct member *members, size_t count, struct parts *p)
{
    struct json_scan s = json_scan_object(object);
    struct slice name, value;
    while (json_scan_next(&s, &name, &value)) {
        for (size_t i = 0; i < count; i++) {
            if (members[i].len != name.len || memcmp(members[i].name, name.data, name.len) != 0) continue;
            struct slice *at = (struct slice *)(void *)((char *)p + members[i].at);
            *at = unless_null(value);
            break;
        }
    }
    return json_scan_ok(&s);
}

static bool has(struct slice object, struct slice name)
{
    struct slice value;
    return json_get(object, name, &value);
}

static bool without_op(const struct parts *p, enum debezium_kind *kind, struct error *err)
{
    static const struct {
        struct slice a, b;
    } others[] = {
        {{"status", 6}, {"event_count", 11}},  /* transaction metadata */
        {{"aggregate_type", 14}, {"type", 4}}, /* notifications */
    };
    struct json_scan s = json_scan_object(p->value);
    struct slice name, value, next;
    bool one = json_scan_next(&s, &name, &value) && !json_scan_next(&s, &next, &value);
    *kind = DEBEZIUM_OTHER;
    if (one && slice_equal(name, SLICE("ts_ms"))) return true; /* a heartbeat */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (has(p->value, others[i].a) && has(p->value, others[i].b)) return true;
    bool marked = has(p->value, SLICE("__op")) || has(p->value, SLICE("__deleted"));
    return error_set(err, ERROR_DATA, "the record is a row alone, without op and source%s; " FLATTENED,
                     marked ? " (it has __op or __deleted)" : "");
}

bool split_value(struct parts *p, enum debezium_kind *kind, struct error *err)
{
    static const struct member envelope[] = {
        MEMBER("before", before), MEMBER("after", after), MEMBER("source", source),
        MEMBER("op", op),         MEMBER("ts_ms", ts_ms), MEMBER("ts_us", ts_us),
    };
    static const struct member source[] = {
        MEMBER("connector", connector),
        MEMBER("name", name),
        MEMBER("ts_ms", source_ts_ms),
        MEMBER("snapshot", snapshot),
        MEMBER("sequence", sequence),
        MEMBER("ts_us", source_ts_us),
        MEMBER("ts_ns", source_ts_ns),
        MEMBER("schema", schema),
        MEMBER("table", table),
        MEMBER("txId", xid),
        MEMBER("lsn", lsn),
        MEMBER("origin", origin),
        MEMBER("origin_lsn", origin_lsn),
    };
    if (!take_members(p->value, envelope, sizeof envelope / sizeof *envelope, p))
        return error_set(err, ERROR_DATA, "the value is not a JSON object");
    if (!p->op.data && !p->source.data) return without_op(p, kind, err);
    if (p->op.len != 3 || p->op.data[0] != '"' || p->op.data[2] != '"')
        return error_set(err, ERROR_DATA, "op is not one of c, u, d, r, t, m; " FLATTENED);
    if (!p->source.data) return error_set(err, ERROR_DATA, "source is missing; " FLATTENED);
    if (!take_members(p->source, source, sizeof source / sizeof *source, p))
        return error_set(err, ERROR_DATA, "source is not a JSON object");
    if (!slice_equal(p->connector, SLICE("\"postgresql\"")))
        return error_set(
            err, ERROR_DATA,
            "source.connector is %.*s; only events of Debezium's postgresql connector can be read",
            (int)(p->connector.len < 60 ? p->connector.len : 60),
            p->connector.data ? p->connector.data : "");
    char op = p->op.data[1];
    *kind = op == 'm' ? DEBEZIUM_MESSAGE : DEBEZIUM_CHANGE;
    if (!strchr("cudrtm", op))
        return error_set(err, ERROR_DATA, "op is '%c', not one of c, u, d, r, t, m", op);
    return true;
}
