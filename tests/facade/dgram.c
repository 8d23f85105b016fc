/* dgram.c - datagrams: recvfrom, sendto, recvmsg, sendmsg.
 *
 * The dangers: an empty datagram taken for the end of a stream, a cut one taken for a
 * whole one, a sender's address from the call before.
 */
#include "backends.h"

#include <netinet/in.h>

TEST(a_datagram_and_who_sent_it)
{
    EACH_DGRAM (k) {
        int s = bound_make(k), t = bound_make(k);
        struct stoa_addr to = self_addr(t), self = self_addr(s), from;
        char buf[16];

        EXPECT_EQ(stoa_sendto(s, "hello", 5, 0, &to), 5);
        memset(&from, 0x55, sizeof(from));
        EXPECT_EQ(stoa_recvfrom(t, buf, sizeof(buf), 0, &from), 5);
        EXPECT_EQ(memcmp(buf, "hello", 5), 0);
        EXPECT_EQ(from.len, self.len);
        EXPECT_EQ(memcmp(&from.sa, &self.sa, self.len), 0);

        /* And the answer to where it came from. */
        EXPECT_EQ(stoa_sendto(t, "HELLO", 5, 0, &from), 5);
        EXPECT_EQ(stoa_recvfrom(s, buf, sizeof(buf), 0, NULL), 5);
        EXPECT_EQ(memcmp(buf, "HELLO", 5), 0);
        EXPECT_OK(stoa_close(s));
        EXPECT_OK(stoa_close(t));
    }
}
ON_EVERY_BACKEND(a_datagram_and_who_sent_it)

TEST(a_sender_without_a_name_has_none)
{
    int s = stoa_socket(AF_UNIX, SOCK_DGRAM, 0), t = bound_make(UNIX_DGRAM);
    struct stoa_addr to = self_addr(t), from;
    char c;

    memset(&from, 0x55, sizeof(from));
    EXPECT_EQ(stoa_sendto(s, "x", 1, 0, &to), 1);
    EXPECT_EQ(stoa_recvfrom(t, &c, 1, 0, &from), 1);
    EXPECT_EQ(from.len, 0);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_close(t));
}
ON_EVERY_BACKEND(a_sender_without_a_name_has_none)

TEST(sendto_without_an_address_goes_to_the_peer)
{
    struct pair p = pair_of(UDP4);
    char buf[4];

    EXPECT_EQ(stoa_sendto(p.near, "abc", 3, 0, NULL), 3);
    EXPECT_EQ(stoa_recvfrom(p.far, buf, sizeof(buf), 0, NULL), 3);
    pair_close(&p);

    int s = bound_make(UDP4);
    EXPECT_ERR(stoa_sendto(s, "abc", 3, 0, NULL), EDESTADDRREQ);
    EXPECT_ERR(stoa_send(s, "abc", 3, 0), EDESTADDRREQ);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(sendto_without_an_address_goes_to_the_peer)

/* "A len of 0 does wait and takes a datagram" */
TEST(recvfrom_of_0_bytes_takes_a_datagram)
{
    struct pair p = pair_of(UDP4);
    char buf[4];

    stoa_settimeout(p.far, 0.02);
    EXPECT_ERR(stoa_recvfrom(p.far, buf, 0, 0, NULL), ETIME);
    EXPECT_EQ(stoa_send(p.near, "1", 1, 0), 1);
    EXPECT_EQ(stoa_send(p.near, "2", 1, 0), 1);
    EXPECT_EQ(stoa_recvfrom(p.far, buf, 0, 0, NULL), 0);
    EXPECT_EQ(stoa_recvfrom(p.far, buf, 4, 0, NULL), 1);
    EXPECT_EQ(buf[0], '2');
    pair_close(&p);
}
ON_EVERY_BACKEND(recvfrom_of_0_bytes_takes_a_datagram)

TEST(a_datagram_that_is_too_long)
{
    int s = bound_make(UDP4), t = bound_make(UDP4);
    struct stoa_addr to = self_addr(t);
    char *big = calloc(1, 70000);

    EXPECT_ERR(stoa_sendto(s, big, 70000, 0, &to), EMSGSIZE);
    EXPECT_SAID("sendto");
    EXPECT_EQ(stoa_sendto(s, big, 65507, 0, &to), 65507);
    EXPECT_EQ(stoa_recvfrom(t, big, 70000, 0, NULL), 65507);
    EXPECT_OK(stoa_connect(s, self_text(t).c));
    EXPECT_ERR(stoa_send(s, big, 70000, 0), EMSGSIZE);
    EXPECT_ERR(stoa_sendall(s, big, 70000, 0), EMSGSIZE);
    free(big);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_close(t));
}
ON_EVERY_BACKEND(a_datagram_that_is_too_long)

static int recvfrom_one(struct beside *me)
{
    char c = 0;

    about_to_wait(me);
    return stoa_recvfrom(*(int *)me->arg, &c, 1, 0, NULL) == 1 ? c : -1;
}

TEST(recvfrom_waits)
{
    EACH_DGRAM (k) {
        int s = bound_make(k), t = bound_make(k);
        struct stoa_addr to = self_addr(t);
        struct beside b;

        beside(&b, recvfrom_one, &t);
        until_asleep(&b);
        EXPECT_EQ(stoa_sendto(s, "x", 1, 0, &to), 1);
        EXPECT_EQ(beside_join(&b), 'x');
        EXPECT_OK(stoa_close(s));
        EXPECT_OK(stoa_close(t));
    }
}
ON_EVERY_PAIRING(recvfrom_waits)

/* A UNIX datagram queue that is full makes the sender wait (unix_dgram_sendmsg). */
TEST(sendto_waits_for_room_in_a_unix_queue)
{
    int s = bound_make(UNIX_DGRAM), t = bound_make(UNIX_DGRAM);
    struct stoa_addr to = self_addr(t);
    char c;

    while (stoa_sendto(s, "x", 1, MSG_DONTWAIT, &to) == 1)
        ;
    EXPECT_EQ(errno, EAGAIN);
    stoa_settimeout(s, 0.03);
    EXPECT_ERR(stoa_sendto(s, "x", 1, 0, &to), ETIME);
    EXPECT_EQ(stoa_recv(t, &c, 1, 0), 1);
    EXPECT_EQ(stoa_sendto(s, "y", 1, 0, &to), 1);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_close(t));
}
ON_EVERY_BACKEND(sendto_waits_for_room_in_a_unix_queue)

TEST(messages_of_several_buffers)
{
    EACH_KIND (k) {
        struct pair p = pair_of(k);
        char a[2], b[8];
        struct iovec out[2] = {{"abc", 3}, {"defg", 4}}, in[2] = {{a, 2}, {b, 8}};
        struct msghdr m = {.msg_iov = out, .msg_iovlen = 2};

        EXPECT_EQ(stoa_sendmsg(p.near, &m, 0), 7);
        m = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
        EXPECT_EQ(stoa_recvmsg(p.far, &m, 0), 7);
        EXPECT_EQ(memcmp(a, "ab", 2), 0);
        EXPECT_EQ(memcmp(b, "cdefg", 5), 0);
        EXPECT_EQ(m.msg_flags & MSG_TRUNC, 0);
        stoa_settimeout(p.far, 0.02);
        EXPECT_ERR(stoa_recvmsg(p.far, &m, 0), ETIME);
        EXPECT_SAID("recvmsg");
        EXPECT_ERR(stoa_recvmsg(p.far, &m, MSG_DONTWAIT), EAGAIN);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(messages_of_several_buffers)

TEST(a_message_has_an_address_and_control_data)
{
    NOT_SIMULATED("it has no IP_PKTINFO");
    int s = bound_make(UDP4), t = bound_make(UDP4);
    struct stoa_addr to = self_addr(t), self = self_addr(s);
    struct sockaddr_in from;
    char buf[4], control[CMSG_SPACE(sizeof(struct in_pktinfo))] = "";
    struct iovec iov = {"abcd", 4};
    struct msghdr m = {.msg_name = &to.sa, .msg_namelen = to.len, .msg_iov = &iov, .msg_iovlen = 1};

    EXPECT_OK(stoa_setsockopt(t, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int)));
    EXPECT_EQ(stoa_sendmsg(s, &m, 0), 4);
    iov = (struct iovec){buf, 2};
    m = (struct msghdr){.msg_name = &from,
                        .msg_namelen = sizeof(from),
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof(control)};
    EXPECT_EQ(stoa_recvmsg(t, &m, 0), 2);
    EXPECT_EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
    EXPECT_EQ(m.msg_namelen, sizeof(from));
    EXPECT_EQ(memcmp(&from, &self.sa, sizeof(from)), 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    EXPECT(c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_close(t));
}
ON_EVERY_BACKEND(a_message_has_an_address_and_control_data)

/* SOCK_SEQPACKET: a connection of messages. */
TEST(seqpacket_keeps_messages_and_ends)
{
    int pair[2];
    char buf[8];

    EXPECT_OK(stoa_socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    EXPECT_EQ(stoa_send(pair[0], "abc", 3, 0), 3);
    EXPECT_EQ(stoa_send(pair[0], "de", 2, 0), 2);
    EXPECT_EQ(stoa_recv(pair[1], buf, 8, 0), 3);
    EXPECT_EQ(stoa_recv(pair[1], buf, 8, 0), 2);
    EXPECT_OK(stoa_close(pair[0]));
    EXPECT_EQ(stoa_recv(pair[1], buf, 8, 0), 0);
    EXPECT_OK(stoa_close(pair[1]));
}
ON_EVERY_BACKEND(seqpacket_keeps_messages_and_ends)
