/* opt.c - what a socket is: its names, its options.
 */
#include "backends.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

TEST(names_of_both_ends)
{
    EACH_KIND (k) {
        struct pair p = pair_of(k);
        struct stoa_addr near = self_addr(p.near), far = self_addr(p.far), peer;

        EXPECT_OK(stoa_getpeername(p.near, &peer));
        EXPECT_EQ(peer.len, far.len);
        EXPECT_EQ(memcmp(&peer.sa, &far.sa, far.len), 0);
        EXPECT_OK(stoa_getpeername(p.far, &peer));
        EXPECT_EQ(peer.len, near.len);
        EXPECT_EQ(memcmp(&peer.sa, &near.sa, near.len), 0);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(names_of_both_ends)

TEST(names_tell_stream_from_datagram)
{
    struct pair t = pair_of(TCP4), u = pair_of(UDP4);
    struct stoa_addr a = self_addr(t.near), b = self_addr(u.near);

    EXPECT(a.type == SOCK_STREAM || a.type == 0);
    EXPECT(b.type == SOCK_DGRAM || b.type == 0);
    pair_close(&t);
    pair_close(&u);
}
ON_EVERY_BACKEND(names_tell_stream_from_datagram)

TEST(what_is_not_connected_has_no_peer)
{
    EACH_KIND (k) {
        struct stoa_addr a;
        int s = bound_make(k);

        EXPECT_ERR(stoa_getpeername(s, &a), ENOTCONN);
        EXPECT_SAID("getpeername");
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(what_is_not_connected_has_no_peer)

/* getpeername(2) would say ENOTCONN; who is to be logged is needed just then. */
TEST(an_accepted_connections_peer_is_known_after_it_left)
{
    EACH_STREAM (k) {
        struct text where;
        struct stoa_addr came, then;
        int s = listener_make(k, &where), c = stoa_dial(where.c, NULL);
        int d = stoa_accept(s, &came);
        char byte;

        EXPECT_OK(stoa_abort(c));
        while (stoa_recv(d, &byte, 1, 0) > 0)
            ;
        EXPECT_OK(stoa_getpeername(d, &then));
        EXPECT_EQ(then.len, came.len);
        EXPECT_EQ(memcmp(&then.sa, &came.sa, came.len), 0);
        EXPECT_OK(stoa_close(d));
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(an_accepted_connections_peer_is_known_after_it_left)

TEST(an_option_is_set_and_read)
{
    struct pair p = pair_make();
    int value = 1;
    socklen_t len = sizeof(value);
    struct linger linger = {1, 7}, got = {0, 0};

    EXPECT_EQ(stoa_setsockopt(p.near, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value)), 0);
    value = 0;
    EXPECT_EQ(stoa_getsockopt(p.near, SOL_SOCKET, SO_KEEPALIVE, &value, &len), 0);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(len, sizeof(value));
    EXPECT_OK(stoa_setsockopt(p.near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    len = sizeof(got);
    EXPECT_OK(stoa_getsockopt(p.near, SOL_SOCKET, SO_LINGER, &got, &len));
    EXPECT_EQ(got.l_onoff, 1);
    EXPECT_EQ(got.l_linger, 7);
    linger.l_onoff = 0;
    EXPECT_OK(stoa_setsockopt(p.near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));

    /* A short buffer gets a part, as with the kernel. */
    char name[16] = "";
    len = sizeof(name);
    EXPECT_OK(stoa_getsockopt(p.near, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    EXPECT_GT(strlen(name), 0);
    len = 1;
    EXPECT_OK(stoa_getsockopt(p.near, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
    EXPECT_EQ(len, 1);
    pair_close(&p);
}
ON_EVERY_BACKEND(an_option_is_set_and_read)

TEST(options_that_cannot_be)
{
    struct pair p = pair_make();
    int value = 1;
    socklen_t len = sizeof(value);

    EXPECT_ERR(stoa_getsockopt(p.near, SOL_SOCKET, 9999, &value, &len), ENOPROTOOPT);
    EXPECT_SAID("getsockopt");
    EXPECT_ERR(stoa_setsockopt(p.near, SOL_SOCKET, 9999, &value, sizeof(value)), ENOPROTOOPT);
    EXPECT_SAID("setsockopt");
    EXPECT_ERR(stoa_setsockopt(p.near, SOL_SOCKET, SO_KEEPALIVE, &value, 1), EINVAL);
    pair_close(&p);
}
ON_EVERY_BACKEND(options_that_cannot_be)

/* They would stretch or shorten our own clock behind our back. */
TEST(the_kernels_own_timeouts_are_refused)
{
    struct pair p = pair_make();
    struct timeval t = {1, 0};
    socklen_t len = sizeof(t);

    EXPECT_ERR(stoa_setsockopt(p.near, SOL_SOCKET, SO_RCVTIMEO, &t, len), EINVAL);
    EXPECT_SAID("settimeout");
    EXPECT_ERR(stoa_setsockopt(p.near, SOL_SOCKET, SO_SNDTIMEO, &t, len), EINVAL);
    EXPECT_ERR(stoa_getsockopt(p.near, SOL_SOCKET, SO_RCVTIMEO, &t, &len), EINVAL);
    EXPECT_ERR(stoa_getsockopt(p.near, SOL_SOCKET, SO_SNDTIMEO, &t, &len), EINVAL);
    pair_close(&p);
}
ON_EVERY_BACKEND(the_kernels_own_timeouts_are_refused)
