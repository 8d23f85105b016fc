/* kernel.h - the kernel's calls that never wait, for all backends on real sockets.
 *
 * Knows nothing of fibers and loops: an attempt either gives a result or -EAGAIN.
 */
#ifndef STOA_BACKEND_KERNEL_H
#define STOA_BACKEND_KERNEL_H

#include "backend/backend.h"

/* A UNIX listener's or receiver's queue is full: the kernel says EAGAIN, and poll(2) on our
 * own socket cannot tell when it is not.  The facade tries again after a pause. */
#define KERNEL_UNIX_FULL (-EXFULL)

/* Attempt op once.  A result, -EAGAIN when it would have to wait, or a negative errno. */
ssize_t kernel_try(struct op *op);

int kernel_socket(int family, int type, int proto);
int kernel_socketpair(int family, int type, int proto, int pair[2]);
int kernel_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len);
int kernel_listen(struct backend_sock *s, int backlog);
int kernel_shutdown(struct backend_sock *s, int how);
int kernel_name(struct backend_sock *s, bool peer, struct sockaddr *sa, socklen_t *len);
int kernel_getopt(struct backend_sock *s, int level, int option, void *v, socklen_t *len);
int kernel_setopt(struct backend_sock *s, int level, int option, const void *v, socklen_t len);
uint64_t kernel_now(void);

#endif
