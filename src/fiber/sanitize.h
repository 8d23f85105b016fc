/* sanitize.h - what AddressSanitizer, ThreadSanitizer and Valgrind must be told of stacks.
 *
 * Only fiber.c and stack.c tell them; others look at SANITIZE_*.  Without these tools every
 * function here is empty, but for Valgrind's, which are a few instructions a fiber's life.
 */
#ifndef STOA_FIBER_SANITIZE_H
#define STOA_FIBER_SANITIZE_H

#include "fiber/fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZE_ADDRESS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZE_ADDRESS 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define SANITIZE_THREAD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZE_THREAD 1
#endif
#endif

#if defined(SANITIZE_ADDRESS)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if defined(SANITIZE_THREAD)
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(SANITIZE_ADDRESS) && !defined(SANITIZE_THREAD)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif

/* Instrumented frames are several times as large. */
#if defined(SANITIZE_ADDRESS) || defined(SANITIZE_THREAD)
#define SANITIZE_STACK_MIN ((size_t)256 << 10)
#else
#define SANITIZE_STACK_MIN STACK_SIZE_MIN
#endif

/* A call of its own between the tool's switch and ours would be counted on two stacks. */
#define SANITIZE_INLINE static inline __attribute__((always_inline))

/* A fiber's stack is there, from f->stack on. */
SANITIZE_INLINE void sanitize_born(struct fiber *f)
{
#if defined(SANITIZE_ADDRESS)
    __lsan_register_root_region(f->stack, f->stack_len); /* what it points to is no leak */
#endif
#if defined(SANITIZE_THREAD)
    f->tool.tsan_fiber = __tsan_create_fiber(0);
#endif
#if defined(VALGRIND_STACK_REGISTER)
    f->tool.valgrind_id = VALGRIND_STACK_REGISTER(f->stack, (char *)f->stack + f->stack_len);
#endif
    (void)f;
}

/* It is no more: another stack is under us. */
SANITIZE_INLINE void sanitize_gone(struct fiber *f)
{
#if defined(SANITIZE_ADDRESS)
    __lsan_unregister_root_region(f->stack, f->stack_len);
#endif
#if defined(SANITIZE_THREAD)
    __tsan_destroy_fiber(f->tool.tsan_fiber);
#endif
#if defined(VALGRIND_STACK_REGISTER)
    VALGRIND_STACK_DEREGISTER(f->tool.valgrind_id);
#endif
    (void)f;
}

/* A stack's bytes may be used afresh: no frame of its last user is left on it. */
SANITIZE_INLINE void sanitize_clean(void *stack, size_t len)
{
#if defined(SANITIZE_ADDRESS)
    __asan_unpoison_memory_region(stack, len);
#endif
#if defined(VALGRIND_MAKE_MEM_UNDEFINED)
    VALGRIND_MAKE_MEM_UNDEFINED(stack, len);
#endif
    (void)stack;
    (void)len;
}

/* The calling thread's own stack, before it runs fibers. */
SANITIZE_INLINE void sanitize_thread(struct fiber *loop)
{
#if defined(SANITIZE_THREAD)
    loop->tool.tsan_fiber = __tsan_get_current_fiber();
#endif
    (void)loop;
}

/* Immediately before the switch. */
SANITIZE_INLINE void sanitize_leave(struct fiber *from, struct fiber *to)
{
#if defined(SANITIZE_ADDRESS)
    void **save = from->state == FIBER_DEAD ? NULL : &from->tool.asan_fake_stack;

    __sanitizer_start_switch_fiber(save, to->stack, to->stack_len);
#endif
#if defined(SANITIZE_THREAD)
    __tsan_switch_to_fiber(to->tool.tsan_fiber, 0);
#endif
    (void)from;
    (void)to;
}

/* Immediately after it, on the stack of `here`; `from` is who was left. */
SANITIZE_INLINE void sanitize_arrive(struct fiber *here, struct fiber *from)
{
#if defined(SANITIZE_ADDRESS)
    const void *stack;
    size_t len;

    __sanitizer_finish_switch_fiber(here->tool.asan_fake_stack, &stack, &len);
    from->stack = (void *)stack; /* news for the loop's only, the thread's own */
    from->stack_len = len;
#endif
    (void)here;
    (void)from;
}

#endif
