/* running.h - the servers that run in this process, to be told to let go of their listeners. */
#ifndef STOA_SERVE_RUNNING_H
#define STOA_SERVE_RUNNING_H

#include "serve/worker.h"

/* From now on, and no longer, sv is told. */
void running_add(struct server *sv);
void running_remove(struct server *sv);

/* A server takes its listener over and adds others: nobody copies them in the middle of it. */
void running_arranges(void);
void running_arranged(void);

/* Have the listeners been copied for another process?  Then one that is added would be ours alone,
 * and its clients lost when we let go. */
bool running_is_copied(void);

/* Around the copying.  It waits for servers that arrange, so not on a fiber. */
void running_copy(void);
void running_copied(void);

/* The other process did not come to serve. */
void running_goes_on(void);

/* All let go, and so does each that begins later: another process is in our place. */
void running_end(void);

#endif
