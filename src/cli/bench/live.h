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
    bool wait_told;        /* in a pipe, once */
    uint64_t connect_told; /* in a pipe, when: nanoseconds */
    uint64_t last_answers; /* as of the last drawing */
    double last_seconds;
    double rate;
    char state[160]; /* the last interval's times */
};

void live_start(struct live *l, const struct plan *p, bool quiet);

/* Before the start: it is so long away; so many of n connections have been made. */
void live_wait(struct live *l, double seconds);
void live_connect(struct live *l, uint64_t nmade, uint64_t n);

/* So many seconds have passed, so many answers have come, so many things have failed. */
void live_draw(struct live *l, double seconds, uint64_t nanswer, uint64_t nerror);

/* The series has one interval more. */
void live_interval(struct live *l, const struct series *s);

void live_end(struct live *l);

#endif
