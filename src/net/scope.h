/* scope.h - what the innermost scope says of a call: may it wait, and until when. */
#ifndef STOA_NET_SCOPE_H
#define STOA_NET_SCOPE_H

#include "fiber/fiber.h"

#include <stdbool.h>

/* -ECANCELED: the caller was cancelled and no shield is up.  0: it may wait. */
int scope_check(const struct local *me);

/* The nearest deadline that holds; WHEEL_NEVER mostly. */
uint64_t scope_until(const struct local *me);

/* Seconds as nanoseconds, rounded up; -1 for negative ones and what is beyond 292 years. */
int64_t scope_nanoseconds(double seconds);

#endif
