/* dgram.h - messages: UDP, UNIX datagrams, and SOCK_SEQPACKET.  Each comes whole or not at all. */
#ifndef STOA_SIM_DGRAM_H
#define STOA_SIM_DGRAM_H

#include "sim/file.h"

/* Send: the bytes, or -EAGAIN when there is no room, or why not. */
ssize_t dgram_send(struct file *f, const struct msghdr *m, int flags);

/* Receive: the bytes; m->msg_flags and the address are set.  -EAGAIN: there is none. */
ssize_t dgram_recv(struct file *f, struct msghdr *m, int flags);

/* connect(2) of UDP. */
int dgram_connect(struct file *f, const struct end *to);

/* Would a datagram to the peer be taken? */
bool dgram_has_room(const struct file *f);

/* f is no more: its messages, and those on their way to it. */
void dgram_drop_all(struct file *f);

#endif
