/* bench/goal.h - "p99<5ms" and "p99+10%": what a run must keep to.  Knows no run. */
#ifndef STOA_CLI_BENCH_GOAL_H
#define STOA_CLI_BENCH_GOAL_H

#include "cli/bench/hist.h"

#include <stdbool.h>

struct goal {
    const char *text;
    bool rate;    /* of answers, not a time */
    double part;  /* of the samples, 1 for max */
    double limit; /* "<": seconds; "+10%": 0.1, "-5%": -0.05 */
};

/* Both are false for a text that is none. */
bool goal_read(struct goal *g, const char *text);          /* p50<1ms, p99.9<5ms, max<1s */
bool goal_read_relative(struct goal *g, const char *text); /* p99+10%, max+50%, rate-5% */

#endif
