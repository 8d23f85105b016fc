/* exec.h - a program for each connection, as inetd(8) and ucspi do.  Keeps no log. */
#ifndef STOA_CLI_EXEC_H
#define STOA_CLI_EXEC_H

#include "cli/visit.h"

/* Run v->command by sh -c with the connection as its standard input and output, and wait
 * until it ends, v->timeout seconds at most if that is not 0.  v gets its status, and the
 * bytes as far as the kernel counted them (TCP).  0, or an errno value. */
int exec_talk(int conn, struct visit *v);

/* Before the first: the programs' standard error, which is ours else. */
void exec_errors(int fd);

#endif
