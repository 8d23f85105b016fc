/* scope.c - a part of the program with a time of its own: within, shield, leave.
 *
 * The dangers: a deadline that is forgotten or wrongly reset, an inner scope that
 * lengthens the outer one, a cancelled fiber that cannot say goodbye, or that can for ever.
 */
#include "backends.h"

#include <signal.h>
#include <sys/wait.h>

TEST(all_calls_of_a_scope_share_its_time)
{
    struct pair p = pair_make();
    struct stoa_scope scope;
    char buf[4];
    double start = now();

    stoa_within(&scope, 0.06);
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_recv(p.near, buf, 1, 0), 1);
    (void)stoa_sleep(0.02); /* which on a busy machine is all that there is */
    EXPECT_ERR(stoa_recv(p.near, buf, 1, 0), ETIME);
    EXPECT_GE(now() - start, 0.06);

    /* Over is over: what would wait fails, what need not wait goes on. */
    EXPECT_ERR(stoa_recv(p.near, buf, 1, 0), ETIME);
    EXPECT_ERR(stoa_sleep(1), ETIME);
    EXPECT_OK(stoa_sendall(p.near, "y", 1, 0));
    EXPECT_EQ(stoa_recv(p.far, buf, 1, 0), 1);
    EXPECT_ERR(stoa_leave(&scope), ETIME);

    stoa_settimeout(p.near, 0.01);
    EXPECT_ERR(stoa_recv(p.near, buf, 1, 0), ETIME);
    pair_close(&p);
}
ON_EVERY_BACKEND(all_calls_of_a_scope_share_its_time)

TEST(a_scope_that_was_not_used_up)
{
    struct stoa_scope scope;

    stoa_within(&scope, 3600);
    EXPECT_OK(stoa_sleep(0.001));
    EXPECT_EQ(stoa_leave(&scope), 0);
}
ON_EVERY_BACKEND(a_scope_that_was_not_used_up)

TEST(the_nearest_of_several_times_holds)
{
    struct pair p = pair_make();
    struct stoa_scope outer, inner;
    char c;
    double start = now();

    /* An inner scope does not lengthen the outer one. */
    stoa_within(&outer, 0.03);
    stoa_within(&inner, 3600);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_EQ(stoa_leave(&inner), 0);
    EXPECT_ERR(stoa_leave(&outer), ETIME);
    EXPECT_GE(now() - start, 0.03);

    /* And does not use it up. */
    stoa_within(&outer, 3600);
    stoa_within(&inner, 0.01);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_ERR(stoa_leave(&inner), ETIME);
    EXPECT_OK(stoa_sleep(0.001));
    EXPECT_EQ(stoa_leave(&outer), 0);

    /* The socket's timeout against the scope's. */
    stoa_settimeout(p.near, 0.02);
    stoa_within(&outer, 3600);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_EQ(stoa_leave(&outer), 0);
    stoa_settimeout(p.near, 3600);
    stoa_within(&outer, 0.02);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_ERR(stoa_leave(&outer), ETIME);
    pair_close(&p);
}
ON_EVERY_BACKEND(the_nearest_of_several_times_holds)

TEST(a_nonblocking_socket_stays_so_in_a_scope)
{
    struct pair p = pair_make();
    struct stoa_scope scope;
    char c;

    stoa_setblocking(p.near, false);
    stoa_within(&scope, 3600);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), EAGAIN);
    EXPECT_EQ(stoa_leave(&scope), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_nonblocking_socket_stays_so_in_a_scope)

TEST(no_time_at_all_still_takes_what_is_there)
{
    struct pair p = pair_make();
    struct stoa_scope scope;
    char c;

    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
    stoa_within(&scope, 0);
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_ERR(stoa_leave(&scope), ETIME);
    pair_close(&p);
}
ON_EVERY_BACKEND(no_time_at_all_still_takes_what_is_there)

/* "Outer scopes' times do not hold inside" a shield. */
TEST(a_shield_has_a_time_of_its_own)
{
    struct pair p = pair_make();
    struct stoa_scope outer, shield;
    char c;

    stoa_within(&outer, 0);
    EXPECT_ERR(stoa_sleep(0.01), ETIME);
    stoa_shield(&shield, 0.03);
    EXPECT_OK(stoa_sleep(0.005));
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_ERR(stoa_leave(&shield), ETIME);
    EXPECT_ERR(stoa_sleep(0.01), ETIME);
    EXPECT_ERR(stoa_leave(&outer), ETIME);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_shield_has_a_time_of_its_own)

static atomic_int goodbye;

static int says_goodbye(void *arg)
{
    struct pair *p = arg;
    struct stoa_scope shield;
    char c;

    EXPECT_ERR(stoa_recv(p->near, &c, 1, 0), ECANCELED);
    EXPECT_ERR(stoa_sleep(0.01), ECANCELED);
    stoa_shield(&shield, 60);
    EXPECT_OK(stoa_sleep(0.005));
    EXPECT_OK(stoa_sendall(p->near, "bye", 3, 0));
    EXPECT_EQ(stoa_recv(p->near, &c, 1, 0), 1);
    EXPECT_OK(stoa_leave(&shield));
    EXPECT_ERR(stoa_sleep(0.01), ECANCELED);
    EXPECT_ERR(stoa_recv(p->near, &c, 1, 0), ECANCELED);
    atomic_store(&goodbye, 1);
    return 0;
}

FIBER_TEST(a_cancelled_fiber_can_say_goodbye_under_a_shield)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();
    char buf[4];

    atomic_store(&goodbye, 0);
    EXPECT_OK(stoa_go(g, says_goodbye, &p));
    stoa_yield();
    stoa_yield();
    stoa_group_cancel(g);
    EXPECT_EQ(stoa_recvall(p.far, buf, 3), 3);
    EXPECT_OK(stoa_sendall(p.far, "!", 1, 0));
    EXPECT_OK(stoa_group_join(g));
    EXPECT_EQ(atomic_load(&goodbye), 1);
    pair_close(&p);
}

static int stays_too_long(void *arg)
{
    struct stoa_scope shield;

    (void)arg;
    EXPECT_ERR(stoa_sleep(60), ECANCELED);
    stoa_shield(&shield, 0.02);
    EXPECT_ERR(stoa_sleep(60), ETIME);
    EXPECT_ERR(stoa_leave(&shield), ETIME);
    return 0;
}

FIBER_TEST(a_shield_is_bounded)
{
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, stays_too_long, NULL));
    stoa_yield();
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
}

static int sleeps_in_shield(void *arg)
{
    struct stoa_scope shield;

    stoa_shield(&shield, 60);
    int rc = stoa_recv(*(int *)arg, &(char){0}, 1, 0) == 1 ? 0 : -1;
    EXPECT_OK(stoa_leave(&shield));
    return rc;
}

/* The shield was there first: the cancellation that comes in it does not end the wait. */
FIBER_TEST(a_shield_holds_off_a_cancellation_that_comes_later)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, sleeps_in_shield, &p.near));
    stoa_yield();
    stoa_group_cancel(g);
    stoa_yield();
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
}

/* Scopes are the fiber's own: a neighbour's deadline is not mine. */
static int with_own_scope(void *arg)
{
    struct stoa_scope scope;

    (void)arg;
    stoa_within(&scope, 0.01);
    EXPECT_ERR(stoa_sleep(1), ETIME);
    EXPECT_ERR(stoa_leave(&scope), ETIME);
    return 0;
}

FIBER_TEST(scopes_are_each_fibers_own)
{
    struct stoa_group *g = stoa_group_open();
    struct stoa_scope scope;

    stoa_within(&scope, 3600);
    for (int i = 0; i < 10; i++)
        EXPECT_OK(stoa_go(g, with_own_scope, NULL));
    EXPECT_OK(stoa_sleep(0.03));
    EXPECT_OK(stoa_group_join(g));
    EXPECT_EQ(stoa_leave(&scope), 0);
}

/* "leaving another aborts the program" */
TEST(leaving_another_scope_aborts)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct stoa_scope outer, inner;
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        signal(SIGABRT, SIG_DFL);
        stoa_within(&outer, 1);
        stoa_within(&inner, 1);
        stoa_leave(&outer);
        _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
