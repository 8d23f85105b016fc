/* send.c - sending: send, sendall, how much went, and what the peer read.
 *
 * sendall's one clock and its count have their traps in traps_time.c; here are the
 * plain promises.
 */
#include "backends.h"

#include <signal.h>

TEST(send_may_be_short_but_not_nothing)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        size_t len = 64 << 20;
        char *big = calloc(1, len);

        ssize_t n = stoa_send(p.near, big, len, MSG_DONTWAIT);
        EXPECT_GT(n, 0);
        EXPECT_LT(n, len);
        EXPECT_ERR(send_until_it_fails(p.near, MSG_DONTWAIT), EAGAIN);
        stoa_settimeout(p.near, 0.03);
        double start = now();
        EXPECT_ERR(send_until_it_fails(p.near, 0), ETIME);
        EXPECT_GE(now() - start, 0.03);
        EXPECT_EQ(stoa_done(), 0);
        stoa_settimeout(p.near, 0);
        EXPECT_ERR(send_until_it_fails(p.near, 0), EAGAIN);
        EXPECT_OK(stoa_abort(p.near));
        EXPECT_OK(stoa_close(p.far));
        free(big);
    }
}
ON_EVERY_BACKEND(send_may_be_short_but_not_nothing)

static int send_one(struct beside *me)
{
    about_to_wait(me);
    return (int)stoa_send(*(int *)me->arg, "x", 1, 0);
}

TEST(send_waits_for_room)
{
    struct pair p = pair_make();
    struct beside b;
    static char sink[1 << 16];

    size_t sum = fill(p.near);
    beside(&b, send_one, &p.near);
    until_asleep(&b);
    while (sum > 0)
        sum -= (size_t)stoa_recv(p.far, sink, sum < sizeof(sink) ? sum : sizeof(sink), 0);
    EXPECT_EQ(stoa_recv(p.far, sink, 2, 0), 1);
    EXPECT_EQ(sink[0], 'x');
    EXPECT_EQ(beside_join(&b), 1);
    pair_close(&p);
}
ON_EVERY_PAIRING(send_waits_for_room)

struct transfer {
    int s;
    size_t len;
};

static int read_and_check(struct beside *me)
{
    struct transfer *t = me->arg;
    size_t got = 0, wrong = 0;
    char *buf = malloc(65536);

    for (ssize_t n; (n = stoa_recv(t->s, buf, 65536, 0)) > 0; got += (size_t)n)
        for (ssize_t i = 0; i < n; i++)
            wrong += buf[i] != (char)((got + (size_t)i) * 7 >> 3);
    free(buf);
    me->result = (long)got;
    return wrong ? -1 : 0;
}

static char *pattern(size_t len)
{
    char *big = malloc(len);

    for (size_t i = 0; i < len; i++)
        big[i] = (char)(i * 7 >> 3);
    return big;
}

TEST(sendall_sends_all)
{
    size_t len = 5 << 20;
    char *big = pattern(len);

    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct transfer t = {.s = p.far, .len = len};
        struct beside b;

        beside(&b, read_and_check, &t);
        EXPECT_EQ(stoa_sendall(p.near, big, len, 0), 0);
        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_EQ(beside_join(&b), 0);
        EXPECT_EQ(b.result, len);
        pair_close(&p);
    }
    free(big);
}
ON_EVERY_PAIRING(sendall_sends_all)

TEST(sendall_of_nothing_is_good)
{
    struct pair p = pair_make();
    char c;

    EXPECT_EQ(stoa_sendall(p.near, "", 0, 0), 0);
    EXPECT_EQ(stoa_send(p.near, "", 0, 0), 0);
    EXPECT_ERR(stoa_recv(p.far, &c, 1, MSG_DONTWAIT), EAGAIN);
    pair_close(&p);

    /* Python's sendall(b"") makes one send(2): an empty datagram goes. */
    p = pair_of(UDP4);
    EXPECT_EQ(stoa_sendall(p.near, "", 0, 0), 0);
    EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(sendall_of_nothing_is_good)

TEST(a_connection_that_has_ended_is_EPIPE_without_a_signal)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);

        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_ERR(stoa_send(p.near, "x", 1, 0), EPIPE);
        EXPECT_ERR(stoa_sendall(p.near, "x", 1, 0), EPIPE);
        EXPECT_EQ(stoa_done(), 0);
        EXPECT_SAID("sendall");
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(a_connection_that_has_ended_is_EPIPE_without_a_signal)

TEST(a_peer_that_reset_is_told)
{
    struct pair p = pair_make();
    int error;

    EXPECT_OK(stoa_abort(p.far));
    p.far = -1;
    EXPECT_EQ(stoa_sendall(p.near, "x", 1, 0), -1);
    error = errno;
    EXPECT(error == ECONNRESET || error == EPIPE);
    EXPECT_ERR(stoa_sendall(p.near, "x", 1, 0), EPIPE);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_peer_that_reset_is_told)

TEST(nonblocking_sendall_is_EAGAIN_with_the_count)
{
    struct pair p = pair_make();
    size_t len = 64 << 20;
    char *big = pattern(len);
    struct beside b;
    struct transfer t = {.s = p.far};

    stoa_setblocking(p.near, false);
    EXPECT_ERR(stoa_sendall(p.near, big, len, 0), EAGAIN);
    size_t done = stoa_done();
    EXPECT_GT(done, 0);
    EXPECT_LT(done, len);
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    beside(&b, read_and_check, &t);
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_EQ(b.result, done);
    pair_close(&p);
    free(big);
}
ON_EVERY_PAIRING(nonblocking_sendall_is_EAGAIN_with_the_count)

/* One writer's bytes may mix with another's only between calls of send, but all come. */
static int send_many(struct beside *me)
{
    for (int i = 0; i < 3000; i++)
        if (stoa_sendall(*(int *)me->arg, "ab", 2, 0) < 0)
            return -1;
    return 0;
}

TEST(two_writers_lose_nothing)
{
    struct pair p = pair_make();
    struct beside b[2];
    static char sink[12000];

    for (int i = 0; i < 2; i++)
        beside(&b[i], send_many, &p.near);
    EXPECT_EQ(stoa_recvall(p.far, sink, sizeof(sink)), sizeof(sink));
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(beside_join(&b[i]), 0);
    int as = 0, bs = 0;
    for (size_t i = 0; i < sizeof(sink); i++) {
        as += sink[i] == 'a';
        bs += sink[i] == 'b';
    }
    EXPECT_EQ(as, 6000);
    EXPECT_EQ(bs, 6000);
    pair_close(&p);
}
ON_EVERY_PAIRING(two_writers_lose_nothing)

/* A reader and a writer of one socket at once, both under way. */
TEST(one_reader_and_one_writer_at_once)
{
    struct pair p = pair_make();
    size_t len = 3 << 20;
    char *big = pattern(len);
    struct transfer there = {.s = p.far}, back = {.s = p.near};
    struct beside b[2];

    beside(&b[0], read_and_check, &there);
    beside(&b[1], read_and_check, &back);
    for (size_t at = 0; at < len; at += 1 << 18) {
        EXPECT_OK(stoa_sendall(p.near, big + at, 1 << 18, 0));
        EXPECT_OK(stoa_sendall(p.far, big + at, 1 << 18, 0));
    }
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(beside_join(&b[i]), 0);
        EXPECT_EQ(b[i].result, len);
    }
    free(big);
    pair_close(&p);
}
ON_EVERY_PAIRING(one_reader_and_one_writer_at_once)
