/* running.h - the servers that run in this process, to be told to let go of their listeners. */
#ifndef STOA_SERVE_RUNNING_H
#define STOA_SERVE_RUNNING_H

#include "serve/worker.h"

/* From now on, and no longer, sv is told. */
void running_add(struct server *sv);
void running_remove(struct server *sv);

/* All let go, and so does each that begins later: another process is in our place. */
void running_end(void);

#endif
