/* epoll.c - the readiness backend: try; when it would wait, park until the edge; try again.
 *
 * A socket is added to the loop's epoll, edge-triggered, when an operation at home first
 * has to wait for it, and stays.  An edge is only a hint: every operation that waits for
 * that direction is tried, by the loop, straight into its caller's buffer, and its
 * fiber is made ready when there is a result.
 *
 * Short-read memory: after a TCP receive that brought less than there was room for, the
 * queue is empty, and whatever comes later is told: by an edge that is armed already, or by
 * the arming itself, which tells what is there.  So the next receive waits without trying:
 * one system call a message less.
 * The memory is given up for good (HEARD_END) once the end, an error or urgent data has
 * been told: those need not be told again.  Others have none: a UNIX stream's receive also stops
 * short at control messages, an SCTP one's at the end of a message.
 *
 * Writability is asked for only when a send has had to wait (ARMED_OUT), for epoll would
 * otherwise tell it of every new connection.
 *
 * Events for a socket whose home is no longer here can come when its file is shared
 * with another process; they are dropped, and a hint too many does no harm.
 *
 * Limits: EVENTS_PER_TURN events a turn.  Sources: epoll(7), "Edge-triggered";
 * epoll_ctl(2); tcp(7).
 */
#include "backend/guest.h"
#include "backend/kernel.h"
#include "backend/life.h"
#include "backend/loop.h"
#include "base/limits.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum armed { ARMED_IN = 1, ARMED_OUT = 2 };
enum { FETCH = 8 };
enum heard { HEARD_EMPTY = 1, HEARD_END = 2 };

#define EDGES_IN   (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)
#define EDGE_WORDS (POLLIN | POLLOUT | POLLPRI | POLLRDHUP) /* they are told as asked for */
#define EDGES_END  (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)

static int control(int epoll_fd, int how, int fd, uint32_t events, void *of)
{
    struct epoll_event e = {.events = events, .data.ptr = of};

    return epoll_ctl(epoll_fd, how, fd, &e) < 0 ? -errno : 0;
}

static int epoll_open(struct loop *l)
{
    int r;

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return -errno;
    l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event_fd < 0) {
        r = -errno;
        goto fail_epoll;
    }
    r = control(l->epoll_fd, EPOLL_CTL_ADD, l->event_fd, EPOLLIN | EPOLLET, NULL);
    if (r == 0)
        r = control(l->epoll_fd, EPOLL_CTL_ADD, loop_stop_fd(), EPOLLIN | EPOLLET, NULL);
    if (r == 0)
        return 0;
    close(l->event_fd);
fail_epoll:
    close(l->epoll_fd);
    return r;
}

static void epoll_shut(struct loop *l)
{
    close(l->event_fd);
    close(l->epoll_fd);
}

/* Each write is an edge, so nobody need read the counter. */
static void epoll_wake(struct loop *l)
{
    uint64_t one = 1;
    ssize_t n = write(l->event_fd, &one, sizeof(one));

    (void)n; /* a full counter has the same effect */
}

static int tell(struct loop *l, struct backend_sock *s, uint8_t need)
{
    uint32_t edges = EDGES_IN | ((need | s->armed) & ARMED_OUT ? (uint32_t)EPOLLOUT : 0);
    int r = control(l->epoll_fd, s->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, life_fd(s), edges, s);

    /* A guest has been here. */
    if (r == -EEXIST)
        r = control(l->epoll_fd, EPOLL_CTL_MOD, life_fd(s), edges | EPOLLOUT, s);
    if (r == 0)
        s->armed |= need;
    return r;
}

__attribute__((noinline)) static int arm_more(struct loop *l, struct op *op, uint8_t need)
{
    int r;

    if (!life_hold(l, op->sock, op->life))
        return -ECANCELED;
    r = tell(l, op->sock, need);
    life_drop(l, op->sock);
    return r;
}

/* Have the edges told that an operation needs. */
static int arm(struct loop *l, struct op *op)
{
    uint8_t need = (uint8_t)(ARMED_IN | (op_events(op) & EVENTS_OUT ? ARMED_OUT : 0));

    return likely((op->sock->armed & need) == need) ? 0 : arm_more(l, op, need);
}

/* From any thread: epoll_ctl(2) is safe there.  Once is enough, and more would not do: what is
 * there already would be told anew each time (an error queue that nobody reads). */
static int epoll_arm_for_guest(struct loop *l, struct backend_sock *s, uint32_t want)
{
    int r;

    if (atomic_load(&s->polled))
        return 0;
    if (!life_hold(loop_here, s, want))
        return -ECANCELED;
    r = control(l->epoll_fd, EPOLL_CTL_MOD, life_fd(s), EDGES_IN | EPOLLOUT, s);
    if (r == -ENOENT)
        r = control(l->epoll_fd, EPOLL_CTL_ADD, life_fd(s), EDGES_IN | EPOLLOUT, s);
    if (r == -EEXIST) /* the home has added it meanwhile, perhaps without EPOLLOUT */
        r = control(l->epoll_fd, EPOLL_CTL_MOD, life_fd(s), EDGES_IN | EPOLLOUT, s);
    if (r == 0)
        atomic_store(&s->polled, true);
    life_drop(loop_here, s);
    return r;
}

/* A closed descriptor leaves epoll by itself, but not when others share the file. */
static void epoll_forget(struct loop *l, struct backend_sock *s)
{
    control(l->epoll_fd, EPOLL_CTL_DEL, life_fd(s), 0, NULL);
}

/* What a receive teaches about the queue. */
static void remember(struct op *op, ssize_t r)
{
    struct backend_sock *s = op->sock;

    if (r > 0 && (size_t)r < op->len && !(s->heard & HEARD_END) && s->proto == IPPROTO_TCP &&
        !(op->flags & (MSG_PEEK | MSG_OOB)))
        s->heard |= HEARD_EMPTY;
}

/* Inline where a message goes by. */
static inline __attribute__((always_inline)) ssize_t try_here(struct loop *l, struct op *op)
{
    ssize_t r;

    if (unlikely(!life_hold_home(l, op->sock, op->life)))
        return op->state == OP_IDLE ? -EBADF : -ECANCELED;
    r = kernel_try(op);
    life_drop_home(l, op->sock);
    if (op->kind == OP_RECV)
        remember(op, r);
    return r;
}

static ssize_t try_at_home(struct loop *l, struct op *op)
{
    return try_here(l, op);
}

static bool known_to_wait(const struct op *op)
{
    const struct backend_sock *s = op->sock;
    bool empty = s->heard & HEARD_EMPTY &&
                 (op->kind == OP_RECV || (op->kind == OP_POLL && op->flags == POLLIN));

    if (!empty && (likely(list_empty(&s->ops)) || !op_someone_waits(op)))
        return false;
    return !op_never_waits(op) && life_fits(s->life, op->life);
}

static int epoll_submit(struct loop *l, struct op *op)
{
    struct backend_sock *s = op->sock;
    int over = guest_submit(l, op);
    ssize_t r;

    if (unlikely(over >= 0))
        return over;
    if (!known_to_wait(op)) {
        r = try_here(l, op);
        if (likely(r != -EAGAIN) || op_never_waits(op))
            return op_finish(op, r);
    }
    r = arm(l, op);
    if (r < 0)
        return op_finish(op, r);
    list_add(&s->ops, &op->link);
    op->state = OP_WAITING;
    return 0;
}

/* Out of time or cancelled: bytes that have come all the same win. */
static void epoll_cancel(struct loop *l, struct op *op)
{
    ssize_t r = op->why;

    if (op->sock) {
        if (op->why == -ETIME)
            r = try_at_home(l, op);
        list_remove(&op->link);
    }
    op_complete(op, r == -EAGAIN ? op->why : r);
}

/* An edge has just said what poll(2) would say.  Events are 0 when that may be so no more. */
static ssize_t try_at_edge(struct loop *l, struct op *op, uint32_t events)
{
    int told = (int)events & op->flags;

    if (op->kind == OP_POLL && told && !(events & EDGES_END) && !(op->flags & ~EDGE_WORDS) &&
        life_fits(op->sock->life, op->life))
        return told;
    return try_here(l, op);
}

static void try_all(struct loop *l, struct backend_sock *s, int mean, uint32_t events)
{
    for (struct list *n = s->ops.next, *next; n != &s->ops; n = next) {
        struct op *op = CONTAINER(n, struct op, link);

        next = n->next;
        if (!(op_events(op) & mean))
            continue;
        ssize_t r = try_at_edge(l, op, events);
        if (op->kind != OP_POLL)
            events = 0; /* it may have taken all */
        if (r == -EAGAIN)
            continue;
        list_remove(n);
        op_complete(op, r);
    }
}

static void edge(struct loop *l, struct backend_sock *s, uint32_t events)
{
    int mean = (int)(events & (EPOLLIN | EPOLLOUT | EPOLLPRI));

    if (atomic_load_explicit(&s->home, memory_order_relaxed) != l)
        return;
    if (events & EDGES_END) {
        s->heard |= HEARD_END;
        mean |= POLLIN | POLLPRI | (events & (EPOLLHUP | EPOLLERR) ? POLLOUT : 0);
    }
    if (mean & POLLIN)
        s->heard &= (uint8_t)~HEARD_EMPTY;
    guest_wake(s, mean);
    try_all(l, s, op_hopes(mean), events);
}

static int milliseconds(uint64_t until_ns)
{
    uint64_t now, ms;

    if (until_ns == WHEEL_NEVER)
        return -1;
    if (until_ns == 0)
        return 0;
    now = kernel_now();
    ms = until_ns > now ? (until_ns - now + 999999) / 1000000 : 0;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* The operation that the edge e[i] is for, most likely; NULL: none, or it is not known yet. */
static struct op *first_op(struct loop *l, const struct epoll_event *e, int i, int n)
{
    struct backend_sock *s = i < n ? e[i].data.ptr : NULL;

    return s && life_is_home(l, s) && !list_empty(&s->ops) ? CONTAINER(s->ops.next, struct op, link)
                                                           : NULL;
}

/* With thousands of connections each edge leads to memory that no cache has, and each fiber's
 * lies in a page of its own, which the processor must look up first: 240 ns on a virtual
 * machine, but several at a time.  So it is asked for in pieces of FETCH edges, while
 * those before are dealt with, a step of the way at a time: the sockets, the operations
 * that wait on them, and what the next one needs to complete. */
static void fetch_ahead(struct loop *l, const struct epoll_event *e, int i, int n)
{
    struct op *op = first_op(l, e, i + 1, n);

    if (op) {
        __builtin_prefetch(op->who);
        __builtin_prefetch(op->buf, 1);
    }
    if (i % FETCH)
        return;
    for (int k = i + FETCH; k < i + 2 * FETCH; k++) {
        op = first_op(l, e, k, n);
        if (op) {
            __builtin_prefetch(op);
            __builtin_prefetch((const char *)op + 64);
        }
    }
    for (int k = i + 2 * FETCH; k < i + 3 * FETCH && k < n; k++)
        __builtin_prefetch(e[k].data.ptr);
}

static void epoll_wait_turn(struct loop *l, uint64_t until_ns)
{
    struct epoll_event e[EVENTS_PER_TURN];
    int ms = milliseconds(until_ns);

    if (ms != 0) {
        atomic_store(&l->asleep, true);
        if (loop_has_mail(l))
            ms = 0;
    }
    int n = epoll_wait(l->epoll_fd, e, EVENTS_PER_TURN, ms);
    atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
    if (unlikely(n < 0))
        l->signalled = true;
    for (int i = 0; i < n; i++) {
        fetch_ahead(l, e, i, n);
        if (e[i].data.ptr)
            edge(l, e[i].data.ptr, e[i].events);
    }
}

const struct backend_ops epoll_ops = {
    .name = "epoll",
    .open = epoll_open,
    .shut = epoll_shut,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .wait = epoll_wait_turn,
    .wake = epoll_wake,
    .arm_for_guest = epoll_arm_for_guest,
    .forget = epoll_forget,
    KERNEL_CALLS,
};
