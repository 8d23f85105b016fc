/* reach.h - from what was typed to a connection.  Does not know what is said on it. */
#ifndef STOA_CLI_REACH_H
#define STOA_CLI_REACH_H

#include "base/limits.h"

#include <stdbool.h>
#include <stoa.h>

struct reach {
    const char *to;     /* an address text */
    const char *source; /* the address to connect from; NULL = any */
    int family;         /* AF_INET, AF_INET6 alone; 0 = both */
    double timeout;     /* seconds for all of a try; 0 = the network's */
    double wait;        /* seconds to go on trying while nobody listens; 0 = once */
    int error;          /* of the last failure: errno's value */
    char why[SENTENCE_MAX];
};

/* Put host and port together; host may be IPv6 without brackets.  false: it is too long. */
bool reach_address(char *buf, size_t size, const char *scheme, const char *host, const char *port);

/* A connection's handle, or a listener's; -1 with r->error and r->why. */
int reach_dial(struct reach *r);
int reach_listen(struct reach *r);

/* The next client of a listener: for UDP, whoever sends the first datagram. */
int reach_accept(struct reach *r, int listener, bool datagram);

#endif
