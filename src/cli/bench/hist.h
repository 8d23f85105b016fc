/* bench/hist.h - a histogram of times in fixed memory, to three digits.  Knows no file, no clock.
 *
 * HdrHistogram's layout, so that its logs can be written and read (codec.h): values below
 * 2048 ns have a counter each; above, every power of two has 1024, so that
 * a value is known to one part in 1024.  Adding is a few instructions; merging adds counters.
 *
 * Limits: HIST_VALUE_MAX, an hour and a little; longer times are counted as that.
 * Source: HdrHistogram, "AbstractHistogram", by Gil Tene; public domain.
 */
#ifndef STOA_CLI_BENCH_HIST_H
#define STOA_CLI_BENCH_HIST_H

#include <stddef.h>
#include <stdint.h>

enum {
    HIST_DIGITS = 3,
    HIST_HALF_BITS = 10,
    HIST_HALF = 1 << HIST_HALF_BITS, /* counters to a power of two */
    HIST_POWERS = 32,
    HIST_LEN = (HIST_POWERS + 1) * HIST_HALF,
};

#define HIST_VALUE_MAX ((uint64_t)3600 * 1000 * 1000 * 1000)

/* Fewer samples beyond a percentile than these, and it is chance: it is not told. */
#define HIST_BEYOND_MIN 10

struct hist {
    uint64_t count;
    uint64_t max; /* the largest value, exactly */
    uint64_t sum;
    uint64_t at[HIST_LEN];
};

/* All counters of a histogram that lives longer than a run: made by calloc, or this. */
void hist_clear(struct hist *h);

static inline size_t hist_index(uint64_t value)
{
    unsigned power = (unsigned)(63 - __builtin_clzll(value | (2 * HIST_HALF - 1))) - HIST_HALF_BITS;

    return (size_t)(power << HIST_HALF_BITS) + (size_t)(value >> power);
}

static inline void hist_add(struct hist *h, uint64_t value, uint64_t count)
{
    if (value > HIST_VALUE_MAX)
        value = HIST_VALUE_MAX;
    if (value > h->max)
        h->max = value;
    h->count += count;
    h->sum += value * count;
    h->at[hist_index(value)] += count;
}

/* The least and the greatest value that are counted at an index. */
uint64_t hist_least(size_t index);
uint64_t hist_most(size_t index);

/* Add all of from. */
void hist_merge(struct hist *h, const struct hist *from);

/* The value that part (0 .. 1) of the samples do not exceed; 0 when there is none. */
uint64_t hist_value(const struct hist *h, double part);

/* How many samples lie beyond it: whether it may be told is whether they are enough. */
double hist_beyond(const struct hist *h, double part);

/* Add h to out as it would have been had requests gone on at their pace in its stalls: a value of
 * stall_ns or more stands for those that would have waited behind it, value - expected,
 * value - 2 expected, and so on.  With expected_ns 0, a plain merge. */
void hist_correct(struct hist *out, const struct hist *h, uint64_t expected_ns, uint64_t stall_ns);

#endif
