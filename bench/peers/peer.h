/* peer.h - what the peers in C share: the work, the address, and a listening socket.
 *
 * Each peer is the upper-casing server as its library's manual would have it, on one thread
 * where the library leaves the choice.  All do the same work (upper.h), set TCP_NODELAY
 * (an accepted connection inherits it from its listener), and read up to 16 KiB into a
 * buffer of the connection's, or up to 64 KiB into one that all connections share.
 */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include "../upper.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((noreturn)) static inline void peer_die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

/* 127.0.0.1, and the port that is the program's one argument. */
static inline struct sockaddr_in peer_address(int argc, char **argv)
{
    struct sockaddr_in at = {};
    char *end = NULL;
    long port = argc == 2 ? strtol(argv[1], &end, 10) : 0;

    if (port < 1 || port > 65535 || *end) {
        fprintf(stderr, "usage: %s PORT\n", program_invocation_short_name);
        exit(2);
    }
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)port);
    return at;
}

/* A listening socket, for libraries that leave it to their users; type_flags: SOCK_NONBLOCK. */
static inline int peer_listen(int argc, char **argv, int type_flags)
{
    const struct sockaddr_in at = peer_address(argc, argv);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, SOMAXCONN) < 0)
        peer_die("listen", strerror(errno));
    return fd;
}

#endif
