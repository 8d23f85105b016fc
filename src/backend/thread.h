/* thread.h - threads of the library's own, and what they wait on.  Knows nothing of their work. */
#ifndef STOA_BACKEND_THREAD_H
#define STOA_BACKEND_THREAD_H

#include <pthread.h>
#include <time.h>

/* Start a thread for run(arg) that nobody joins, with all signals blocked: they are the
 * program's.  0, negative errno. */
int thread_start(void *(*run)(void *arg), void *arg);

/* One for pthread_join(). */
int thread_start_joined(pthread_t *t, void *(*run)(void *arg), void *arg);

/* Make a condition whose times are the monotonic clock's. */
void thread_cond_init(pthread_cond_t *c);

/* That clock's time so many seconds from now. */
struct timespec thread_time_in(time_t seconds);

#endif
