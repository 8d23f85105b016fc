/* port.c - ports: whose they are, who may share them, and how long they stay taken.
 *
 * The rules are Linux's (inet_csk_bind_conflict() in net/ipv4/inet_connection_sock.c): two may
 * have a port whose addresses do not overlap; or both said SO_REUSEADDR and, with TCP, none
 * of them listens; or both said SO_REUSEPORT.  A connection that is over keeps its addresses
 * for TIME_WAIT_NS as its socket had them, SO_REUSEADDR included.
 */
#include "sim/port.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIME_WAIT_NS  (60 * SIM_SECOND)
#define REUSE_NS      SIM_SECOND /* tcp_tw_reuse_delay: then connect may use them again */
#define FIRST_FREE    32768
#define NFREE         28232 /* net.ipv4.ip_local_port_range */
#define MAPPED_ANY(a) (IN6_IS_ADDR_V4MAPPED(a) && memcmp((a)->s6_addr + 12, "\0\0\0\0", 4) == 0)

bool port_is_any(const struct in6_addr *a)
{
    return IN6_IS_ADDR_UNSPECIFIED(a) || MAPPED_ANY(a);
}

int port_from_sockaddr(const struct file *f, const struct sockaddr *sa, socklen_t len,
                       struct end *to)
{
    const struct sockaddr_in *in = (const void *)sa;
    const struct sockaddr_in6 *in6 = (const void *)sa;

    if (len < (f->family == AF_INET ? sizeof(*in) : (socklen_t)24))
        return -EINVAL;
    if (sa->sa_family != f->family)
        return -EAFNOSUPPORT;
    if (f->family == AF_INET) {
        to->addr = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(to->addr.s6_addr + 12, &in->sin_addr, 4);
        to->port = ntohs(in->sin_port);
    } else {
        to->addr = in6->sin6_addr;
        to->port = ntohs(in6->sin6_port);
    }
    return 0;
}

void port_to_sockaddr(int family, const struct end *e, struct sockaddr *sa, socklen_t *len)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
    socklen_t full = family == AF_INET ? sizeof(in) : sizeof(in6);

    memcpy(&in.sin_addr, e->addr.s6_addr + 12, 4);
    in6.sin6_addr = e->addr;
    if (sa)
        memcpy(sa, family == AF_INET ? (void *)&in : (void *)&in6, *len < full ? *len : full);
    *len = full;
}

static struct list *bucket(struct world *w, const struct host *h, bool dgram, uint16_t port)
{
    unsigned x = (unsigned)port * 31u + (unsigned)h->number * 2u + dgram;

    return &w->port[x % SIM_PORT_BUCKETS];
}

static struct port *at(struct list *n)
{
    return CONTAINER(n, struct port, link);
}

static bool is_dgram(const struct file *f)
{
    return f->type == SOCK_DGRAM;
}

static bool same_port(const struct port *p, const struct host *h, bool dgram, uint16_t port)
{
    return p->host == h && p->dgram == dgram && p->own.port == port;
}

static bool covers(const struct port *p, const struct in6_addr *a)
{
    if (IN6_IS_ADDR_UNSPECIFIED(&p->own.addr))
        return !p->v6only || !IN6_IS_ADDR_V4MAPPED(a);
    if (MAPPED_ANY(&p->own.addr))
        return IN6_IS_ADDR_V4MAPPED(a) || (IN6_IS_ADDR_UNSPECIFIED(a));
    return memcmp(&p->own.addr, a, sizeof(*a)) == 0;
}

static bool overlap(const struct port *a, const struct port *b)
{
    return covers(a, &b->own.addr) || covers(b, &a->own.addr);
}

static bool listens(const struct port *p)
{
    return p->file && p->file->state == FILE_LISTENS;
}

static bool conflict(const struct port *mine, const struct port *other)
{
    bool reuse = mine->reuseaddr && other->reuseaddr && (mine->dgram || !listens(other));

    if (other == mine || !same_port(other, mine->host, mine->dgram, mine->own.port) ||
        !overlap(mine, other))
        return false;
    return !reuse && !(mine->reuseport && other->reuseport);
}

static struct port *find_conflict(struct world *w, const struct port *mine)
{
    struct list *head = bucket(w, mine->host, mine->dgram, mine->own.port);

    for (struct list *n = head->next; n != head; n = n->next)
        if (conflict(mine, at(n)))
            return at(n);
    return NULL;
}

static void put(struct file *f)
{
    struct port *p = &f->port;
    struct list *head = bucket(f->world, f->host, is_dgram(f), p->own.port);

    p->host = f->host;
    p->file = f;
    p->dgram = is_dgram(f);
    p->inet6 = f->family == AF_INET6;
    list_add(head, &p->link);
}

static bool is_local(struct file *f, const struct in6_addr *a)
{
    return port_is_any(a) || world_find_host(f->world, f->host, a) == f->host;
}

int port_choose(struct file *f, const struct end *to)
{
    struct world *w = f->world;
    uint16_t first = (uint16_t)random_below(&w->random, NFREE);

    f->port.host = f->host;
    f->port.dgram = is_dgram(f);
    if (f->family == AF_INET && IN6_IS_ADDR_UNSPECIFIED(&f->port.own.addr))
        f->port.own.addr = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    for (unsigned i = 0; i < NFREE; i++) {
        f->port.own.port = (uint16_t)(FIRST_FREE + (first + i) % NFREE);
        struct port alone = f->port;

        /* What nobody has; a listener's port is not given away by SO_REUSEADDR alone. */
        alone.reuseaddr = alone.reuseport = false;
        if (!find_conflict(w, &alone)) {
            put(f);
            return 0;
        }
    }
    f->port.own.port = 0;
    return to ? -EADDRNOTAVAIL : -EADDRINUSE;
}

int port_bind(struct file *f, const struct end *where)
{
    struct port *p = &f->port;
    int r = 0;

    if (p->own.port || f->state != FILE_CLOSED || f->in)
        return -EINVAL;
    if (!is_local(f, &where->addr))
        return -EADDRNOTAVAIL;
    p->own = *where;
    p->host = f->host;
    p->dgram = is_dgram(f);
    if (where->port == 0) {
        r = port_choose(f, NULL);
    } else if (find_conflict(f->world, p)) {
        *p = (struct port){
            .v6only = p->v6only, .reuseaddr = p->reuseaddr, .reuseport = p->reuseport};
        return -EADDRINUSE;
    } else {
        put(f);
    }
    p->bound_by_user = r == 0;
    return r;
}

void port_inherit(struct file *child, const struct file *listener)
{
    child->port.reuseaddr = listener->port.reuseaddr;
    child->port.reuseport = listener->port.reuseport;
    child->port.v6only = listener->port.v6only;
    child->port.bound_by_user = true;
    put(child);
}

void port_release(struct file *f)
{
    if (list_linked(&f->port.link))
        list_remove(&f->port.link);
    f->port.own = (struct end){.port = 0};
}

static void expired(struct event *e)
{
    struct port *p = CONTAINER(e, struct port, expires);

    list_remove(&p->link);
    free(p);
}

void port_time_wait(struct file *f)
{
    struct world *w = f->world;
    struct port *p;

    if (!f->port.own.port || !f->port.peer.port)
        return;
    p = malloc(sizeof(*p));
    CHECK(p, "no memory for a simulated TIME_WAIT");
    *p = f->port;
    p->file = NULL;
    p->link = (struct list){0};
    p->expires = (struct event){.run = expired};
    list_add(bucket(w, f->host, false, p->own.port), &p->link);
    world_at(w, &p->expires, w->now_ns + TIME_WAIT_NS);
}

int port_may_listen(const struct file *f)
{
    return find_conflict(f->world, &f->port) ? -EADDRINUSE : 0;
}

struct file *port_listener(struct world *w, struct host *h, const struct end *to)
{
    struct list *head = bucket(w, h, false, to->port);
    struct file *best = NULL;
    uint64_t nbest = 0;

    for (struct list *n = head->next; n != head; n = n->next) {
        struct port *p = at(n);

        if (!listens(p) || !same_port(p, h, false, to->port) || !covers(p, &to->addr))
            continue;
        /* The one with the address itself is before those with any. */
        if (best && port_is_any(&p->own.addr) && !port_is_any(&best->port.own.addr))
            continue;
        if (best && port_is_any(&best->port.own.addr) && !port_is_any(&p->own.addr))
            nbest = 0;
        if (random_below(&w->random, ++nbest) == 0)
            best = p->file;
    }
    return best;
}

struct file *port_receiver(struct world *w, struct host *h, const struct end *from,
                           const struct end *to)
{
    struct list *head = bucket(w, h, true, to->port);
    struct file *best = NULL;
    int best_score = -1;

    for (struct list *n = head->next; n != head; n = n->next) {
        struct port *p = at(n);
        bool connected = p->peer.port != 0;
        int score = 2 * connected + !port_is_any(&p->own.addr);

        if (!p->file || !same_port(p, h, true, to->port) || !covers(p, &to->addr))
            continue;
        if (connected && (p->peer.port != from->port ||
                          memcmp(&p->peer.addr, &from->addr, sizeof(from->addr)) != 0))
            continue;
        if (score > best_score) {
            best = p->file;
            best_score = score;
        }
    }
    return best;
}

int port_source(struct file *f, const struct end *to, struct in6_addr *own)
{
    struct world *w = f->world;
    struct host *there = world_find_host(w, f->host, &to->addr);
    bool mapped = IN6_IS_ADDR_V4MAPPED(&to->addr);

    if (f->family == AF_INET6 && mapped && f->port.v6only)
        return -ENETUNREACH;
    if (!port_is_any(own))
        return IN6_IS_ADDR_V4MAPPED(own) == mapped ? 0 : -ENETUNREACH;
    if (there == f->host) {
        *own = to->addr;
        return 0;
    }
    for (int i = 0; i < f->host->naddr; i++)
        if (!IN6_IS_ADDR_V4MAPPED(&f->host->addr[i]) == !mapped) {
            *own = f->host->addr[i];
            return 0;
        }
    return -ENETUNREACH;
}

bool port_pair_taken(const struct file *f, const struct end *own, const struct end *peer)
{
    struct list *head = bucket(f->world, f->host, is_dgram(f), own->port);

    for (struct list *n = head->next; n != head; n = n->next) {
        const struct port *p = at(n);

        if (p != &f->port && same_port(p, f->host, is_dgram(f), own->port) &&
            p->peer.port == peer->port &&
            memcmp(&p->own.addr, &own->addr, sizeof(own->addr)) == 0 &&
            memcmp(&p->peer.addr, &peer->addr, sizeof(peer->addr)) == 0 &&
            (p->file || p->expires.at_ns > f->world->now_ns + TIME_WAIT_NS - REUSE_NS))
            return true;
    }
    return false;
}

void port_free_all(struct world *w)
{
    for (int i = 0; i < SIM_PORT_BUCKETS; i++)
        for (struct list *n = w->port[i].next, *next; n != &w->port[i]; n = next) {
            next = n->next;
            if (!at(n)->file)
                free(at(n));
        }
}
