/* kernel.c - each operation as one attempt of the kernel's call, which never waits.
 *
 * No descriptor's O_NONBLOCK is relied on, for it belongs to the open file and whoever
 * shares it can turn it off: data calls carry MSG_DONTWAIT.  Three calls have no such
 * flag: accept4(2) needs O_NONBLOCK on the listener (set by kernel_listen, by the facade
 * for adopted ones, and before each call where others may have turned it off);
 * connect(2) and sendfile(2) get it for their own duration, one call of a socket at a
 * time.  Where others have the open file, that is no promise: there connect is bounded
 * as well, and a file's bytes go by pread(2) and send(2).  Of such connects one goes at a
 * time in this process, lest one's way back is the other's wait.
 *
 * No call raises SIGPIPE: MSG_NOSIGNAL, and the signal blocked around sendfile(2).
 *
 * connect(2) has two stages: the call, and, once it is in progress and the socket has
 * become writable, a second call, which on Linux tells the outcome.  SO_ERROR would
 * tell it, too, but leaves the socket "connecting": then a further connect by the user
 * succeeds where it should be EISCONN, and fails with ECONNABORTED where it should be
 * tried (__inet_stream_connect in net/ipv4/af_inet.c).
 *
 * accept(2) hands on errors of the connection that was about to be accepted; its
 * manual page lists them, and asks to treat them like EAGAIN and retry.
 */
#include "backend/kernel.h"

#include "backend/life.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_CALL, CONNECT_WAIT };

#define GUARD_USEC      1000               /* which the kernel rounds up to its ticks ... */
#define GUARD_MOST_USEC 10000              /* ... of 10 ms at most */
#define COPY_LEN        ((size_t)64 << 10) /* of a file, at a time */

/* 0 or more as it is, -1 as -errno. */
static ssize_t result(ssize_t r)
{
    return r < 0 ? -errno : r;
}

static ssize_t try_recvfrom(struct op *op, int fd)
{
    return result(recvfrom(fd, op->buf, op->len, op->flags | MSG_DONTWAIT, op->sa, op->sa_len));
}

/* A datagram by address does not fit into the receiver's queue, which is not ours to poll. */
static ssize_t sent_by_address(const struct op *op, ssize_t r)
{
    return r == -EAGAIN && op->sock->family == AF_UNIX ? KERNEL_UNIX_FULL : r;
}

static ssize_t try_sendto(struct op *op, int fd)
{
    int flags = op->flags | MSG_DONTWAIT | MSG_NOSIGNAL;

    return sent_by_address(op, result(sendto(fd, op->buf, op->len, flags, op->sa, *op->sa_len)));
}

static ssize_t try_sendmsg(struct op *op, int fd)
{
    const struct msghdr *m = op->buf;
    ssize_t r = result(sendmsg(fd, m, op->flags | MSG_DONTWAIT | MSG_NOSIGNAL));

    return m->msg_name ? sent_by_address(op, r) : r;
}

/* Turn O_NONBLOCK on; gives the flags to go back to, or -1 when it was on. */
static int nonblock_on(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || (flags & O_NONBLOCK))
        return -1;
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return flags;
}

static void nonblock_back(int fd, int flags)
{
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags);
}

static bool is_of_the_lost_client(int error)
{
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPERM:
    case EINTR:
        return true;
    default:
        return false;
    }
}

/* What makes one call return at once: O_NONBLOCK, and, where others may turn that off in
 * this very moment, a bound of a millisecond by SO_SNDTIMEO or SO_RCVTIMEO as well. */
struct guard {
    struct backend_sock *alone; /* whose it is; NULL = the file is shared */
    int flags;                  /* to go back to, or -1 */
    int option;                 /* 0 = there is no bound */
    struct timeval before;
};

/* Is it another call's bound, which is under way, of this process or another? */
static bool is_ours(const struct timeval *t)
{
    return t->tv_sec == 0 && t->tv_usec > 0 && t->tv_usec <= GUARD_MOST_USEC;
}

/* Nobody else has the open file: until guard_back() no other call of ours turns the flag back.
 * None of them waits, so it is soon. */
static struct guard guard_alone(struct backend_sock *s, int fd)
{
    while (atomic_exchange(&s->guarded, true))
        sched_yield();
    return (struct guard){.alone = s, .flags = nonblock_on(fd)};
}

static struct guard guard_shared(int fd, int option)
{
    struct guard g = {.flags = nonblock_on(fd), .option = option};
    struct timeval bound = {.tv_usec = GUARD_USEC};
    socklen_t len = sizeof(g.before);

    getsockopt(fd, SOL_SOCKET, option, &g.before, &len);
    if (is_ours(&g.before))
        g.before = (struct timeval){0};
    setsockopt(fd, SOL_SOCKET, option, &bound, sizeof(bound));
    return g;
}

static void guard_back(const struct guard *g, int fd)
{
    nonblock_back(fd, g->flags);
    if (g->option)
        setsockopt(fd, SOL_SOCKET, g->option, &g->before, sizeof(g->before));
    if (g->alone)
        atomic_store(&g->alone->guarded, false);
}

/* A listener stays non-blocking; a connection inherits the bound, and is rid of it. */
static ssize_t try_accept(struct op *op, int fd)
{
    bool shared = life_is_shared(op->sock);
    struct guard g = {.option = 0};
    ssize_t r = -EAGAIN;

    if (shared)
        g = guard_shared(fd, SO_RCVTIMEO);
    for (int lost = 0; lost < ACCEPT_LOST_MAX; lost++) {
        op->forks = atomic_load_explicit(&life_forks, memory_order_relaxed);
        r = result(accept4(fd, op->sa, op->sa_len, SOCK_CLOEXEC));
        if (r >= 0 || !is_of_the_lost_client((int)-r))
            break;
    }
    g.flags = -1;
    if (shared)
        guard_back(&g, fd);
    if (shared && r >= 0)
        guard_back(&g, (int)r);
    return r;
}

static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER; /* a socket that is shared */

void kernel_in_child(void)
{
    pthread_mutex_init(&connecting, NULL);
}

static ssize_t connect_once(struct op *op, int fd)
{
    bool shared = life_is_shared(op->sock);
    struct guard g;
    int before = PTHREAD_CANCEL_ENABLE;

    if (shared) { /* who is cancelled under the lock would keep it */
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        pthread_mutex_lock(&connecting);
    }
    g = shared ? guard_shared(fd, SO_SNDTIMEO) : guard_alone(op->sock, fd);
    ssize_t r = result(connect(fd, op->sa, *op->sa_len));

    guard_back(&g, fd);
    if (shared) {
        pthread_mutex_unlock(&connecting);
        pthread_setcancelstate(before, NULL);
    }
    return r;
}

static ssize_t connect_call(struct op *op, int fd)
{
    ssize_t r = connect_once(op, fd);

    if (r == -EAGAIN && op->sock->family == AF_UNIX)
        return KERNEL_UNIX_FULL;
    if (r != -EINPROGRESS && r != -EINTR)
        return r;
    op->stage = CONNECT_WAIT;
    return -EAGAIN;
}

static ssize_t connect_look(struct op *op, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    ssize_t r;

    if (poll(&p, 1, 0) == 0)
        return -EAGAIN;
    r = connect_once(op, fd);
    if (r == -EALREADY || r == -EINPROGRESS) /* anew: another connect was told the outcome */
        return -EAGAIN;
    return r == -EISCONN ? 0 : r;
}

static ssize_t try_connect(struct op *op, int fd)
{
    ssize_t r = op->stage == CONNECT_CALL ? connect_call(op, fd) : connect_look(op, fd);

    return r == -EAGAIN && op_never_waits(op) ? -EINPROGRESS : r;
}

static ssize_t try_poll(struct op *op, int fd)
{
    struct pollfd p = {.fd = fd, .events = (short)op->flags};
    int n = poll(&p, 1, 0);

    if (n < 0)
        return -errno;
    return n == 0 ? -EAGAIN : p.revents;
}

/* sendfile(2) that raises no SIGPIPE: a signal that came by it is taken away again. */
static ssize_t sendfile_quietly(int to, int from, off_t *off, size_t len)
{
    struct timespec now = {0};
    sigset_t pipe, before, pending;
    ssize_t r;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    r = result(sendfile(to, from, off, len));
    if (r != (ssize_t)len && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* A part of the file through memory, and its place after what went. */
static ssize_t copy_part(struct op *op, int fd, char *part, size_t len)
{
    off_t *off = op->buf;
    off_t at = off ? *off : lseek(op->file, 0, SEEK_CUR);
    ssize_t r = result(at < 0 && !off ? -1 : pread(op->file, part, len, at));

    if (r > 0)
        r = result(send(fd, part, (size_t)r, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (r > 0 && off)
        *off = at + r;
    if (r > 0 && !off)
        lseek(op->file, at + r, SEEK_SET);
    return r;
}

static ssize_t sendfile_by_copy(struct op *op, int fd)
{
    size_t len = op->len < COPY_LEN ? op->len : COPY_LEN;
    char *part = malloc(len);
    ssize_t r = part ? copy_part(op, fd, part, len) : -ENOMEM;

    free(part);
    return r;
}

static ssize_t try_sendfile(struct op *op, int fd)
{
    if (life_is_shared(op->sock))
        return sendfile_by_copy(op, fd);
    struct guard g = guard_alone(op->sock, fd);
    ssize_t r = sendfile_quietly(fd, op->file, op->buf, op->len);

    guard_back(&g, fd);
    return r;
}

static ssize_t try_once(struct op *op, int fd)
{
    switch (op->kind) {
    case OP_RECV:
        return try_recvfrom(op, fd);
    case OP_SEND:
        return try_sendto(op, fd);
    case OP_RECVMSG:
        return result(recvmsg(fd, op->buf, op->flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    case OP_SENDMSG:
        return try_sendmsg(op, fd);
    case OP_ACCEPT:
        return try_accept(op, fd);
    case OP_CONNECT:
        return try_connect(op, fd);
    case OP_POLL:
        return try_poll(op, fd);
    case OP_SENDFILE:
        return try_sendfile(op, fd);
    default:
        return -EINVAL;
    }
}

ssize_t kernel_try_rest(struct op *op)
{
    ssize_t r;

    do {
        r = try_once(op, life_fd(op->sock));
    } while (r == -EINTR);
    return r;
}

int kernel_socket(int family, int type, int proto)
{
    return (int)result(socket(family, type | SOCK_CLOEXEC, proto));
}

int kernel_socketpair(int family, int type, int proto, int pair[2])
{
    return (int)result(socketpair(family, type | SOCK_CLOEXEC, proto, pair));
}

int kernel_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len)
{
    return (int)result(bind(life_fd(s), sa, len));
}

int kernel_listen(struct backend_sock *s, int backlog)
{
    int flags = nonblock_on(life_fd(s));
    int r = (int)result(listen(life_fd(s), backlog));

    if (r < 0)
        nonblock_back(life_fd(s), flags);
    return r;
}

int kernel_shutdown(struct backend_sock *s, int how)
{
    return (int)result(shutdown(life_fd(s), how));
}

int kernel_name(struct backend_sock *s, bool peer, struct sockaddr *sa, socklen_t *len)
{
    return (int)result(peer ? getpeername(life_fd(s), sa, len) : getsockname(life_fd(s), sa, len));
}

int kernel_getopt(struct backend_sock *s, int level, int option, void *v, socklen_t *len)
{
    return (int)result(getsockopt(life_fd(s), level, option, v, len));
}

int kernel_setopt(struct backend_sock *s, int level, int option, const void *v, socklen_t len)
{
    if (level == SOL_SOCKET && option == SO_LINGER)
        atomic_store(&s->lingers, true);
    return (int)result(setsockopt(life_fd(s), level, option, v, len));
}

uint64_t kernel_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
