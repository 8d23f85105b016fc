/* explain.h - an error that explains itself: the one probe that fits, and the sentence's end.
 *
 * It looks at this machine (sockets, /proc, settings) and never at the network, and waits for
 * nothing.  Not for a simulated network: whoever asks sees to that.
 */
#ifndef STOA_DIAG_EXPLAIN_H
#define STOA_DIAG_EXPLAIN_H

#include "base/text.h"

#include <stdbool.h>
#include <sys/socket.h>

enum explain_call {
    EXPLAIN_OTHER,
    EXPLAIN_BIND,    /* bind, listen, announce, serve */
    EXPLAIN_CONNECT, /* connect, dial */
    EXPLAIN_TALK,    /* send, receive */
};

/* What failed. */
struct explain_ask {
    int code; /* an errno value */
    enum explain_call call;
    int type;                  /* SOCK_STREAM, SOCK_DGRAM, ...; 0 = as a stream */
    const struct sockaddr *at; /* bound to, connected to, or the peer; NULL: not known */
    socklen_t at_len;
    const struct sockaddr *own; /* EXPLAIN_TALK: this end; NULL: not known */
    socklen_t own_len;
    uint64_t sent; /* EXPLAIN_TALK on TCP: bytes this end has sent, and of them acknowledged */
    uint64_t acked;
    bool more; /* the cause has been said: only what can be added, behind "; " */
};

/* Add why, and what to do.  False: there is nothing to say beyond the code's meaning, and t is
 * as it was. */
bool explain(struct text *t, const struct explain_ask *ask);

#endif
