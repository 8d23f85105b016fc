/* control.h - a UNIX socket at which `stoa top` is told what is alive.  Changes nothing. */
#ifndef STOA_CLI_CONTROL_H
#define STOA_CLI_CONTROL_H

#include <stdbool.h>

/* Open the path, or of several processes each one's, which has its number behind it: before they
 * are started.  0, or an exit code, when that has been said. */
int control_open(const char *path, unsigned nprocess);

/* In the process that serves, of several the i-th, from 0: answer on a thread of our own, if it is
 * open.  0, or an exit code, when that has been said. */
int control_begin(unsigned i);

/* There, too: answer no more. */
void control_stop(void);

/* Remove the paths, unless they are another's now.  Nothing, when none was opened. */
void control_end(bool handed_over);

#endif
