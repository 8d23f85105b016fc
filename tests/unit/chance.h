/* chance.h - numbers that look like chance and are the same each time: xorshift64 (Marsaglia). */
#ifndef TESTS_CHANCE_H
#define TESTS_CHANCE_H

#include <stdint.h>

static uint64_t chance = 88172645463325252;

static inline uint64_t rand64(void)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance;
}

#endif
