/* watch.h - a thread that sees which fiber holds its loop too long.  Knows nothing of servers.
 *
 * A loop pays nothing for it but a look at a flag a turn; what is looked at, it writes anyway.
 */
#ifndef STOA_BACKEND_WATCH_H
#define STOA_BACKEND_WATCH_H

#include "backend/spot.h"
#include "base/text.h"
#include "fiber/fiber.h"

#include <pthread.h>

struct loop;

/* A loop that is looked at. */
struct watched {
    struct list link; /* in watch->all */
    struct loop *loop;
    struct watch *watch; /* NULL: it is not looked at; written under its lock */
    pid_t tid;
    clockid_t clock; /* of its thread's processor time */
    void *answers;   /* sample.h's stack */
    bool moves;      /* it did something between the last two looks */

    struct run run;  /* at the last look */
    uint64_t cpu_ns; /* processor time when it was first seen, and at the last look */
    uint64_t cpu_last_ns;
    uint64_t lasts_ns; /* how long the run was looked on */
    uint64_t held_ns;  /* and of that, how long it held the loop by its own doing */
    uint64_t told_ns;  /* when it was last told; 0: it was not */
};

/* What there is to be told of one. */
struct hold {
    struct watched *who;
    const struct fiber *fiber; /* not to be looked into: see watch_begin() */
    uint64_t lasts_ns;
    uint64_t cpu_ns; /* processor time meanwhile */
    bool over;
    struct spot spot; /* valid while it is not over */
};

struct watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    struct list all; /* struct watched; under lock */
    bool over;       /* under lock */
    unsigned nidle;  /* looks in a row at which nothing moved */
    uint64_t last_ns;
    uint64_t max_ns;
    atomic_bool sleeps; /* until a loop does something */
    void (*name)(struct text *t, const struct hold *h);
    void (*tell)(struct watch *w, const char *sentence);
};

/* Begin to look, for fibers that hold their loop longer than max_ns.  `name` makes the sentence:
 * while it is called no loop that is looked at ends, but the fiber may.  `tell` gets it, and
 * may take its time.  0; negative errno. */
int watch_begin(struct watch *w, uint64_t max_ns,
                void (*name)(struct text *t, const struct hold *h),
                void (*tell)(struct watch *w, const char *sentence));
void watch_end(struct watch *w);

/* On the thread of l, which is alive in between.  d is zero before. */
void watch_add(struct watch *w, struct watched *d, struct loop *l);
void watch_remove(struct watched *d);

/* Who holds d's loop, of those who were told; h->fiber NULL: nobody. */
void watch_holds(struct watch *w, struct watched *d, struct hold *h);

/* A loop has something to do: the watch looks again. */
void watch_wake(struct watch *w);

#endif
