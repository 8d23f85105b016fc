/* sweep.h - a world run with many seeds: faults drawn for each, some seeds twice.
 *
 *     SWEEP(bytes_arrive_in_order)
 *     {
 *         ... a world's first fiber: 0, or what went wrong by wrong("...") ...
 *     }
 *
 * STOA_SEEDS says how many seeds (200), STOA_SEED the first one (1).  A seed that fails is
 * printed with its sentence, and the first of them ends the test.
 */
#ifndef STOA_TESTS_SIM_SWEEP_H
#define STOA_TESTS_SIM_SWEEP_H

#include "t.h"

#include <stoa.h>
#include <stoa/sim.h>

void sweep(const char *name, int (*world)(void *arg), bool faults);

#define SWEEP_WITH(name, faults)                                                                   \
    static int name##_world(void *arg);                                                            \
    TEST(name)                                                                                     \
    {                                                                                              \
        sweep(#name, name##_world, faults);                                                        \
    }                                                                                              \
    static int name##_world(void *arg __attribute__((unused)))

#define SWEEP(name) SWEEP_WITH(name, true)

/* Something that must not be; the first sentence of a run is kept.  -1. */
int wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A connection to it, dialled again and again while faults are in the way; -1. */
int dial_surely(const char *to);

/* A listener, likewise. */
int announce_surely(const char *at);

/* The byte that stands at this place in stream number n. */
unsigned char byte_at(unsigned n, size_t place);
void bytes_of(unsigned n, size_t from, unsigned char *to, size_t len);

#endif
