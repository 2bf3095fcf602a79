/* What the files of the encoder share. */
#ifndef MILLRACE_FORMAT_DEBEZIUM_ENCODE_INT_H
#define MILLRACE_FORMAT_DEBEZIUM_ENCODE_INT_H

#include "format/debezium/encode.h"

enum debezium_value {
    VALUE_DROP, /* no field at all */
    VALUE_BOOL,
    VALUE_INT16,
    VALUE_INT32,
    VALUE_INT64,
    VALUE_FLOAT,
    VALUE_DOUBLE,
    VALUE_TEXT,
    VALUE_DECIMAL,       /* numeric(p,s) */
    VALUE_FREE_DECIMAL,  /* numeric */
    VALUE_MONEY,
    VALUE_DATE,
    VALUE_TIME,
    VALUE_TIMESTAMP,
    VALUE_ZONED_TIMESTAMP,
    VALUE_ZONED_TIME,
    VALUE_INTERVAL,
    VALUE_BYTES,         /* bytea */
    VALUE_BIT,           /* bit(1): boolean */
    VALUE_BITS,
    VALUE_POINT,
    VALUE_BOX,
    VALUE_HSTORE,
    VALUE_OTHER,         /* of an unknown type: PostgreSQL's text as bytes */
};

/* How one column is printed. */
struct debezium_kind_of {
    enum debezium_value value;
    bool array;
    int precision, scale; /* decimals; fraction digits of times; length of bits */
    const char *name;     /* semantic type of a VALUE_TEXT: "io.debezium.data.Uuid"; NULL: none */
    const char *labels;   /* enum */
};

struct debezium_field {
    char *label; /* "name": with quotes and colon */
    size_t label_len;
    char *name;
    struct debezium_kind_of kind;
    int key;
    bool not_null;
    struct buf fallback; /* the default as it is printed; empty: none */
    struct buf absent;   /* what an unknown value of an old row is printed as */
};

struct debezium_table {
    char *name; /* "public.orders" */
    struct debezium_options options;
    struct debezium_field *fields;
    size_t count;
    size_t *key; /* fields in key order */
    size_t key_count;
    char *key_schema, *value_schema;
};

/* kind.c */
struct debezium_kind_of debezium_kind_of_column(const struct debezium_column *c, const struct debezium_options *o);

/* value.c: text.data NULL prints null. A text that is not of its type prints null, as the connector's warn mode. */
void debezium_put_scalar(const struct debezium_options *o, const struct debezium_kind_of *k, struct slice text,
                         struct buf *json);
void debezium_put_zero(const struct debezium_options *o, const struct debezium_kind_of *k, struct buf *json);
void debezium_put_placeholder(const struct debezium_options *o, const struct debezium_kind_of *k, struct buf *json);
void debezium_put_base64(const unsigned char *bytes, size_t len, bool url_safe, struct buf *json);
void debezium_put_binary(enum debezium_binary mode, const unsigned char *bytes, size_t len, struct buf *json);

/* text.c: a string of an event; one inside JSON that is a string itself (of Java's other generator). */
void debezium_put_string(struct slice s, struct buf *json);
void debezium_put_inner_string(struct slice s, struct buf *json);

/* number.c */
bool debezium_put_decimal(const struct debezium_options *o, struct slice text, int scale, struct buf *json);
bool debezium_put_free_decimal(const struct debezium_options *o, struct slice text, struct buf *json);
bool debezium_put_money(const struct debezium_options *o, struct slice text, struct buf *json);
bool debezium_put_float(struct slice text, struct buf *json);

/* time.c */
bool debezium_put_date(const struct debezium_options *o, struct slice text, struct buf *json);
bool debezium_put_time(const struct debezium_options *o, struct slice text, int digits, struct buf *json);
bool debezium_put_timestamp(const struct debezium_options *o, struct slice text, int digits, struct buf *json);
bool debezium_put_zoned_timestamp(struct slice text, int digits, struct buf *json);
bool debezium_put_zoned_time(struct slice text, struct buf *json);
bool debezium_put_interval(const struct debezium_options *o, struct slice text, struct buf *json);

/* geometry.c */
bool debezium_put_point(struct slice text, struct buf *json);
bool debezium_put_box(struct slice text, struct buf *json);

/* schema.c */
void debezium_put_type(const struct debezium_options *o, const struct debezium_kind_of *k, struct buf *json);
void debezium_make_schemas(struct debezium_table *t);
void debezium_put_source_schema(struct buf *json);
void debezium_put_transaction_schema(struct buf *json);

#endif
