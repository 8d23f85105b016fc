/* uring.c - the io_uring backend: a call is an entry, its op the address of the answer.
 *
 * A receive or send does not enter the kernel: it leaves an entry in the ring and parks.
 * When no fiber is ready, the worker's turn hands over all entries of the round in one
 * io_uring_enter(2), waits in it, and makes ready the fibers whose answers have come.
 * Under load a round shares the price of a system call.  What gains nothing by a round is made
 * at once instead: is_for_now().
 *
 * What the ring has no call for, or one that means something else, goes the epoll way: an
 * attempt (kernel.h), an entry that waits for readiness, another attempt.  stoa_poll() is an
 * entry from the start, and what that tells is believed where nobody else waits.  So does a
 * receive on an open file with O_NONBLOCK where the kernel's ring refuses to wait for it.
 *
 * What holds:
 *   - From entry to completion buf belongs to the kernel.  Who is cancelled or out of time
 *     asks for cancellation and stays parked until its own completion is here; if
 *     that brings bytes, the call succeeds.
 *   - Of the operations that want the same of a socket only the first is in the kernel's
 *     hands (`flight`); the others follow it in their order.
 *   - sock->nflight counts what the kernel has of a socket.  While it has something the
 *     descriptor is not closed, for it also keeps the open file: docs/why/0007-uring.md.
 *
 * Guests are woken by a poll of the home's ring that goes on and on (`polled`) and is taken
 * back when something comes and nobody waits.  Not sooner: a new poll tells at once of what
 * is there, and of an error queue that nobody reads again and again.
 *
 * Limits: RING_ENTRIES and RING_COMPLETIONS; beyond them the ring is turned early.
 * Sources: io_uring_enter(2), "IORING_OP_*"; io_uring_cancelation(7).
 */
#include "backend/guest.h"
#include "backend/kernel.h"
#include "backend/life.h"
#include "backend/loop.h"
#include "backend/probe.h"
#include "base/check.h"
#include "base/limits.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum heard {
    HEARD_READY = 1, /* poll has told of bytes: the next receive is made at once */
    HEARD_TAKEN = 2, /* an operation has ended that others wait beside, and may have taken them */
};

enum flight {
    FLIGHT_NONE,
    FLIGHT_CALL,
    FLIGHT_POLL,
    FLIGHT_REST,      /* a timeout: see meaning() */
    FLIGHT_OF = 3,    /* one of these, beside: */
    FLIGHT_ASKED = 4, /* to be cancelled; there is no answer to that yet */
};

/* What an answer is for: an op's address, or one of these, or a socket's or an op's with a tag. */
enum { FOR_NOBODY = 0, FOR_EVENT = 2, FOR_STOP = 4 };
enum { TAG_GUESTS = 1, TAG_CANCEL = 2, TAGS = 7 };

#define SEND_LONG        4096        /* bytes */
#define SEND_LEN_MAX     0x7ffff000u /* read(2): what one call moves at most */
#define POLL_MULTI       (1u << 0)   /* IORING_POLL_ADD_MULTI */
#define CQE_MORE         (1u << 1)   /* IORING_CQE_F_MORE */
#define SQE_SKIP_SUCCESS (1u << 6)   /* IOSQE_CQE_SKIP_SUCCESS */

_Static_assert(_Alignof(struct op) >= 8 && _Alignof(struct backend_sock) >= 8,
               "an address leaves room for a tag");

static uint64_t address(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* poll(2)'s events, in the halves that the kernel wants. */
static uint32_t poll_word(uint32_t events)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return events << 16 | events >> 16;
#else
    return events;
#endif
}

static void poll_entry(struct loop *l, int fd, uint32_t events, uint32_t how, uint64_t whose)
{
    struct io_uring_sqe *sqe = ring_sqe(&l->ring);

    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = fd;
    sqe->len = how;
    sqe->poll32_events = poll_word(events);
    sqe->user_data = whose;
}

static struct io_uring_sqe *cancel_entry(struct loop *l, uint64_t whose)
{
    struct io_uring_sqe *sqe = ring_sqe(&l->ring);

    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = whose;
    return sqe;
}

/* The poll for guests shall end; who needs that to be heard asks again. */
static void stop_guests(struct loop *l, struct backend_sock *s)
{
    struct io_uring_sqe *sqe = cancel_entry(l, address(s) | TAG_GUESTS);

    sqe->flags = SQE_SKIP_SUCCESS;
    sqe->user_data = FOR_NOBODY;
}

/* The op is over when it has its own answer and that to this: until then its address is in use. */
static void ask_to_end(struct loop *l, struct op *op)
{
    cancel_entry(l, address(op))->user_data = address(op) | TAG_CANCEL;
    op->flight |= FLIGHT_ASKED;
}

/* Each write to them is told anew, so nobody need read their counters. */
static void watch(struct loop *l, int fd, uint64_t whose)
{
    poll_entry(l, fd, POLLIN, POLL_MULTI, whose);
}

static int uring_open(struct loop *l)
{
    int r = ring_open(&l->ring, RING_ENTRIES, RING_COMPLETIONS);

    if (r < 0)
        return r;
    l->epoll_fd = -1;
    l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event_fd < 0) {
        r = -errno;
        ring_close(&l->ring);
        return r;
    }
    watch(l, l->event_fd, FOR_EVENT);
    if (l->serves)
        watch(l, loop_stop_fd(), FOR_STOP);
    return 0;
}

static void uring_shut(struct loop *l)
{
    close(l->event_fd);
    ring_close(&l->ring);
}

static void uring_wake(struct loop *l)
{
    uint64_t one = 1;
    ssize_t n = write(l->event_fd, &one, sizeof(one));

    (void)n; /* a full counter has the same effect */
}

static ssize_t try_at_home(struct loop *l, struct op *op)
{
    ssize_t r;

    if (!life_hold(l, op->sock, op->life))
        return op->state == OP_IDLE ? -EBADF : -ECANCELED;
    r = kernel_try(op);
    life_drop(l, op->sock);
    return r;
}

/* Has the ring a call that means the same? */
static bool is_ring_call(const struct op *op)
{
    return (op->kind == OP_RECV || op->kind == OP_SEND) && !op->sa &&
           !(op->flags & (MSG_OOB | MSG_ERRQUEUE));
}

static void call_entry(struct loop *l, const struct op *op)
{
    struct io_uring_sqe *sqe = ring_sqe(&l->ring);

    sqe->opcode = op->kind == OP_RECV ? IORING_OP_RECV : IORING_OP_SEND;
    sqe->fd = life_fd(op->sock);
    sqe->addr = address(op->buf);
    sqe->len = op->len < SEND_LEN_MAX ? (uint32_t)op->len : SEND_LEN_MAX;
    sqe->msg_flags = (uint32_t)(op->kind == OP_RECV ? op->flags & ~MSG_WAITALL : op->flags);
    sqe->user_data = address(op);
}

static void rest_entry(struct loop *l, uint64_t whose)
{
    static const struct __kernel_timespec moment = {.tv_nsec = ERROR_QUEUE_REST_NS};
    struct io_uring_sqe *sqe = ring_sqe(&l->ring);

    sqe->opcode = IORING_OP_TIMEOUT;
    sqe->fd = -1;
    sqe->addr = address(&moment);
    sqe->len = 1;
    sqe->user_data = whose;
}

/* A ring's poll for POLLPRI alone is armed and never woken (IO_ASYNC_POLL_COMMON in the kernel's
 * io_uring/poll.c): what else a socket's wake-up by data is said to be for, wakes it. */
static uint32_t ring_polls(const struct op *op)
{
    int events = op_polls(op);

    return (uint32_t)(events & POLLPRI ? events | POLLRDBAND : events);
}

/* Into the kernel's hands: -EAGAIN, for it will answer; else what is wrong. */
static ssize_t launch(struct loop *l, struct op *op, enum flight how)
{
    if (!life_launch(op->sock, op->life))
        return op->state == OP_IDLE ? -EBADF : -ECANCELED;
    op->flight = (uint8_t)how;
    if (how == FLIGHT_CALL)
        call_entry(l, op);
    else if (how == FLIGHT_POLL)
        poll_entry(l, life_fd(op->sock), ring_polls(op), 0, address(op));
    else
        rest_entry(l, address(op));
    return -EAGAIN;
}

/* Is it better made at once, so that the fiber goes on without a turn?  A send that would be
 * alone in its turn's system call is.  So is a long one, and a receive of what poll has just
 * told of: a round saves little beside the copy, and in a round all buffers are in use at once,
 * where one after the other stays in the cache. */
static bool is_for_now(const struct loop *l, const struct op *op)
{
    if (op->kind == OP_RECV)
        return op->sock->heard & HEARD_READY;
    return op->len >= SEND_LONG || (l->sched.nready == 0 && ring_is_empty(&l->ring));
}

/* A result, or -EAGAIN: it is in the kernel's hands. */
static ssize_t begin(struct loop *l, struct op *op)
{
    bool by_ring = is_ring_call(op);
    ssize_t r;

    if (op->kind == OP_POLL)
        return launch(l, op, FLIGHT_POLL);
    if (by_ring && !is_for_now(l, op))
        return launch(l, op, FLIGHT_CALL);
    op->sock->heard &= (uint8_t)~HEARD_READY;
    r = try_at_home(l, op);
    return r == -EAGAIN ? launch(l, op, by_ring ? FLIGHT_CALL : FLIGHT_POLL) : r;
}

static int uring_submit(struct loop *l, struct op *op)
{
    struct backend_sock *s = op->sock;
    ssize_t r = -EAGAIN;
    int over;

    op->flight = FLIGHT_NONE;
    over = guest_submit(l, op);
    if (unlikely(over >= 0))
        return over;
    if (unlikely(op_never_waits(op)))
        return op_finish(op, try_at_home(l, op));
    if (list_empty(&s->ops) || !op_someone_waits(op) || !life_fits(s->life, op->life))
        r = begin(l, op);
    if (r != -EAGAIN)
        return op_finish(op, r);
    list_add(&s->ops, &op->link);
    op->state = OP_WAITING;
    return 0;
}

/* The first of those who want the same is over: the next one's turn. */
static void begin_next(struct loop *l, struct backend_sock *s, int events)
{
    for (struct list *n = s->ops.next, *next; n != &s->ops; n = next) {
        struct op *op = CONTAINER(n, struct op, link);

        next = n->next;
        if (op_is_apart(op) || !(op_events(op) & events))
            continue;
        if (op->flight != FLIGHT_NONE)
            return;
        ssize_t r = begin(l, op);
        if (r == -EAGAIN)
            return;
        list_remove(n);
        op_complete(op, r);
    }
}

static void complete(struct loop *l, struct op *op, ssize_t r)
{
    struct backend_sock *s = op->sock;

    list_remove(&op->link);
    if (unlikely(!list_empty(&s->ops))) {
        s->heard |= HEARD_TAKEN;
        if (!op_is_apart(op))
            begin_next(l, s, op_events(op));
    }
    op_complete(op, r);
}

/* Cancelled or out of time: bytes that have come all the same win. */
static ssize_t last_look(struct loop *l, struct op *op)
{
    ssize_t r = op->why == -ETIME ? try_at_home(l, op) : op->why;

    return r == -EAGAIN ? op->why : r;
}

static void uring_cancel(struct loop *l, struct op *op)
{
    ssize_t r;

    if (op->flight != FLIGHT_NONE) {
        ask_to_end(l, op);
        return;
    }
    r = op->sock ? last_look(l, op) : op->why;
    if (op->sock)
        list_remove(&op->link);
    op_complete(op, r);
}

/* An operation's answer is -EAGAIN: what to do next.  A poll that has told of an error or an end
 * alone would tell of it again at once (an error queue that nobody reads): it rests a moment. */
static enum flight next_flight(const struct op *op, enum flight was, ssize_t answer)
{
    if (answer == -EINTR)
        return FLIGHT_CALL;
    return was == FLIGHT_POLL && answer >= 0 && !(answer & op_polls(op)) ? FLIGHT_REST
                                                                         : FLIGHT_POLL;
}

/* What stoa_poll()'s own poll has told that was asked for.  0: nothing, or it must be looked at
 * again, for another operation that waits here, or has until this turn, may have taken it. */
static ssize_t told(struct op *op, ssize_t answer)
{
    struct backend_sock *s = op->sock;

    if (s->ops.next != s->ops.prev)
        return 0;
    if (s->heard & HEARD_TAKEN) {
        s->heard = 0;
        return 0;
    }
    answer &= op->flags | POLLERR | POLLHUP | POLLNVAL;
    s->heard = answer & POLLIN ? HEARD_READY : 0;
    return answer;
}

/* What an answer means: a result, or -EAGAIN when there is none yet. */
static ssize_t meaning(struct loop *l, struct op *op, ssize_t answer)
{
    enum flight was = op->flight & FLIGHT_OF;
    bool polled = was == FLIGHT_POLL && answer >= 0;
    ssize_t r = answer;

    if (polled || (was == FLIGHT_REST && answer == -ETIME)) {
        r = polled && op->kind == OP_POLL ? told(op, answer) : 0;
        if (r == 0)
            r = try_at_home(l, op);
    }
    op->flight &= FLIGHT_ASKED;
    if (r != -EAGAIN && r != -EINTR && (r != -ECANCELED || op->state != OP_CANCELLING))
        return r;
    if (op->state == OP_CANCELLING)
        return last_look(l, op);
    return launch(l, op, next_flight(op, was, answer));
}

static void answered(struct loop *l, struct op *op, ssize_t r)
{
    life_land(op->sock);
    r = meaning(l, op, r);
    if (r == -EAGAIN)
        return;
    op->res = r;
    if (op->flight == FLIGHT_NONE)
        complete(l, op, r);
}

/* A request that is between two attempts is in no list of the kernel's, and is not found then. */
static void end_answered(struct loop *l, struct op *op, ssize_t r)
{
    op->flight &= FLIGHT_OF;
    if (op->flight == FLIGHT_NONE)
        complete(l, op, op->res);
    else if (r == -ENOENT)
        ask_to_end(l, op);
}

/* The socket may be ready, or the poll has ended. */
static void guests_answered(struct loop *l, struct backend_sock *s, int events, bool more)
{
    bool unwanted = atomic_load(&s->nwaiter) == 0;

    if (!more || events & (POLLHUP | POLLERR | POLLRDHUP))
        events = POLLIN | POLLOUT | POLLPRI;
    if (!more) {
        atomic_store(&s->polled, false);
        life_land(s);
    }
    guest_wake(s, events);
    if (more && unwanted)
        stop_guests(l, s);
}

static int uring_arm_for_guest(struct loop *l, struct backend_sock *s, uint32_t want)
{
    if (atomic_load(&s->polled))
        return 0;
    if (l != loop_here) {
        if (!life_hold(loop_here, s, want)) /* a message after its end would meet another */
            return -ECANCELED;
        life_call_home(l, s);
        life_drop(loop_here, s);
        return 0;
    }
    if (!life_launch(s, want))
        return -ECANCELED;
    atomic_store(&s->polled, true);
    poll_entry(l, life_fd(s), POLLIN | POLLOUT | POLLPRI | POLLRDHUP, POLL_MULTI,
               address(s) | TAG_GUESTS);
    return 0;
}

/* An eventfd's watch may end when completions have overflown. */
static void watch_answered(struct loop *l, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & CQE_MORE)
        return;
    if (cqe->user_data == FOR_EVENT)
        watch(l, l->event_fd, FOR_EVENT);
    else if (cqe->user_data == FOR_STOP && !l->stopped)
        watch(l, loop_stop_fd(), FOR_STOP);
}

static void take(struct loop *l, const struct io_uring_cqe *cqe)
{
    uint64_t whose = cqe->user_data;

    if (unlikely(whose <= FOR_STOP))
        watch_answered(l, cqe);
    else if (unlikely(whose & TAG_GUESTS))
        guests_answered(l, (struct backend_sock *)(uintptr_t)(whose - TAG_GUESTS), cqe->res,
                        cqe->flags & CQE_MORE);
    else if (unlikely(whose & TAG_CANCEL))
        end_answered(l, (struct op *)(uintptr_t)(whose - TAG_CANCEL), cqe->res);
    else
        answered(l, (struct op *)(uintptr_t)whose, cqe->res);
}

/* With thousands of connections each answer leads to memory that no cache has.  It is asked
 * for while the answers before it are dealt with, a step of the way at a time. */
static void fetch_ahead(const struct ring *r)
{
    uint64_t far = ring_ahead(r, 4), near = ring_ahead(r, 1);

    if (far > FOR_STOP && !(far & TAGS)) {
        __builtin_prefetch((const char *)(uintptr_t)far);
        __builtin_prefetch((const char *)(uintptr_t)far + 64);
    }
    if (near > FOR_STOP && !(near & TAGS)) {
        const struct op *op = (const struct op *)(uintptr_t)near;

        __builtin_prefetch(op->sock);
        __builtin_prefetch(op->who);
    }
}

static void take_all(struct loop *l)
{
    struct io_uring_cqe cqe;

    while (ring_cqe(&l->ring, &cqe)) {
        fetch_ahead(&l->ring);
        take(l, &cqe);
    }
}

static void enter(struct loop *l, unsigned nwait, uint64_t wait_ns)
{
    int e = ring_enter(&l->ring, nwait, wait_ns);

    CHECK(e == 0, "the kernel refuses to enter a ring that it has made");
}

static uint64_t nanoseconds(uint64_t until_ns)
{
    uint64_t now;

    if (until_ns == WHEEL_NEVER)
        return UINT64_MAX;
    now = kernel_now();
    return until_ns > now ? until_ns - now : 0;
}

static void uring_wait(struct loop *l, uint64_t until_ns)
{
    bool sleeps = until_ns != 0;

    if (sleeps) {
        atomic_store(&l->asleep, true);
        sleeps = !loop_has_mail(l);
    }
    if (sleeps)
        enter(l, 1, nanoseconds(until_ns));
    else if (ring_has_work(&l->ring))
        enter(l, 0, 0);
    atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
    l->signalled = sleeps && !ring_ahead(&l->ring, 0);
    take_all(l);
}

static void uring_settle(struct loop *l, struct backend_sock *s)
{
    while (atomic_load(&s->nflight) > 0 || !list_empty(&s->ops)) {
        if (atomic_load(&s->polled))
            stop_guests(l, s);
        enter(l, 1, SETTLE_ASK_NS);
        take_all(l);
    }
}

const struct backend_ops uring_ops = {
    .name = "uring",
    .probe = probe_uring,
    .open = uring_open,
    .shut = uring_shut,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .wait = uring_wait,
    .wake = uring_wake,
    .arm_for_guest = uring_arm_for_guest,
    .settle = uring_settle,
    KERNEL_CALLS,
};
