/* shaky/kernel.c - between the library and the C library: calls that are cut short or refused.
 *
 * The library's objects call __wrap_recv() where they call recv() when they are shipped.  What is
 * refused has not been done; what is shortened has been done for the shorter length.  Nothing
 * is refused in a way that the kernel does not have for that call:
 *
 *   EINTR   all that can be interrupted; poll(2) and epoll_wait(2) only where they wait;
 *           connect(2) only when it is under way, for then it goes on
 *   ENOMEM  accept4(2), socket(2), sendfile(2), epoll_ctl(2) of a receiver
 *   ENOBUFS send(2) but on TCP, which waits instead
 *   short   streams; not when peeking, nor out of band.  A kernel's receive on TCP is short when
 *           there is no more, and epoll(7) tells when more comes, on which epoll.c relies.  So
 *           the rest comes anew here, too: what epoll has been told of it is told again
 *
 * Descriptors that cannot be had, and memory of the program's own, are tests/alloc's.
 */
#include "backend/backend.h"
#include "faults.h"
#include "words.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536 };

static uint64_t seed;
static unsigned per_thousand = 10;
static atomic_uint nthread;
static atomic_ulong struck[FAULTS];
static atomic_bool noted[2][DESCRIPTORS];
static atomic_bool spared[DESCRIPTORS];
static __thread uint64_t state; /* 0 = not begun */
static __thread unsigned nrefused;

/* What epoll has been told of a descriptor. */
static struct {
    atomic_bool lock;
    int epoll_fd; /* 0 = nothing */
    struct epoll_event event;
} edges[DESCRIPTORS];

static void report(void)
{
    printf(
        "# faults: %lu short, %lu interrupted, %lu without memory (again: STOA_FAULTS=%llu:%u)\n",
        atomic_load(&struck[FAULT_SHORT]), atomic_load(&struck[FAULT_INTERRUPTED]),
        atomic_load(&struck[FAULT_MEMORY]), (unsigned long long)seed, per_thousand);
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("STOA_FAULTS");
    char *end = NULL;

    if (!text)
        return;
    seed = strtoull(text, &end, 10);
    if (*end == ':')
        per_thousand = (unsigned)strtoul(end + 1, NULL, 10);
    if (seed)
        atexit(report);
}

bool fault_is_on(void)
{
    return seed != 0;
}

unsigned fault_refusals(void)
{
    return nrefused;
}

/* splitmix64. */
static uint64_t next(void)
{
    if (!state)
        state =
            seed * 0x9e3779b97f4a7c15u + atomic_fetch_add(&nthread, 1) * 0xd1342543de82ef95u + 1;
    uint64_t z = state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned fault_below(unsigned n)
{
    return (unsigned)(next() % n);
}

bool fault_strikes(enum fault which)
{
    if (!seed || fault_below(1000) >= per_thousand)
        return false;
    atomic_fetch_add(&struck[which], 1);
    nrefused += which == FAULT_MEMORY;
    return true;
}

static bool is_known(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS;
}

void fault_note(int fd, enum fault_way way)
{
    if (is_known(fd))
        atomic_store(&noted[way][fd], true);
}

bool fault_noted(int fd, enum fault_way way)
{
    return is_known(fd) && atomic_exchange(&noted[way][fd], false);
}

void fault_spare(int fd, bool yes)
{
    if (is_known(fd))
        atomic_store(&spared[fd], yes);
}

bool fault_spares(int fd)
{
    return !is_known(fd) || atomic_load(&spared[fd]);
}

/* One call at a time uses what is known of a descriptor's edges. */
static void edges_lock(int fd)
{
    while (atomic_exchange(&edges[fd].lock, true))
        ;
}

static void edges_unlock(int fd)
{
    atomic_store(&edges[fd].lock, false);
}

/* Nothing is known of a new descriptor. */
static void is_new(int fd)
{
    fault_spare(fd, false);
    if (!is_known(fd))
        return;
    edges_lock(fd);
    edges[fd].epoll_fd = 0;
    edges_unlock(fd);
}

static int option(int fd, int which)
{
    int value = -1;
    socklen_t len = sizeof(value);
    int before = errno;

    getsockopt(fd, SOL_SOCKET, which, &value, &len);
    errno = before;
    return value;
}

bool fault_is_crowded(const struct backend_sock *s)
{
    return s->ops.next->next != &s->ops;
}

/* Do several fibers wait on it, here? */
static bool is_crowded(int fd)
{
    bool crowded = false;

    if (!is_known(fd))
        return false;
    edges_lock(fd);
    if (edges[fd].epoll_fd && loop_here) {
        struct backend_sock *s = edges[fd].event.data.ptr;

        crowded = atomic_load(&s->home) == loop_here && fault_is_crowded(s);
    }
    edges_unlock(fd);
    return crowded;
}

size_t fault_len(int fd, size_t len, int flags)
{
    if (len < 2 || flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC))
        return len;
    if (option(fd, SO_TYPE) != SOCK_STREAM || is_crowded(fd) || !fault_strikes(FAULT_SHORT))
        return len;
    return fault_below(2) ? 1 : 1 + fault_below((unsigned)(len < 1 << 20 ? len - 1 : 1 << 20));
}

static bool interrupted(void)
{
    if (!fault_strikes(FAULT_INTERRUPTED))
        return false;
    errno = EINTR;
    return true;
}

static bool without_memory(int fd)
{
    if (fault_spares(fd) || !fault_strikes(FAULT_MEMORY))
        return false;
    errno = fault_below(2) ? ENOMEM : ENOBUFS;
    return true;
}

static bool without_buffers(int fd)
{
    if (option(fd, SO_PROTOCOL) == IPPROTO_TCP || !without_memory(fd))
        return false;
    errno = ENOBUFS;
    return true;
}

/* The rest is there as if it had come this moment. */
static void edge_again(int fd)
{
    int before = errno;

    if (!is_known(fd))
        return;
    edges_lock(fd);
    if (edges[fd].epoll_fd)
        epoll_ctl(edges[fd].epoll_fd, EPOLL_CTL_MOD, fd, &edges[fd].event);
    edges_unlock(fd);
    errno = before;
}

static int edges_told(int epoll_fd, int how, int fd, struct epoll_event *e)
{
    int r;

    if (!is_known(fd))
        return epoll_ctl(epoll_fd, how, fd, e);
    edges_lock(fd);
    r = epoll_ctl(epoll_fd, how, fd, e);
    if (r == 0 && how != EPOLL_CTL_DEL && (e->events & EPOLLET)) {
        edges[fd].epoll_fd = epoll_fd;
        edges[fd].event = *e;
    } else if (how != EPOLL_CTL_MOD) {
        edges[fd].epoll_fd = 0;
    }
    edges_unlock(fd);
    return r;
}

static ssize_t moved(int fd, enum fault_way way, ssize_t r, size_t len, size_t asked)
{
    if (r == (ssize_t)len && len < asked)
        fault_note(fd, way);
    return r;
}

static ssize_t shortly_received(int fd, void *buf, size_t asked, int flags)
{
    size_t len = fault_len(fd, asked, flags);
    ssize_t r = interrupted() ? -1 : recv(fd, buf, len, flags);

    if (len < asked && r > 0)
        edge_again(fd);
    return moved(fd, FAULT_IN, r, len, asked);
}

static ssize_t shortly_sent(int fd, const void *buf, size_t asked, int flags)
{
    size_t len = fault_len(fd, asked, flags);

    if (interrupted() || without_buffers(fd))
        return -1;
    return moved(fd, FAULT_OUT, send(fd, buf, len, flags), len, asked);
}

/* A name of the C library's, as the library's objects call it. */
#define WRAP(type, name, ...)                                                                      \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

WRAP(ssize_t, recv, int fd, void *buf, size_t len, int flags)
{
    return shortly_received(fd, buf, len, flags);
}

WRAP(ssize_t, send, int fd, const void *buf, size_t len, int flags)
{
    return shortly_sent(fd, buf, len, flags);
}

WRAP(ssize_t, recvfrom, int fd, void *buf, size_t len, int flags, struct sockaddr *sa,
     socklen_t *sa_len)
{
    return interrupted() ? -1 : recvfrom(fd, buf, len, flags, sa, sa_len);
}

WRAP(ssize_t, sendto, int fd, const void *buf, size_t len, int flags, const struct sockaddr *sa,
     socklen_t sa_len)
{
    return interrupted() || without_buffers(fd) ? -1 : sendto(fd, buf, len, flags, sa, sa_len);
}

WRAP(ssize_t, recvmsg, int fd, struct msghdr *m, int flags)
{
    return interrupted() ? -1 : recvmsg(fd, m, flags);
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *m, int flags)
{
    return interrupted() || without_buffers(fd) ? -1 : sendmsg(fd, m, flags);
}

WRAP(int, accept4, int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    if (interrupted() || without_memory(fd))
        return -1;
    int r = accept4(fd, sa, len, flags);

    is_new(r);
    return r;
}

WRAP(int, connect, int fd, const struct sockaddr *sa, socklen_t len)
{
    int r = connect(fd, sa, len);

    if (r < 0 && errno == EINPROGRESS)
        errno = fault_strikes(FAULT_INTERRUPTED) ? EINTR : EINPROGRESS;
    return r;
}

WRAP(int, socket, int family, int type, int proto)
{
    if (without_memory(0))
        return -1;
    int r = socket(family, type, proto);

    is_new(r);
    return r;
}

WRAP(int, socketpair, int family, int type, int proto, int *pair)
{
    if (without_memory(0))
        return -1;
    int r = socketpair(family, type, proto, pair);

    for (int i = 0; r == 0 && i < 2; i++)
        is_new(pair[i]);
    return r;
}

WRAP(ssize_t, sendfile64, int to, int from, off_t *off, size_t asked)
{
    size_t len = fault_len(to, asked, 0);

    if (interrupted())
        return -1;
    if (!fault_spares(to) && fault_strikes(FAULT_MEMORY))
        return errno = ENOMEM, -1;
    return sendfile(to, from, off, len);
}

WRAP(ssize_t, pread64, int fd, void *buf, size_t len, off_t off)
{
    if (len > 1 && fault_strikes(FAULT_SHORT))
        len = 1 + fault_below((unsigned)len - 1);
    return pread(fd, buf, len, off);
}

WRAP(int, poll, struct pollfd *p, nfds_t n, int ms)
{
    return interrupted() ? -1 : poll(p, n, ms);
}

WRAP(int, __poll_chk, struct pollfd *p, nfds_t n, int ms, size_t room)
{
    (void)room;
    return interrupted() ? -1 : poll(p, n, ms);
}

WRAP(int, ppoll, struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
    return interrupted() ? -1 : ppoll(p, n, t, mask);
}

WRAP(int, flock, int fd, int how)
{
    return interrupted() ? -1 : flock(fd, how);
}

WRAP(int, epoll_wait, int epoll_fd, struct epoll_event *e, int n, int ms)
{
    return ms != 0 && interrupted() ? -1 : epoll_wait(epoll_fd, e, n, ms);
}

/* Not a sender's, for connect(2) is one, and what has begun cannot be begun again; not a polite
 * close's (no EPOLLET), which is then a plain one; nor the loop's own. */
WRAP(int, epoll_ctl, int epoll_fd, int how, int fd, struct epoll_event *e)
{
    bool receives =
        how == EPOLL_CTL_ADD && e->data.ptr && (e->events & EPOLLET) && !(e->events & EPOLLOUT);

    if (receives && !fault_spares(fd) && fault_strikes(FAULT_MEMORY))
        return errno = ENOMEM, -1;
    return edges_told(epoll_fd, how, fd, e);
}

WRAP(long, syscall, long nr, ...)
{
    long w[6] = {0};
    va_list args;

    va_start(args, nr);
    for (int i = 0; i < words(nr); i++)
        w[i] = va_arg(args, long);
    va_end(args);
    if (nr == SYS_recvfrom)
        return shortly_received((int)w[0], (void *)w[1], (size_t)w[2], (int)w[3]);
    if (nr == SYS_sendto)
        return shortly_sent((int)w[0], (const void *)w[1], (size_t)w[2], (int)w[3]);
    return syscall(nr, w[0], w[1], w[2], w[3], w[4], w[5]);
}
