/* processes.h - one server as several processes, which are replaced when they crash.  Does not
 * know what they serve. */
#ifndef STOA_CLI_PROCESSES_H
#define STOA_CLI_PROCESSES_H

#include "cli/listener.h"

#include <signal.h>

enum { PROCESSES_MAX = 1024 };

struct plan {
    unsigned nprocess;
    const char *at;                     /* as it was given, for sentences */
    const struct stoa_options *options; /* of the listeners */
    double drain_seconds;
    sigset_t
        stops; /* signals that stop the server; blocked, and all of these processes have them so */

    /* In the i-th process: serve at the listener, a handle, until stoa_stop().  Its exit code. */
    int (*serve)(unsigned i, int listener, void *arg);
    /* In the first: all are started.  0, or an exit code: all are stopped. */
    int (*started)(void *arg);
    void *arg;
};

/* Serve at l by processes, from a process that has one thread and no log yet to tell of.  An exit
 * code, when all have ended; what went wrong has been said. */
int processes_run(const struct listener *l, const struct plan *plan);

#endif
