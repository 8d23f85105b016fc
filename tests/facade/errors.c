/* errors.c - errors that stoa.h lists of a call and that the call's own file does not meet.
 */
#include "backends.h"
#include "unit/watched.h"

#include <limits.h>
#include <netinet/in.h>
#include <sys/resource.h>

TEST(a_stream_without_a_peer_has_one_error)
{
    EACH_STREAM (k) {
        int s = stoa_socket(kind_family(k), SOCK_STREAM, 0);
        struct iovec v = {.iov_base = (char[1]){0}, .iov_len = 1};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
        char c = 0;

        EXPECT_ERR(stoa_recv(s, &c, 1, 0), ENOTCONN);
        EXPECT_SAID("not connected");
        EXPECT_ERR(stoa_recvall(s, &c, 1), ENOTCONN);
        EXPECT_ERR(stoa_recvfrom(s, &c, 1, 0, NULL), ENOTCONN);
        EXPECT_ERR(stoa_recvmsg(s, &m, 0), ENOTCONN);
        errno = 0;
        EXPECT_EQ(stoa_send(s, &c, 1, 0), -1);
        EXPECT(errno == (k == UNIX_STREAM ? ENOTCONN : EPIPE));
        EXPECT_SAID("connected");
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(a_stream_without_a_peer_has_one_error)

TEST(send_without_room)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);

        /* TCP makes some room a little later: so not the first one must fail. */
        fill(p.near);
        EXPECT_ERR(send_until_it_fails(p.near, MSG_DONTWAIT), EAGAIN);
        stoa_settimeout(p.near, 0.02);
        double start = now();
        EXPECT_ERR(send_until_it_fails(p.near, 0), ETIME);
        EXPECT_GE(now() - start, 0.02);
        stoa_settimeout(p.near, 0);
        EXPECT_ERR(send_until_it_fails(p.near, 0), EAGAIN);
        EXPECT_OK(stoa_abort(p.near) | stoa_close(p.far));
    }
}
ON_EVERY_BACKEND(send_without_room)

TEST(each_way_to_send_after_a_shutdown_is_EPIPE)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct iovec v = {.iov_base = (char[1]){0}, .iov_len = 1};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_ERR(stoa_send(p.near, "x", 1, 0), EPIPE);
        EXPECT_ERR(stoa_sendall(p.near, "x", 1, 0), EPIPE);
        EXPECT_ERR(stoa_sendto(p.near, "x", 1, 0, NULL), EPIPE);
        EXPECT_ERR(stoa_sendmsg(p.near, &m, 0), EPIPE);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(each_way_to_send_after_a_shutdown_is_EPIPE)

TEST(sendfile_after_a_shutdown_is_EPIPE)
{
    NOT_SIMULATED("the file is the real kernel's");
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        FILE *file = tmpfile();
        off_t off = 0;

        EXPECT_GT(fprintf(file, "some bytes"), 0);
        EXPECT_EQ(fflush(file), 0);
        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_ERR(stoa_sendfile(p.near, fileno(file), &off, 0), EPIPE);
        EXPECT_EQ(off, 0);
        EXPECT_OK(stoa_fileno(p.near));
        EXPECT_ERR(stoa_sendfile(p.near, fileno(file), &off, 0), EPIPE);
        EXPECT_EQ(off, 0);
        EXPECT_EQ(fclose(file), 0);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(sendfile_after_a_shutdown_is_EPIPE)

TEST(a_call_says_what_is_invalid)
{
    NOT_SIMULATED("it has no urgent data");
    struct pair p = pair_make();
    int bad_type = 12, zero = 0, got[1];
    size_t n = 0;
    char c;

    EXPECT_ERR(stoa_recv(p.near, &c, (size_t)-1, 0), EINVAL);
    EXPECT_SAID("SSIZE_MAX");
    EXPECT_ERR(stoa_recvfrom(p.near, &c, (size_t)-1, 0, NULL), EINVAL);
    EXPECT_SAID("SSIZE_MAX");
    EXPECT_ERR(stoa_recvall(p.near, &c, (size_t)-1), EINVAL);
    EXPECT_SAID("SSIZE_MAX");
    EXPECT_ERR(stoa_send(p.near, &c, (size_t)-1, 0), EINVAL);
    EXPECT_SAID("SSIZE_MAX");
    EXPECT_ERR(stoa_sendall(p.near, &c, (size_t)-1, 0), EINVAL);
    EXPECT_SAID("SSIZE_MAX");
    EXPECT_ERR(stoa_sendto(p.near, &c, (size_t)-1, 0, NULL), EINVAL);
    EXPECT_SAID("SSIZE_MAX");
    EXPECT_ERR(stoa_recv(p.near, &c, 1, MSG_OOB), EINVAL); /* there is no urgent byte */
    EXPECT(!said("SSIZE_MAX"));
    EXPECT_ERR(stoa_socket(AF_INET, bad_type, 0), EINVAL);
    EXPECT_ERR(stoa_send_fds(p.near, "x", 1, &zero, 1), EOPNOTSUPP);
    EXPECT_ERR(stoa_recv_fds(p.near, &c, 1, got, &n), EINVAL);
    if (!watched()) /* Valgrind takes it for a mistake */
        EXPECT_ERR(stoa_getsockopt(p.near, SOL_SOCKET, SO_TYPE, (void *)8, &(socklen_t){4}),
                   EFAULT);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_call_says_what_is_invalid)

/* 255.255.255.255 is no host to connect to, on any machine. */
TEST(no_way_there)
{
    NOT_SIMULATED("it has its own routes");
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_connect(s, "255.255.255.255:1"), ENETUNREACH);
    EXPECT_SAID("no way to that network");
    EXPECT_ERR(stoa_dial("255.255.255.255:1", NULL), ENETUNREACH);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(no_way_there)

/* Ports below 1024, and folders of others, when one is nobody. */
TEST(what_is_not_allowed)
{
    NOT_SIMULATED("there is no other user");
    ALONE(what_is_not_allowed);
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0), port = 0;
    FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");

    if (!file || fscanf(file, "%d", &port) != 1 || port < 2 || seteuid(65534) != 0) {
        SKIP("ports are free for all here, or this is not root");
    } else {
        EXPECT_ERR(stoa_bind(s, "127.0.0.1:1"), EACCES);
        EXPECT_SAID("not allowed");
        EXPECT_ERR(stoa_announce("127.0.0.1:1", NULL), EACCES);
        EXPECT_ERR(stoa_announce("unix:/stoa-may-not-be-here", NULL), EACCES);
        EXPECT_SAID("not allowed");
        EXPECT_EQ(seteuid(0), 0);
    }
    if (file)
        fclose(file);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(what_is_not_allowed)

/* A run needs descriptors. */
static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

TEST(a_run_without_descriptors)
{
    ALONE(a_run_without_descriptors);
    struct rlimit limit = {40, 40};
    int fillers[64], n = 0;

    EXPECT_EQ(stoa_run(nothing, NULL, NULL), 7);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (n < 64 && (fillers[n] = dup(0)) >= 0)
        n++;
    EXPECT_LT(n, 64);
    EXPECT_ERR(stoa_run(nothing, NULL, NULL), EMFILE);
    EXPECT_SAID("no descriptor is left");
    EXPECT_ERR(stoa_serve("127.0.0.1:0", NULL, NULL, NULL), EMFILE);
    while (n-- > 0)
        close(fillers[n]);
    EXPECT_EQ(stoa_run(nothing, NULL, NULL), 7);
}
