/* fault.c - the chances of a run: half the faults are absent, the others from often to rarely.
 */
#include "sim/fault.h"

/* The most often that still lets work get done. */
static const double most[FAULTS] = {
    [FAULT_SHORT] = 0.8,       [FAULT_LATE] = 0.5,    [FAULT_SPURIOUS] = 0.3,
    [FAULT_SLOW] = 0.1,        [FAULT_LOSS] = 0.2,    [FAULT_TWICE] = 0.1,
    [FAULT_RESET] = 0.02,      [FAULT_REFUSE] = 0.1,  [FAULT_ABORT] = 0.1,
    [FAULT_DESCRIPTORS] = 0.1, [FAULT_MEMORY] = 0.02, [FAULT_CANCEL_LATE] = 0.5,
    [FAULT_SMALL] = 0.5,       [FAULT_CUT] = 0.5,
};

void faults_draw(struct faults *f, struct random *r)
{
    for (int i = 0; i < FAULTS; i++) {
        bool absent = random_below(r, 2) == 0;
        unsigned halvings = (unsigned)random_below(r, 7);

        f->chance[i] = absent ? 0 : most[i] / (double)(1u << halvings);
    }
    f->on = true;
}
