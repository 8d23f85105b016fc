/* meaning.c - a table: what a code means and what to do, where the call does not matter. */
#include "diag/meaning.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct {
    int code;
    const char *means;
} meanings[] = {
    {ETIME, "our own time is over (the socket's timeout or the scope's)"},
    {ETIMEDOUT, "the network gave up: the peer did not answer any more"},
    {ECANCELED, "cancelled while it waited: the socket was closed, the fiber cancelled, or a "
                "signal's hook ended the call"},
    {ECONNREFUSED, "connection refused: nothing listens there"},
    {ECONNRESET, "the peer reset the connection: it ended without reading all, or its program "
                 "died"},
    {EPIPE, "the connection is over for sending: the peer has closed it, shutdown() did, or it "
            "was never connected"},
    {EADDRINUSE, "the address is in use: another socket has it; stop that program, or choose "
                 "another port"},
    {ENOTCONN, "the socket is not connected"},
    {EISCONN, "the socket is connected already"},
    {EMFILE, "no descriptor is left in this process; close some, or raise its limit (ulimit -n, "
             "LimitNOFILE=)"},
    {ENFILE, "no descriptor is left in the system; raise fs.file-max"},
    {ENOMEM, "out of memory"},
    {ENOBUFS, "the kernel has no buffer left"},
    {EHOSTUNREACH, "no way to that host: it does not answer, or a router says so"},
    {ENETUNREACH, "no way to that network: no route, or no address of that family here"},
    {EACCES, "not allowed: a port below 1024 needs CAP_NET_BIND_SERVICE, a UNIX path the right to "
             "write there, a broadcast address SO_BROADCAST; or a firewall refuses it"},
    {EPERM, "not allowed: it needs a capability, or a firewall or a filter (seccomp) refuses it"},
    {EMSGSIZE, "too long for one message"},
    {EAGAIN, "would have to wait, and may not: the socket is non-blocking"},
    {EINPROGRESS, "on its way; the socket is non-blocking: wait with stoa_poll() for POLLOUT"},
    {EALREADY, "an earlier connect is still on its way"},
    {ENOTSOCK, "not a socket"},
    {EDESTADDRREQ, "no address to send to: connect first, or use sendto()"},
    {EAFNOSUPPORT, "the address is of another family than the socket, or this machine has not "
                   "that family"},
    {EPROTONOSUPPORT, "no such protocol for this family and type"},
    {EOPNOTSUPP, "not possible for a socket of this type"},
    {ENOPROTOOPT, "no such option at this level"},
};

const char *meaning_of(int code)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].code == code)
            return meanings[i].means;
    return strerrordesc_np(code) ? strerrordesc_np(code) : "an error without a name";
}
