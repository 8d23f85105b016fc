/* connect.c - stoa_connect, its twins, and what each failure is called.
 *
 * The way: loopback alone.  A refusal is a port that is kept and listened at by nobody; "out of
 * time" is a listener whose queue is full, for which the kernel drops what comes.
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>

TEST(connect_reaches_a_listener)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);

        EXPECT_STR(peer_text(p.near).c, self_text(p.far).c);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(connect_reaches_a_listener)

TEST(connect_by_name)
{
    struct text where;
    struct stoa_addr a;
    int s = listener_make(TCP4, &where), c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    char to[64];

    a = self_addr(s);
    snprintf(to, sizeof(to), "localhost:%d", port_of(&a));
    EXPECT_OK(stoa_connect(c, to));
    EXPECT_OK(stoa_close(c));

    /* An empty host to connect to is this machine. */
    snprintf(to, sizeof(to), ":%d", port_of(&a));
    c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_OK(stoa_connect(c, to));
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(connect_by_name)

TEST(connect_sa_takes_the_kernels_form)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    struct stoa_addr a = self_addr(s);

    EXPECT_OK(stoa_connect_sa(c, (struct sockaddr *)&a.sa, a.len));
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_addr_parse(&a, nobody_there(TCP4).c));
    c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_ERR(stoa_connect_sa(c, (struct sockaddr *)&a.sa, a.len), ECONNREFUSED);
    EXPECT_ERR(stoa_connect_sa(c, (struct sockaddr *)&a.sa, 3), EINVAL);
    EXPECT_OK(stoa_close(c));
}
ON_EVERY_BACKEND(connect_sa_takes_the_kernels_form)

TEST(nobody_listens)
{
    EACH_STREAM (k) {
        struct text where = nobody_there(k);
        int c = stoa_socket(kind_family(k), SOCK_STREAM, 0);
        int want = k == UNIX_STREAM ? ENOENT : ECONNREFUSED;

        EXPECT_ERR(stoa_connect(c, where.c), want);
        EXPECT_SAID("connect");
        EXPECT_SAID(k == UNIX_STREAM ? where.c + 5 : strrchr(where.c, ':'));
        EXPECT_OK(stoa_close(c));
    }
}
ON_EVERY_BACKEND(nobody_listens)

TEST(a_dead_servers_unix_path_refuses)
{
    struct text path = unix_path();
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0), c = stoa_socket(AF_UNIX, SOCK_STREAM, 0);

    EXPECT_OK(stoa_bind(s, path.c));
    EXPECT_ERR(stoa_connect(c, path.c), ECONNREFUSED);
    EXPECT_OK(stoa_listen(s, 1));
    EXPECT_OK(stoa_connect(c, path.c));
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
    c = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_ERR(stoa_connect(c, path.c), ECONNREFUSED);
    EXPECT_OK(stoa_close(c));
}
ON_EVERY_BACKEND(a_dead_servers_unix_path_refuses)

TEST(bad_addresses_are_refused_before_anything_is_tried)
{
    int c = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_connect(c, "127.0.0.1"), EINVAL);
    EXPECT_ERR(stoa_connect(c, "127.0.0.1:65536"), EINVAL);
    EXPECT_ERR(stoa_connect(c, "127.1:80"), EINVAL);
    EXPECT_ERR(stoa_connect(c, "[::1]:80"), EAFNOSUPPORT);
    EXPECT_ERR(stoa_connect(c, "unix:/x"), EAFNOSUPPORT);
    EXPECT_OK(stoa_close(c));
}
ON_EVERY_BACKEND(bad_addresses_are_refused_before_anything_is_tried)

TEST(a_second_connect_is_EISCONN)
{
    struct pair p = pair_make();
    struct text there = peer_text(p.near);

    EXPECT_ERR(stoa_connect(p.near, there.c), EISCONN);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_second_connect_is_EISCONN)

TEST(connect_out_of_time_is_ETIME_not_ETIMEDOUT)
{
    struct full f = full_make();
    int c = stoa_socket(AF_INET, SOCK_STREAM, 0);

    stoa_settimeout(c, 0.05);
    double start = now();
    EXPECT_ERR(stoa_connect(c, f.where.c), ETIME);
    EXPECT_GE(now() - start, 0.05);
    EXPECT_SAID("connect");
    EXPECT_OK(stoa_close(c));

    c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    stoa_settimeout(c, 0.05);
    errno = 77;
    EXPECT_EQ(stoa_connect_ex(c, f.where.c), ETIME);
    EXPECT_EQ(errno, 77);
    EXPECT_OK(stoa_close(c));

    struct stoa_scope scope;
    c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    stoa_within(&scope, 0.05);
    EXPECT_ERR(stoa_connect(c, f.where.c), ETIME);
    EXPECT_ERR(stoa_leave(&scope), ETIME);
    EXPECT_OK(stoa_close(c));
    full_close(&f);
}
ON_EVERY_BACKEND(connect_out_of_time_is_ETIME_not_ETIMEDOUT)

TEST(a_nonblocking_connect_is_on_its_way)
{
    struct full f = full_make();
    int c = stoa_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    EXPECT_ERR(stoa_connect(c, f.where.c), EINPROGRESS);
    EXPECT_ERR(stoa_connect(c, f.where.c), EALREADY);
    EXPECT_EQ(stoa_connect_ex(c, f.where.c), EALREADY);
    EXPECT_OK(stoa_close(c));
    full_close(&f);
}
ON_EVERY_BACKEND(a_nonblocking_connect_is_on_its_way)

/* "stoa_poll() for POLLOUT, then SO_ERROR" */
TEST(a_nonblocking_connect_arrives)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int error = -1;
    socklen_t len = sizeof(error);

    EXPECT_ERR(stoa_connect(c, where.c), EINPROGRESS);
    EXPECT_OK(stoa_setblocking(c, true));
    EXPECT_EQ(stoa_poll(c, POLLOUT), POLLOUT);
    EXPECT_OK(stoa_getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &len));
    EXPECT_EQ(error, 0);
    EXPECT_STR(peer_text(c).c, where.c);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_nonblocking_connect_arrives)

TEST(a_nonblocking_connect_is_refused)
{
    struct text where = nobody_there(TCP4);
    int c = stoa_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = -1;
    socklen_t len = sizeof(error);

    EXPECT_EQ(stoa_connect(c, where.c), -1);
    EXPECT(errno == EINPROGRESS || errno == ECONNREFUSED);
    if (errno == EINPROGRESS) {
        EXPECT_OK(stoa_setblocking(c, true));
        EXPECT(stoa_poll(c, POLLOUT) & (POLLERR | POLLHUP));
        EXPECT_OK(stoa_getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &len));
        EXPECT_EQ(error, ECONNREFUSED);
        EXPECT_OK(stoa_getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &len));
        EXPECT_EQ(error, 0);
    }
    EXPECT_OK(stoa_close(c));
}
ON_EVERY_BACKEND(a_nonblocking_connect_is_refused)

TEST(connect_ex_returns_the_number)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_socket(AF_INET, SOCK_STREAM, 0);

    errno = 77;
    EXPECT_EQ(stoa_connect_ex(c, where.c), 0);
    EXPECT_EQ(stoa_connect_ex(c, where.c), EISCONN);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
    errno = 77;
    where = nobody_there(TCP4);
    c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(stoa_connect_ex(c, where.c), ECONNREFUSED);
    EXPECT_SAID("connect");
    EXPECT_EQ(stoa_connect_ex(c, "127.0.0.1:x y"), EINVAL);
    EXPECT_EQ(stoa_connect_ex(-1, where.c), EBADF);
    EXPECT_EQ(errno, 77);
    EXPECT_OK(stoa_close(c));
}
ON_EVERY_BACKEND(connect_ex_returns_the_number)

/* A datagram socket's connect sets the peer, and may be done again. */
TEST(connect_of_datagrams_sets_the_peer)
{
    EACH_DGRAM (k) {
        int s = bound_make(k), a = bound_make(k), b = bound_make(k);
        char buf[4];

        EXPECT_OK(stoa_connect(s, self_text(a).c));
        EXPECT_EQ(stoa_send(s, "1", 1, 0), 1);
        EXPECT_OK(stoa_connect(s, self_text(b).c));
        EXPECT_EQ(stoa_send(s, "2", 1, 0), 1);
        EXPECT_EQ(stoa_recv(a, buf, 4, 0), 1);
        EXPECT_EQ(buf[0], '1');
        EXPECT_EQ(stoa_recv(b, buf, 4, 0), 1);
        EXPECT_EQ(buf[0], '2');
        EXPECT_OK(stoa_close(a));
        EXPECT_OK(stoa_close(b));
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(connect_of_datagrams_sets_the_peer)

struct way {
    int s;
    const char *to;
};

static int connect_there(struct beside *me)
{
    const struct way *what = me->arg;

    about_to_wait(me);
    return stoa_connect(what->s, what->to);
}

TEST(close_wakes_a_connect_that_waits)
{
    struct full f = full_make();
    struct way what = {stoa_socket(AF_INET, SOCK_STREAM, 0), f.where.c};
    struct beside b;

    beside(&b, connect_there, &what);
    until_asleep(&b);
    EXPECT_OK(stoa_close(what.s));
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECANCELED);
    full_close(&f);
}
ON_EVERY_PAIRING(close_wakes_a_connect_that_waits)

/* -------------------------------------------------------------------------
 * Two connects of one socket at once
 * ---------------------------------------------------------------------- */

/* Each has an outcome of its own, and the descriptor is as it was. */
static void connect_twice(const char *to, bool by_dup, bool refused)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    struct way what = {by_dup ? stoa_dup(s) : s, to};
    struct beside b;

    beside(&b, connect_there, &what);
    while (!atomic_load(&b.waits))
        breathe();
    int mine = stoa_connect_ex(s, to), theirs = beside_join(&b) < 0 ? b.error : 0;
    if (refused) {
        EXPECT(mine == ECONNREFUSED || mine == EALREADY);
        EXPECT(theirs == ECONNREFUSED || theirs == EALREADY);
        EXPECT(mine == ECONNREFUSED || theirs == ECONNREFUSED);
    } else {
        EXPECT(mine == 0 || mine == EISCONN || mine == EALREADY);
        EXPECT(theirs == 0 || theirs == EISCONN || theirs == EALREADY);
        EXPECT(mine == 0 || theirs == 0);
    }
    if (!is_simulated()) {
        struct timeval bound = {0};
        socklen_t len = sizeof(bound);
        int fd = stoa_fileno(s);

        EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, &len), 0);
        EXPECT_EQ(bound.tv_sec, 0);
        EXPECT_EQ(bound.tv_usec, 0);
        EXPECT_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    }
    EXPECT_OK(stoa_abort(s));
    if (by_dup)
        EXPECT_OK(stoa_abort(what.s));
}

TEST(two_connects_at_once)
{
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer takes connect(2) for the making of a descriptor, which two cannot do");
    return;
#endif
    for (int i = 0; i < 200; i++) {
        struct text where;
        int s = listener_make(TCP4, &where);

        connect_twice(where.c, i % 2, false);
        EXPECT_OK(stoa_close(s));
        connect_twice(nobody_there(TCP4).c, i % 2, true);
    }
}
ON_EVERY_PAIRING(two_connects_at_once)
