/* faults.h - the kernel's refusals and short answers by seed, for tests on the real backends.
 *
 * Three files stand around the library, whose objects are the very ones that are shipped
 * (meson.build links them once more, with other names for the kernel's calls):
 *
 *   test body -> caller.c -> the library -> kernel.c, entry.c -> the kernel
 *
 * kernel.c and entry.c disturb; caller.c is a caller who knows the header: short counts are gone
 * on with, and what is refused for want of memory is asked again.  Everything else that the
 * library lets through, an EINTR or a lost byte, is seen by the test.
 *
 * STOA_FAULTS is the seed, or seed:per_thousand (10); 0, or unset: no faults.  Threads each have
 * a sequence of their own, so with one thread a seed does the same again; with more, the order
 * of threads is the machine's.
 */
#ifndef STOA_TESTS_FAULTS_H
#define STOA_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault {
    FAULT_SHORT,       /* less than there is, down to a byte */
    FAULT_INTERRUPTED, /* EINTR */
    FAULT_MEMORY,      /* ENOMEM, ENOBUFS */
    FAULTS,
};

/* Does it happen now? */
bool fault_strikes(enum fault which);

/* One of the n numbers below n. */
unsigned fault_below(unsigned n);

enum fault_way { FAULT_IN, FAULT_OUT };

/* How much of len a call on this stream moves at most, now; len itself, mostly. */
size_t fault_len(int fd, size_t len, int flags);

/* A call that was shortened has moved all that it could: more had been possible. */
void fault_note(int fd, enum fault_way way);

/* Has that happened to the last one?  It is forgotten then. */
bool fault_noted(int fd, enum fault_way way);

/* A FILE is on it, which cannot ask again: no want of memory from here on. */
void fault_spare(int fd, bool yes);
bool fault_spares(int fd);

/* Does more than one wait on it?  A refusal would change their order, and a short receive what
 * poll tells the others. */
struct backend_sock;
bool fault_is_crowded(const struct backend_sock *s);

/* How many calls of this thread have been refused for want of memory. */
unsigned fault_refusals(void);

bool fault_is_on(void);

#endif
