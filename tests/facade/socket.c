/* socket.c - how sockets come into being: socket, socketpair, fromfd, fileno, detach, dup.
 *
 * The dangers: a descriptor that an exec'ed child inherits, flags that leak into the
 * type, a descriptor taken over though the call failed, a default forgotten on one of
 * the ways a socket is made.
 */
#include "backends.h"

#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static int int_option(int s, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    EXPECT_OK(stoa_getsockopt(s, level, option, &value, &len));
    return value;
}

static bool closed_on_exec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

TEST(a_socket_of_each_kind)
{
    EACH_KIND (k) {
        int s = stoa_socket(kind_family(k), kind_type(k), 0);

        EXPECT_GE(s, 1 << 23);
        EXPECT_EQ(int_option(s, SOL_SOCKET, SO_DOMAIN), kind_family(k));
        EXPECT_EQ(int_option(s, SOL_SOCKET, SO_TYPE), kind_type(k));
        EXPECT(closed_on_exec(stoa_fileno(s)));
        EXPECT_OK(stoa_close(s));
    }
    int s = stoa_socket(AF_UNIX, SOCK_SEQPACKET, 0);
    EXPECT_EQ(int_option(s, SOL_SOCKET, SO_TYPE), SOCK_SEQPACKET);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_socket_of_each_kind)

TEST(tcp_sends_at_once)
{
    struct pair p = pair_make();

    EXPECT_EQ(int_option(p.near, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(int_option(p.far, IPPROTO_TCP, TCP_NODELAY), 1);
    pair_close(&p);
}
ON_EVERY_BACKEND(tcp_sends_at_once)

TEST(flags_in_the_type_are_flags_only)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int pair[2];

    EXPECT_OK(s);
    EXPECT_EQ(stoa_gettimeout(s), 0);
    EXPECT_EQ(int_option(s, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    EXPECT_OK(stoa_close(s));

    EXPECT_OK(stoa_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
    EXPECT_EQ(stoa_gettimeout(pair[0]), 0);
    EXPECT_EQ(stoa_gettimeout(pair[1]), 0);
    EXPECT_ERR(stoa_recv(pair[0], &s, 1, 0), EAGAIN);
    EXPECT_OK(stoa_close(pair[0]));
    EXPECT_OK(stoa_close(pair[1]));
}
ON_EVERY_BACKEND(flags_in_the_type_are_flags_only)

TEST(a_socket_that_cannot_be)
{
    EXPECT_ERR(stoa_socket(9999, SOCK_STREAM, 0), EAFNOSUPPORT);
    errno = 0;
    EXPECT_EQ(stoa_socket(AF_INET, 77, 0), -1);
    EXPECT(errno == EINVAL || errno == ESOCKTNOSUPPORT || errno == EPROTONOSUPPORT);
    EXPECT_ERR(stoa_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    EXPECT_SAID("socket");
}
ON_EVERY_BACKEND(a_socket_that_cannot_be)

TEST(two_that_are_connected)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

    for (size_t i = 0; i < 3; i++) {
        int pair[2] = {-1, -1};
        char buf[8];

        EXPECT_EQ(stoa_socketpair(AF_UNIX, types[i], 0, pair), 0);
        EXPECT_EQ(stoa_sendall(pair[0], "abc", 3, 0), 0);
        EXPECT_EQ(stoa_recv(pair[1], buf, sizeof(buf), 0), 3);
        EXPECT_EQ(stoa_send(pair[1], "defg", 4, 0), 4);
        EXPECT_EQ(stoa_recv(pair[0], buf, sizeof(buf), 0), 4);
        EXPECT_EQ(memcmp(buf, "defg", 4), 0);
        EXPECT(closed_on_exec(stoa_fileno(pair[0])) && closed_on_exec(stoa_fileno(pair[1])));
        EXPECT_OK(stoa_close(pair[0]));
        EXPECT_OK(stoa_close(pair[1]));
    }
}
ON_EVERY_BACKEND(two_that_are_connected)

TEST(no_pair_of_other_families)
{
    int pair[2] = {-7, -7};

    EXPECT_ERR(stoa_socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
    EXPECT_EQ(pair[0], -7);
    EXPECT_EQ(pair[1], -7);
}
ON_EVERY_BACKEND(no_pair_of_other_families)

TEST(a_descriptor_is_taken_over)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    int fds[2];
    char buf[4];

    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    int s = stoa_fromfd(fds[0]);
    EXPECT_GE(s, 1 << 23);
    EXPECT_EQ(stoa_fileno(s), fds[0]);
    EXPECT_EQ(write(fds[1], "abc", 3), 3);
    EXPECT_EQ(stoa_recv(s, buf, sizeof(buf), 0), 3);
    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(read(fds[1], buf, sizeof(buf)), 0);
    EXPECT_EQ(fcntl(fds[0], F_GETFD), -1);
    EXPECT_EQ(close(fds[1]), 0);
}
ON_EVERY_BACKEND(a_descriptor_is_taken_over)

/* family, type and listening are found out: a listener may be accepted from. */
TEST(a_listeners_descriptor_is_taken_over)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    struct stoa_addr peer = {.len = 0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT_EQ(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    EXPECT_EQ(listen(fd, 5), 0);
    int s = stoa_fromfd(fd);
    EXPECT_OK(s);
    stoa_settimeout(s, 0.02);
    EXPECT_ERR(stoa_accept(s, &peer), ETIME);
    stoa_settimeout(s, -1);
    int c = stoa_dial(self_text(s).c, NULL);
    int d = stoa_accept(s, &peer);
    EXPECT_OK(d);
    EXPECT_EQ(peer.sa.ss_family, AF_INET);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(d));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_listeners_descriptor_is_taken_over)

TEST(what_is_no_socket_is_left_alone)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

    EXPECT_ERR(stoa_fromfd(-1), EBADF);
    EXPECT_ERR(stoa_fromfd(-2147483647 - 1), EBADF);
    EXPECT_ERR(stoa_fromfd(19999), EBADF);
    EXPECT_ERR(stoa_fromfd(file), ENOTSOCK);
    EXPECT_SAID("socket");
    EXPECT_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(close(file), 0);

    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_ERR(stoa_fromfd(s), EBADF);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(what_is_no_socket_is_left_alone)

/* A non-blocking descriptor of another program part: our timeout decides, not its flag. */
TEST(a_taken_descriptor_waits_though_it_was_nonblocking)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    int fds[2];
    char c;

    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    int s = stoa_fromfd(fds[0]);
    stoa_settimeout(s, 0.03);
    double start = now();
    EXPECT_ERR(stoa_recv(s, &c, 1, 0), ETIME);
    EXPECT_GE(now() - start, 0.03);
    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(close(fds[1]), 0);
}
ON_EVERY_BACKEND(a_taken_descriptor_waits_though_it_was_nonblocking)

TEST(the_descriptor_below)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    struct pair p = pair_make();
    int fd = stoa_fileno(p.near);

    EXPECT_GE(fd, 3);
    EXPECT_LT(fd, 1 << 23);
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT(closed_on_exec(fd));
    EXPECT_EQ(stoa_fileno(p.near), fd);
    pair_close(&p);
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);

    int s = listener_make(TCP4, NULL);
    EXPECT_EQ(fcntl(stoa_fileno(s), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(the_descriptor_below)

TEST(detach_lets_the_descriptor_go)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    EACH_KIND (k) {
        struct pair p = pair_of(k);
        char buf[4];
        int fd = stoa_detach(p.near);

        EXPECT_GE(fd, 0);
        EXPECT_ERR(stoa_send(p.near, "x", 1, 0), EBADF);
        EXPECT_ERR(stoa_detach(p.near), EBADF);
        EXPECT_ERR(stoa_close(p.near), EBADF);
        EXPECT_EQ(write(fd, "abc", 3), 3);
        EXPECT_EQ(stoa_recv(p.far, buf, sizeof(buf), 0), 3);
        EXPECT_EQ(close(fd), 0);
        p.near = -1;
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(detach_lets_the_descriptor_go)

static int recv_one(struct beside *me)
{
    char c;

    about_to_wait(me);
    return (int)stoa_recv(*(int *)me->arg, &c, 1, 0);
}

TEST(detach_wakes_who_waits)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    struct pair p = pair_make();
    struct beside b;

    beside(&b, recv_one, &p.near);
    until_asleep(&b);
    int fd = stoa_detach(p.near);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECANCELED);

    /* And what comes now is the new owner's. */
    char c = 0;
    EXPECT_OK(stoa_sendall(p.far, "y", 1, 0));
    EXPECT_EQ(recv(fd, &c, 1, 0), 1);
    EXPECT_EQ(c, 'y');
    EXPECT_EQ(close(fd), 0);
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_PAIRING(detach_wakes_who_waits)

TEST(detach_is_refused_while_a_file_uses_the_descriptor)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "r");

    EXPECT(f != NULL);
    EXPECT_ERR(stoa_detach(p.near), EBUSY);
    EXPECT_OK(stoa_sendall(p.far, "still\n", 6, 0));
    char line[16] = "";
    EXPECT(fgets(line, sizeof(line), f) != NULL);
    EXPECT_STR(line, "still\n");
    EXPECT_EQ(fclose(f), 0);
    int fd = stoa_detach(p.near);
    EXPECT_GE(fd, 0);
    close(fd);
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_BACKEND(detach_is_refused_while_a_file_uses_the_descriptor)

TEST(a_dup_is_a_second_handle_of_the_same_connection)
{
    struct pair p = pair_make();
    char buf[8];

    stoa_settimeout(p.near, 1.5);
    int d = stoa_dup(p.near);
    EXPECT_GE(d, 1 << 23);
    EXPECT_NE(d, p.near);
    EXPECT_EQ(stoa_gettimeout(d), 1.5);
    EXPECT(closed_on_exec(stoa_fileno(d)));
    EXPECT_NE(stoa_fileno(d), stoa_fileno(p.near));
    EXPECT_OK(stoa_settimeout(d, 2));
    EXPECT_EQ(stoa_gettimeout(p.near), 1.5);

    EXPECT_OK(stoa_close(p.near));
    EXPECT_OK(stoa_sendall(d, "abc", 3, 0));
    EXPECT_EQ(stoa_recv(p.far, buf, sizeof(buf), 0), 3);
    EXPECT_OK(stoa_close(d));
    EXPECT_EQ(stoa_recv(p.far, buf, sizeof(buf), 0), 0);
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_BACKEND(a_dup_is_a_second_handle_of_the_same_connection)

/* A listener's dup listens, too. */
TEST(a_dup_of_a_listener_accepts)
{
    struct text where;
    int s = listener_make(TCP4, &where), d = stoa_dup(s);

    EXPECT_OK(stoa_close(s));
    int c = stoa_dial(where.c, NULL);
    int e = stoa_accept(d, NULL);
    EXPECT_OK(e);
    stoa_settimeout(d, 0.02);
    EXPECT_ERR(stoa_accept(d, NULL), ETIME);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(e));
    EXPECT_OK(stoa_close(d));
}
ON_EVERY_BACKEND(a_dup_of_a_listener_accepts)
