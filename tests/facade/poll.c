/* poll.c - waiting for readiness.
 */
#include "backends.h"

TEST(poll_tells_what_is)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        char c;

        EXPECT_EQ(stoa_poll(p.near, POLLOUT), POLLOUT);
        EXPECT_EQ(stoa_poll(p.near, POLLIN | POLLOUT), POLLOUT);
        EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
        EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
        EXPECT_EQ(stoa_poll(p.near, POLLIN | POLLOUT), POLLIN | POLLOUT);
        EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
        EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
        stoa_settimeout(p.near, 0.02);
        double start = now();
        EXPECT_ERR(stoa_poll(p.near, POLLIN), ETIME);
        EXPECT_GE(now() - start, 0.02);
        EXPECT_SAID("poll");
        stoa_settimeout(p.near, 0);
        EXPECT_ERR(stoa_poll(p.near, POLLIN), EAGAIN);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(poll_tells_what_is)

static int poll_there(struct beside *me)
{
    about_to_wait(me);
    return stoa_poll(*(int *)me->arg, POLLIN);
}

TEST(poll_waits)
{
    EACH_KIND (k) {
        struct pair p = pair_of(k);
        struct beside b;
        char c;

        beside(&b, poll_there, &p.near);
        until_asleep(&b);
        EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
        EXPECT_EQ(beside_join(&b), POLLIN);
        EXPECT_EQ(stoa_recv(p.near, &c, 1, MSG_DONTWAIT), 1);
        pair_close(&p);
    }
}
ON_EVERY_PAIRING(poll_waits)

TEST(poll_tells_the_end_and_the_reset)
{
    struct pair p = pair_make();

    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
    pair_close(&p);

    p = pair_make();
    EXPECT_OK(stoa_abort(p.far));
    EXPECT(stoa_poll(p.near, POLLIN) & POLLHUP);
    EXPECT_OK(stoa_close(p.near));
}
ON_EVERY_BACKEND(poll_tells_the_end_and_the_reset)

TEST(poll_of_a_listener_tells_of_a_client)
{
    struct text where;
    int s = listener_make(TCP4, &where);

    stoa_settimeout(s, 0.02);
    EXPECT_ERR(stoa_poll(s, POLLIN), ETIME);
    int c = stoa_dial(where.c, NULL);
    EXPECT_EQ(stoa_poll(s, POLLIN), POLLIN);
    int d = stoa_accept(s, NULL);
    EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
}
ON_EVERY_BACKEND(poll_of_a_listener_tells_of_a_client)

/* Readiness for one direction does not wake, or satisfy, the other. */
TEST(poll_for_reading_is_not_woken_by_room_to_write)
{
    struct pair p = pair_make();
    static char sink[65536];

    size_t sum = fill(p.near);
    stoa_settimeout(p.near, 0.05);
    struct beside b;
    beside(&b, poll_there, &p.near);
    until_asleep(&b);
    while (sum > 0)
        sum -= (size_t)stoa_recv(p.far, sink, sum < sizeof(sink) ? sum : sizeof(sink), 0);
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ETIME);
    pair_close(&p);
}
ON_EVERY_PAIRING(poll_for_reading_is_not_woken_by_room_to_write)
