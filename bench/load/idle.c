/* idle.c - connections that have talked once and then say nothing.
 *
 * One message each proves that the server has accepted them and has a fiber, a thread or
 * whatever it uses in the place where it waits for the next: what is measured
 * then is what a silent client costs, not what a queue in the kernel does.
 */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int *idle_open(const struct options *o, const struct target *t)
{
    int *fds = calloc(o->nidle, sizeof(*fds));
    uint8_t *buffer = malloc(o->size);

    if (!fds || !buffer)
        fail("out of memory");
    for (unsigned i = 0; i < o->nidle; i++) {
        fds[i] = dial(t, false);
        if (send(fds[i], stream_asked, o->size, MSG_NOSIGNAL) != (ssize_t)o->size)
            fail("send: %s", strerror(errno));
        if (recv(fds[i], buffer, o->size, MSG_WAITALL) != (ssize_t)o->size)
            fail("idle connection %u got no answer: %s", i, strerror(errno));
        stream_check(0, buffer, o->size);
    }
    free(buffer);
    return fds;
}

void idle_close(const struct options *o, int *fds)
{
    for (unsigned i = 0; i < o->nidle; i++)
        hang_up(fds[i]);
    free(fds);
}
