#include "cli/generate/random.h"

#include <assert.h>
#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

void random_seed(struct random *r, uint64_t seed)
{
    *r = (struct random){0};
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t random_next(struct random *r)
{
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

double random_between(struct random *r, double low, double high)
{
    return low + (high - low) * random_unit(r);
}

uint32_t random_below(struct random *r, uint32_t n)
{
    assert(n > 0);
    return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

bool random_chance(struct random *r, double share)
{
    return random_unit(r) < share;
}

double random_normal(struct random *r)
{
    if (r->has_spare) {
        r->has_spare = false;
        return r->spare;
    }
    double radius = sqrt(-2 * log(1 - random_unit(r))), angle = 2 * M_PI * random_unit(r);
    r->spare = radius * sin(angle);
    r->has_spare = true;
    return radius * cos(angle);
}

double random_lognormal(struct random *r, double mu, double sigma)
{
    return exp(mu + sigma * random_normal(r));
}

size_t random_pick(struct random *r, const double *weights, size_t n)
{
    assert(n > 0);
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += weights[i];
    double at = random_unit(r) * total;
    for (size_t i = 0; i + 1 < n; i++)
        if ((at -= weights[i]) < 0) return i;
    return n - 1;
}

size_t random_pick_sum(struct random *r, const double *sums, size_t n)
{
    assert(n > 0);
    double at = random_unit(r) * sums[n - 1];
    size_t low = 0, high = n - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sums[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void random_id(struct random *r, char *id)
{
    static const char digits[] = "0123456789abcdef";
    for (int half = 0; half < 2; half++) {
        uint64_t bits = random_next(r);
        for (int i = 0; i < 16; i++, bits >>= 4)
            id[half * 16 + i] = digits[bits & 15];
    }
    id[32] = '\0';
}
