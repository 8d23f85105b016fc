/* bench/logs.h - what is done with logs alone: --compare and --merge.  Exit codes. */
#ifndef STOA_CLI_BENCH_LOGS_H
#define STOA_CLI_BENCH_LOGS_H

#include "cli/bench/options.h"
#include "cli/bench/series.h"

int logs_compare(const struct options *o);
int logs_merge(const struct options *o);

/* Two series whose measures are compared.  From malloc; NULL: out of memory.  They must live as
 * long as it. */
struct comparison;
struct comparison *compare_make(const struct series *a, const struct series *b);
void compare_free(struct comparison *c);

/* How much worse B's measure is than A's: the change, and where 95 of 100 resamplings of the
 * logs' intervals have it.  0, or -1: A has no such measure. */
struct change {
    double a, b; /* nanoseconds, or answers a second */
    double part; /* b / a - 1 */
    double low, high;
};

int compare_measure(struct change *c, struct comparison *of, const struct goal *measure);

#endif
