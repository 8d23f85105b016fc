/* bench/source.c - a connection, from an address and port of our own choice on loopback.
 *
 * The kernel's own search for a free port takes ten times as long as the connection when many
 * are in use or in TIME_WAIT, and one address has 28,232 of them.  So ours are gone
 * through in turn, 256 addresses of 127.64.0.0/10 with 64,512 ports each; the first comes again
 * when its TIME_WAIT is long over.
 *
 * Limits: IPv4 and TCP; elsewhere the kernel chooses, from --from's address if there is one.
 */
#include "cli/bench/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

enum {
    SOURCES = 256,
    SOURCE_FIRST = 0x7f400001, /* 127.64.0.1 */
    PORT_FIRST = 1024,
    PORT_LAST = 65535,
    TRIES_MAX = 1000, /* ports in use, one after another */
};

/* From a port in use to quite another one: those of an earlier run lie in a row. */
static const uint32_t JUMP = 0x9e3779b9;

static int bind_next(struct worker *w, int s)
{
    if (w->source_turn == 0) /* not where the last run began, nor another worker */
        w->source_turn = (uint32_t)(output_now_ns() / 1000) ^ (uint32_t)getpid() << 12 ^
                         (uint32_t)w->index << 28;
    for (int i = 0; i < TRIES_MAX; i++) {
        uint32_t turn = ++w->source_turn;
        uint32_t host = SOURCE_FIRST + turn % SOURCES;
        uint32_t port = PORT_FIRST + turn / SOURCES % (PORT_LAST - PORT_FIRST + 1);
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(host),
                                 .sin_port = htons((uint16_t)port)};
        if (stoa_bind_sa(s, (const struct sockaddr *)&at, sizeof(at)) == 0)
            return 0;
        if (errno != EADDRINUSE)
            return -1;
        w->source_turn += JUMP;
    }
    return -1;
}

static int connect_from(struct worker *w, int s)
{
    const struct plan *p = w->plan;

    if (p->spread && bind_next(w, s) < 0)
        return -1;
    if (p->source.len && stoa_bind_sa(s, (const struct sockaddr *)&p->source.sa, p->source.len) < 0)
        return -1;
    return stoa_connect_sa(s, (const struct sockaddr *)&p->at.sa, p->at.len);
}

/* A connected socket; -1 with errno. */
static int dial(struct worker *w)
{
    const struct plan *p = w->plan;
    int s = stoa_socket(p->at.sa.ss_family, p->datagram ? SOCK_DGRAM : SOCK_STREAM, 0);

    if (s < 0 || connect_from(w, s) == 0)
        return s;
    int error = errno;
    stoa_close(s);
    errno = error;
    return -1;
}

/* The same; a source whose last connection there is in TIME_WAIT is exchanged for another. */
static int dial_from_any(struct worker *w)
{
    int s = dial(w);

    for (int i = 0; i < TRIES_MAX && s < 0 && errno == EADDRNOTAVAIL && w->plan->spread; i++) {
        w->source_turn += JUMP;
        s = dial(w);
    }
    return s;
}

int worker_dial(struct worker *w)
{
    uint64_t began_ns = output_now_ns();
    struct stoa_scope scope;

    stoa_within(&scope, w->plan->timeout_sec);
    int s = dial_from_any(w);
    int error = errno;
    if (s < 0 && error != ECANCELED)
        tally_fault(&w->tally, PHASE_CONNECT, error, stoa_errmsg());
    stoa_leave(&scope);
    errno = error;
    if (s < 0)
        return -1;
    stoa_settimeout(s, w->plan->timeout_sec);
    hist_add(&w->tally.connect, output_now_ns() - began_ns, 1);
    atomic_fetch_add_explicit(&w->tally.nconnect, 1, memory_order_relaxed);
    return s;
}
