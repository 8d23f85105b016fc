/* visit.h - one client's stay at `stoa serve`: what its handler counts and the log tells. */
#ifndef STOA_CLI_VISIT_H
#define STOA_CLI_VISIT_H

#include <stdbool.h>
#include <stdint.h>

struct visit {
    const char *command; /* exec's; the same for all */
    double timeout;      /* exec's: seconds for the command; 0 = none */
    uint64_t id;         /* 1, 2, ... in the order of coming; 0: nobody keeps a log */
    uint64_t came_ns;
    uint64_t in; /* bytes, written by the handler */
    uint64_t out;
    bool uncounted; /* exec on a UNIX socket: nobody knows in and out */
    bool ran;       /* exec: status is valid */
    int status;     /* as waitpid(2) */
};

#endif
