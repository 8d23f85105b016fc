/* bench/outcome.h - what a run has brought, for the reports.  Measures nothing. */
#ifndef STOA_CLI_BENCH_OUTCOME_H
#define STOA_CLI_BENCH_OUTCOME_H

#include "cli/bench/plan.h"
#include "cli/bench/series.h"
#include "cli/bench/tally.h"

#include <stdio.h>

struct outcome {
    struct series *series;
    struct hist *connect, *lag; /* open loop has lag: sent so long after it was due */
    struct fault fault[FAULTS_MAX];
    unsigned nfault;
    char first[SENTENCE_MAX], wrong[SENTENCE_MAX];
    uint64_t nanswer, nerror, nlost, nexpired, nconnect, ncut;
    uint64_t sent, came; /* bytes */
    double seconds;      /* from the start to the last message's beginning or the last answer */
    double silence_sec, longest_sec, longest_at_sec;
    double away_sec; /* the worker that was away longest: stopped, or without a processor */
    double busy;     /* the busiest worker's processor time, as a part of a processor */
    double cpu_sec;
    bool interrupted;
    bool begun;      /* it was not interrupted before */
    double late_sec; /* so long after --start-at */
};

struct live;

/* Do what a plan says, tell meanwhile how it is doing, and then what came of it.  0; -1 with the
 * sentence in why. */
int run_plan(const struct plan *p, struct outcome *o, struct live *live, char *why, size_t size);
void outcome_fini(struct outcome *o);

/* Ask the run to end early; from any thread. */
void run_stop(void);

/* One connection, one message, one answer: is there a server, and the one that is meant?  Fills in
 * the address that has answered.  0; an exit code, with the sentence in why. */
int run_probe(struct plan *p, char *why, size_t size);

#endif
