/* datagram.c - recvfrom, answer, sendto, for ever.
 *
 * One fiber on one worker: a datagram is answered before the next is read, in order, and
 * the kernel keeps those that come meanwhile.  An empty datagram ends nothing, and is
 * answered by an empty one.
 *
 * What goes wrong with one sender concerns no other: an answer that cannot be sent (the
 * sender has gone, a firewall, no route) is dropped, as the network might have.
 *
 * Sources: udp(7); RFC 768.  Limits: 65,507 bytes of IPv4; the buffer has room for more.
 */
#include "cli/datagram.h"

#include "cli/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stoa.h>

/* An ICMP message about an earlier answer: what ip(7) lets them become. */
static bool is_about_another(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case EPROTO:
    case ENOPROTOOPT:
    case EACCES:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

int datagram_loop(void *arg)
{
    static char buf[64 << 10];
    const struct datagrams *d = arg;
    struct stoa_addr from;
    uint64_t seen = 0;

    while (!d->count || seen < d->count) {
        ssize_t n = stoa_recvfrom(d->socket, buf, sizeof(buf), 0, &from);
        if (n < 0 && is_about_another(errno))
            continue;
        if (n < 0)
            break;
        seen++;
        log_datagram(&from, (size_t)n);
        n = d->answer(buf, (size_t)n);
        if (n >= 0 && from.len)
            (void)stoa_sendto(d->socket, buf, (size_t)n, 0, &from);
    }
    if (stoa_draining() || (d->count && seen == d->count))
        return 0;
    return -1;
}
