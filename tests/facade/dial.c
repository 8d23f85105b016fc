/* dial.c - one line instead of five: stoa_dial and stoa_announce.
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

TEST(announce_and_dial_meet)
{
    static const char *const at[] = {"127.0.0.1:0", "[::1]:0", "unix:", "tcp://127.0.0.1:0",
                                     "localhost:0"};

    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        int s = stoa_announce(at[i], NULL);
        EXPECT_OK(s);
        int c = stoa_dial(self_text(s).c, NULL);
        EXPECT_OK(c);
        int d = stoa_accept(s, NULL);
        char byte;

        EXPECT_OK(stoa_sendall(c, "x", 1, 0));
        EXPECT_EQ(stoa_recv(d, &byte, 1, 0), 1);
        EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
    }
}
ON_EVERY_BACKEND(announce_and_dial_meet)

TEST(announce_of_no_host_serves_both_families)
{
    int s = stoa_announce(":0", NULL);
    struct stoa_addr a = self_addr(s);
    char to[32];

    snprintf(to, sizeof(to), "127.0.0.1:%d", port_of(&a));
    int c = stoa_dial(to, NULL);
    EXPECT_OK(c);
    EXPECT_OK(stoa_close(c));
    if (a.sa.ss_family == AF_INET6) {
        snprintf(to, sizeof(to), "[::1]:%d", port_of(&a));
        c = stoa_dial(to, NULL);
        EXPECT_OK(c);
        EXPECT_OK(stoa_close(c));
    }
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(announce_of_no_host_serves_both_families)

TEST(announce_and_dial_of_datagrams)
{
    static const char *const at[] = {"udp://127.0.0.1:0", "udp://[::1]:0"};

    for (size_t i = 0; i < 2; i++) {
        int s = stoa_announce(at[i], NULL);
        struct text where = self_text(s);
        struct stoa_addr from;
        char to[STOA_ADDR_TEXT_MAX + 8], buf[4];

        snprintf(to, sizeof(to), "%s%s", strncmp(where.c, "udp://", 6) ? "udp://" : "", where.c);
        int c = stoa_dial(to, NULL);
        EXPECT_OK(c);
        EXPECT_EQ(stoa_send(c, "abc", 3, 0), 3);
        EXPECT_EQ(stoa_recvfrom(s, buf, sizeof(buf), 0, &from), 3);
        EXPECT_EQ(stoa_sendto(s, "de", 2, 0, &from), 2);
        EXPECT_EQ(stoa_recv(c, buf, sizeof(buf), 0), 2);
        EXPECT_OK(stoa_close(c) | stoa_close(s));
    }
}
ON_EVERY_BACKEND(announce_and_dial_of_datagrams)

TEST(an_announced_path_has_its_mode)
{
    NOT_SIMULATED("there a path is a name, and no file");
    struct text path = unix_path();
    struct stat st;
    struct stoa_options o = {.size = sizeof(o), .mode = 0666};

    umask(022);
    int s = stoa_announce(path.c, NULL);
    EXPECT_OK(s);
    EXPECT_EQ(stat(path.c + 5, &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600);
    EXPECT_OK(stoa_close(s));
    path = unix_path();
    s = stoa_announce(path.c, &o);
    EXPECT_OK(s);
    EXPECT_EQ(stat(path.c + 5, &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0666);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(an_announced_path_has_its_mode)

TEST(fd_addresses_take_a_descriptor_over)
{
    NOT_SIMULATED("the descriptors are the real kernel's");
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fds[2], fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[16], c;

    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(text, sizeof(text), "fd:%d", fds[0]);
    int s = stoa_dial(text, NULL);
    EXPECT_OK(s);
    EXPECT_OK(stoa_sendall(s, "x", 1, 0));
    EXPECT_EQ(read(fds[1], &c, 1), 1);
    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(read(fds[1], &c, 1), 0);
    EXPECT_EQ(close(fds[1]), 0);

    EXPECT_EQ(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    EXPECT_EQ(listen(fd, 5), 0);
    snprintf(text, sizeof(text), "fd:%d", fd);
    s = stoa_announce(text, NULL);
    EXPECT_OK(s);
    int d = stoa_dial(self_text(s).c, NULL);
    EXPECT_OK(d);
    EXPECT_OK(stoa_close(d) | stoa_close(s));

    EXPECT_ERR(stoa_dial("fd:19999", NULL), EBADF);
    EXPECT_ERR(stoa_dial("fd:x", NULL), EINVAL);
    EXPECT_ERR(stoa_dial("fd:", NULL), EINVAL);
    EXPECT_ERR(stoa_announce("fd:-1", NULL), EINVAL);
}
ON_EVERY_BACKEND(fd_addresses_take_a_descriptor_over)

TEST(dial_says_every_address_it_tried)
{
    struct text where = nobody_there(TCP4);
    char to[64];

    snprintf(to, sizeof(to), "localhost%s", strrchr(where.c, ':'));
    EXPECT_ERR(stoa_dial(to, NULL), ECONNREFUSED);
    EXPECT_SAID("dial");
    EXPECT_SAID("127.0.0.1");
    EXPECT_SAID(strrchr(where.c, ':'));
    EXPECT_ERR(stoa_dial("unix:/no/such/path", NULL), ENOENT);
    EXPECT_SAID("/no/such/path");
    EXPECT_ERR(stoa_dial("127.0.0.1:99999", NULL), EINVAL);
    EXPECT_ERR(stoa_dial("", NULL), EINVAL);
}
ON_EVERY_BACKEND(dial_says_every_address_it_tried)

TEST(dial_from_an_address)
{
    int s = stoa_announce("127.0.0.1:0", NULL);
    struct stoa_options o = {.size = sizeof(o), .from = "127.0.0.9:0"};
    struct stoa_addr peer;
    struct text t;
    int c = stoa_dial(self_text(s).c, &o);

    EXPECT_OK(c);
    int d = stoa_accept(s, &peer);
    stoa_addr_text(&peer, t.c, sizeof(t.c));
    EXPECT(strstr(t.c, "127.0.0.9:") != NULL);
    EXPECT_OK(stoa_close(c) | stoa_close(d));
    o.from = "192.0.2.1:0";
    EXPECT_ERR(stoa_dial(self_text(s).c, &o), EADDRNOTAVAIL);
    EXPECT_SAID("192.0.2.1");
    o.from = "nonsense";
    EXPECT_ERR(stoa_dial(self_text(s).c, &o), EINVAL);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(dial_from_an_address)

/* An address that is not answered: the listener's queue is full. */
TEST(the_scopes_time_holds_for_dial)
{
    struct full f = full_make();
    struct stoa_scope scope;

    double start = now();
    stoa_within(&scope, 0.05);
    EXPECT_ERR(stoa_dial(f.where.c, NULL), ETIME);
    EXPECT_ERR(stoa_leave(&scope), ETIME);
    EXPECT_GE(now() - start, 0.05);

    /* Without a scope the default timeout holds. */
    EXPECT_OK(stoa_setdefaulttimeout(0.05));
    start = now();
    EXPECT_ERR(stoa_dial(f.where.c, NULL), ETIME);
    EXPECT_GE(now() - start, 0.05);
    EXPECT_OK(stoa_setdefaulttimeout(-1));
    full_close(&f);
}
ON_EVERY_BACKEND(the_scopes_time_holds_for_dial)

TEST(what_dial_gives_waits_for_ever_by_default)
{
    int s = stoa_announce("127.0.0.1:0", NULL), c = stoa_dial(self_text(s).c, NULL);
    struct stoa_scope scope;

    EXPECT_LT(stoa_gettimeout(c), 0);
    EXPECT_LT(stoa_gettimeout(s), 0);
    EXPECT_OK(stoa_close(c));
    stoa_within(&scope, 5);
    c = stoa_dial(self_text(s).c, NULL);
    EXPECT_LT(stoa_gettimeout(c), 0);
    EXPECT_OK(stoa_leave(&scope));
    EXPECT_OK(stoa_close(c) | stoa_close(s));
}
ON_EVERY_BACKEND(what_dial_gives_waits_for_ever_by_default)

TEST(announce_says_who_has_the_port)
{
    int s = stoa_announce("127.0.0.1:0", NULL);
    struct text where = self_text(s);

    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    EXPECT_SAID("announce");
    EXPECT_SAID(strrchr(where.c, ':'));
    EXPECT_OK(stoa_close(s));
    EXPECT_ERR(stoa_announce("192.0.2.1:0", NULL), EADDRNOTAVAIL);
    EXPECT_ERR(stoa_announce("127.0.0.1", NULL), EINVAL);
    if (!is_simulated())
        EXPECT_ERR(stoa_announce("unix:/no/such/folder/x", NULL), ENOENT);
}
ON_EVERY_BACKEND(announce_says_who_has_the_port)

/* Of a name with two addresses, one of which nobody serves, the other is found. */
TEST(dial_finds_the_address_that_answers)
{
    int s = stoa_announce("127.0.0.1:0", NULL);
    struct stoa_addr a = self_addr(s);
    char to[32];

    snprintf(to, sizeof(to), "localhost:%d", port_of(&a));
    int c = stoa_dial(to, NULL);
    EXPECT_OK(c);
    EXPECT_OK(stoa_close(c));
    snprintf(to, sizeof(to), ":%d", port_of(&a));
    c = stoa_dial(to, NULL);
    EXPECT_OK(c);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(dial_finds_the_address_that_answers)

TEST(sockets_made_for_dial_and_announce_have_the_good_defaults)
{
    int s = stoa_announce("127.0.0.1:0", NULL), c = stoa_dial(self_text(s).c, NULL), value = 0;
    socklen_t len = sizeof(value);

    EXPECT_OK(stoa_getsockopt(c, IPPROTO_TCP, TCP_NODELAY, &value, &len));
    EXPECT_EQ(value, 1);
    EXPECT_OK(stoa_getsockopt(s, SOL_SOCKET, SO_REUSEADDR, &value, &len));
    EXPECT_EQ(value, 1);
    EXPECT(fcntl(stoa_fileno(s), F_GETFD) & fcntl(stoa_fileno(c), F_GETFD) & FD_CLOEXEC);
    EXPECT_OK(stoa_close(c) | stoa_close(s));
}
ON_EVERY_BACKEND(sockets_made_for_dial_and_announce_have_the_good_defaults)
