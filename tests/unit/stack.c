/* stack.c - stacks are guarded, reused, and given back to the system.
 *
 * The dangers: an overrun that goes unseen into a neighbour's stack; a pool that keeps
 * every page a million fibers ever touched, or faults in a million pages to free
 * them; guards that split mappings until the kernel refuses more.  The way: the
 * kernel is asked (mincore(2), /proc/self), overruns are done in a child, and an old
 * kernel is played by a filter that refuses MADV_GUARD_INSTALL.
 */
#include "fiber/stack.h"
#include "base/limits.h"
#include "t.h"
#include "watched.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { PAGE = 4096, LEN = 65536 };

static struct stack_pool *pool_of(size_t len)
{
    struct stack_pool *p = stack_pool_make(len);

    if (!p)
        abort();
    return p;
}

static char *take(struct stack_pool *p)
{
    size_t len;
    char *stack = stack_take(p, &len);

    if (!stack)
        abort();
    return stack;
}

/* Pages of a stack that are in memory. */
static size_t resident_pages(char *stack, size_t len)
{
    unsigned char in_memory[LEN / PAGE];
    size_t npage = 0;

    EXPECT_EQ(mincore(stack, len, in_memory), 0);
    for (size_t i = 0; i < len / PAGE; i++)
        npage += in_memory[i] & 1;
    return npage;
}

static size_t count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    size_t n = 0;

    for (int c; maps && (c = getc(maps)) != EOF;)
        n += c == '\n';
    if (maps)
        fclose(maps);
    return n;
}

TEST(a_stack_is_usable_from_end_to_end)
{
    static const size_t lens[] = {STACK_SIZE_MIN, STACK_SIZE_DEFAULT, (size_t)1 << 20,
                                  STACK_SIZE_MAX};

    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        struct stack_pool *p = pool_of(lens[i]);
        size_t len = 0;
        char *stack = stack_take(p, &len);

        EXPECT(stack != NULL);
        EXPECT_EQ(len, lens[i]);
        EXPECT_EQ((uintptr_t)(stack + len) % 64, 0);
        stack[0] = 1;
        stack[len - 1] = 1;
        stack_give(p, stack);
        stack_pool_free(p);
    }
}

static int by_address(const void *a, const void *b)
{
    char *const *x = a, *const *y = b;

    return *x < *y ? -1 : *x > *y;
}

TEST(no_two_stacks_overlap)
{
    enum { N = 3 * STACKS_PER_REGION + 1 };
    static char *stack[N];
    struct stack_pool *p = pool_of(LEN);

    for (size_t i = 0; i < N; i++)
        stack[i] = take(p);
    qsort(stack, N, sizeof(*stack), by_address);
    for (size_t i = 1; i < N; i++)
        EXPECT_GE(stack[i] - stack[i - 1], LEN);
    for (size_t i = 0; i < N; i++)
        stack_give(p, stack[i]);
    stack_pool_free(p);
}

TEST(the_last_given_is_the_first_taken)
{
    struct stack_pool *p = pool_of(LEN);
    char *a = take(p), *b = take(p);

    stack_give(p, a);
    stack_give(p, b);
    EXPECT(take(p) == b);
    EXPECT(take(p) == a);
    stack_give(p, a);
    stack_give(p, b);
    stack_pool_free(p);
}

TEST(stacks_beyond_the_hot_ones_keep_no_pages)
{
    enum { N = 2 * STACKS_HOT };
    static char *stack[N];
    const size_t hot = (size_t)STACKS_HOT * (LEN / PAGE - 1);
    struct stack_pool *p = pool_of(LEN);
    size_t npage = 0;

    for (size_t i = 0; i < N; i++) {
        stack[i] = take(p);
        memset(stack[i], 1, LEN - PAGE);
    }
    for (size_t i = 0; i < N; i++)
        stack_give(p, stack[i]);
    for (size_t i = 0; i < N; i++)
        npage += resident_pages(stack[i], LEN - PAGE);
    EXPECT_EQ(npage, hot);
    stack_pool_free(p);
}

TEST(to_take_and_give_a_stack_touches_none_of_it)
{
    enum { N = 10000 };
    static char *stack[N];
    struct stack_pool *p = pool_of(LEN);
    size_t npage = 0;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < N; i++)
            stack[i] = take(p);
        for (size_t i = 0; i < N; i++)
            stack_give(p, stack[i]);
    }
    for (size_t i = 0; i < N; i++)
        npage += resident_pages(stack[i], LEN - PAGE);
    EXPECT_EQ(npage, 0);
    stack_pool_free(p);
}

/* The signal that ends a child that runs fn(); 0: it ended by itself, well. */
static int child_ends_by(void (*fn)(void))
{
    int status = 0;

    fflush(stdout);
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
        fn();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -1 : 0;
}

static void write_below(char *stack)
{
    ((volatile char *)stack)[-1] = 1;
}

static void overrun_first(void)
{
    write_below(take(pool_of(LEN)));
}

static void overrun_reused(void)
{
    enum { N = STACKS_HOT + 1 };
    static char *stack[N];
    struct stack_pool *p = pool_of(LEN);

    for (size_t i = 0; i < N; i++)
        stack[i] = take(p);
    for (size_t i = 0; i < N; i++)
        stack_give(p, stack[i]); /* the last one's pages go back */
    for (size_t i = 0; i < N; i++)
        take(p);
    write_below(stack[N - 1]);
}

TEST(below_a_stack_lies_a_guard)
{
    EXPECT_EQ(child_ends_by(overrun_first), SIGSEGV);
    EXPECT_EQ(child_ends_by(overrun_reused), SIGSEGV);
}

static bool kernel_guards(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool known = page != MAP_FAILED && madvise(page, PAGE, 102) == 0;

    if (page != MAP_FAILED)
        munmap(page, PAGE);
    return known;
}

TEST(many_stacks_are_few_mappings)
{
    enum { N = 40000 };
    static char *stack[N];
    const size_t nregion = N / STACKS_PER_REGION + 2;
    struct stack_pool *p = pool_of(LEN);
    size_t before = count_mappings();

    if (watched() || !kernel_guards()) {
        SKIP("needs MADV_GUARD_INSTALL (Linux 6.13), and no tool's own mappings");
        stack_pool_free(p);
        return;
    }
    for (size_t i = 0; i < N; i++)
        stack[i] = take(p);
    EXPECT_LE(count_mappings(), before + nregion);
    for (size_t i = 0; i < N; i++)
        stack_give(p, stack[i]);
    stack_pool_free(p);
}

TEST(a_pool_gives_all_of_its_memory_back)
{
    struct stack_pool *p = pool_of(LEN);
    char *stack = take(p);
    unsigned char in_memory;

    stack[0] = 1;
    stack_give(p, stack);
    EXPECT_EQ(resident_pages(stack, PAGE), 1); /* hot */
    stack_pool_free(p);
    EXPECT_ERR(mincore(stack, PAGE, &in_memory), ENOMEM); /* nothing is mapped there */
}

/* Does the kernel's entry for the mapping that holds an address have a flag? */
static bool mapping_has(const char *address, const char *flag)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[512];
    bool inside = false, has = false;

    while (maps && fgets(line, sizeof(line), maps)) {
        char *end;
        uintptr_t low = strtoul(line, &end, 16);

        if (*end == '-')
            inside = low <= (uintptr_t)address && (uintptr_t)address < strtoul(end + 1, NULL, 16);
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            has = strstr(line, flag) != NULL;
    }
    if (maps)
        fclose(maps);
    return has;
}

/* Else each stack would cost 2 MiB where huge pages are always on. */
TEST(stacks_are_not_made_of_huge_pages)
{
    struct stack_pool *p = pool_of(LEN);
    char *stack = take(p);

    if (emulator())
        SKIP("an emulator's /proc/self/smaps has no such flags");
    else
        EXPECT(mapping_has(stack, " nh"));
    stack_give(p, stack);
    stack_pool_free(p);
}

/* From now on madvise(.., MADV_GUARD_INSTALL) is EINVAL, as before Linux 6.13. */
static bool become_old_kernel(void)
{
    enum { ADVICE = offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t) };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ADVICE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 102, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 && !kernel_guards();
}

static void overrun_on_old_kernel(void)
{
    if (!become_old_kernel())
        _exit(1);
    write_below(take(pool_of(LEN)));
}

static void take_many_on_old_kernel(void)
{
    struct stack_pool *p = pool_of(LEN);

    if (!become_old_kernel())
        _exit(1);
    for (int i = 0; i < 60000; i++)
        *take(p) = 1;
    if (count_mappings() > 2 * STACK_GUARDS_BY_MPROTECT + 1000)
        _exit(1);
}

TEST(an_old_kernel_guards_the_first_stacks_and_gives_the_others)
{
    if (emulator()) {
        SKIP("emulators know no seccomp");
        return;
    }
    EXPECT_EQ(child_ends_by(overrun_on_old_kernel), SIGSEGV);
    if (!watched())
        EXPECT_EQ(child_ends_by(take_many_on_old_kernel), 0);
}

static void run_out_of_memory(void)
{
    struct stack_pool *p = pool_of(LEN);
    char *first = take(p);
    size_t len = 0, nfailed = 0;
    struct rlimit none = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};

    setrlimit(RLIMIT_AS, &none);
    for (int i = 0; i < 2 * STACKS_PER_REGION; i++)
        nfailed += stack_take(p, &len) == NULL;
    setrlimit(RLIMIT_AS, &all);
    stack_give(p, first); /* what is given while memory is short can be taken */
    if (nfailed != STACKS_PER_REGION + 1 || take(p) != first || !stack_take(p, &len))
        _exit(1);
}

TEST(no_memory_is_an_answer_and_can_be_over_later)
{
    if (watched())
        SKIP("sanitizers, Valgrind and emulators cannot live without address space");
    else
        EXPECT_EQ(child_ends_by(run_out_of_memory), 0);
}
