/* life.c - the end of a socket that other threads may be using in this moment.
 *
 * How an end goes, whoever begins it and wherever:
 *
 *   1. The facade sets LIFE_OVER: nothing new begins.
 *   2. Guests who wait are woken and see it.  Operations that wait at home complete
 *      with -ECANCELED: at once when we are at home, else when the home's thread
 *      takes our message (`tell`).
 *   3. System calls under way end: none of them waits, but for a plain thread's poll(2),
 *      which keeps the open file and which 2 has ended.  Guests count down nguest; the
 *      home's `holds` is seen after membarrier(2) (the asymmetric form of Dekker's
 *      handshake: we store life, the kernel puts a full barrier into every running
 *      thread of ours, we look at holds; either the home's thread saw our store or
 *      we see its).
 *   4. The descriptor is closed.  Nobody can use its number through us any more.
 *   5. LIFE_GONE: the struct goes back when the home's thread has let go of it.
 *
 * What the kernel has in its hands (`nflight`, io_uring) only the home can take back.  Who
 * closes elsewhere hands the end to the home, whole (`handed`), and waits for it, but not
 * for ever: the home may be running code that waits for us.  docs/why/0007-uring.md.
 *
 * A home can end while others close its sockets: homes_lock keeps `home` what it is
 * while it is used from outside.  Adoption needs none: of two who try, one exchanges first.
 *
 * Source: membarrier(2), "MEMBARRIER_CMD_PRIVATE_EXPEDITED"; Linux 4.14.
 */
#include "backend/life.h"

#include "backend/guest.h"
#include "backend/kernel.h"
#include "backend/linger.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/spin.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool life_has_membarrier;
static void (*gone_hook)(struct backend_sock *s);
static pthread_mutex_t homes_lock = PTHREAD_MUTEX_INITIALIZER;

_Atomic uint32_t life_forks;

static void forked(void)
{
    atomic_fetch_add(&life_forks, 1);
}

/* Here is one plain thread, whatever it was before. */
static void in_child(void)
{
    forked();
    pthread_mutex_init(&homes_lock, NULL);
    kernel_in_child();
    loop_in_child();
}

static void start(void)
{
    pthread_atfork(NULL, forked, in_child);
    life_has_membarrier =
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void life_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start);
}

void life_init(void (*gone)(struct backend_sock *s))
{
    gone_hook = gone;
    life_start();
}

/* End what waits at home and does not fit any more.  On the home's thread. */
static void cancel_unfit(struct loop *home, struct backend_sock *s)
{
    uint32_t life = atomic_load(&s->life);

    for (struct list *n = s->ops.next, *next; n != &s->ops; n = next) {
        struct op *op = CONTAINER(n, struct op, link);

        next = n->next;
        if (life_fits(life, op->life) || op->state != OP_WAITING)
            continue;
        op->state = OP_CANCELLING;
        op->why = -ECANCELED;
        home->ops->cancel(home, op);
    }
}

/* Nothing fits s any more: have the kernel let go of it, too.  On the home's thread. */
static void settle(struct loop *home, struct backend_sock *s)
{
    cancel_unfit(home, s);
    if (home->ops->settle)
        home->ops->settle(home, s);
}

/* Give the struct back, if its end has come; only one of those who try does.  Not while a message
 * to its home is on its way, which would then meet another socket: that one comes back here. */
static void give_back(struct backend_sock *s)
{
    uint32_t life = atomic_load(&s->life);

    if (atomic_load(&s->telling))
        return;
    if (!(life & LIFE_GONE) || !atomic_compare_exchange_strong(&s->life, &life, life & ~LIFE_GONE))
        return;
    if (list_linked(&s->home_link))
        list_remove(&s->home_link);
    /* Who comes with the old handle shall not look further. */
    atomic_store_explicit(&s->home, NULL, memory_order_release);
    gone_hook(s);
}

static void tell_home(struct backend_sock *s);
static void close_handed(struct backend_sock *s, enum backend_close how);

/* On the home's thread, if it still is: something of s has ended, or a guest waits. */
static void told(struct post *p)
{
    struct backend_sock *s = CONTAINER(p, struct backend_sock, tell);
    struct loop *home = atomic_load(&s->home);
    uint8_t handed;

    atomic_store(&s->telling, false);
    handed = atomic_load(&s->handed);
    if (handed && (!home || home == loop_here)) {
        close_handed(s, (enum backend_close)(handed - 1));
        return;
    }
    if (home && home == loop_here && atomic_load(&s->nwaiter) > 0)
        home->ops->arm_for_guest(home, s, (atomic_load(&s->life) & LIFE_GENERATION) | LIFE_FILE);
    tell_home(s);
}

void life_call_home(struct loop *home, struct backend_sock *s)
{
    if (!atomic_exchange(&s->telling, true))
        loop_post(home, &s->tell);
}

/* Let the home see what has ended; it is at hand, or nobody's, or gets a message. */
static void tell_home(struct backend_sock *s)
{
    struct loop *home = atomic_load(&s->home);

    if (home && home == loop_here) {
        cancel_unfit(home, s);
        give_back(s);
        return;
    }
    pthread_mutex_lock(&homes_lock);
    home = atomic_load(&s->home);
    if (home)
        life_call_home(home, s);
    pthread_mutex_unlock(&homes_lock);
    if (!home)
        give_back(s);
}

/* 0 is the usual protocol: for a stream of the internet, TCP. */
static uint16_t protocol_of(int family, int type, int proto)
{
    bool usual = !proto && type == SOCK_STREAM && (family == AF_INET || family == AF_INET6);

    return (uint16_t)(usual ? IPPROTO_TCP : proto);
}

/* No home, and nothing waits there.  Nobody else can see it now: plain stores. */
static void be_nobodys(struct backend_sock *s)
{
    atomic_store_explicit(&s->home, NULL, memory_order_relaxed);
    s->home_link = (struct list){0};
    list_init(&s->ops);
    list_init(&s->waiters);
    s->armed = 0;
    s->heard = 0;
    atomic_store_explicit(&s->nflight, 0, memory_order_relaxed);
    atomic_store_explicit(&s->polled, false, memory_order_relaxed);
    atomic_store_explicit(&s->handed, 0, memory_order_relaxed);
    atomic_store_explicit(&s->guarded, false, memory_order_relaxed);
}

void life_begin(struct backend_sock *s, int fd, int family, int type, int proto,
                uint32_t generation)
{
    be_nobodys(s);
    atomic_store_explicit(&s->fd, fd, memory_order_relaxed);
    atomic_store_explicit(&s->shared, false, memory_order_relaxed);
    atomic_store_explicit(&s->lingers, false, memory_order_relaxed);
    s->family = (uint8_t)family;
    s->type = (uint8_t)type;
    s->proto = protocol_of(family, type, proto);
    s->tell.run = told;
    atomic_store_explicit(&s->life, generation, memory_order_release);
}

void life_in_child(struct backend_sock *s)
{
    uint32_t life = atomic_load(&s->life);

    if (life == 0 || (life & LIFE_OVER))
        return;
    be_nobodys(s);
    atomic_store(&s->nwaiter, 0);
    atomic_store(&s->nguest, 0);
    atomic_store(&s->lock, false);
    atomic_store(&s->telling, false);
}

struct loop *life_adopt(struct loop *l, struct backend_sock *s, uint32_t want)
{
    struct loop *home = NULL;

    /* As a guest: until we are done nobody frees the struct. */
    atomic_fetch_add(&s->nguest, 1);
    if (!life_fits(atomic_load(&s->life), want)) {
        home = NULL;
    } else if (atomic_compare_exchange_strong(&s->home, &home, l)) {
        list_add(&l->socks, &s->home_link);
        home = l;
    }
    atomic_fetch_sub(&s->nguest, 1);
    return home;
}

struct loop *life_lock_home(struct backend_sock *s, uint32_t want)
{
    pthread_mutex_lock(&homes_lock);
    struct loop *home = atomic_load(&s->home);

    return home ? home : life_adopt(loop_here, s, want);
}

void life_unlock_home(void)
{
    pthread_mutex_unlock(&homes_lock);
}

void life_leave_home(struct loop *l)
{
    struct list *n;

    pthread_mutex_lock(&homes_lock);
    while ((n = list_shift(&l->socks))) {
        struct backend_sock *s = CONTAINER(n, struct backend_sock, home_link);

        CHECK(list_empty(&s->ops), "a fiber's operation outlived its loop");
        settle(l, s);
        s->armed = 0;
        s->heard = 0;
        atomic_store(&s->polled, false);
        atomic_store(&s->home, NULL);
        guest_wake(s, POLLIN | POLLOUT | POLLPRI);
    }
    pthread_mutex_unlock(&homes_lock);
}

/* Wait until no system call of a guest on s is under way.  None waits any more, but one that
 * has just been woken needs a processor for it: it gets ours, whatever our priority is. */
static void guests_end(struct backend_sock *s)
{
    const struct timespec moment = {.tv_nsec = GUESTS_END_NS};

    for (int tries = 0; atomic_load(&s->nguest) > 0; tries++) {
        if (tries < SPIN_TRIES)
            sched_yield();
        else
            nanosleep(&moment, NULL);
    }
}

/* The same of home's, which does not wait in one. */
static void home_ends(struct backend_sock *s, struct loop *home)
{
    if (!home || home == loop_here || !life_has_membarrier)
        return;
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0,
          "membarrier(2), which the kernel had promised, is refused");
    while (atomic_load(&home->holds) == s)
        sched_yield();
}

/* Nobody can reach the descriptor through us any more: it, to be closed. */
static int take_descriptor(struct backend_sock *s, struct loop *home, enum backend_close how)
{
    int fd = life_fd(s);

    if (home && home->ops->forget && how != CLOSE_PLAIN)
        home->ops->forget(home, s);
    atomic_store_explicit(&s->fd, -1, memory_order_relaxed);
    return fd;
}

static int close_descriptor(const struct backend_sock *s, int fd, enum backend_close how)
{
    const struct backend_ops *ops = backend_here();
    int r = ops->end ? ops->end(fd, how) : -ENOTSOCK;

    if (r != -ENOTSOCK)
        return r;
    switch (how) {
    case CLOSE_DETACH:
        return fd;
    case CLOSE_RESET:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                   sizeof(struct linger));
        close(fd);
        return 0;
    case CLOSE_POLITE:
        linger_close(fd, atomic_load(&s->gap_ms));
        return 0;
    case CLOSE_SHARED:
        linger_close_shared(fd);
        return 0;
    default:
        close(fd);
        return 0;
    }
}

/* Close it, and be done with it; the descriptor is out of reach. */
static int close_now(struct backend_sock *s, int fd, enum backend_close how)
{
    if (atomic_load_explicit(&s->lingers, memory_order_relaxed) &&
        (how == CLOSE_PLAIN || how == CLOSE_POLITE))
        linger_forbid(fd);
    int r = close_descriptor(s, fd, how);

    atomic_store_explicit(&s->handed, 0, memory_order_release);
    atomic_fetch_or(&s->life, LIFE_GONE);
    tell_home(s);
    return r;
}

/* On the home's thread. */
static int close_at_home(struct backend_sock *s, struct loop *home, enum backend_close how)
{
    settle(home, s);
    guests_end(s);
    return close_now(s, take_descriptor(s, home, how), how);
}

/* What another thread has left to us.  A home that has ended since had nothing in flight. */
static void close_handed(struct backend_sock *s, enum backend_close how)
{
    struct loop *home = atomic_load(&s->home);

    atomic_store(&loop_here->late, false);
    if (home) {
        close_at_home(s, home, how);
        return;
    }
    guests_end(s);
    close_now(s, take_descriptor(s, NULL, how), how);
}

/* Has the home closed s, which was of this generation? */
static bool has_closed(struct backend_sock *s, uint32_t generation)
{
    return atomic_load(&s->handed) == 0 || (atomic_load(&s->life) & LIFE_GENERATION) != generation;
}

/* The home closes s, soon.  Not to be waited for without end, but for a descriptor that is to
 * be used again: nothing may reach that one.  A loop that waits goes on to serve the others
 * who wait for it. */
static void await_home(struct backend_sock *s, uint32_t generation, enum backend_close how)
{
    uint64_t until_ns = kernel_now() + CLOSE_WAIT_NS;

    while (!has_closed(s, generation) && (how == CLOSE_DETACH || kernel_now() < until_ns)) {
        if (loop_here)
            loop_take_posts(loop_here);
        sched_yield();
    }
    pthread_mutex_lock(&homes_lock);
    struct loop *home = atomic_load(&s->home);
    if (home && !has_closed(s, generation)) {
        atomic_store(&home->late, true);
        if (has_closed(s, generation)) /* just now, and it was not late */
            atomic_store(&home->late, false);
    }
    pthread_mutex_unlock(&homes_lock);
}

/* Under homes_lock, which it gives up. */
static int hand_over(struct backend_sock *s, struct loop *home, enum backend_close how)
{
    uint32_t generation = atomic_load(&s->life) & LIFE_GENERATION;
    int fd = life_fd(s);
    bool late = atomic_load(&home->late);

    atomic_store(&s->handed, (uint8_t)(how + 1));
    life_call_home(home, s);
    pthread_mutex_unlock(&homes_lock);
    if (!late || how == CLOSE_DETACH)
        await_home(s, generation, how);
    return how == CLOSE_DETACH ? fd : 0;
}

/* Not on the home's thread. */
static int close_elsewhere(struct backend_sock *s, enum backend_close how)
{
    guests_end(s);
    pthread_mutex_lock(&homes_lock);
    struct loop *home = atomic_load(&s->home);

    home_ends(s, home);
    if (atomic_load(&s->nflight) > 0)
        return hand_over(s, home, how);
    int fd = take_descriptor(s, home, how);
    pthread_mutex_unlock(&homes_lock);
    return close_now(s, fd, how);
}

int life_close(struct backend_sock *s, enum backend_close how)
{
    struct loop *home = atomic_load(&s->home);

    guest_wake(s, 0);
    return home && home == loop_here ? close_at_home(s, home, how) : close_elsewhere(s, how);
}

void life_end_handle(struct backend_sock *s)
{
    guest_wake(s, 0);
    tell_home(s);
}
