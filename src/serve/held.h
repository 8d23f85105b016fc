/* held.h - who holds a worker, in words.  Does not look for it: backend/watch.h does. */
#ifndef STOA_SERVE_HELD_H
#define STOA_SERVE_HELD_H

#include "serve/worker.h"

/* Watch sv's workers, if its options ask for it.  0; negative errno. */
int held_begin(struct server *sv);
void held_end(struct server *sv);

/* On the worker's thread, once its loop stands, and before that ends. */
void held_watch(struct worker *w);
void held_unwatch(struct worker *w);

#endif
