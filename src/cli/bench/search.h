/* bench/search.h - --find-max: the highest rate at which a goal is kept. */
#ifndef STOA_CLI_BENCH_SEARCH_H
#define STOA_CLI_BENCH_SEARCH_H

#include "cli/bench/options.h"

/* Runs of the plan at one rate after the other.  An exit code. */
int search(const struct options *o);

#endif
