/* clock.h - the library's clock, stopped: then no time that it waits for is ever over.
 *
 * For what must not end by a bound of time: with a clock that stands it does not end, however
 * slow the machine is or is not.  The other half stands in front of the C library's
 * clock_gettime(2), in a program that asks.
 */
#ifndef STOA_TESTS_CLOCK_H
#define STOA_TESTS_CLOCK_H

#include <stoa.h>

void clock_stop(void);
void clock_go_on(void);

/* stoa_close() waits for a socket's home, which may not be let run, so long and no longer
 * (CLOSE_WAIT_NS).  This one waits until it is closed. */
static inline int close_surely(int s)
{
    clock_stop();
    int r = stoa_close(s);
    clock_go_on();
    return r;
}

#endif
