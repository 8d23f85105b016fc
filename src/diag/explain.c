/* explain.c - which probe fits, and the sentences for an address that cannot be had.
 *
 * Each is "what is so; what to do", with the numbers and names that were found.  Nothing found
 * is said as that: whoever held a port may be gone by the time of asking.
 */
#include "diag/explain.h"

#include "diag/machine.h"
#include "diag/place.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

bool place_of(struct port_place *p, const struct sockaddr *sa, int type)
{
    *p = (struct port_place){.proto = type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP};
    if (!sa)
        return false;
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

        memcpy(&p->addr, &in->sin_addr, sizeof(in->sin_addr));
        p->port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

        p->addr = in6->sin6_addr;
        p->port = ntohs(in6->sin6_port);
    } else {
        return false;
    }
    p->family = sa->sa_family;
    return true;
}

void place_owner(struct text *t, const struct diag_owner *owner, uint32_t uid,
                 const struct diag_socket *s)
{
    if (owner->pid) {
        if (owner->pid == getpid())
            text_add(t, "this very process, ");
        owner_text(t, owner);
        return;
    }
    text_add(t, "a program of ");
    if (uid == UINT32_MAX)
        text_add(t, "another user");
    else
        owner_user(t, uid);
    if (s && geteuid() != 0) {
        text_add(t,
                 s->proto == IPPROTO_UDP ? " (`sudo stoa doctor udp://:" : " (`sudo stoa doctor :");
        text_add_number(t, s->port);
        text_add(t, "` names it)");
    }
}

static void add_free(struct text *t, const struct port_place *p)
{
    uint16_t port = port_next_free(p);

    if (!port)
        return;
    text_add(t, ": ");
    text_add_number(t, port);
    text_add(t, " is free");
}

/* Nobody listens, and yet the port is taken by what is left of the last server. */
static void add_left_over(struct text *t, const struct port_facts *f, const struct port_place *p)
{
    uint64_t n = f->time_wait + f->connected;

    text_add(t, "nobody listens there, but ");
    text_add_number(t, n);
    text_add(t, n == 1 ? " connection of the last server is "
                       : " connections of the last server are ");
    if (f->connected) {
        text_add(t, "left: ");
        place_owner(t, &f->owner, f->other.uid, &f->other);
        text_add(t, " has one; end it, or choose another port");
        add_free(t, p);
        return;
    }
    text_add(t, "in TIME_WAIT: the port frees in ");
    text_add_number(t, (f->time_wait_ms + 999) / 1000);
    text_add(t, " s; the last server, too, should have set SO_REUSEADDR: wait, run `stoa doctor "
                "--free ");
    text_add_number(t, p->port);
    text_add(t, "`, or choose another port");
    add_free(t, p);
}

static bool port_in_use(struct text *t, const struct port_place *p)
{
    struct port_facts f;

    if (!p->port)
        return false;
    if (port_look(&f, p, EXPLAIN_LINKS_MAX) < 0) {
        text_add(t, "the address was in use, and is no longer: try again");
        return f.source != SOCKETS_NONE;
    }
    if (!f.held) {
        add_left_over(t, &f, p);
        return true;
    }
    text_add(t, "port ");
    text_add_number(t, p->port);
    text_add(t, " is held by ");
    place_owner(t, &f.owner, f.holder.uid, &f.holder);
    if (!IN6_ARE_ADDR_EQUAL(&f.holder.addr, &p->addr) || f.holder.family != p->family) {
        text_add(t, " at ");
        socket_text(t, &f.holder, false);
    }
    text_add(t, "; stop it, or choose another port");
    add_free(t, p);
    return true;
}

static bool not_our_address(struct text *t, const struct port_place *p)
{
    if (machine_has(p->family, &p->addr))
        return false;
    text_add(t, "that is not an address of this machine, which has ");
    machine_addresses(t, p->family);
    text_add(t, p->family == AF_INET ? "; bind to 0.0.0.0 for all there are"
                                     : "; bind to [::] for all there are");
    text_add(t, ", or set IP_FREEBIND for one that is still to come");
    return true;
}

/* The program's own file, for the line to type. */
static void add_program(struct text *t)
{
    char path[256];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (len <= 0)
        text_add(t, "PROGRAM");
    else
        text_add_path(t, path, (size_t)len);
}

static bool low_port(struct text *t, const struct port_place *p)
{
    uint64_t start = machine_setting("net.ipv4.ip_unprivileged_port_start", 1024);

    if (p->port == 0 || p->port >= start)
        return false;
    text_add(t, "not allowed: port ");
    text_add_number(t, p->port);
    text_add(t, " is below ");
    text_add_number(t, start);
    text_add(t, " (net.ipv4.ip_unprivileged_port_start), and this process (user ");
    owner_user(t, geteuid());
    text_add(t, ") lacks CAP_NET_BIND_SERVICE; choose a port from ");
    text_add_number(t, start);
    text_add(t, ", or `sudo setcap cap_net_bind_service=+ep ");
    add_program(t);
    text_add(t, "`, or AmbientCapabilities=CAP_NET_BIND_SERVICE in its unit");
    return true;
}

bool explain_bind(struct text *t, const struct explain_ask *ask)
{
    struct port_place p;

    if (!place_of(&p, ask->at, ask->type))
        return false;
    switch (ask->code) {
    case EADDRINUSE:
        return port_in_use(t, &p);
    case EADDRNOTAVAIL:
        return not_our_address(t, &p);
    case EACCES:
        return low_port(t, &p);
    default:
        return false;
    }
}

/* At the limit no file can be opened to count: but every number below it is taken. */
static bool no_descriptor(struct text *t)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    text_add(t, "no descriptor is left in this process: all ");
    text_add_number(t, limit.rlim_cur);
    text_add(t, " are in use; close some, or raise the limit, ");
    if (limit.rlim_cur < limit.rlim_max) {
        text_add(t, "up to ");
        text_add_number(t, limit.rlim_max);
        text_add(t, ": `ulimit -n ");
        text_add_number(t, limit.rlim_max);
        text_add(t, "` before it starts, LimitNOFILE=");
        text_add_number(t, limit.rlim_max);
        text_add(t, " in its unit");
    } else {
        text_add(t,
                 "which is its hard limit, too: as root `ulimit -Hn`, LimitNOFILE= in its unit, or "
                 "limits.conf(5)");
    }
    return true;
}

bool explain(struct text *t, const struct explain_ask *ask)
{
    struct text before = *t;
    bool said = false;

    if (ask->code == EMFILE)
        said = no_descriptor(t);
    else if (ask->at && ask->at->sa_family == AF_UNIX)
        said = explain_path(t, ask);
    else if (ask->call == EXPLAIN_BIND)
        said = explain_bind(t, ask);
    else if (ask->call == EXPLAIN_CONNECT)
        said = explain_connect(t, ask);
    else if (ask->call == EXPLAIN_TALK)
        said = explain_talk(t, ask);
    if (!said) {
        *t = before;
        if (t->size)
            t->buf[t->len] = '\0';
    }
    return said;
}
