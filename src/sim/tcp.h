/* tcp.h - simulated TCP: connections begin, end, and break.  Bytes are flow.h's. */
#ifndef STOA_SIM_TCP_H
#define STOA_SIM_TCP_H

#include "sim/file.h"

/* connect(2), which here never waits: 0; -EINPROGRESS, -EALREADY, or how it failed. */
int tcp_connect(struct file *f, const struct end *to);

int tcp_listen(struct file *f, int backlog);

/* f listens no more: whoever waits to be accepted, or is on the way, is reset. */
void tcp_stop_listening(struct file *f);

/* shutdown(2) of a connected socket. */
void tcp_shutdown(struct file *f, int how);

/* connect(2) with AF_UNSPEC. */
void tcp_disconnect(struct file *f);

/* The last descriptor has gone: f is freed when TCP has done its part. */
void tcp_close(struct file *f, bool politely);

/* Bytes have come to p's reader; end: the last ones. */
void tcp_arrived(struct pipe *p, bool end);

/* What f sent has been acknowledged, or its end: see whether the connection is over. */
void tcp_settle(struct file *f);

/* A reset has come to p's reader. */
void tcp_reset_arrived(struct pipe *p);

/* Something between the two has reset the connection. */
void tcp_break(struct pipe *p);

/* p's reader could not be reached for too long. */
void tcp_timed_out(struct pipe *p);

#endif
