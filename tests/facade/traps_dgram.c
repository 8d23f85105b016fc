/* traps_dgram.c - traps 11 and 12: datagrams that are lost between two readers, taken for the end,
 * cut in silence, or turned into an error of another one.
 */
#include "backends.h"

#include <netinet/in.h>

/* -------------------------------------------------------------------------
 * 11: two waiters, one datagram
 * ---------------------------------------------------------------------- */

static int takes_one(struct beside *me)
{
    char c;

    about_to_wait(me);
    return (int)stoa_recv(*(int *)me->arg, &c, 1, 0);
}

/* Two wait so long for one datagram; 1: one of them had it, 0: it came too late for both. */
static int one_for_two(enum kind k, double patience)
{
    struct pair p = pair_of(k);
    struct beside b[2];
    int got = 0;

    stoa_settimeout(p.near, patience);
    double start = now();
    for (int i = 0; i < 2; i++)
        beside(&b[i], takes_one, &p.near);
    for (int i = 0; i < 2; i++)
        until_asleep(&b[i]);
    EXPECT_EQ(stoa_send(p.far, "x", 1, 0), 1);
    for (int i = 0; i < 2; i++) {
        int n = beside_join(&b[i]);
        got += n == 1;
        if (n < 0)
            EXPECT_EQ(b[i].error, ETIME);
    }
    EXPECT_GE(now() - start, patience);
    pair_close(&p);
    return got;
}

TEST(trap_11_the_loser_of_one_datagram_goes_on_waiting)
{
    EACH_DGRAM (k) {
        int got = 0;

        for (double patience = 0.15; got == 0 && patience < 100; patience *= 2)
            got = one_for_two(k, patience);
        EXPECT_EQ(got, 1);
    }
}
ON_EVERY_PAIRING(trap_11_the_loser_of_one_datagram_goes_on_waiting)

TEST(trap_11_MSG_DONTWAIT_does_not_wait_for_the_timeout)
{
    static char big[16 << 20];
    struct pair p = pair_of(UDP4), q = pair_make();
    char c;
    struct msghdr m = {.msg_iov = &(struct iovec){&c, 1}, .msg_iovlen = 1};

    stoa_settimeout(p.near, 3600);
    stoa_settimeout(q.near, 3600);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(stoa_recvfrom(p.near, &c, 1, MSG_DONTWAIT, NULL), EAGAIN);
    EXPECT_ERR(stoa_recvmsg(p.near, &m, MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(stoa_recv(q.near, &c, 1, MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(send_until_it_fails(q.near, MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(stoa_sendall(q.near, big, sizeof(big), MSG_DONTWAIT), EAGAIN);
    EXPECT_OK(stoa_abort(q.near) | stoa_close(q.far));
    pair_close(&p);
}
ON_EVERY_BACKEND(trap_11_MSG_DONTWAIT_does_not_wait_for_the_timeout)

/* -------------------------------------------------------------------------
 * 12: empty, cut, refused
 * ---------------------------------------------------------------------- */

TEST(trap_12_an_empty_datagram_ends_nothing)
{
    EACH_DGRAM (k) {
        int s = bound_make(k), t = bound_make(k);
        struct stoa_addr to = self_addr(t), self = self_addr(s), from;
        char buf[4];

        EXPECT_EQ(stoa_sendto(s, "", 0, 0, &to), 0);
        EXPECT_EQ(stoa_sendto(s, "x", 1, 0, &to), 1);
        memset(&from, 0, sizeof(from));
        EXPECT_EQ(stoa_recvfrom(t, buf, 4, 0, &from), 0);
        EXPECT_EQ(from.len, self.len); /* somebody sent it: that tells it from an end */
        EXPECT_EQ(stoa_recvfrom(t, buf, 4, 0, &from), 1);
        EXPECT_EQ(stoa_sendto(s, "", 0, 0, &to), 0);
        EXPECT_EQ(stoa_sendto(s, "y", 1, 0, &to), 1);
        EXPECT_EQ(stoa_recv(t, buf, 4, 0), 0);
        EXPECT_EQ(stoa_recv(t, buf, 4, 0), 1);
        EXPECT_OK(stoa_close(s) | stoa_close(t));
    }
}
ON_EVERY_BACKEND(trap_12_an_empty_datagram_ends_nothing)

TEST(trap_12_a_cut_datagram_is_told)
{
    EACH_DGRAM (k) {
        struct pair p = pair_of(k);
        char buf[4] = "....";
        struct iovec iov = {buf, 4};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

        for (int i = 0; i < 4; i++)
            EXPECT_EQ(stoa_send(p.far, "0123456789", 10, 0), 10);
        EXPECT_EQ(stoa_recv(p.near, buf, 4, 0), 4);
        EXPECT_EQ(stoa_recv(p.near, buf, 4, MSG_TRUNC), 10);
        EXPECT_EQ(stoa_recvfrom(p.near, buf, 4, MSG_TRUNC, NULL), 10);
        EXPECT_EQ(stoa_recvmsg(p.near, &m, 0), 4);
        EXPECT_EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
        EXPECT_EQ(memcmp(buf, "0123", 4), 0);
        /* The rest of a cut one is gone, it is not the next one. */
        EXPECT_ERR(stoa_recv(p.near, buf, 4, MSG_DONTWAIT), EAGAIN);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(trap_12_a_cut_datagram_is_told)

/* ICMP's answer to an earlier datagram is told once, and the socket goes on. */
TEST(trap_12_a_refusal_is_told_once_and_the_loop_goes_on)
{
    struct text where = nobody_there(UDP4);
    int s = bound_make(UDP4);
    char buf[4];

    EXPECT_OK(stoa_connect(s, where.c));
    EXPECT_EQ(stoa_send(s, "x", 1, 0), 1);
    EXPECT_ERR(stoa_recv(s, buf, 4, 0), ECONNREFUSED);
    EXPECT_SAID("recv");
    stoa_settimeout(s, 0.02);
    EXPECT_ERR(stoa_recv(s, buf, 4, 0), ETIME);
    stoa_settimeout(s, -1);
    EXPECT_EQ(stoa_send(s, "x", 1, 0), 1);
    EXPECT_ERR(stoa_send(s, "y", 1, 0), ECONNREFUSED);

    /* Then somebody comes. */
    int t = stoa_socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    EXPECT_OK(stoa_setsockopt(t, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    EXPECT_OK(stoa_bind(t, where.c));
    EXPECT_EQ(stoa_send(s, "z", 1, 0), 1);
    EXPECT_EQ(stoa_recv(t, buf, 4, 0), 1);
    EXPECT_EQ(buf[0], 'z');
    EXPECT_OK(stoa_close(s) | stoa_close(t));
}
ON_EVERY_BACKEND(trap_12_a_refusal_is_told_once_and_the_loop_goes_on)

static int takes_refusal(struct beside *me)
{
    char c;

    about_to_wait(me);
    return (int)stoa_recv(*(int *)me->arg, &c, 1, 0);
}

/* One who already waits is woken by it. */
TEST(trap_12_a_refusal_wakes_who_waits)
{
    int s = bound_make(UDP4);
    struct text where = nobody_there(UDP4);
    struct beside b;

    EXPECT_OK(stoa_connect(s, where.c));
    beside(&b, takes_refusal, &s);
    until_asleep(&b);
    EXPECT_EQ(stoa_send(s, "x", 1, 0), 1);
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECONNREFUSED);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_PAIRING(trap_12_a_refusal_wakes_who_waits)

/* A server's unconnected socket hears of no refusal at all: it has other clients. */
TEST(trap_12_an_unconnected_socket_is_not_told)
{
    struct text where = nobody_there(UDP4);
    struct stoa_addr to;
    int s = bound_make(UDP4);
    char c;

    EXPECT_OK(stoa_addr_parse(&to, strstr(where.c, "127")));
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(stoa_sendto(s, "x", 1, 0, &to), 1);
    stoa_settimeout(s, 0.02);
    EXPECT_ERR(stoa_recv(s, &c, 1, 0), ETIME);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_12_an_unconnected_socket_is_not_told)
