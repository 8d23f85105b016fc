/* port.h - who has this port, or this UNIX path, and which port is free.  Facts; no advice. */
#ifndef STOA_DIAG_PORT_H
#define STOA_DIAG_PORT_H

#include "diag/owner.h"
#include "diag/sockets.h"

/* Where somebody wants to be. */
struct port_place {
    int family; /* AF_INET, AF_INET6; 0 = any address of any family */
    int proto;  /* IPPROTO_TCP, IPPROTO_UDP */
    struct in6_addr addr;
    uint16_t port;
    bool v6only;
};

/* What was found there. */
struct port_facts {
    enum sockets_source source;
    bool held; /* a socket listens there, or has the port and is not connected */
    struct diag_socket holder;
    struct diag_owner owner;  /* of it; pid 0: not found */
    struct owner_walk walk;   /* how far that was looked for */
    size_t time_wait;         /* connections of the port in that state */
    uint32_t time_wait_ms;    /* until the last of them is gone */
    size_t connected;         /* connections of the port that live */
    struct diag_socket other; /* one of them, the first that is owned */
};

/* Look at all that is at a place.  links_max: owner_find()'s.  0; -ENOENT: nothing is there. */
int port_look(struct port_facts *f, const struct port_place *place, size_t links_max);

/* The next port above that can be bound to at that address; 0: none near. */
uint16_t port_next_free(const struct port_place *place);

/* Fill in who has f->holder, or else f->other. */
void port_find_owner(struct port_facts *f, size_t links_max);

struct path_facts {
    enum sockets_source source;
    bool bound; /* a living socket has this path or abstract name */
    struct diag_unix holder;
    struct diag_owner owner;
    struct owner_walk walk;
};

/* Look for the socket of this path, or of this abstract name, which begins with a 0. */
void path_look(struct path_facts *f, const char *name, size_t len, size_t links_max);

#endif
