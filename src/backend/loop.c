/* loop.c - a worker's turn: run who is ready, wait as the backend does, see whose time is over.
 *
 * A turn runs at most FIBERS_PER_TURN fibers and then asks the backend, without waiting
 * when some are still ready: no fiber starves the network, and the network no fiber.
 *
 * Timers are lazy.  A fiber has one, which stays in the wheel when the wait it was armed
 * for is over; the next wait only stores its deadline in its op.  When the timer
 * fires too early for that, it is armed again.  Measured for a million fibers: 14 ns
 * a wait instead of 57 (the design's runtime.md, 6).
 *
 * Messages from other threads are a stack without locks, taken whole and turned over.  A
 * sender writes to the loop's eventfd only when `asleep` is set: we set it and look
 * once more, the sender pushes and then looks; one of us sees the other.
 *
 * Stopping is one flag and one eventfd for the process, so that a signal handler can do
 * it: each loop waits for the eventfd too, and tells its stoppers.
 */
#include "backend/loop.h"

#include "backend/life.h"
#include "backend/watch.h"
#include "base/check.h"
#include "base/limits.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

__thread struct loop *loop_here;

enum stop { STOP_NONE, STOP_ASKED, STOP_OVER /* the loops it was meant for have ended */ };

static pthread_mutex_t loops_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned nloop;
static atomic_int stop_state;
static _Atomic int stop_fd_plus_1; /* 0 = none yet; never closed: a signal may come at any time */

int loop_stop_fd(void)
{
    return atomic_load(&stop_fd_plus_1) - 1;
}

static void wake_all(void)
{
    uint64_t one = 1;
    ssize_t n = write(loop_stop_fd(), &one, sizeof(one));

    (void)n; /* a full counter has the same effect */
}

void loop_stop_all(void)
{
    int saved_errno = errno;

    atomic_store(&stop_state, STOP_ASKED);
    if (atomic_load(&stop_fd_plus_1))
        wake_all();
    errno = saved_errno;
}

bool loop_stopping(void)
{
    return atomic_load_explicit(&stop_state, memory_order_relaxed) == STOP_ASKED;
}

bool loop_stop_told(void)
{
    return atomic_load(&stop_state) != STOP_NONE;
}

/* The first loop of all makes the eventfd. */
static int make_stop_fd(void)
{
    int fd = atomic_load(&stop_fd_plus_1) ? 0 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return -errno;
    if (!atomic_load(&stop_fd_plus_1))
        atomic_store(&stop_fd_plus_1, fd + 1);
    return 0;
}

/* A stop ends with the last loop, but is told of until the next one begins. */
static void forget_old_stop(void)
{
    int over = STOP_OVER;
    uint64_t count;
    ssize_t n;

    if (nloop > 0)
        return;
    if (atomic_compare_exchange_strong(&stop_state, &over, STOP_NONE)) {
        n = read(loop_stop_fd(), &count, sizeof(count));
        (void)n;
    }
    if (loop_stopping())
        wake_all();
}

void loop_in_child(void)
{
    int fd = loop_stop_fd();

    pthread_mutex_init(&loops_lock, NULL);
    nloop = 0;
    atomic_store(&stop_state, STOP_NONE);
    atomic_store(&stop_fd_plus_1, 0);
    if (fd >= 0)
        close(fd);
    loop_here = NULL;
    sched_in_child();
}

static int loops_enter(bool serves)
{
    int r;

    pthread_mutex_lock(&loops_lock);
    r = make_stop_fd();
    if (r == 0 && serves) {
        forget_old_stop();
        nloop++;
    }
    pthread_mutex_unlock(&loops_lock);
    return r;
}

static void loops_leave(bool serves)
{
    int asked = STOP_ASKED;

    if (!serves)
        return;
    pthread_mutex_lock(&loops_lock);
    if (--nloop == 0)
        atomic_compare_exchange_strong(&stop_state, &asked, STOP_OVER);
    pthread_mutex_unlock(&loops_lock);
}

int loop_open(struct loop *l, const struct backend_ops *ops, size_t stack_len, bool serves)
{
    CHECK(loop_here == NULL, "a thread can have one loop only");
    life_start();
    *l = (struct loop){.ops = ops, .serves = serves, .stopped = !serves};
    list_init(&l->socks);
    list_init(&l->stoppers);
    wheel_init(&l->wheel, ops->now());
    int r = loops_enter(serves);
    if (r < 0)
        return r;
    r = sched_init(&l->sched, stack_len);
    if (r < 0)
        goto fail_enter;
    r = ops->open(l);
    if (r < 0)
        goto fail_sched;
    loop_here = l;
    return 0;

fail_sched:
    sched_fini(&l->sched);
fail_enter:
    loops_leave(serves);
    return r;
}

static struct post *reversed(struct post *p)
{
    struct post *before = NULL;

    while (p) {
        struct post *next = p->next;

        p->next = before;
        before = p;
        p = next;
    }
    return before;
}

void loop_take_posts(struct loop *l)
{
    if (!atomic_load_explicit(&l->inbox, memory_order_relaxed))
        return;
    struct post *p = reversed(atomic_exchange(&l->inbox, NULL));

    while (p) {
        struct post *next = p->next; /* p may be gone once it has run */

        p->run(p);
        p = next;
    }
}

void loop_post(struct loop *l, struct post *p)
{
    struct post *first = atomic_load(&l->inbox);

    /* What p tells may be what the loop was waiting for to end. */
    atomic_fetch_add(&l->nposter, 1);
    do {
        p->next = first;
    } while (!atomic_compare_exchange_weak(&l->inbox, &first, p));
    if (atomic_exchange(&l->asleep, false))
        l->ops->wake(l);
    atomic_fetch_sub(&l->nposter, 1);
}

bool loop_has_mail(struct loop *l)
{
    return atomic_load(&l->inbox) || (loop_stopping() && !l->stopped);
}

static void tell_stoppers(struct loop *l)
{
    struct list *n;

    if (!loop_stopping() || l->stopped)
        return;
    l->stopped = true;
    while ((n = list_shift(&l->stoppers))) {
        struct stopper *s = CONTAINER(n, struct stopper, link);

        s->run(s);
    }
}

void loop_on_stop(struct loop *l, struct stopper *s)
{
    if (l->stopped)
        s->run(s);
    else
        list_add(&l->stoppers, &s->link);
}

void loop_off_stop(struct stopper *s)
{
    if (list_linked(&s->link))
        list_remove(&s->link);
}

void loop_interrupt(struct fiber *f, int why)
{
    struct op *op = f->waits_for;

    f->interrupted = why;
    if (!op || op->state != OP_WAITING)
        return;
    op->state = OP_CANCELLING;
    op->why = why;
    loop_here->ops->cancel(loop_here, op);
}

static void fire_timers(struct loop *l)
{
    struct wheel_node *n;
    uint64_t now;

    if (wheel_next(&l->wheel) == WHEEL_NEVER)
        return;
    now = l->ops->now();
    wheel_advance(&l->wheel, now);
    while ((n = wheel_fired(&l->wheel))) {
        struct fiber *f = CONTAINER(n, struct fiber, timer);
        const struct op *op = f->waits_for;

        if (!op || op->until_ns == 0 || op->until_ns == WHEEL_NEVER)
            continue;
        if (op->until_ns > now)
            wheel_add(&l->wheel, n, op->until_ns);
        else
            loop_interrupt(f, -ETIME);
    }
}

/* A plain thread waits here (dial's race).  The hook is called as on the thread itself, for
 * it may use sockets. */
static void ask_hook(struct loop *l)
{
    l->signalled = false;
    if (!l->hooked)
        return;
    loop_here = NULL;
    int r = interrupt_check();
    loop_here = l;
    if (r < 0)
        loop_interrupt(l->hooked, r);
}

static int64_t processor_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Look for something to do, without sleeping, until end_ns. */
static enum look_result look_around(struct loop *l, uint64_t now_ns, uint64_t end_ns)
{
    while (now_ns < end_ns) {
        uint64_t last_ns = now_ns;

        l->ops->wait(l, 0);
        if (l->sched.nready > 0 || loop_has_mail(l))
            return LOOK_FOUND;
        now_ns = l->ops->now();
        if (now_ns - last_ns > LOOK_DISTURBED_NS)
            return LOOK_DISTURBED;
    }
    return LOOK_NOTHING;
}

static void sleep_until(struct loop *l, uint64_t until_ns)
{
    bool measures = look_measures(&l->look);
    int64_t before_ns = measures ? processor_ns() : 0;

    l->ops->wait(l, until_ns);
    look_slept(&l->look, l->ops->now(), measures ? processor_ns() - before_ns : -1);
}

/* Nobody is ready: look a little, if that pays, and sleep. */
static void wait_patiently(struct loop *l, uint64_t until_ns)
{
    uint64_t now_ns = l->ops->now();
    int64_t look_ns = look_begin(&l->look, now_ns);
    enum look_result how = LOOK_NOTHING;

    if (look_ns > 0) {
        uint64_t end_ns = now_ns + (uint64_t)look_ns;

        how = look_around(l, now_ns, end_ns < until_ns ? end_ns : until_ns);
        look_ended(&l->look, now_ns, l->ops->now(), how);
    }
    if (how != LOOK_FOUND)
        sleep_until(l, until_ns);
}

static void wait_for_work(struct loop *l)
{
    if (l->sched.nready > 0)
        l->ops->wait(l, 0);
    else if (l->look.max_ns > 0)
        wait_patiently(l, wheel_next(&l->wheel));
    else
        l->ops->wait(l, wheel_next(&l->wheel));
}

/* Whoever watches may have gone to sleep while there was nothing to do. */
static void show_life(struct loop *l)
{
    struct watch *w = l->watch;

    if (w && unlikely(atomic_load_explicit(&w->sleeps, memory_order_relaxed)))
        watch_wake(w);
}

void loop_run(struct loop *l)
{
    while (l->sched.nfiber > 0) {
        fiber_run(&l->sched, FIBERS_PER_TURN);
        loop_take_posts(l);
        tell_stoppers(l);
        if (l->sched.nfiber == 0)
            break;
        wait_for_work(l);
        show_life(l);
        if (unlikely(l->signalled))
            ask_hook(l);
        fire_timers(l);
    }
}

void loop_close(struct loop *l)
{
    CHECK(l->sched.nfiber == 0, "a loop is closed while fibers live");
    life_leave_home(l);
    while (atomic_load(&l->nposter) > 0)
        sched_yield();
    loop_take_posts(l);
    loop_here = NULL;
    l->ops->shut(l);
    sched_fini(&l->sched);
    loops_leave(l->serves);
}

void loop_fiber_ends(void)
{
    CHECK(loop_here, "a fiber's function has returned in a child of fork(2): _exit(2) ends that");
    wheel_cancel(&loop_here->wheel, &fiber_self()->timer);
}

static void arm_timer(struct loop *l, struct fiber *f, uint64_t until_ns)
{
    if (until_ns == WHEEL_NEVER)
        return;
    if (wheel_armed(&f->timer)) {
        if (f->timer.until_ns <= until_ns)
            return;
        wheel_cancel(&l->wheel, &f->timer);
    }
    wheel_add(&l->wheel, &f->timer, until_ns);
}

/* Not inlined, for what a fiber parks on shall be small. */
__attribute__((noinline)) static void set_deadline(struct loop *l, struct op *op)
{
    op_deadline(op, l->ops->now());
    arm_timer(l, op->who, op->until_ns);
}

static void park(struct loop *l, struct op *op)
{
    op->who = fiber_self();
    op->who->waits_for = op;
    l->inline_ops = 0;
    if (op->timeout_ns >= 0 || op->scope_ns != WHEEL_NEVER || op->until_ns)
        set_deadline(l, op);
    fiber_park();
}

ssize_t op_run(struct op *op)
{
    struct loop *l = loop_here;

    op->state = OP_IDLE;
    if (unlikely(!l)) {
        block_ops.submit(NULL, op);
    } else if (!l->ops->submit(l, op)) {
        park(l, op);
    } else if (unlikely(++l->inline_ops >= OPS_INLINE_MAX)) {
        l->inline_ops = 0;
        fiber_yield();
    }
    return op->res;
}

void op_complete(struct op *op, ssize_t res)
{
    struct fiber *f = op->who;

    op->res = res;
    op->state = OP_DONE;
    f->waits_for = NULL;
    fiber_ready(f);
}
