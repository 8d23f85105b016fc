/* switch.c - what a fiber costs: a switch, warm and cold, and memory while it waits.
 *
 *   switch [FIBERS]     default 1,000,000; needs 4.4 GiB for so many
 *
 * Bare: two stacks that switch to and fro and do nothing else.  Yield: all that fiber.c
 * does, at once and four calls deep, since returns are what a careless switch makes
 * dear.  Cold: fibers parked in a few lines of stack each, made ready and run in random
 * order; 9,000 of them stay in the last cache, a million do not.  Memory: the process's
 * resident set and page tables, before and after, by /proc/self.
 *
 * A figure is the median of ROUNDS, but for the million, which is done once a round.
 */
#include "base/limits.h"
#include "fiber/fiber.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 7, SWITCHES = 10 * 1000 * 1000 };

static struct sched sched;

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *must(void *pointer)
{
    if (!pointer) {
        fprintf(stderr, "switch: no memory\n");
        exit(1);
    }
    return pointer;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The median of what a measurement gives. */
static double median(double (*measure)(void))
{
    double result[ROUNDS];

    for (int i = 0; i < ROUNDS; i++)
        result[i] = measure();
    qsort(result, ROUNDS, sizeof(*result), by_value);
    return result[ROUNDS / 2];
}

/* ------------------------------------------------------------------------- */
/* Warm                                                                        */

static struct context here, there;

static void switch_back(void *arg)
{
    (void)arg;
    for (;;)
        switch_stack(&there, &here);
}

static double bare(void)
{
    static _Alignas(16) char stack[16384];

    switch_prepare(&there, stack, stack + sizeof(stack), switch_back, NULL);
    double start = cpu_ns();

    for (int i = 0; i < SWITCHES; i++)
        switch_stack(&here, &there);
    return (cpu_ns() - start) / (2.0 * SWITCHES);
}

static int nleft;
static volatile int nreturn; /* work after a call, so that it is one */

static void yield_flat(void *arg)
{
    (void)arg;
    while (nleft-- > 0)
        fiber_yield();
}

static __attribute__((noinline)) void call_1(void)
{
    fiber_yield();
    nreturn++;
}

static __attribute__((noinline)) void call_2(void)
{
    call_1();
    nreturn++;
}

static __attribute__((noinline)) void call_3(void)
{
    call_2();
    nreturn++;
}

static void yield_deep(void *arg)
{
    (void)arg;
    while (nleft-- > 0)
        call_3();
}

static double two_fibers(void (*fn)(void *))
{
    size_t nrun = 0;

    nleft = SWITCHES;
    must(fiber_go(&sched, fn, NULL));
    must(fiber_go(&sched, fn, NULL));
    double start = cpu_ns();

    while (sched.nfiber > 0)
        nrun += fiber_run(&sched, SIZE_MAX);
    return (cpu_ns() - start) / (double)nrun;
}

static double flat(void)
{
    return two_fibers(yield_flat);
}

static double deep(void)
{
    return two_fibers(yield_deep);
}

/* ------------------------------------------------------------------------- */
/* Many                                                                        */

static struct fiber **fiber;
static size_t nfiber;
static bool over;

static void park_often(void *arg)
{
    (void)arg;
    while (!over)
        fiber_park();
}

/* xorshift64* (Vigna, 2016), always the same. */
static uint64_t rand64(void)
{
    static uint64_t state = 1;

    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1D;
}

static void shuffle(void)
{
    for (size_t i = nfiber - 1; i > 0; i--) {
        size_t j = rand64() % (i + 1);
        struct fiber *f = fiber[i];

        fiber[i] = fiber[j];
        fiber[j] = f;
    }
}

static double ready_ns, run_ns;

/* Make all ready, and run them: ns for each of the two, a fiber. */
static void wake_all(void)
{
    double start = cpu_ns();

    for (size_t i = 0; i < nfiber; i++)
        fiber_ready(fiber[i]);
    double middle = cpu_ns();

    fiber_run(&sched, SIZE_MAX);
    ready_ns = (middle - start) / (double)nfiber;
    run_ns = (cpu_ns() - middle) / (double)nfiber;
}

static double wake_all_run(void)
{
    shuffle();
    wake_all();
    return run_ns;
}

static double wake_all_ready(void)
{
    shuffle();
    wake_all();
    return ready_ns;
}

/* Start n fibers that park; ns a fiber. */
static double start_many(size_t n)
{
    nfiber = n;
    over = false;
    fiber = must(calloc(n, sizeof(void *)));
    double start = cpu_ns();

    for (size_t i = 0; i < n; i++)
        fiber[i] = must(fiber_go(&sched, park_often, NULL));
    fiber_run(&sched, SIZE_MAX);
    return (cpu_ns() - start) / (double)n;
}

static double end_many(void)
{
    over = true;
    double start = cpu_ns();

    wake_all();
    double each = (cpu_ns() - start) / (double)nfiber;

    free(fiber);
    return each;
}

/* Bytes of a line of /proc/self/status. */
static double status_bytes(const char *name)
{
    FILE *status = must(fopen("/proc/self/status", "re"));
    char line[128];
    double kib = 0;

    while (fgets(line, sizeof(line), status))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtod(line + strlen(name), NULL);
    fclose(status);
    return kib * 1024;
}

static double memory(void)
{
    return status_bytes("VmRSS:") + status_bytes("VmPTE:");
}

static void measure_many(size_t n)
{
    double before = memory();
    double start = start_many(n);
    double after = memory() - (double)(n * sizeof(void *));

    printf("%zu fibers, ns each\n", n);
    printf("  start and first run  %7.1f\n", start);
    printf("  make ready, random   %7.1f\n", median(wake_all_ready));
    printf("  run, random          %7.1f\n", median(wake_all_run));
    printf("  end                  %7.1f\n", end_many());
    printf("  memory: %.0f bytes a parked fiber (%.2f GiB), page tables included\n",
           (after - before) / (double)n, (after - before) / (double)(1 << 30));
    printf("  kept after their end: %.1f MiB\n", (memory() - before) / (1 << 20));
}

int main(int argc, char **argv)
{
    size_t nmany = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;

    if (nmany == 0 || argc > 2) {
        fprintf(stderr, "usage: switch [FIBERS]\n");
        return 2;
    }
    if (sched_init(&sched, STACK_SIZE_DEFAULT) != 0)
        must(NULL);
    printf("two stacks, ns a switch\n");
    printf("  bare                 %7.2f\n", median(bare));
    printf("  yield                %7.2f\n", median(flat));
    printf("  yield, 4 calls deep  %7.2f\n", median(deep));
    measure_many(9000);
    measure_many(nmany);
    sched_fini(&sched);
    return 0;
}
