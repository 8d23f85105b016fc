/* turns.c - the calls in which the library waits, counted: turns.h. */
#include "turns.h"

#include "words.h"

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static atomic_ulong nturn;
static long (*real)(long nr, ...);

__attribute__((constructor)) static void find(void)
{
    *(void **)&real = dlsym(RTLD_NEXT, "syscall");
}

unsigned long turns(void)
{
    return atomic_load(&nturn);
}

int epoll_wait(int epoll_fd, struct epoll_event *e, int max, int ms)
{
    atomic_fetch_add(&nturn, 1);
    return epoll_pwait(epoll_fd, e, max, ms, NULL);
}

int ppoll(struct pollfd *p, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
    struct timespec left = time ? *time : (struct timespec){0}; /* the kernel writes to it */

    atomic_fetch_add(&nturn, 1);
    return (int)real(SYS_ppoll, p, n, time ? &left : NULL, mask, _NSIG / 8);
}

long syscall(long nr, ...)
{
    long w[6] = {0};
    va_list args;

    va_start(args, nr);
    for (int i = 0; i < words(nr); i++)
        w[i] = va_arg(args, long);
    va_end(args);
    if (nr == SYS_io_uring_enter)
        atomic_fetch_add(&nturn, 1);
    return real(nr, w[0], w[1], w[2], w[3], w[4], w[5]);
}
