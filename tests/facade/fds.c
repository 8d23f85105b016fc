/* fds.c - passing descriptors: send_fds, recv_fds.
 *
 * The dangers: a descriptor that came and nobody knows of (MSG_CTRUNC), one that an
 * exec'ed child inherits, a count the kernel does not carry.
 */
#include "backends.h"

#include <fcntl.h>

static int open_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

TEST(a_descriptor_is_passed)
{
    struct pair p = pair_of(UNIX_STREAM);
    int pipefd[2], got[4] = {-1, -1, -1, -1};
    size_t n = 4;
    char buf[8];

    EXPECT_EQ(pipe2(pipefd, O_CLOEXEC), 0);
    EXPECT_EQ(stoa_send_fds(p.near, "two", 3, pipefd, 2), 3);
    EXPECT_EQ(stoa_recv_fds(p.far, buf, sizeof(buf), got, &n), 3);
    EXPECT_EQ(memcmp(buf, "two", 3), 0);
    EXPECT_EQ(n, 2);
    EXPECT_EQ(got[2], -1);
    EXPECT_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(got[1], F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(write(got[1], "x", 1), 1);
    EXPECT_EQ(read(pipefd[0], buf, 8), 1);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(close(got[i]) | close(pipefd[i]), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_descriptor_is_passed)

TEST(a_handle_is_passed_as_its_descriptor)
{
    struct pair p = pair_of(UNIX_STREAM), q = pair_make();
    int got = -1;
    size_t n = 1;
    char c;

    EXPECT_EQ(stoa_send_fds(p.near, "h", 1, &q.near, 1), 1);
    EXPECT_EQ(stoa_recv_fds(p.far, &c, 1, &got, &n), 1);
    EXPECT_EQ(n, 1);
    int s = stoa_fromfd(got);
    EXPECT_OK(s);
    EXPECT_OK(stoa_close(q.near));
    EXPECT_OK(stoa_sendall(s, "y", 1, 0));
    EXPECT_EQ(stoa_recv(q.far, &c, 1, 0), 1);
    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(stoa_recv(q.far, &c, 1, 0), 0);
    q.near = -1;
    pair_close(&q);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_handle_is_passed_as_its_descriptor)

TEST(bytes_without_descriptors_and_the_end)
{
    struct pair p = pair_of(UNIX_STREAM);
    int got[1];
    size_t n = 1;
    char buf[8];

    EXPECT_OK(stoa_sendall(p.near, "abc", 3, 0));
    EXPECT_EQ(stoa_recv_fds(p.far, buf, sizeof(buf), got, &n), 3);
    EXPECT_EQ(n, 0);
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    n = 1;
    EXPECT_EQ(stoa_recv_fds(p.far, buf, sizeof(buf), got, &n), 0);
    EXPECT_EQ(n, 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(bytes_without_descriptors_and_the_end)

TEST(recv_fds_out_of_time_takes_nothing)
{
    struct pair p = pair_of(UNIX_STREAM);
    int got[1] = {-1}, zero = 0;
    size_t n = 1;
    char c;

    stoa_settimeout(p.far, 0.02);
    EXPECT_ERR(stoa_recv_fds(p.far, &c, 1, got, &n), ETIME);
    EXPECT_SAID("recv_fds");
    stoa_settimeout(p.far, 0);
    n = 1;
    EXPECT_ERR(stoa_recv_fds(p.far, &c, 1, got, &n), EAGAIN);
    EXPECT_EQ(stoa_send_fds(p.near, "x", 1, &zero, 1), 1);
    n = 1;
    EXPECT_EQ(stoa_recv_fds(p.far, &c, 1, got, &n), 1);
    EXPECT_EQ(n, 1);
    EXPECT_EQ(close(got[0]), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(recv_fds_out_of_time_takes_nothing)

TEST(send_fds_out_of_range)
{
    struct pair p = pair_of(UNIX_STREAM), t = pair_make();
    int fds[STOA_FDS_MAX + 1], stale = t.near;
    char c;

    for (int i = 0; i <= STOA_FDS_MAX; i++)
        fds[i] = 0;
    EXPECT_ERR(stoa_send_fds(p.near, "x", 1, fds, 0), EINVAL);
    EXPECT_ERR(stoa_send_fds(p.near, "x", 1, fds, STOA_FDS_MAX + 1), EINVAL);
    EXPECT_ERR(stoa_send_fds(p.near, "x", 0, fds, 1), EINVAL);
    fds[1] = -1;
    EXPECT_ERR(stoa_send_fds(p.near, "x", 1, fds, 2), EBADF);
    fds[1] = 19999;
    EXPECT_ERR(stoa_send_fds(p.near, "x", 1, fds, 2), EBADF);
    EXPECT_OK(stoa_close(t.near));
    fds[1] = stale;
    EXPECT_ERR(stoa_send_fds(p.near, "x", 1, fds, 2), EBADF);
    EXPECT_ERR(stoa_recv(p.far, &c, 1, MSG_DONTWAIT), EAGAIN);
    t.near = -1;
    pair_close(&t);
    pair_close(&p);
}
ON_EVERY_BACKEND(send_fds_out_of_range)

TEST(as_many_descriptors_as_the_kernel_carries)
{
    struct pair p = pair_of(UNIX_STREAM);
    static int out[STOA_FDS_MAX], in[STOA_FDS_MAX];
    size_t n = STOA_FDS_MAX;
    int before = open_fds();
    char c;

    EXPECT_EQ(stoa_send_fds(p.near, "x", 1, out, STOA_FDS_MAX), 1);
    EXPECT_EQ(stoa_recv_fds(p.far, &c, 1, in, &n), 1);
    EXPECT_EQ(n, STOA_FDS_MAX);
    EXPECT_EQ(open_fds(), before + STOA_FDS_MAX);
    for (size_t i = 0; i < n; i++)
        close(in[i]);
    pair_close(&p);
}
ON_EVERY_BACKEND(as_many_descriptors_as_the_kernel_carries)

TEST(recv_fds_room_out_of_range)
{
    struct pair p = pair_of(UNIX_STREAM);
    int got[1];
    size_t n = 0;
    char c;

    EXPECT_OK(stoa_sendall(p.near, "x", 1, 0));
    EXPECT_ERR(stoa_recv_fds(p.far, &c, 1, got, &n), EINVAL);
    n = STOA_FDS_MAX + 1;
    EXPECT_ERR(stoa_recv_fds(p.far, &c, 1, got, &n), EINVAL);
    EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 1);
    pair_close(&p);
}
ON_EVERY_BACKEND(recv_fds_room_out_of_range)

/* "EMSGSIZE more descriptors came than there is room for: none is kept" */
TEST(too_many_descriptors_do_not_leak)
{
    for (int sent = 2; sent <= 7; sent++) {
        struct pair p = pair_of(UNIX_STREAM);
        int zeros[8] = {0}, got[4] = {-1, -1, -1, -1};
        int before = open_fds();
        char buf[4];

        for (size_t room = 1; room < (size_t)sent && room <= 4; room++) {
            size_t n = room;
            EXPECT_EQ(stoa_send_fds(p.near, "ab", 2, zeros, (size_t)sent), 2);
            EXPECT_ERR(stoa_recv_fds(p.far, buf, sizeof(buf), got, &n), EMSGSIZE);
            EXPECT_EQ(stoa_done(), 2);
            EXPECT_EQ(open_fds(), before);
        }
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(too_many_descriptors_do_not_leak)

TEST(descriptors_go_over_unix_sockets_only)
{
    struct pair p = pair_make();
    int zero = 0;

    EXPECT_ERR(stoa_send_fds(p.near, "x", 1, &zero, 1), EOPNOTSUPP);
    pair_close(&p);
}
ON_EVERY_BACKEND(descriptors_go_over_unix_sockets_only)

TEST(descriptors_go_with_datagrams_too)
{
    struct pair p = pair_of(UNIX_DGRAM);
    int zero = 0, got = -1;
    size_t n = 1;
    char c;

    EXPECT_EQ(stoa_send_fds(p.near, "x", 1, &zero, 1), 1);
    EXPECT_EQ(stoa_recv_fds(p.far, &c, 1, &got, &n), 1);
    EXPECT_EQ(n, 1);
    EXPECT_EQ(close(got), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(descriptors_go_with_datagrams_too)

/* recvmsg(2) alone does not set it: six ways to get a descriptor, none forgotten. */
TEST(recvmsg_closes_descriptors_on_exec)
{
    struct pair p = pair_of(UNIX_STREAM);
    int zero = 0, got = -1;
    char c, control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};

    EXPECT_EQ(stoa_send_fds(p.near, "x", 1, &zero, 1), 1);
    EXPECT_EQ(stoa_recvmsg(p.far, &m, 0), 1);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    EXPECT(h && h->cmsg_type == SCM_RIGHTS);
    if (h)
        memcpy(&got, CMSG_DATA(h), sizeof(got));
    EXPECT_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(close(got), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(recvmsg_closes_descriptors_on_exec)
