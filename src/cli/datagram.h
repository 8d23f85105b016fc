/* datagram.h - serving UDP: each datagram is answered to its sender.  Opens no socket. */
#ifndef STOA_CLI_DATAGRAM_H
#define STOA_CLI_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

struct datagrams {
    int socket;
    int (*answer)(char *buf, size_t len); /* as struct handler's */
    uint64_t count;                       /* end after so many; 0 = never */
};

/* The first fiber of stoa_run(): until stoa_stop(), or d->count datagrams.  0; -1 with errno. */
int datagram_loop(void *d);

#endif
