/* child.h - waiting for a child process as a fiber waits for a socket.  Does not start any. */
#ifndef STOA_CLI_CHILD_H
#define STOA_CLI_CHILD_H

#include <sys/types.h>

/* Wait until the child ends; when the fiber is cancelled, or its scope's time is over, end
 * the child's process group: by SIGTERM, and after CHILD_GRACE seconds by SIGKILL.
 *
 *   pid     a child that leads its process group, and that nobody else waits for
 *   status  how it ended, as waitpid(2)
 *
 * 0; ETIME or ECANCELED: it was made to end, status is set; another errno value: it could
 * not be waited for, and was killed. */
int child_wait(pid_t pid, int *status);

#endif
