/* control.h - a UNIX socket at which `stoa top` is told what is alive.  Changes nothing. */
#ifndef STOA_CLI_CONTROL_H
#define STOA_CLI_CONTROL_H

/* Answer at this path, on a thread of our own.  0, or an exit code, when that has been said. */
int control_begin(const char *path);

/* Answer no more, and remove the path.  Nothing, when it was not begun. */
void control_end(void);

#endif
