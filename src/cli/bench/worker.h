/* bench/worker.h - a thread of the generator: its fibers, its clock, its schedule.
 *
 * What the kinds of load (talk.c, churn.c, crowd.c) share.  All of a worker is touched by its
 * own fibers only, but for the tally's ring and what is atomic here.
 */
#ifndef STOA_CLI_BENCH_WORKER_H
#define STOA_CLI_BENCH_WORKER_H

#include "cli/bench/plan.h"
#include "cli/bench/tally.h"
#include "cli/output.h"

#include <pthread.h>
#include <stdatomic.h>

/* Connections that are made at a time, lest a listener's queue overflow. */
enum { DIALS_AT_ONCE = 128 };

/* What all workers of a run share. */
struct run {
    const struct plan *plan;
    pthread_mutex_t lock; /* of the gate: workers come to it connected ... */
    pthread_cond_t moved;
    unsigned nready;
    bool open;                   /* ... and pass it at the start */
    uint64_t start_ns;           /* set before */
    _Atomic uint64_t until_ns;   /* no message begins after that */
    _Atomic uint64_t give_up_ns; /* no answer is waited for after that */
    _Atomic unsigned nended;     /* workers */
};

struct worker {
    struct run *run;
    const struct plan *plan;
    unsigned index;
    pthread_t thread;
    bool passed; /* the gate */
    char failed[SENTENCE_MAX];

    struct tally tally;
    struct stoa_group *group; /* of all that ends with the run */
    unsigned nconn;           /* its share of plan->nconn, and so on */
    unsigned nidle, nslow;
    unsigned ncrowd;   /* of these, those that are there, or could not come */
    void *load;        /* the kind's own */
    uint64_t npending; /* messages that are due or under way */
    uint64_t ndue;     /* open loop: messages that have been due */
    uint32_t source_turn;
    int64_t cpu_ns; /* processor time from the start to the end */
    uint64_t end_ns;
    bool paced; /* the schedule has come to its end */
};

/* A kind of load.  open makes connections, before the start; due is open loop's: one more
 * message is due.  run starts the fibers; give_up tells of what is still waited for. */
struct kind {
    int (*open)(struct worker *w);
    int (*run)(struct worker *w);
    void (*due)(struct worker *w, uint64_t due_ns, uint64_t now_ns);
    void (*give_up)(struct worker *w, uint64_t now_ns);
    void (*close)(struct worker *w);
};

extern const struct kind talk_kind;
extern const struct kind churn_kind;

/* The thread's function. */
void *worker_thread(void *worker);

/* May messages begin?  Is the time for answers over, too? */
static inline bool worker_goes_on(const struct worker *w, uint64_t now_ns)
{
    return now_ns < atomic_load_explicit(&w->run->until_ns, memory_order_relaxed);
}

/* When message n of this worker is due. */
uint64_t worker_due_ns(const struct worker *w, uint64_t n);

/* Has the user asked for the end?  Then nothing is waited for that the start needs. */
bool run_stopped(void);

/* A connection to the server; -1: it has been counted. */
int worker_dial(struct worker *w);

/* Wait after a failure, longer each time: 10 ms to a second.  -1: the run is over. */
int worker_pause(unsigned ntry);

/* crowd.c: silent and slow clients, beside the load; returns when they are all there.  0, -1. */
int crowd_open(struct worker *w);

#endif
