/* thread.c - threads that the process does not see: deaf to signals, mostly detached. */
#include "backend/thread.h"

#include <signal.h>

int thread_start_joined(pthread_t *t, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(t, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

int thread_start(void *(*run)(void *arg), void *arg)
{
    pthread_t t;
    int r = thread_start_joined(&t, run, arg);

    if (r == 0)
        pthread_detach(t);
    return r;
}

void thread_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

struct timespec thread_time_in(time_t seconds)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += seconds;
    return t;
}
