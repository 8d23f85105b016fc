/* listener.h - an address to serve at, really had, and told to those who wait.  Serves nobody. */
#ifndef STOA_CLI_LISTENER_H
#define STOA_CLI_LISTENER_H

#include "base/limits.h"

#include <stdbool.h>
#include <stoa.h>
#include <sys/types.h>

struct listener {
    int socket;
    struct stoa_addr at; /* where it is, port included */
    bool datagram;
    bool given;                    /* it was open already: fd:N */
    char path[STOA_ADDR_TEXT_MAX]; /* the UNIX path to remove at the end; "" = none */
    dev_t device;                  /* what the path was then */
    ino_t inode;
    char why[SENTENCE_MAX]; /* what went wrong */
};

/* Announce at an address: the server's own, before any other, for at a handover it is the first.
 *
 *   next_free  NULL; else, when the port is taken, the next free one is, and next_free
 *              begins the line on standard error that says so
 *
 * 0, or an exit code (exitcode.h), with l->why. */
int listener_open(struct listener *l, const char *at, const struct stoa_options *options,
                  const char *next_free);

/* Announce at a further address.  0, or an exit code, with l->why. */
int listener_open_beside(struct listener *l, const char *at, const struct stoa_options *options);

/* Write the address and a newline to fd, and close it.  0, -1 with errno. */
int listener_tell(const struct listener *l, int fd);

/* Remove what it left in the file system. */
void listener_end(const struct listener *l);

#endif
