/* judge_place.c - one port, or one UNIX path: who has it, whom it lets in, and when it is free. */
#include "diag/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct at_port {
    struct judgement j;
    const struct judge_place *place;
    uint64_t listeners;
    uint64_t overlapping; /* of them, with the address that was asked for */
    uint64_t v4, v6;      /* wildcard listeners of TCP by the families that they serve */
    uint64_t time_waits;
    uint32_t time_wait_ms;
    uint64_t connections;
    const struct diag_socket *connection;
    const struct diag_socket *wildcard;
    const struct diag_socket *holder; /* the first */
};

static bool holds(const struct diag_socket *s)
{
    return s->state == DIAG_LISTEN || s->state == DIAG_BOUND ||
           (s->proto == IPPROTO_UDP && s->state == DIAG_CLOSE);
}

static void count_in(struct at_port *p, const struct diag_socket *s)
{
    if (s->port != p->place->at.port || s->proto != p->place->at.proto)
        return;
    if (holds(s)) {
        p->listeners++;
        p->holder = p->holder ? p->holder : s;
        p->overlapping += socket_overlaps(s, p->place->at.family, &p->place->at.addr, false);
        if (s->state == DIAG_LISTEN && socket_is_any(s)) {
            p->v4 += s->family == AF_INET || !s->v6only;
            p->v6 += s->family == AF_INET6;
            p->wildcard = s;
        }
    } else if (s->state == DIAG_TIME_WAIT) {
        p->time_waits++;
        if (s->timer_ms > p->time_wait_ms)
            p->time_wait_ms = s->timer_ms;
    } else {
        p->connections++;
        if (!p->connection || s->pid)
            p->connection = s;
    }
}

/* "; 8082 is free" */
static const char *free_port(const struct at_port *p, char buf[32])
{
    buf[0] = '\0';
    if (p->place->next_free)
        snprintf(buf, 32, "; %u is free", p->place->next_free);
    return buf;
}

static struct finding *begin(struct at_port *p, enum kind kind, enum severity severity)
{
    struct finding *f = finding_add(p->j.out, kind, severity);

    if (f)
        f->port = p->place->at.port;
    return f;
}

/* Whose it is; the command that names it is that of this place. */
static void whose(struct at_port *p, struct finding *f, const struct diag_socket *s)
{
    judge_whose(&p->j, f, s->pid, s->uid);
    if (f->unseen[0] && !p->j.now->root)
        FINDING_SAY(f->unseen,
                    "not root: which program is unknown; `sudo stoa doctor %s:%u` names it",
                    s->proto == IPPROTO_UDP ? "udp://" : "", s->port);
}

static void held(struct at_port *p, const struct diag_socket *s)
{
    struct finding *f = begin(p, KIND_PORT_HELD, SEVERITY_NOTE);
    bool listens = s->state == DIAG_LISTEN;
    char buf[32];

    if (!f)
        return;
    FINDING_SAY(f->subject, "%s%s", s->proto == IPPROTO_UDP ? "udp " : "",
                judge_address(s, false).c);
    whose(p, f, s);
    if (listens && p->j.now->source == SOCKETS_DIAG)
        FINDING_SAY(f->evidence,
                    "it listens: %s in its queue, the limit is %u; %s connected, %s in "
                    "TIME_WAIT%s",
                    finding_count(s->receive, "connection").c, s->send,
                    finding_digits(p->connections).c, finding_digits(p->time_waits).c,
                    free_port(p, buf));
    else
        FINDING_SAY(f->evidence, "it %s%s",
                    listens                  ? "listens"
                    : s->state == DIAG_BOUND ? "has the port, and does not listen"
                                             : "receives datagrams there",
                    free_port(p, buf));
    if (s->pid)
        FINDING_SAY(f->act, "kill %d, or choose another port", s->pid);
}

static void nobody(struct at_port *p)
{
    struct finding *f = begin(p, KIND_NOBODY_LISTENS, SEVERITY_NOTE);

    if (!f)
        return;
    FINDING_SAY(f->subject, "port %u", f->port);
    FINDING_SAY(f->evidence, "no socket has port %u, nor a connection in TIME_WAIT: it is free",
                f->port);
}

static void left_over(struct at_port *p)
{
    bool lives = p->connections > 0;
    struct finding *f =
        begin(p, lives ? KIND_PORT_LEFT_OVER : KIND_PORT_TIME_WAIT, SEVERITY_WARNING);
    char buf[32];

    if (!f)
        return;
    FINDING_SAY(f->subject, "port %u", f->port);
    if (lives) {
        if (p->connection->inode)
            whose(p, f, p->connection);
        FINDING_SAY(f->evidence, "nobody listens, but %s of its connections live, one to %s%s",
                    finding_digits(p->connections).c, judge_address(p->connection, true).c,
                    free_port(p, buf));
        return;
    }
    FINDING_SAY(f->evidence, "nobody listens; %s in TIME_WAIT, the last of them for %s more%s",
                finding_digits(p->time_waits).c, finding_span(p->time_wait_ms).c,
                free_port(p, buf));
    FINDING_SAY(f->act,
                "wait %s, or stoa doctor --free %u; and let the server set SO_REUSEADDR from its "
                "first start (stoa does)",
                finding_span(p->time_wait_ms).c, f->port);
}

static void elsewhere(struct at_port *p)
{
    struct finding *f = begin(p, KIND_LISTENS_ELSEWHERE, SEVERITY_WARNING);
    char asked[80];
    struct text t;

    if (!f)
        return;
    text_init(&t, asked, sizeof(asked));
    socket_address_text(&t, p->place->at.family, &p->place->at.addr, p->place->at.port);
    /* The subject is the holder, for a moment: that is how its program is written. */
    whose(p, f, p->holder);
    FINDING_SAY(f->evidence, "nothing listens at %s, but %s listens at %s", asked, f->subject,
                judge_address(p->holder, false).c);
    FINDING_SAY(f->subject, "%s", asked);
}

static void no_such_address(struct at_port *p)
{
    struct finding *f = begin(p, KIND_NO_SUCH_ADDRESS, SEVERITY_WARNING);
    char asked[80];
    struct text t;

    if (!f)
        return;
    text_init(&t, asked, sizeof(asked));
    socket_address_text(&t, p->place->at.family, &p->place->at.addr, p->place->at.port);
    FINDING_SAY(f->subject, "%s", asked);
    FINDING_SAY(f->evidence, "this machine has %s", p->place->has);
    FINDING_SAY(f->unseen, "whether another machine has it: nothing was sent");
}

static void families(struct at_port *p)
{
    bool both = p->wildcard && p->wildcard->family == AF_INET6 && !p->wildcard->v6only;
    struct finding *f;

    if (!p->wildcard || (p->v4 && p->v6 && !both))
        return;
    f = begin(p, both ? KIND_DUAL_STACK : KIND_ONE_FAMILY, SEVERITY_NOTE);
    if (!f)
        return;
    FINDING_SAY(f->subject, "%s", judge_address(p->wildcard, false).c);
    if (both)
        FINDING_SAY(f->evidence, "[::]:%u is bound with IPV6_V6ONLY off: it covers 0.0.0.0:%u",
                    f->port, f->port);
    else
        FINDING_SAY(f->evidence, "only %s is served: nobody listens at %s:%u",
                    p->v4 ? "IPv4" : "IPv6", p->v4 ? "[::]" : "0.0.0.0", f->port);
}

static void in_range(struct at_port *p)
{
    const struct facts_settings *set = &p->j.now->set;
    const struct machine_range *r = &set->range;
    uint16_t port = p->place->at.port;
    struct finding *f;

    if (port < r->first || port > r->last || machine_count_ports(set->reserved, port, port))
        return;
    f = begin(p, KIND_PORT_IN_RANGE, SEVERITY_NOTE);
    if (!f)
        return;
    FINDING_SAY(f->subject, "port %u", port);
    FINDING_SAY(f->evidence,
                "connect(2) chooses from %u to %u (net.ipv4.ip_local_port_range), and %u is not in "
                "net.ipv4.ip_local_reserved_ports",
                r->first, r->last, port);
    judge_reserve(&p->j, f, port);
}

void judge_place(const struct facts *now, const struct judge_place *place, struct findings *out)
{
    struct at_port p = {.j = {.now = now, .out = out}, .place = place};

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < now->nsocket; i++)
        count_in(&p, &now->sockets[i]);
    for (size_t i = 0; i < now->nsocket; i++)
        if (holds(&now->sockets[i]) && now->sockets[i].port == place->at.port &&
            now->sockets[i].proto == place->at.proto)
            held(&p, &now->sockets[i]);
    if (place->at.family && !place->here)
        no_such_address(&p);
    else if (p.listeners && !p.overlapping)
        elsewhere(&p);
    if (place->at.family && !place->here && !p.listeners)
        ; /* of the port there is nothing to say */
    else if (!p.listeners && (p.time_waits || p.connections))
        left_over(&p);
    else if (!p.listeners)
        nobody(&p);
    families(&p);
    if (p.listeners)
        in_range(&p);
    finding_rank(out);
}

void judge_path(const struct judge_path *path, struct findings *out)
{
    const struct path_facts *facts = &path->facts;
    enum kind kind = facts->bound   ? KIND_PATH_HELD
                     : path->exists ? KIND_PATH_STALE
                                    : KIND_PATH_MISSING;
    struct finding *f;
    struct text t;

    memset(out, 0, sizeof(*out));
    f = finding_add(out, kind, facts->bound ? SEVERITY_NOTE : SEVERITY_WARNING);
    FINDING_SAY(f->subject, "unix:%s", path->shown);
    if (facts->bound) {
        text_init(&t, f->evidence, sizeof(f->evidence));
        if (facts->owner.pid)
            owner_text(&t, &facts->owner);
        else
            text_add(&t, "a program that may not be looked at");
        text_add(&t, facts->holder.state == DIAG_LISTEN ? " listens there: " : " has it: ");
        text_add(&t, finding_count(facts->holder.receive, "connection").c);
        text_add(&t, " in its queue, the limit is ");
        text_add_number(&t, facts->holder.send);
        f->pid = facts->owner.pid;
        if (!f->pid)
            FINDING_SAY(f->unseen, "which program: `sudo stoa doctor unix:%s` names it",
                        path->shown);
        else
            FINDING_SAY(f->act, "kill %d, or choose another path", f->pid);
    } else if (path->exists && !path->is_socket) {
        FINDING_SAY(f->evidence, "there is a file, and it is no socket");
        FINDING_SAY(f->act, "choose another path");
    } else if (path->exists) {
        FINDING_SAY(f->evidence, "the file is there, and no process of this network has it bound");
        FINDING_SAY(f->act, "rm %s", path->word);
        FINDING_SAY(f->unseen,
                    "servers in other network namespaces (containers): there the file may "
                    "have one");
    } else {
        FINDING_SAY(f->evidence,
                    path->abstract ? "no process has that name" : "there is no file of that name");
    }
}
