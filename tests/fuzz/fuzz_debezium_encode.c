/* libFuzzer target: any bytes as PostgreSQL's text of a value of any type, in any mode. What comes out is
 * an event that is JSON; the decoder takes it or, as such a text need not be of its type, says that it is
 * DATA. */
#include "format/debezium/decode.h"
#include "format/json_scan.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {"bool",     "int2",   "int4",      "int8",        "float4", "float8",
                                    "numeric",  "money",  "text",      "uuid",        "jsonb",  "date",
                                    "time",     "timetz", "timestamp", "timestamptz", "bit",    "varbit",
                                    "interval", "bytea",  "point",     "box",         "hstore", "other"};
static const int32_t typmods[] = {
    -1, 0, 3, 5, ((10 << 16) | 2) + 4, ((60 << 16) | 5) + 4, ((5 << 16) | 0x7fe) + 4, 1};

static void check(const struct debezium_column *c, const struct debezium_options *o, struct slice text,
                  bool by_schema)
{
    struct debezium_table *t = debezium_table_new("s.t", c, 1, o);
    struct debezium_decoder *d = debezium_decoder_new(o);
    struct pgoutput_value v = {PGOUTPUT_TEXT, text};
    struct debezium_event e = {.version = "1", .prefix = "p", .table = SLICE("s.t"), .op = 'c', .lsn = 9};
    struct buf image = {0}, value = {0};
    struct debezium_record record;
    struct error err = {0};
    json_error_t where;
    debezium_put_row(t, &v, &image);
    e.after = buf_slice(&image);
    e.schema = by_schema ? debezium_value_schema(t) : NULL;
    debezium_put_value(&e, o->binary, &value);
    json_t *json = json_loadb(value.data, value.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &where);
    /* jansson does not hold numbers beyond a double */
    if (!json && !strstr(where.text, "real number overflow")) {
        fprintf(stderr, "%s in %s\n", where.text, buf_text(&image));
        abort();
    }
    json_decref(json);
    if (!by_schema) debezium_decoder_describe(d, "s.t", 'f', c, 1);
    if (!debezium_decode(d, (struct slice){0}, buf_slice(&value), (struct slice){0}, &record, &err) &&
        err.kind != ERROR_DATA) {
        fprintf(stderr, "%s: %s\n", buf_text(&image), err.text);
        abort();
    }
    buf_free(&image);
    buf_free(&value);
    debezium_decoder_free(d);
    debezium_table_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 4 };
    if (size < HEAD || memchr(data + HEAD, 0, size - HEAD)) return 0; /* PostgreSQL's texts have no NUL */
    const struct debezium_options o = {.prefix = "p",
                                       .placeholder = "gone",
                                       .decimal = data[0] % 3,
                                       .time = data[0] / 3 % 6,
                                       .interval = data[0] / 18 % 2,
                                       .hstore = data[0] / 36 % 2,
                                       .binary = data[1] % 4,
                                       .money_digits = data[1] / 4 % 19,
                                       .decimal_numeric = data[1] & 128,
                                       .unknown_types = true,
                                       .snapshot = data[2] & 128};
    char *type = (char *)(uintptr_t)types[data[2] % (sizeof types / sizeof *types)];
    struct debezium_column c = {.name = (char[]){"c"},
                                .type = type,
                                .type_name = type,
                                .type_kind = 'b',
                                .array = data[3] & 128,
                                .typmod = typmods[data[3] % (sizeof typmods / sizeof *typmods)]};
    /* a copy of its own length, so that a read behind it is seen */
    char *bytes = malloc(size - HEAD + 1);
    if (!bytes) abort();
    memcpy(bytes, data + HEAD, size - HEAD);
    char *text = realloc(bytes, size > HEAD ? size - HEAD : 1);
    if (!text) abort();
    check(&c, &o, (struct slice){text, size - HEAD}, false);
    check(&c, &o, (struct slice){text, size - HEAD}, true);
    free(text);
    return 0;
}
