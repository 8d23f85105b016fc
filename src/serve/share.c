/* share.c - one port, a listener for each worker.
 *
 * The kernel deals the clients of a port out among the listeners of its SO_REUSEPORT group.
 * The option is set only once the first of them listens, so that no other program can have
 * shared the port before: docs/why/0004.  A listener that others may have, too, has it from
 * them or not at all.  And one to which the program has given options of its own is not
 * joined by others, for those would not have them.
 *
 * Source: socket(7), SO_REUSEPORT.
 */
#include "serve/share.h"

#include "net/inherit.h"

#include <errno.h>

bool share_is_shared(const struct stoa_sock *so)
{
    if (!atomic_load(&so->passed))
        return life_is_shared(&so->b);
    return atomic_load(&so->b.forks) != atomic_load(&life_forks) || !inherit_alone();
}

bool share_possible(struct stoa_sock *so)
{
    const struct backend_ops *ops = backend_here();
    int on = 1;
    socklen_t len = sizeof(on);

    if (so->b.proto != IPPROTO_TCP || atomic_load(&so->tuned))
        return false;
    if (share_is_shared(so))
        return ops->getopt(&so->b, SOL_SOCKET, SO_REUSEPORT, &on, &len) == 0 && on;
    return ops->setopt(&so->b, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
}

/* Join b to the port of a. */
static int join_port(struct backend_sock *b, struct backend_sock *a)
{
    const struct backend_ops *ops = backend_here();
    struct stoa_addr own = {.len = sizeof(own.sa)};
    int one = 1, only6 = 0;
    socklen_t len = sizeof(only6);
    int r = ops->name_of(a, false, (struct sockaddr *)&own.sa, &own.len);

    if (r < 0)
        return r;
    if (a->family == AF_INET6 && ops->getopt(a, IPPROTO_IPV6, IPV6_V6ONLY, &only6, &len) == 0)
        ops->setopt(b, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
    ops->setopt(b, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    ops->setopt(b, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    return ops->bind(b, (const struct sockaddr *)&own.sa, own.len);
}

int share_listener(int first)
{
    struct stoa_sock *so = sock_at(first);
    int s = stoa_socket(so->b.family, SOCK_STREAM, 0);
    int r;

    if (s < 0)
        return -errno;
    r = join_port(&sock_at(s)->b, &so->b);
    if (r == 0)
        r = stoa_listen(s, so->backlog) < 0 ? -errno : 0;
    if (r == 0)
        return s;
    stoa_close(s);
    return r;
}
