/* shaky/caller.c - between a test's body and the library: a caller who has read the header.
 *
 * The header lets stoa_recv() and stoa_send() move less than asked for, and every call fail for
 * want of memory.  Test bodies count on neither, and rightly, for it does not happen to them
 * without faults.  So here a receive or send that a fault has shortened goes on, and what was
 * refused for want of memory is asked again.  Nothing else is smoothed.
 */
#include "backends.h"
#include "faults.h"
#include "net/sock.h"

static int descriptor(int s)
{
    struct stoa_sock *so = sock_at(s);

    return so ? life_fd(&so->b) : -1;
}

/* One call of the test's, however often it is made. */
struct call {
    int s;             /* on this socket; -1 = none */
    unsigned nrefused; /* when it was made last */
    bool again;
    int error; /* errno before it */
    double start;
    bool scoped; /* the clock of the first time holds, by: */
    struct stoa_scope scope;
};

static struct call begin(int s)
{
    return (struct call){.s = s, .nrefused = fault_refusals(), .error = errno, .start = now()};
}

/* However often it is asked, a call has one time. */
static void keep_time(struct call *c)
{
    double timeout = c->s < 0 ? -1 : stoa_gettimeout(c->s), gone = now() - c->start;

    if (c->scoped || !(timeout > 0))
        return;
    stoa_within(&c->scope, gone < timeout ? timeout - gone : 0);
    c->scoped = true;
}

/* It is over.  When it is good at last, what it was refused in between is not to be seen. */
static ssize_t over(struct call *c, ssize_t r)
{
    int error = c->again && r >= 0 ? c->error : errno;

    if (c->scoped) /* stoa_leave() has a note of its own */
        fiber_self()->local.scope = c->scope.outer;
    errno = error;
    return r;
}

/* A call that tries several addresses (dial) has the errno of the first, and names them all. */
static bool names_refusal(void)
{
    return strstr(stoa_errmsg(), "no buffer left") || strstr(stoa_errmsg(), "out of memory");
}

/* It has failed: because a fault refused it?  A socket that is closed before it is asked again
 * would have been closed in the wait. */
static bool again(struct call *c)
{
    bool refused =
        fault_refusals() != c->nrefused && (errno == ENOMEM || errno == ENOBUFS || names_refusal());

    if (c->again && errno == EBADF && sock_check(c->s, 0, 0) == -EBADF)
        errno = ECANCELED;
    if (refused)
        keep_time(c);
    c->again |= refused;
    c->nrefused = fault_refusals();
    return refused;
}

/* The call name, asked again; who is its socket, -1 when it has none. */
#define CALL(type, who, name, params, args)                                                        \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        struct call c = begin(who);                                                                \
        type r;                                                                                    \
                                                                                                   \
        do                                                                                         \
            r = __real_##name args;                                                                \
        while (r == -1 && again(&c));                                                              \
        return (type)over(&c, r);                                                                  \
    }

CALL(int, -1, stoa_socket, (int family, int type, int proto), (family, type, proto))
CALL(int, -1, stoa_socketpair, (int family, int type, int proto, int pair[2]),
     (family, type, proto, pair))
CALL(int, s, stoa_bind, (int s, const char *addr), (s, addr))
CALL(int, s, stoa_accept, (int s, struct stoa_addr *peer), (s, peer))
CALL(int, s, stoa_poll, (int s, int events), (s, events))
CALL(int, -1, stoa_dial, (const char *to, const struct stoa_options *o), (to, o))
CALL(int, -1, stoa_announce, (const char *at, const struct stoa_options *o), (at, o))
CALL(int, -1, stoa_serve,
     (const char *at, void (*fn)(int conn, void *arg), void *arg, const struct stoa_options *o),
     (at, fn, arg, o))
CALL(int, -1, stoa_hand_over, (char *const argv[], double seconds), (argv, seconds))
CALL(ssize_t, s, stoa_recvfrom, (int s, void *buf, size_t len, int flags, struct stoa_addr *from),
     (s, buf, len, flags, from))
CALL(ssize_t, s, stoa_sendto,
     (int s, const void *buf, size_t len, int flags, const struct stoa_addr *to),
     (s, buf, len, flags, to))
CALL(ssize_t, s, stoa_recvmsg, (int s, struct msghdr *m, int flags), (s, m, flags))
CALL(ssize_t, s, stoa_sendmsg, (int s, const struct msghdr *m, int flags), (s, m, flags))
CALL(ssize_t, s, stoa_send_fds, (int s, const void *buf, size_t len, const int *fds, size_t n),
     (s, buf, len, fds, n))

/* All was wanted, and it was refused when a part had come. */
static bool is_cut(struct call *c, int flags)
{
    bool refused = fault_refusals() != c->nrefused;

    c->nrefused = fault_refusals();
    return refused && (flags & MSG_WAITALL);
}

ssize_t __real_stoa_recv(int s, void *buf, size_t len, int flags);
ssize_t __wrap_stoa_recv(int s, void *buf, size_t len, int flags);
ssize_t __wrap_stoa_recv(int s, void *buf, size_t len, int flags)
{
    int fd = descriptor(s);
    struct call c = begin(s);
    ssize_t r, more;

    fault_noted(fd, FAULT_IN);
    do
        r = __real_stoa_recv(s, buf, len, flags);
    while (r < 0 && again(&c));
    while (r > 0 && (size_t)r < len && (fault_noted(fd, FAULT_IN) || is_cut(&c, flags))) {
        more = __real_stoa_recv(s, (char *)buf + r, len - (size_t)r,
                                flags & MSG_WAITALL ? flags : flags | MSG_DONTWAIT);
        if (more < 0 && errno == ECONNRESET) /* it is the next call's, as in the library */
            sock_keep_error(s, -errno);
        r += more > 0 ? more : 0;
    }
    return over(&c, r);
}

ssize_t __real_stoa_send(int s, const void *buf, size_t len, int flags);
ssize_t __wrap_stoa_send(int s, const void *buf, size_t len, int flags);
ssize_t __wrap_stoa_send(int s, const void *buf, size_t len, int flags)
{
    int fd = descriptor(s);
    struct call c = begin(s);
    ssize_t r, more;

    fault_noted(fd, FAULT_OUT);
    do
        r = __real_stoa_send(s, buf, len, flags);
    while (r < 0 && again(&c));
    while (r > 0 && (size_t)r < len && fault_noted(fd, FAULT_OUT)) {
        more = __real_stoa_send(s, (const char *)buf + r, len - (size_t)r, flags | MSG_DONTWAIT);
        r += more > 0 ? more : 0;
    }
    return over(&c, r);
}

/* Calls that tell how far they have come go on from there, and tell the sum. */
static ssize_t all(struct call *c, ssize_t r, size_t done)
{
    if (r < 0)
        fiber_self()->local.done += done;
    return over(c, r < 0 ? r : r + (ssize_t)done);
}

ssize_t __real_stoa_recvall(int s, void *buf, size_t len);
ssize_t __wrap_stoa_recvall(int s, void *buf, size_t len);
ssize_t __wrap_stoa_recvall(int s, void *buf, size_t len)
{
    struct call c = begin(s);
    size_t done = 0;
    ssize_t r;

    while ((r = __real_stoa_recvall(s, (char *)buf + done, len - done)) < 0 && again(&c))
        done += stoa_done();
    return all(&c, r, done);
}

int __real_stoa_sendall(int s, const void *buf, size_t len, int flags);
int __wrap_stoa_sendall(int s, const void *buf, size_t len, int flags);
int __wrap_stoa_sendall(int s, const void *buf, size_t len, int flags)
{
    struct call c = begin(s);
    size_t done = 0;
    int r;

    while ((r = __real_stoa_sendall(s, (const char *)buf + done, len - done, flags)) < 0 &&
           again(&c))
        done += stoa_done();
    return r < 0 ? (int)all(&c, r, done) : (int)over(&c, 0);
}

ssize_t __real_stoa_sendfile(int s, int fd, off_t *off, size_t len);
ssize_t __wrap_stoa_sendfile(int s, int fd, off_t *off, size_t len);
ssize_t __wrap_stoa_sendfile(int s, int fd, off_t *off, size_t len)
{
    struct call c = begin(s);
    size_t done = 0;
    ssize_t r;

    while ((r = __real_stoa_sendfile(s, fd, off, len ? len - done : 0)) < 0 && again(&c)) {
        done += stoa_done();
        if (len && done == len)
            return over(&c, (ssize_t)done);
    }
    if (r < 0 && errno == EAGAIN && done > 0)
        return over(&c, (ssize_t)done);
    return all(&c, r, done);
}

ssize_t __real_stoa_recv_fds(int s, void *buf, size_t len, int *fds, size_t *n);
ssize_t __wrap_stoa_recv_fds(int s, void *buf, size_t len, int *fds, size_t *n);
ssize_t __wrap_stoa_recv_fds(int s, void *buf, size_t len, int *fds, size_t *n)
{
    struct call c = begin(s);
    size_t room = *n;
    ssize_t r;

    while ((r = __real_stoa_recv_fds(s, buf, len, fds, n)) < 0 && again(&c))
        *n = room;
    return over(&c, r);
}

/* What stdio is refused it does not ask again. */
FILE *__real_stoa_makefile(int s, const char *mode);
FILE *__wrap_stoa_makefile(int s, const char *mode);
FILE *__wrap_stoa_makefile(int s, const char *mode)
{
    fault_spare(descriptor(s), true);
    return __real_stoa_makefile(s, mode);
}
