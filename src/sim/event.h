/* event.h - what will happen in the simulated world, by time.  Knows nothing of what it is.
 *
 * A binary heap of events that live inside their owners.  Of those with the same time the
 * smaller tie comes first, which is a random number: so the order of what happens at once
 * is another one with each seed.
 */
#ifndef STOA_SIM_EVENT_H
#define STOA_SIM_EVENT_H

#include <stddef.h>
#include <stdint.h>

struct event {
    uint64_t at_ns;
    uint64_t tie;
    size_t place; /* in the heap, from 1; 0 = it is not in it */
    void (*run)(struct event *self);
};

struct events {
    struct event **heap; /* from 1 */
    size_t n;
    size_t room;
};

/* e, which is in no heap, is to run at at_ns.  Running out of memory ends the process. */
void events_add(struct events *all, struct event *e, uint64_t at_ns, uint64_t tie);

/* It is not to run, whether it was or not. */
void events_remove(struct events *all, struct event *e);

/* The next one, left where it is; NULL: none. */
static inline struct event *events_next(const struct events *all)
{
    return all->n ? all->heap[1] : NULL;
}

void events_fini(struct events *all);

#endif
