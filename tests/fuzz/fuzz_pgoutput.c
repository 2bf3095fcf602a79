/* libFuzzer target: any bytes as a replication frame and the message in it, and as a value of each kind
 * of type. What is decoded must lie within the input, and every value must come out as JSON. */
#include "format/pgoutput.h"
#include "format/pgvalue.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tuple(const struct pgoutput_tuple *t, struct slice input)
{
    for (size_t i = 0; i < t->count; i++) {
        struct slice text = t->values[i].text;
        if (t->values[i].kind != PGOUTPUT_TEXT) continue;
        if (text.data < input.data || text.data + text.len > input.data + input.len) abort();
    }
}

static void check_value(uint32_t oid, const char *name, struct slice text)
{
    struct buf out = {0};
    pgvalue_put_json(&out, pgvalue_type_of(oid, name), text);
    json_t *value =
        json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    /* jansson refuses numbers beyond a double, which PostgreSQL does not print */
    bool number = out.len && (out.data[0] == '-' || (out.data[0] >= '0' && out.data[0] <= '9'));
    if (!value && !number && !memchr(out.data, 'e', out.len) && out.len < 300) abort();
    json_decref(value);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pgoutput_message m;
    struct slice input = {(const char *)data, size};
    struct pgoutput_frame f;
    struct error err;
    if (pgoutput_frame_decode(input, &f, &err) && f.type == 'w') input = f.message;
    if (pgoutput_decode(input, &m, &err)) {
        check_tuple(&m.old_row, input);
        check_tuple(&m.new_row, input);
    }
    if (!input.data) return 0;
    static const uint32_t oids[] = {16, 17, 20, 25, 701, 1000, 1001, 1007, 1009, 1020, 1022};
    for (size_t i = 0; i < sizeof oids / sizeof *oids; i++)
        check_value(oids[i], "", input);
    return 0;
}
