/* sockdiag.h - the kernel's own list of sockets, by sock_diag(7).  Not what it means. */
#ifndef STOA_DIAG_SOCKDIAG_H
#define STOA_DIAG_SOCKDIAG_H

#include "diag/socket.h"

/* Which sockets of a protocol are wanted. */
struct sockdiag_wish {
    int family;      /* AF_INET or AF_INET6; AF_UNSPEC: both, of TCP only */
    int proto;       /* IPPROTO_TCP, IPPROTO_UDP */
    uint32_t states; /* DIAG_BIT()s */
    uint16_t first;  /* local ports; 0 and 0: all */
    uint16_t last;
    bool details; /* drops, and TCP's own numbers */
};

/* Each of them, until each() says other than 0.  0, each()'s answer, or negative errno:
 * -EOPNOTSUPP, -ENOENT and such: this kernel has no sock_diag for it. */
int sockdiag_inet(const struct sockdiag_wish *wish,
                  int (*each)(void *arg, const struct diag_socket *s), void *arg);

/* The same for UNIX sockets in these states. */
int sockdiag_unix(uint32_t states, int (*each)(void *arg, const struct diag_unix *s), void *arg);

/* End a socket as it is (ss -K): a TIME_WAIT is forgotten.  0; -EPERM: not root; -EOPNOTSUPP: a
 * kernel without CONFIG_INET_DIAG_DESTROY; -ENOENT: it is gone; -ESTALE: and another is there. */
int sockdiag_destroy(const struct diag_socket *s);

#endif
