/* process.h - what processes have: descriptors, limits, processor time, their sockets' options. */
#ifndef STOA_DIAG_PROCESS_H
#define STOA_DIAG_PROCESS_H

#include "diag/owner.h"

struct diag_process {
    struct diag_owner who;
    uint64_t nfd;
    uint64_t soft; /* its limits of them; 0: not known */
    uint64_t hard;
    uint64_t cpu_ms; /* processor time */
};

/* All of one process; false: there is none of that number. */
bool process_look(struct diag_process *p, int pid);

/* Those that have used at least a part of their descriptors, worst first: at most n of them.
 * How many; *closed counts those that did not let us look. */
size_t process_crowded(struct diag_process *list, size_t n, unsigned percent, size_t *closed);

/* TCP_NODELAY of another process's socket: 0, 1; -1: it may not be looked at. */
int process_nodelay(int pid, uint32_t inode);

#endif
