/* ghost.c - a socket that the kernel lists, and no process.
 *
 * A process that is killed gives its sockets back before its parent hears of it; but those that
 * wait in an io_uring are given back by a kernel thread, later: 8 to 35 ms for 200 connections
 * (Linux 6.18, two processors).  Until then its port is taken.
 *
 * Limits: a process in another PID namespace is not seen, and neither is a socket on its way in a
 * message (unix(7), SCM_RIGHTS); so who waits for a ghost gives up after a while.
 */
#include "diag/ghost.h"

#include "diag/place.h"

#include <unistd.h>

/* Descriptors that are looked at, the first of each process first; a tenth of a second at worst.  A
 * holder that lives and has a later one is taken for a ghost. */
#define GHOST_LINKS_MAX ((size_t)1 << 16)

bool ghost_has(const struct sockaddr *sa, int type)
{
    struct port_place place;
    struct port_facts f;

    if (!place_of(&place, sa, type) || !place.port)
        return false;
    if (port_look(&f, &place, GHOST_LINKS_MAX) < 0)
        return f.source != SOCKETS_NONE; /* it has just gone */
    return f.held && f.owner.pid == 0 && (f.walk.closed == 0 || f.holder.uid == geteuid());
}
