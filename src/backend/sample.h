/* sample.h - a thread that computes is asked where it is.  Does not know why. */
#ifndef STOA_BACKEND_SAMPLE_H
#define STOA_BACKEND_SAMPLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A stack for the answer, so that it takes nothing of the one the thread is on.  On the thread
 * itself; NULL: it has one already, or there is no memory. */
void *sample_stack_make(void);
void sample_stack_free(void *stack);

/* The thread's backtrace, the innermost place first: how many of at most n; 0: it did not
 * answer.  From another thread of this process. */
size_t sample(pid_t tid, uintptr_t *pc, size_t n);

#endif
