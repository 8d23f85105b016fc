/* fiber.h - who runs: fibers that take turns on one thread.  Knows nothing of I/O or time.
 *
 * There is no loop here.  A loop (backend/loop.c) asks fiber_run() to run what is
 * ready and then waits in its own way; whoever knows that a fiber may go on says
 * fiber_ready().  Everything is of one thread: only fiber_self() may be called on
 * threads without fibers, where it gives the thread's own, which never parks.
 */
#ifndef STOA_FIBER_FIBER_H
#define STOA_FIBER_FIBER_H

#include "base/list.h"
#include "base/wheel.h"
#include "fiber/switch.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct stoa_scope;

enum fiber_state {
    FIBER_READY = 1, /* in the queue */
    FIBER_RUNNING,
    FIBER_PARKED, /* waits for fiber_ready() */
    FIBER_DEAD,
    FIBER_THREAD, /* a plain thread's own: always running */
};

/* What a fiber's or thread's last failed call leaves behind for stoa_errmsg(). */
struct note {
    int code;      /* the errno value; 0 = nothing has failed */
    uint8_t verb;  /* net/error.h's number of the call */
    uint8_t flags; /* net/error.h's */
    int handle;    /* of the socket, or -1 */
    char *detail;  /* malloc'ed text, NULL mostly */
};

/* What belongs to a fiber, or to a plain thread, and the floors above look after. */
struct local {
    struct stoa_scope *scope; /* the innermost, NULL = none */
    atomic_bool cancelled;    /* level: stays until the fiber ends */

    struct note note;
    size_t done; /* stoa_done()'s */

    /* serve/group.c's: what the fiber runs, and whom it belongs to. */
    struct stoa_group *group; /* NULL = nobody waits for it */
    struct list in_group;
    int (*entry)(void *arg);
    void *entry_arg;
    void *context; /* of who started it, for entry */
    void *host;    /* sim/'s: where it runs in a simulated network; those it starts, too */
};

/* It lies at the top of its own stack, so an idle fiber costs one page in all.  What each
 * message needs of it is in its first 64 bytes, a cache line. */
struct fiber {
    struct context context; /* where it goes on, while it does not run */
    enum fiber_state state;
    int interrupted;     /* the loop's: why it was last told to stop waiting; negative errno */
    struct sched *sched; /* whose it is; NULL = a plain thread's */
    void *waits_for;     /* the loop's: struct op of backend.h; NULL = not in an operation */
    struct local local;

    /* The loop's, and the one a fiber needs: it stays armed when the wait is over and is
     * looked at when it fires. */
    struct wheel_node timer;

    void (*fn)(void *arg);
    void *arg;
    struct list all; /* in sched->all, for debuggers and for stoa_run's end */
    void *stack;     /* lowest address, above the guard page */
    size_t stack_len;
    union { /* of the one tool that watches, see sanitize.h */
        void *asan_fake_stack;
        void *tsan_fiber;
        unsigned valgrind_id;
    } tool;
};

/* The fibers of one thread. */
struct sched {
    struct fiber **ready; /* a ring with room for all that are alive; run in this order */
    size_t ready_room;    /* a power of 2 */
    size_t first_ready;   /* its slot is its lowest bits */
    size_t nready;
    size_t nrun;           /* how many runs there have been; see sched_look() */
    struct fiber *running; /* NULL between fibers; see sched_look() */
    struct fiber *left;    /* whose stack was left last; if dead, who arrives gives it back */
    size_t budget;         /* how many more this fiber_run() may run */
    struct fiber loop;     /* the thread's own stack: fiber_run's caller */
    struct list all;       /* all fibers alive */
    size_t nfiber;         /* and how many */
    struct stack_pool *stacks;
    struct list link; /* in fiber_scheds */
};

/* Fibers with stacks of stack_len bytes (a power of 2).  0; -ENOMEM. */
int sched_init(struct sched *s, size_t stack_len);

/* End it.  No fiber may be alive. */
void sched_fini(struct sched *s);

/* In a child of fork: the fibers are the parent's. */
void sched_in_child(void);

/* What another thread may see while s is alive: which fiber runs (NULL: none does), and which run
 * in s's life this is.  The same fiber in the same run has not let others run between two looks. */
struct run {
    struct fiber *fiber;
    size_t nth;
};
struct run sched_look(const struct sched *s);

/* Make a fiber, ready to run fn(arg) when its turn comes.  NULL: no memory. */
struct fiber *fiber_go(struct sched *s, void (*fn)(void *arg), void *arg);

extern __thread struct fiber *fiber_current __attribute__((tls_model("initial-exec")));
struct fiber *fiber_thread_self(void);

/* The fiber that runs, or the plain thread's own.  Never NULL. */
static inline struct fiber *fiber_self(void)
{
    struct fiber *f = fiber_current;

    return f ? f : fiber_thread_self();
}

/* Let others run until someone says fiber_ready(this one). */
void fiber_park(void);

/* Let the others that are ready run first. */
void fiber_yield(void);

/* Let the one that became ready last run first, and no other. */
void fiber_yield_to_newest(void);

/* A parked fiber may go on: it runs when those before it have. */
void fiber_ready(struct fiber *f);

/* Run ready fibers, those first that were ready first, at most max of them; returns
 * how many ran.  Called by the loop, on the thread's own stack. */
size_t fiber_run(struct sched *s, size_t max);

#endif
