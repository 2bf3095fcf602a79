/* CityHash128 in its version 1.0.2, which ClickHouse's frames keep for ever; later versions differ.
 * Written after the published description of the algorithm. */
#include "serve/clickhouse/codec.h"

static const uint64_t k0 = 0xc3a5c85c97cb3127, k1 = 0xb492b66fbe98f273, k2 = 0x9ae16a3b2f90404f,
                      k3 = 0xc949d7c7509e6557, mul128 = 0x9ddfea08eb382d69;

static uint64_t load64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t load32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t rotate(uint64_t v, int by)
{
    return by == 0 ? v : (v >> by) | (v << (64 - by));
}

static uint64_t shift_mix(uint64_t v)
{
    return v ^ (v >> 47);
}

static uint64_t hash16(uint64_t u, uint64_t v)
{
    uint64_t a = shift_mix((u ^ v) * mul128);
    return shift_mix((v ^ a) * mul128) * mul128;
}

static uint64_t hash_up_to_16(struct slice s)
{
    if (s.len > 8) {
        uint64_t a = load64(s.data), b = load64(s.data + s.len - 8);
        return hash16(a, rotate(b + s.len, (int)s.len)) ^ b;
    }
    if (s.len >= 4) {
        uint64_t a = load32(s.data);
        return hash16(s.len + (a << 3), load32(s.data + s.len - 4));
    }
    if (s.len == 0) return k2;
    uint8_t a = (uint8_t)s.data[0], b = (uint8_t)s.data[s.len >> 1], c = (uint8_t)s.data[s.len - 1];
    uint64_t y = (uint64_t)a + ((uint64_t)b << 8), z = s.len + ((uint64_t)c << 2);
    return shift_mix(y * k2 ^ z * k3) * k2;
}

struct pair {
    uint64_t a, b;
};

/* 32 bytes, seeded. */
static struct pair weak32(const char *p, uint64_t a, uint64_t b)
{
    uint64_t w = load64(p), x = load64(p + 8), y = load64(p + 16), z = load64(p + 24);
    a += w;
    b = rotate(b + a + z, 21);
    uint64_t c = a;
    a += x + y;
    b += rotate(a, 44);
    return (struct pair){a + z, b + c};
}

static struct pair murmur(struct slice s, struct pair seed)
{
    uint64_t a = seed.a, b = seed.b, c, d;
    if (s.len <= 16) {
        a = shift_mix(a * k1) * k1;
        c = b * k1 + hash_up_to_16(s);
        d = shift_mix(a + (s.len >= 8 ? load64(s.data) : c));
    } else {
        c = hash16(load64(s.data + s.len - 8) + k1, a);
        d = hash16(b + s.len, c + load64(s.data + s.len - 16));
        a += d;
        const char *p = s.data;
        for (size_t left = s.len - 16;; left -= 16, p += 16) {
            a = (a ^ (shift_mix(load64(p) * k1) * k1)) * k1;
            b ^= a;
            c = (c ^ (shift_mix(load64(p + 8) * k1) * k1)) * k1;
            d ^= c;
            if (left <= 16) break;
        }
    }
    a = hash16(a, c);
    b = hash16(d, b);
    return (struct pair){a ^ b, hash16(b, a)};
}

struct lanes {
    uint64_t x, y, z;
    struct pair v, w;
};

static void mix64(struct lanes *l, const char *p)
{
    l->x = rotate(l->x + l->y + l->v.a + load64(p + 16), 37) * k1;
    l->y = rotate(l->y + l->v.b + load64(p + 48), 42) * k1;
    l->x ^= l->w.b;
    l->y ^= l->v.a;
    l->z = rotate(l->z ^ l->w.a, 33);
    l->v = weak32(p, l->v.b * k1, l->x + l->w.a);
    l->w = weak32(p + 32, l->z + l->w.b, l->y);
    uint64_t swap = l->z;
    l->z = l->x;
    l->x = swap;
}

static struct pair seeded(struct slice s, struct pair seed)
{
    if (s.len < 128) return murmur(s, seed);
    struct lanes l = {.x = seed.a, .y = seed.b, .z = s.len * k1};
    l.v.a = rotate(l.y ^ k1, 49) * k1 + load64(s.data);
    l.v.b = rotate(l.v.a, 42) * k1 + load64(s.data + 8);
    l.w.a = rotate(l.y + l.z, 35) * k1 + l.x;
    l.w.b = rotate(l.x + load64(s.data + 88), 53) * k1;
    const char *p = s.data;
    size_t left = s.len;
    for (; left >= 128; left -= 128, p += 128) {
        mix64(&l, p);
        mix64(&l, p + 64);
    }
    l.y += rotate(l.w.a, 37) * k0 + l.z;
    l.x += rotate(l.v.a + l.z, 49) * k0;
    /* the rest in pieces of 32 bytes from the end, reaching back into what was hashed */
    for (size_t done = 0; done < left;) {
        done += 32;
        const char *q = p + left - done;
        l.y = rotate(l.y - l.x, 42) * k0 + l.v.b;
        l.w.a += load64(q + 16);
        l.x = rotate(l.x, 49) * k0 + l.w.a;
        l.w.a += l.v.a;
        l.v = weak32(q, l.v.a, l.v.b);
    }
    l.x = hash16(l.x, l.v.a);
    l.y = hash16(l.y, l.w.a);
    return (struct pair){hash16(l.x + l.v.b, l.w.b) + l.y, hash16(l.x + l.w.b, l.y + l.v.b)};
}

void city_hash128(struct slice s, uint64_t out[2])
{
    struct pair r;
    if (s.len >= 16)
        r = seeded((struct slice){s.data + 16, s.len - 16},
                   (struct pair){load64(s.data) ^ k3, load64(s.data + 8)});
    else if (s.len >= 8)
        r = seeded((struct slice){NULL, 0},
                   (struct pair){load64(s.data) ^ (s.len * k0), load64(s.data + s.len - 8) ^ k1});
    else
        r = seeded(s, (struct pair){k0, k1});
    out[0] = r.a;
    out[1] = r.b;
}
