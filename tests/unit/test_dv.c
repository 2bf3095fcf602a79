/* Deletion vectors: byte-identical to what Spark writes, what is written reads back, damage is refused. */
#include "unit.h"

#include "format/dv.h"

#include <zlib.h>

static void put_hex(struct buf *out, const char *hex)
{
    for (; *hex; hex++) {
        unsigned byte;
        if (*hex == ' ') continue;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        buf_put_u8(out, (uint8_t)byte);
        hex++;
    }
}

static void assert_bytes(struct slice a, struct slice b)
{
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

/* Four vectors of Delta: rows, bytes, checksum. */
static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t rows[6];
        size_t count, bytes;
        const char *rest;
        uint32_t crc;
    } vectors[] = {
        {{0}, 1, 34, "0000 0000 10000000 0000", 0xf7a6b4b5},
        {{0, 7}, 2, 36, "0000 0100 10000000 0000 0700", 0xb4e435c8},
        {{0, 7, 14}, 3, 38, "0000 0200 10000000 0000 0700 0e00", 0xfd54c000},
        {{3, 4, 7, 11, 18, 29}, 6, 44, "0000 0500 10000000 0300 0400 0700 0b00 1200 1d00", 0xacd74a79},
    };
    for (size_t i = 0; i < 4; i++) {
        struct buf expected = {0}, got = {0};
        put_hex(&expected, "d1d33964 0100000000000000 00000000 3a300000 01000000");
        put_hex(&expected, vectors[i].rest);
        dv_encode(vectors[i].rows, vectors[i].count, &got);
        assert_int_equal(got.len, vectors[i].bytes);
        assert_bytes(buf_slice(&got), buf_slice(&expected));
        assert_int_equal(crc32_z(0, (const unsigned char *)got.data, got.len), vectors[i].crc);
        buf_free(&expected);
        buf_free(&got);
    }
}

static void test_z85(void **state)
{
    (void)state;
    static const uint32_t rows[] = {3, 4, 7, 11, 18, 29};
    struct buf bitmap = {0}, text = {0}, back = {0};
    dv_encode(rows, 6, &bitmap);
    z85_encode(buf_slice(&bitmap), &text);
    assert_string_equal(buf_text(&text), "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L");
    assert_true(z85_decode(buf_slice(&text), &back));
    assert_bytes(buf_slice(&back), buf_slice(&bitmap));

    buf_clear(&back);
    assert_true(z85_decode(SLICE("^-aqEH.-t@S}K{vb[*k^"), &back));
    char uuid[UUID_TEXT + 1];
    uuid_format((const unsigned char *)back.data, uuid);
    assert_string_equal(uuid, "d2c639aa-8816-431a-aaf6-d3fe2512ff61");

    assert_false(z85_decode(SLICE("^-aq"), &back));
    assert_false(z85_decode(SLICE("\"\"\"\"\""), &back));
    assert_false(z85_decode(SLICE("#####"), &back)); /* above 2^32 */
    buf_free(&bitmap);
    buf_free(&text);
    buf_free(&back);
}

/* 38 bytes are padded to 40 for Z85; the size that the log tells stays 38. */
static void test_inline_padding(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0, 7, 14};
    struct buf bitmap = {0}, text = {0}, back = {0};
    struct error err;
    uint64_t *got;
    size_t count;
    dv_encode(rows, 3, &bitmap);
    assert_int_equal(bitmap.len, 38);
    z85_encode(buf_slice(&bitmap), &text);
    assert_int_equal(text.len, 50);
    assert_true(z85_decode(buf_slice(&text), &back));
    assert_int_equal(back.len, 40);
    unit_ok(dv_decode((struct slice){back.data, 38}, 3, &got, &count, &err));
    assert_int_equal(count, 3);
    assert_int_equal(got[2], 14);
    mem_free(got);
    buf_free(&bitmap);
    buf_free(&text);
    buf_free(&back);
}

static void round_trip(const uint32_t *rows, size_t count)
{
    struct buf bitmap = {0};
    struct error err;
    uint64_t *got;
    size_t n;
    dv_encode(rows, count, &bitmap);
    unit_ok(dv_decode(buf_slice(&bitmap), (int64_t)count, &got, &n, &err));
    assert_int_equal(n, count);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(got[i], rows[i]);
    mem_free(got);
    assert_false(dv_decode(buf_slice(&bitmap), (int64_t)count + 1, &got, &n, &err));
    assert_int_equal(err.kind, ERROR_DATA);
    buf_free(&bitmap);
}

/* Arrays, bit containers, the border between them, rows beyond 65,536, the last possible row. */
static void test_round_trips(void **state)
{
    (void)state;
    enum { MANY = 29004 };
    uint32_t *rows = mem_resize(NULL, MANY, sizeof *rows);
    for (uint32_t i = 0; i < 5000; i++)
        rows[i] = i;
    round_trip(rows, 4096);
    round_trip(rows, 4097);
    round_trip(rows, 5000);
    for (uint32_t i = 0; i < MANY; i++)
        rows[i] = i * 9 + (i > 12000 ? 70000 : 0);
    round_trip(rows, MANY);
    uint32_t few[] = {0, 65535, 65536, 131072, 4294967294u, 4294967295u};
    round_trip(few, 6);
    mem_free(rows);
}

/* One array, one run and one bit container, in two buckets: rows 5, 6; 65546..65548; 2^32 + 1. */
static void test_runs_and_high_rows(void **state)
{
    (void)state;
    static const uint64_t expected[] = {5, 6, 65546, 65547, 65548, (UINT64_C(1) << 32) + 1};
    struct buf b = {0};
    struct error err;
    uint64_t *got;
    size_t count;
    put_hex(&b, "d1d33964 0200000000000000");
    put_hex(&b, "00000000 3b300100 02 0000 0100 0100 0200 0500 0600 0100 0a00 0200");
    put_hex(&b, "01000000 3a300000 01000000 0000 0000 10000000 0100");
    unit_ok(dv_decode(buf_slice(&b), 6, &got, &count, &err));
    assert_int_equal(count, 6);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(got[i], expected[i]);
    mem_free(got);
    buf_free(&b);
}

/* From four run containers on there is a list of offsets. */
static void test_runs_with_offsets(void **state)
{
    (void)state;
    struct buf b = {0};
    struct error err;
    uint64_t *got;
    size_t count;
    put_hex(&b, "d1d33964 0100000000000000 00000000 3b300300 0f");
    put_hex(&b, "0000 0000 0100 0000 0200 0000 0300 0000");
    put_hex(&b, "25000000 2b000000 31000000 37000000");
    for (int i = 0; i < 4; i++)
        put_hex(&b, "0100 0900 0000");
    unit_ok(dv_decode(buf_slice(&b), 4, &got, &count, &err));
    assert_int_equal(count, 4);
    assert_int_equal(got[3], 3 * 65536 + 9);
    mem_free(got);
    buf_free(&b);
}

/* Cut anywhere or with any byte changed: an error or another valid vector, never a wrong access. */
static void test_damage(void **state)
{
    (void)state;
    struct buf bitmap = {0};
    struct error err;
    uint64_t *got;
    size_t count;
    uint32_t rows[40];
    for (uint32_t i = 0; i < 40; i++)
        rows[i] = i * i * 100;
    dv_encode(rows, 40, &bitmap);
    for (size_t cut = 0; cut < bitmap.len; cut++) {
        char *copy = mem_textn(bitmap.data, cut);
        assert_false(dv_decode((struct slice){copy, cut}, -1, &got, &count, &err));
        mem_free(copy);
    }
    for (size_t at = 0; at < bitmap.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bitmap.data[at] = (char)(bitmap.data[at] ^ (1 << bit));
            if (dv_decode(buf_slice(&bitmap), 40, &got, &count, &err)) {
                for (size_t i = 1; i < count; i++)
                    assert_true(got[i] > got[i - 1]);
                mem_free(got);
            }
            bitmap.data[at] = (char)(bitmap.data[at] ^ (1 << bit));
        }
    }
    buf_free(&bitmap);
}

static void test_native_format_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    struct error err;
    uint64_t *got;
    size_t count;
    put_hex(&b, "6439d3d0 00000001 00000000 00000000 00000000");
    assert_false(dv_decode(buf_slice(&b), -1, &got, &count, &err));
    buf_free(&b);
}

/* The second vector of a file stands at 1 + 4 + length + 4; the checksum is big-endian. */
static void test_file(void **state)
{
    (void)state;
    static const uint32_t a[] = {0}, b[] = {0, 7};
    struct buf file = {0}, first = {0}, second = {0};
    struct slice got;
    struct error err;
    int32_t at_a, at_b;
    dv_encode(a, 1, &first);
    dv_encode(b, 2, &second);
    dv_file_put(&file, buf_slice(&first), &at_a);
    dv_file_put(&file, buf_slice(&second), &at_b);
    assert_int_equal(at_a, 1);
    assert_int_equal(at_b, 1 + 4 + 34 + 4);
    assert_memory_equal(file.data, "\x01\x00\x00\x00\x22", 5);
    assert_memory_equal(file.data + 1 + 4 + 34, "\xf7\xa6\xb4\xb5", 4);
    unit_ok(dv_file_get(buf_slice(&file), at_b, 36, &got, &err));
    assert_bytes(got, buf_slice(&second));
    assert_false(dv_file_get(buf_slice(&file), at_b, 35, &got, &err));
    assert_false(dv_file_get(buf_slice(&file), at_b + 1, 36, &got, &err));
    assert_false(dv_file_get(buf_slice(&file), INT32_MAX, INT32_MAX, &got, &err));
    file.data[at_b + 10] ^= 1;
    assert_false(dv_file_get(buf_slice(&file), at_b, 36, &got, &err));
    buf_free(&file);
    buf_free(&first);
    buf_free(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_z85),
        cmocka_unit_test(test_inline_padding),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_runs_and_high_rows),
        cmocka_unit_test(test_runs_with_offsets),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_native_format_refused),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
