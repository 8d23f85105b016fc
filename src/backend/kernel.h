/* kernel.h - the kernel's calls that never wait, for all backends on real sockets.
 *
 * Knows nothing of fibers and loops: an attempt either gives a result or -EAGAIN.
 */
#ifndef STOA_BACKEND_KERNEL_H
#define STOA_BACKEND_KERNEL_H

#include "backend/life.h"
#include "fiber/sanitize.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A UNIX listener's or receiver's queue is full: the kernel says EAGAIN, and poll(2) on our
 * own socket cannot tell when it is not.  The facade tries again after a pause. */
#define KERNEL_UNIX_FULL (-EXFULL)

/* kernel_try() for all but plain recv(2) and send(2). */
ssize_t kernel_try_rest(struct op *op);

/* recv(2) and send(2), which a message is made of, are cancellation points: with more than one
 * thread the C library's cost two atomic instructions each.  We never wait in them.
 * Sanitizers know the C library's. */
#if defined(SANITIZE_ADDRESS) || defined(SANITIZE_THREAD)
#define KERNEL_RECV(fd, buf, len, flags) recv(fd, buf, len, flags)
#define KERNEL_SEND(fd, buf, len, flags) send(fd, buf, len, flags)
#else
#define KERNEL_RECV(fd, buf, len, flags) syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL)
#define KERNEL_SEND(fd, buf, len, flags) syscall(SYS_sendto, fd, buf, len, flags, NULL, 0)
#endif

/* Attempt op once.  A result, -EAGAIN when it would have to wait, or a negative errno. */
static inline ssize_t kernel_try(struct op *op)
{
    int fd = life_fd(op->sock), flags = op->flags | MSG_DONTWAIT;
    ssize_t r;

    if (op->kind > OP_SEND || op->sa)
        return kernel_try_rest(op);
    do {
        if (op->kind == OP_RECV)
            r = KERNEL_RECV(fd, op->buf, op->len, flags);
        else
            r = KERNEL_SEND(fd, op->buf, op->len, flags | MSG_NOSIGNAL);
    } while (unlikely(r < 0 && errno == EINTR));
    return likely(r >= 0) ? r : -errno;
}

int kernel_socket(int family, int type, int proto);
int kernel_socketpair(int family, int type, int proto, int pair[2]);
int kernel_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len);
int kernel_listen(struct backend_sock *s, int backlog);
int kernel_shutdown(struct backend_sock *s, int how);
int kernel_name(struct backend_sock *s, bool peer, struct sockaddr *sa, socklen_t *len);
int kernel_getopt(struct backend_sock *s, int level, int option, void *v, socklen_t *len);
int kernel_setopt(struct backend_sock *s, int level, int option, const void *v, socklen_t len);
uint64_t kernel_now(void);

/* What backends on real sockets have in common of struct backend_ops. */
#define KERNEL_CALLS                                                                               \
    .socket = kernel_socket, .socketpair = kernel_socketpair, .bind = kernel_bind,                 \
    .listen = kernel_listen, .shutdown = kernel_shutdown, .name_of = kernel_name,                  \
    .getopt = kernel_getopt, .setopt = kernel_setopt, .close = life_close, .now = kernel_now

/* In a child of fork, which has one thread: nobody is in a call. */
void kernel_in_child(void);

#endif
