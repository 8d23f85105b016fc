/* where.h - from an address text to the addresses to use: the look-up's place in every call. */
#ifndef STOA_NET_WHERE_H
#define STOA_NET_WHERE_H

#include "net/addr.h"

/* What a text came to. */
struct where {
    struct addr_parts parts;
    struct stoa_addr list[DIAL_ADDRESSES_MAX];
    int n;
    char why[DETAIL_MAX]; /* what is wrong, "" when a code says it all */
};

/* Find the addresses that a text means.
 *
 *   family    AF_UNSPEC, or the only one that will do
 *   type      SOCK_STREAM, SOCK_DGRAM, ...: a scheme that says otherwise is an error;
 *             0 = as the scheme says
 *   passive   to bind to: no host means all; else no host means this machine
 *   until_ns  for names; WHEEL_NEVER
 *
 * 0 with n >= 1; negative errno with why.  An fd: has n == 0 and parts.fd. */
int where_find(struct where *w, const char *text, int family, int type, bool passive,
               uint64_t until_ns);

/* The first address, NULL when none was found. */
static inline const struct stoa_addr *where_first(const struct where *w)
{
    return w->n ? &w->list[0] : NULL;
}

#endif
