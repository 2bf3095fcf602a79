/* libFuzzer target: any bytes as a JSON object and array. What the scanner gives lies inside the text and
 * in its order; what it accepts whole is found again by name; unescaping never reads past the end. */
#include "format/json_scan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scan(struct slice text, bool array)
{
    struct json_scan s = array ? json_scan_array(text) : json_scan_object(text);
    const char *last = text.data;
    struct slice name = {0}, value, found;
    struct buf plain = {0};
    while (json_scan_next(&s, &name, &value)) {
        if (value.len == 0 || value.data < last || value.data + value.len > text.data + text.len) abort();
        last = value.data + value.len;
        buf_clear(&plain);
        if (value.data[0] == '"') (void)!json_unescape(value, &plain);
        buf_clear(&plain);
        if (!array && json_unescape(name, &plain) && !json_get(text, buf_slice(&plain), &found)) abort();
    }
    if (json_scan_ok(&s) && s.rest.len) abort();
    buf_free(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a copy of its own, so that the sanitizer sees a step beyond the end */
    char *text = malloc(size ? size : 1);
    if (!text) abort();
    memcpy(text, data, size);
    scan((struct slice){text, size}, false);
    scan((struct slice){text, size}, true);
    free(text);
    return 0;
}
