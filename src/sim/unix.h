/* unix.h - simulated UNIX sockets: names, and connections that need no packets. */
#ifndef STOA_SIM_UNIX_H
#define STOA_SIM_UNIX_H

#include "sim/file.h"

/* bind(2), connect(2), listen(2) and the rest, on AF_UNIX.  -EXFULL: the listener's queue is. */
int unix_bind(struct file *f, const struct sockaddr *sa, socklen_t len);
int unix_connect(struct file *f, const struct sockaddr *sa, socklen_t len);
int unix_listen(struct file *f, int backlog);
void unix_shutdown(struct file *f, int how);
void unix_close(struct file *f, bool politely);

/* Bytes have come to one that is closed politely: they are thrown away. */
void unix_heard(struct file *f);

/* Two that are connected to each other. */
void unix_pair(struct file *a, struct file *b);

/* A path is in use: take the name away when its socket has gone.  0; -EADDRINUSE. */
int unix_remove_stale(struct world *w, const struct sockaddr *sa, socklen_t len);

/* Who has a name: 0; -ENOENT, -ECONNREFUSED, -EPROTOTYPE, -EINVAL. */
int unix_find(struct file *f, const struct sockaddr *sa, socklen_t len, struct file **found);

/* The name of a node, or of nobody, as the kernel's struct. */
void unix_to_sockaddr(const struct node *n, struct sockaddr *sa, socklen_t *len);

void unix_free_all(struct world *w);

#endif
