/* successor.h - a program that is started to take over listeners: its start, its word, its end.
 *
 * It knows nothing of servers, and lets go of nothing.
 */
#ifndef STOA_SERVE_SUCCESSOR_H
#define STOA_SERVE_SUCCESSOR_H

#include "base/text.h"

#include <stdint.h>
#include <sys/types.h>

struct successor {
    pid_t pid;
    int told;   /* our end of the socket on which it tells that it listens */
    int status; /* how it ended, as waitpid(2) has it; -1: others know that */
};

/* A listener that it gets. */
struct bequest {
    int fd;
    int was; /* the descriptor that fd is a copy of */
    const char *name;
};

/* Start it with n listeners.  0; negative errno: the file cannot be run, or there is no memory. */
int successor_start(struct successor *s, char *const argv[], const struct bequest *list, int n);

/* Wait for its word, for so long, or until the process is to stop.  0; -ETIME, -ECANCELED, -ECHILD:
 * it has ended, or does not want the listeners. */
int successor_await(struct successor *s, uint64_t ns);

/* Ask it to end. */
void successor_stop(struct successor *s);

/* Have it end, and wait for that. */
void successor_end(struct successor *s);

/* In words: how it ended. */
void successor_status(const struct successor *s, struct text *t);

#endif
