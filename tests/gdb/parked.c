/* parked.c - a program for gdb.py to look at: fibers in every state, then SIGABRT.
 *
 * Six bakers park in the same place, one of them is ready again; one yields, one has not
 * begun, one runs and ends the process.
 */
#include "base/limits.h"
#include "fiber/fiber.h"

#include <signal.h>
#include <stdlib.h>

static struct sched sched;
static struct fiber *first;

static __attribute__((noinline)) int wait_for_bread(int loaves)
{
    volatile int ordered = loaves + 1;

    fiber_park();
    return ordered;
}

static __attribute__((noinline)) int bake(int loaves)
{
    return wait_for_bread(loaves) + 1;
}

static void baker(void *loaves)
{
    *(int *)loaves = bake(*(int *)loaves);
}

static void yield_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        fiber_yield();
}

static void begin_late(void *arg)
{
    *(int *)arg = 0;
}

static void end_process(void *arg)
{
    raise(SIGABRT);
    *(int *)arg = 0;
}

static struct fiber *go(void (*fn)(void *), void *arg)
{
    struct fiber *f = fiber_go(&sched, fn, arg);

    if (!f)
        exit(1);
    return f;
}

int main(void)
{
    int loaves = 41;

    if (sched_init(&sched, STACK_SIZE_DEFAULT) != 0)
        return 1;
    first = go(baker, &loaves);
    for (int i = 1; i < 6; i++)
        go(baker, &loaves);
    fiber_run(&sched, 6);
    go(yield_for_ever, NULL);
    go(end_process, &loaves);
    go(begin_late, &loaves);
    fiber_ready(first);
    fiber_run(&sched, SIZE_MAX);
    return 1;
}
