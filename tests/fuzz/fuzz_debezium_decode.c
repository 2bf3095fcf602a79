/* libFuzzer target: any bytes as a record: value, then after NULs key and header. What is taken has images
 * that the scanner takes whole, and comes out the same again; what is refused is DATA. One column of each
 * kind is described; a value may bring its own schema. */
#include "format/debezium/decode.h"
#include "format/json_scan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct debezium_decoder *open_decoder(uint8_t modes)
{
    static const char *const types[] = {"int4",        "bool",     "float4", "float8", "bytea",
                                        "numeric",     "date",     "time",   "timetz", "timestamp",
                                        "timestamptz", "interval", "bit",    "varbit", "box",
                                        "hstore",      "vector",   "text",   "jsonb",  "money"};
    enum { COUNT = sizeof types / sizeof *types };
    struct debezium_options options = {
        .decimal = modes % 3, .time = modes / 3 % 6, .binary = modes / 18 % 4, .money_digits = 2};
    struct debezium_column columns[2 * COUNT] = {0};
    char names[2 * COUNT][2];
    for (size_t i = 0; i < 2 * COUNT; i++) {
        names[i][0] = (char)('A' + i);
        names[i][1] = '\0';
        columns[i] = (struct debezium_column){.name = names[i],
                                              .type = names[i],
                                              .type_name = (char *)types[i % COUNT],
                                              .type_kind = 'b',
                                              .array = i >= COUNT,
                                              .typmod = i % 2 ? -1 : 655366,
                                              .key = i == 0};
    }
    struct debezium_decoder *d = debezium_decoder_new(&options);
    debezium_decoder_describe(d, "s.t", modes & 128 ? 'f' : 'd', columns, 2 * COUNT);
    return d;
}

static void check_image(struct slice image)
{
    struct slice name, value;
    struct json_scan s = json_scan_object(image);
    while (json_scan_next(&s, &name, &value))
        if (!value.len) abort();
    if (image.data && !json_scan_ok(&s)) abort();
}

static struct slice cut(struct slice *rest)
{
    if (!rest->data) return (struct slice){0};
    const char *end = rest->len ? memchr(rest->data, '\0', rest->len) : NULL;
    struct slice part = {rest->data, end ? (size_t)(end - rest->data) : rest->len};
    *rest = end ? (struct slice){end + 1, rest->len - part.len - 1} : (struct slice){0};
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    char *text = malloc(size);
    if (!text) abort();
    memcpy(text, data, size);
    struct slice rest = {text + 1, size - 1};
    struct slice value = cut(&rest), key = cut(&rest), header = cut(&rest);
    struct debezium_decoder *d = open_decoder(data[0]);
    struct buf first = {0}, second = {0};
    for (int i = 0; i < 2; i++) {
        struct debezium_record record;
        struct error err = {0};
        bool ok = debezium_decode(d, key, value, header, &record, &err);
        if (!ok && err.kind != ERROR_DATA) abort();
        struct buf *out = i ? &second : &first;
        buf_put_u8(out, ok);
        if (!ok) continue;
        struct change *c = &record.change;
        check_image(c->before);
        check_image(c->after);
        check_image(c->key);
        check_image(c->old_key);
        if (record.kind != DEBEZIUM_CHANGE) continue;
        change_encode(out, c);
    }
    if (!slice_equal(buf_slice(&first), buf_slice(&second))) abort();
    buf_free(&first);
    buf_free(&second);
    debezium_decoder_free(d);
    free(text);
    return 0;
}
