/* group.c - fibers: go, groups that end together, sleep, yield, offload.
 *
 * The dangers: a fiber that outlives what it uses, an error nobody sees, a cancellation
 * that is missed because it came while the fiber was not waiting.
 */
#include "backends.h"

#include <math.h>
#include <signal.h>

static int returns(void *arg)
{
    return (int)(intptr_t)arg;
}

static int fails_with(void *arg)
{
    errno = (int)(intptr_t)arg;
    return -1;
}

FIBER_TEST(a_group_of_good_fibers)
{
    struct stoa_group *g = stoa_group_open();

    EXPECT(g != NULL);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(stoa_go(g, returns, NULL), 0);
    EXPECT_EQ(stoa_group_join(g), 0);
    g = stoa_group_open();
    EXPECT_EQ(stoa_group_join(g), 0);
}

static char trace[64];

static int traces(void *arg)
{
    strcat(trace, arg);
    stoa_yield();
    strcat(trace, arg);
    return 0;
}

/* "It runs when this one waits", and those first that were started first. */
FIBER_TEST(a_fiber_runs_when_its_starter_waits)
{
    struct stoa_group *g = stoa_group_open();

    trace[0] = 0;
    EXPECT_OK(stoa_go(g, traces, "a"));
    EXPECT_OK(stoa_go(g, traces, "b"));
    EXPECT_STR(trace, "");
    EXPECT_OK(stoa_yield());
    EXPECT_STR(trace, "ab");
    EXPECT_OK(stoa_group_join(g));
    EXPECT_STR(trace, "abab");
}

static int fails_after(void *arg)
{
    double *seconds = arg;

    stoa_sleep(*seconds);
    return stoa_connect(*(int *)&(int){-1}, "127.0.0.1:1");
}

static int sleeps_well(void *arg)
{
    atomic_int *woken = arg;

    if (stoa_sleep(0.03) == 0)
        atomic_fetch_add(woken, 1);
    return 0;
}

/* "-1 with errno and message of the first that did not"; the others are not cancelled. */
FIBER_TEST(join_tells_the_first_error)
{
    struct stoa_group *g = stoa_group_open();
    atomic_int woken = 0;
    double first = 0.005;

    EXPECT_OK(stoa_go(g, sleeps_well, &woken));
    EXPECT_OK(stoa_go(g, fails_after, &first));
    EXPECT_ERR(stoa_group_join(g), EBADF);
    EXPECT_SAID("connect");
    EXPECT_EQ(atomic_load(&woken), 1);

    g = stoa_group_open();
    EXPECT_OK(stoa_go(g, fails_with, (void *)(intptr_t)ENOTDIR));
    EXPECT_OK(stoa_go(g, fails_with, (void *)(intptr_t)EISDIR));
    EXPECT_ERR(stoa_group_join(g), ENOTDIR);
    g = stoa_group_open();
    EXPECT_OK(stoa_go(g, returns, (void *)(intptr_t)5));
    EXPECT_EQ(stoa_group_join(g), -1);
}

static int waits_until_cancelled(void *arg)
{
    struct pair *p = arg;
    char c;

    EXPECT_ERR(stoa_recv(p->near, &c, 1, 0), ECANCELED);
    EXPECT_SAID("recv");
    /* Level, not edge: it stays. */
    EXPECT_ERR(stoa_recv(p->near, &c, 1, 0), ECANCELED);
    EXPECT_ERR(stoa_sleep(0), ECANCELED);
    EXPECT_ERR(stoa_yield(), ECANCELED);
    EXPECT_ERR(stoa_poll(p->near, POLLIN), ECANCELED);
    return 0;
}

FIBER_TEST(cancel_ends_each_call_that_waits)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    for (int i = 0; i < 5; i++)
        EXPECT_OK(stoa_go(g, waits_until_cancelled, &p));
    stoa_yield();
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
    /* It was the fibers that were cancelled, not the connection: nothing is lost. */
    char c;
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    pair_close(&p);
}

FIBER_TEST(a_cancellation_that_comes_first_is_not_missed)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, waits_until_cancelled, &p));
    stoa_group_cancel(g);
    EXPECT_ERR(stoa_go(g, returns, NULL), ECANCELED);
    EXPECT_SAID("go");
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
}

static int closes_although_cancelled(void *arg)
{
    struct pair *p = arg;

    EXPECT_ERR(stoa_sleep(60), ECANCELED);
    EXPECT_EQ(stoa_close(p->near), 0);
    EXPECT_EQ(stoa_abort(p->far), 0);
    return 0;
}

FIBER_TEST(close_and_abort_do_not_fail_for_a_cancelled_fiber)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, closes_although_cancelled, &p));
    stoa_yield();
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
}

static int sleeps_long(void *arg)
{
    int rc = stoa_sleep(60);

    atomic_fetch_add((atomic_int *)arg, 1);
    return rc;
}

/* "A caller that is out of its scope's time in the wait cancels the group" */
FIBER_TEST(join_out_of_time_cancels_the_group)
{
    struct stoa_group *g = stoa_group_open();
    struct stoa_scope scope;
    atomic_int ended = 0;

    EXPECT_OK(stoa_go(g, sleeps_long, &ended));
    EXPECT_OK(stoa_go(g, sleeps_long, &ended));
    stoa_within(&scope, 0.02);
    EXPECT_ERR(stoa_group_join(g), ETIME);
    EXPECT_EQ(atomic_load(&ended), 2);
    EXPECT_ERR(stoa_leave(&scope), ETIME);
}

static int joins_inner(void *arg)
{
    struct stoa_group *inner = stoa_group_open();

    for (int i = 0; i < 3; i++)
        EXPECT_OK(stoa_go(inner, sleeps_long, arg));
    EXPECT_ERR(stoa_group_join(inner), ECANCELED);
    EXPECT_EQ(atomic_load((atomic_int *)arg), 3);
    return 0;
}

FIBER_TEST(a_cancelled_joiner_cancels_its_group)
{
    struct stoa_group *outer = stoa_group_open();
    atomic_int ended = 0;

    EXPECT_OK(stoa_go(outer, joins_inner, &ended));
    for (int i = 0; i < 5; i++)
        stoa_yield();
    stoa_group_cancel(outer);
    EXPECT_OK(stoa_group_join(outer));
}

TEST(groups_are_for_fibers)
{
    EXPECT_ERR(stoa_go(NULL, returns, NULL), EINVAL);
    EXPECT_SAID("go");
}

static atomic_int unwatched;

static int ends_later(void *arg)
{
    (void)arg;
    stoa_sleep(0.02);
    atomic_fetch_add(&unwatched, 1);
    return -1;
}

static int starts_and_returns(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        EXPECT_OK(stoa_go(NULL, ends_later, NULL));
    return 7;
}

/* "NULL = nobody waits for it (stoa_run() does)" */
TEST(run_waits_for_every_fiber)
{
    atomic_store(&unwatched, 0);
    EXPECT_EQ(stoa_run(starts_and_returns, NULL, NULL), 7);
    EXPECT_EQ(atomic_load(&unwatched), 3);
}

/* -------------------------------------------------------------------------
 * sleep, yield
 * ---------------------------------------------------------------------- */

TEST(sleep_is_at_least_as_long)
{
    for (int i = 0; i < 20; i++) {
        double start = now();
        EXPECT_EQ(stoa_sleep(0.0015), 0);
        EXPECT_GE(now() - start, 0.0015);
    }
    EXPECT_OK(stoa_sleep(0));
    EXPECT_OK(stoa_sleep(1e-9));
    EXPECT_ERR(stoa_sleep(-1), EINVAL);
    EXPECT_SAID("sleep");
    EXPECT_ERR(stoa_sleep((double)NAN), EINVAL);
}
ON_EVERY_BACKEND(sleep_is_at_least_as_long)

TEST(yield_is_good_anywhere)
{
    EXPECT_EQ(stoa_yield(), 0);
}
ON_EVERY_BACKEND(yield_is_good_anywhere)

static int spins(void *arg)
{
    atomic_int *stop = arg;

    while (!atomic_load(stop))
        EXPECT_OK(stoa_yield());
    return 0;
}

/* A fiber that yields for ever does not starve the network or the clock. */
FIBER_TEST(a_yielding_fiber_starves_nobody)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();
    atomic_int stop = 0;
    char c;

    EXPECT_OK(stoa_go(g, spins, &stop));
    EXPECT_OK(stoa_sleep(0.01));
    stoa_settimeout(p.near, 0.01);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    stoa_settimeout(p.near, -1);
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    atomic_store(&stop, 1);
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
}

static int echoes(void *arg)
{
    int s = *(int *)arg;
    char buf[64];

    for (ssize_t n; (n = stoa_recv(s, buf, sizeof(buf), 0)) > 0;)
        if (stoa_sendall(s, buf, (size_t)n, 0) < 0)
            return -1;
    return 0;
}

static int asks_for_ever(void *arg)
{
    struct {
        int s;
        atomic_int stop;
    } *me = arg;
    char buf[8];

    while (!atomic_load(&me->stop))
        if (stoa_sendall(me->s, "ping", 4, 0) < 0 || stoa_recvall(me->s, buf, 4) != 4)
            return -1;
    return 0;
}

/* Two fibers whose calls never have to wait long must let a third run. */
FIBER_TEST(busy_connections_starve_nobody)
{
    struct pair p = pair_of(UNIX_STREAM);
    struct stoa_group *g = stoa_group_open();
    struct {
        int s;
        atomic_int stop;
    } asker = {p.near, 0};

    EXPECT_OK(stoa_go(g, echoes, &p.far));
    EXPECT_OK(stoa_go(g, asks_for_ever, &asker));
    for (int i = 0; i < 10; i++)
        EXPECT_OK(stoa_sleep(0.002));
    atomic_store(&asker.stop, 1);
    stoa_sleep(0.005);
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
}

/* -------------------------------------------------------------------------
 * offload
 * ---------------------------------------------------------------------- */

static int blocks(void *arg)
{
    const struct timespec time = {.tv_nsec = 20 * 1000 * 1000};

    (void)arg;
    nanosleep(&time, NULL);
    errno = EXDEV;
    return -5;
}

TEST(offload_gives_the_functions_value_and_errno)
{
    EXPECT_EQ(stoa_offload(returns, (void *)(intptr_t)42), 42);
    errno = 0;
    EXPECT_EQ(stoa_offload(blocks, NULL), -5);
    EXPECT_EQ(errno, EXDEV);
}
ON_EVERY_BACKEND(offload_gives_the_functions_value_and_errno)

static int counts(void *arg)
{
    atomic_int *n = arg;

    while (stoa_sleep(0.001) == 0)
        atomic_fetch_add(n, 1);
    return 0;
}

/* Blocks until somebody counts. */
static int blocks_until_two(void *arg)
{
    const struct timespec time = {.tv_nsec = 1000 * 1000};

    while (atomic_load((atomic_int *)arg) < 2)
        nanosleep(&time, NULL);
    return atomic_load((atomic_int *)arg);
}

FIBER_TEST(offload_parks_this_fiber_only)
{
    struct stoa_group *g = stoa_group_open();
    atomic_int n = 0;

    EXPECT_OK(stoa_go(g, counts, &n));
    if (is_simulated()) /* the function's time is not the world's */
        EXPECT_EQ(stoa_offload(blocks, NULL), -5);
    else
        EXPECT_GE(stoa_offload(blocks_until_two, &n), 2);
    EXPECT_GE(atomic_load(&n), 2);
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
}

static int offloads(void *arg)
{
    (void)arg;
    double start = now();
    EXPECT_EQ(stoa_offload(blocks, NULL), -5);
    if (!is_simulated()) /* the function's time is the real one */
        EXPECT_GE(now() - start, 0.02);
    EXPECT_ERR(stoa_sleep(1), ECANCELED);
    return 0;
}

/* "until fn has returned, cancelled or not, for arg is fn's to use until then" */
FIBER_TEST(offload_ends_with_its_function_though_cancelled)
{
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, offloads, NULL));
    stoa_yield();
    stoa_yield();
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
}

static int waits_as_a_thread(void *arg)
{
    char c;

    EXPECT_ERR(stoa_go(NULL, returns, NULL), EINVAL);
    return stoa_recv(*(int *)arg, &c, 1, 0) == 1 ? c : -1;
}

static int sends_soon(void *arg)
{
    stoa_sleep(0.005);
    return stoa_sendall(*(int *)arg, "q", 1, 0);
}

/* "fn runs as on a plain thread": it may use the facade, too. */
FIBER_TEST(an_offloaded_function_may_use_sockets)
{
    NOT_SIMULATED("a helper is outside of it");
    ALONE(an_offloaded_function_may_use_sockets);
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, sends_soon, &p.far));
    EXPECT_EQ(stoa_offload(waits_as_a_thread, &p.near), 'q');
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
    /* The helper keeps its thread's eventfd for as long as it waits for more work. */
    _exit(atomic_load(&t_failed) != 0);
}

static int offloads_some(void *arg)
{
    for (int i = 0; i < 20; i++)
        if (stoa_offload(returns, arg) != (int)(intptr_t)arg)
            return -1;
    return 0;
}

/* More at once than helpers there can be: each gets its own value. */
FIBER_TEST(many_offloads_at_once)
{
    struct stoa_group *g = stoa_group_open();

    for (intptr_t i = 0; i < 200; i++)
        EXPECT_OK(stoa_go(g, offloads_some, (void *)i));
    EXPECT_OK(stoa_group_join(g));
}
