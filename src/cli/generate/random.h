/* Numbers drawn for the generator: xoshiro256** seeded through splitmix64, so that a seed gives the same
 * stream on every machine. Not for secrets. */
#ifndef MILLRACE_CLI_GENERATE_RANDOM_H
#define MILLRACE_CLI_GENERATE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t s[4];
    double spare; /* the second of a pair of normal numbers */
    bool has_spare;
};

enum { RANDOM_ID = 33 };

void random_seed(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
double random_unit(struct random *r); /* [0, 1) */
double random_between(struct random *r, double low, double high);
uint32_t random_below(struct random *r, uint32_t n); /* 0 .. n-1; n > 0 */
bool random_chance(struct random *r, double share);
double random_normal(struct random *r);
double random_lognormal(struct random *r, double mu, double sigma);
/* Index drawn by weight; they need not add up to one. */
size_t random_pick(struct random *r, const double *weights, size_t n);
/* Index drawn from running sums of weights, by halving. */
size_t random_pick_sum(struct random *r, const double *sums, size_t n);
/* 32 hexadecimal digits and a NUL. */
void random_id(struct random *r, char *id);

#endif
