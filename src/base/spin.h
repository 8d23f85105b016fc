/* spin.h - a lock for a handful of instructions, never held across a system call.
 *
 * One byte.  It does not know who holds it; a holder that lost its processor is waited
 * for by giving ours away.
 */
#ifndef STOA_BASE_SPIN_H
#define STOA_BASE_SPIN_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SPIN_TRIES 64 /* looks before the processor is given away */

static inline void spin_lock(atomic_bool *lock)
{
    int tries = 0;

    while (atomic_exchange_explicit(lock, true, memory_order_acquire))
        if (++tries >= SPIN_TRIES)
            sched_yield();
}

static inline void spin_unlock(atomic_bool *lock)
{
    atomic_store_explicit(lock, false, memory_order_release);
}

#endif
