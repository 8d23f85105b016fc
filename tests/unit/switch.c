/* switch.c - a switch of stacks keeps what a C function expects to keep.
 *
 * The danger: a register missing in the list of what changes.  The compiler then keeps a
 * value there in some builds and not in others, so tests of fibers alone would not see
 * it.  The way: the other stack overwrites every register that it may before it
 * switches back, while here as many values are live as there are registers.
 */
#include "fiber/switch.h"
#include "t.h"
#include "watched.h"

static struct context here, there;
static _Alignas(16) char room[65536];
static void *entry_arg;
static uintptr_t entry_frame;

#if defined(__x86_64__)
#define OVERWRITE_REGISTERS()                                                                      \
    __asm__ volatile("movq $-1, %%rax\n\tmovq %%rax, %%rbx\n\tmovq %%rax, %%rcx\n\t"               \
                     "movq %%rax, %%rdx\n\tmovq %%rax, %%r8\n\tmovq %%rax, %%r9\n\t"               \
                     "movq %%rax, %%r10\n\tmovq %%rax, %%r11\n\tmovq %%rax, %%r12\n\t"             \
                     "movq %%rax, %%r13\n\tmovq %%rax, %%r14\n\tmovq %%rax, %%r15\n\t"             \
                     "movq %%rax, %%xmm0\n\tmovq %%rax, %%xmm1\n\tmovq %%rax, %%xmm2\n\t"          \
                     "movq %%rax, %%xmm3\n\tmovq %%rax, %%xmm4\n\tmovq %%rax, %%xmm5\n\t"          \
                     "movq %%rax, %%xmm6\n\tmovq %%rax, %%xmm7\n\tmovq %%rax, %%xmm8\n\t"          \
                     "movq %%rax, %%xmm9\n\tmovq %%rax, %%xmm10\n\tmovq %%rax, %%xmm11\n\t"        \
                     "movq %%rax, %%xmm12\n\tmovq %%rax, %%xmm13\n\tmovq %%rax, %%xmm14\n\t"       \
                     "movq %%rax, %%xmm15"                                                         \
                     :                                                                             \
                     :                                                                             \
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",  \
                       "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",      \
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")
#define IN_REGISTER(x) "+x"(x)
#elif defined(__aarch64__)
#define OVERWRITE_REGISTERS()                                                                      \
    __asm__ volatile("mov x19, #-1\n\tmov x20, x19\n\tmov x21, x19\n\tmov x22, x19\n\t"            \
                     "mov x23, x19\n\tmov x24, x19\n\tmov x25, x19\n\tmov x26, x19\n\t"            \
                     "mov x27, x19\n\tmov x28, x19\n\tfmov d8, x19\n\tfmov d9, x19\n\t"            \
                     "fmov d10, x19\n\tfmov d11, x19\n\tfmov d12, x19\n\tfmov d13, x19\n\t"        \
                     "fmov d14, x19\n\tfmov d15, x19"                                              \
                     :                                                                             \
                     :                                                                             \
                     : "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "d8", \
                       "d9", "d10", "d11", "d12", "d13", "d14", "d15")
#define IN_REGISTER(x) "+w"(x)
#else
#define OVERWRITE_REGISTERS() ((void)0)
#endif

static void go_back(void *arg)
{
    entry_arg = arg;
    entry_frame = (uintptr_t)__builtin_frame_address(0);
    for (;;) {
        OVERWRITE_REGISTERS();
        switch_stack(&there, &here);
    }
}

TEST(a_new_stack_starts_aligned_with_its_argument)
{
    if (SANITIZED) {
        SKIP("sanitizers must be told of stacks, as fiber.c does");
        return;
    }
    switch_prepare(&there, room, room + sizeof(room), go_back, &entry_frame);
    switch_stack(&here, &there);
    EXPECT(entry_arg == &entry_frame);
    EXPECT(entry_frame > (uintptr_t)room && entry_frame < (uintptr_t)room + sizeof(room));
    EXPECT_EQ(entry_frame % 16, 0);
    EXPECT_GT(entry_frame, (uintptr_t)room + sizeof(room) - SWITCH_ROOM);
}

#if defined(IN_REGISTER)
static __attribute__((noinline)) void keep_whole_numbers(void)
{
    long a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10;

    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h));
    __asm__ volatile("" : "+r"(i), "+r"(j));
    switch_stack(&here, &there);
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h));
    __asm__ volatile("" : "+r"(i), "+r"(j));
    EXPECT(a == 1 && b == 2 && c == 3 && d == 4 && e == 5);
    EXPECT(f == 6 && g == 7 && h == 8 && i == 9 && j == 10);
}

static __attribute__((noinline)) void keep_floating_point(void)
{
    double a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;

    __asm__ volatile("" : IN_REGISTER(a), IN_REGISTER(b), IN_REGISTER(c), IN_REGISTER(d));
    __asm__ volatile("" : IN_REGISTER(e), IN_REGISTER(f), IN_REGISTER(g), IN_REGISTER(h));
    switch_stack(&here, &there);
    __asm__ volatile("" : IN_REGISTER(a), IN_REGISTER(b), IN_REGISTER(c), IN_REGISTER(d));
    __asm__ volatile("" : IN_REGISTER(e), IN_REGISTER(f), IN_REGISTER(g), IN_REGISTER(h));
    EXPECT(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8);
}

TEST(every_register_is_kept_across_a_switch)
{
    if (SANITIZED) {
        SKIP("sanitizers must be told of stacks, as fiber.c does");
        return;
    }
    switch_prepare(&there, room, room + sizeof(room), go_back, NULL);
    for (int i = 0; i < 3; i++) {
        keep_whole_numbers();
        keep_floating_point();
    }
}
#endif
