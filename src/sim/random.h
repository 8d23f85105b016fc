/* random.h - the simulation's only source of chance: xoshiro256**, seeded by splitmix64.
 *
 * Every draw of a run comes from one of these, in the order of events, so a seed says all.
 * Source: Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021.
 */
#ifndef STOA_SIM_RANDOM_H
#define STOA_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t s[4];
};

static inline void random_seed(struct random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t random_left(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline uint64_t random_next(struct random *r)
{
    uint64_t *s = r->s, result = random_left(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = random_left(s[3], 45);
    return result;
}

/* 0 .. n - 1; 0 for n = 0. */
static inline uint64_t random_below(struct random *r, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)random_next(r) * n) >> 64);
}

/* 0 <= x < 1. */
static inline double random_part(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

#endif
