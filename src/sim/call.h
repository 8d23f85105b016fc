/* call.h - the simulated kernel's calls: each is one attempt, which never waits. */
#ifndef STOA_SIM_CALL_H
#define STOA_SIM_CALL_H

#include "sim/file.h"

/* Attempt op on d's file: a result, -EAGAIN when it would have to wait, or a negative errno. */
ssize_t call_try(struct desc *d, struct op *op);

int call_socket(int family, int type, int proto);
int call_socketpair(int family, int type, int proto, int pair[2]);
int call_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len);
int call_listen(struct backend_sock *s, int backlog);
int call_shutdown(struct backend_sock *s, int how);
int call_name(struct backend_sock *s, bool peer, struct sockaddr *sa, socklen_t *len);
int call_getopt(struct backend_sock *s, int level, int option, void *v, socklen_t *len);
int call_setopt(struct backend_sock *s, int level, int option, const void *v, socklen_t len);

#endif
