/* ring.h - io_uring(7) itself: set-up, entries in, completions out.
 *
 * Knows nothing of sockets, fibers and loops.  A ring is its maker's thread's alone.  No
 * library is used: what a distribution ships is older than the kernel that runs, so the
 * newer constants are named here (the design's dependencies.md).
 */
#ifndef STOA_BACKEND_RING_H
#define STOA_BACKEND_RING_H

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    int fd;
    int enter_fd;          /* what io_uring_enter(2) is given: fd, or its registered number */
    unsigned enter_flags;  /* and what says which */
    unsigned sq_tail;      /* entries made; the kernel is told of them by ring_enter() */
    unsigned sq_submitted; /* and has taken so many */
    unsigned cq_head;      /* completions taken */
    unsigned sq_mask;
    unsigned cq_mask;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    _Atomic unsigned *sq_ktail; /* shared with the kernel, as all below */
    _Atomic unsigned *sq_kflags;
    _Atomic unsigned *cq_khead;
    _Atomic unsigned *cq_ktail;
    void *map;
    size_t map_len;
    size_t sqes_len;
};

/* Make a ring for the calling thread: 0; -ENOSYS, -EPERM, -ENOMEM, -EMFILE, ...; -EOPNOTSUPP
 * when the kernel's is too old to be of use. */
int ring_open(struct ring *r, unsigned entries, unsigned completions);
void ring_close(struct ring *r);

/* The next entry, all zero, to be filled.  When the ring is full the kernel is first given
 * what there is; so it never fails. */
struct io_uring_sqe *ring_sqe(struct ring *r);

/* Give the kernel all entries, let it do what it has put off, and wait for nwait completions
 * or, when it is not UINT64_MAX, for that many nanoseconds; a signal ends it, too.
 * 0; a negative errno when this kernel does not do that. */
int ring_enter(struct ring *r, unsigned nwait, uint64_t wait_ns);

/* Is there no entry that the kernel has not been given? */
static inline bool ring_is_empty(const struct ring *r)
{
    return r->sq_tail == r->sq_submitted;
}

/* Has the kernel put something off, or we, that ring_enter() would do? */
bool ring_has_work(const struct ring *r);

/* Take the next completion; false: there is none. */
static inline bool ring_cqe(struct ring *r, struct io_uring_cqe *cqe)
{
    if (r->cq_head == atomic_load_explicit(r->cq_ktail, memory_order_acquire))
        return false;
    *cqe = r->cqes[r->cq_head & r->cq_mask];
    atomic_store_explicit(r->cq_khead, ++r->cq_head, memory_order_release);
    return true;
}

/* The user_data of the completion i after the next one; 0: it is not there. */
static inline uint64_t ring_ahead(const struct ring *r, unsigned i)
{
    unsigned n = atomic_load_explicit(r->cq_ktail, memory_order_relaxed) - r->cq_head;

    return i < n ? r->cqes[(r->cq_head + i) & r->cq_mask].user_data : 0;
}

#endif
