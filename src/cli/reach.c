/* reach.c - dialling with --wait, -4, -6 and -s; listening with -l.
 *
 * stoa_dial() does the work: names, all their addresses, the race.  With -4 or -6 the name
 * is looked up first and the addresses of that family are dialled one after the other.
 *
 * --wait is for "the server is not up yet": what may pass by itself (refused, no such path
 * yet, a name not known yet, no route yet, a timeout) is tried again, after WAIT_FIRST
 * seconds and then twice as long each time, up to WAIT_MOST.  A wrong address is not.
 *
 * What holds: the last failure is told, not "gave up": a script can tell refused from
 * unknown by the exit code.
 */
#include "cli/reach.h"

#include "cli/output.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static const double WAIT_FIRST = 0.02;
static const double WAIT_MOST = 1;

enum { ADDRESSES_MAX = 16 };

bool reach_address(char *buf, size_t size, const char *scheme, const char *host, const char *port)
{
    bool bare_ipv6 = strchr(host, ':') && host[0] != '[';
    int n = snprintf(buf, size, bare_ipv6 ? "%s[%s]:%s" : "%s%s:%s", scheme, host, port);

    return n >= 0 && (size_t)n < size;
}

static int failed(struct reach *r)
{
    r->error = errno;
    snprintf(r->why, sizeof(r->why), "%s", stoa_errmsg());
    return -1;
}

/* The numeric addresses of r's family that the text stands for; -1: there are none. */
static int addresses(struct reach *r, struct stoa_addr *list)
{
    int found = stoa_resolve(r->to, list, ADDRESSES_MAX);
    int kept = 0;

    if (found < 0)
        return failed(r);
    for (int i = 0; i < found; i++)
        if (list[i].sa.ss_family == r->family)
            list[kept++] = list[i];
    if (kept)
        return kept;
    r->error = ENOENT;
    snprintf(r->why, sizeof(r->why), "%s has no %s address", r->to,
             r->family == AF_INET ? "IPv4" : "IPv6");
    return -1;
}

/* Do it with the text, or with each address of the family until it works. */
static int with_family(struct reach *r, int (*call)(const char *, const struct stoa_options *),
                       const struct stoa_options *o)
{
    struct stoa_addr list[ADDRESSES_MAX];
    int s = -1, n;

    if (!r->family) {
        s = call(r->to, o);
        return s < 0 ? failed(r) : s;
    }
    n = addresses(r, list);
    for (int i = 0; i < n && s < 0; i++) {
        char text[STOA_ADDR_TEXT_MAX];
        s = call(stoa_addr_text(&list[i], text, sizeof(text)), o);
        if (s < 0)
            (void)failed(r);
    }
    return s;
}

static int dial_once(struct reach *r)
{
    struct stoa_options o = {.size = sizeof(o), .from = r->source};
    struct stoa_scope scope;
    int s;

    if (r->timeout > 0)
        stoa_within(&scope, r->timeout);
    s = with_family(r, stoa_dial, &o);
    if (r->timeout > 0)
        stoa_leave(&scope);
    return s;
}

static bool may_pass(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case ENOENT:
    case EREMOTEIO:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ETIMEDOUT:
    case ETIME:
        return true;
    default:
        return false;
    }
}

int reach_dial(struct reach *r)
{
    uint64_t end_ns = output_now_ns() + (uint64_t)(r->wait * 1e9);
    double pause = WAIT_FIRST;

    for (;;) {
        int s = dial_once(r);
        double left = (double)(int64_t)(end_ns - output_now_ns()) / 1e9;
        if (s >= 0 || left <= 0 || r->wait == 0 || !may_pass(r->error))
            return s;
        stoa_sleep(pause < left ? pause : left);
        pause = 2 * pause < WAIT_MOST ? 2 * pause : WAIT_MOST;
    }
}

int reach_listen(struct reach *r)
{
    struct stoa_options o = {.size = sizeof(o)};

    return with_family(r, stoa_announce, &o);
}

/* A datagram socket has no clients: the first sender becomes its peer. */
static int first_sender(struct reach *r, int s)
{
    struct stoa_addr from;
    char byte;

    if (stoa_recvfrom(s, &byte, 1, MSG_PEEK, &from) < 0)
        return failed(r);
    if (stoa_connect_sa(s, (const struct sockaddr *)&from.sa, from.len) < 0)
        return failed(r);
    return s;
}

int reach_accept(struct reach *r, int listener, bool datagram)
{
    int s;

    if (datagram)
        return first_sender(r, listener);
    s = stoa_accept(listener, NULL);
    return s < 0 ? failed(r) : s;
}
