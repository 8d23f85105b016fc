/* inherit.h - listeners that the program was started with, and whose place it takes.
 *
 * They are there before anybody asks: the environment is read once, and not changed.
 */
#ifndef STOA_NET_INHERIT_H
#define STOA_NET_INHERIT_H

#include <stdbool.h>
#include <stoa.h>

/* The first of the descriptors, as sd_listen_fds(3) has it. */
#define INHERIT_FIRST 3

/* What a listener is called that a program of ours has made itself: LISTEN_FDNAMES. */
#define INHERIT_OWN "own"

/* The variable with the descriptor on which a predecessor is told that we listen. */
#define INHERIT_TOLD    "STOA_HANDOVER"
#define INHERIT_TOLD_IS "STOA_HANDOVER="

/* One that nobody has taken yet, at this address (port 0: at any port), and of this type: its
 * descriptor, which is taken from now on.  -1: there is none. */
int inherit_find(const struct stoa_addr *at, int type);

/* How many there were in the beginning. */
int inherit_count(void);

/* A descriptor becomes a socket of ours.  True: it is one of these, the predecessor made it, and
 * has no more use for it than we have for its own. */
bool inherit_take(int fd);

/* What was a descriptor called?  NULL: it is none of these. */
const char *inherit_name(int fd);

/* All is ready for clients: if no listener is left, our predecessor is told to let go. */
void inherit_ready(void);

/* Is there no predecessor who may accept beside us? */
bool inherit_alone(void);

#endif
