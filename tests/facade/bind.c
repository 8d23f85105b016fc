/* bind.c - a socket's own address, and listening: stoa_bind, stoa_bind_sa, stoa_listen.
 *
 * The dangers: a server that cannot be restarted because of TIME_WAIT, two servers on
 * one port, ":port" that serves one family only, a name or a path that says something
 * else than was meant.
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/un.h>

TEST(bind_gives_the_address_that_getsockname_tells)
{
    EACH_KIND (k) {
        int s = bound_make(k);
        struct stoa_addr a = self_addr(s);

        EXPECT_EQ(a.sa.ss_family, kind_family(k));
        if (kind_family(k) != AF_UNIX)
            EXPECT_GT(port_of(&a), 0);
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(bind_gives_the_address_that_getsockname_tells)

/* unix(7), Autobind feature: a 0 and five hex digits. */
TEST(unix_autobind_gives_a_free_abstract_name)
{
    int s = bound_make(UNIX_DGRAM), t = bound_make(UNIX_DGRAM);
    struct stoa_addr a = self_addr(s);
    struct text x = self_text(s), y = self_text(t);

    EXPECT_EQ(a.len, offsetof(struct sockaddr_un, sun_path) + 6);
    EXPECT_EQ(strspn(x.c + strlen("unix:@"), "0123456789abcdef"), 5);
    EXPECT_EQ(strlen(x.c), strlen("unix:@01234"));
    EXPECT_NE(strcmp(x.c, y.c), 0);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_close(t));
}
ON_EVERY_BACKEND(unix_autobind_gives_a_free_abstract_name)

TEST(unix_paths_and_abstract_names_are_bound)
{
    struct text path = unix_path();
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    struct stat st;
    char name[64];

    EXPECT_OK(stoa_bind(s, path.c));
    EXPECT_STR(self_text(s).c, path.c);
    if (!is_simulated()) {
        EXPECT_EQ(stat(path.c + 5, &st), 0);
        EXPECT(S_ISSOCK(st.st_mode));
    }
    EXPECT_OK(stoa_close(s));

    snprintf(name, sizeof(name), "unix:@stoa-test-%d", (int)getpid());
    s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(stoa_bind(s, name));
    EXPECT_STR(self_text(s).c, name);
    int t = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERR(stoa_bind(t, name), EADDRINUSE);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_bind(t, name));
    EXPECT_OK(stoa_close(t));
}
ON_EVERY_BACKEND(unix_paths_and_abstract_names_are_bound)

TEST(a_path_that_is_something_else_is_left_alone)
{
    NOT_SIMULATED("there a path is a name, and no file");
    struct text path = unix_path();
    int fd = open(path.c + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    struct stat st;

    EXPECT_EQ(write(fd, "precious", 8), 8);
    EXPECT_EQ(close(fd), 0);
    EXPECT_ERR(stoa_bind(s, path.c), ENOTSOCK);
    EXPECT_SAID(path.c + 5);
    EXPECT_EQ(stat(path.c + 5, &st), 0);
    EXPECT_EQ(st.st_size, 8);
    EXPECT_ERR(stoa_bind(s, "unix:/no/such/folder/x"), ENOENT);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_path_that_is_something_else_is_left_alone)

/* "a stale UNIX path not repaired": the twin takes the address as it is. */
TEST(bind_sa_of_no_address_is_an_error)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_bind_sa(s, NULL, sizeof(struct sockaddr_in)), EFAULT);
    EXPECT_OK(stoa_close(s));
}

TEST(bind_sa_takes_the_address_as_it_is)
{
    struct text path = unix_path();
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0), t = stoa_socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(un.sun_path, path.c + 5);
    EXPECT_OK(stoa_bind_sa(s, (struct sockaddr *)&un, sizeof(un)));
    EXPECT_OK(stoa_close(s));
    EXPECT_ERR(stoa_bind_sa(t, (struct sockaddr *)&un, sizeof(un)), EADDRINUSE);
    EXPECT_OK(stoa_close(t));

    s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_OK(stoa_bind_sa(s, (struct sockaddr *)&in, sizeof(in)));
    EXPECT_ERR(stoa_bind_sa(s, (struct sockaddr *)&in, sizeof(in)), EINVAL);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(bind_sa_takes_the_address_as_it_is)

TEST(bad_addresses_are_refused)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    char text[200] = "unix:/";

    EXPECT_ERR(stoa_bind(s, "127.0.0.1"), EINVAL);
    EXPECT_ERR(stoa_bind(s, "127.0.0.1:70000"), EINVAL);
    EXPECT_SAID("65535");
    EXPECT_ERR(stoa_bind(s, "127.1:80"), EINVAL);
    EXPECT_ERR(stoa_bind(s, "[::1]:0"), EAFNOSUPPORT);
    EXPECT_ERR(stoa_bind(s, "unix:@x"), EAFNOSUPPORT);
    EXPECT_ERR(stoa_bind(s, "192.0.2.1:0"), EADDRNOTAVAIL);
    EXPECT_SAID("192.0.2.1");
    EXPECT_OK(stoa_bind(s, "127.0.0.1:0"));
    EXPECT_ERR(stoa_bind(s, "127.0.0.1:0"), EINVAL);
    EXPECT_OK(stoa_close(s));

    s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    memset(text + 6, 'x', 150);
    EXPECT_ERR(stoa_bind(s, text), ENAMETOOLONG);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(bad_addresses_are_refused)

TEST(a_scheme_of_another_type_is_refused)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    errno = 0;
    EXPECT_EQ(stoa_bind(s, "udp://127.0.0.1:0"), -1);
    EXPECT(errno == EINVAL || errno == EPROTOTYPE || errno == EAFNOSUPPORT);
    EXPECT_OK(stoa_bind(s, "tcp://127.0.0.1:0"));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_scheme_of_another_type_is_refused)

TEST(localhost_can_be_bound)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_OK(stoa_bind(s, "localhost:0"));
    EXPECT_EQ(
        strncmp(self_text(s).c + (strncmp(self_text(s).c, "tcp://", 6) ? 0 : 6), "127.0.0.1:", 10),
        0);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(localhost_can_be_bound)

/* The connection's closing side keeps the port in TIME_WAIT for a minute; the textbook's
 * "address already in use".  Here the server closes first. */
TEST(a_server_can_be_restarted_at_once)
{
    struct text where;
    int s = listener_make(TCP4, &where);
    int c = stoa_dial(where.c, NULL), d = stoa_accept(s, NULL);
    char byte;

    EXPECT_OK(stoa_close(d));
    EXPECT_EQ(stoa_recv(c, &byte, 1, 0), 0);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));

    s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_OK(stoa_bind(s, where.c));
    EXPECT_OK(stoa_listen(s, 5));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_server_can_be_restarted_at_once)

TEST(a_port_that_somebody_listens_on_is_refused)
{
    struct text where;
    int s = listener_make(TCP4, &where), t = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_bind(t, where.c), EADDRINUSE);
    EXPECT_SAID("bind");
    EXPECT_SAID(strchr(where.c, ':'));
    EXPECT_OK(stoa_close(t));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_port_that_somebody_listens_on_is_refused)

/* A listener that is in no process, as that of a killed server whose ring the kernel is still
 * taking down: it is on its way in a message.  The descriptor that ends it. */
static int ghost_make(char *at, size_t len)
{
    struct stoa_addr own;
    int way[2], s = stoa_announce("127.0.0.1:0", NULL);

    EXPECT_OK(s);
    EXPECT_OK(stoa_getsockname(s, &own));
    stoa_addr_text(&own, at, len);
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, way), 0);
    int a = stoa_fromfd(way[0]), fd = stoa_detach(s);
    EXPECT_OK(a);
    EXPECT_OK(stoa_send_fds(a, "g", 1, &fd, 1));
    close(fd);
    EXPECT_OK(stoa_close(a));
    return way[1];
}

static void *ghost_ends(void *fd)
{
    struct timespec a_moment = {.tv_nsec = 50 * 1000 * 1000};

    nanosleep(&a_moment, NULL);
    close((int)(intptr_t)fd);
    return NULL;
}

TEST(a_killed_programs_port_is_waited_for)
{
    char at[STOA_ADDR_TEXT_MAX];
    pthread_t thread;

    NOT_SIMULATED("a killed program leaves no sockets behind there");
    int fd = ghost_make(at, sizeof(at));
    struct stoa_scope scope;

    stoa_within(&scope, 0.02);
    EXPECT_ERR(stoa_announce(at, NULL), ETIME);
    stoa_leave(&scope);
    EXPECT_EQ(pthread_create(&thread, NULL, ghost_ends, (void *)(intptr_t)fd), 0);
    int s = stoa_announce(at, NULL);
    EXPECT_OK(s);
    EXPECT_OK(stoa_close(s));
    pthread_join(thread, NULL);
}
ON_EVERY_BACKEND(a_killed_programs_port_is_waited_for)

TEST(two_may_bind_but_one_listens)
{
    int s = bound_make(TCP4), t = stoa_socket(AF_INET, SOCK_STREAM, 0);

    /* SO_REUSEADDR lets both bind; listen(2) decides. */
    EXPECT_OK(stoa_bind(t, self_text(s).c));
    EXPECT_OK(stoa_listen(s, 5));
    EXPECT_ERR(stoa_listen(t, 5), EADDRINUSE);
    EXPECT_SAID("listen");
    EXPECT_OK(stoa_close(t));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(two_may_bind_but_one_listens)

TEST(udp_ports_are_not_shared)
{
    int s = bound_make(UDP4), t = stoa_socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT_ERR(stoa_bind(t, self_text(s).c), EADDRINUSE);
    EXPECT_OK(stoa_close(t));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(udp_ports_are_not_shared)

TEST(an_ipv6_socket_bound_to_no_host_serves_ipv4_too)
{
    static const char *const texts[] = {"[::]:0", ":0", "tcp://:0"};

    for (size_t i = 0; i < 3; i++) {
        int s = stoa_socket(AF_INET6, SOCK_STREAM, 0);
        char to[32];

        EXPECT_OK(stoa_bind(s, texts[i]));
        EXPECT_OK(stoa_listen(s, 5));
        struct stoa_addr a = self_addr(s), peer;
        snprintf(to, sizeof(to), "127.0.0.1:%d", port_of(&a));
        int c = stoa_socket(AF_INET, SOCK_STREAM, 0);
        EXPECT_OK(stoa_connect(c, to));
        int d = stoa_accept(s, &peer);
        EXPECT_OK(d);
        EXPECT_OK(stoa_close(c));
        EXPECT_OK(stoa_close(d));
        snprintf(to, sizeof(to), "[::1]:%d", port_of(&a));
        c = stoa_socket(AF_INET6, SOCK_STREAM, 0);
        EXPECT_OK(stoa_connect(c, to));
        d = stoa_accept(s, &peer);
        EXPECT_OK(d);
        EXPECT_OK(stoa_close(c));
        EXPECT_OK(stoa_close(d));
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(an_ipv6_socket_bound_to_no_host_serves_ipv4_too)

TEST(an_empty_host_fits_the_sockets_own_family)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_OK(stoa_bind(s, ":0"));
    struct stoa_addr a = self_addr(s);
    EXPECT_EQ(a.sa.ss_family, AF_INET);
    EXPECT_OK(stoa_close(s));
    s = stoa_socket(AF_INET6, SOCK_DGRAM, 0);
    EXPECT_OK(stoa_bind(s, ":0"));
    a = self_addr(s);
    EXPECT_EQ(a.sa.ss_family, AF_INET6);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(an_empty_host_fits_the_sockets_own_family)

/* Send-Q of a listener in /proc would do as well: the backlog is what tcp_info calls
 * unacked ... simpler: the kernel refuses more than backlog + 1 UNIX connections. */
TEST(the_backlog_is_the_number_asked_for)
{
    struct text where;
    int s = bound_make(UNIX_STREAM), clients[8], n = 0;

    EXPECT_OK(stoa_listen(s, 2));
    where = self_text(s);
    for (; n < 8; n++) {
        clients[n] = stoa_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (stoa_connect(clients[n], where.c) < 0)
            break;
    }
    EXPECT_EQ(n, 3);
    EXPECT_EQ(errno, EAGAIN);
    for (int i = 0; i <= n; i++)
        EXPECT_OK(stoa_close(clients[i]));

    /* Listening again changes it: < 0 is the system's most. */
    EXPECT_OK(stoa_listen(s, -1));
    n = 0;
    for (int c; n < 64; n++) {
        c = stoa_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        EXPECT_OK(stoa_connect(c, where.c));
        EXPECT_OK(stoa_close(c));
    }
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(the_backlog_is_the_number_asked_for)

TEST(what_cannot_listen)
{
    int s = stoa_socket(AF_INET, SOCK_DGRAM, 0);

    EXPECT_ERR(stoa_listen(s, 5), EOPNOTSUPP);
    EXPECT_OK(stoa_close(s));
    s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERR(stoa_listen(s, 5), EINVAL);
    EXPECT_OK(stoa_close(s));
    struct pair p = pair_make();
    EXPECT_ERR(stoa_listen(p.near, 5), EINVAL);
    pair_close(&p);
}
ON_EVERY_BACKEND(what_cannot_listen)
