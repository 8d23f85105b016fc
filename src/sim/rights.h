/* rights.h - descriptors in messages over simulated UNIX sockets (SCM_RIGHTS). */
#ifndef STOA_SIM_RIGHTS_H
#define STOA_SIM_RIGHTS_H

#include "sim/file.h"

/* Those of a message to be sent: *r, NULL when there are none.  0; -EBADF, -EINVAL. */
int rights_of(struct world *w, const struct msghdr *m, struct rights **r);

/* Into a message that is received, with so many bytes of room for control data; those beyond
 * it are dropped, as the kernel does.  r is used up. */
void rights_give(struct rights *r, struct msghdr *m, size_t room);

/* Nobody wants them; NULL is good. */
void rights_drop(struct rights *r);

#endif
