/* sockets.h - the machine's sockets, from the best source there is. */
#ifndef STOA_DIAG_SOCKETS_H
#define STOA_DIAG_SOCKETS_H

#include "diag/sockdiag.h"

/* How they were seen. */
enum sockets_source {
    SOCKETS_DIAG, /* sock_diag: all there is to know */
    SOCKETS_PROC, /* /proc/net: see procnet.h for what is hidden */
    SOCKETS_NONE, /* neither */
};

/* Each socket of both families that wish asks for (wish->family is not looked at), until each()
 * says other than 0. */
enum sockets_source sockets_inet(const struct sockdiag_wish *wish,
                                 int (*each)(void *arg, const struct diag_socket *s), void *arg);
enum sockets_source sockets_unix(uint32_t states, int (*each)(void *arg, const struct diag_unix *s),
                                 void *arg);

#endif
