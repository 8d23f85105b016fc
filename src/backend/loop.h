/* loop.h - what loops of all backends share: fibers, the timer wheel, messages, the turn.
 *
 * A loop belongs to one thread.  Others reach it by loop_post() and loop_stop_all() only.
 * It does not know how its backend waits.
 */
#ifndef STOA_BACKEND_LOOP_H
#define STOA_BACKEND_LOOP_H

#include "backend/backend.h"
#include "backend/look.h"
#include "backend/ring.h"

struct watch;

struct loop {
    const struct backend_ops *ops;
    _Atomic(struct backend_sock *) holds; /* the socket whose system call is under way */
    struct sched sched;
    unsigned inline_ops; /* operations in a row that did not wait */

    atomic_bool asleep;           /* in wait(), or about to: wake() is needed */
    _Atomic(struct post *) inbox; /* newest first */
    atomic_uint nposter;          /* threads inside loop_post(): the loop must stay */
    atomic_bool late;             /* a message waited in vain: life.c */
    struct list socks;            /* whose home this is */
    struct list stoppers;         /* struct stopper: told of loop_stop_all() */
    bool serves;                  /* see loop_open() */
    bool stopped;                 /* and they have been told */
    bool signalled;               /* wait() was ended by a signal: the backend's word */
    struct fiber *hooked;         /* ends when the interrupt hook says so; NULL: a worker's loop */

    struct look look;
    struct watch *watch; /* who sees that fibers do not hold it too long; NULL: nobody */

    int event_fd;
    int epoll_fd;     /* epoll's */
    struct ring ring; /* uring's */
    struct wheel wheel;
};

/* The backend of the calling thread. */
static inline const struct backend_ops *backend_here(void)
{
    return loop_here ? loop_here->ops : &block_ops;
}

/* Somebody to be told, on the loop's thread, that the process is to stop. */
struct stopper {
    struct list link;
    void (*run)(struct stopper *self);
};

/* Make the calling thread a worker's: 0; -ENOMEM, -EMFILE, ...  One that does not serve is
 * not stopped by loop_stop_all(), and does not end a stop by its own end. */
int loop_open(struct loop *l, const struct backend_ops *ops, size_t stack_len, bool serves);

/* Run fibers until none is left. */
void loop_run(struct loop *l);

/* End it: no fiber is left.  Its sockets lose their home. */
void loop_close(struct loop *l);

/* The last call of every fiber: its timer must not outlive it. */
void loop_fiber_ends(void);

/* Run p->run on l's thread, soon.  From any thread; l must be alive. */
void loop_post(struct loop *l, struct post *p);

/* Cancel what a fiber of this thread's loop waits for, if it does. */
void loop_interrupt(struct fiber *f, int why);

/* In a child of fork: there is no loop. */
void loop_in_child(void);

/* Tell all loops' stoppers, now and those who come later.  Signal-safe. */
void loop_stop_all(void);
bool loop_stopping(void);

/* The same, also when those who were told have ended. */
bool loop_stop_told(void);

/* Run the messages that have come.  On l's thread, in its turn or on a fiber. */
void loop_take_posts(struct loop *l);

/* From now on run is called when, or if already, the process is to stop. */
void loop_on_stop(struct loop *l, struct stopper *s);
void loop_off_stop(struct stopper *s);

/* Is there a message, or a stop not yet seen?  A backend looks once more between setting
 * `asleep` and sleeping. */
bool loop_has_mail(struct loop *l);

/* Readable when the process is to stop: to be waited for while !l->stopped. */
int loop_stop_fd(void);

#endif
