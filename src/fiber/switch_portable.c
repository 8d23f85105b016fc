/* switch_portable.c - change stacks on any machine, by ucontext(3).
 *
 * The context of a stack that is left lies on that very stack, in the frame of the
 * switch, and its address is the saved stack pointer.  Each switch saves and
 * restores the signal mask by two system calls (165 ns, measured):
 * for machines without a file of their own, and for processes with shadow stacks,
 * which ucontext(3) knows to change as well.
 */
#include "fiber/switch.h"

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

_Static_assert(sizeof(ucontext_t) < SWITCH_ROOM, "a context fits where fiber.c expects it");

/* What a new stack starts with, at its top. */
struct start {
    _Alignas(16) ucontext_t context;
    void (*entry)(void *arg);
    void *arg;
};

/* makecontext(3) passes ints only: a pointer comes in two halves. */
static void begin(unsigned high, unsigned low)
{
    const struct start *start = (void *)(uintptr_t)((uint64_t)high << 32 | low);

    start->entry(start->arg);
    CHECK(false, "switch_portable: a fiber's entry has returned");
}

void *switch_portable_make(void *low, void *top, void (*entry)(void *arg), void *arg)
{
    struct start *start = (struct start *)top - 1;
    uint64_t address = (uintptr_t)start;

    CHECK(getcontext(&start->context) == 0, "switch_portable: getcontext(3) has failed");
    start->context.uc_stack.ss_sp = low;
    start->context.uc_stack.ss_size = (size_t)((char *)start - (char *)low);
    start->context.uc_link = NULL;
    start->entry = entry;
    start->arg = arg;
    makecontext(&start->context, (void (*)(void))begin, 2, (unsigned)(address >> 32),
                (unsigned)address);
    return &start->context;
}

void switch_portable_go(void **from, void *to)
{
    ucontext_t here;

    *from = &here;
    CHECK(swapcontext(&here, to) == 0, "switch_portable: swapcontext(3) has failed");
}
