/* bench/live.h - how a run is doing, while it runs: on standard error, and nowhere else. */
#ifndef STOA_CLI_BENCH_LIVE_H
#define STOA_CLI_BENCH_LIVE_H

#include "cli/bench/plan.h"
#include "cli/bench/series.h"

struct live {
    const struct plan *plan;
    bool quiet;
    bool terminal; /* one line, drawn again and again; else a line for each interval */
    bool drawn;
    uint64_t last_answers; /* as of the last drawing */
    double last_seconds;
    double rate;
    char state[160]; /* the last interval's times */
};

void live_start(struct live *l, const struct plan *p, bool quiet);

/* So many seconds have passed, so many answers have come, so many things have failed. */
void live_draw(struct live *l, double seconds, uint64_t nanswer, uint64_t nerror);

/* The series has one interval more. */
void live_interval(struct live *l, const struct series *s);

void live_end(struct live *l);

#endif
