/* signals.c - one thread that waits for signals.
 *
 * A handler may call next to nothing, and interrupts whatever runs.  So the signals are
 * blocked in every thread, and one thread takes them by sigwait(3) and calls plain code.
 *
 * What holds: a signal that was ignored when the program started stays so (nohup(1), and
 * background commands of sh): a blocked one would be kept, and taken, by sigwait.
 * Children get an empty mask from posix_spawn: see exec.c.
 */
#include "cli/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

static sigset_t waited;
static void (*taken_by)(int sig);

static void *wait_for_signals(void *arg)
{
    (void)arg;
    for (;;) {
        int sig = 0;
        if (sigwait(&waited, &sig) == 0)
            taken_by(sig);
    }
    return NULL;
}

void signals_block(const int *sigs, sigset_t *blocked)
{
    sigemptyset(blocked);
    for (; *sigs; sigs++) {
        struct sigaction now;
        sigaction(*sigs, NULL, &now);
        if (now.sa_handler != SIG_IGN)
            sigaddset(blocked, *sigs);
    }
    pthread_sigmask(SIG_BLOCK, blocked, NULL);
}

int signals_take(const int *sigs, void (*taken)(int sig))
{
    pthread_t thread;

    taken_by = taken;
    signals_block(sigs, &waited);
    errno = pthread_create(&thread, NULL, wait_for_signals, NULL);
    if (errno)
        return -1;
    pthread_detach(thread);
    return 0;
}
