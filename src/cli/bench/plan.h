/* bench/plan.h - what is to be done: the command line, checked and complete.  Does nothing. */
#ifndef STOA_CLI_BENCH_PLAN_H
#define STOA_CLI_BENCH_PLAN_H

#include "cli/bench/script.h"

#include <stoa.h>

enum mode { MODE_TALK, MODE_STREAM, MODE_CHURN };

/* Who ends a churn's connection first, and so has the TIME_WAIT; a reset leaves none. */
enum closer { CLOSER_CLIENT, CLOSER_SERVER, CLOSER_RESET };

struct plan {
    const char *to;      /* the address as typed */
    struct stoa_addr at; /* and looked up */
    bool datagram;
    bool spread;                      /* connections come from many addresses of 127.0.0.0/8 */
    const char *ask_path, *want_path; /* files for the script; NULL: none */
    const char *from;
    struct stoa_addr source; /* where from is given: connections come from there */
    enum mode mode;
    enum closer closer;
    unsigned nconn, nidle, nslow;
    unsigned nworker;
    unsigned pipeline;
    double duration_sec;
    double timeout_sec; /* an answer that takes longer will not come */
    double pause_sec;   /* of a slow client, between two bytes */
    double rate;        /* messages a second; 0 = closed loop */
    double rate_end;    /* a ramp's; the same as rate when there is none */
    double start_at;    /* seconds since the epoch; 0 = now */
    double interval_sec;
    struct script script;
};

/* When message number n is due, in nanoseconds after the start; open loop only. */
uint64_t plan_due_ns(const struct plan *p, uint64_t n);

/* The rate that is asked for, so many seconds after the start. */
double plan_rate_at(const struct plan *p, double seconds);

/* How many connections are made before the start. */
unsigned plan_connections(const struct plan *p);

/* "closed", "open", ... */
const char *plan_mode_name(const struct plan *p);

enum { PLAN_TEXT_MAX = 4096 };

/* All of it as one line of options that asks for the same again; cut after PLAN_TEXT_MAX. */
void plan_text(const struct plan *p, char *buf, size_t size);

#endif
