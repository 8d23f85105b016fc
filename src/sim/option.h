/* option.h - getsockopt(2) and setsockopt(2) of simulated sockets. */
#ifndef STOA_SIM_OPTION_H
#define STOA_SIM_OPTION_H

#include "sim/file.h"

/* 0; -ENOPROTOOPT, -EINVAL, -EOPNOTSUPP. */
int option_get(struct file *f, int level, int option, void *v, socklen_t *len);
int option_set(struct file *f, int level, int option, const void *v, socklen_t len);

#endif
