/* why.c - from a note to the question that diag/ answers: which call, which address, whose bytes.
 *
 * The address is the one that the call left in its note, or that of the socket, if its handle
 * is still alive.  Nothing waits, and the note is left as it is.
 */
#include "net/why.h"

#include "diag/explain.h"
#include "net/error.h"
#include "net/sock.h"

#include <linux/tcp.h>
#include <string.h>

static enum explain_call call_of(int verb)
{
    switch (verb) {
    case VERB_BIND:
    case VERB_LISTEN:
    case VERB_ANNOUNCE:
    case VERB_SERVE:
        return EXPLAIN_BIND;
    case VERB_CONNECT:
    case VERB_DIAL:
        return EXPLAIN_CONNECT;
    case VERB_RECV:
    case VERB_SEND:
    case VERB_SENDALL:
    case VERB_RECVALL:
    case VERB_SENDFILE:
    case VERB_RECVFROM:
    case VERB_SENDTO:
    case VERB_RECVMSG:
    case VERB_SENDMSG:
        return EXPLAIN_TALK;
    default:
        return EXPLAIN_OTHER;
    }
}

/* The address behind detail's two texts. */
static void kept_address(const struct note *n, struct stoa_addr *a)
{
    const char *why = n->detail + strlen(n->detail) + 1;

    memcpy(a, why + strlen(why) + 1, sizeof(*a));
}

static void name_of(struct stoa_sock *so, bool peer, struct stoa_addr *a)
{
    a->len = sizeof(a->sa);
    if (backend_here()->name_of(&so->b, peer, (struct sockaddr *)&a->sa, &a->len) < 0)
        a->len = 0;
}

/* The kernel forgets it with the connection. */
static void peer_of(struct stoa_sock *so, struct stoa_addr *a)
{
    if (so->peer_len) {
        memcpy(&a->sa, &so->peer, so->peer_len);
        a->len = so->peer_len;
    } else {
        name_of(so, true, a);
    }
}

/* What the socket itself can tell. */
static void ask_socket(struct stoa_sock *so, struct explain_ask *ask, struct stoa_addr *at,
                       struct stoa_addr *own)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    ask->type = so->b.type;
    name_of(so, false, own);
    if (ask->call == EXPLAIN_BIND)
        *at = *own;
    if (ask->call == EXPLAIN_TALK)
        peer_of(so, at);
    if (so->b.proto == IPPROTO_TCP &&
        backend_here()->getopt(&so->b, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
        ask->sent = info.tcpi_bytes_sent;
        ask->acked = info.tcpi_bytes_acked;
    }
}

bool why_add(struct text *t, const struct note *n)
{
    struct explain_ask ask = {
        .code = n->code,
        .call = call_of(n->verb),
        .more = n->verb == VERB_DIAL && (n->flags & NOTE_WHY),
    };
    struct stoa_addr at = {.len = 0}, own = {.len = 0};
    struct stoa_sock *so = sock_enter(n->handle);

    if (so) {
        ask_socket(so, &ask, &at, &own);
        sock_leave(so);
    }
    if (n->flags & NOTE_AT) {
        kept_address(n, &at);
        ask.type = at.type;
    }
    if (at.len >= sizeof(sa_family_t)) {
        ask.at = (const struct sockaddr *)&at.sa;
        ask.at_len = at.len;
    }
    if (own.len >= sizeof(sa_family_t)) {
        ask.own = (const struct sockaddr *)&own.sa;
        ask.own_len = own.len;
    }
    return explain(t, &ask);
}
