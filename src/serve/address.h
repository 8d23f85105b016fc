/* address.h - how many connections each client address has.  Knows no socket and waits for nobody.
 *
 * What counts as one address: an IPv4 address, also in its IPv6 form, and of IPv6 the first 64
 * bits, which is what one client is given (RFC 6177).
 */
#ifndef STOA_SERVE_ADDRESS_H
#define STOA_SERVE_ADDRESS_H

#include "base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address; /* one that has connections */

struct addresses {
    pthread_mutex_t lock;
    struct list *bucket; /* under lock; what is in them, too */
    uint32_t nbucket;    /* a power of 2 */
    uint64_t seed;       /* which bucket an address is in, nobody outside can tell */
    unsigned max;        /* connections of one address */
    bool spares_loopback;
};

/* For about nconn connections in all.  0; -ENOMEM. */
int addresses_init(struct addresses *a, unsigned max, bool spares_loopback, unsigned nconn);
void addresses_fini(struct addresses *a);

/* One more connection from peer: counted in *from until addresses_leave(), NULL if this address
 * is not counted.  0; -EDQUOT: it has max already. */
int addresses_enter(struct addresses *a, const struct sockaddr *peer, struct address **from);
void addresses_leave(struct addresses *a, struct address *from);

#endif
