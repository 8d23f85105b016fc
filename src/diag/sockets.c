/* sockets.c - sock_diag, or where it is not to be had (a filter, an old kernel), /proc/net. */
#include "diag/sockets.h"

#include "diag/procnet.h"

#include <sys/socket.h>

enum sockets_source sockets_inet(const struct sockdiag_wish *wish,
                                 int (*each)(void *arg, const struct diag_socket *s), void *arg)
{
    struct sockdiag_wish four = *wish, six = *wish, both = *wish;
    bool is_tcp = wish->proto == IPPROTO_TCP;
    int r;

    four.family = AF_INET;
    six.family = AF_INET6;
    both.family = AF_UNSPEC;
    r = sockdiag_inet(is_tcp ? &both : &four, each, arg);
    if (r == 0 && !is_tcp)
        r = sockdiag_inet(&six, each, arg);
    if (r >= 0)
        return SOCKETS_DIAG;
    r = procnet_inet(&four, each, arg);
    if (r == 0)
        r = procnet_inet(&six, each, arg);
    return r >= 0 ? SOCKETS_PROC : SOCKETS_NONE;
}

enum sockets_source sockets_unix(uint32_t states, int (*each)(void *arg, const struct diag_unix *s),
                                 void *arg)
{
    if (sockdiag_unix(states, each, arg) >= 0)
        return SOCKETS_DIAG;
    return procnet_unix(states, each, arg) >= 0 ? SOCKETS_PROC : SOCKETS_NONE;
}
