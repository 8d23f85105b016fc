/* session.h - a connection that is talked on, by a prompt or by pipes.  Does not make it. */
#ifndef STOA_CLI_SESSION_H
#define STOA_CLI_SESSION_H

#include "cli/show.h"

#include <stdbool.h>

struct session {
    int socket;           /* its handle; closed when the talk is over */
    const char *who;      /* begins each message: "stoa connect" */
    const char *to;       /* the address as it was typed */
    const char *peer;     /* the address that was reached */
    bool datagram;        /* UDP: no end of stream ... */
    double datagram_wait; /* ... but so many seconds of silence after the input's; 0 = none */
    bool crlf;            /* lines go out with \r\n */
    bool raw;             /* prompt: without their newline */
    double timeout;       /* seconds of silence on both ways; 0 = any */
    struct show *show;    /* its put is the talk's */
};

/* Standard input to the peer, the peer to standard output, until both have ended.  Errors
 * are told on standard error.  Returns an exit code. */
int transfer(struct session *s);

/* The same with a person at a terminal. */
int prompt(struct session *s);

/* Put for struct show: standard output. */
int transfer_put(void *unused, const char *text, size_t len);

#endif
