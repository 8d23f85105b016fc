/* epoll.h - what guests need of the epoll backend; the rest goes by epoll_ops. */
#ifndef STOA_BACKEND_EPOLL_H
#define STOA_BACKEND_EPOLL_H

#include "backend/backend.h"

/* See that the edges of s, whose life must be want, are told to its home, which wakes
 * guests.  On a loop's thread.
 * 0; -ENOMEM, -ENOSPC as epoll_ctl(2); -ECANCELED: s is being closed. */
int epoll_arm_for_guest(struct backend_sock *s, uint32_t want);

#endif
