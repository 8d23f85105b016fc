/* path.h - binding a UNIX path that a dead server has left behind.  Knows no handles. */
#ifndef STOA_NET_PATH_H
#define STOA_NET_PATH_H

#include "backend/backend.h"

/* Bind (and with backlog >= 0 listen): a stale socket file is replaced, a live one's not.
 *
 *   sa    an address of AF_UNIX with a path
 *   mode  of the new file; 0 = as the process's umask has it
 *
 * 0; -EADDRINUSE: a living program has it; -ENOTSOCK: it is something else; as bind(2),
 * listen(2). */
int path_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len, unsigned mode,
              int backlog);

#endif
