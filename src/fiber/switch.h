/* switch.h - leave one stack for another; knows nothing of fibers.
 *
 * Three answers, one chosen at build time: x86-64 and AArch64 here, any other machine
 * by switch_portable.c over ucontext(3).  Rounding mode and signal mask stay the thread's.
 *
 * On the two the switch is no call but a jump in the caller's midst, to an address kept
 * beside the stack pointer: a processor predicts a `ret` by the calls it has seen, and
 * a switch that is called and ends in a jump leaves one call too many, so every
 * return above it is mispredicted.  Measured (bench/switch.c, a fiber that yields
 * four calls deep): jump in place 11 ns, call and ret 14, call and jump 53.
 * The compiler is told that all registers change, and keeps what it needs on the
 * stack; only the frame pointer, of which it cannot be told so, is kept here.
 */
#ifndef STOA_FIBER_SWITCH_H
#define STOA_FIBER_SWITCH_H

/* Where a stack that was left goes on. */
struct context {
    void *sp;    /* switch_portable.c: its ucontext_t */
    void *frame; /* the frame pointer */
    void *pc;
};

#define SWITCH_INLINE static inline __attribute__((always_inline))

/* Prepare the stack from low to top so that a switch to *to calls entry(arg), which never
 * returns.  top is a multiple of 16; less than SWITCH_ROOM bytes below it are touched. */
SWITCH_INLINE void switch_prepare(struct context *to, void *low, void *top,
                                  void (*entry)(void *arg), void *arg);

#if defined(STOA_SWITCH_PORTABLE)
#define SWITCH_ROOM 8192 /* a context of ucontext(3) has 968 bytes on x86-64, 4,560 on AArch64 */
#else
#define SWITCH_ROOM 2048
#endif

/* Leave this stack, so that a switch to *from returns here, and go on at *to. */
SWITCH_INLINE void switch_stack(struct context *from, const struct context *to);

#if defined(STOA_SWITCH_PORTABLE)

void *switch_portable_make(void *low, void *top, void (*entry)(void *arg), void *arg);
void switch_portable_go(void **from, void *to);

SWITCH_INLINE void switch_prepare(struct context *to, void *low, void *top,
                                  void (*entry)(void *arg), void *arg)
{
    to->sp = switch_portable_make(low, top, entry, arg);
}

SWITCH_INLINE void switch_stack(struct context *from, const struct context *to)
{
    switch_portable_go(&from->sp, to->sp);
}

#else

/* In assembly: calls the entry that lies at the stack pointer with the argument above it. */
void switch_start(void);

SWITCH_INLINE void switch_prepare(struct context *to, void *low, void *top,
                                  void (*entry)(void *arg), void *arg)
{
    void **frame = (void **)top - 2;

    (void)low;
    frame[0] = (void *)entry;
    frame[1] = arg;
    *to = (struct context){.sp = frame, .pc = (void *)switch_start};
}

#if defined(__x86_64__)

#if defined(__AVX512F__)
#define SWITCH_MORE_CHANGED                                                                        \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",  \
        "k7"
#else
#define SWITCH_MORE_CHANGED
#endif

/* System V ABI AMD64, 3.2.1: registers. */
SWITCH_INLINE void switch_stack(struct context *from, const struct context *to)
{
    __asm__ volatile("leaq  1f(%%rip), %%rax\n\t"
                     "movq  %%rsp, 0(%%rdi)\n\t"
                     "movq  %%rbp, 8(%%rdi)\n\t"
                     "movq  %%rax, 16(%%rdi)\n\t"
                     "movq  0(%%rsi), %%rsp\n\t"
                     "movq  8(%%rsi), %%rbp\n\t"
                     "jmpq  *16(%%rsi)\n"
                     "1:\tendbr64"
                     : "+D"(from), "+S"(to)
                     :
                     : "memory", "cc", "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12",
                       "r13", "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15" SWITCH_MORE_CHANGED);
}

#elif defined(__aarch64__)

#if defined(__ARM_FEATURE_SVE)
#define SWITCH_MORE_CHANGED                                                                        \
    , "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13",      \
        "p14", "p15"
#else
#define SWITCH_MORE_CHANGED
#endif

/* AAPCS64, 6.1: registers.  hint 36 is `bti j`, where a jump may land. */
SWITCH_INLINE void switch_stack(struct context *from, const struct context *to)
{
    register struct context *from_x0 __asm__("x0") = from;
    register const struct context *to_x1 __asm__("x1") = to;

    __asm__ volatile("adr   x2, 1f\n\t"
                     "mov   x3, sp\n\t"
                     "stp   x3, x29, [x0]\n\t"
                     "str   x2, [x0, #16]\n\t"
                     "ldp   x3, x29, [x1]\n\t"
                     "ldr   x2, [x1, #16]\n\t"
                     "mov   sp, x3\n\t"
                     "br    x2\n"
                     "1:\thint  #36"
                     : "+r"(from_x0), "+r"(to_x1)
                     :
                     : "memory", "cc", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11",
                       "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22",
                       "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3",
                       "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
                       "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26",
                       "v27", "v28", "v29", "v30", "v31" SWITCH_MORE_CHANGED);
}

#else
#error "no switch for this machine: build with -Dswitch=portable"
#endif

#endif /* STOA_SWITCH_PORTABLE */
#endif
