/* guest.c - try, put oneself on the socket's list, try again, sleep, and round again.
 *
 * The second attempt closes the gap: what came between the first one and the list
 * would otherwise be told to nobody.  A wake-up is only a hint, the attempt decides.
 *
 * A thread sleeps in poll(2), on the socket and on an eventfd of its own, by which the
 * socket's end is told.  A fiber cannot have the socket in its own loop's epoll as
 * well (two guests of one loop would collide there): it relies on the home's backend, and
 * the home wakes it by a message.
 *
 * What holds: struct waiter lives in the guest's frame, so a waker that has taken it off
 * the list says so in `told` as its last touch, and a guest that finds itself taken waits for that.
 */
#include "backend/guest.h"

#include "backend/kernel.h"
#include "backend/life.h"
#include "base/spin.h"

#include <errno.h>
#include <unistd.h>

/* On the waiter's own loop: let its fiber go on. */
static void waiter_posted(struct post *p)
{
    struct waiter *w = CONTAINER(p, struct waiter, post);

    atomic_store(&w->told, true);
    if (w->event.state == OP_WAITING)
        op_complete(&w->event, 0);
}

static void waiter_tell(struct waiter *w)
{
    uint64_t one = 1;
    ssize_t n;

    if (w->loop) {
        loop_post(w->loop, &w->post);
        return;
    }
    n = write(w->event_fd, &one, sizeof(one));
    (void)n; /* a full counter has the same effect */
    atomic_store(&w->told, true);
}

void guest_wake_waiters(struct backend_sock *s, int events)
{
    struct list taken, *n;

    list_init(&taken);
    spin_lock(&s->lock);
    uint32_t life = atomic_load(&s->life);

    for (struct list *next, *at = s->waiters.next; at != &s->waiters; at = next) {
        struct waiter *w = CONTAINER(at, struct waiter, link);

        next = at->next;
        if (!(w->events & op_hopes(events)) && life_fits(life, w->life))
            continue;
        list_remove(at);
        list_add(&taken, at);
        w->taken = true;
        atomic_fetch_sub(&s->nwaiter, 1);
    }
    spin_unlock(&s->lock);
    for (n = taken.next; n != &taken;) {
        struct waiter *w = CONTAINER(n, struct waiter, link);

        n = n->next; /* w may be gone once it is told */
        waiter_tell(w);
    }
}

static ssize_t guest_try(struct op *op)
{
    if (!life_hold(loop_here, op->sock, op->life))
        return op->state == OP_IDLE ? -EBADF : -ECANCELED;
    op->state = OP_WAITING;
    ssize_t r = kernel_try(op);
    life_drop(loop_here, op->sock);
    return r;
}

/* Onto the list.  false: the socket's end has begun. */
static bool waiter_link(struct waiter *w, struct backend_sock *s)
{
    spin_lock(&s->lock);
    atomic_fetch_add(&s->nwaiter, 1); /* then look: who closes does it the other way round */
    bool fits = life_fits(atomic_load(&s->life), w->life);
    if (fits)
        list_add(&s->waiters, &w->link);
    else
        atomic_fetch_sub(&s->nwaiter, 1);
    spin_unlock(&s->lock);
    return fits;
}

/* Off the list, or after the waker who took us off it. */
static void waiter_unlink(struct waiter *w, struct backend_sock *s)
{
    spin_lock(&s->lock);
    bool taken = w->taken;

    if (!taken) {
        list_remove(&w->link);
        atomic_fetch_sub(&s->nwaiter, 1);
    }
    spin_unlock(&s->lock);
    if (!taken)
        return;
    while (!atomic_load(&w->told)) {
        if (!w->loop) {
            sched_yield();
            continue;
        }
        w->event = (struct op){.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER};
        op_run(&w->event);
    }
}

/* Have the home hear of the socket's readiness. */
static int arm_home(struct backend_sock *s, uint32_t want)
{
    struct loop *home = life_lock_home(s, want);
    int r = home ? home->ops->arm_for_guest(home, s, want) : -ECANCELED;

    life_unlock_home();
    return r;
}

static int guest_sleep(struct waiter *w, struct op *op)
{
    if (!w->loop)
        return block_sleep(op->sock, w, op->until_ns);
    w->event = (struct op){
        .kind = OP_EVENT,
        .timeout_ns = -1,
        .scope_ns = WHEEL_NEVER,
        .until_ns = op->until_ns,
    };
    return atomic_load(&w->told) ? 0 : (int)op_run(&w->event);
}

/* Wait once; a result of the attempt in between, or -EAGAIN to go round again.  `rests` is
 * kept for the next round. */
static ssize_t guest_wait(struct op *op, bool *rests)
{
    struct waiter w = {
        .post = {.run = waiter_posted},
        .life = op->life,
        .events = op_events(op) | op_polls(op),
        .polls = op_polls(op),
        .rests = *rests,
        .loop = loop_here,
        .event_fd = loop_here ? -1 : block_event_fd(),
    };
    int slept;

    if (!w.loop && w.event_fd < 0)
        return w.event_fd;
    if (!waiter_link(&w, op->sock))
        return -ECANCELED;
    ssize_t r = w.loop ? arm_home(op->sock, op->life) : 0;
    if (r == 0)
        r = guest_try(op);
    if (r != -EAGAIN) {
        waiter_unlink(&w, op->sock);
        return r;
    }
    slept = guest_sleep(&w, op);
    waiter_unlink(&w, op->sock);
    *rests = w.rests;
    return slept == 0 ? -EAGAIN : slept;
}

/* Was the fiber told to stop waiting, or has its time passed, while it was awake? */
static ssize_t guest_over(const struct op *op, const struct fiber *me)
{
    if (me->interrupted < 0)
        return me->interrupted;
    return op->until_ns != WHEEL_NEVER && kernel_now() >= op->until_ns ? -ETIME : -EAGAIN;
}

ssize_t guest_run(struct op *op)
{
    struct fiber *me = fiber_self();
    ssize_t r = guest_try(op);
    bool rests = false;

    me->interrupted = 0;
    while (r == -EAGAIN && !op_never_waits(op)) {
        op_deadline(op, kernel_now());
        r = guest_wait(op, &rests);
        if (r == -EAGAIN)
            r = guest_over(op, me);
    }
    if (r != -ETIME)
        return r;
    r = guest_try(op); /* data beats a timeout */
    return r == -EAGAIN ? -ETIME : r;
}
