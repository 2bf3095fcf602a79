/* libFuzzer target: any bytes as a deletion vector, as a file of vectors and as Z85. What is accepted
 * ascends, and comes back from the encoder when it fits into 32 bits. */
#include "format/dv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const uint64_t *rows, size_t count)
{
    if (!count || rows[count - 1] > UINT32_MAX) return;
    struct buf bitmap = {0};
    struct error err;
    uint64_t *again;
    size_t n;
    uint32_t *narrow = mem_resize(NULL, count, sizeof *narrow);
    for (size_t i = 0; i < count; i++)
        narrow[i] = (uint32_t)rows[i];
    dv_encode(narrow, count, &bitmap);
    if (!dv_decode(buf_slice(&bitmap), (int64_t)count, &again, &n, &err) || n != count) abort();
    if (memcmp(again, rows, count * sizeof *rows) != 0) abort();
    mem_free(again);
    mem_free(narrow);
    buf_free(&bitmap);
}

static void check_bitmap(struct slice bitmap)
{
    struct error err;
    uint64_t *rows;
    size_t count;
    if (!dv_decode(bitmap, -1, &rows, &count, &err)) return;
    for (size_t i = 1; i < count; i++)
        if (rows[i] <= rows[i - 1]) abort();
    check_again(rows, count);
    mem_free(rows);
}

static void check_z85(struct slice text)
{
    struct buf bytes = {0}, again = {0};
    if (z85_decode(text, &bytes)) {
        z85_encode(buf_slice(&bytes), &again);
        if (!slice_equal(buf_slice(&again), text)) abort();
    }
    buf_free(&bytes);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = {(const char *)data, size}, bitmap;
    struct error err;
    int32_t place[2];
    check_bitmap(all);
    check_z85(all);
    if (size < sizeof place) return 0;
    memcpy(place, data, sizeof place);
    struct slice file = {all.data + sizeof place, size - sizeof place};
    if (dv_file_get(file, place[0], place[1], &bitmap, &err)) check_bitmap(bitmap);
    return 0;
}
