/* fault.h - what can go wrong in a simulated world, and how often it does in this one.
 *
 * Swarm testing (Groce and others, ISSTA 2012): each run draws which faults it has at all,
 * and how often, so that what one fault hides another run shows.
 */
#ifndef STOA_SIM_FAULT_H
#define STOA_SIM_FAULT_H

#include "sim/random.h"

enum fault {
    FAULT_SHORT,       /* a receive or send moves less than it could, down to a byte */
    FAULT_LATE,        /* an operation that could complete at once does so later */
    FAULT_SPURIOUS,    /* a socket is told to be ready and is not */
    FAULT_SLOW,        /* a packet takes much longer */
    FAULT_LOSS,        /* a packet is lost: TCP sends it again, a datagram is gone */
    FAULT_TWICE,       /* a datagram comes twice */
    FAULT_RESET,       /* a connection is reset, at any byte */
    FAULT_REFUSE,      /* a connection is refused */
    FAULT_ABORT,       /* a client is gone before it was accepted */
    FAULT_DESCRIPTORS, /* EMFILE or ENFILE for a new socket */
    FAULT_MEMORY,      /* ENOMEM or ENOBUFS for a call */
    FAULT_CANCEL_LATE, /* a cancelled operation completes some time later, perhaps well */
    FAULT_SMALL,       /* a socket has small buffers */
    FAULT_CUT,         /* hosts do not hear each other for a time */
    FAULTS,
};

struct faults {
    double chance[FAULTS]; /* of each time it could happen */
    unsigned long struck[FAULTS];
    bool on;
};

/* Draw this run's chances. */
void faults_draw(struct faults *f, struct random *r);

/* Does it happen now? */
static inline bool faults_strike(struct faults *f, struct random *r, enum fault which)
{
    if (!f->on || f->chance[which] == 0 || random_part(r) >= f->chance[which])
        return false;
    f->struck[which]++;
    return true;
}

#endif
