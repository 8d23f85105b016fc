/* turns.h - how often the library has asked the kernel to wait, or whether there is news.
 *
 * "Nobody spins" is counted, not timed: what a processor is given in a second is the machine's
 * affair.  The other half stands in front of the C library's calls, in a program that asks.
 */
#ifndef STOA_TESTS_TURNS_H
#define STOA_TESTS_TURNS_H

unsigned long turns(void);

/* The most that somebody needs who sleeps so long and looks now and then: the shortest rest of the
 * library's is a millisecond.  Who spins makes some hundreds in one. */
static inline unsigned long turns_in(double seconds)
{
    return 200 + (unsigned long)(seconds * 4000);
}

#endif
