/* status.h - the servers of this process, for stoa_status(). */
#ifndef STOA_SERVE_STATUS_H
#define STOA_SERVE_STATUS_H

#include "serve/worker.h"

/* A server begins, and ends: then nobody looks at it any more. */
void status_enter(struct server *sv);
void status_leave(struct server *sv);

#endif
