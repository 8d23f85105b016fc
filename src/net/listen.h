/* listen.h - accept for who has his own way of waiting at the limit of descriptors. */
#ifndef STOA_NET_LISTEN_H
#define STOA_NET_LISTEN_H

#include <stdbool.h>

/* As stoa_accept(), but a negative errno, and no wait when nothing is left. */
int listen_accept(int s);

/* Is it that descriptors or memory have run out?  The client is still in the queue. */
bool listen_nothing_left(int r);

#endif
