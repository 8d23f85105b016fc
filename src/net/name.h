/* name.h - looking names up, of hosts and of services.  It does not know for which call. */
#ifndef STOA_NET_NAME_H
#define STOA_NET_NAME_H

#include "net/addr.h"

/* Find the addresses that the parts name.
 *
 *   p         of which addr_numeric() has said 1 for this family
 *   family    AF_UNSPEC, or the only one that will do
 *   socktype  SOCK_STREAM, SOCK_DGRAM ...: a service may have a port for each; 0 = as TCP.
 *             It is the addresses' type, too
 *   passive   to bind to: no host is [::] (or 0.0.0.0), else the loopback addresses
 *   until_ns  when to stop waiting; WHEEL_NEVER
 *   list, n   room for n addresses, at least one
 *   why       room for why_len bytes: "", or which server answered what, as the middle of a
 *             sentence: `the name server 127.0.0.53 says there is no such name`
 *
 * How many were written, 1 .. n, in the order of RFC 6724; or -ENOENT no such host or
 * service; -EREMOTEIO no server could say; -ETIME, -ECANCELED, -ENOMEM, -EMFILE, -ENFILE. */
int name_resolve(const struct addr_parts *p, int family, int socktype, bool passive,
                 uint64_t until_ns, struct stoa_addr *list, size_t n, char *why, size_t why_len);

#endif
