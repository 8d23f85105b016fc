/* ring.c - io_uring(7) without a library: one mapping, one io_uring_enter(2) a turn.
 *
 * The set-up asks for what makes a ring of one thread cheap and drops it piece by piece
 * where the kernel is older:
 *
 *   SINGLE_ISSUER | DEFER_TASKRUN  6.1   completions are made in our io_uring_enter(2) only
 *   NO_SQARRAY                     6.6   no table between entries and ring
 *   COOP_TASKRUN | TASKRUN_FLAG    5.19  no interrupt for a completion
 *   SUBMIT_ALL                     5.18  an entry refused does not hold the next one up
 *
 * The ring's descriptor is registered (5.18), which saves looking it up.  The mapping is not
 * inherited by fork(2): a child that wrote to it would disturb its parent.
 *
 * What holds: only the maker's thread touches a ring.  The kernel reads an entry when
 * io_uring_enter(2) takes it, not later (FEAT_SUBMIT_STABLE).
 *
 * Sources: io_uring_setup(2), io_uring_enter(2), io_uring_register(2); include/uapi/linux/
 * io_uring.h of Linux 6.18 for what the installed header lacks.
 */
#include "backend/ring.h"

#include "base/check.h"

#include <errno.h>
#include <limits.h>
#include <linux/time_types.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SETUP_CQSIZE = 1 << 3,
    SETUP_CLAMP = 1 << 4,
    SETUP_SUBMIT_ALL = 1 << 7,
    SETUP_COOP_TASKRUN = 1 << 8,
    SETUP_TASKRUN_FLAG = 1 << 9,
    SETUP_SINGLE_ISSUER = 1 << 12,
    SETUP_DEFER_TASKRUN = 1 << 13,
    SETUP_NO_SQARRAY = 1 << 16,
};

enum {
    ENTER_GETEVENTS = 1 << 0,
    ENTER_EXT_ARG = 1 << 3,
    ENTER_REGISTERED_RING = 1 << 4,
};

/* SINGLE_MMAP, NODROP, SUBMIT_STABLE, FAST_POLL, POLL_32BITS, EXT_ARG, CQE_SKIP: Linux 5.17. */
#define FEATURES_NEEDED (1u << 0 | 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 11)

enum { REGISTER_RING_FDS = 20, UNREGISTER_RING_FDS = 21 };

#define SQ_TASKRUN     (1u << 2)
#define SQ_CQ_OVERFLOW (1u << 1)

static int setup(struct ring *r, unsigned entries, struct io_uring_params *p, unsigned completions)
{
    const unsigned defer = SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_TASKRUN_FLAG;
    const unsigned wishes[] = {
        SETUP_SUBMIT_ALL | defer | SETUP_NO_SQARRAY,
        SETUP_SUBMIT_ALL | defer,
        SETUP_SUBMIT_ALL | SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG,
        SETUP_SUBMIT_ALL,
        0,
    };

    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        *p = (struct io_uring_params){
            .flags = wishes[i] | SETUP_CQSIZE | SETUP_CLAMP,
            .cq_entries = completions,
        };
        r->fd = (int)syscall(SYS_io_uring_setup, entries, p);
        if (r->fd >= 0)
            return 0;
        if (errno != EINVAL)
            return -errno;
    }
    return -EINVAL;
}

static void *map(int fd, size_t len, uint64_t what)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)what);

    if (at == MAP_FAILED)
        return NULL;
    madvise(at, len, MADV_DONTFORK);
    return at;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void *shared(const struct ring *r, uint32_t off)
{
    return (char *)r->map + off;
}

static int map_all(struct ring *r, const struct io_uring_params *p)
{
    uint32_t *array;

    r->map_len = larger(
        p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe),
        p->flags & SETUP_NO_SQARRAY ? 0 : p->sq_off.array + p->sq_entries * sizeof(uint32_t));
    r->sqes_len = p->sq_entries * sizeof(struct io_uring_sqe);
    r->map = map(r->fd, r->map_len, IORING_OFF_SQ_RING);
    if (!r->map)
        return -ENOMEM;
    r->sqes = map(r->fd, r->sqes_len, IORING_OFF_SQES);
    if (!r->sqes) {
        munmap(r->map, r->map_len);
        return -ENOMEM;
    }
    r->sq_mask = p->sq_entries - 1;
    r->cq_mask = p->cq_entries - 1;
    r->sq_ktail = shared(r, p->sq_off.tail);
    r->sq_kflags = shared(r, p->sq_off.flags);
    r->cq_khead = shared(r, p->cq_off.head);
    r->cq_ktail = shared(r, p->cq_off.tail);
    r->cqes = shared(r, p->cq_off.cqes);
    array = shared(r, p->sq_off.array);
    for (unsigned i = 0; !(p->flags & SETUP_NO_SQARRAY) && i < p->sq_entries; i++)
        array[i] = i;
    return 0;
}

static void register_fd(struct ring *r)
{
    struct io_uring_rsrc_update u = {.offset = UINT32_MAX, .data = (uint32_t)r->fd};

    r->enter_fd = r->fd;
    r->enter_flags = 0;
    if (syscall(SYS_io_uring_register, r->fd, REGISTER_RING_FDS, &u, 1) != 1)
        return;
    r->enter_fd = (int)u.offset;
    r->enter_flags = ENTER_REGISTERED_RING;
}

int ring_open(struct ring *r, unsigned entries, unsigned completions)
{
    struct io_uring_params p;
    int e;

    *r = (struct ring){.fd = -1};
    e = setup(r, entries, &p, completions);
    if (e < 0)
        return e;
    e = (p.features & FEATURES_NEEDED) == FEATURES_NEEDED ? map_all(r, &p) : -EOPNOTSUPP;
    if (e < 0) {
        close(r->fd);
        return e;
    }
    register_fd(r);
    return 0;
}

void ring_close(struct ring *r)
{
    struct io_uring_rsrc_update u = {.offset = (uint32_t)r->enter_fd};

    if (r->enter_flags)
        syscall(SYS_io_uring_register, r->fd, UNREGISTER_RING_FDS, &u, 1);
    munmap(r->sqes, r->sqes_len);
    munmap(r->map, r->map_len);
    close(r->fd);
}

/* One io_uring_enter(2): how many entries were taken, or a negative errno. */
static int enter(struct ring *r, unsigned nwait, unsigned flags, const struct timespec *wait)
{
    struct __kernel_timespec ts = {0};
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8, .ts = (uintptr_t)&ts};
    long n;

    flags |= r->enter_flags;
    atomic_store_explicit(r->sq_ktail, r->sq_tail, memory_order_release);
    if (wait) {
        ts.tv_sec = wait->tv_sec;
        ts.tv_nsec = wait->tv_nsec;
        flags |= ENTER_EXT_ARG;
    }
    n = syscall(SYS_io_uring_enter, r->enter_fd, r->sq_tail - r->sq_submitted, nwait, flags,
                wait ? (void *)&arg : NULL, wait ? sizeof(arg) : 0);
    if (n < 0)
        return -errno;
    r->sq_submitted += (unsigned)n;
    return (int)n;
}

/* The kernel is out of memory for a moment, or has too many completions lying. */
static bool is_for_now(int e)
{
    return e == -EAGAIN || e == -EBUSY || e == -EINTR;
}

struct io_uring_sqe *ring_sqe(struct ring *r)
{
    struct io_uring_sqe *sqe;

    while (r->sq_tail - r->sq_submitted > r->sq_mask) {
        int e = enter(r, 0, 0, NULL);

        CHECK(e >= 0 || is_for_now(e), "the kernel refuses to take a ring's entries");
        if (e <= 0)
            sched_yield();
    }
    sqe = &r->sqes[r->sq_tail++ & r->sq_mask];
    memset(sqe, 0, sizeof(*sqe));
    return sqe;
}

int ring_enter(struct ring *r, unsigned nwait, uint64_t wait_ns)
{
    struct timespec wait = {
        .tv_sec = (time_t)(wait_ns / 1000000000u),
        .tv_nsec = (long)(wait_ns % 1000000000u),
    };
    int e = enter(r, nwait, ENTER_GETEVENTS, nwait > 0 && wait_ns != UINT64_MAX ? &wait : NULL);

    return e >= 0 || e == -ETIME || is_for_now(e) ? 0 : e;
}

bool ring_has_work(const struct ring *r)
{
    return r->sq_tail != r->sq_submitted ||
           r->cq_head != atomic_load_explicit(r->cq_ktail, memory_order_relaxed) ||
           (atomic_load_explicit(r->sq_kflags, memory_order_relaxed) &
            (SQ_TASKRUN | SQ_CQ_OVERFLOW));
}
