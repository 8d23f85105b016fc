/* sim.c - the backend of a simulated world: attempts, waits, and a clock that jumps.
 *
 * An operation is attempted like epoll's: at once, and again when its socket tells of news
 * (file_wake).  When no fiber is ready, time goes on to the next event or timer.  While
 * some are, a turn takes TURN_NS and a call CALL_NS, so that who asks again and again sees
 * time pass.
 *
 * Faults strike here, too: an operation that could complete at once does so later; a
 * cancelled one completes later, perhaps well, as in a kernel that was already at it.
 *
 * What holds: all is of one thread, and nothing here depends on an address, a real clock, or
 * the order of a hash table; so the same seed does the same.
 */
#include "sim/sim.h"

#include "backend/life.h"
#include "base/check.h"
#include "sim/call.h"
#include "sim/dgram.h"
#include "sim/port.h"
#include "sim/unix.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TURN_NS     10000 /* a turn's time, */
#define CALL_NS     1000  /* and a call's */
#define EVENTS_TURN 256   /* then fibers have their turn again */
#define LATE_NS     (50 * SIM_MS)
#define CHECK_EACH  64 /* all fibers are looked at when time has gone on so often */

/* A cancelled operation that the kernel is still at. */
struct late {
    struct event event;
    struct list link;
    struct world *world;
    struct backend_sock *sock;
    const struct op *op; /* only to be compared: it may be over */
};

static struct world *here(void)
{
    return world_here;
}

/* ------------------------------------------------------------------------- */
/* Operations                                                                  */

static ssize_t attempt(struct loop *l, struct op *op)
{
    struct backend_sock *s = op->sock;
    struct desc *d;
    ssize_t r;

    if (!life_hold(l, s, op->life))
        return op->state == OP_IDLE ? -EBADF : -ECANCELED;
    d = file_desc(here(), life_fd(s));
    if (d)
        d->user = s;
    r = d ? call_try(d, op) : -EBADF;
    life_drop(l, s);
    if (d && r != -EAGAIN)
        world_trace(here(), "op", d->file->id, op->kind, r);
    return r;
}

static void complete(struct op *op, ssize_t r)
{
    if (op->state != OP_WAITING && op->state != OP_CANCELLING)
        world_break(here(), "an operation completes that does not wait", 0);
    list_remove(&op->link);
    op_complete(op, r);
}

/* The kernel is slow to begin: what could be done at once is done by an event. */
static bool begins_late(struct op *op)
{
    struct desc *d = file_desc(here(), life_fd(op->sock));

    if (!d || !world_strikes(here(), FAULT_LATE))
        return false;
    d->user = op->sock;
    file_wake(d->file, POLLIN | POLLOUT | POLLPRI);
    return true;
}

static int sim_submit(struct loop *l, struct op *op)
{
    struct backend_sock *s = op->sock;
    struct loop *home;
    ssize_t r = -EAGAIN;

    if (!s) {
        op->state = OP_WAITING;
        return 0;
    }
    here()->nop++;
    here()->now_ns += CALL_NS;
    home = atomic_load_explicit(&s->home, memory_order_relaxed);
    if (home != l && (home || life_adopt(l, s, op->life) != l))
        return op_finish(op, -EBADF); /* of another world, or of the real one */
    if (op_never_waits(op))
        return op_finish(op, attempt(l, op));
    if (!life_fits(atomic_load(&s->life), op->life))
        return op_finish(op, -EBADF);
    if (!op_someone_waits(op) && !begins_late(op))
        r = attempt(l, op);
    if (r != -EAGAIN)
        return op_finish(op, r);
    list_add(&s->ops, &op->link);
    op->state = OP_WAITING;
    op->flight = 0; /* how often it has been cancelled */
    if (world_strikes(here(), FAULT_SPURIOUS))
        begins_late(op);
    return 0;
}

static void try_waiting(struct world *w, struct op *op)
{
    ssize_t r = attempt(w->loop, op);

    if (r != -EAGAIN)
        complete(op, r);
}

/* Is it still waiting?  Its struct is looked at only when the socket's list says so. */
static struct op *still_there(const struct late *late)
{
    struct list *ops = &late->sock->ops;

    for (struct list *n = ops->next; n != ops; n = n->next) {
        struct op *op = CONTAINER(n, struct op, link);

        if (op == late->op)
            return op->state == OP_CANCELLING ? op : NULL;
    }
    return NULL;
}

static void late_cancel(struct event *e)
{
    struct late *late = CONTAINER(e, struct late, event);
    struct op *op = still_there(late);
    ssize_t r = op ? attempt(late->world->loop, op) : 0;

    if (op)
        complete(op, r == -EAGAIN ? op->why : r);
    list_remove(&late->link);
    free(late);
}

static void cancel_later(struct world *w, struct op *op)
{
    struct late *late = malloc(sizeof(*late));

    CHECK(late, "no memory for a simulated cancel");
    *late = (struct late){.event.run = late_cancel, .world = w, .sock = op->sock, .op = op};
    list_add(&w->lates, &late->link);
    world_at(w, &late->event, w->now_ns + random_below(&w->random, LATE_NS));
}

/* Out of time or cancelled: bytes that have come all the same win. */
static void sim_cancel(struct loop *l, struct op *op)
{
    ssize_t r = op->why;

    if (!op->sock) {
        op_complete(op, r);
        return;
    }
    if (op->flight++)
        world_break(here(), "an operation is cancelled twice", 0);
    if (world_strikes(here(), FAULT_CANCEL_LATE)) {
        cancel_later(here(), op);
        return;
    }
    if (op->why == -ETIME)
        r = attempt(l, op);
    complete(op, r == -EAGAIN ? op->why : r);
}

/* A close does not wait for a slow cancel. */
static void sim_settle(struct loop *l, struct backend_sock *s)
{
    (void)l;
    while (!list_empty(&s->ops)) {
        struct op *op = CONTAINER(s->ops.next, struct op, link);

        if (op->state != OP_CANCELLING)
            world_break(here(), "a socket is closed on which somebody waits", 0);
        complete(op, op->why ? op->why : -ECANCELED);
    }
}

/* ------------------------------------------------------------------------- */
/* Time                                                                        */

/* What is freed may let go of more: descriptors in a message that nobody received. */
static void bury_dead(struct world *w)
{
    while (!list_empty(&w->dead_pipes) || !list_empty(&w->dead_files)) {
        struct list pipes, files;

        list_init(&pipes);
        list_init(&files);
        list_splice(&pipes, &w->dead_pipes);
        list_splice(&files, &w->dead_files);
        for (struct list *n = pipes.next, *next; n != &pipes; n = next) {
            next = n->next;
            flow_free(CONTAINER(n, struct pipe, dead));
        }
        for (struct list *n = files.next, *next; n != &files; n = next) {
            next = n->next;
            file_bury(CONTAINER(n, struct file, all));
        }
    }
}

static void run_due(struct world *w)
{
    struct event *e;

    for (int i = 0; i < EVENTS_TURN; i++) {
        e = events_next(&w->events);
        if (!e || e->at_ns > w->now_ns)
            break;
        events_remove(&w->events, e);
        w->nevent++;
        e->run(e);
        bury_dead(w);
    }
}

/* Each fiber that is parked waits for an operation, or for time. */
static void check_fibers(struct world *w)
{
    struct list *all = &w->loop->sched.all;

    for (struct list *n = all->next; n != all; n = n->next) {
        const struct fiber *f = CONTAINER(n, struct fiber, all);

        if (f->state == FIBER_PARKED && !f->waits_for)
            world_break(w, "a fiber is parked that waits for nothing", 0);
    }
}

/* Nothing will ever happen, or it takes too long. */
static void stuck(struct world *w, const char *sentence)
{
    CHECK(!w->gave_up, "a simulated world does not end although all its fibers were cancelled");
    w->gave_up = true;
    check_fibers(w);
    world_break(w, sentence, 0);
    w->stuck = true;
    if (w->give_up)
        w->give_up(w);
}

static bool nothing_comes(const struct world *w)
{
    return w->events.n == (w->cut.place != 0);
}

static void sim_wait(struct loop *l, uint64_t until_ns)
{
    struct world *w = here();
    struct event *e;

    if (until_ns == 0) {
        w->now_ns += TURN_NS;
        run_due(w);
        return;
    }
    if (++w->nwait % CHECK_EACH == 0)
        check_fibers(w);
    if (until_ns == WHEEL_NEVER && nothing_comes(w)) {
        if (!loop_has_mail(l))
            stuck(w, "a deadlock: all fibers wait, and nothing is on its way to them");
        return;
    }
    e = events_next(&w->events);
    if (e && e->at_ns < until_ns)
        until_ns = e->at_ns;
    if (until_ns + CALL_NS > w->now_ns)
        w->now_ns = until_ns + CALL_NS; /* no clock wakes in the very moment */
    if (w->now_ns > w->end_ns) {
        w->end_ns = w->gave_up ? w->end_ns : WHEEL_NEVER;
        stuck(w, "the world has not ended in its time");
        w->end_ns = w->now_ns + 3600 * SIM_SECOND;
        return;
    }
    run_due(w);
}

static void sim_wake(struct loop *l)
{
    (void)l; /* it never sleeps */
}

static uint64_t sim_now(void)
{
    return here()->now_ns;
}

/* ------------------------------------------------------------------------- */
/* Descriptors, names, helpers                                                 */

static int sim_end_fd(int fd, enum backend_close how)
{
    if (!here() || !file_desc(here(), fd))
        return -ENOTSOCK;
    if (how == CLOSE_DETACH)
        return fd;
    file_shut(here(), fd, how);
    return 0;
}

static int sim_dup(int fd)
{
    struct desc *d = file_desc(here(), fd);

    return d ? file_open(d->file) : -ENOTSOCK;
}

static void sim_forget(struct loop *l, struct backend_sock *s)
{
    struct desc *d = file_desc(here(), life_fd(s));

    (void)l;
    if (d)
        d->user = NULL;
}

static int sim_remove_stale(const struct sockaddr *sa, socklen_t len)
{
    return unix_remove_stale(here(), sa, len);
}

/* A wait that only time ends. */
static int pause_until(uint64_t end_ns, uint64_t until_ns)
{
    struct op op = {
        .kind = OP_EVENT, .timeout_ns = -1, .scope_ns = end_ns < until_ns ? end_ns : until_ns};
    int r = (int)op_run(&op);

    return r == -ETIME && end_ns <= until_ns ? 0 : r;
}

static int sim_resolve(const char *host, struct in6_addr *list, int n, uint64_t until_ns)
{
    struct world *w = here();
    uint64_t takes = world_strikes(w, FAULT_SLOW) ? random_below(&w->random, 10 * SIM_SECOND)
                                                  : random_below(&w->random, 5 * SIM_MS);
    int r = pause_until(w->now_ns + takes, until_ns);

    return r < 0 ? r : world_resolve(w, world_host(w), host, list, n);
}

/* The function runs when its time has come, on the thread's own stack and as on a plain
 * thread: it knows nothing of this world. */
struct helper {
    struct event event;
    struct op op;
    int (*fn)(void *arg);
    void *arg;
    int value;
    int error;
    bool done;
};

static void help(struct event *e)
{
    struct helper *h = CONTAINER(e, struct helper, event);
    struct world *w = here();
    struct loop *l = loop_here;

    loop_here = NULL;
    world_here = NULL;
    h->value = h->fn(h->arg);
    h->error = errno;
    world_here = w;
    loop_here = l;
    h->done = true;
    if (h->op.state == OP_WAITING)
        op_complete(&h->op, 0);
}

static int sim_offload(int (*fn)(void *arg), void *arg, int *error)
{
    struct world *w = here();
    struct helper h = {.event.run = help, .fn = fn, .arg = arg};

    world_at(w, &h.event, w->now_ns + random_below(&w->random, 10 * SIM_MS));
    while (!h.done) {
        h.op = (struct op){.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER};
        op_run(&h.op);
    }
    if (error)
        *error = h.error;
    return h.value;
}

/* ------------------------------------------------------------------------- */
/* A world's end                                                               */

static int sim_open(struct loop *l)
{
    struct world *w = here();

    CHECK(w, "a simulated loop is opened outside of a world");
    w->loop = l;
    w->try_waiting = try_waiting;
    l->epoll_fd = -1;
    l->event_fd = -1;
    return 0;
}

static void sim_shut(struct loop *l)
{
    (void)l;
}

static const char *kind_name(const struct op *op)
{
    static const char *const names[] = {
        [OP_RECV] = "recv",       [OP_SEND] = "send",         [OP_RECVMSG] = "recvmsg",
        [OP_SENDMSG] = "sendmsg", [OP_ACCEPT] = "accept",     [OP_CONNECT] = "connect",
        [OP_POLL] = "poll",       [OP_SENDFILE] = "sendfile", [OP_EVENT] = "another fiber",
    };

    return names[op->kind];
}

void sim_tell_waiting(struct world *w, FILE *to)
{
    struct list *all = &w->loop->sched.all;
    int number = 0;

    for (struct list *n = all->next; n != all; n = n->next) {
        const struct fiber *f = CONTAINER(n, struct fiber, all);
        const struct op *op = f->waits_for;
        struct desc *d = op && op->sock ? file_desc(w, life_fd(op->sock)) : NULL;

        number++;
        if (f->state != FIBER_PARKED || !op)
            continue;
        fprintf(to, "  fiber %d of %s waits for %s", number,
                f->local.host ? ((const struct host *)f->local.host)->name : w->host[0].name,
                kind_name(op));
        if (d)
            fprintf(to, " on socket #%" PRIu64, d->file->id);
        fputc('\n', to);
    }
}

void sim_end(struct world *w)
{
    struct list *n, *next;

    for (int i = 0; i < w->table.n; i++)
        if (w->table.desc[i]) {
            world_break(w, "a socket was not closed", w->table.desc[i]->file->id);
            file_shut(w, SIM_FD_FIRST + i, CLOSE_PLAIN);
        }
    for (n = w->files.next; n != &w->files; n = w->files.next)
        file_free(CONTAINER(n, struct file, all));
    for (n = w->flying.next; n != &w->flying; n = next) {
        next = n->next;
        free(CONTAINER(n, struct message, link));
    }
    for (n = w->lates.next; n != &w->lates; n = next) {
        next = n->next;
        free(CONTAINER(n, struct late, link));
    }
    bury_dead(w);
    unix_free_all(w);
    port_free_all(w);
    free(w->table.desc);
}

const struct backend_ops sim_ops = {
    .name = "sim",
    .open = sim_open,
    .shut = sim_shut,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .wait = sim_wait,
    .wake = sim_wake,
    .settle = sim_settle,
    .forget = sim_forget,
    .socket = call_socket,
    .socketpair = call_socketpair,
    .bind = call_bind,
    .listen = call_listen,
    .shutdown = call_shutdown,
    .name_of = call_name,
    .getopt = call_getopt,
    .setopt = call_setopt,
    .close = life_close,
    .now = sim_now,
    .end = sim_end_fd,
    .dup = sim_dup,
    .resolve = sim_resolve,
    .offload = sim_offload,
    .remove_stale = sim_remove_stale,
};
