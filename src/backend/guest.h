/* guest.h - waiting on a socket from outside its home: plain threads, and fibers of other loops.
 *
 * A guest tries the call, and when it would have to wait, puts itself on the socket's
 * list of waiters.  Knows neither handles nor what the calls mean.
 */
#ifndef STOA_BACKEND_GUEST_H
#define STOA_BACKEND_GUEST_H

#include "backend/life.h"

/* Somebody who waits; lives in its own frame. */
struct waiter {
    struct post post;  /* to its loop; first, for the way back */
    struct list link;  /* in sock->waiters, under sock->lock */
    uint32_t life;     /* what it wants the socket's life to be */
    int events;        /* of poll(2), that are worth another attempt */
    int polls;         /* of poll(2), that a thread asks for */
    bool rests;        /* an error or an end has woken the thread in vain: look past it once */
    struct loop *loop; /* where its fiber lives; NULL = a plain thread */
    struct op event;   /* what the fiber is parked on */
    int event_fd;      /* what the thread polls beside the socket */
    bool taken;        /* off the list by a waker; under sock->lock */
    atomic_bool told;  /* by the waker, its last touch */
};

/* Do op, waiting as a guest.  Returns its result. */
ssize_t guest_run(struct op *op);

/* The beginning of every submit() of a loop: its answer when op has no socket, or one whose home
 * is elsewhere; -1: l is the home. */
static inline int guest_submit(struct loop *l, struct op *op)
{
    struct backend_sock *s = op->sock;

    if (unlikely(!s)) {
        op->state = OP_WAITING;
        return 0;
    }
    struct loop *home = atomic_load_explicit(&s->home, memory_order_relaxed);

    if (unlikely(home != l) && (home || life_adopt(l, s, op->life) != l))
        return op_finish(op, guest_run(op));
    return -1;
}

/* Wake those who wait for one of events; 0 = all whose life does not fit any more. */
void guest_wake_waiters(struct backend_sock *s, int events);

static inline void guest_wake(struct backend_sock *s, int events)
{
    if (unlikely(atomic_load(&s->nwaiter)))
        guest_wake_waiters(s, events);
}

/* On a plain thread: sleep until s is ready, w is told, or until_ns.  0; -ETIME,
 * -ECANCELED by the interrupt hook, -ENOMEM, -EMFILE. */
int block_sleep(struct backend_sock *s, struct waiter *w, uint64_t until_ns);

/* The calling thread's eventfd for being told; negative errno. */
int block_event_fd(void);

#endif
