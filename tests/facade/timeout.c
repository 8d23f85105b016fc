/* timeout.c - how long a call may wait: settimeout, setblocking, the default.
 *
 * The clock itself (restarted, stretched, cut to 0) has its traps in traps_time.c.
 */
#include "backends.h"

#include <float.h>
#include <math.h>

TEST(a_timeout_is_kept)
{
    static const double values[] = {1, 0.25, 1e-9, 3600, 1e6};
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_LT(stoa_gettimeout(s), 0);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        EXPECT_EQ(stoa_settimeout(s, values[i]), 0);
        EXPECT_GE(stoa_gettimeout(s), values[i] * (1 - 1e-12));
        EXPECT_LE(stoa_gettimeout(s), values[i] * (1 + 1e-12) + 1e-9);
    }
    EXPECT_OK(stoa_settimeout(s, 0));
    EXPECT_EQ(stoa_gettimeout(s), 0);
    EXPECT_OK(stoa_settimeout(s, -5));
    EXPECT_LT(stoa_gettimeout(s), 0);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_timeout_is_kept)

TEST(no_number_is_no_timeout)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_OK(stoa_settimeout(s, 3));
    EXPECT_ERR(stoa_settimeout(s, (double)NAN), EINVAL);
    EXPECT_SAID("settimeout");
    EXPECT_EQ(stoa_gettimeout(s), 3);
    EXPECT_ERR(stoa_setdefaulttimeout((double)NAN), EINVAL);
    EXPECT_LT(stoa_getdefaulttimeout(), 0);
    EXPECT_OK(stoa_close(s));
    errno = 0;
    EXPECT(isnan(stoa_gettimeout(s)));
    EXPECT_EQ(errno, EBADF);
}
ON_EVERY_BACKEND(no_number_is_no_timeout)

TEST(beyond_292_years_is_for_ever)
{
    static const double values[] = {9.3e9, 1e18, 1e300, DBL_MAX, (double)INFINITY};
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        EXPECT_OK(stoa_settimeout(s, values[i]));
        EXPECT_LT(stoa_gettimeout(s), 0);
    }
    EXPECT_OK(stoa_settimeout(s, 9.1e9));
    EXPECT_GT(stoa_gettimeout(s), 9.0e9);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(beyond_292_years_is_for_ever)

TEST(blocking_is_a_timeout_too)
{
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_setblocking(p.near, false));
    EXPECT_EQ(stoa_gettimeout(p.near), 0);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), EAGAIN);
    EXPECT_OK(stoa_setblocking(p.near, true));
    EXPECT_LT(stoa_gettimeout(p.near), 0);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, MSG_DONTWAIT), EAGAIN);
    pair_close(&p);
}
ON_EVERY_BACKEND(blocking_is_a_timeout_too)

TEST(the_default_is_for_sockets_made_from_then_on)
{
    int old = stoa_socket(AF_INET, SOCK_STREAM, 0), pair[2], fds[2];

    EXPECT_OK(stoa_setdefaulttimeout(2.5));
    EXPECT_EQ(stoa_getdefaulttimeout(), 2.5);
    EXPECT_LT(stoa_gettimeout(old), 0);
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(stoa_gettimeout(s), 2.5);
    EXPECT_OK(stoa_close(s));
    s = stoa_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_EQ(stoa_gettimeout(s), 0);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    EXPECT_EQ(stoa_gettimeout(pair[0]), 2.5);
    EXPECT_EQ(stoa_gettimeout(pair[1]), 2.5);
    EXPECT_OK(stoa_close(pair[0]) | stoa_close(pair[1]));
    if (!is_simulated()) {
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        s = stoa_fromfd(fds[0]);
        EXPECT_EQ(stoa_gettimeout(s), 2.5);
        EXPECT_OK(stoa_close(s));
        EXPECT_EQ(close(fds[1]), 0);
    }
    struct pair p = pair_make();
    EXPECT_EQ(stoa_gettimeout(p.near), 2.5);
    EXPECT_EQ(stoa_gettimeout(p.far), 2.5);
    pair_close(&p);
    EXPECT_OK(stoa_setdefaulttimeout(-1));
    EXPECT_LT(stoa_getdefaulttimeout(), 0);
    s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_LT(stoa_gettimeout(s), 0);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_close(old));
}
ON_EVERY_BACKEND(the_default_is_for_sockets_made_from_then_on)

TEST(the_default_may_be_0)
{
    char c;

    EXPECT_OK(stoa_setdefaulttimeout(0));
    EXPECT_EQ(stoa_getdefaulttimeout(), 0);
    int pair[2];
    EXPECT_OK(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    EXPECT_OK(stoa_setdefaulttimeout(-1));
    EXPECT_ERR(stoa_recv(pair[0], &c, 1, 0), EAGAIN);
    EXPECT_OK(stoa_close(pair[0]) | stoa_close(pair[1]));
}
ON_EVERY_BACKEND(the_default_may_be_0)

/* A call's time is fixed when it begins to wait: another value is for the next call. */
TEST(a_timeout_set_meanwhile_is_for_the_next_call)
{
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_settimeout(p.near, 0.02));
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_OK(stoa_settimeout(p.near, -1));
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_timeout_set_meanwhile_is_for_the_next_call)

/* Many with different times at once: each ends in its own, in order. */
enum { SLEEPERS = 24 };
static _Atomic int order[SLEEPERS];
static atomic_int ended;
static bool late; /* the machine was so busy that a time was over before its wait began */

struct sleeper {
    int s;
    int number;
    double until; /* absolute, so that a late start does not change the order */
};

static int sleeper(void *arg)
{
    struct sleeper *me = arg;
    double left = me->until - now();
    char c;

    late |= left <= 0;
    stoa_settimeout(me->s, left > 0 ? left : 1e-9);
    EXPECT_ERR(stoa_recv(me->s, &c, 1, 0), ETIME);
    order[atomic_fetch_add(&ended, 1)] = me->number;
    return 0;
}

/* The first one's time is over after so many seconds. */
static void sleep_all(double lead)
{
    struct pair p[SLEEPERS];
    struct sleeper s[SLEEPERS];
    struct stoa_group *g = stoa_group_open();

    late = false;
    atomic_store(&ended, 0);
    for (int i = 0; i < SLEEPERS; i++)
        p[i] = pair_of(UNIX_STREAM);
    double start = now() + lead;
    for (int i = 0; i < SLEEPERS; i++) {
        int slot = i * 7 % SLEEPERS;
        s[i] = (struct sleeper){p[i].near, slot, start + slot * 0.01};
        EXPECT_OK(stoa_go(g, sleeper, &s[i]));
    }
    EXPECT_OK(stoa_group_join(g));
    for (int i = 0; i < SLEEPERS; i++)
        pair_close(&p[i]);
}

FIBER_TEST(many_timeouts_end_in_their_order)
{
    double lead = 0.05;

    do {
        sleep_all(lead);
        lead *= 2;
    } while (late);
    for (int i = 0; i < SLEEPERS; i++)
        EXPECT_EQ(order[i], i);
}
