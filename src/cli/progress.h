/* progress.h - how far a long transfer has come, on a terminal.  Moves no bytes. */
#ifndef STOA_CLI_PROGRESS_H
#define STOA_CLI_PROGRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct progress {
    atomic_uint_fast64_t in, out; /* bytes; written by those who move them */
    bool shown;                   /* a thread shows them */
    bool over;
    bool drawn;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
};

/* Show p's numbers on standard error from a second after now on, if that is a terminal and
 * standard output is none: data and progress would mix. */
void progress_start(struct progress *p);

/* No more; the line is taken away. */
void progress_stop(struct progress *p);

#endif
