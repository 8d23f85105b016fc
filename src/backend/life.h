/* life.h - who may use a descriptor, and how its end is made safe.
 *
 * A system call on a descriptor that another thread closes in that moment may reach a
 * stranger's connection.  So a call is made between life_hold() and life_drop(), and
 * life_close() waits until nobody holds.  At home, the common case, holding is two
 * plain stores: the closing thread makes them visible by membarrier(2), which
 * costs it a few microseconds and us nothing.  Guests count themselves in nguest.
 *
 * It does not know handles: `life` is the socket's generation, 1 .. 255, to which
 * the end adds bits.
 */
#ifndef STOA_BACKEND_LIFE_H
#define STOA_BACKEND_LIFE_H

#include "backend/loop.h"
#include "base/check.h"

#define LIFE_GENERATION 0xffu
#define LIFE_FILE       0x100u /* the handle is closed, its files live on */
#define LIFE_OVER       0x200u /* nothing may begin any more */
#define LIFE_GONE       0x400u /* the descriptor is closed; the struct is not free yet */

/* ThreadSanitizer cannot see that membarrier orders: there, all are guests. */
#if defined(__SANITIZE_THREAD__)
#define LIFE_AT_HOME 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LIFE_AT_HOME 0
#endif
#endif
#ifndef LIFE_AT_HOME
#define LIFE_AT_HOME 1
#endif

/* Can membarrier(2) be had?  Else all are guests.  Set once, before the first loop. */
extern bool life_has_membarrier;

/* Does an operation that wants `want` fit a socket whose life is `life`?  A file's
 * operation (want has LIFE_FILE) does before and after the handle is closed. */
static inline bool life_fits(uint32_t life, uint32_t want)
{
    return likely(life == want) || (life | LIFE_FILE) == want;
}

static inline bool life_is_home(struct loop *l, struct backend_sock *s)
{
    return l && atomic_load_explicit(&s->home, memory_order_relaxed) == l;
}

static inline bool life_hold_guest(struct backend_sock *s, uint32_t want)
{
    atomic_fetch_add(&s->nguest, 1);
    if (likely(life_fits(atomic_load(&s->life), want)))
        return true;
    atomic_fetch_sub(&s->nguest, 1);
    return false;
}

static inline void life_drop_guest(struct backend_sock *s)
{
    atomic_fetch_sub_explicit(&s->nguest, 1, memory_order_release);
}

/* The two below for one who knows that l is the home of s. */
static inline bool life_hold_home(struct loop *l, struct backend_sock *s, uint32_t want)
{
    if (unlikely(!LIFE_AT_HOME || !life_has_membarrier))
        return life_hold_guest(s, want);
    atomic_store_explicit(&l->holds, s, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (likely(life_fits(atomic_load_explicit(&s->life, memory_order_relaxed), want)))
        return true;
    atomic_store_explicit(&l->holds, NULL, memory_order_relaxed);
    return false;
}

static inline void life_drop_home(struct loop *l, struct backend_sock *s)
{
    if (unlikely(!LIFE_AT_HOME || !life_has_membarrier))
        life_drop_guest(s);
    else
        atomic_store_explicit(&l->holds, NULL, memory_order_release);
}

/* May the calling thread make a system call on s now?  Then life_drop() must follow. */
static inline bool life_hold(struct loop *l, struct backend_sock *s, uint32_t want)
{
    return life_is_home(l, s) ? life_hold_home(l, s, want) : life_hold_guest(s, want);
}

static inline void life_drop(struct loop *l, struct backend_sock *s)
{
    if (life_is_home(l, s))
        life_drop_home(l, s);
    else
        life_drop_guest(s);
}

/* At home: the kernel gets an operation on s, whose answer may take its time.  Then life_land()
 * must follow it.  Who closes sees it as it sees who holds. */
static inline bool life_launch(struct backend_sock *s, uint32_t want)
{
    unsigned n = atomic_load_explicit(&s->nflight, memory_order_relaxed);

    if (LIFE_AT_HOME && life_has_membarrier) {
        atomic_store_explicit(&s->nflight, n + 1, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
    } else {
        atomic_store(&s->nflight, n + 1);
    }
    if (likely(life_fits(atomic_load(&s->life), want)))
        return true;
    atomic_store(&s->nflight, n);
    return false;
}

static inline void life_land(struct backend_sock *s)
{
    unsigned n = atomic_load_explicit(&s->nflight, memory_order_relaxed);

    atomic_store_explicit(&s->nflight, n - 1, memory_order_release);
}

/* Once for the process, before its first loop or socket: ask the kernel for membarrier(2), and
 * be told of forks. */
void life_start(void);

/* The same, and who is to be told when a socket's struct is free again. */
void life_init(void (*gone)(struct backend_sock *s));

/* How often the process has forked. */
extern _Atomic uint32_t life_forks;

/* May others have the open file: by dup, by fork, or because they gave it to us? */
static inline bool life_is_shared(const struct backend_sock *s)
{
    return atomic_load_explicit(&s->shared, memory_order_relaxed) ||
           atomic_load_explicit(&s->forks, memory_order_relaxed) !=
               atomic_load_explicit(&life_forks, memory_order_relaxed);
}

/* A socket for a descriptor: alive, nobody's home.  s->forks is the caller's. */
void life_begin(struct backend_sock *s, int fd, int family, int type, int proto,
                uint32_t generation);

/* In a child of fork, which has one thread: its parent's homes, and who was in a call, are
 * not here.  For every socket there is. */
void life_in_child(struct backend_sock *s);

/* Make l, the caller's loop, the home of a socket that has none.  Returns the home; NULL:
 * the socket's life does not fit. */
struct loop *life_adopt(struct loop *l, struct backend_sock *s, uint32_t want);

/* The home of s, which cannot end until life_unlock_home(); a socket without one gets
 * the calling thread's loop.  NULL: its life does not fit. */
struct loop *life_lock_home(struct backend_sock *s, uint32_t want);
void life_unlock_home(void);

/* Have home, which cannot end now, look at s soon: who of its guests waits. */
void life_call_home(struct loop *home, struct backend_sock *s);

/* All of l's sockets have no home from here on. */
void life_leave_home(struct loop *l);

/* The end.  s->life has LIFE_OVER already, so nothing begins: complete with -ECANCELED
 * what waits, let system calls end, close the descriptor as `how` says.  Then the
 * struct is given back, at once or on its home's thread.
 * Returns 0, or the descriptor for CLOSE_DETACH. */
int life_close(struct backend_sock *s, enum backend_close how);

/* The handle is closed and files live on: complete with -ECANCELED what waits by handle. */
void life_end_handle(struct backend_sock *s);

/* The descriptor of a socket; for the kernel's own calls. */
static inline int life_fd(const struct backend_sock *s)
{
    return atomic_load_explicit(&s->fd, memory_order_relaxed);
}

#endif
