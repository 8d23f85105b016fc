/* stream.h - reading and writing simulated streams, and what poll(2) says of any socket. */
#ifndef STOA_SIM_STREAM_H
#define STOA_SIM_STREAM_H

#include "sim/file.h"

ssize_t stream_recv(struct file *f, struct msghdr *m, int flags);
ssize_t stream_send(struct file *f, const struct msghdr *m, int flags);

/* From a real file. */
ssize_t stream_sendfile(struct file *f, int file, off_t *off, size_t len);

/* The first in f's queue whose handshake is complete; NULL. */
struct file *stream_first_child(struct file *f);

/* What is true now, of poll(2)'s events. */
int stream_ready(struct file *f);

#endif
