/* handle.c - what is not a handle, or not any more, never reaches a connection.
 *
 * The dangers: a raw descriptor passed to stoa, a handle passed to read(2), a handle
 * kept after its end while the slot or the descriptor belongs to someone else.  Every
 * call that takes a handle is in the table and must say EBADF, with a sentence.
 */
#include "backends.h"

#include <math.h>
#include <netinet/in.h>

static char byte[16];
static struct stoa_addr any;

static long c_fileno(int s)
{
    return stoa_fileno(s);
}
static long c_detach(int s)
{
    return stoa_detach(s);
}
static long c_dup(int s)
{
    return stoa_dup(s);
}
static long c_close(int s)
{
    return stoa_close(s);
}
static long c_abort(int s)
{
    return stoa_abort(s);
}
static long c_shutdown(int s)
{
    return stoa_shutdown(s, SHUT_WR);
}
static long c_bind(int s)
{
    return stoa_bind(s, "127.0.0.1:0");
}
static long c_bind_sa(int s)
{
    return stoa_bind_sa(s, (struct sockaddr *)&any.sa, 16);
}
static long c_listen(int s)
{
    return stoa_listen(s, 1);
}
static long c_accept(int s)
{
    return stoa_accept(s, NULL);
}
static long c_connect(int s)
{
    return stoa_connect(s, "127.0.0.1:1");
}
static long c_connect_sa(int s)
{
    return stoa_connect_sa(s, (struct sockaddr *)&any.sa, 16);
}
static long c_recv(int s)
{
    return stoa_recv(s, byte, 1, 0);
}
static long c_recv0(int s)
{
    return stoa_recv(s, byte, 0, 0);
}
static long c_recvall(int s)
{
    return stoa_recvall(s, byte, 1);
}
static long c_send(int s)
{
    return stoa_send(s, byte, 1, 0);
}
static long c_sendall(int s)
{
    return stoa_sendall(s, byte, 1, 0);
}
static long c_sendall0(int s)
{
    return stoa_sendall(s, byte, 0, 0);
}
static long c_sendfile(int s)
{
    return stoa_sendfile(s, 0, NULL, 1);
}
static long c_recvfrom(int s)
{
    return stoa_recvfrom(s, byte, 1, 0, NULL);
}
static long c_sendto(int s)
{
    return stoa_sendto(s, byte, 1, 0, NULL);
}
static long c_recvmsg(int s)
{
    return stoa_recvmsg(s, &(struct msghdr){.msg_iovlen = 0}, 0);
}
static long c_sendmsg(int s)
{
    return stoa_sendmsg(s, &(struct msghdr){.msg_iovlen = 0}, 0);
}
static long c_send_fds(int s)
{
    return stoa_send_fds(s, byte, 1, (int[]){0}, 1);
}
static long c_recv_fds(int s)
{
    return stoa_recv_fds(s, byte, 1, (int[]){0}, (size_t[]){1});
}
static long c_getpeername(int s)
{
    return stoa_getpeername(s, &any);
}
static long c_getsockname(int s)
{
    return stoa_getsockname(s, &any);
}
static long c_settimeout(int s)
{
    return stoa_settimeout(s, 1);
}
static long c_setblocking(int s)
{
    return stoa_setblocking(s, true);
}
static long c_poll(int s)
{
    return stoa_poll(s, POLLIN);
}

static long c_getsockopt(int s)
{
    return stoa_getsockopt(s, SOL_SOCKET, SO_TYPE, byte, (socklen_t[]){4});
}

static long c_setsockopt(int s)
{
    return stoa_setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, (int[]){1}, sizeof(int));
}

/* errno and -1, as all others have it. */
static long c_connect_ex(int s)
{
    errno = stoa_connect_ex(s, "127.0.0.1:1");
    return errno ? -1 : 0;
}

static long c_gettimeout(int s)
{
    return isnan(stoa_gettimeout(s)) ? -1 : 0;
}

static long c_makefile(int s)
{
    return stoa_makefile(s, "r") ? 0 : -1;
}

static const struct {
    const char *name;
    long (*call)(int s);
} calls[] = {
    {"fileno", c_fileno},
    {"detach", c_detach},
    {"dup", c_dup},
    {"shutdown", c_shutdown},
    {"bind", c_bind},
    {"bind", c_bind_sa},
    {"listen", c_listen},
    {"accept", c_accept},
    {"connect", c_connect},
    {"connect", c_connect_sa},
    {"recv", c_recv},
    {"recv", c_recv0},
    {"recvall", c_recvall},
    {"send", c_send},
    {"sendall", c_sendall},
    {"sendall", c_sendall0},
    {"sendfile", c_sendfile},
    {"recvfrom", c_recvfrom},
    {"sendto", c_sendto},
    {"recvmsg", c_recvmsg},
    {"sendmsg", c_sendmsg},
    {"send_fds", c_send_fds},
    {"recv_fds", c_recv_fds},
    {"getpeername", c_getpeername},
    {"getsockname", c_getsockname},
    {"settimeout", c_settimeout},
    {"setblocking", c_setblocking},
    {"poll", c_poll},
    {"getsockopt", c_getsockopt},
    {"setsockopt", c_setsockopt},
    {"connect", c_connect_ex},
    {"gettimeout", c_gettimeout},
    {"makefile", c_makefile},
    {"close", c_close},
    {"abort", c_abort},
};

static void nothing_works(int s, const char *what)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        errno = 0;
        long rc = calls[i].call(s);
        if (rc != -1 || errno != EBADF)
            t_fail(__FILE__, __LINE__, "%s of %s: %ld, errno %d", calls[i].name, what, rc, errno);
        if (!said(calls[i].name) || strlen(stoa_errmsg()) < strlen(calls[i].name) + 8)
            t_fail(__FILE__, __LINE__, "%s of %s says \"%s\"", calls[i].name, what, stoa_errmsg());
    }
}

TEST(a_raw_descriptor_is_not_a_handle)
{
    int fds[2];

    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    nothing_works(fds[0], "a raw descriptor");
    stoa_send(fds[0], "x", 1, 0);
    EXPECT_SAID("descriptor");
    EXPECT_EQ(write(fds[0], "x", 1), 1);
    EXPECT_EQ(close(fds[0]), 0);
    EXPECT_EQ(close(fds[1]), 0);
}
ON_EVERY_BACKEND(a_raw_descriptor_is_not_a_handle)

TEST(numbers_out_of_range_are_no_handles)
{
    nothing_works(-1, "-1");
    nothing_works(-2147483647 - 1, "INT_MIN");
    nothing_works(2147483647, "INT_MAX");
    nothing_works(1 << 23, "2^23");
    nothing_works((1 << 23) + 5000000, "a slot never used");
}
ON_EVERY_BACKEND(numbers_out_of_range_are_no_handles)

TEST(a_closed_handle_is_dead)
{
    struct pair p = pair_make();
    int s = p.near;

    EXPECT_OK(stoa_close(s));
    nothing_works(s, "a closed handle");
    stoa_send(s, "x", 1, 0);
    EXPECT_SAID("closed");
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_BACKEND(a_closed_handle_is_dead)

TEST(an_aborted_handle_is_dead)
{
    struct pair p = pair_make();

    EXPECT_OK(stoa_abort(p.near));
    nothing_works(p.near, "an aborted handle");
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_BACKEND(an_aborted_handle_is_dead)

/* read(2) and its kin say EBADF, for no descriptor is so large. */
TEST(a_handle_is_no_descriptor)
{
    struct pair p = pair_make();
    struct pollfd pollfd = {.fd = p.near, .events = POLLIN};

    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_ERR(read(p.near, byte, 1), EBADF);
    EXPECT_ERR(write(p.near, byte, 1), EBADF);
    EXPECT_ERR(recv(p.near, byte, 1, 0), EBADF);
    EXPECT_ERR(close(p.near), EBADF);
    EXPECT_EQ(poll(&pollfd, 1, 0), 1);
    EXPECT_EQ(pollfd.revents, POLLNVAL);
    EXPECT_EQ(stoa_recv(p.near, byte, 1, 0), 1);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_handle_is_no_descriptor)

/* 100,000 sockets later, the old handle has still not come alive again. */
TEST(a_stale_handle_stays_dead_whatever_is_opened_since)
{
    struct pair p = pair_make();
    int stale = p.near, again = 0;

    EXPECT_OK(stoa_close(p.near));
    p.near = -1;
    for (int i = 0; i < 100000; i++) {
        int s = stoa_socket(AF_UNIX, SOCK_DGRAM, 0);
        again += s == stale;
        if (i % 1000 == 0)
            EXPECT_ERR(stoa_send(stale, "x", 1, 0), EBADF);
        stoa_close(s);
    }
    EXPECT_EQ(again, 0);
    nothing_works(stale, "a stale handle");
    pair_close(&p);
}
ON_EVERY_BACKEND(a_stale_handle_stays_dead_whatever_is_opened_since)

/* The descriptor number is reused at once by the kernel: the handle must not follow. */
TEST(a_stale_handle_does_not_reach_who_has_its_descriptor_now)
{
    struct pair old = pair_make();
    int stale = old.near, fd = stoa_fileno(old.near);

    EXPECT_OK(stoa_close(old.near));
    old.near = -1;
    struct pair fresh = pair_make();
    EXPECT(stoa_fileno(fresh.near) == fd || stoa_fileno(fresh.far) == fd);
    EXPECT_ERR(stoa_sendall(stale, "poison", 6, 0), EBADF);
    EXPECT_ERR(stoa_recv(fresh.near, byte, 1, MSG_DONTWAIT), EAGAIN);
    EXPECT_ERR(stoa_recv(fresh.far, byte, 1, MSG_DONTWAIT), EAGAIN);
    pair_close(&fresh);
    pair_close(&old);
}
ON_EVERY_BACKEND(a_stale_handle_does_not_reach_who_has_its_descriptor_now)

TEST(handles_are_above_every_descriptor)
{
    int handles[300];

    for (int i = 0; i < 300; i++) {
        handles[i] = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
        EXPECT_GE(handles[i], 8000000);
        for (int j = 0; j < i; j++)
            if (handles[j] == handles[i])
                t_fail(__FILE__, __LINE__, "%d was given out twice", handles[i]);
    }
    for (int i = 0; i < 300; i++)
        EXPECT_OK(stoa_close(handles[i]));
}
ON_EVERY_BACKEND(handles_are_above_every_descriptor)
