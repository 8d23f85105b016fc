/* wheel.h - a hierarchical timer wheel: add, cancel and find in constant time.
 *
 * Pure arithmetic over 64-bit nanoseconds: it reads no clock, calls nobody back
 * and allocates nothing.  Nodes live inside their owners.  A tick is 2^20 ns, about
 * a millisecond; a timer never fires before its time, and at most a tick after.
 */
#ifndef STOA_BASE_WHEEL_H
#define STOA_BASE_WHEEL_H

#include "base/list.h"

#include <stdint.h>

#define WHEEL_TICK_SHIFT 20 /* 1.05 ms */
#define WHEEL_SLOT_BITS  6
#define WHEEL_SLOTS      (1 << WHEEL_SLOT_BITS) /* one word of bits a level */
#define WHEEL_LEVELS     8                      /* 48 bits of ticks; 64 - 20 are needed */
#define WHEEL_NEVER      UINT64_MAX

struct wheel_node {
    struct list link;  /* in a slot, or in fired, while the timer is armed */
    uint64_t until_ns; /* when it fires; not to be changed while it is armed */
};

struct wheel {
    uint64_t tick;               /* the wheel's time; all up to it has fired */
    uint64_t used[WHEEL_LEVELS]; /* one bit a slot that is not empty */
    struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list fired; /* due, and not yet taken by wheel_fired() */
};

/* An empty wheel whose time is now_ns. */
void wheel_init(struct wheel *w, uint64_t now_ns);

/* Arm a timer that is not armed.  A time that is over is due at once; WHEEL_NEVER never is. */
void wheel_add(struct wheel *w, struct wheel_node *n, uint64_t until_ns);

/* Disarm a timer, due or not; one that is not armed stays so. */
void wheel_cancel(struct wheel *w, struct wheel_node *n);

static inline bool wheel_armed(const struct wheel_node *n)
{
    return list_linked(&n->link);
}

/* Move the wheel's time on; timers that are due can then be taken by wheel_fired().
 * A time before the wheel's changes nothing. */
void wheel_advance(struct wheel *w, uint64_t now_ns);

/* The next timer that is due, disarmed; NULL when there is none. */
struct wheel_node *wheel_fired(struct wheel *w);

/* A time to sleep until: no timer fires before it, and to advance to it brings the
 * first one nearer or fires it, so a loop that sleeps and advances never spins.
 * At most a tick after the first timer's until_ns.  WHEEL_NEVER when none is armed. */
uint64_t wheel_next(const struct wheel *w);

#endif
