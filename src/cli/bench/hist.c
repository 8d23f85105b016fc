/* bench/hist.c - indexes and values, percentiles, and the correction for what was not asked.
 *
 * A percentile is the greatest value of the counter in which it lies, as HdrHistogram's
 * getValueAtPercentile has it, so that both read the same log alike; the largest one
 * of all is known exactly.
 */
#include "cli/bench/hist.h"

#include <math.h>
#include <string.h>

enum { STEPS_MAX = 4096 }; /* of one value's correction; beyond, steps are longer and count more */

void hist_clear(struct hist *h)
{
    memset(h, 0, sizeof(*h));
}

static unsigned power_of(size_t index)
{
    unsigned power = (unsigned)(index >> HIST_HALF_BITS);

    return power - (power > 0); /* the first two have the same */
}

uint64_t hist_least(size_t index)
{
    unsigned power = power_of(index);

    return (uint64_t)(index - ((size_t)power << HIST_HALF_BITS)) << power;
}

uint64_t hist_most(size_t index)
{
    return hist_least(index) + ((uint64_t)1 << power_of(index)) - 1;
}

void hist_merge(struct hist *h, const struct hist *from)
{
    if (from->count == 0)
        return;
    for (size_t i = 0, last = hist_index(from->max); i <= last; i++)
        h->at[i] += from->at[i];
    h->count += from->count;
    h->sum += from->sum;
    if (from->max > h->max)
        h->max = from->max;
}

uint64_t hist_value(const struct hist *h, double part)
{
    uint64_t wanted = (uint64_t)ceil(part * (double)h->count), seen = 0;

    if (wanted == 0)
        wanted = 1;
    for (size_t i = 0; i < HIST_LEN && h->count > 0; i++) {
        seen += h->at[i];
        if (seen >= wanted)
            return hist_most(i) < h->max ? hist_most(i) : h->max;
    }
    return h->max;
}

double hist_beyond(const struct hist *h, double part)
{
    return (double)h->count * (1 - part);
}

/* The values below one that others would have had while it was waited for. */
static void correct_value(struct hist *out, uint64_t value, uint64_t count, uint64_t expected_ns)
{
    uint64_t weight = 1 + value / expected_ns / STEPS_MAX;
    uint64_t step = expected_ns * weight;

    for (uint64_t v = value; v >= step + expected_ns;) {
        v -= step;
        hist_add(out, v, count * weight);
    }
}

void hist_correct(struct hist *out, const struct hist *h, uint64_t expected_ns, uint64_t stall_ns)
{
    uint64_t least = stall_ns > 2 * expected_ns ? stall_ns : 2 * expected_ns;

    hist_merge(out, h);
    if (expected_ns == 0 || h->max < least)
        return;
    for (size_t i = hist_index(least); i < HIST_LEN; i++)
        if (h->at[i] > 0)
            correct_value(out, hist_most(i) < h->max ? hist_most(i) : h->max, h->at[i],
                          expected_ns);
}
