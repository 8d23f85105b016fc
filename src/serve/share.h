/* share.h - one port, a listener for each worker: SO_REUSEPORT.  docs/why/0004. */
#ifndef STOA_SERVE_SHARE_H
#define STOA_SERVE_SHARE_H

#include "net/sock.h"

/* May others have it who use it beside us?  Not those to whom or from whom it was handed over, when
 * they have let go. */
bool share_is_shared(const struct stoa_sock *so);

/* May other listeners of ours join this one?  If so, they can from now on. */
bool share_possible(struct stoa_sock *so);

/* One more listener for first's port, with its backlog.  Its handle; negative errno. */
int share_listener(int first);

#endif
