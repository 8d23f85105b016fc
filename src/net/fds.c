/* fds.c - descriptors that travel over UNIX sockets.
 *
 * What holds: a descriptor is never lost.  Those that came beyond the caller's room are
 * closed, also the ones the kernel cut off (it closes those itself, MSG_CTRUNC), and
 * the call says so.  Source: unix(7), SCM_RIGHTS; cmsg(3).
 */
#include "backend/life.h"
#include "net/error.h"
#include "net/sock.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * STOA_FDS_MAX)];
};

static bool is_handle(int fd_or_handle)
{
    return fd_or_handle >= (1 << SLOT_BITS);
}

/* A descriptor as it is; of a handle, which is shared from now on, a copy: the send may
 * wait, and the handle be closed meanwhile. */
static int descriptor_of(int fd_or_handle)
{
    struct stoa_sock *so;
    int fd;

    if (!is_handle(fd_or_handle))
        return fd_or_handle < 0 ? -EBADF : fd_or_handle;
    so = sock_enter(fd_or_handle);
    if (!so)
        return -EBADF;
    atomic_store(&so->b.shared, true);
    fd = backend_dup(life_fd(&so->b));
    sock_leave(so);
    return fd;
}

static void close_copies(const int *from, const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_handle(from[i]))
            backend_drop(fds[i]);
}

static ssize_t send_fds(int s, const void *buf, size_t len, const int *fds, size_t n)
{
    union control c;
    struct iovec v = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c.bytes};
    struct op op = {.kind = OP_SENDMSG, .buf = &m};

    if (len == 0 || len > SSIZE_MAX || n == 0 || n > STOA_FDS_MAX)
        return -EINVAL;
    int r = sock_check(s, AF_UNIX, 0);

    if (r < 0)
        return r;
    memset(&c, 0, sizeof(c));
    m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int) * n);
    int copies[STOA_FDS_MAX];
    ssize_t sent = 0;
    size_t i;

    for (i = 0; i < n && sent == 0; i++) {
        copies[i] = descriptor_of(fds[i]);
        sent = copies[i] < 0 ? copies[i] : 0;
    }
    memcpy(CMSG_DATA(h), copies, sizeof(copies[0]) * n);
    if (sent == 0)
        sent = sock_run(s, &op);
    else
        i--;
    close_copies(fds, copies, i);
    return sent;
}

ssize_t stoa_send_fds(int s, const void *buf, size_t len, const int *fds, size_t n)
{
    return error_out(VERB_SEND_FDS, s, send_fds(s, buf, len, fds, n));
}

/* Those that fit go to fds, the others are closed.  How many came. */
static size_t take(struct msghdr *m, int *fds, size_t room)
{
    size_t came = 0;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            if (came < room)
                fds[came] = fd;
            else
                backend_drop(fd);
            came++;
        }
    }
    return came;
}

ssize_t stoa_recv_fds(int s, void *buf, size_t len, int *fds, size_t *n)
{
    union control c;
    struct iovec v = {.iov_base = buf, .iov_len = len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    struct op op = {.kind = OP_RECVMSG, .buf = &m};
    size_t room = *n, came;
    ssize_t r;

    if (len > SSIZE_MAX || room == 0 || room > STOA_FDS_MAX)
        return error_out(VERB_RECV_FDS, s, -EINVAL);
    m.msg_control = c.bytes;
    m.msg_controllen = sizeof(c.bytes);
    r = sock_run(s, &op);
    if (r == 0)
        r = sock_kept_error(s);
    *n = 0;
    if (r < 0)
        return error_out(VERB_RECV_FDS, s, r);
    came = take(&m, fds, room);
    if (came > room || (m.msg_flags & MSG_CTRUNC)) {
        for (size_t i = 0; i < came && i < room; i++)
            backend_drop(fds[i]);
        return error_out_done(VERB_RECV_FDS, s, -EMSGSIZE, (size_t)r);
    }
    *n = came;
    return r;
}
