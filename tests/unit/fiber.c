/* fiber.c - fibers take turns, and end without a trace.
 *
 * The dangers: a fiber that runs out of its turn, twice or never; a stack used after its
 * fiber's end; memory that a million fibers leave behind; a caller's mistake that shows
 * far away.  The way: fibers write what they do into a record that is compared
 * whole, pages are counted, and what must kill the process is done in a child.
 */
#include "fibers.h"

#include <signal.h>
#include <sys/wait.h>

static char record[256];

static void write_record(char c)
{
    size_t len = strlen(record);

    if (len < sizeof(record) - 1)
        record[len] = c;
}

static void start_record(void)
{
    memset(record, 0, sizeof(record));
    start();
}

static void write_arg(void *arg)
{
    write_record(*(const char *)arg);
}

static void park_between(void *arg)
{
    const char *name = arg;

    write_record(name[0]);
    fiber_park();
    write_record(name[1]);
}

static void yield_between(void *arg)
{
    const char *name = arg;

    for (int i = 0; name[i]; i++) {
        write_record(name[i]);
        fiber_yield();
    }
}

TEST(fibers_run_in_the_order_in_which_they_became_ready)
{
    start_record();
    struct fiber *a = go(park_between, "aA");
    struct fiber *b = go(park_between, "bB");
    struct fiber *c = go(park_between, "cC");

    EXPECT_EQ(fiber_run(&sched, 100), 3);
    EXPECT_STR(record, "abc");
    EXPECT_EQ(a->state, FIBER_PARKED);
    EXPECT_EQ(fiber_run(&sched, 100), 0);
    fiber_ready(c);
    fiber_ready(a);
    fiber_ready(b);
    EXPECT_EQ(sched.nready, 3);
    EXPECT_EQ(fiber_run(&sched, 100), 3);
    EXPECT_STR(record, "abcCAB");
    finish();
}

TEST(a_fiber_that_yields_goes_behind_the_others)
{
    start_record();
    go(yield_between, "123");
    go(yield_between, "abc");
    EXPECT_EQ(fiber_run(&sched, SIZE_MAX), 8);
    EXPECT_STR(record, "1a2b3c");
    finish();
}

static void start_two(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        go(yield_between, i == 0 ? "bB" : "cC");
        write_record('(');
        fiber_yield_to_newest();
        write_record(')');
    }
    fiber_yield_to_newest();
    write_record('.');
}

TEST(a_fiber_that_yields_to_the_newest_is_next_itself)
{
    start_record();
    go(start_two, NULL);
    go(write_arg, "x");
    struct run before = sched_look(&sched);

    EXPECT_EQ(fiber_run(&sched, 100), 11);
    EXPECT_STR(record, "(b)(c)C.xB");
    EXPECT_EQ(sched_look(&sched).nth - before.nth, 11);
    finish();
}

/* With a budget of 1 nobody else may run; the caller's turn is over all the same. */
TEST(a_yield_to_the_newest_keeps_the_budget)
{
    start_record();
    go(start_two, NULL);
    EXPECT_EQ(fiber_run(&sched, 1), 1);
    EXPECT_STR(record, "(");
    EXPECT_EQ(fiber_run(&sched, 100), 9);
    EXPECT_STR(record, "(b)(c)C.B");
    finish();
}

TEST(a_run_ends_after_its_budget_even_while_fibers_are_ready)
{
    start_record();
    go(yield_between, "12345");
    go(yield_between, "a");
    EXPECT_EQ(fiber_run(&sched, 0), 0);
    EXPECT_STR(record, "");
    EXPECT_EQ(fiber_run(&sched, 1), 1);
    EXPECT_STR(record, "1");
    EXPECT_EQ(fiber_run(&sched, 3), 3);
    EXPECT_STR(record, "1a2");          /* the third was a's end */
    EXPECT_EQ(fiber_run(&sched, 2), 2); /* alone: yields to itself, and is counted */
    EXPECT_STR(record, "1a234");
    EXPECT_EQ(fiber_run(&sched, 100), 2);
    EXPECT_STR(record, "1a2345");
    finish();
}

static size_t next_number;

static void expect_next_number(void *arg)
{
    EXPECT_EQ((uintptr_t)arg, next_number);
    next_number++;
}

/* It is a ring: it grows while it is full, begins in its middle and goes round its end. */
TEST(the_queue_keeps_its_order_as_it_grows)
{
    start();
    next_number = 0;
    for (uintptr_t i = 0; i < 1000; i++) {
        go(expect_next_number, (void *)i);
        if (i == 40)
            fiber_run(&sched, 30);
    }
    EXPECT_EQ(fiber_run(&sched, SIZE_MAX), 970);
    EXPECT_EQ(next_number, 1000);
    finish();
}

static void park_then_expect_number(void *arg)
{
    fiber_park();
    expect_next_number(arg);
}

TEST(the_queue_has_room_for_all_that_are_parked)
{
    enum { N = 1000 };
    static struct fiber *fiber[N];

    start();
    next_number = 0;
    for (uintptr_t i = 0; i < N; i++) {
        fiber[i] = go(park_then_expect_number, (void *)i);
        fiber_run(&sched, 1);
    }
    for (size_t i = 0; i < N; i++)
        fiber_ready(fiber[i]);
    EXPECT_EQ(fiber_run(&sched, SIZE_MAX), N);
    EXPECT_EQ(next_number, N);
    finish();
}

static void wake_others(void *arg)
{
    struct fiber **other = arg;

    fiber_ready(other[0]);
    fiber_ready(other[1]);
    go(write_arg, "n");
    write_record('w');
}

TEST(what_becomes_ready_in_a_run_goes_to_its_end)
{
    struct fiber *other[2];

    start_record();
    other[0] = go(park_between, "aA");
    other[1] = go(park_between, "bB");
    fiber_run(&sched, 2);
    go(wake_others, other);
    go(write_arg, "x");
    EXPECT_EQ(fiber_run(&sched, 100), 5);
    EXPECT_STR(record, "abwxABn");
    finish();
}

/* ------------------------------------------------------------------------- */
/* Life and end                                                                */

static size_t count;

static void count_and_park(void *arg)
{
    (void)arg;
    count++;
    fiber_park();
    count++;
}

TEST(a_hundred_thousand_fibers)
{
    size_t nfiber = watched() ? 2000 : 100000;
    struct fiber **fiber = calloc(nfiber, sizeof(void *));

    start();
    count = 0;
    for (size_t i = 0; i < nfiber; i++)
        fiber[i] = go(count_and_park, NULL);
    EXPECT_EQ(sched.nfiber, nfiber);
    EXPECT_EQ(fiber_run(&sched, SIZE_MAX), nfiber);
    EXPECT_EQ(count, nfiber);
    for (size_t i = 0; i < nfiber; i++)
        fiber_ready(fiber[nfiber - 1 - i]);
    EXPECT_EQ(fiber_run(&sched, SIZE_MAX), nfiber);
    EXPECT_EQ(count, 2 * nfiber);
    finish();
    free(fiber);
}

static void park_once(void *arg)
{
    (void)arg;
    fiber_park();
}

TEST(an_idle_fiber_costs_one_page_and_an_ended_one_nothing)
{
    enum { N = 20000 };
    static struct fiber *fiber[N];

    if (watched()) {
        SKIP("a sanitizer's, Valgrind's or an emulator's own pages would be counted");
        return;
    }
    start();
    size_t before = resident();

    for (size_t i = 0; i < N; i++)
        fiber[i] = go(park_once, NULL);
    fiber_run(&sched, SIZE_MAX);
    EXPECT_LT((double)(resident() - before) / N, 4096 * 1.03);
    for (size_t i = 0; i < N; i++)
        fiber_ready(fiber[i]);
    fiber_run(&sched, SIZE_MAX);
    EXPECT_LT(resident() - before, (STACKS_HOT + 256) * (size_t)4096);
    finish();
}

static void remember_own(void *arg)
{
    struct fiber **own = arg;

    *own = fiber_self();
}

TEST(an_ended_fibers_stack_is_the_next_ones)
{
    struct fiber *first, *second;

    start();
    go(remember_own, &first);
    fiber_run(&sched, 1);
    go(remember_own, &second);
    fiber_run(&sched, 1);
    EXPECT(first == second);
    finish();
}

static size_t left_to_start;

/* A chain: each starts the next and ends, so a stack is given and taken under way. */
static void start_next(void *arg)
{
    (void)arg;
    if (left_to_start == 0)
        return;
    left_to_start--;
    go(start_next, NULL);
}

TEST(fibers_start_fibers_and_end)
{
    start();
    left_to_start = 10000;
    go(start_next, NULL);
    EXPECT_EQ(fiber_run(&sched, SIZE_MAX), 10001);
    EXPECT_EQ(left_to_start, 0);
    finish();
}

/* ------------------------------------------------------------------------- */
/* What must not go on                                                         */

/* The signal that ends a child that runs fn; else its exit status, negated. */
static int child_dies_of(void (*fn)(void))
{
    int status = 0;

    fflush(stdout);
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        fn();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void write_below(void *arg)
{
    volatile char *low = fiber_self()->stack;

    (void)arg;
    low[0] = 1; /* the lowest byte that is ours */
    low[-1] = 1;
}

static void overrun_stack(void)
{
    start();
    go(write_below, NULL);
    fiber_run(&sched, 1);
}

TEST(a_stack_overrun_kills)
{
    EXPECT_EQ(child_dies_of(overrun_stack), SIGSEGV);
}

static void wake_ready_fiber(void)
{
    start();
    fiber_ready(go(write_arg, "a"));
}

static void wake_twice(void)
{
    start();
    struct fiber *f = go(park_once, NULL);

    fiber_run(&sched, 1);
    fiber_ready(f);
    fiber_ready(f);
}

static void park_a_thread(void)
{
    fiber_self();
    fiber_park();
}

static void run_in_fiber(void *arg)
{
    fiber_run(arg, 1);
}

static void nest_runs(void)
{
    start();
    go(run_in_fiber, &sched);
    fiber_run(&sched, 1);
}

static void arm_timer(void *arg)
{
    static struct wheel wheel;

    (void)arg;
    wheel_init(&wheel, 0);
    wheel_add(&wheel, &fiber_self()->timer, WHEEL_NEVER);
}

static void end_with_timer(void)
{
    start();
    go(arm_timer, NULL);
    fiber_run(&sched, 1);
}

static void leave_fibers_alive(void)
{
    start();
    go(park_once, NULL);
    sched_fini(&sched);
}

TEST(broken_promises_are_told_at_once)
{
    EXPECT_EQ(child_dies_of(wake_ready_fiber), SIGABRT);
    EXPECT_EQ(child_dies_of(wake_twice), SIGABRT);
    EXPECT_EQ(child_dies_of(park_a_thread), SIGABRT);
    EXPECT_EQ(child_dies_of(nest_runs), SIGABRT);
    EXPECT_EQ(child_dies_of(end_with_timer), SIGABRT);
    EXPECT_EQ(child_dies_of(leave_fibers_alive), SIGABRT);
}

static void hold_memory(void *arg)
{
    char *volatile held = malloc(100);

    (void)arg;
    fiber_park();
    free(held);
}

static void exit_while_parked(void)
{
    start();
    go(hold_memory, NULL);
    fiber_run(&sched, 1);
    exit(0);
}

/* LeakSanitizer does not know by itself that a parked fiber's stack holds pointers. */
TEST(what_a_parked_fiber_holds_is_no_leak)
{
    EXPECT_EQ(child_dies_of(exit_while_parked), 0);
}
