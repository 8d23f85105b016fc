/* spot.h - what another thread does in this moment, and where.  Knows nothing of fibers. */
#ifndef STOA_BACKEND_SPOT_H
#define STOA_BACKEND_SPOT_H

#include "base/limits.h"
#include "base/text.h"

#include <stdint.h>
#include <sys/types.h>

enum doing {
    DOING_UNKNOWN,  /* /proc does not tell: not mounted, or no descriptor for it */
    DOING_COMPUTES, /* it runs, or waits for a processor */
    DOING_CALL,     /* it waits in a system call */
    DOING_MEMORY,   /* it waits for a page of memory */
};

struct spot {
    enum doing doing;
    long call; /* DOING_CALL: its number */
    uintptr_t sp, at;
    uintptr_t pc[SPOT_FRAMES]; /* return addresses, the innermost first */
    size_t npc;
};

/* What thread tid of this process does. */
void spot_look(struct spot *s, pid_t tid);

/* And by which calls it came there; its stack is from low to high.  False: it has gone on
 * meanwhile, or cannot be asked. */
bool spot_trace(struct spot *s, pid_t tid, uintptr_t low, uintptr_t high);

/* "computing at f+0x12 < g+0x3": as the middle of a sentence. */
void spot_add(struct text *t, const struct spot *s);

#endif
