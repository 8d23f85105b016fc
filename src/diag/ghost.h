/* ghost.h - a port whose program has died, and whose socket the kernel has still to take down. */
#ifndef STOA_DIAG_GHOST_H
#define STOA_DIAG_GHOST_H

#include <stdbool.h>
#include <sys/socket.h>

/* Is the address, which was in use, held by a socket that no process has, or by none any more?
 * False also where other users' programs are out of sight.  Does not wait. */
bool ghost_has(const struct sockaddr *sa, int type);

#endif
