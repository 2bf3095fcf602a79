/* libFuzzer target: any bytes as rows of a schema that the first bytes pick. What is accepted must
 * come back byte for byte (lengths in their shortest form), and every value must have a text. */
#include "format/row.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(const struct columns *c, struct slice rest)
{
    struct slice fields[8], row;
    struct buf once = {0}, text = {0};
    while (c->count && rest.len && row_next(c, &rest, fields, &row)) {
        buf_clear(&once);
        buf_clear(&text);
        for (size_t i = 0; i < c->count; i++) {
            row_put_field(&once, &c->items[i], fields[i]);
            if (field_text(&c->items[i], fields[i], &text) != (fields[i].data != NULL)) abort();
            if (fields[i].data && field_compare(&c->items[i], fields[i], fields[i]) != 0) abort();
        }
        if (once.len > row.len) abort();
        struct slice again = buf_slice(&once), second[8];
        if (!row_next(c, &again, second, NULL) || again.len) abort();
        for (size_t i = 0; i < c->count; i++)
            if (!slice_equal(fields[i], second[i])) abort();
    }
    buf_free(&once);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    size_t n = data[0] % 8 + 1;
    if (size < 1 + n) return 0;
    struct columns c = {0};
    for (size_t i = 0; i < n; i++) {
        uint8_t pick = data[1 + i];
        int precision = pick % 38 + 1;
        columns_add(&c, "c", (enum column_type)(pick % (COLUMN_DECIMAL + 1)), precision, precision / 3,
                    pick & 0x80);
    }
    check_rows(&c, (struct slice){(const char *)data + 1 + n, size - 1 - n});
    char *schema = mem_textn((const char *)data, size);
    struct columns parsed;
    struct error err = {0};
    if (columns_from_delta_schema(schema, &parsed, &err)) columns_free(&parsed);
    mem_free(schema);
    columns_free(&c);
    return 0;
}
