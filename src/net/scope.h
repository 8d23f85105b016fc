/* scope.h - what the innermost scope says of a call: may it wait, and until when. */
#ifndef STOA_NET_SCOPE_H
#define STOA_NET_SCOPE_H

#include "fiber/fiber.h"

#include <errno.h>
#include <stdbool.h>
#include <stoa.h>

#define SCOPE_SHIELD 1u /* in stoa_scope.flags: here or further out is a shield */

/* -ECANCELED: the caller was cancelled and no shield is up.  0: it may wait. */
static inline int scope_check(const struct local *me)
{
    if (!atomic_load_explicit(&me->cancelled, memory_order_relaxed))
        return 0;
    return me->scope && (me->scope->flags & SCOPE_SHIELD) ? 0 : -ECANCELED;
}

/* The nearest deadline that holds; WHEEL_NEVER mostly. */
static inline uint64_t scope_until(const struct local *me)
{
    return me->scope ? me->scope->until_ns : WHEEL_NEVER;
}

/* Seconds as nanoseconds, rounded up; -1 for negative ones and what is beyond 292 years. */
int64_t scope_nanoseconds(double seconds);

#endif
