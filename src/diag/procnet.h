/* procnet.h - the list of sockets as /proc/net has it, for kernels without sock_diag.
 *
 * It hides what sock_diag tells: drops, TCP's own numbers, sockets that are bound and
 * do neither listen nor are connected, IPV6_V6ONLY, and how long a listener's queue may be.
 */
#ifndef STOA_DIAG_PROCNET_H
#define STOA_DIAG_PROCNET_H

#include "diag/sockdiag.h"

/* As sockdiag_inet() and sockdiag_unix(). */
int procnet_inet(const struct sockdiag_wish *wish,
                 int (*each)(void *arg, const struct diag_socket *s), void *arg);
int procnet_unix(uint32_t states, int (*each)(void *arg, const struct diag_unix *s), void *arg);

/* One line of /proc/net/tcp, tcp6, udp or udp6; false: it is none. */
bool procnet_line(struct diag_socket *s, int family, int proto, const char *line);

#endif
