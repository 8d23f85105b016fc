/* group.h - fibers that end together, for run.c and serve.c.  It knows nothing of sockets. */
#ifndef STOA_SERVE_GROUP_H
#define STOA_SERVE_GROUP_H

#include "backend/loop.h"

#include <stoa.h>

struct stoa_group {
    struct list fibers; /* by local.in_group */
    struct loop *loop;
    size_t nfiber;
    bool cancelled;
    struct op *joiner; /* what stoa_group_join() waits on */
    struct note first; /* the first error of a fiber; code 0 = none */
};

/* Start a fiber on this thread's loop: 0; -ENOMEM, -ECANCELED, -EINVAL: no loop here.
 * context is for who starts it: entry finds it in fiber_self()->local. */
int group_go(struct stoa_group *g, int (*entry)(void *arg), void *arg, void *context);

/* Cancel a fiber of this thread: for good, and what it waits for now. */
void group_cancel_fiber(struct fiber *f);

#endif
