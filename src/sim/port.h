/* port.h - ports and addresses of simulated hosts: who has them, and who may. */
#ifndef STOA_SIM_PORT_H
#define STOA_SIM_PORT_H

#include "sim/file.h"

/* From and to the kernel's structs.  0; -EINVAL, -EAFNOSUPPORT. */
int port_from_sockaddr(const struct file *f, const struct sockaddr *sa, socklen_t len,
                       struct end *to);
void port_to_sockaddr(int family, const struct end *e, struct sockaddr *sa, socklen_t *len);

bool port_is_any(const struct in6_addr *a);

/* bind(2): 0; -EINVAL, -EADDRINUSE, -EADDRNOTAVAIL. */
int port_bind(struct file *f, const struct end *at);

/* A free port for f, which has none; `to` is whom it will be connected to, if not NULL. */
int port_choose(struct file *f, const struct end *to);

/* f's port is taken by a connection, too. */
void port_inherit(struct file *child, const struct file *listener);

/* f has no port any more. */
void port_release(struct file *f);

/* f's connection is over; its addresses are taken for a while. */
void port_time_wait(struct file *f);

/* May f listen where it is bound?  0; -EADDRINUSE. */
int port_may_listen(const struct file *f);

/* Who listens there; with several (SO_REUSEPORT) one by chance. */
struct file *port_listener(struct world *w, struct host *h, const struct end *to);

/* The socket that a datagram is for. */
struct file *port_receiver(struct world *w, struct host *h, const struct end *from,
                           const struct end *to);

/* The address that f's host shows to `to`; -ENETUNREACH. */
int port_source(struct file *f, const struct end *to, struct in6_addr *own);

/* Is another connection of these two ends there already? */
bool port_pair_taken(const struct file *f, const struct end *own, const struct end *peer);

void port_free_all(struct world *w);

#endif
