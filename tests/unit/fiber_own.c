/* fiber_own.c - what is a fiber's or a thread's own stays its own.
 *
 * The dangers: errno, a register or the stack's alignment lost when another fiber ran in
 * between, which crashes far away and under some flags only; a note of the last error
 * that nobody frees; one thread's fibers seen by another.  The way: values are kept
 * live across switches, an instruction that wants alignment is run, and threads end
 * with notes of a megabyte each, which would be seen.
 */
#include "fibers.h"

#include <pthread.h>

static void keep_errno(void *arg)
{
    int mine = *(const int *)arg;

    EXPECT_EQ(errno, 0);
    for (int i = 0; i < 4; i++) {
        errno = mine;
        fiber_yield();
        EXPECT_EQ(errno, mine);
    }
    errno = mine;
    fiber_park();
    EXPECT_EQ(errno, mine);
    errno = mine + 1; /* for the next to find, if it were not kept apart */
}

TEST(errno_is_a_fibers_own)
{
    int one = ENOENT, two = ECONNRESET;

    start();
    struct fiber *a = go(keep_errno, &one);
    struct fiber *b = go(keep_errno, &two);

    errno = EBADF;
    fiber_run(&sched, 100);
    EXPECT_EQ(errno, EBADF);
    fiber_ready(a);
    fiber_ready(b);
    fiber_run(&sched, 100);
    EXPECT_EQ(errno, EBADF);
    finish();
}

/* Say that they are in registers, and may have changed there. */
#define IN_REGISTERS(a, b, c, d, e, f)                                                             \
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f))

/* Six whole numbers, which the compiler keeps in the registers that a call keeps, and
 * more in floating point. */
static void keep_values(void *arg)
{
    const long seed = *(const long *)arg;
    long a = seed + 1, b = seed + 2, c = seed + 3, d = seed + 4, e = seed + 5, f = seed + 6;
    double p = (double)seed * 1.5, q = (double)seed * 2.5, r = (double)seed * 3.5;

    IN_REGISTERS(a, b, c, d, e, f);
    for (int i = 0; i < 100; i++) {
        fiber_yield();
        IN_REGISTERS(a, b, c, d, e, f);
        p += 1.0, q += 2.0, r += 3.0;
    }
    EXPECT_EQ(a, seed + 1);
    EXPECT_EQ(b, seed + 2);
    EXPECT_EQ(c, seed + 3);
    EXPECT_EQ(d, seed + 4);
    EXPECT_EQ(e, seed + 5);
    EXPECT_EQ(f, seed + 6);
    EXPECT_EQ(p, (double)seed * 1.5 + 100.0);
    EXPECT_EQ(q, (double)seed * 2.5 + 200.0);
    EXPECT_EQ(r, (double)seed * 3.5 + 300.0);
}

TEST(registers_are_kept_across_a_switch)
{
    long seeds[] = {1000, -77777, 123456789012};

    start();
    for (size_t i = 0; i < sizeof(seeds) / sizeof(*seeds); i++) {
        go(keep_values, &seeds[i]);
        fiber_run(&sched, 3); /* their counts of rounds differ, too */
    }
    fiber_run(&sched, SIZE_MAX);
    finish();
}

/* An address that must be aligned, stored to by an instruction that kills if not. */
static __attribute__((noinline)) void touch_aligned(void)
{
    _Alignas(16) char room[16];

#if defined(__x86_64__)
    __asm__ volatile("movaps %%xmm0, (%0)" : : "r"(room) : "memory");
#else
    __asm__ volatile("" : : "r"(room) : "memory");
#endif
    EXPECT_EQ((uintptr_t)room % 16, 0);
}

static void check_alignment(void *arg)
{
    (void)arg;
    touch_aligned();
    /* At a call the stack pointer is a multiple of 16; the return address and the caller's
     * frame pointer lie between it and this frame's address. */
    EXPECT_EQ((uintptr_t)__builtin_frame_address(0) % 16, 0);
    fiber_yield();
    touch_aligned();
}

TEST(stacks_are_aligned_as_the_abi_says)
{
    start();
    for (int i = 0; i < 3; i++)
        go(check_alignment, NULL);
    fiber_run(&sched, SIZE_MAX);
    finish();
}

static __attribute__((noinline)) char fill_stack(size_t len)
{
    char room[16384];

    memset(room, (int)len, sizeof(room));
    __asm__ volatile("" : : "r"(room) : "memory");
    fiber_yield();
    return room[len % sizeof(room)];
}

static void use_deep_stack(void *arg)
{
    /* 2 x 16 KiB and the frames fit into the 64 that are promised. */
    char room[16384];

    memset(room, 7, sizeof(room));
    __asm__ volatile("" : : "r"(room) : "memory");
    EXPECT_EQ(fill_stack((size_t)(uintptr_t)arg), (char)(uintptr_t)arg);
    EXPECT_EQ(room[16383], 7);
}

TEST(fibers_use_their_stacks_deep_down)
{
    start();
    for (size_t i = 0; i < 10; i++)
        go(use_deep_stack, (void *)(uintptr_t)i);
    fiber_run(&sched, SIZE_MAX);
    finish();
}

static void expect_own(void *arg)
{
    EXPECT(fiber_self() != arg);
    EXPECT_EQ(fiber_self()->state, FIBER_RUNNING);
    EXPECT(sched.running == fiber_self());
    fiber_yield();
    EXPECT(sched.running == fiber_self());
}

TEST(fiber_self_is_the_threads_own_outside_of_fibers)
{
    struct fiber *own = fiber_self();

    EXPECT_EQ(own->state, FIBER_THREAD);
    EXPECT(own->sched == NULL);
    EXPECT_EQ(own->local.note.handle, -1);
    start();
    go(expect_own, own);
    go(expect_own, own);
    while (sched.nready > 0) {
        fiber_run(&sched, 1);
        EXPECT(fiber_self() == own);
        EXPECT(sched.running == NULL);
    }
    finish();
}

static void leave_note(void *len)
{
    struct note *note = &fiber_self()->local.note;

    note->detail = malloc(*(const size_t *)len);
    if (!note->detail)
        abort();
    memset(note->detail, 1, *(const size_t *)len);
}

static void *leave_note_on_thread(void *len)
{
    errno = EINTR;
    EXPECT_EQ(fiber_self()->state, FIBER_THREAD);
    EXPECT_EQ(errno, EINTR);
    leave_note(len);
    return fiber_self();
}

/* LeakSanitizer and Valgrind see a note that is lost; without them its pages are counted. */
TEST(the_last_note_goes_with_its_thread)
{
    size_t len = (size_t)1 << 20, before = resident();
    void *own = NULL;

    for (int i = 0; i < 64; i++) {
        pthread_t thread;

        EXPECT_EQ(pthread_create(&thread, NULL, leave_note_on_thread, &len), 0);
        EXPECT_EQ(pthread_join(thread, &own), 0);
        EXPECT(own != fiber_self());
    }
    if (!watched())
        EXPECT_LT(resident(), before + 16 * len);
}

TEST(the_last_note_goes_with_its_fiber)
{
    size_t len = (size_t)1 << 20, before = resident();

    start();
    for (int i = 0; i < 64; i++) {
        go(leave_note, &len);
        fiber_run(&sched, 1);
    }
    if (!watched())
        EXPECT_LT(resident(), before + 16 * len);
    finish();
}

static pthread_key_t late_key;

/* A destructor that calls us after our own has run, in the second round. */
static void leave_note_late(void *len)
{
    static __thread int times;

    if (times++ == 0)
        (void)pthread_setspecific(late_key, len);
    else
        leave_note(len);
}

static void *end_late(void *len)
{
    leave_note(len);
    (void)pthread_setspecific(late_key, len);
    return NULL;
}

TEST(a_note_left_while_the_thread_ends_is_freed_too)
{
    size_t len = (size_t)1 << 20, before = resident();

    EXPECT_EQ(pthread_key_create(&late_key, leave_note_late), 0);
    for (int i = 0; i < 64; i++) {
        pthread_t thread;

        EXPECT_EQ(pthread_create(&thread, NULL, end_late, &len), 0);
        EXPECT_EQ(pthread_join(thread, NULL), 0);
    }
    if (!watched())
        EXPECT_LT(resident(), before + 16 * len);
    pthread_key_delete(late_key);
}

static void yield_often(void *arg)
{
    size_t *n = arg;

    for (int i = 0; i < 1000; i++) {
        ++*n;
        fiber_yield();
    }
}

static void *run_own_fibers(void *arg)
{
    struct sched own;
    size_t n = 0;

    (void)arg;
    if (sched_init(&own, STACK_SIZE_DEFAULT) != 0)
        abort();
    for (int i = 0; i < 10; i++)
        fiber_go(&own, yield_often, &n);
    while (own.nfiber > 0)
        fiber_run(&own, 7);
    EXPECT_EQ(n, 10000);
    sched_fini(&own);
    return NULL;
}

TEST(each_thread_has_fibers_of_its_own)
{
    pthread_t thread[4];

    for (int i = 0; i < 4; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, run_own_fibers, NULL), 0);
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
}
