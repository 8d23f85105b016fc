/* bench/series.h - what a run measured, second by second, and in all.  Knows no file, no server.
 *
 * Two times are kept of a message: from when it was due to its answer (response), and from
 * when it was sent (service).  An interval keeps its histograms in the log's encoding, a
 * few kilobytes, so an hour of them is small.
 */
#ifndef STOA_CLI_BENCH_SERIES_H
#define STOA_CLI_BENCH_SERIES_H

#include "cli/bench/hist.h"

struct interval {
    double start_sec; /* since the series began */
    double len_sec;
    char *response;         /* texts of codec.h, the interval's own */
    char *service;          /* NULL: a log of somebody else's, which has one kind only */
    uint64_t count;         /* answers */
    uint64_t p50, p99, max; /* of the response; 0 when there is none */
    uint64_t nerror;
    uint64_t nunanswered; /* in the service (or the only) histogram with the time they were waited
                           * for: those are not answers */
};

struct series {
    double epoch_sec; /* when it began */
    struct interval *list;
    size_t n;
    struct hist response, service; /* of all intervals */
    uint64_t nerror;
};

/* An empty one, from malloc; NULL: out of memory. */
struct series *series_make(double epoch_sec);
void series_free(struct series *s);

/* Add what was measured in an interval, of which start, length, nerror and nunanswered are given;
 * service NULL: it is not known.  0, -1: out of memory. */
int series_add(struct series *s, const struct interval *of, const struct hist *response,
               const struct hist *service);

/* Responses are the services, corrected for what a closed loop did not ask in stalls
 * (hist_correct).
 * 0, -1: out of memory. */
int series_correct(struct series *s, uint64_t expected_ns, uint64_t stall_ns);

/* Add each interval of from to the one of the same second, or as a new one.  0, -1: out of
 * memory, or texts that cannot be read. */
int series_merge(struct series *s, const struct series *from);

/* Answers of all intervals. */
uint64_t series_answers(const struct series *s);

/* From the first interval's start to the last one's end. */
double series_seconds(const struct series *s);

#endif
