/* opt.c - what a socket is: names, options, readiness; and its making and ending.
 *
 * Options are the kernel's, handed through.  Two are not: SO_RCVTIMEO and SO_SNDTIMEO
 * would never act (no call of ours blocks in the kernel), so they are refused rather
 * than ignored.
 */
#include "backend/life.h"
#include "base/check.h"
#include "net/error.h"
#include "net/inherit.h"
#include "net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

/* A handle for a descriptor that we have just made; it is closed when there is none. */
static int own(int fd, int family, int type, int proto, uint32_t forks)
{
    int s;

    if (fd < 0)
        return fd;
    s = sock_make(fd, family, type & ~TYPE_FLAGS, proto, forks);
    if (s < 0)
        backend_drop(fd);
    else if (type & SOCK_NONBLOCK)
        stoa_settimeout(s, 0);
    return s;
}

static void set_nodelay(int s, int family, int type)
{
    struct stoa_sock *so = sock_at(s);
    int one = 1;

    if ((family == AF_INET || family == AF_INET6) && (type & ~TYPE_FLAGS) == SOCK_STREAM)
        backend_here()->setopt(&so->b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int stoa_socket(int family, int type, int proto)
{
    uint32_t forks = sock_forks();
    int fd = backend_here()->socket(family, type & ~TYPE_FLAGS, proto);
    int s = own(fd, family, type, proto, forks);

    if (s < 0)
        return (int)error_out(VERB_SOCKET, -1, s);
    set_nodelay(s, family, type);
    return s;
}

int stoa_socketpair(int family, int type, int proto, int pair[2])
{
    uint32_t forks = sock_forks();
    int fd[2];
    int r = backend_here()->socketpair(family, type & ~TYPE_FLAGS, proto, fd);

    if (r < 0)
        return (int)error_out(VERB_SOCKETPAIR, -1, r);
    int near = own(fd[0], family, type, proto, forks);
    int far = own(fd[1], family, type, proto, forks);
    if (near >= 0 && far >= 0) {
        pair[0] = near;
        pair[1] = far;
        return 0;
    }
    if (near >= 0)
        stoa_close(near);
    if (far >= 0)
        stoa_close(far);
    return (int)error_out(VERB_SOCKETPAIR, -1, near < 0 ? near : far);
}

static int option_of(int fd, int option, int *value)
{
    struct backend_sock s = {.fd = fd};
    socklen_t len = sizeof(*value);

    return backend_here()->getopt(&s, SOL_SOCKET, option, value, &len);
}

/* An adopted listener is made non-blocking: accept4(2) has no flag for one call. */
static int adopt(int fd)
{
    int family, type = 0, proto = 0, listening = 0;
    struct linger linger = {0};
    socklen_t linger_len = sizeof(linger);
    int r = option_of(fd, SO_DOMAIN, &family);

    if (r == 0)
        r = option_of(fd, SO_TYPE, &type);
    if (r == 0)
        r = option_of(fd, SO_PROTOCOL, &proto);
    if (r < 0)
        return r;
    option_of(fd, SO_ACCEPTCONN, &listening);
    int s = sock_make(fd, family, type, proto, sock_forks());
    if (s < 0)
        return s;
    struct stoa_sock *so = sock_at(s);

    CHECK(so, "a new handle leads nowhere");
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (listening)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    atomic_store(&so->listening, listening != 0);
    atomic_store(&so->b.shared, true);
    if (inherit_take(fd)) {
        backend_here()->getopt(&so->b, SOL_SOCKET, SO_LINGER, &linger, &linger_len);
        atomic_store(&so->b.lingers, linger.l_onoff != 0);
        atomic_store(&so->passed, true);
    }
    return s;
}

int stoa_fromfd(int fd)
{
    return (int)error_out(VERB_FROMFD, -1, adopt(fd));
}

int stoa_fileno(int s)
{
    struct stoa_sock *so = sock_enter(s);
    int fd;

    if (!so)
        return (int)error_out(VERB_FILENO, s, -EBADF);
    fd = life_fd(&so->b);
    atomic_store(&so->b.shared, true);
    sock_leave(so);
    return (int)error_out(VERB_FILENO, s, fd < 0 ? -EOPNOTSUPP : fd);
}

int stoa_dup(int s)
{
    struct stoa_sock *so = sock_enter(s), *copy;
    int r;

    if (!so)
        return (int)error_out(VERB_DUP, s, -EBADF);
    r = backend_dup(life_fd(&so->b));
    if (r >= 0)
        r = own(r, so->b.family, so->b.type, so->b.proto, sock_forks());
    if (r >= 0) {
        copy = sock_at(r);
        atomic_store(&so->b.shared, true);
        atomic_store(&copy->b.shared, true);
        atomic_store(&copy->b.timeout_ns, atomic_load(&so->b.timeout_ns));
        atomic_store(&copy->listening, atomic_load(&so->listening));
        copy->peer = so->peer;
        copy->peer_len = so->peer_len;
    }
    sock_leave(so);
    return (int)error_out(VERB_DUP, s, r);
}

int stoa_detach(int s)
{
    return (int)error_out(VERB_DETACH, s, sock_close(s, CLOSE_DETACH));
}

int stoa_close(int s)
{
    return (int)error_out(VERB_CLOSE, s, sock_close(s, CLOSE_POLITE));
}

int stoa_abort(int s)
{
    return (int)error_out(VERB_ABORT, s, sock_close(s, CLOSE_RESET));
}

int stoa_shutdown(int s, int how)
{
    struct stoa_sock *so = sock_enter(s);
    int r;

    if (!so)
        return (int)error_out(VERB_SHUTDOWN, s, -EBADF);
    if (how != SHUT_WR)
        atomic_store(&so->deaf, true);
    r = backend_here()->shutdown(&so->b, how);
    sock_leave(so);
    return (int)error_out(VERB_SHUTDOWN, s, r);
}

static int name_of(struct stoa_sock *so, bool peer, struct stoa_addr *a)
{
    int r;

    *a = (struct stoa_addr){.len = sizeof(a->sa), .type = so->b.type};
    r = backend_here()->name_of(&so->b, peer, (struct sockaddr *)&a->sa, &a->len);
    if (r < 0 && peer && so->peer_len) {
        memcpy(&a->sa, &so->peer, so->peer_len);
        a->len = so->peer_len;
        r = 0;
    }
    return r;
}

static int name_out(enum verb verb, int s, bool peer, struct stoa_addr *a)
{
    struct stoa_sock *so = sock_enter(s);
    int r;

    if (!so)
        return (int)error_out(verb, s, -EBADF);
    r = name_of(so, peer, a);
    sock_leave(so);
    return (int)error_out(verb, s, r);
}

int stoa_getpeername(int s, struct stoa_addr *peer)
{
    return name_out(VERB_GETPEERNAME, s, true, peer);
}

int stoa_getsockname(int s, struct stoa_addr *self)
{
    return name_out(VERB_GETSOCKNAME, s, false, self);
}

static bool is_ours(int level, int option)
{
    return level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO ||
                                   option == SO_RCVTIMEO_NEW || option == SO_SNDTIMEO_NEW);
}

static const char *const timeout_why = "a socket's time is set by stoa_settimeout()";

int stoa_getsockopt(int s, int level, int option, void *value, socklen_t *len)
{
    struct stoa_sock *so = sock_enter(s);
    int r;

    if (!so)
        return (int)error_out(VERB_GETSOCKOPT, s, -EBADF);
    r = is_ours(level, option) ? -EINVAL
                               : backend_here()->getopt(&so->b, level, option, value, len);
    sock_leave(so);
    return (int)error_out_why(VERB_GETSOCKOPT, s, r, NULL,
                              is_ours(level, option) ? timeout_why : NULL);
}

/* Does the option say when a peer counts as dead? */
static bool is_of_death(int level, int option)
{
    if (level == SOL_SOCKET)
        return option == SO_KEEPALIVE;
    return level == IPPROTO_TCP &&
           (option == TCP_KEEPIDLE || option == TCP_KEEPINTVL || option == TCP_KEEPCNT ||
            option == TCP_USER_TIMEOUT || option == TCP_RTO_MAX_MS);
}

int stoa_setsockopt(int s, int level, int option, const void *value, socklen_t len)
{
    struct stoa_sock *so = sock_enter(s);
    int r;

    if (!so)
        return (int)error_out(VERB_SETSOCKOPT, s, -EBADF);
    r = is_ours(level, option) ? -EINVAL
                               : backend_here()->setopt(&so->b, level, option, value, len);
    atomic_store(&so->tuned, true);
    if (is_of_death(level, option))
        atomic_store(&so->own_death, true);
    if (level == IPPROTO_TCP && option == TCP_RTO_MAX_MS && r == 0)
        atomic_store(&so->b.gap_ms, 0); /* it is his now, and not to be put back */
    sock_leave(so);
    return (int)error_out_why(VERB_SETSOCKOPT, s, r, NULL,
                              is_ours(level, option) ? timeout_why : NULL);
}

int stoa_poll(int s, int events)
{
    struct op op = {.kind = OP_POLL, .flags = events};

    return (int)error_out(VERB_POLL, s, sock_run(s, &op));
}
