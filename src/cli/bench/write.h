/* bench/write.h - the reports that were asked for, written where they were asked for. */
#ifndef STOA_CLI_BENCH_WRITE_H
#define STOA_CLI_BENCH_WRITE_H

#include "cli/bench/options.h"
#include "cli/bench/report.h"

/* Before a run: could they be?  An exit code, and what fails is said. */
int write_try(const struct options *o);

/* An exit code; what fails is said, and the others are written all the same. */
int write_reports(const struct options *o, const struct report *r);

#endif
