/* bench/heat.h - when messages took how long, as fields of time by value in a plot's frame. */
#ifndef STOA_CLI_BENCH_HEAT_H
#define STOA_CLI_BENCH_HEAT_H

#include "cli/bench/series.h"
#include "cli/bench/svg.h"

/* Draw a series' responses into the frame, whose x are seconds and whose y are logarithmic; the
 * more of them lie in a field, the darker it is.  0, -1: out of memory. */
int heat_draw(struct svg *s, const struct series *series);

#endif
