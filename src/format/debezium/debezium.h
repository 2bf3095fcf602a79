/* What producing and consuming Debezium's change events share: the names and modes of the PostgreSQL connector
 * (Debezium 3.x) and of Kafka Connect's JsonConverter, under their own names.
 *
 * An event is three texts: a key, a value, headers. With `schemas` each of key and value is
 * {"schema":..,"payload":..}, else the payload alone.
 *
 *   before, after   the row, every column in the table's order, nulls printed
 *   source          version connector name ts_ms snapshot db sequence ts_us ts_ns schema table txId lsn xmin
 *                   origin origin_lsn
 *   transaction     null, or id total_order data_collection_order
 *   op ts_ms ts_us ts_ns
 *
 * Sources: Debezium documentation of the PostgreSQL connector; Kafka's JsonConverter. */
#ifndef MILLRACE_FORMAT_DEBEZIUM_H
#define MILLRACE_FORMAT_DEBEZIUM_H

#include "base/config.h"

enum debezium_decimal { DEBEZIUM_DECIMAL_PRECISE, DEBEZIUM_DECIMAL_STRING, DEBEZIUM_DECIMAL_DOUBLE };
enum debezium_time {
    DEBEZIUM_TIME_ADAPTIVE,
    DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS,
    DEBEZIUM_TIME_MICROSECONDS,
    DEBEZIUM_TIME_NANOSECONDS,
    DEBEZIUM_TIME_CONNECT,
    DEBEZIUM_TIME_ISOSTRING,
};
enum debezium_hstore { DEBEZIUM_HSTORE_JSON, DEBEZIUM_HSTORE_MAP };
enum debezium_interval { DEBEZIUM_INTERVAL_NUMERIC, DEBEZIUM_INTERVAL_STRING };
enum debezium_binary {
    DEBEZIUM_BINARY_BYTES,
    DEBEZIUM_BINARY_BASE64,
    DEBEZIUM_BINARY_BASE64_URL_SAFE,
    DEBEZIUM_BINARY_HEX,
};

/* Read once from the settings; texts point into them. */
struct debezium_options {
    const char *prefix;          /* topic.prefix */
    enum debezium_decimal decimal;
    enum debezium_time time;
    enum debezium_hstore hstore;
    enum debezium_interval interval;
    enum debezium_binary binary;
    const char *placeholder;     /* unavailable.value.placeholder */
    int money_digits;            /* money.fraction.digits */
    bool unknown_types;          /* include.unknown.datatypes */
    bool key_schemas, value_schemas; /* {key,value}.converter.schemas.enable */
    bool null_to_default;        /* value.converter.replace.null.with.default: JsonConverter's trap */
    bool decimal_numeric;        /* value.converter.decimal.format=NUMERIC: precise decimals as JSON numbers */
    bool snapshot;               /* rows of a copy: the connector prints a few extreme dates otherwise there */
};

/* CONFIG names the option and the values that it may have. */
bool debezium_options_read(const struct config *c, struct debezium_options *out, struct error *err) MUST_CHECK;

/* <prefix>.<schema>.<table>; characters outside [A-Za-z0-9._-] become '_'. */
void debezium_put_topic(const char *prefix, struct slice table, struct buf *out);

/* Java's UUID.nameUUIDFromBytes as a JSON string: the placeholder in an array of uuids. */
void debezium_put_name_uuid(struct slice name, struct buf *json);

#endif
