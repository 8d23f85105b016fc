/* run.h - a loop made as options say, for stoa_run() and stoa_serve(). */
#ifndef STOA_SERVE_RUN_H
#define STOA_SERVE_RUN_H

#include "backend/loop.h"

#include <stoa.h>

/* Processors this process may use. */
int run_cores(void);

/* Descriptors that the process may have. */
unsigned run_descriptors_allowed(void);

/* Descriptors that connections may have, so that some are left for all else. */
unsigned run_descriptors(void);

/* Copy the caller's options, of whatever version, NULL for the defaults.  False: they are no good,
 * and why says what is wrong, as a sentence's middle. */
bool run_options(struct stoa_options *to, const struct stoa_options *from, char *why,
                 size_t why_len);

/* Make l the calling thread's loop.  0; negative errno. */
int run_open(struct loop *l, const struct stoa_options *o);

#endif
