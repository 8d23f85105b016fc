/* probe.c - io_uring(7), tried before it is relied upon: a ring, and a receive that really works.
 *
 * A kernel may be without it, have it switched off (kernel.io_uring_disabled) or too old;
 * containers refuse it by seccomp(2), some with EPERM, some with ENOSYS; emulators know
 * the set-up and nothing more.  So what counts is that bytes come through.
 *
 * A shortage (descriptors, memory) is no answer: then it is taken to be there, and
 * who makes a ring is told what is short.
 *
 * Sources: io_uring_setup(2), "ERRORS"; Documentation/admin-guide/sysctl/kernel.rst.
 */
#include "backend/probe.h"

#include "backend/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif

#define WAIT_NS ((uint64_t)1000 * 1000 * 1000)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int result;

/* The byte c by the ring, from the far end of a pair. */
static int receive(struct ring *r, int fd, char c)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    struct io_uring_cqe cqe;
    static char got; /* not on the stack: without a completion the kernel still has it */

    sqe->opcode = IORING_OP_RECV;
    sqe->fd = fd;
    sqe->addr = (uint64_t)(uintptr_t)&got;
    sqe->len = 1;
    int e = ring_enter(r, 1, WAIT_NS);

    if (!ring_cqe(r, &cqe))
        return e < 0 ? e : -EOPNOTSUPP;
    if (cqe.res < 0)
        return cqe.res;
    return got == c ? 0 : -EOPNOTSUPP;
}

static int pair_works(struct ring *r)
{
    int pair[2], e;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    e = write(pair[1], "s", 1) == 1 ? receive(r, pair[0], 's') : -errno;
    close(pair[0]);
    close(pair[1]);
    return e;
}

/* Valgrind lets one thread run at a time, and others wait while one is in the ring. */
static bool is_watched(void)
{
#if defined(RUNNING_ON_VALGRIND)
    return RUNNING_ON_VALGRIND;
#else
    return false;
#endif
}

static void probe(void)
{
    struct ring r;

    result = is_watched() ? -EOPNOTSUPP : ring_open(&r, 4, 8);
    if (result == 0) {
        result = pair_works(&r);
        ring_close(&r);
    }
    if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -EAGAIN)
        result = 0;
}

int probe_uring(void)
{
    pthread_once(&once, probe);
    return result;
}

static bool is_switched_off(void)
{
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    char how = '0';

    if (fd < 0)
        return false;
    if (read(fd, &how, 1) != 1)
        how = '0';
    close(fd);
    return how != '0';
}

const char *probe_reason(int error)
{
    switch (-error) {
    case EPERM:
        return is_switched_off() ? "switched off by kernel.io_uring_disabled"
                                 : "refused by seccomp: EPERM";
    case EACCES:
        return "refused: EACCES";
    case ENOSYS:
        return "the kernel has none, or seccomp hides it: ENOSYS";
    default:
        return is_watched() ? "not under Valgrind" : "the kernel's is too old, or does not work";
    }
}
