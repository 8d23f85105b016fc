/* sim.h - the backend whose kernel is simulated: a loop that lives in a world (world.h). */
#ifndef STOA_SIM_SIM_H
#define STOA_SIM_SIM_H

#include "sim/world.h"

/* For a loop on a thread whose world_here is set. */
extern const struct backend_ops sim_ops;

/* Who waits for what, as text: a line for each fiber that is parked. */
void sim_tell_waiting(struct world *w, FILE *to);

/* The loop has ended: what the library has left behind is a broken promise.  Then the
 * simulated kernel lets go of everything. */
void sim_end(struct world *w);

#endif
