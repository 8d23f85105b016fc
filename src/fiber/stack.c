/* stack.c - the stacks of one thread's fibers: few mappings, a guard page below each stack.
 *
 * Address space comes in regions of STACKS_PER_REGION stacks by one mmap(2) each, without
 * reserved memory: a page costs when it is touched.  Region beside region, the kernel
 * keeps one mapping for many of them, so a million stacks are not bound by
 * vm.max_map_count; guards by mprotect(2), which split mappings, would be at 32,754
 * stacks (measured).  Hence MADV_GUARD_INSTALL, which splits nothing: 255 ns, once in
 * a stack's life, for it outlives MADV_DONTNEED.
 *
 * A stack given back is taken again last-in-first-out.  STACKS_HOT free ones keep their
 * pages; the others' go back to the system, at once, so what the process holds is
 * what its fibers use.  The lists of free stacks are arrays outside of the
 * stacks: to give back a million touches none of them.
 *
 * The guard comes on top of the length, so the tops of two stacks are an odd number of
 * pages apart.  With a power of 2 the pages in use, one of each stack, fall into a few sets
 * of the processor's page-table cache.  Measured, the upper server over 9,000 connections as a
 * multiple of the hand-written loop: 1.144 with 16 pages, 1.085 with 17.
 *
 * Limits: where the kernel does not know MADV_GUARD_INSTALL (before Linux 6.13; emulators)
 * only the first STACK_GUARDS_BY_MPROTECT stacks of the process are guarded, by mprotect(2).
 * An overrun of more than a page may jump over its guard: build with
 * -fstack-clash-protection, as stoa itself is.  gcore(1) stops reading at a guard and loses
 * the stacks; the kernel's own core files have them.
 * Sources: madvise(2), mmap(2), proc(5) (max_map_count).
 */
#include "fiber/stack.h"

#include "base/check.h"
#include "base/limits.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; the headers of Debian 12 are older */
#endif

struct stack_pool {
    size_t stack_len; /* guard included */
    size_t guard_len;
    bool guards_by_advice;
    size_t region_len;

    char *fresh; /* the first stack of the last region never taken yet */
    char *fresh_end;

    char **region; /* where each mapping begins */
    size_t nregion;
    void **cold; /* free, without pages; room for every stack there is */
    size_t ncold;
    void *hot[STACKS_HOT]; /* free, with the pages their last fibers touched */
    size_t nhot;
    size_t ntaken;
};

/* mprotect(2)'s guards of all pools: the bound is the process's. */
static atomic_int nguard_mprotect;

/* qemu-user takes all advice for a hint, says yes, and does nothing: no guard, then. */
static bool guards_by_advice(size_t page)
{
    int saved = errno;
    bool any = madvise(NULL, page, -1) == 0;

    errno = saved;
    return !any;
}

struct stack_pool *stack_pool_make(size_t len)
{
    struct stack_pool *p = calloc(1, sizeof(*p));

    CHECK((len & (len - 1)) == 0 && len >= STACK_SIZE_MIN && len <= STACK_SIZE_MAX,
          "stack_pool_make: the length must be a power of 2 from STACK_SIZE_MIN to MAX");
    if (!p)
        return NULL;
    p->guard_len = (size_t)sysconf(_SC_PAGESIZE);
    p->guards_by_advice = guards_by_advice(p->guard_len);
    p->stack_len = len + p->guard_len;
    p->region_len = p->stack_len * STACKS_PER_REGION;
    if (p->region_len > STACK_REGION_MAX)
        p->region_len = STACK_REGION_MAX - STACK_REGION_MAX % p->stack_len;
    return p;
}

void stack_pool_free(struct stack_pool *p)
{
    CHECK(p->ntaken == 0, "stack_pool_free: stacks are in use");
    for (size_t i = 0; i < p->nregion; i++)
        munmap(p->region[i], p->region_len);
    free(p->region);
    free(p->cold);
    free(p);
}

/* Room in the arrays for one region more.  False: no memory. */
static bool reserve(struct stack_pool *p)
{
    size_t per_region = p->region_len / p->stack_len;
    char **region = realloc(p->region, (p->nregion + 1) * sizeof(*region));

    if (!region)
        return false;
    p->region = region;

    void **cold = realloc(p->cold, (p->nregion + 1) * per_region * sizeof(*cold));

    if (!cold)
        return false;
    p->cold = cold;
    return true;
}

/* One region more.  False: no memory. */
static bool grow(struct stack_pool *p)
{
    if (!reserve(p))
        return false;
    char *base = mmap(NULL, p->region_len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (base == MAP_FAILED)
        return false;
    /* A huge page would make a fiber of one page cost 2 MiB.  An old kernel without
     * huge pages says EINVAL and means the same. */
    (void)madvise(base, p->region_len, MADV_NOHUGEPAGE);
    p->region[p->nregion++] = base;
    p->fresh = base;
    p->fresh_end = base + p->region_len;
    return true;
}

/* Best effort: a stack without guard is a stack. */
static void guard(struct stack_pool *p, char *low)
{
    if (p->guards_by_advice && madvise(low, p->guard_len, MADV_GUARD_INSTALL) == 0)
        return;
    if (atomic_fetch_add(&nguard_mprotect, 1) < STACK_GUARDS_BY_MPROTECT)
        (void)mprotect(low, p->guard_len, PROT_NONE);
}

static void *take_fresh(struct stack_pool *p)
{
    if (p->fresh == p->fresh_end && !grow(p))
        return NULL;
    char *low = p->fresh;

    p->fresh += p->stack_len;
    guard(p, low);
    return low + p->guard_len;
}

void *stack_take(struct stack_pool *p, size_t *len)
{
    int saved = errno;
    void *stack;

    if (p->nhot > 0)
        stack = p->hot[--p->nhot];
    else if (p->ncold > 0)
        stack = p->cold[--p->ncold];
    else
        stack = take_fresh(p);
    errno = saved;
    if (!stack)
        return NULL;
    p->ntaken++;
    *len = p->stack_len - p->guard_len;
    return stack;
}

void stack_give(struct stack_pool *p, void *stack)
{
    CHECK(p->ntaken > 0, "stack_give: no stack is in use");
    p->ntaken--;
    if (p->nhot < STACKS_HOT) {
        p->hot[p->nhot++] = stack;
        return;
    }
    int saved = errno;

    (void)madvise(stack, p->stack_len - p->guard_len, MADV_DONTNEED);
    errno = saved;
    p->cold[p->ncold++] = stack;
}
