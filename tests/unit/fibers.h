/* fibers.h - what the tests of fibers share: one scheduler, and the process's memory. */
#ifndef STOA_TESTS_FIBERS_H
#define STOA_TESTS_FIBERS_H

#include "base/limits.h"
#include "fiber/fiber.h"
#include "t.h"
#include "watched.h"

static struct sched sched;

static inline void start(void)
{
    if (sched_init(&sched, STACK_SIZE_DEFAULT) != 0)
        abort();
}

static inline void finish(void)
{
    EXPECT_EQ(sched.nfiber, 0);
    EXPECT_EQ(sched.nready, 0);
    EXPECT(list_empty(&sched.all));
    sched_fini(&sched);
}

static inline struct fiber *go(void (*fn)(void *), void *arg)
{
    struct fiber *f = fiber_go(&sched, fn, arg);

    if (!f)
        abort();
    return f;
}

/* Bytes of memory that the process holds. */
static inline size_t resident(void)
{
    FILE *rollup = fopen("/proc/self/smaps_rollup", "re");
    char line[128];
    size_t kib = 0;

    while (rollup && fgets(line, sizeof(line), rollup))
        if (sscanf(line, "Rss: %zu kB", &kib) == 1)
            break;
    if (rollup)
        fclose(rollup);
    return kib << 10;
}

#endif
