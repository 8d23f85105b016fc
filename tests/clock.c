/* clock.c - CLOCK_MONOTONIC, which can be stopped: clock.h. */
#include "clock.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_NS = 1000000000 };

static atomic_llong stands_ns; /* 0: it goes */

static int read_clock(clockid_t which, struct timespec *t)
{
    return (int)syscall(SYS_clock_gettime, which, t);
}

int clock_gettime(clockid_t which, struct timespec *t)
{
    long long ns = which == CLOCK_MONOTONIC ? atomic_load(&stands_ns) : 0;

    if (!ns)
        return read_clock(which, t);
    *t = (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
    return 0;
}

void clock_stop(void)
{
    struct timespec t;

    read_clock(CLOCK_MONOTONIC, &t);
    atomic_store(&stands_ns, (long long)t.tv_sec * SECOND_NS + t.tv_nsec);
}

void clock_go_on(void)
{
    atomic_store(&stands_ns, 0);
}
