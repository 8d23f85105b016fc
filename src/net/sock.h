/* sock.h - handles: from an int to a socket, and a call's way to its backend.
 *
 * It knows what a socket is, not what a call on it means.
 */
#ifndef STOA_NET_SOCK_H
#define STOA_NET_SOCK_H

#include "backend/life.h"
#include "base/limits.h"
#include "net/scope.h"

#include <errno.h>
#include <netinet/in.h>
#include <stoa.h>

#define SOCK_SLOTS (1u << SLOT_BITS)

struct stoa_sock {
    _Alignas(64) struct backend_sock b; /* first: the backends' part */
    atomic_bool listening;
    atomic_bool tuned;        /* stoa_setsockopt() has set something */
    atomic_bool passed;       /* a listener of ours, handed over, to us or by us: inherit.h */
    atomic_bool ended;        /* the peer's end of the stream has been read */
    atomic_bool own_death;    /* stoa_setsockopt() has said when its peer counts as dead */
    atomic_bool deaf;         /* we have ended reading: what recv tells is not the peer's end */
    atomic_int kept;          /* sock_keep_error()'s; 0 = none */
    atomic_uint nfile;        /* open files of stoa_makefile() */
    int backlog;              /* a listener's */
    uint32_t slot;            /* its place in the table, fixed for ever */
    uint32_t next_free;       /* in the table's queue of free slots */
    uint8_t generation;       /* of the handle that is, or will be, out */
    socklen_t peer_len;       /* > 0: the peer's address */
    struct sockaddr_in6 peer; /* large enough for AF_INET, too */
};

/* How often the process has forked: to be asked before a descriptor is made, for sock_make(). */
uint32_t sock_forks(void);

/* A handle for a descriptor, which it owns from now on; a child that was forked since `forks` was
 * asked may have it, too.  -ENOMEM, -ENFILE: fd is left open. */
int sock_make(int fd, int family, int type, int proto, uint32_t forks);

/* The table, by parts that are mapped when they are needed. */
extern _Atomic(struct stoa_sock *) sock_chunks[];

/* The handle's place in the table; NULL: it is none.  Whether it is alive is not looked at. */
static inline struct stoa_sock *sock_at(int s)
{
    uint32_t slot = (uint32_t)s & (SOCK_SLOTS - 1);
    struct stoa_sock *chunk;

    if (unlikely(s < (int)SOCK_SLOTS))
        return NULL;
    chunk = atomic_load_explicit(&sock_chunks[slot / CHUNK_SLOTS], memory_order_acquire);
    return likely(chunk != NULL) ? chunk + slot % CHUNK_SLOTS : NULL;
}

/* What the life of a live handle's socket is. */
static inline uint32_t sock_life(int s)
{
    return (uint32_t)s >> SLOT_BITS;
}

/* Is s alive, and of that family and type (0 = any)?  0; -EBADF, -EOPNOTSUPP. */
int sock_check(int s, int family, int type);

/* For a call that does not wait: nobody closes the socket until sock_leave().  NULL: dead. */
struct stoa_sock *sock_enter(int s);
void sock_leave(struct stoa_sock *so);

/* Remember whom a socket is connected to: the kernel forgets it when the peer has left. */
void sock_keep_peer(struct stoa_sock *so, const struct stoa_addr *peer);

/* An error that came behind the bytes of a MSG_WAITALL: the kernel tells it once, so it is kept
 * for the next call that would find the end of the stream instead.  0: there is none. */
void sock_keep_error(int s, int error);
int sock_kept_error(int s);

/* The same for who has entered. */
static inline int sock_take_error(struct stoa_sock *so)
{
    return unlikely(atomic_load(&so->kept)) ? atomic_exchange(&so->kept, 0) : 0;
}

/* Give op the socket's timeout and the scope's deadline. */
static inline void sock_times(struct stoa_sock *so, struct op *op, const struct local *me)
{
    bool dont_wait = op->kind != OP_POLL && (op->flags & MSG_DONTWAIT);

    op->timeout_ns = dont_wait ? 0 : atomic_load_explicit(&so->b.timeout_ns, memory_order_relaxed);
    op->scope_ns = scope_until(me);
}

/* sock_run() for an op that gave r: what it means, and another try where that is the way. */
__attribute__((cold)) ssize_t sock_run_failed(struct op *op, ssize_t r, bool begun);

/* Run op on s, with its timeout and the scope; op->life LIFE_FILE for a file of
 * stoa_makefile(), which lives on when the handle is closed.  Returns the result, negative errno
 * when it failed.  The same op may be run again with the same deadline; one that has run,
 * or names its socket already, has begun, and is then cancelled by a close.
 * Inline, as sock_at() is: two calls less for each message. */
static inline ssize_t sock_run(int s, struct op *op)
{
    struct local *me = &fiber_self()->local;
    struct stoa_sock *so = sock_at(s);
    bool begun = op->sock != NULL;

    if (unlikely(!so))
        return -EBADF;
    if (unlikely(scope_check(me) < 0))
        return -ECANCELED;
    op->sock = &so->b;
    op->life = sock_life(s) | (op->life & LIFE_FILE);
    sock_times(so, op, me);
    ssize_t r = op_run(op);

    return likely(r >= 0) ? r : sock_run_failed(op, r, begun);
}

/* Wait so long without a socket: 0 after it; -ETIME when until_ns came first, -ECANCELED. */
int sock_pause(uint64_t ns, uint64_t until_ns);

/* When a look-up for s that begins now must have ended: its timeout and the scope's.  A
 * non-blocking socket's look-up does wait, as Python's does. */
uint64_t sock_until(int s);

/* Close in one of the ways; detach gives the descriptor.  0, -EBADF, -EBUSY. */
int sock_close(int s, enum backend_close how);

/* The socket of s under another handle, which nobody knows: s is closed, its file is not.
 * -EBADF, -EBUSY: s is as it was.  -ENOMEM, -ENFILE: the file is closed, too. */
int sock_take_over(int s);

/* A file of stoa_makefile() on s begins, and ends. */
int sock_file_opens(int s);
int sock_file_closes(int s);

#endif
