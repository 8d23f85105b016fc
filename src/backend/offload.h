/* offload.h - helper threads for calls that can only block.  Knows nothing of what they do. */
#ifndef STOA_BACKEND_OFFLOAD_H
#define STOA_BACKEND_OFFLOAD_H

#include <stdint.h>

/* Run fn(arg) on a helper thread and wait for it.
 *
 * With drop, the wait may end first: at until_ns (-ETIME), by cancellation or the
 * interrupt hook (-ECANCELED).  Then, and only then, arg belongs to the helper, which
 * calls drop(arg) when fn has returned.  Without drop, the wait ends with fn.
 *
 * *error, if given, is errno as fn left it.  Returns fn's value, which must not be a
 * negative errno where drop is given; -ENOMEM, -EAGAIN when no helper can start. */
int offload_run(int (*fn)(void *arg), void *arg, void (*drop)(void *arg), uint64_t until_ns,
                int *error);

#endif
